//! Limits the response to a change. A caller may have the permission to change a resource without the permission to
//! view it. The response then contains only the id, the submitted fields as they are now, and a secret that is shown
//! once.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};

use super::access::{Layer, Needs};
use super::error::{Error, Result};
use super::request::Request;
use super::response::{ApiResponse, Content};
use super::route::Route;
use super::router::Router;
use crate::auth::Caller;

/// Secrets that only the response to the change contains.
const SHOWN_ONCE: [&str; 2] = ["key", "client_secret"];

/// The permission to view the changed resource, if it differs from the permission to change it. A caller may always see
/// what it has just created.
pub fn needed_to_view(router: &Router, layer: Layer, route: &Route) -> Option<&'static str> {
    let changes = route.method == Method::PUT || (route.method == Method::POST && route.path.contains("{id}"));
    if layer != Layer::Workspace || !changes {
        return None;
    }
    let needed = router.list_of(layer, route)?.needs.permission();
    needed.filter(|needed| Some(*needed) != route.needs.permission())
}

/// Whether the caller may see the whole response.
pub fn is_complete(route: &Route, request: &Request, caller: &Caller) -> bool {
    let Caller::Principal(principal) = caller else { return true };
    let in_path = || request.path_values.first().and_then(|id| id.parse().ok());
    let is_oneself = || {
        matches!(request.needs, Needs::Self_(_)) && principal.user_id().is_some() && in_path() == principal.user_id()
    };
    needed_to_view(&request.router, request.layer, route)
        .is_none_or(|needed| principal.has_permission(needed) || is_oneself())
}

/// The response, limited to what a caller may see who has the permission to change the resource, and not to view it.
pub fn redact(request: &Request, mut answer: ApiResponse) -> Result<ApiResponse> {
    if let Content::Full(body) = answer.body()
        && let Ok(Value::Object(whole)) = serde_json::from_slice(body)
    {
        let sent: Map<String, Value> = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_shown = |name: &str| name == "id" || SHOWN_ONCE.contains(&name) || sent.contains_key(name);
        let shown: Map<String, Value> = whole.into_iter().filter(|(name, _)| is_shown(name)).collect();
        let text = serde_json::to_vec(&shown).map_err(|error| Error::Internal(error.to_string()))?;
        *answer.body_mut() = Content::Full(Bytes::from(text));
    }
    Ok(answer)
}
