//! The parts that the OAuth endpoints share: their errors, how clients authenticate, how they respond.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::clients::{self, OAuthClient};
use crate::api::{ApiResponse, Error, Input, IntoResponse, Operation, Request, Result, json};
use crate::auth::secret;

/// An OAuth error (RFC 6749, 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OAuthError {
    pub code: &'static str,
    pub why: &'static str,
}

pub type OAuthResult<T> = Result<T, OAuthError>;

pub const fn oauth_error(code: &'static str, why: &'static str) -> OAuthError {
    OAuthError { code, why }
}

pub const BAD_CLIENT: OAuthError = oauth_error("invalid_client", "The client is unknown, or its secret is wrong.");
pub const BAD_SCOPE: OAuthError = oauth_error("invalid_scope", "The scope is unknown, or the client may not have it.");

/// HTTP Basic credentials. In OAuth, name and secret are form-encoded inside (RFC 6749, 2.3.1).
#[derive(Debug, Clone)]
pub enum Basic {
    None,
    Named { client_id: String, client_secret: String },
    Malformed,
}

/// A response: 200 with a `T`, or an OAuth error. The handler returns the error as a value, so that its transaction
/// commits the revocation.
pub struct TokenResponse<T>(OAuthResult<T>);

/// The client of a request, if it authenticates.
pub fn authenticate(
    db: &Connection,
    basic: &Basic,
    client_id: Option<&str>,
    client_secret: Option<&str>,
) -> Result<OAuthResult<OAuthClient>> {
    let (id, secret) = match basic {
        Basic::Malformed => return Ok(Err(BAD_CLIENT)),
        Basic::Named { client_id: named, client_secret: secret } => {
            if client_secret.is_some() || client_id.is_some_and(|id| id != named) {
                return Ok(Err(oauth_error("invalid_request", "The client authenticates in two ways.")));
            }
            (named.as_str(), Some(secret.as_str()))
        }
        Basic::None => match client_id {
            Some(id) => (id, client_secret),
            None => return Ok(Err(BAD_CLIENT)),
        },
    };
    // A public client has no secret. With Basic it sends an empty one.
    let secret = secret.filter(|secret| !secret.is_empty());
    let proves_it = |client: &OAuthClient| match (&client.secret_digest, secret) {
        (Some(kept), Some(secret)) => kept[..] == secret::digest(secret)[..],
        (None, None) => !client.confidential,
        _ => false,
    };
    Ok(clients::named(db, id)?.filter(proves_it).ok_or(BAD_CLIENT))
}

/// Runs an endpoint. An unreadable body is an `invalid_request` of OAuth too.
pub fn answer<A, T>(asked: Result<A>, work: impl FnOnce(&A) -> Result<OAuthResult<T>>) -> Result<TokenResponse<T>> {
    let judged = match asked {
        Ok(asked) => work(&asked)?,
        Err(Error::UnsupportedMediaType(_)) => {
            Err(oauth_error("invalid_request", "The body must be a form, sent as application/x-www-form-urlencoded."))
        }
        Err(Error::Invalid(_) | Error::MalformedJson(_) | Error::BadRequest(_)) => {
            Err(oauth_error("invalid_request", "The body is malformed, or a field is repeated or too long."))
        }
        Err(other) => return Err(other),
    };
    Ok(TokenResponse(judged))
}

impl Input for Basic {
    fn read(request: &Request) -> Result<Self> {
        let Some((scheme, encoded)) = request.header(&header::AUTHORIZATION).and_then(|value| value.split_once(' '))
        else {
            return Ok(Self::None);
        };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::None);
        }
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let unform = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(text, _)| text.into_owned());
        Ok(match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((id, secret)) => Self::Named {
                client_id: unform(id).unwrap_or_default(),
                client_secret: unform(secret).unwrap_or_default(),
            },
            None => Self::Malformed,
        })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.error_response(StatusCode::UNAUTHORIZED);
    }
}

/// An empty object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Empty")]
pub struct EmptyResponse {}

impl<T: Serialize + JsonSchema> IntoResponse for TokenResponse<T> {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let Self(judged) = self;
        let mut answer = match &judged {
            Ok(given) => json(StatusCode::OK, given)?,
            Err(OAuthError { code, why }) => {
                let is_unknown = *code == BAD_CLIENT.code;
                let status = if is_unknown { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
                let body = serde_json::json!({"error": code, "error_description": why, "message": why});
                let mut answer = json(status, &body)?;
                // RFC 9110, 15.5.2, for either way of authentication.
                if is_unknown {
                    let challenge = HeaderValue::from_static("Basic realm=\"oauth\"");
                    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                answer
            }
        };
        // RFC 6749, 5.1.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<T>(StatusCode::OK);
    }
}
