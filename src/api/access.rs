//! Access to routes: the layer and the audience of a route, and what a caller needs.

/// The audience of a resource. It decides which credentials a request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Routes with tokens and keys. They are part of the OpenAPI description.
    Programs,
    /// Pages, with the session of a browser.
    People,
    /// Routes without credentials, on every host.
    Operators,
}

/// The requirement for a caller. It is checked before the handler runs, in the same turn if the handler has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// No token.
    Anyone,
    /// A user's token of this layer.
    SignedIn,
    /// A user's token of either layer. On the central host, also of any workspace.
    AnyToken,
    /// Central: an operator of the instance.
    Operator,
    /// Central: a member of the workspace in the path.
    Member,
    /// Central: the owner of the workspace in the path.
    Owner,
    /// Workspace: any user or integration key.
    Principal,
    /// Workspace: a user or a key with the permission. Callers that are bound to a customer are rejected.
    Permission(&'static str),
    /// The same, or the user in the path.
    Self_(&'static str),
    /// Workspace: a user or a key with the permission, or any user for their own rows. The handler checks ownership.
    OwnOr(&'static str),
    /// Workspace: any user or integration key, for rows of their own. The handler checks ownership, and the permission for
    /// what the rows are about.
    Own,
    /// Workspace: a user or a key with the permission. A caller that is bound to a customer reaches that customer's
    /// rows.
    Scoped(&'static str),
    /// Like `Scoped`. The token of a call flow is accepted too; it has no other right.
    Lookup(&'static str),
}

impl Needs {
    /// The required permission, if there is one.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Self::Permission(name)
            | Self::Self_(name)
            | Self::OwnOr(name)
            | Self::Scoped(name)
            | Self::Lookup(name) => Some(name),
            _ => None,
        }
    }
}

/// The text in the table of routes.
impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anyone => f.write_str("-"),
            Self::SignedIn => f.write_str("a token"),
            Self::AnyToken => f.write_str("any token"),
            Self::Operator => f.write_str("an operator"),
            Self::Member => f.write_str("a member"),
            Self::Owner => f.write_str("the owner"),
            Self::Principal => f.write_str("a token or key"),
            Self::Permission(name) | Self::Scoped(name) => f.write_str(name),
            Self::Own => f.write_str("a token or key, your own rows"),
            Self::Lookup(name) => write!(f, "{name}, or a call flow"),
            Self::Self_(name) => write!(f, "{name}, or your own user"),
            Self::OwnOr(name) => write!(f, "{name}, or your own rows"),
        }
    }
}

/// The part of the API that a host serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    Central,
    Workspace,
}

impl Layer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Central => "central",
            Self::Workspace => "workspace",
        }
    }
}
