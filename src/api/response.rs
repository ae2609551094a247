//! Replies: the type of a reply declares its status and shape.

use std::any::TypeId;
use std::fs::File;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{Error, Result};
use super::openapi::Operation;
use super::request::Request;
use crate::values::{Language, json};

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// A response, as the server sends it.
pub type ApiResponse = Response<Content>;

/// The body of a response.
pub enum Content {
    Full(Bytes),
    /// The beginning, and the source of the rest.
    Stream(Bytes, Box<dyn ByteStream>),
    /// The contents of a file.
    File(File),
    /// Server-Sent Events from this position on, without an end.
    Events(EventPosition),
}

/// A position in the audit log of a workspace, by ids of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPosition {
    /// Events after this entry are sent.
    pub after: i64,
    /// The newest entry.
    pub newest: i64,
}

/// The rest of a long body, one piece per read turn. A slow client holds no turn, no thread and no transaction.
pub trait ByteStream: Send {
    /// The next piece, or `None` at the end.
    fn next(&mut self, db: &Connection) -> Result<Option<Bytes>>;
}

/// A value that a handler may return.
pub trait IntoResponse {
    /// The type of the resource, if the reply is a whole resource.
    fn resource() -> Option<TypeId> {
        None
    }

    fn into_response(self, request: &Request) -> Result<ApiResponse>;
    fn describe(operation: &mut Operation<'_>);
}

/// 200 with the value as JSON.
pub struct Ok200<T>(pub T);

/// 201 with the value as JSON, after a create or an update.
pub struct Saved<T>(pub T);

/// 202 with the value as JSON. The work that the request began goes on.
pub struct Accepted<T>(pub T);

/// 200 `{"response":"ok"}`.
pub struct Done;

/// 200 `{"response":"ok","deleted":n}`.
pub struct Deleted(pub usize);

/// 200 with JSON whose schema is described elsewhere.
pub struct Json200(pub serde_json::Value);

/// 200 with a file to download.
pub struct FileResponse {
    pub file: File,
    /// The media type.
    pub kind: &'static str,
    pub name: String,
}

/// 200 with a text.
pub struct PlainText(pub String);

/// 200 with Server-Sent Events (HTML Living Standard, 9.2).
pub struct EventStream(pub EventPosition);

/// 200 with an XML document to download.
pub struct Xml {
    pub name: &'static str,
    pub text: String,
}

/// An HTML page.
pub struct Html {
    status: StatusCode,
    language: Language,
    text: String,
    cookie: Option<String>,
    /// Another origin that the page's form may redirect to.
    leads_to: Option<String>,
    has_own_style: bool,
    /// Whether the page has the script of the console, and the browser may keep it for the Back button.
    is_of_console: bool,
    is_secret: bool,
}

/// 200 with a file that is compiled into the program: a stylesheet, a script, an icon.
pub struct StaticAsset {
    pub text: &'static str,
    pub media_type: &'static str,
    /// Whether the content at this URL never changes.
    pub is_for_ever: bool,
}

/// The response of another route, unchanged.
pub struct Relayed(pub ApiResponse);

/// 303 to another page.
pub struct Redirect {
    to: String,
    cookies: Vec<String>,
    clears_cache: bool,
}

/// The response to a form of a page: a page or a redirect.
pub enum PageOrRedirect {
    Page(Html),
    Redirect(Redirect),
    /// The response of another page.
    Relayed(Relayed),
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Done")]
struct DoneSchema {
    /// Always `ok`.
    response: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deleted")]
struct DeletedSchema {
    /// Always `ok`.
    response: &'static str,
    /// Number of rows deleted.
    deleted: usize,
}

/// Renders a template.
pub fn render(template: &impl askama::Template) -> Result<String> {
    template.render().map_err(|error| Error::Internal(error.to_string()))
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Result<ApiResponse> {
    let body = json::to_vec(value).map_err(|error| Error::Internal(error.to_string()))?;
    let mut response = Response::new(Content::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl<T: Serialize + JsonSchema + 'static> IntoResponse for Ok200<T> {
    fn resource() -> Option<TypeId> {
        Some(TypeId::of::<T>())
    }

    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(StatusCode::OK, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<T>(StatusCode::OK);
    }
}

impl<T: Serialize + JsonSchema + 'static> IntoResponse for Saved<T> {
    fn resource() -> Option<TypeId> {
        Some(TypeId::of::<T>())
    }

    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(StatusCode::CREATED, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<T>(StatusCode::CREATED);
    }
}

impl<T: Serialize + JsonSchema + 'static> IntoResponse for Accepted<T> {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(StatusCode::ACCEPTED, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<T>(StatusCode::ACCEPTED);
    }
}

impl IntoResponse for Done {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(StatusCode::OK, &DoneSchema { response: "ok" })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<DoneSchema>(StatusCode::OK);
    }
}

impl IntoResponse for Deleted {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(StatusCode::OK, &DeletedSchema { response: "ok", deleted: self.0 })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<DeletedSchema>(StatusCode::OK);
    }
}

impl IntoResponse for Json200 {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(StatusCode::OK, &self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.any_json_response(StatusCode::OK);
    }
}

impl IntoResponse for FileResponse {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let unreadable = |error: std::io::Error| Error::Internal(error.to_string());
        let length = self.file.metadata().map_err(unreadable)?.len();
        let mut answer = Response::new(Content::File(self.file));
        let name = attachment(&self.name)?;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CONTENT_DISPOSITION, name);
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.file_response(StatusCode::OK);
    }
}

impl IntoResponse for PlainText {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let mut answer = Response::new(Content::Full(self.0.into()));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.text(StatusCode::OK);
    }
}

impl IntoResponse for EventStream {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let mut answer = Response::new(Content::Events(self.0));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        // nginx would otherwise collect events before it passes them on.
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.events(StatusCode::OK);
        operation.error_response(StatusCode::TOO_MANY_REQUESTS);
    }
}

impl IntoResponse for Xml {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let mut answer = Response::new(Content::Full(self.text.into()));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert(header::CONTENT_DISPOSITION, attachment(self.name)?);
        Ok(answer)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.xml(StatusCode::OK);
    }
}

/// A `Content-Disposition` header with a file name.
fn attachment(name: &str) -> Result<HeaderValue> {
    let name = format!("attachment; filename=\"{name}\"");
    HeaderValue::try_from(name).map_err(|error| Error::Internal(error.to_string()))
}

impl Html {
    pub fn ok(language: Language, text: String) -> Self {
        Self::new(StatusCode::OK, language, text)
    }

    pub fn new(status: StatusCode, language: Language, text: String) -> Self {
        Self {
            status,
            language,
            text,
            cookie: None,
            leads_to: None,
            has_own_style: false,
            is_of_console: false,
            is_secret: false,
        }
    }

    /// Allows an inline style in the page.
    #[must_use]
    pub fn with_own_style(self) -> Self {
        Self { has_own_style: true, ..self }
    }

    /// Allows the script of the console, and lets the browser keep the page for the Back button.
    #[must_use]
    pub fn of_console(self) -> Self {
        Self { is_of_console: true, ..self }
    }

    /// Forbids every cache to store the page.
    #[must_use]
    pub fn never_stored(self) -> Self {
        Self { is_secret: true, ..self }
    }

    /// Sets a cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: Option<impl ToString>) -> Self {
        Self { cookie: cookie.map(|cookie| cookie.to_string()), ..self }
    }

    /// Allows the response to the form to redirect to another origin. Browsers block that otherwise.
    #[must_use]
    pub fn leading_to(self, origin: Option<String>) -> Self {
        Self { leads_to: origin, ..self }
    }

    /// The response. Pages are written for a separate host. If the path names the workspace, all addresses get that
    /// prefix. No value in a page can look like an attribute, because quotes are escaped.
    pub fn response(self, prefix: &str) -> Result<Response<Bytes>> {
        let text = match prefix {
            "" => self.text,
            prefix => with_prefix(self.text, prefix),
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = self.status;
        set_cookies(response.headers_mut(), self.cookie)?;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        // The page may have what is from this host: a style, and in the console a script. No frame, no other origin.
        let policy = format!(
            "default-src 'none'; style-src {}; img-src 'self';{} form-action 'self'{}; base-uri 'none'; frame-ancestors 'none'",
            if self.has_own_style { "'unsafe-inline'" } else { "'self'" },
            if self.is_of_console { " script-src 'self'; connect-src 'self';" } else { "" },
            self.leads_to.map(|origin| format!(" {origin}")).unwrap_or_default()
        );
        headers.insert(header::CONTENT_SECURITY_POLICY, header_value(policy)?);
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        // The URL of a page may contain a code.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let kept = if self.is_of_console && !self.is_secret { "private, no-cache" } else { "no-store" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(self.language.tag()));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
        Ok(response)
    }
}

impl Redirect {
    pub fn to(to: impl Into<String>) -> Self {
        Self { to: to.into(), cookies: Vec::new(), clears_cache: false }
    }

    /// Sets a cookie, besides those that are set already.
    #[must_use]
    pub fn with_cookie(mut self, cookie: Option<impl ToString>) -> Self {
        self.cookies.extend(cookie.map(|cookie| cookie.to_string()));
        self
    }

    /// Makes the browser forget the pages that it keeps for its Back button. Browsers do that under https only.
    #[must_use]
    pub fn clearing_cache(self) -> Self {
        Self { clears_cache: true, ..self }
    }

    /// The response. A path is relative to the workspace's own host.
    pub fn response(self, prefix: &str) -> Result<Response<Bytes>> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        set_cookies(response.headers_mut(), self.cookies)?;
        let to = if self.to.starts_with('/') { format!("{prefix}{}", self.to) } else { self.to };
        response.headers_mut().insert(header::LOCATION, header_value(to)?);
        // The location may contain a code and belongs to one visitor.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if self.clears_cache {
            response.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
        }
        Ok(response)
    }
}

/// Adds the prefix to every address on this host.
fn with_prefix(text: String, prefix: &str) -> String {
    let attributes = ["action", "href", "src", "data-lookup"];
    attributes.iter().fold(text, |text, name| text.replace(&format!("{name}=\"/"), &format!("{name}=\"{prefix}/")))
}

fn header_value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|error| Error::Internal(error.to_string()))
}

fn set_cookies(headers: &mut HeaderMap, cookies: impl IntoIterator<Item = String>) -> Result<()> {
    for cookie in cookies {
        headers.append(header::SET_COOKIE, header_value(cookie)?);
    }
    Ok(())
}

impl IntoResponse for Html {
    fn into_response(self, request: &Request) -> Result<ApiResponse> {
        Ok(self.response(&request.address.prefix)?.map(Content::Full))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}

impl IntoResponse for Relayed {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        Ok(self.0)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.file_response(StatusCode::OK);
    }
}

impl IntoResponse for StaticAsset {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        let mut response = Response::new(Content::Full(Bytes::from_static(self.text.as_bytes())));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        let kept = if self.is_for_ever { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
        Ok(response)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}

impl IntoResponse for Redirect {
    fn into_response(self, request: &Request) -> Result<ApiResponse> {
        Ok(self.response(&request.address.prefix)?.map(Content::Full))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}

impl IntoResponse for PageOrRedirect {
    fn into_response(self, request: &Request) -> Result<ApiResponse> {
        match self {
            Self::Page(page) => page.into_response(request),
            Self::Redirect(redirect) => redirect.into_response(request),
            Self::Relayed(response) => response.into_response(request),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.page_response();
    }
}
