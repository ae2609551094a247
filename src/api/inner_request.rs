//! A request that a page sends to a route of the API, inside the program and as the signed-in person. The page has no
//! right and no rule of its own: the route checks permissions, conditions and idempotency, and writes the audit row.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rusqlite::Connection;
use serde_json::Value;

use super::access::Audience;
use super::error::{Error, Result};
use super::execute::{self, RoutedRequest};
use super::handler::{BlockingCtx, Ctx};
use super::media_type::{Format, MediaType};
use super::request::Request;
use super::response::{ApiResponse, Content};
use super::route::Route;
use crate::auth::Credential;
use crate::executors::Executor;

/// A request to a route of the layer of the page.
#[derive(Clone)]
pub struct InnerRequest {
    method: Method,
    /// The path in the route table: `{id}` stands for a value.
    path: &'static str,
    values: Vec<String>,
    query: String,
    /// The body, and its media type.
    body: Option<(Bytes, MediaType)>,
    headers: HeaderMap,
}

/// The response to an inner request.
#[derive(Debug)]
pub struct InnerResponse {
    pub status: StatusCode,
    /// The tag of the resource, as a header has it.
    pub etag: Option<String>,
    pub body: Value,
}

impl InnerRequest {
    /// A request to this route.
    pub fn to(route: &Route) -> Self {
        Self::new(route.method.clone(), route.path)
    }

    pub fn get(path: &'static str) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: &'static str, body: Value) -> Self {
        Self::new(Method::POST, path).with_body(body)
    }

    pub fn put(path: &'static str, body: Value) -> Self {
        Self::new(Method::PUT, path).with_body(body)
    }

    pub fn delete(path: &'static str) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, path: &'static str) -> Self {
        Self { method, path, values: Vec::new(), query: String::new(), body: None, headers: HeaderMap::new() }
    }

    /// Adds a value for the next `{…}` of the path.
    #[must_use]
    pub fn at(mut self, value: impl ToString) -> Self {
        self.values.push(value.to_string());
        self
    }

    /// Sets the query, encoded and without its question mark.
    #[must_use]
    pub fn with_query(self, query: String) -> Self {
        Self { query, ..self }
    }

    #[must_use]
    pub fn with_body(self, body: Value) -> Self {
        Self { body: Some((Bytes::from(body.to_string()), MediaType::Json)), ..self }
    }

    /// Sends a file as the body.
    #[must_use]
    pub fn with_file(self, text: Bytes, format: Format) -> Self {
        let kind = if format == Format::Csv { MediaType::Csv } else { MediaType::Json };
        Self { body: Some((text, kind)), ..self }
    }

    /// Adds a header. A value that no header can have is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The request as the router would hand it to the route.
    fn routed(self, page: &Request) -> Result<RoutedRequest> {
        let route = page.router.route(page.layer, &self.method, self.path);
        let route = route.ok_or_else(|| Error::Internal(format!("no route {} {}", self.method, self.path)))?;
        let mut headers = self.headers;
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE] {
            headers.extend(page.headers.get(&name).cloned().map(|value| (name, value)));
        }
        let (body, sent_as) = self.body.map(|(body, kind)| (body, Some(kind))).unwrap_or_default();
        let mut address = page.address.clone();
        address.path = self.path.to_owned();
        let credential = match &page.credential {
            Credential::Session(token) => Credential::Token(Arc::clone(token)),
            other => other.clone(),
        };
        let time_zone = page.time_zone.clone();
        let texts_indexed = page.texts_indexed.clone();
        let request = Request {
            instance: Arc::clone(&page.instance),
            router: Arc::clone(&page.router),
            method: self.method,
            route_path: route.path,
            needs: route.needs,
            accepts: route.handler.body(),
            has_form_key: route.has_form_key,
            audience: Audience::Programs,
            layer: page.layer,
            path_values: self.values,
            query: self.query,
            body,
            form: None,
            sent_as,
            headers,
            credential,
            workspace: page.workspace.clone(),
            address,
            time_zone,
            workspace_language: OnceLock::new(),
            texts_indexed,
            client: page.client,
            id: page.id,
            now: page.now,
        };
        Ok(RoutedRequest { request: Arc::new(request), route })
    }
}

impl Ctx<'_> {
    /// Runs the request in this turn.
    pub fn send(&self, inner: InnerRequest) -> Result<InnerResponse> {
        InnerResponse::of(&self.send_for_stream(inner)?)
    }

    /// Runs the request in this turn. Returns the response as it is: a file, for example.
    pub fn send_for_stream(&self, inner: InnerRequest) -> Result<ApiResponse> {
        run_in_turn(&inner.routed(self.request)?, self.db)
    }
}

impl BlockingCtx<'_> {
    /// Runs the request where its route runs: in a turn, or on this thread.
    pub fn send(&self, inner: InnerRequest) -> Result<InnerResponse> {
        InnerResponse::of(&self.send_for_stream(inner)?)
    }

    /// Runs the request where its route runs. Returns the response as it is: a file, for example.
    pub fn send_for_stream(&self, inner: InnerRequest) -> Result<ApiResponse> {
        let routed = inner.routed(self.request)?;
        if routed.route.handler.executor() != Executor::Transaction {
            let inputs = routed.route.handler.read(&routed.request);
            return execute::outside_transaction(&routed, inputs);
        }
        let file = Arc::clone(routed.request.file());
        if routed.request.method == Method::GET {
            file.read(move |db| run_in_turn(&routed, db))
        } else {
            file.write(move |db| run_in_turn(&routed, db))
        }
    }

    /// Runs changes in one write turn: all of them or none. Their routes run in turns.
    pub fn send_all(&self, inner: Vec<InnerRequest>) -> Result<()> {
        let all = inner.into_iter().map(|inner| inner.routed(self.request)).collect::<Result<Vec<_>>>()?;
        self.request.file().write(move |db| {
            for routed in &all {
                run_in_turn(routed, db)?;
            }
            Ok(())
        })
    }
}

fn run_in_turn(routed: &RoutedRequest, db: &Connection) -> Result<ApiResponse> {
    if routed.route.handler.executor() != Executor::Transaction {
        return Err(Error::Internal(format!("{} does not run in a turn", routed.route.path)));
    }
    execute::in_transaction(routed, routed.route.handler.read(&routed.request), db)
}

impl InnerResponse {
    fn of(response: &ApiResponse) -> Result<Self> {
        let Content::Full(body) = response.body() else {
            return Err(Error::Internal("a page read a file as JSON".into()));
        };
        let etag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let body = serde_json::from_slice(body).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self { status: response.status(), etag: etag.map(str::to_owned), body })
    }
}
