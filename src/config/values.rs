//! Settings as text: how each type of value is read.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::SmtpTransportBuilder;
use lettre::transport::smtp::client::{CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, SmtpTransport};
use url::Url;

use super::{Acknowledge, ForwardedFields, LogFormat, Registration};

impl FromStr for Registration {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "open" => Ok(Self::Open),
            "invite" => Ok(Self::Invite),
            "closed" => Ok(Self::Closed),
            _ => Err(()),
        }
    }
}

impl FromStr for Acknowledge {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "stored" => Ok(Self::Stored),
            "local" => Ok(Self::Local),
            _ => Err(()),
        }
    }
}

impl FromStr for ForwardedFields {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "x-forwarded" => Ok(Self::XForwarded),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(()),
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// True if each part is a level or `TARGET=LEVEL` of this program. `EnvFilter` alone would take the typo `inof` for a
/// target and then log nothing.
pub fn is_log_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |text: &str| LEVELS.contains(&text.to_ascii_lowercase().as_str());
    let is_target = |text: &str| text == "cx_engine" || text.starts_with("cx_engine::");
    let is_part = |part: &str| match part.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(part),
    };
    text.split(',').all(is_part) && tracing_subscriber::EnvFilter::from_str(text).is_ok()
}

pub fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub fn within<N: TryFrom<i64>>(text: &str, least: i64, most: i64) -> Option<N> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number))?;
    N::try_from(number).ok()
}

/// Seconds, or a number with a unit: `90m`, `26h`, `1d`.
pub fn period(text: &str) -> Option<i64> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let (number, unit) =
        units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds))).unwrap_or((text, 1));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(unit)
}

pub fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds)).map(Duration::from_secs_f64)
}

/// The mail transport for a URL; `Some(None)` if the URL is empty. The server is greeted (EHLO) with the path of the
/// URL, or with the central domain, because some servers reject clients without a name.
pub fn smtp(text: &str, central_domain: &str, plain_password: bool) -> Option<Option<SmtpTransportBuilder>> {
    /// Longest wait for one response. Some servers delay strangers on purpose.
    const PATIENCE: Duration = Duration::from_secs(30);
    if text.is_empty() {
        return Some(None);
    }
    let mut server = SmtpTransport::from_url(text).ok()?.timeout(Some(PATIENCE));
    if let Some(tls) = starttls(&Url::parse(text).ok()?, plain_password)? {
        server = server.tls(tls);
    }
    Some(Some(if has_path(text) { server } else { server.hello_name(ClientId::Domain(central_domain.to_owned())) }))
}

/// STARTTLS policy for an `smtp://` URL. A password for another machine requires TLS with a valid certificate. Anything
/// else uses TLS if the server offers it and accepts every certificate, since the alternative is clear text (RFC 7435).
fn starttls(url: &Url, plain_password: bool) -> Option<Option<Tls>> {
    if url.scheme() != "smtp" {
        return Some(None);
    }
    let host = url.host_str()?;
    let is_loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    if url.password().is_some() && !is_loopback && !plain_password {
        return Some(Some(Tls::Required(TlsParameters::new(host.to_owned()).ok()?)));
    }
    if url.query_pairs().any(|(name, _)| name == "tls") {
        return Some(None);
    }
    let anybody = TlsParameters::builder(host.to_owned());
    let anybody = anybody.dangerous_accept_invalid_certs(true).dangerous_accept_invalid_hostnames(true);
    Some(Some(Tls::Opportunistic(anybody.certificate_store(CertificateStore::None).build_rustls().ok()?)))
}

/// True if the URL has a path, which is the name to greet the server with.
pub fn has_path(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['?', '#']).next().is_some_and(|rest| rest.trim_end_matches('/').contains('/'))
}

/// Scheme, host and port of a URL, without user and password.
pub fn host_and_port(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// A URL with its password replaced by `…`; `None` if it has no password.
pub fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, host) = rest.rsplit_once('@')?;
    let (user, _) = login.split_once(':')?;
    Some(format!("{scheme}://{user}:…@{host}"))
}

pub fn sender(text: &str, central_domain: &str) -> Option<Mailbox> {
    if text.is_empty() {
        return Some(Mailbox::new(Some("cx-engine".into()), Address::new("no-reply", central_domain).ok()?));
    }
    text.parse().ok()
}

/// The region of an object store, as requests are signed with it.
pub fn region(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    ((1..=64).contains(&text.len()) && text.bytes().all(is_allowed)).then(|| text.to_owned())
}

/// A node's name. If the text is empty: the first label of the host name, or `node` if it has other characters.
pub fn node_name(text: &str) -> Option<String> {
    let is_name = |name: &str| {
        (1..=63).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !text.is_empty() {
        return is_name(text).then(|| text.to_owned());
    }
    let system = rustix::system::uname();
    let host = system.nodename().to_str().unwrap_or_default();
    let label = host.split('.').next().filter(|label| is_name(label));
    Some(label.unwrap_or("node").to_owned())
}

/// The URL of a node, without a slash at its end.
pub fn node_url(text: &str) -> Option<String> {
    // What a URL parser forgives is an error here.
    let (scheme, host) = text.split_once("://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#\\%".contains(c)) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
    let is_url = ["http", "https"].contains(&scheme) && url.host().is_some() && url.port() != Some(0);
    is_url.then(|| host_and_port(&url))
}

/// The URL of an ACME directory. Without TLS it must be on this machine.
pub fn acme_directory(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let is_allowed = url.scheme() == "https" || url.scheme() == "http" && is_loopback;
    (is_allowed && url.username().is_empty() && url.password().is_none()).then(|| text.to_owned())
}

/// Whether a public authority may issue a certificate for a domain: it has two labels, and it is not below a name that is
/// reserved for private networks or examples (RFC 2606, 6761, 6762, 8375).
pub fn is_public_domain(domain: &str) -> bool {
    const RESERVED: [&str; 9] =
        ["localhost", "local", "internal", "test", "invalid", "example", "onion", "home.arpa", "lan"];
    let is_below = |name: &&str| domain.strip_suffix(*name).is_some_and(|rest| rest.ends_with('.'));
    domain.contains('.') && !RESERVED.iter().any(is_below)
}

pub fn domain(text: &str) -> Option<String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    // A last label of digits turns the name into an IP address (WHATWG URL, 3.5).
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.len() <= 190 && name.split('.').all(label)).then_some(name)
}
