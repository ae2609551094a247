//! A route: one row of the table that defines the API. The router, access control, lanes, OpenAPI, logs, the command
//! line and the tests read the same rows.

use http::Method;
use uuid::Uuid;

use super::access::{Audience, Layer, Needs};
use super::handler::Handler;
use crate::auth::{Credential, TokenFault, TokenScope};

/// One operation of the API.
pub struct Route {
    pub method: Method,
    /// The path without `/api`. `{id}` stands for one segment.
    pub path: &'static str,
    pub handler: &'static dyn Handler,
    pub needs: Needs,
    /// The summary in the documentation, as an imperative.
    pub summary: &'static str,
    /// The name of the operation, if it differs from what `Resource::operation_id` derives.
    pub name: Option<&'static str>,
    /// Whether the central host passes a workspace token to the workspace's route of the same path.
    pub follows_token: bool,
    /// The path of the resource that the route changes, if it is another one than that of the route. `If-Match` names its
    /// state.
    pub changes: Option<&'static str>,
    /// Whether the form must prove that a page of this host sent it, even if the visitor has no session.
    pub has_form_key: bool,
}

impl Route {
    const fn new(
        method: Method,
        path: &'static str,
        handler: &'static dyn Handler,
        needs: Needs,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            handler,
            needs,
            summary,
            name: None,
            follows_token: false,
            changes: None,
            has_form_key: false,
        }
    }

    /// Names the operation, as a verb and a noun. Generated clients name a method after it.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Passes a workspace token to the workspace's route of the same path, for clients that only know the central host.
    #[must_use]
    pub const fn following_token(mut self) -> Self {
        self.follows_token = true;
        self
    }

    /// Checks `If-Match` against the resource at this path, which has the same values.
    #[must_use]
    pub const fn changing(mut self, path: &'static str) -> Self {
        self.changes = Some(path);
        self
    }

    /// Whether the route changes or deletes a resource that another route shows.
    pub fn has_preconditions(&self) -> bool {
        [Method::PUT, Method::DELETE].contains(&self.method) || self.changes.is_some()
    }

    /// Requires the form key also of visitors without a session.
    #[must_use]
    pub const fn with_form_key(mut self) -> Self {
        self.has_form_key = true;
        self
    }

    /// Whether a credential may be used for the route, on a host of this layer and workspace.
    pub fn admits(
        &self,
        audience: Audience,
        layer: Layer,
        credential: &Credential,
        workspace: Option<Uuid>,
    ) -> Result<(), TokenFault> {
        let admitted = match (credential, layer) {
            (Credential::None, _) => self.needs == Needs::Anyone,
            (Credential::Session(token), layer) => {
                let is_central = layer == Layer::Central;
                audience == Audience::People
                    && is_central != workspace.is_some()
                    && token.scope.workspace() == workspace
            }
            _ if audience != Audience::Programs => false,
            (Credential::Token(token), Layer::Central) => {
                token.scope == TokenScope::Central || self.needs == Needs::AnyToken
            }
            (Credential::Token(token), Layer::Workspace) => workspace.is_some() && token.scope.workspace() == workspace,
            (Credential::Client(token), Layer::Workspace) => workspace == Some(token.workspace),
            (Credential::Client(_), Layer::Central) => false,
            // Only the workspace's file knows the key, and the host names the workspace.
            (Credential::Key(_) | Credential::CallFlow(_), _) => workspace.is_some(),
        };
        if admitted { Ok(()) } else { Err(TokenFault::WrongScope) }
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
