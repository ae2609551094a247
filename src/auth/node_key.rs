//! The secret that the servers of an object store share, and the signed header by which one server knows that a request
//! comes from another.
//!
//! The header has two parts in base64url, separated by a dot: the origin of the request as JSON, and its HMAC-SHA256.
//! The HMAC covers the origin, the method, the path and the query. It does not cover the body and the credential, which
//! the receiver checks like those of any request.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::values::Timestamp;

/// The header with the signed origin of a request.
pub const NODE_HEADER: &str = "x-cx-node";

/// The path at which a server is notified of news in the object store.
pub const NOTIFY_PATH: &str = "/internal/cluster/notify";

/// Bytes of the secret.
const LEAST_SECRET: usize = 32;
const MOST_SECRET: usize = 4096;

/// Seconds that the clocks of two servers may differ. A signature is valid for as long.
const MOST_DIFFERENCE: i64 = 60;

/// The secret that all servers of an object store share.
#[derive(Clone)]
pub struct NodeKey(Vec<u8>);

/// Where a request comes from, as the server tells that received it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestOrigin {
    /// The name of the server.
    pub node: String,
    /// The id of the request in the logs of both servers.
    pub id: Uuid,
    /// The address of the client.
    pub client: IpAddr,
    /// The scheme that the client used.
    pub scheme: String,
    /// The host that the client used, perhaps with a port.
    pub host: String,
}

/// The signed part of the header.
#[derive(Serialize, Deserialize)]
struct SignedOrigin {
    #[serde(flatten)]
    origin: RequestOrigin,
    /// Seconds since 1970.
    at: i64,
}

impl NodeKey {
    /// Reads the secret. One line break at its end is ignored.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut secret = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_SECRET as u64 + 1).read_to_end(&mut secret))
            .with_context(|| format!("node_secret_file: cannot read {}", path.display()))?;
        if secret.ends_with(b"\n") {
            secret.pop();
        }
        if secret.ends_with(b"\r") {
            secret.pop();
        }
        ensure!(
            (LEAST_SECRET..=MOST_SECRET).contains(&secret.len()),
            "node_secret_file: {} must have {LEAST_SECRET} to {MOST_SECRET} bytes, such as the output of \
             `openssl rand -hex 32`",
            path.display()
        );
        Ok(Self(secret))
    }

    /// The header of a request from this server.
    pub fn sign(&self, origin: &RequestOrigin, method: &str, path_and_query: &str, now: Timestamp) -> String {
        let signed = SignedOrigin { origin: origin.clone(), at: now.seconds() };
        let text = serde_json::to_vec(&signed).expect("it has only texts and numbers");
        let text = URL_SAFE_NO_PAD.encode(text);
        let mac = self.mac(&text, method, path_and_query).finalize().into_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// The origin of a request, if another server has signed it in the last seconds.
    pub fn verify(&self, header: &str, method: &str, path_and_query: &str, now: Timestamp) -> Option<RequestOrigin> {
        let (text, mac) = header.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.mac(text, method, path_and_query).verify_slice(&mac).ok()?;
        let signed: SignedOrigin = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let difference = signed.at.checked_sub(now.seconds())?;
        (difference.unsigned_abs() <= MOST_DIFFERENCE.unsigned_abs()).then_some(signed.origin)
    }

    /// None of the parts can contain a line break: HTTP allows none in a method and a path.
    fn mac(&self, text: &str, method: &str, path_and_query: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(format!("cx-engine node 1\n{text}\n{method}\n{path_and_query}").as_bytes());
        mac
    }
}

/// Hides the secret in debug output.
impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_705_752_000;

    fn key(text: &[u8]) -> anyhow::Result<NodeKey> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        NodeKey::open(file.path())
    }

    fn origin() -> RequestOrigin {
        RequestOrigin {
            node: "one".into(),
            id: Uuid::from_u128(7),
            client: "192.0.2.1".parse().unwrap(),
            scheme: "https".into(),
            host: "acme.example.com:8443".into(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_secret_has_enough_bytes_and_the_line_break_at_its_end_does_not_count() {
        let (with, without) = (key(&b"s".repeat(32)).unwrap(), key(&[&b"s".repeat(32)[..], b"\r\n"].concat()).unwrap());
        let signed = with.sign(&origin(), "GET", "/", at(NOW));
        assert_eq!(without.verify(&signed, "GET", "/", at(NOW)), Some(origin()));
        for short in [&b""[..], b"short", &[&b"s".repeat(31)[..], b"\n"].concat(), &b"s".repeat(4097)] {
            let said = key(short).unwrap_err().to_string();
            assert!(said.contains("must have 32 to 4096 bytes"), "{said}");
        }
        assert_eq!(format!("{with:?}"), "NodeKey");
    }

    #[test]
    fn a_signature_is_valid_for_a_minute_on_clocks_that_differ() {
        let key = key(&b"s".repeat(32)).unwrap();
        let signed = key.sign(&origin(), "GET", "/", at(NOW));
        for (difference, is_valid) in [(0, true), (60, true), (-60, true), (61, false), (-61, false)] {
            let verified = key.verify(&signed, "GET", "/", at(NOW + difference));
            assert_eq!(verified.is_some(), is_valid, "{difference}");
        }
    }

    #[test]
    fn only_the_same_secret_verifies() {
        let (one, other) = (key(&b"s".repeat(32)).unwrap(), key(&b"t".repeat(32)).unwrap());
        assert_eq!(other.verify(&one.sign(&origin(), "GET", "/", at(NOW)), "GET", "/", at(NOW)), None);
    }

    proptest! {
        #[test]
        fn what_is_signed_is_read_back_and_a_change_of_any_part_is_refused(
            node in "[a-z0-9-]{1,20}",
            client: IpAddr,
            host in "[a-z.]{1,20}",
            path in "/[a-z/?=&%]{0,20}",
            changed_path in "/[a-z/?=&%]{0,20}",
            position: prop::sample::Index,
            letter in "[A-Za-z0-9._-]",
        ) {
            let key = key(&b"s".repeat(32)).unwrap();
            let origin = RequestOrigin { node, client, host, ..origin() };
            let signed = key.sign(&origin, "POST", &path, at(NOW));
            prop_assert_eq!(key.verify(&signed, "POST", &path, at(NOW)), Some(origin));
            prop_assert_eq!(key.verify(&signed, "PUT", &path, at(NOW)), None);
            if changed_path != path {
                prop_assert_eq!(key.verify(&signed, "POST", &changed_path, at(NOW)), None);
            }
            let position = position.index(signed.len());
            let mut forged = signed.clone();
            forged.replace_range(position..=position, &letter);
            if forged != signed {
                prop_assert_eq!(key.verify(&forged, "POST", &path, at(NOW)), None);
            }
            prop_assert_eq!(key.verify(&signed[..position], "POST", &path, at(NOW)), None);
        }

        #[test]
        fn any_text_is_read_without_a_panic(header: String) {
            let key = key(&b"s".repeat(32)).unwrap();
            prop_assert_eq!(key.verify(&header, "GET", "/", at(NOW)), None);
        }
    }
}
