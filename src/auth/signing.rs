//! The signing of webhook messages (Standard Webhooks 1.0, "Signature scheme").

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use schemars::json_schema;
use serde::Serialize;
use sha2::Sha256;

use crate::values::{described, read_from_text};

const PREFIX: &str = "whsec_";
/// Size of a secret in bytes, by the specification.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// `whsec_` and 24 to 64 bytes in base64. It is stored in plain text, because each message is signed with it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// Creates a secret of 256 random bits.
    pub fn random() -> anyhow::Result<Self> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Self(format!("{PREFIX}{}", STANDARD.encode(bits))))
    }

    /// The last four characters, by which people distinguish secrets.
    pub fn last_four(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }

    /// The `webhook-signature` header of a message.
    pub fn sign(&self, message_id: &str, at: i64, body: &str) -> anyhow::Result<String> {
        let key = STANDARD.decode(&self.0[PREFIX.len()..])?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
        mac.update(format!("{message_id}.{at}.{body}").as_bytes());
        Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

impl FromStr for SigningSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = text.strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok());
        match key {
            Some(key) if SIZES.contains(&key.len()) => Ok(Self(text.to_owned())),
            _ => Err(format!("must be {PREFIX} and {} to {} bytes in base64.", SIZES.start(), SIZES.end())),
        }
    }
}

read_from_text!(SigningSecret);

described!(SigningSecret, json_schema!({"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"}));

impl rusqlite::ToSql for SigningSecret {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl rusqlite::types::FromSql for SigningSecret {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|said: String| rusqlite::types::FromSqlError::Other(said.into()))
    }
}

/// Hides the secret in debug output.
impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the libraries of Standard Webhooks.
    #[test]
    fn a_message_is_signed_as_the_convention_says() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_enough_bytes_and_is_not_printed() {
        let made = SigningSecret::random().unwrap();
        let text = serde_json::to_string(&made).unwrap();
        assert!(serde_json::from_str::<SigningSecret>(&text).is_ok_and(|read| read == made));
        assert_eq!(format!("{made:?}"), "SigningSecret");
        for bad in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_????????????????????????????????",
        ] {
            assert!(bad.parse::<SigningSecret>().is_err(), "{bad}");
        }
    }
}
