//! What a call comes with: a token, what it is good for and what may be wrong with it; or an integration key.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use uuid::Uuid;

use super::Nonce;
use crate::values::{Timestamp, choice};

/// How integration keys begin, which tells them from tokens.
pub const KEY_PREFIX: &str = "cxk_";

/// How the tokens of call flows begin.
pub const CALL_FLOW_PREFIX: &str = "cxf_";

/// What a call was sent with, as `Authorization: Bearer …`.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing, where nothing is needed.
    None,
    /// A person's token, found good.
    Token(Arc<TokenInUse>),
    /// An integration key, by its digest: only the workspace's file knows whether it is good.
    Key([u8; 32]),
    /// An OAuth client's access token: ours, and for this workspace. Whether it is still good its file knows.
    Client(Arc<AccessToken>),
    /// A call flow's token, by its digest: of this, too, only the file knows.
    CallFlow([u8; 32]),
}

impl Credential {
    /// Whether it is a person's token of a workspace.
    pub fn is_of_workspace(&self) -> bool {
        matches!(self, Self::Token(token) if token.scope.workspace().is_some())
    }
}

/// What an OAuth access token says: which grant it came of, and the how-manieth of that grant it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessToken {
    pub grant_id: i64,
    pub serial: i64,
    /// The random bits of the grant's row. Tokens from before there were any have none.
    pub nonce: Option<Nonce>,
    pub workspace: Uuid,
    pub expires_at: Timestamp,
}

/// A token that was found good, as the central file has it.
#[derive(Debug)]
pub struct TokenInUse {
    pub id: i64,
    pub account_id: i64,
    pub scope: Scope,
    pub kind: TokenKind,
    pub label: String,
    pub expires_at: Timestamp,
    /// Whether the account may see the whole instance.
    pub operator: bool,
    /// Whether the account has a second factor.
    pub second_factor: bool,
    /// When it was last used, in seconds, to the minute.
    pub(crate) last_used: AtomicI64,
}

choice! {
    /// How a token came to be: a person logged in or switched, or made it for a program.
    TokenKind { SESSION = "session", PROGRAM = "program" }
}

/// What a token is good for: one half of the API, and in the workspace half one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Central,
    Workspace(Uuid),
}

impl Scope {
    /// As a column has it: a workspace's id, or null.
    pub fn workspace(self) -> Option<Uuid> {
        match self {
            Self::Central => None,
            Self::Workspace(id) => Some(id),
        }
    }
}

impl From<Option<Uuid>> for Scope {
    fn from(workspace: Option<Uuid>) -> Self {
        workspace.map_or(Self::Central, Self::Workspace)
    }
}

/// Why a request's token opens nothing. Always 401 with `WWW-Authenticate: Bearer` (RFC 6750, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    Missing,
    /// Malformed, or sealed with a key that is not ours.
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
            Self::Missing => "This needs a token: send it as Authorization: Bearer {token}.",
            Self::Invalid => "The token is not valid here.",
            Self::Expired => "The token has expired: log in again.",
            Self::Revoked => "The token has been revoked: log in again.",
            Self::WrongScope => "The token is for another part of the server: switch to this one first.",
        }
    }
}
