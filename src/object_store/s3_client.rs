//! Signs requests to a bucket and sends them.
//!
//! A signature is part of the URL (Signature Version 4, presigned). It covers the headers with conditions, so that a
//! proxy that drops a condition makes the request invalid instead of unconditional. It does not cover the body, which
//! TLS protects. A signed URL is a secret: it is never logged.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusty_s3::actions::S3Action;
use rusty_s3::{Bucket, Credentials};
use ureq::config::Config;
use ureq::http::{HeaderMap, Response};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, AsSendBody, Body, http};
use url::Url;

use super::store_error::ErrorResponse;
use super::{StoreError, StorePurpose, StoreSettings};
use crate::outgoing::{agent_config, roots_of, system_roots};
use crate::values::is_public;

/// Time limit for a connection, with TLS.
const CONNECT: Duration = Duration::from_secs(5);
/// Time limit for one read or write, so that a connection that stalls is noticed.
const STALLED: Duration = Duration::from_secs(10);
/// How long a signature is valid. The S3 API accepts clocks that differ by as much.
const VALID_FOR: Duration = Duration::from_secs(15 * 60);
/// From this difference on, a rejected request is explained by the clocks.
const SKEW_SECONDS: i64 = 5 * 60;
/// Connections that stay open between two requests: one for each upload at the same time.
const IDLE_CONNECTIONS: usize = 32;
/// Bytes of an error response to read.
const MAX_ERROR: u64 = 64 << 10;
/// The largest key file, in bytes.
const MAX_KEY_FILE: u64 = 4096;

pub(super) struct S3Client {
    pub bucket: Bucket,
    pub credentials: Credentials,
    purpose: StorePurpose,
    agent: Agent,
}

/// A request, ready to be sent.
pub(super) struct SignedRequest<'a> {
    method: &'static str,
    url: Url,
    /// A header, which the signature covers.
    pub condition: Option<(&'a str, &'a str)>,
}

/// The head of a response. The body of an error is read already.
pub(super) struct Answer {
    pub status: u16,
    pub tag: Option<String>,
    pub length: Option<u64>,
    headers: HeaderMap,
    error: String,
    body: Body,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum HttpError {
    Certificate(String),
    PublicAddress,
    Other(String),
}

impl S3Client {
    pub fn open(settings: &StoreSettings) -> anyhow::Result<Self> {
        let (purpose, names) = (settings.purpose, settings.purpose.names());
        let bucket = settings.url.bucket(&settings.region, purpose)?;
        let key = read_key(names.key_file, &settings.key_file)?;
        let secret = read_key(names.secret_file, &settings.secret_file)?;
        let is_plain = bucket.base_url().scheme() == "http";
        Ok(Self { bucket, credentials: Credentials::new(key, secret), purpose, agent: agent(is_plain) })
    }

    /// Signs a request with the current time.
    pub fn sign<'a, 'b>(&self, method: &'static str, action: &impl S3Action<'a>) -> SignedRequest<'b> {
        SignedRequest { method, url: action.sign(VALID_FOR), condition: None }
    }

    pub fn send_without_body(&self, request: &SignedRequest<'_>) -> Result<Answer, StoreError> {
        self.send(request, (), None)
    }

    /// Sends a request. The `length` of the body, of the request or of the response, limits the time; without it, only a
    /// connection that stalls is given up.
    pub fn send(
        &self,
        request: &SignedRequest<'_>,
        body: impl AsSendBody,
        length: Option<u64>,
    ) -> Result<Answer, StoreError> {
        let mut builder = http::Request::builder().method(request.method).uri(request.url.as_str());
        if let Some((name, value)) = request.condition {
            builder = builder.header(name, value);
        }
        let no_response =
            |error: ureq::Error| StoreError::without_response(&error.into(), self.host(), self.purpose.names().url);
        let built = builder.body(body).map_err(|error| no_response(error.into()))?;
        let limited =
            self.agent.configure_request(built).timeout_global(length.map(|length| self.time_limit(length))).build();
        Answer::read(self.agent.run(limited).map_err(no_response)?).map_err(StoreError::Unknown)
    }

    /// Longest time for a body of this many bytes.
    fn time_limit(&self, length: u64) -> Duration {
        Duration::from_secs(20 + length / self.purpose.slowest_rate())
    }

    fn host(&self) -> &str {
        self.bucket.base_url().host_str().unwrap_or_default()
    }

    pub fn error(&self, request: &SignedRequest<'_>, answer: Answer) -> StoreError {
        let clocks = clocks(&request.url, &answer.headers);
        StoreError::of_response(answer.error(), self.bucket.name(), self.purpose.names(), clocks)
    }
}

impl Answer {
    /// Reads the body if it is an error or empty, so that the connection can be used again.
    fn read(response: Response<Body>) -> Result<Self, String> {
        let (head, body) = response.into_parts();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let length = header("content-length").and_then(|length| length.parse().ok());
        let mut answer = Self {
            status: head.status.as_u16(),
            tag: header("etag").filter(|tag| !tag.is_empty()),
            length,
            error: String::new(),
            headers: head.headers,
            body,
        };
        if answer.status != 200 || length == Some(0) {
            let mut text = Vec::new();
            answer.body.as_reader().take(MAX_ERROR).read_to_end(&mut text).map_err(|error| error.to_string())?;
            answer.error = String::from_utf8_lossy(&text).into_owned();
        }
        Ok(answer)
    }

    /// Hands over the body in pieces. Stops after the first piece beyond the limit. Returns the bytes that were read.
    pub fn read_pieces(
        &mut self,
        limit: u64,
        write: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let mut piece = vec![0; 64 << 10];
        let mut reader = self.body.as_reader();
        let mut total = 0;
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(total),
                Ok(length) => {
                    total += length as u64;
                    if total > limit {
                        return Ok(total);
                    }
                    write(&piece[..length])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::Unknown(error.to_string())),
            }
        }
    }

    /// Whether the store says that there is no such object. A 404 of a wrong address does not say that.
    pub fn is_missing_object(&self) -> bool {
        self.error().code == "NoSuchKey"
    }

    fn error(&self) -> ErrorResponse {
        let region = self.headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        ErrorResponse::parse(self.status, &self.error, region.map(str::to_owned))
    }
}

/// Reads a file with one key.
fn read_key(setting: &str, path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text))
        .with_context(|| format!("{setting}: cannot read {}", path.display()))?;
    let key = text.trim();
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(is_key, "{setting}: {} must contain one key and nothing else", path.display());
    Ok(key.to_owned())
}

pub(super) fn agent(is_plain: bool) -> Agent {
    let roots = if is_plain { roots_of::<&[u8]>(&[]) } else { system_roots() };
    // A redirect names another region. A signature is valid for one host only.
    let config = agent_config(roots)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(STALLED))
        .timeout_per_write(Some(STALLED))
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .build();
    Agent::with_parts(
        config,
        DefaultConnector::default(),
        PlainHttpGuard { is_plain, names: DefaultResolver::default() },
    )
}

/// The host has only public addresses, and there is no TLS.
#[derive(Debug, thiserror::Error)]
#[error("a public address")]
struct PublicAddress;

/// Resolves the name of the store. Without TLS, it removes public addresses. It runs at each connection, so that the
/// name cannot change between check and use.
#[derive(Debug)]
struct PlainHttpGuard {
    is_plain: bool,
    names: DefaultResolver,
}

impl Resolver for PlainHttpGuard {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        found
            .iter()
            .filter(|address| !self.is_plain || !is_public(address.ip()))
            .for_each(|address| allowed.push(*address));
        if allowed.is_empty() {
            return Err(ureq::Error::Other(Box::new(PublicAddress)));
        }
        Ok(allowed)
    }
}

impl From<ureq::Error> for HttpError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Other(error) if error.is::<PublicAddress>() => Self::PublicAddress,
            ureq::Error::HostNotFound => Self::Other("the host name cannot be resolved".into()),
            // A certificate is rejected before the request is sent. Another error of TLS may come later, when the store
            // has made a change already.
            other if other.to_string().contains("invalid peer certificate") => Self::Certificate(other.to_string()),
            other => Self::Other(other.to_string()),
        }
    }
}

/// Describes the clocks of this machine and of the store if they differ too much for a signature.
fn clocks(signed: &Url, headers: &HeaderMap) -> Option<String> {
    let (_, ours) = signed.query_pairs().find(|(name, _)| name == "X-Amz-Date")?;
    let ours = TimeZone::UTC.to_timestamp(DateTime::strptime("%Y%m%dT%H%M%SZ", ours.as_ref()).ok()?).ok()?;
    let theirs = headers.get("date")?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(theirs).ok()?;
    let difference = ours.as_second() - theirs.as_second();
    (difference.abs() > SKEW_SECONDS).then(|| {
        format!(
            "the clocks differ: this machine says {ours}, the store says {theirs}. Correct the clock of this machine"
        )
    })
}
