//! What may go wrong, as a client is told it: one variant for each thing a client can do about it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::input::Body;
use crate::auth::{Throttled, TokenFault};
use crate::storage::{Ailment, Fault};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone)]
pub enum Error {
    /// The body is not JSON.
    MalformedJson(String),
    /// The request itself is not as HTTP wants it.
    BadRequest(&'static str),
    /// Parameters that break their rules: a sentence each.
    Invalid(Vec<String>),
    /// Rows of a file that break their rules: what is wrong with the first of them, a row each, and how many they are.
    BadRows {
        hint: Vec<String>,
        count: usize,
    },
    /// There is no token, or not one that is good here.
    Token(TokenFault),
    InvalidCredentials,
    /// The password was right, and the account has a second factor: the challenge to answer with a code.
    SecondFactorRequired(String),
    /// The code of a second factor is wrong, or was used.
    WrongCode,
    /// The challenge of a login never was, is too old, or has seen too many codes.
    WrongChallenge,
    /// Known, and not permitted.
    Forbidden {
        code: &'static str,
        message: String,
    },
    MissingPermission(Cow<'static, str>),
    NotFound {
        code: &'static str,
        message: String,
    },
    /// The path exists, the method does not; those that do.
    MethodNotAllowed(String),
    BodyTimeout,
    /// The body is larger than so many bytes.
    TooLarge(usize),
    /// The body is not sent as what is taken.
    UnsupportedMediaType(Body),
    /// The body is packed, in whatever way.
    UnsupportedEncoding,
    /// Well-formed, but the state forbids it; the sentence blames a field where one is to blame.
    Refused {
        code: Cow<'static, str>,
        message: String,
        hint: Vec<String>,
    },
    /// Too many have failed lately; seconds until one is let through.
    TooManyRequests(i64),
    /// The resource is no longer in the state that the caller counts on.
    Stale,
    /// `If-None-Match` names the state of the resource.
    NotAbsent,
    Overloaded,
    /// Whether the caller may call from where it does hangs on these names of hosts, of which the network must be asked
    /// first.
    UnknownHosts(Vec<String>),
    /// A time of the request has no zone: the workspace's must be read first.
    NeedsZone,
    /// The disk is full. The text is for the log alone.
    StorageFull(String),
    /// The disk takes no writes. The text is for the log alone.
    ReadOnly(String),
    /// The workspace's file cannot be opened, or read. The text is for the log alone.
    Damaged(String),
    /// The same of another file: the central one, or that of a workspace which the central API was asked about.
    ServerDamaged(String),
    ShuttingDown,
    /// These threads of the server have ended.
    NotReady(Vec<String>),
    /// Not the client's doing. The text is for the log alone.
    Internal(String),
}

impl Error {
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(vec![sentence.into()])
    }

    /// What is wrong with the fields of a value: each with its sentence.
    pub fn problems(problems: Vec<(String, String)>) -> Self {
        Self::Invalid(problems.into_iter().map(|(_, sentence)| sentence).collect())
    }

    pub fn not_found() -> Self {
        Self::NotFound { code: "not_found", message: "There is no such resource.".into() }
    }

    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { code: code.into(), message: message.into(), hint: Vec::new() }
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::Forbidden { code, message: message.into() }
    }

    /// A workspace, or the server of its operators, requires a second factor that the account does not have.
    pub fn second_factor_missing() -> Self {
        Self::forbidden("second_factor_required", "This needs a second factor on your account: add one first.")
    }

    pub fn not_a_member() -> Self {
        Self::forbidden("not_a_member", "You are not a member of this workspace.")
    }

    /// A call flow asked for something else than where a call goes.
    pub fn only_looks_up() -> Self {
        Self::forbidden("forbidden", "The token of a call flow looks up where calls go, and does nothing else.")
    }

    /// A caller that sees one customer only reached for more.
    pub fn bound() -> Self {
        Self::forbidden("forbidden", "This token or key is bound to one customer, and this goes beyond it.")
    }

    pub fn customer_not_found() -> Self {
        Self::NotFound { code: "customer_not_found", message: "There is no customer with this account.".into() }
    }

    /// Whatever a call flow asks for has no place to go to.
    pub fn no_route() -> Self {
        Self::NotFound { code: "no_route", message: "Nothing says where this is to go.".into() }
    }

    pub fn workspace_not_found() -> Self {
        Self::NotFound { code: "workspace_not_found", message: "There is no such workspace.".into() }
    }

    pub fn workspace_suspended() -> Self {
        Self::forbidden("workspace_suspended", "This workspace is suspended.")
    }

    /// A value that somebody else has: 422 `{field}_taken`.
    pub fn taken(field: &str) -> Self {
        let sentence = format!("The {} has already been taken.", field.replace('_', " "));
        Self::Refused { code: format!("{field}_taken").into(), message: sentence.clone(), hint: vec![sentence] }
    }

    pub fn status(&self) -> StatusCode {
        self.status_and_code().0
    }

    pub fn code(&self) -> &str {
        self.status_and_code().1
    }

    fn status_and_code(&self) -> (StatusCode, &str) {
        match self {
            Self::MalformedJson(_) => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Invalid(_) | Self::BadRows { .. } => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Token(fault) => (StatusCode::UNAUTHORIZED, fault.code()),
            Self::InvalidCredentials => (StatusCode::UNAUTHORIZED, "invalid_credentials"),
            Self::SecondFactorRequired(_) => (StatusCode::UNAUTHORIZED, "second_factor_required"),
            Self::WrongCode => (StatusCode::UNAUTHORIZED, "invalid_code"),
            Self::WrongChallenge => (StatusCode::UNAUTHORIZED, "invalid_challenge"),
            Self::Forbidden { code, .. } => (StatusCode::FORBIDDEN, code),
            Self::MissingPermission(_) => (StatusCode::FORBIDDEN, "missing_permission"),
            Self::NotFound { code, .. } => (StatusCode::NOT_FOUND, code),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::UnsupportedEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding"),
            Self::Refused { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Stale => (StatusCode::PRECONDITION_FAILED, "stale_write"),
            Self::NotAbsent => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::Overloaded | Self::UnknownHosts(_) | Self::NeedsZone => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            Self::StorageFull(_) => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            Self::ReadOnly(_) => (StatusCode::SERVICE_UNAVAILABLE, "read_only"),
            Self::Damaged(_) => (StatusCode::SERVICE_UNAVAILABLE, "workspace_damaged"),
            Self::ServerDamaged(_) => (StatusCode::SERVICE_UNAVAILABLE, "server_damaged"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    fn message(&self) -> Cow<'_, str> {
        match self {
            Self::MalformedJson(detail) => format!("The body is not valid JSON: {detail}.").into(),
            Self::BadRequest(message) => (*message).into(),
            Self::Invalid(_) | Self::BadRows { .. } => "bad request: please check body parameters.".into(),
            Self::Token(fault) => fault.message().into(),
            Self::InvalidCredentials => "The email or the password is wrong.".into(),
            Self::SecondFactorRequired(_) => {
                "This account logs in with a second factor: send the challenge and a code.".into()
            }
            Self::WrongCode => "The code is wrong, or was used already.".into(),
            Self::WrongChallenge => "The login has expired: begin it again.".into(),
            Self::MissingPermission(name) => format!("This needs the permission {name}.").into(),
            Self::Forbidden { message, .. } | Self::NotFound { message, .. } | Self::Refused { message, .. } => {
                message.as_str().into()
            }
            Self::MethodNotAllowed(allowed) => format!("This path answers to {allowed} only.").into(),
            Self::BodyTimeout => "The body did not arrive in time.".into(),
            Self::TooLarge(limit) => format!("The body may not be larger than {limit} bytes.").into(),
            Self::UnsupportedMediaType(body) => {
                format!("The body has another media type than this path reads: send it as {}.", names(*body, " or "))
                    .into()
            }
            Self::UnsupportedEncoding => {
                "The body must be sent as it is: without a Content-Encoding, or with identity.".into()
            }
            Self::TooManyRequests(wait) => format!("Too many attempts: try again in {wait} seconds.").into(),
            Self::NotAbsent => "The resource is in a state that If-None-Match names; nothing was changed.".into(),
            Self::Stale => "This was changed meanwhile, and your change was not made: read it again.".into(),
            Self::Overloaded | Self::UnknownHosts(_) | Self::NeedsZone => {
                "Too much is going on here just now; nothing was changed. Try again shortly.".into()
            }
            Self::StorageFull(_) => "The server's disk is full; nothing was changed.".into(),
            Self::ReadOnly(_) => "The server's disk cannot be written to just now; nothing was changed.".into(),
            Self::Damaged(_) => "This workspace cannot be opened; the log says why.".into(),
            Self::ServerDamaged(_) => "A file of this server cannot be read; the log says why.".into(),
            Self::ShuttingDown => "The server is shutting down; nothing was changed. Try again shortly.".into(),
            Self::NotReady(threads) => format!("Threads of this server have ended: {}.", threads.join(", ")).into(),
            Self::Internal(_) => "Something went wrong on our side. The log has it under this request's id.".into(),
        }
    }

    /// What the log is told, and the client is not.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Internal(detail)
            | Self::StorageFull(detail)
            | Self::ReadOnly(detail)
            | Self::Damaged(detail)
            | Self::ServerDamaged(detail) => Some(detail),
            _ => None,
        }
    }

    /// The same, where what is damaged is no workspace's file, or not that of the workspace which was called.
    pub fn of_server(self) -> Self {
        match self {
            Self::Damaged(detail) => Self::ServerDamaged(detail),
            error => error,
        }
    }

    fn of_ailment(ailment: Ailment, detail: String) -> Self {
        match ailment {
            Ailment::NoRoom => Self::StorageFull(detail),
            Ailment::NotWritable => Self::ReadOnly(detail),
            Ailment::Damaged => Self::Damaged(detail),
            Ailment::NoDescriptors => Self::Overloaded,
        }
    }

    /// What a client is told, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        match self {
            Self::Invalid(hint) | Self::BadRows { hint, .. } => hint.clone(),
            _ => vec![self.message().into_owned()],
        }
    }

    fn body(&self) -> Value {
        match self {
            Self::Invalid(hint) => json!({"response": self.message(), "hint": hint}),
            Self::BadRows { hint, count } => json!({"response": self.message(), "hint": hint, "count": count}),
            Self::SecondFactorRequired(challenge) => {
                json!({"message": self.message(), "error": self.code(), "challenge": challenge})
            }
            Self::Refused { hint, .. } if !hint.is_empty() => {
                json!({"message": self.message(), "error": self.code(), "hint": hint})
            }
            _ => json!({"message": self.message(), "error": self.code()}),
        }
    }

    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.body().to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Token(_)
            | Self::InvalidCredentials
            | Self::SecondFactorRequired(_)
            | Self::WrongCode
            | Self::WrongChallenge => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What comes after such a request may be a part of it.
            Self::BadRequest(_) => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            // What would have been accepted (RFC 9110, 15.5.16).
            Self::UnsupportedMediaType(body) => {
                headers.extend(HeaderValue::try_from(names(body, ", ")).map(|names| (header::ACCEPT, names)));
            }
            Self::UnsupportedEncoding => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::MethodNotAllowed(allowed) => {
                headers.extend(HeaderValue::try_from(allowed).map(|allowed| (header::ALLOW, allowed)));
            }
            Self::TooManyRequests(wait) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            // None with 507: RFC 4918, 11.5 has it sent again only when somebody asks for it anew.
            Self::Overloaded
            | Self::UnknownHosts(_)
            | Self::NeedsZone
            | Self::ReadOnly(_)
            | Self::Damaged(_)
            | Self::ServerDamaged(_)
            | Self::ShuttingDown
            | Self::NotReady(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// The media types that a body may have.
fn names(body: Body, between: &str) -> String {
    body.types().iter().map(|kind| kind.name()).collect::<Vec<_>>().join(between)
}

/// The one place where SQLite's errors get their meaning: a broken `UNIQUE` is the client's to mend, and names its
/// column; a statement past its time or a file somebody else holds is to be tried again; a disk or a file may ail; the rest
/// is ours.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        if let Some(ailment) = Ailment::of_sqlite(&error) {
            return Self::of_ailment(ailment, error.to_string());
        }
        if let rusqlite::Error::SqliteFailure(failure, message) = &error {
            match failure.code {
                ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                    return Self::Overloaded;
                }
                ErrorCode::ConstraintViolation => {
                    let column = message
                        .as_deref()
                        .and_then(|message| message.strip_prefix("UNIQUE constraint failed: "))
                        .and_then(|columns| columns.rsplit('.').next());
                    if let Some(column) = column {
                        return Self::taken(column);
                    }
                }
                _ => {}
            }
        }
        Self::Internal(error.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Full | Fault::Uncommitted(_) => Self::Overloaded,
            Fault::Unopened(_) => Self::Damaged(fault.to_string()),
            Fault::Ailing(ailment, said) => Self::of_ailment(ailment, said),
            Fault::Panicked(_) => Self::Internal(fault.to_string()),
        }
    }
}

impl From<Throttled> for Error {
    fn from(Throttled(wait): Throttled) -> Self {
        Self::TooManyRequests(wait)
    }
}

/// What a tool below reports and no client can mend.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        let said = format!("{error:#}");
        match Ailment::of(&error) {
            Some(ailment) => Self::of_ailment(ailment, said),
            None => Self::Internal(said),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(hint) => f.write_str(&hint.join(" ")),
            Self::BadRows { hint, count } => write!(f, "bad rows: {count}\n{}", hint.join("\n")),
            Self::Internal(detail) | Self::Damaged(detail) | Self::ServerDamaged(detail) => f.write_str(detail),
            Self::StorageFull(detail) | Self::ReadOnly(detail) => write!(f, "{} ({detail})", self.message()),
            _ => f.write_str(&self.message()),
        }
    }
}

impl std::error::Error for Error {}
