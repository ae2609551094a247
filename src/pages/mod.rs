//! What people read: what this server is, the description of its API, that description as a page, and mails.

mod docs;
pub mod mails;

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{
    Html, Json200, Layer, Needs, Ok200, Redirect, Resource, Result, Route, Steps, get, here, openapi, steps,
};

/// The same on both layers.
pub const RESOURCE: Resource = Resource { name: "Server", routes: ROUTES };

const ROUTES: &[Route] = &[
    get("/", &here(about), Needs::Anyone, "What this server is"),
    get("/openapi.json", &steps(description), Needs::Anyone, "This description, as OpenAPI 3.1"),
    get("/docs", &steps(documentation), Needs::Anyone, "This description, as a page"),
];

/// What a browser asks for at the root of a host, where there is no `/api`.
pub static FRONT_DOOR: Route = get("/", &here(front_door), Needs::Anyone, "Where a browser is sent");

#[derive(Debug, Serialize, JsonSchema)]
pub struct About {
    name: &'static str,
    version: &'static str,
    /// `central` or `workspace`.
    layer: &'static str,
}

fn about(steps: &Steps<'_>) -> Result<Ok200<About>> {
    Ok(Ok200(About { name: "cx-engine", version: env!("CARGO_PKG_VERSION"), layer: steps.call.layer.name() }))
}

fn description(steps: &Steps<'_>) -> Result<Json200> {
    Ok(Json200(openapi::document(&steps.call.router, steps.call.layer)))
}

fn documentation(steps: &Steps<'_>) -> Result<Html> {
    let layer: Layer = steps.call.layer;
    docs::page(&openapi::document(&steps.call.router, layer), layer).map(Html)
}

fn front_door(_: &Steps<'_>) -> Result<Redirect> {
    Ok(Redirect("/docs"))
}
