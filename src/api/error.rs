//! The errors of the API: one variant for each thing that a client can do about it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::import::MOST_ROWS;
use super::media_type::{BodyKind, MAX_FILE, MIB};
use crate::auth::{Throttled, TokenFault};
use crate::storage::{DiskError, Fault};
use crate::tenancy::text_indexes::Missing;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone)]
pub enum Error {
    /// The body is not JSON.
    MalformedJson(String),
    /// The request violates HTTP.
    BadRequest(&'static str),
    /// Parameters that break their rules, with one sentence per problem.
    Invalid(Vec<Problem>),
    /// Rows of a file that break their rules: one sentence for each of the first rows, and the number of all.
    InvalidRows {
        hint: Vec<String>,
        count: usize,
    },
    /// There is no token, or the token is not valid here.
    Token(TokenFault),
    InvalidCredentials,
    /// The password was right, and the account has a second factor. Contains the challenge to complete with a code.
    SecondFactorRequired(String),
    /// The code of a second factor is wrong or was used before.
    WrongCode,
    /// The challenge of a login is unknown, expired, or had too many attempts.
    WrongChallenge,
    /// The caller is known but not permitted.
    Forbidden {
        code: &'static str,
        message: String,
    },
    MissingPermission(Cow<'static, str>),
    NotFound {
        code: &'static str,
        message: String,
    },
    /// The path exists, the method does not. Contains the methods that exist.
    MethodNotAllowed(String),
    BodyTimeout,
    /// The body exceeds this number of bytes.
    TooLarge(usize),
    /// The media type of the body is not accepted.
    UnsupportedMediaType(BodyKind),
    /// The body has a content coding. None is accepted.
    UnsupportedEncoding,
    /// Well-formed, but the state forbids it. The hint names a field if a field is to blame.
    Rejected {
        code: Cow<'static, str>,
        message: String,
        hint: Vec<String>,
    },
    /// Too many attempts failed recently. Contains the seconds until the next is allowed.
    TooManyRequests(i64),
    /// Too many streams of events are open. Contains the seconds until another try.
    TooManyStreams(i64),
    /// The resource is no longer in the state that `If-Match` names.
    PreconditionFailed,
    /// `If-None-Match` names the state of the resource.
    AlreadyExists,
    Overloaded,
    /// A statement took longer than its limit.
    TooSlow,
    /// These host names must be resolved before access can be decided.
    UnknownHosts(Vec<String>),
    /// A time in the request has no zone. The workspace's time zone must be read first.
    NeedsTimeZone,
    /// A search needs these texts in the index. The front indexes them and runs the request again.
    NeedsTexts(Missing),
    /// The disk is full. The text goes only to the log.
    StorageFull(String),
    /// The disk is not writable. The text goes only to the log.
    ReadOnly(String),
    /// The workspace's file cannot be opened or read. The text goes only to the log.
    Damaged(String),
    /// Like `Damaged`, for the central file or for a workspace that a request to the central API names.
    ServerDamaged(String),
    /// The change is on the server's disk, and the store that keeps it has not responded in time.
    OutcomeUnknown,
    ShuttingDown,
    /// Another server may have taken over from this one.
    Standby,
    /// Another node serves this workspace.
    Elsewhere(Uuid),
    /// Another node serves the request, and it cannot be reached.
    NodeUnreachable,
    /// The request claims to come from another node, and its signature is not valid.
    UnknownNode,
    /// The server is not ready, for these reasons: sentences.
    NotReady(Vec<String>),
    /// Not the client's fault. The text goes only to the log.
    Internal(String),
}

/// A rule that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field: `name`, `items.0.name`. `None` if only the sentence names the field.
    pub field: Option<String>,
    pub sentence: String,
}

fn sentences(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.sentence.clone()).collect()
}

impl<S: Into<String>> From<S> for Problem {
    fn from(sentence: S) -> Self {
        Self { field: None, sentence: sentence.into() }
    }
}

impl Error {
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(vec![sentence.into().into()])
    }

    /// Problems without the paths of their fields.
    pub fn sentences(sentences: Vec<String>) -> Self {
        Self::Invalid(sentences.into_iter().map(Problem::from).collect())
    }

    pub fn not_found() -> Self {
        Self::NotFound { code: "not_found", message: "There is no such resource.".into() }
    }

    pub fn rejected(code: &'static str, message: impl Into<String>) -> Self {
        Self::Rejected { code: code.into(), message: message.into(), hint: Vec::new() }
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::Forbidden { code, message: message.into() }
    }

    /// A workspace, or the server for its operators, requires a second factor that the account does not have.
    pub fn second_factor_missing() -> Self {
        Self::forbidden("second_factor_required", "This requires a second factor. Add one to your account first.")
    }

    pub fn single_sign_on_required() -> Self {
        Self::forbidden("single_sign_on_required", "This requires single sign-on. A password is not enough.")
    }

    pub fn not_a_member() -> Self {
        Self::forbidden("not_a_member", "You are not a member of this workspace.")
    }

    /// The token of a call flow was used for something other than a routing look-up.
    pub fn lookup_only() -> Self {
        Self::forbidden("forbidden", "The token of a call flow can only look up routes.")
    }

    /// A caller that is bound to one customer tried to go beyond it.
    pub fn bound_to_customer() -> Self {
        Self::forbidden("forbidden", "This token or key is bound to one customer and may not access anything else.")
    }

    pub fn customer_not_found() -> Self {
        Self::NotFound { code: "customer_not_found", message: "There is no customer with this account.".into() }
    }

    /// A look-up of a call flow matches no destination.
    pub fn no_route() -> Self {
        Self::NotFound { code: "no_route", message: "No destination matches.".into() }
    }

    pub fn workspace_not_found() -> Self {
        Self::NotFound { code: "workspace_not_found", message: "There is no such workspace.".into() }
    }

    pub fn workspace_suspended() -> Self {
        Self::forbidden("workspace_suspended", "This workspace is suspended.")
    }

    /// The value is in use already: 422 `{field}_taken`.
    pub fn taken(field: &str) -> Self {
        let sentence = format!("The {} has already been taken.", field.replace('_', " "));
        Self::Rejected { code: format!("{field}_taken").into(), message: sentence.clone(), hint: vec![sentence] }
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
            Self::Invalid(_) | Self::InvalidRows { .. } => (StatusCode::BAD_REQUEST, "invalid"),
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
            Self::Rejected { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
            Self::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::TooManyStreams(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_streams"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "stale_write"),
            Self::AlreadyExists => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::Overloaded | Self::TooSlow | Self::UnknownHosts(_) | Self::NeedsTimeZone | Self::NeedsTexts(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            Self::StorageFull(_) => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            Self::ReadOnly(_) => (StatusCode::SERVICE_UNAVAILABLE, "read_only"),
            Self::Damaged(_) => (StatusCode::SERVICE_UNAVAILABLE, "workspace_damaged"),
            Self::ServerDamaged(_) => (StatusCode::SERVICE_UNAVAILABLE, "server_damaged"),
            Self::OutcomeUnknown => (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown"),
            Self::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::Standby => (StatusCode::SERVICE_UNAVAILABLE, "standby"),
            Self::Elsewhere(_) | Self::NodeUnreachable => (StatusCode::SERVICE_UNAVAILABLE, "elsewhere"),
            Self::UnknownNode => (StatusCode::UNAUTHORIZED, "unknown_node"),
            Self::NotReady(_) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    fn message(&self) -> Cow<'_, str> {
        match self {
            Self::MalformedJson(detail) => format!("The body is not valid JSON: {detail}.").into(),
            Self::BadRequest(message) => (*message).into(),
            Self::Invalid(_) | Self::InvalidRows { .. } => "bad request: please check body parameters.".into(),
            Self::Token(fault) => fault.message().into(),
            Self::InvalidCredentials => "The email or the password is wrong.".into(),
            Self::SecondFactorRequired(_) => "This account has a second factor. Send the challenge and a code.".into(),
            Self::WrongCode => "The code is wrong or was used before.".into(),
            Self::WrongChallenge => "The login has expired. Start again.".into(),
            Self::MissingPermission(name) => format!("This requires the permission {name}.").into(),
            Self::Forbidden { message, .. } | Self::NotFound { message, .. } | Self::Rejected { message, .. } => {
                message.as_str().into()
            }
            Self::MethodNotAllowed(allowed) => format!("This path allows only {allowed}.").into(),
            Self::BodyTimeout => "The body did not arrive in time.".into(),
            Self::TooLarge(limit) if *limit >= MAX_FILE => format!(
                "The file may not be larger than {} MiB or have more than {MOST_ROWS} rows. Send it in parts.",
                MAX_FILE / MIB
            )
            .into(),
            Self::TooLarge(limit) => format!("The body may not be larger than {limit} bytes.").into(),
            Self::UnsupportedMediaType(body) if body.has_rows() => format!(
                "This path does not accept the media type of the body. Send CSV or JSON, as {}, with at most {} MiB and \
                 {MOST_ROWS} rows.",
                names(*body, " or "),
                MAX_FILE / MIB
            )
            .into(),
            Self::UnsupportedMediaType(body) => {
                format!("This path does not accept the media type of the body. Send it as {}.", names(*body, " or "))
                    .into()
            }
            Self::UnsupportedEncoding => "The body must be sent without a Content-Encoding, or with identity.".into(),
            Self::TooManyRequests(wait) => format!("Too many attempts. Try again in {wait} seconds.").into(),
            Self::TooManyStreams(wait) => {
                format!("Too many streams of events are open. Close one, or try again in {wait} seconds.").into()
            }
            Self::AlreadyExists => {
                "The state of the resource is one that If-None-Match names. Nothing was changed.".into()
            }
            Self::PreconditionFailed => {
                "The resource was changed meanwhile. Nothing was changed. Read it again.".into()
            }
            Self::Overloaded | Self::TooSlow | Self::UnknownHosts(_) | Self::NeedsTimeZone | Self::NeedsTexts(_) => {
                "The server is overloaded. Nothing was changed. Try again shortly.".into()
            }
            Self::StorageFull(_) => "The server's disk is full. Nothing was changed.".into(),
            Self::ReadOnly(_) => "The server's disk is not writable. Nothing was changed.".into(),
            Self::Damaged(_) => "This workspace cannot be opened. The server's log has the reason.".into(),
            Self::ServerDamaged(_) => "A file of this server cannot be read. The server's log has the reason.".into(),
            Self::OutcomeUnknown => {
                "The store of the server has not responded. The change may be done or not. Read the resource, or repeat \
                 the request with the same Idempotency-Key."
                    .into()
            }
            Self::Standby => "This server stands by: another one serves.".into(),
            Self::Elsewhere(_) => "Another node serves this workspace now. Nothing was changed. Try again shortly.".into(),
            Self::NodeUnreachable => {
                "The node that serves this cannot be reached. Nothing was changed. Try again shortly.".into()
            }
            Self::UnknownNode => {
                "The signature of the node is not valid: each node needs the same node_secret_file and the right time."
                    .into()
            }
            Self::ShuttingDown => "The server is shutting down. Nothing was changed. Try again shortly.".into(),
            Self::NotReady(reasons) => reasons.join(" ").into(),
            Self::Internal(_) => "Internal error. The server's log has the details under this request's id.".into(),
        }
    }

    /// Detail that is logged and not sent to the client.
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

    /// Turns `Damaged` into `ServerDamaged`, if the damaged file is not that of the requested workspace.
    pub fn on_central(self) -> Self {
        match self {
            Self::Damaged(detail) => Self::ServerDamaged(detail),
            error => error,
        }
    }

    fn from_disk_error(ailment: DiskError, detail: String) -> Self {
        match ailment {
            DiskError::Full => Self::StorageFull(detail),
            DiskError::ReadOnly => Self::ReadOnly(detail),
            DiskError::Damaged => Self::Damaged(detail),
            DiskError::NoDescriptors => Self::Overloaded,
        }
    }

    /// The messages for the client, one sentence each.
    pub fn messages(&self) -> Vec<String> {
        match self {
            Self::Invalid(problems) => sentences(problems),
            Self::InvalidRows { hint, .. } => hint.clone(),
            _ => vec![self.message().into_owned()],
        }
    }

    fn body(&self) -> Value {
        match self {
            Self::Invalid(problems) => json!({"response": self.message(), "hint": sentences(problems)}),
            Self::InvalidRows { hint, count } => json!({"response": self.message(), "hint": hint, "count": count}),
            Self::SecondFactorRequired(challenge) => {
                json!({"message": self.message(), "error": self.code(), "challenge": challenge})
            }
            Self::Rejected { hint, .. } if !hint.is_empty() => {
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
            // The bytes that follow may still be part of the malformed request, so the connection closes.
            Self::BadRequest(_) => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            // The accepted media types (RFC 9110, 15.5.16).
            Self::UnsupportedMediaType(body) => {
                headers.extend(HeaderValue::try_from(names(body, ", ")).map(|names| (header::ACCEPT, names)));
            }
            Self::UnsupportedEncoding => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::MethodNotAllowed(allowed) => {
                headers.extend(HeaderValue::try_from(allowed).map(|allowed| (header::ALLOW, allowed)));
            }
            Self::TooManyRequests(wait) | Self::TooManyStreams(wait) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            // 507 has no `Retry-After`: RFC 4918, 11.5 forbids repeating the request automatically.
            Self::Overloaded
            | Self::UnknownHosts(_)
            | Self::NeedsTimeZone
            | Self::NeedsTexts(_)
            | Self::ReadOnly(_)
            | Self::Damaged(_)
            | Self::ServerDamaged(_)
            | Self::ShuttingDown
            | Self::Standby
            | Self::Elsewhere(_)
            | Self::NodeUnreachable
            | Self::NotReady(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// The media types that a body may have.
fn names(body: BodyKind, between: &str) -> String {
    body.types().iter().map(|kind| kind.name()).collect::<Vec<_>>().join(between)
}

/// The only place that interprets SQLite's errors. A violated `UNIQUE` is the client's error and names its column. A
/// timeout or a locked file is to be retried. Disk errors have their own variants. Everything else is internal.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        if let Some(ailment) = DiskError::of_sqlite(&error) {
            return Self::from_disk_error(ailment, error.to_string());
        }
        if let rusqlite::Error::SqliteFailure(failure, message) = &error {
            match failure.code {
                ErrorCode::OperationInterrupted => return Self::TooSlow,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => return Self::Overloaded,
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
            Fault::OutcomeUnknown => Self::OutcomeUnknown,
            Fault::Elsewhere(workspace) => Self::Elsewhere(workspace),
            Fault::Unopened(_) => Self::Damaged(fault.to_string()),
            Fault::Ailing(ailment, said) => Self::from_disk_error(ailment, said),
            Fault::Panicked(_) => Self::Internal(fault.to_string()),
        }
    }
}

impl From<Throttled> for Error {
    fn from(Throttled(wait): Throttled) -> Self {
        Self::TooManyRequests(wait)
    }
}

/// Errors of lower layers, which no client can fix.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        if let Some(fault @ Fault::Elsewhere(_)) = error.downcast_ref::<Fault>() {
            return fault.clone().into();
        }
        let said = format!("{error:#}");
        match DiskError::of(&error) {
            Some(ailment) => Self::from_disk_error(ailment, said),
            None => Self::Internal(said),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(problems) => f.write_str(&sentences(problems).join(" ")),
            Self::InvalidRows { hint, count } => write!(f, "bad rows: {count}\n{}", hint.join("\n")),
            Self::Internal(detail) | Self::Damaged(detail) | Self::ServerDamaged(detail) => f.write_str(detail),
            Self::StorageFull(detail) | Self::ReadOnly(detail) => write!(f, "{} ({detail})", self.message()),
            _ => f.write_str(&self.message()),
        }
    }
}

impl std::error::Error for Error {}
