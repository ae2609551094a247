//! A route: one row of the table that is the API. The router, access control, lanes, OpenAPI, logs, the command line
//! and the tests all read the same rows.

use http::Method;
use uuid::Uuid;

use super::handler::Handler;
use crate::auth::{Credential, Scope, TokenFault};

/// One thing that the server does.
pub struct Route {
    pub method: Method,
    /// Without `/api`; `{id}` stands for one segment.
    pub path: &'static str,
    pub handler: &'static dyn Handler,
    pub needs: Needs,
    /// What it does, in a few words, for people.
    pub summary: &'static str,
    /// The name of the operation, where [`Resource::operation_id`] does not derive it.
    name: Option<&'static str>,
    /// Whether the route of the same path in the workspace API answers a workspace's token on the central host.
    pub follows_token: bool,
}

impl Route {
    const fn new(
        method: Method,
        path: &'static str,
        handler: &'static dyn Handler,
        needs: Needs,
        summary: &'static str,
    ) -> Self {
        Self { method, path, handler, needs, summary, name: None, follows_token: false }
    }

    /// Names the operation, as a verb and a noun: generated clients name a method after it.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Lets the workspace's own route of this path answer a workspace's token: clients that know the central host alone ask
    /// there.
    #[must_use]
    pub const fn following_token(mut self) -> Self {
        self.follows_token = true;
        self
    }

    /// Whether a credential may be used for the route at all, on a host of this layer and workspace.
    pub fn admits(&self, layer: Layer, credential: &Credential, workspace: Option<Uuid>) -> Result<(), TokenFault> {
        let admitted = match (credential, layer) {
            (Credential::None, _) => self.needs == Needs::Anyone,
            (Credential::Token(token), Layer::Central) => {
                token.scope == Scope::Central || self.needs == Needs::AnyToken
            }
            (Credential::Token(token), Layer::Workspace) => workspace.is_some() && token.scope.workspace() == workspace,
            (Credential::Client(token), Layer::Workspace) => workspace == Some(token.workspace),
            (Credential::Client(_), Layer::Central) => false,
            // Whose it is only the file knows, and the host says which file.
            (Credential::Key(_) | Credential::CallFlow(_), _) => workspace.is_some(),
        };
        if admitted { Ok(()) } else { Err(TokenFault::WrongScope) }
    }
}

/// The routes of one resource, under the name that people read.
#[derive(Clone, Copy)]
pub struct Resource {
    pub name: &'static str,
    /// What it is, in one or two sentences.
    pub about: &'static str,
    pub routes: &'static [Route],
    pub audience: Audience,
}

impl Resource {
    /// A part of the API.
    pub const fn new(name: &'static str, about: &'static str, routes: &'static [Route]) -> Self {
        Self { name, about, routes, audience: Audience::Programs }
    }

    /// Pages, to which people are led by links.
    pub const fn pages(name: &'static str, routes: &'static [Route]) -> Self {
        Self { name, about: "", routes, audience: Audience::People }
    }

    /// The name of a route's operation: `listCallQueues`, `createCallQueue`. A route that is no usual one of a collection
    /// says its own.
    pub fn operation_id(&self, route: &Route) -> String {
        if let Some(name) = route.name {
            return name.to_owned();
        }
        let words =
            self.name.split([' ', '-']).map(|word| word[..1].to_ascii_uppercase() + &word[1..].to_ascii_lowercase());
        let several: String = words.collect();
        let one = match several.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => several.strip_suffix('s').unwrap_or(&several).to_owned(),
        };
        let (_, last) = route.path.rsplit_once('/').unwrap_or_default();
        match (route.method.as_str(), last) {
            ("GET", "export") => format!("export{several}"),
            ("POST", "import") => format!("import{several}"),
            ("DELETE", "bulk") => format!("delete{several}"),
            ("POST", "bulk") => format!("create{several}"),
            ("GET", last) if last.starts_with('{') => format!("get{one}"),
            ("GET", _) => format!("list{several}"),
            ("POST", _) => format!("create{one}"),
            ("PUT", _) => format!("update{one}"),
            (_, _) => format!("delete{one}"),
        }
    }
}

/// Whom routes are for: what is for programs is in the description of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Programs,
    People,
}

/// What a caller must be for a route to be run. Looked up before its handler is, in the same turn where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// No token.
    Anyone,
    /// A person's token of this layer.
    SignedIn,
    /// A person's token of either layer, also of another workspace than the host's, on the central host.
    AnyToken,
    /// Central: an account that may see the whole instance.
    Operator,
    /// Central: a member of the workspace in the path.
    Member,
    /// Central: the owner of the workspace in the path.
    Owner,
    /// Workspace: any user or integration key of it.
    Insider,
    /// Workspace: a user or a key with the permission; not one that sees only a customer.
    Permission(&'static str),
    /// The same, or the user in the path themselves.
    Oneself(&'static str),
    /// Workspace: a user or a key with the permission; or any user, for their own rows, which the handler tells apart.
    Own(&'static str),
    /// Workspace: a user or a key with the permission; one that is bound to a customer reaches that customer's rows.
    Scoped(&'static str),
    /// As `Scoped`; or the token of a call flow, whose one right this is.
    LookUp(&'static str),
}

impl Needs {
    /// The permission that is to be had, where it is one.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Self::Permission(name)
            | Self::Oneself(name)
            | Self::Own(name)
            | Self::Scoped(name)
            | Self::LookUp(name) => Some(name),
            _ => None,
        }
    }
}

/// For people, as in the table of routes.
impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anyone => f.write_str("-"),
            Self::SignedIn => f.write_str("a token"),
            Self::AnyToken => f.write_str("any token"),
            Self::Operator => f.write_str("an operator"),
            Self::Member => f.write_str("a member"),
            Self::Owner => f.write_str("the owner"),
            Self::Insider => f.write_str("a token or key"),
            Self::Permission(name) | Self::Scoped(name) => f.write_str(name),
            Self::LookUp(name) => write!(f, "{name}, or a call flow"),
            Self::Oneself(name) => write!(f, "{name}, or oneself"),
            Self::Own(name) => write!(f, "{name}, or one's own"),
        }
    }
}

/// Which half of the API a host answers with.
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

pub const fn get(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route::new(Method::GET, path, handler, needs, summary)
}

pub const fn post(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route::new(Method::POST, path, handler, needs, summary)
}

pub const fn put(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route::new(Method::PUT, path, handler, needs, summary)
}

pub const fn delete(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route::new(Method::DELETE, path, handler, needs, summary)
}
