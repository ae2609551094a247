//! What is sealed with the server's keys: tokens, as PASETO v4.local, opaque to whoever carries one; and, the same way,
//! what must not lie in a file in the clear.
//!
//! A token's payload names the token's row, its account, scope and end; the footer names the key (`kid`), so that keys rotate.

use pasetors::Local;
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Keys, Scope, TokenFault};
use crate::values::Timestamp;

/// What a token says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    pub token_id: i64,
    pub account_id: i64,
    pub scope: Scope,
    pub expires_at: Timestamp,
}

/// The registered claims (PASETO, registered claims) and a scope of our own.
#[derive(Serialize, Deserialize)]
struct Payload {
    jti: i64,
    sub: i64,
    exp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    kid: String,
}

/// The token as text, sealed with the newest key.
pub fn seal(claims: Claims, keys: &Keys) -> anyhow::Result<String> {
    let payload = Payload {
        jti: claims.token_id,
        sub: claims.account_id,
        exp: claims.expires_at,
        workspace: claims.scope.workspace(),
    };
    seal_text(&serde_json::to_string(&payload)?, &[], keys)
}

/// What a token says, if one of our keys sealed it.
pub fn open(text: &str, keys: &Keys) -> Result<Claims, TokenFault> {
    let opened = open_text(text, &[], keys).ok_or(TokenFault::Invalid)?;
    let payload: Payload = serde_json::from_str(&opened).map_err(|_| TokenFault::Invalid)?;
    Ok(Claims {
        token_id: payload.jti,
        account_id: payload.sub,
        scope: Scope::from(payload.workspace),
        expires_at: payload.exp,
    })
}

/// A text that is opened again with the same `context` alone: so what is sealed for one place says nothing in another.
pub fn seal_text(text: &str, context: &[u8], keys: &Keys) -> anyhow::Result<String> {
    let (kid, key) = keys.newest()?;
    let footer = serde_json::to_vec(&Footer { kid })?;
    Ok(LocalToken::encrypt(&key, text.as_bytes(), Some(&footer), Some(context))?)
}

/// The text, if one of our keys sealed it for this context.
pub fn open_text(sealed: &str, context: &[u8], keys: &Keys) -> Option<String> {
    let sealed = UntrustedToken::<Local, V4>::try_from(sealed).ok()?;
    let footer: Footer = serde_json::from_slice(sealed.untrusted_footer()).ok()?;
    let key = keys.named(&footer.kid)?;
    let opened = LocalToken::decrypt(&key, &sealed, None, Some(context)).ok()?;
    Some(opened.payload().to_owned())
}
