//! Secrets that are shown once and stored as a digest: codes of invitations and password resets, and integration keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Creates a secret: 256 random bits as 43 characters of base64url (RFC 4648, 5).
pub fn random() -> anyhow::Result<String> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// The stored form of a secret. No salt and no slow hash is needed, since no one can try 2^256 secrets.
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_fits_into_a_url_and_none_is_made_twice() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{one}");
        assert_ne!(one, other);
    }
}
