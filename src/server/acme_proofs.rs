//! The proofs that a host is ours, while an authority asks for them: a certificate with a digest (TLS-ALPN-01, RFC 8737), or
//! a text over plain HTTP (HTTP-01, RFC 8555, section 8.3).

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::tls::server_config;

/// The protocol that an authority asks for in a handshake (ALPN).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";

#[derive(Default)]
pub struct AcmeProofs {
    /// By host.
    handshakes: Mutex<HashMap<String, Arc<ServerConfig>>>,
    /// By token.
    texts: Mutex<HashMap<String, String>>,
}

impl AcmeProofs {
    /// The configuration of a handshake that proves a host.
    pub fn handshake(&self, host: &str) -> Option<Arc<ServerConfig>> {
        self.handshakes.lock().get(host).cloned()
    }

    /// The text that proves a host, at a path.
    pub fn http(&self, path: &str) -> Option<String> {
        self.texts.lock().get(path.strip_prefix(HTTP_PREFIX)?).cloned()
    }

    pub fn add_text(&self, token: &str, text: &str) {
        self.texts.lock().insert(token.to_owned(), text.to_owned());
    }

    /// Makes the certificate that proves a host by a digest.
    pub fn add_handshake(&self, host: &str, digest: &[u8]) -> anyhow::Result<()> {
        let mut parameters = CertificateParams::new([host.to_owned()])?;
        parameters.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).ok().context("the key cannot be used")?;
        // Not `from_der`: it refuses the critical extension with the digest.
        let key = ring::default_provider().key_provider.load_private_key(private)?;
        let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
        let mut config = server_config(Arc::new(SingleCertAndKey::from(certified)))?;
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        self.handshakes.lock().insert(host.to_owned(), Arc::new(config));
        Ok(())
    }

    pub fn clear(&self) {
        self.handshakes.lock().clear();
        self.texts.lock().clear();
    }
}
