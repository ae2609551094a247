//! Admission of a request: its route, its credential and its workspace, before the body is read.

use http::request::Parts;
use http::{HeaderMap, Method, header};
use uuid::Uuid;

use super::log::RequestLog;
use super::service::Service;
use super::{address, cors, operations};
use crate::api::{self, Address, Audience, Error, Layer, Needs, Result, Route, require_active};
use crate::auth::{CALL_FLOW_PREFIX, Credential, KEY_PREFIX, TokenFault, TokenScope, secret};
use crate::pages;
use crate::tenancy::{Bearer, Current, Host, Lease, WorkspaceEntry};
use crate::values::Timestamp;

/// The result of routing.
struct Routed {
    layer: Layer,
    audience: Audience,
    route: &'static Route,
    path_values: Vec<String>,
    /// The workspace that the host names.
    named: Option<WorkspaceEntry>,
    /// Whether the request came to the central host for a route of a workspace.
    from_central: bool,
}

/// The result of routing and authentication.
pub enum Admission {
    Request(Admitted),
    /// Another node serves the workspace.
    Elsewhere(&'static Route, Uuid),
    /// The request is a CORS preflight.
    Preflight,
    /// The page needs a session, and the browser has none.
    SignIn,
}

/// A request with a route and the credential for it.
pub struct Admitted {
    pub layer: Layer,
    pub audience: Audience,
    pub route: &'static Route,
    pub path_values: Vec<String>,
    pub credential: Credential,
    pub workspace: Option<Lease>,
}

impl Service {
    /// Finds an operation of the server. It is available on any host.
    pub fn operation(&self, head: &Parts, log: &mut RequestLog) -> Result<Option<Admitted>> {
        let path = head.uri.path();
        let found = self.router.at_root(path).filter(|found| found.audience == Audience::Operators);
        let Some(found) = found.filter(|_| path != operations::METRICS || self.instance.config.metrics) else {
            return Ok(None);
        };
        log.at_root(found.path());
        Ok(Some(Admitted {
            layer: Layer::Central,
            audience: found.audience,
            route: found.route(&head.method)?,
            path_values: Vec::new(),
            credential: Credential::None,
            workspace: None,
        }))
    }

    /// Finds the route, authenticates the request and opens the workspace.
    pub fn admit(
        &self,
        head: &Parts,
        tenant: Host,
        address: &Address,
        is_by_node: bool,
        now: Timestamp,
        log: &mut RequestLog,
    ) -> Result<Admission> {
        let mut directory = self.instance.directory.current(&self.instance.keys)?;
        let Some(mut routed) = self.route(head, &tenant, &address.path, &mut directory, log)? else {
            return Ok(Admission::Preflight);
        };
        let credential = self.authenticate(head, address, &mut routed, &mut directory, now, log)?;
        if routed.audience == Audience::People
            && routed.route.needs != Needs::Anyone
            && matches!(credential, Credential::None)
        {
            if !pages::interrupted_form::is_interrupted(head, routed.route) {
                return Ok(Admission::SignIn);
            }
            routed.route = self
                .router
                .route(routed.layer, &Method::POST, pages::interrupted_form::PATH)
                .ok_or_else(route_not_found)?;
            routed.path_values.clear();
        }
        let workspace = match self.workspace(&routed, &credential, &mut directory, log)? {
            Some(listed) if !self.serves(listed.id, is_by_node)? => {
                return Ok(Admission::Elsewhere(routed.route, listed.id));
            }
            listed => listed.map(|listed| self.instance.registry.lease_of(listed.id, listed.owner)),
        };
        let Routed { layer, audience, route, path_values, .. } = routed;
        Ok(Admission::Request(Admitted { layer, audience, route, path_values, credential, workspace }))
    }

    /// Finds the route. `None` for a CORS preflight.
    fn route(
        &self,
        head: &Parts,
        tenant: &Host,
        path: &str,
        directory: &mut Current<'_>,
        log: &mut RequestLog,
    ) -> Result<Option<Routed>> {
        let named = match tenant {
            Host::Central => None,
            Host::Workspace(label) => Some(require_served(directory.by_subdomain(label)?)?),
        };
        if let Some(listed) = &named {
            log.in_workspace(listed.id);
            log.named(&listed.subdomain);
        }
        let layer = if named.is_some() { Layer::Workspace } else { Layer::Central };

        let (path, is_api) = address::api_path(path);
        if let Some(found) = self.router.at_root(path).filter(|found| !is_api && found.audience == Audience::People) {
            // A page at the root is shown for any method.
            let (audience, route) = (found.audience, found.route(&Method::GET)?);
            let path_values = Vec::new();
            return Ok(Some(Routed { layer, audience, route, path_values, named, from_central: false }));
        }
        let (layer, matched) = match self.router.find(layer, path) {
            Some(matched) => (layer, matched),
            // On the central host, a workspace token may use routes that only a workspace has.
            None => (Layer::Workspace, self.router.find(Layer::Workspace, path).ok_or_else(route_not_found)?),
        };
        if cors::is_preflight(&self.instance.config, head) {
            return Ok(None);
        }
        let route = matched.route(&head.method)?;
        log.routed(layer, route);
        let path_values = matched.values.iter().map(|value| api::decode(value)).collect();
        let from_central = layer == Layer::Workspace && named.is_none();
        if from_central && (route.needs == Needs::Anyone || matched.audience == Audience::People) {
            return Err(route_not_found());
        }
        Ok(Some(Routed { layer, audience: matched.audience, route, path_values, named, from_central }))
    }

    /// Reads the credential: the session of a page, or the bearer credential of any other route. A workspace token on
    /// the central host may lead to the workspace's route.
    fn authenticate(
        &self,
        head: &Parts,
        address: &Address,
        routed: &mut Routed,
        directory: &mut Current<'_>,
        now: Timestamp,
        log: &mut RequestLog,
    ) -> Result<Credential> {
        match (routed.audience, &routed.named) {
            (Audience::People, listed) => {
                let scope = TokenScope::from(listed.as_ref().map(|listed| listed.id));
                return pages::session(&head.headers, address, scope, directory, now);
            }
            (Audience::Programs, _) if routed.route.needs != Needs::Anyone => {}
            _ => return Ok(Credential::None),
        }
        let credential = self.credential(bearer(&head.headers)?, directory, now, log)?;
        if routed.route.follows_token && routed.named.is_none() && credential.is_of_workspace() {
            let (path, _) = address::api_path(&address.path);
            let own = self.router.find(Layer::Workspace, path).ok_or_else(route_not_found)?;
            (routed.layer, routed.route, routed.from_central) = (Layer::Workspace, own.route(&head.method)?, true);
        }
        Ok(credential)
    }

    /// Checks that the credential is valid for the route, and finds the workspace.
    fn workspace(
        &self,
        routed: &Routed,
        credential: &Credential,
        directory: &mut Current<'_>,
        log: &mut RequestLog,
    ) -> Result<Option<WorkspaceEntry>> {
        let workspace = match (&routed.named, credential) {
            (Some(listed), _) => Some(listed.id),
            (None, Credential::Token(token)) if routed.from_central => token.scope.workspace(),
            (None, Credential::Client(token)) if routed.from_central => Some(token.workspace),
            (None, _) => None,
        };
        routed.route.admits(routed.audience, routed.layer, credential, workspace).map_err(Error::Token)?;
        Ok(match (&routed.named, workspace) {
            (None, Some(id)) => {
                log.in_workspace(id);
                let listed = require_served(directory.by_id(id)?)?;
                log.named(&listed.subdomain);
                Some(listed)
            }
            (named, _) => named.clone(),
        })
    }

    /// Parses a bearer credential: a valid token, or the digest of a key, which is looked up later in the workspace's
    /// file.
    fn credential(
        &self,
        text: &str,
        directory: &mut Current<'_>,
        now: Timestamp,
        log: &mut RequestLog,
    ) -> Result<Credential> {
        if text.starts_with(KEY_PREFIX) {
            return Ok(Credential::Key(secret::digest(text)));
        }
        if text.starts_with(CALL_FLOW_PREFIX) {
            return Ok(Credential::CallFlow(secret::digest(text)));
        }
        match directory.bearer(text, now)?.map_err(Error::Token)? {
            Bearer::Person(token) => {
                log.by_account(&token);
                Ok(Credential::Token(token))
            }
            Bearer::Client(token) => Ok(Credential::Client(token)),
        }
    }
}

/// The workspace, if it exists and is in service.
fn require_served(found: Option<WorkspaceEntry>) -> Result<WorkspaceEntry> {
    let listed = found.ok_or_else(Error::workspace_not_found)?;
    require_active(Some(listed.clone()))?;
    Ok(listed)
}

fn route_not_found() -> Error {
    Error::NotFound { code: "route_not_found", message: "No such path. /docs lists all paths.".into() }
}

/// The token of an `Authorization: Bearer` header (RFC 6750, 2.1). Two headers are rejected, since others may have read
/// the other one.
fn bearer(headers: &HeaderMap) -> Result<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::Token(TokenFault::Missing))?;
    if values.next().is_some() {
        return Err(Error::Token(TokenFault::Invalid));
    }
    let text = value.to_str().map_err(|_| Error::Token(TokenFault::Invalid))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Error::Token(TokenFault::Invalid)),
    }
}
