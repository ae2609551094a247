//! A route: one row of the table that is the API. The router, access control, lanes, OpenAPI, logs, the command line
//! and the tests all read the same rows.

use http::Method;
use uuid::Uuid;

use super::handler::Handler;
use crate::auth::Scope;
use crate::auth::TokenFault;

/// One thing that the server does.
pub struct Route {
    pub method: Method,
    /// Without `/api`; `{id}` stands for one segment.
    pub path: &'static str,
    pub handler: &'static dyn Handler,
    pub needs: Needs,
    /// What it does, in a few words, for people.
    pub summary: &'static str,
}

impl Route {
    /// Whether a token of this scope may be used for the route at all, on a host of this layer and workspace.
    pub fn admits(&self, layer: Layer, scope: Scope, workspace: Option<Uuid>) -> Result<(), TokenFault> {
        let admitted = match layer {
            Layer::Central => scope == Scope::Central || self.needs == Needs::AnyToken,
            Layer::Workspace => scope.workspace().is_some() && scope.workspace() == workspace,
        };
        if admitted { Ok(()) } else { Err(TokenFault::WrongScope) }
    }
}

/// The routes of one resource, under the name that people read.
#[derive(Clone, Copy)]
pub struct Resource {
    pub name: &'static str,
    pub routes: &'static [Route],
}

/// What a caller must be for a route to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// No token.
    Anyone,
    /// A token of this layer.
    SignedIn,
    /// A token of either layer, also of another workspace than the host's, on the central host.
    AnyToken,
    /// A user of the workspace whose role has the permission.
    Permission(&'static str),
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
    Route { method: Method::GET, path, handler, needs, summary }
}

pub const fn post(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route { method: Method::POST, path, handler, needs, summary }
}

pub const fn put(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route { method: Method::PUT, path, handler, needs, summary }
}

pub const fn delete(path: &'static str, handler: &'static dyn Handler, needs: Needs, summary: &'static str) -> Route {
    Route { method: Method::DELETE, path, handler, needs, summary }
}
