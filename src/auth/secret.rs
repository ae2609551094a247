//! Secrets that are handed out once and kept as a digest: codes of invitations and of forgotten passwords, keys of
//! programs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// 256 random bits as 43 characters of base64url (RFC 4648, 5).
pub fn make() -> anyhow::Result<String> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// What a secret is known by: never the text itself. No salt and no slow hash, since nobody can try 2^256 secrets.
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_fits_into_a_url_and_none_is_made_twice() {
        let (one, other) = (make().unwrap(), make().unwrap());
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{one}");
        assert_ne!(one, other);
    }
}
