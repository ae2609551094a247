//! The credential of a request: a token with its scope and its possible faults, or an integration key.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use uuid::Uuid;

use super::Nonce;
use crate::values::{Timestamp, choice};

/// The prefix of integration keys, which distinguishes them from tokens.
pub const KEY_PREFIX: &str = "cxk_";

/// The prefix of call flow tokens.
pub const CALL_FLOW_PREFIX: &str = "cxf_";

/// The credential of a request, sent as `Authorization: Bearer …`.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No credential, on a route that needs none.
    None,
    /// A valid token of a person.
    Token(Arc<TokenInUse>),
    /// The session of a person's browser. It is valid for pages and for no other route.
    Session(Arc<TokenInUse>),
    /// The digest of an integration key. Only the workspace's file knows whether the key is valid.
    Key([u8; 32]),
    /// An access token of an OAuth client, encrypted by us for this workspace. Only the workspace's file knows whether
    /// it is still valid.
    Client(Arc<AccessToken>),
    /// The digest of a call flow's token. Only the workspace's file knows whether the token is valid.
    CallFlow([u8; 32]),
}

impl Credential {
    /// Whether it is a person's token of a workspace.
    pub fn is_of_workspace(&self) -> bool {
        matches!(self, Self::Token(token) if token.scope.workspace().is_some())
    }
}

/// The claims of an OAuth access token: its grant, and its generation number within the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessToken {
    pub grant_id: i64,
    pub serial: i64,
    /// The nonce of the grant's row. Tokens of older versions have none.
    pub nonce: Option<Nonce>,
    pub workspace: Uuid,
    pub expires_at: Timestamp,
}

/// A valid token, as the central file has it.
#[derive(Debug)]
pub struct TokenInUse {
    pub id: i64,
    pub account_id: i64,
    pub scope: TokenScope,
    pub kind: TokenKind,
    pub label: String,
    pub expires_at: Timestamp,
    /// Whether the account may see the whole instance.
    pub operator: bool,
    /// How the person of the token signed in.
    pub method: SignInMethod,
    /// Whether the account has a second factor, or the provider checked one.
    pub second_factor: bool,
    /// Time of last use in seconds, accurate to a minute.
    pub(crate) last_used: AtomicI64,
}

/// How a person signed in. The default is a password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignInMethod {
    /// The name of the provider of single sign-on in the settings.
    pub provider: Option<String>,
    /// Whether the provider checked a second factor.
    pub second_factor: bool,
}

choice! {
    /// How a token was created: by a login or a switch, or for a program.
    TokenKind { SESSION = "session", PROGRAM = "program" }
}

/// Where a token is valid: in the central API, or in one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenScope {
    Central,
    Workspace(Uuid),
}

impl TokenScope {
    /// The value of the database column: a workspace's id, or null.
    pub fn workspace(self) -> Option<Uuid> {
        match self {
            Self::Central => None,
            Self::Workspace(id) => Some(id),
        }
    }
}

impl From<Option<Uuid>> for TokenScope {
    fn from(workspace: Option<Uuid>) -> Self {
        workspace.map_or(Self::Central, Self::Workspace)
    }
}

/// Why a token was rejected. The status is always 401 with `WWW-Authenticate: Bearer` (RFC 6750, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    Missing,
    /// Malformed, or not encrypted with one of our keys.
    Invalid,
    Expired,
    Revoked,
    WrongScope,
}

impl TokenFault {
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Invalid => "token_invalid",
            Self::Expired => "token_expired",
            Self::Revoked => "token_revoked",
            Self::WrongScope => "wrong_token_scope",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Missing => "This request requires a token: send it as Authorization: Bearer {token}.",
            Self::Invalid => "The token is not valid here.",
            Self::Expired => "The token has expired: log in again.",
            Self::Revoked => "The token has been revoked: log in again.",
            Self::WrongScope => "The token is for another part of the API. Switch to this part first.",
        }
    }
}
