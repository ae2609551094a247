//! The address of a request: host, scheme and path as the caller used them, the client behind a proxy, and the tenant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use super::forwarded::Forwarded;
use crate::api::{Address, Error, Result};
use crate::config::Config;
use crate::tenancy::{Host, host, workspace_in};

/// Names the workspace in a request to the central host.
const WORKSPACE: HeaderName = HeaderName::from_static("x-workspace");

/// The HTTPS URL of the request. Fails for unknown hosts, so that no client is redirected to a foreign host.
pub fn place_with_tls(config: &Config, head: &Parts, peer: IpAddr, port: u16) -> Result<HeaderValue> {
    check_head(head)?;
    let authority = address(config, head, forwarded(config, &head.headers, peer)?)?.authority;
    tenant(config, &authority)?;
    let name = authority.rsplit_once(':').map_or(authority.as_str(), |(name, _)| name);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{name}{port}{path}")).map_err(|error| Error::Internal(error.to_string()))
}

/// Host, scheme and path as the caller used them; a trusted proxy may report the host.
pub fn address(config: &Config, head: &Parts, forwarded: Forwarded) -> Result<Address> {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asked = head.uri.authority().map(Authority::as_str).or(host);
    let called = forwarded.host.as_deref();
    let authority = called.or(asked).ok_or(Error::BadRequest("The request needs a Host header."))?;
    // The Host header was checked with the head, and the request target must name the same host.
    if called.is_some() || host.is_none() {
        check_authority(authority)?;
    }
    Ok(Address {
        scheme: forwarded.scheme.unwrap_or(config.scheme()),
        authority: authority.to_owned(),
        prefix: String::new(),
        path: head.uri.path().to_owned(),
    })
}

/// The addresses that a trusted proxy reported.
pub fn forwarded(config: &Config, headers: &HeaderMap, peer: IpAddr) -> Result<Forwarded> {
    Forwarded::read(headers, peer, &config.trusted_proxies, config.forwarded_fields)
}

/// Resolves a host to the central API or a workspace.
pub fn tenant(config: &Config, authority: &str) -> Result<Host> {
    // An IP address has no subdomains, so the path names the workspace.
    if config.workspace_by_path && is_address(authority) {
        return Ok(Host::Central);
    }
    host(authority, &config.central_domain).ok_or_else(|| unknown_host(config))
}

/// Resolves the host of a request. With `workspace_by_path`, a request to the central host may name a workspace by
/// path or header; the path then becomes the one on the workspace's own host.
pub fn addressed(config: &Config, headers: &HeaderMap, address: &mut Address) -> Result<Host> {
    let tenant = tenant(config, &address.authority)?;
    if tenant != Host::Central || !config.workspace_by_path {
        return Ok(tenant);
    }
    let mut named = headers.get_all(WORKSPACE).iter();
    let in_header = named.next().map(|label| label.as_bytes().trim_ascii().to_ascii_lowercase());
    let in_path = workspace_in(&address.path);
    let is_one = match (&in_path, &in_header) {
        (Some((label, ..)), Some(header)) => label.as_bytes() == header,
        _ => true,
    };
    if !is_one || named.next().is_some() {
        return Err(Error::BadRequest("The request names two workspaces."));
    }
    Ok(match (in_path, in_header) {
        (Some((label, prefix, path)), _) => {
            (address.prefix, address.path) = (prefix, path);
            Host::Workspace(label)
        }
        (None, Some(label)) => Host::Workspace(String::from_utf8_lossy(&label).into_owned()),
        (None, None) => Host::Central,
    })
}

pub fn unknown_host(config: &Config) -> Error {
    let domain = &config.central_domain;
    Error::NotFound {
        code: "unknown_host",
        message: format!("This server serves {domain} and workspaces one label below it."),
    }
}

/// The client's address: the peer, or the address that a trusted proxy reported.
pub fn client(forwarded: &Result<Forwarded>, peer: IpAddr) -> IpAddr {
    forwarded.as_ref().ok().and_then(|forwarded| forwarded.client).unwrap_or(peer)
}

/// Rejects heads that violate HTTP or that a proxy before us may have read differently.
pub fn check_head(head: &Parts) -> Result<()> {
    let bad = |why| Err(Error::BadRequest(why));
    if head.method == Method::CONNECT || head.uri.path().is_empty() {
        return bad("This server is not a proxy.");
    }
    // hyper treats a body as chunked even if other encodings are listed.
    let mut encodings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return bad("The only supported transfer encoding is chunked.");
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return bad("The request must have only one Host header.");
    }
    if let Some(host) = host {
        check_authority(host.to_str().unwrap_or_default())?;
    } else if head.version == Version::HTTP_11 {
        return bad("The request needs a Host header.");
    }
    match (head.uri.authority(), host) {
        (Some(target), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) => {
            bad("The Host header and the request target name different hosts.")
        }
        _ => Ok(()),
    }
}

/// Accepts only a host, optionally with a port.
fn check_authority(text: &str) -> Result<()> {
    let is_one = !text.contains(['@', ',']) && Authority::try_from(text).is_ok();
    if is_one { Ok(()) } else { Err(Error::BadRequest("The Host header must be a host, optionally with a port.")) }
}

/// True if a host, optionally with a port, is an IP address.
pub fn is_address(authority: &str) -> bool {
    let bare = authority.strip_prefix('[').and_then(|rest| rest.split(']').next());
    bare.map_or_else(
        || authority.split(':').next().is_some_and(|name| name.parse::<Ipv4Addr>().is_ok()),
        |bare| bare.parse::<Ipv6Addr>().is_ok(),
    )
}

/// The path as in the table, and whether it had the prefix `/api`. One slash at the end is ignored.
pub fn api_path(path: &str) -> (&str, bool) {
    let (path, is_api) = match path.strip_prefix("/api") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (rest, true),
        _ => (path, false),
    };
    match path.strip_suffix('/').unwrap_or(path) {
        "" => ("/", is_api),
        path => (path, is_api),
    }
}
