//! Matches a path to its routes, with one table per layer.

use http::Method;

use super::error::{Error, Result};
use super::resource::Resource;
use super::route::{Layer, Route};
use crate::executors::Place;

/// The routes of both layers. Literal segments take precedence over `{id}`.
pub struct Router {
    central: Table,
    workspace: Table,
}

struct Table {
    paths: matchit::Router<Vec<&'static Route>>,
    resources: Vec<Resource>,
}

/// The routes of one path, and the values in it.
pub struct Matched<'r, 'p> {
    routes: &'r [&'static Route],
    pub values: Vec<&'p str>,
}

impl Router {
    /// Rejects a table in which two routes have the same method and path.
    pub fn new(central: &[Resource], workspace: &[Resource]) -> anyhow::Result<Self> {
        Ok(Self { central: Table::new(central)?, workspace: Table::new(workspace)? })
    }

    pub fn resources(&self, layer: Layer) -> &[Resource] {
        &self.table(layer).resources
    }

    pub fn routes(&self, layer: Layer) -> impl Iterator<Item = &'static Route> {
        self.resources(layer).iter().flat_map(|resource| resource.routes)
    }

    pub fn find<'p>(&self, layer: Layer, path: &'p str) -> Option<Matched<'_, 'p>> {
        let found = self.table(layer).paths.at(path).ok()?;
        Some(Matched { routes: found.value, values: found.params.iter().map(|(_, value)| value).collect() })
    }

    /// The route that shows the resource which a route changes or deletes: `GET` of the same path, in a turn of the
    /// same file.
    pub fn shows(&self, layer: Layer, route: &Route) -> Option<&'static Route> {
        self.routes(layer).find(|other| {
            let handler = other.handler;
            other.method == Method::GET
                && other.path == route.path
                && handler.place() == Place::Turn
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
        let routes: Vec<&'static Route> = resources.iter().flat_map(|resource| resource.routes).collect();
        let mut paths = matchit::Router::new();
        for route in &routes {
            let beside: Vec<_> = routes.iter().copied().filter(|other| other.path == route.path).collect();
            if beside.iter().filter(|other| other.method == route.method).count() > 1 {
                anyhow::bail!("{} {} is in the table twice", route.method, route.path);
            }
            if std::ptr::eq(beside[0], *route) {
                paths.insert(route.path, beside)?;
            }
        }
        Ok(Self { paths, resources: resources.to_vec() })
    }
}

impl Matched<'_, '_> {
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
