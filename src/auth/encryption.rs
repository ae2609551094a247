//! Encryption with the server's keys: tokens as PASETO v4.local, opaque to their holder, and data that must not be
//! stored in plain text.
//!
//! The payload of a token names its row, account, scope and expiry. The footer names the key (`kid`), so that keys can
//! be rotated.

use pasetors::Local;
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccessToken, Keys, Nonce, TokenFault, TokenScope};
use crate::values::Timestamp;

/// The claims of a person's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    pub token_id: i64,
    pub account_id: i64,
    pub scope: TokenScope,
    pub expires_at: Timestamp,
    /// The same value as in the token's row. Tokens of older versions have none.
    pub nonce: Option<Nonce>,
}

/// A decrypted token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecryptedToken {
    /// A person's token.
    Person(Claims),
    /// An OAuth client's access token.
    Client(AccessToken),
}

/// Registered claims of PASETO, and some of our own.
#[derive(Serialize, Deserialize)]
struct Payload {
    /// The id of the token's row, or of the grant's row if there is a serial.
    jti: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<i64>,
    exp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<Nonce>,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    kid: String,
}

/// Encrypts a person's token.
pub fn encrypt_token(claims: Claims, keys: &Keys) -> anyhow::Result<String> {
    let payload = Payload {
        jti: claims.token_id,
        sub: Some(claims.account_id),
        exp: claims.expires_at,
        workspace: claims.scope.workspace(),
        serial: None,
        nonce: claims.nonce,
    };
    encrypt_text(&serde_json::to_string(&payload)?, &[], keys)
}

/// Encrypts an OAuth client's access token.
pub fn encrypt_access_token(token: AccessToken, keys: &Keys) -> anyhow::Result<String> {
    let payload = Payload {
        jti: token.grant_id,
        sub: None,
        exp: token.expires_at,
        workspace: Some(token.workspace),
        serial: Some(token.serial),
        nonce: token.nonce,
    };
    encrypt_text(&serde_json::to_string(&payload)?, &[], keys)
}

/// Decrypts a token that one of our keys has encrypted.
pub fn decrypt_token(text: &str, keys: &Keys) -> Result<DecryptedToken, TokenFault> {
    let opened = decrypt_text(text, &[], keys).ok_or(TokenFault::Invalid)?;
    let payload: Payload = serde_json::from_str(&opened).map_err(|_| TokenFault::Invalid)?;
    let Payload { jti, sub, exp: expires_at, workspace, serial, nonce } = payload;
    match (sub, workspace, serial) {
        (Some(account_id), _, None) => {
            let scope = TokenScope::from(workspace);
            Ok(DecryptedToken::Person(Claims { token_id: jti, account_id, scope, expires_at, nonce }))
        }
        (None, Some(workspace), Some(serial)) => {
            Ok(DecryptedToken::Client(AccessToken { grant_id: jti, serial, nonce, workspace, expires_at }))
        }
        _ => Err(TokenFault::Invalid),
    }
}

/// Encrypts a text. Only the same `context` decrypts it, so that a text for one purpose is useless for another.
pub fn encrypt_text(text: &str, context: &[u8], keys: &Keys) -> anyhow::Result<String> {
    let (kid, key) = keys.newest()?;
    let footer = serde_json::to_vec(&Footer { kid })?;
    Ok(LocalToken::encrypt(&key, text.as_bytes(), Some(&footer), Some(context))?)
}

/// Decrypts a text that one of our keys has encrypted for this context.
pub fn decrypt_text(sealed: &str, context: &[u8], keys: &Keys) -> Option<String> {
    let sealed = UntrustedToken::<Local, V4>::try_from(sealed).ok()?;
    let footer: Footer = serde_json::from_slice(sealed.untrusted_footer()).ok()?;
    let key = keys.named(&footer.kid)?;
    let opened = LocalToken::decrypt(&key, &sealed, None, Some(context)).ok()?;
    Some(opened.payload().to_owned())
}
