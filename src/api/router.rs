//! Matches a path to its routes, with one table per layer.

use std::collections::BTreeMap;

use http::Method;

use super::access::Audience;
use super::access::Layer;
use super::error::{Error, Result};
use super::resource::Resource;
use super::route::Route;
use crate::executors::Executor;

/// The routes of both layers, and those at the root of every host. Literal segments take precedence over `{id}`.
pub struct Router {
    central: Table,
    workspace: Table,
    root: Table,
}

struct Table {
    paths: matchit::Router<(Audience, Vec<&'static Route>)>,
    resources: Vec<Resource>,
}

/// The routes of one path, and the values in it.
pub struct RouteMatch<'r, 'p> {
    pub audience: Audience,
    routes: &'r [&'static Route],
    pub values: Vec<&'p str>,
}

impl Router {
    /// Rejects a table in which two routes have the same method and path.
    pub fn new(central: &[Resource], workspace: &[Resource]) -> anyhow::Result<Self> {
        Ok(Self { central: Table::new(central)?, workspace: Table::new(workspace)?, root: Table::new(&[])? })
    }

    /// Adds routes whose path is never below `/api`.
    pub fn with_root(self, resources: &[Resource]) -> anyhow::Result<Self> {
        Ok(Self { root: Table::new(resources)?, ..self })
    }

    pub fn resources(&self, layer: Layer) -> &[Resource] {
        &self.table(layer).resources
    }

    pub fn routes(&self, layer: Layer) -> impl Iterator<Item = &'static Route> {
        self.resources(layer).iter().flat_map(|resource| resource.routes)
    }

    /// The route with this path in the table.
    pub fn route(&self, layer: Layer, method: &Method, path: &str) -> Option<&'static Route> {
        self.routes(layer).find(|route| route.path == path && route.method == *method)
    }

    /// The resources whose paths are never below `/api`.
    pub fn root_resources(&self) -> &[Resource] {
        &self.root.resources
    }

    pub fn root_routes(&self) -> impl Iterator<Item = &'static Route> {
        self.root_resources().iter().flat_map(|resource| resource.routes)
    }

    /// Finds a path that is the same with and without `/api`.
    pub fn find<'p>(&self, layer: Layer, path: &'p str) -> Option<RouteMatch<'_, 'p>> {
        self.table(layer).find(path)
    }

    /// Finds a path that is never below `/api`.
    pub fn at_root<'p>(&self, path: &'p str) -> Option<RouteMatch<'_, 'p>> {
        self.root.find(path)
    }

    /// The route that shows the resource which a route changes or deletes: `GET` of the same path, in a turn of the
    /// same file.
    pub fn show_route(&self, layer: Layer, route: &Route) -> Option<&'static Route> {
        self.routes(layer).find(|other| {
            let handler = other.handler;
            other.method == Method::GET
                && other.path == route.changes.unwrap_or(route.path)
                && handler.executor() == Executor::Transaction
                && handler.resource().is_some()
        })
    }

    /// The route that lists the resources which a route changes: `GET` of the first part of its path.
    pub fn list_of(&self, layer: Layer, route: &Route) -> Option<&'static Route> {
        let list = route.path.split("/{id}").next()?;
        self.routes(layer).find(|other| other.method == Method::GET && other.path == list)
    }

    fn table(&self, layer: Layer) -> &Table {
        match layer {
            Layer::Central => &self.central,
            Layer::Workspace => &self.workspace,
        }
    }
}

impl Table {
    fn new(resources: &[Resource]) -> anyhow::Result<Self> {
        let mut by_path: BTreeMap<&'static str, (Audience, Vec<&'static Route>)> = BTreeMap::new();
        for resource in resources {
            for route in resource.routes {
                let (audience, routes) = by_path.entry(route.path).or_insert((resource.audience, Vec::new()));
                if routes.iter().any(|other| other.method == route.method) {
                    anyhow::bail!("{} {} is in the table twice", route.method, route.path);
                }
                if *audience != resource.audience {
                    anyhow::bail!("{} has routes for more than one audience", route.path);
                }
                routes.push(route);
            }
        }
        let mut paths = matchit::Router::new();
        for (path, found) in by_path {
            paths.insert(path, found)?;
        }
        Ok(Self { paths, resources: resources.to_vec() })
    }

    fn find<'p>(&self, path: &'p str) -> Option<RouteMatch<'_, 'p>> {
        let found = self.paths.at(path).ok()?;
        let (audience, routes) = found.value;
        let values = found.params.iter().map(|(_, value)| value).collect();
        Some(RouteMatch { audience: *audience, routes, values })
    }
}

impl RouteMatch<'_, '_> {
    /// The path in the table.
    pub fn path(&self) -> &'static str {
        self.routes[0].path
    }

    /// The route for a method. `HEAD` is `GET` without the body.
    pub fn route(&self, method: &Method) -> Result<&'static Route> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let route = self.routes.iter().find(|route| route.method == method);
        route.copied().ok_or_else(|| Error::MethodNotAllowed(self.methods()))
    }

    /// The methods of the path, for `Allow`.
    pub fn methods(&self) -> String {
        let mut methods: Vec<&str> = self.routes.iter().map(|route| route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }
}
