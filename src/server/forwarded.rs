//! Reads what trusted proxies report about a request: client address, host and scheme. A setting selects
//! `X-Forwarded-For`, `-Host` and `-Proto`, or `Forwarded` (RFC 7239). Only one of the two is read, because a proxy
//! that sets one passes the other through from the client, who may have forged it. An unreadable value is rejected,
//! never guessed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

use crate::api::{Error, Result};
use crate::config::ForwardedFields;
use crate::values::Networks;

/// The values that trusted proxies reported. A field is `None` if no trusted proxy reported it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The address closest to us that is not a trusted proxy.
    pub client: Option<IpAddr>,
    /// The host of the request that the nearest proxy received.
    pub host: Option<String>,
    pub scheme: Option<&'static str>,
    /// Another node has forwarded the request, with its signature.
    pub is_by_node: bool,
}

impl Forwarded {
    /// Reads the configured headers. They are ignored if the peer is not a trusted proxy.
    pub fn read(headers: &HeaderMap, peer: IpAddr, trusted: &Networks, fields: ForwardedFields) -> Result<Self> {
        if !trusted.contains(peer) {
            return Ok(Self::default());
        }
        match fields {
            ForwardedFields::XForwarded => Ok(Self {
                client: client(list(headers, "x-forwarded-for")?.into_iter(), trusted)?,
                host: list(headers, "x-forwarded-host")?.pop(),
                scheme: list(headers, "x-forwarded-proto")?.pop().map(|text| scheme(&text)).transpose()?,
                is_by_node: false,
            }),
            ForwardedFields::Forwarded => {
                let hops = list(headers, "forwarded")?.iter().map(|hop| parameters(hop)).collect::<Result<Vec<_>>>()?;
                let nearest = hops.last();
                let said = |name: &str| nearest.and_then(|hop| parameter(hop, name));
                let clients = hops.iter().map(|hop| parameter(hop, "for").unwrap_or_default());
                Ok(Self {
                    client: client(clients, trusted)?,
                    host: said("host"),
                    scheme: said("proto").map(|text| scheme(&text)).transpose()?,
                    is_by_node: false,
                })
            }
        }
    }
}

const BAD_LIST: &str = "The proxy sent a forwarded header that cannot be parsed.";
const BAD_CLIENT: &str = "The proxy's forwarded header does not give the client's IP address.";
const BAD_SCHEME: &str = "The proxy's forwarded header gives a scheme other than http or https.";

/// The elements of a list header over all its lines (RFC 9110, 5.3). Commas in quotes do not separate.
fn list(headers: &HeaderMap, name: &str) -> Result<Vec<String>> {
    let mut elements = Vec::new();
    let mut lines = headers.get_all(name).iter().peekable();
    let is_sent = lines.peek().is_some();
    for line in lines {
        let line = line.to_str().map_err(|_| Error::BadRequest(BAD_LIST))?;
        elements.extend(split(line, ',')?.into_iter().map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned));
    }
    // A header that is sent must have a value.
    if is_sent && elements.is_empty() { Err(Error::BadRequest(BAD_LIST)) } else { Ok(elements) }
}

/// Splits at separators outside of quotes.
fn split(text: &str, separator: char) -> Result<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if letter == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err(Error::BadRequest(BAD_LIST));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

/// The value of a token or a quoted string.
fn unquoted(text: &str) -> Result<String> {
    let Some(rest) = text.strip_prefix('"') else {
        return if text.contains('"') { Err(Error::BadRequest(BAD_LIST)) } else { Ok(text.to_owned()) };
    };
    let inside = rest.strip_suffix('"').ok_or(Error::BadRequest(BAD_LIST))?;
    let (mut value, mut letters) = (String::new(), inside.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next()),
            '"' => return Err(Error::BadRequest(BAD_LIST)),
            letter => value.push(letter),
        }
    }
    Ok(value)
}

/// The pairs of one `Forwarded` element (RFC 7239, 4). Names are case-insensitive and occur once.
fn parameters(hop: &str) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in split(hop, ';')?.into_iter().map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Error::BadRequest(BAD_LIST))?;
        let (name, value) = (name.to_ascii_lowercase(), unquoted(value)?);
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(Error::BadRequest(BAD_LIST));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn parameter(hop: &[(String, String)], name: &str) -> Option<String> {
    hop.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// The last address that is not a trusted proxy. Addresses before it may be forged by the client and are not read.
fn client(clients: impl DoubleEndedIterator<Item = String>, trusted: &Networks) -> Result<Option<IpAddr>> {
    for text in clients.rev() {
        let address = node(&text).ok_or(Error::BadRequest(BAD_CLIENT))?;
        if !trusted.contains(address) {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Parses an address, optionally with a port, brackets or quotes.
fn node(text: &str) -> Option<IpAddr> {
    let text = unquoted(text).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

fn scheme(text: &str) -> Result<&'static str> {
    let text = unquoted(text)?;
    let known = ["http", "https"].into_iter().find(|known| text.eq_ignore_ascii_case(known));
    known.ok_or(Error::BadRequest(BAD_SCHEME))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn read(fields: ForwardedFields, lines: &[(&'static str, &str)]) -> Result<Forwarded> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = "10.0.0.0/8, fd00::/8".parse().unwrap();
        Forwarded::read(&headers, PROXY.parse().unwrap(), &trusted, fields)
    }

    fn client_of(fields: ForwardedFields, name: &'static str, value: &str) -> Option<String> {
        read(fields, &[(name, value)]).unwrap().client.map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxys() {
        for (said, client) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("\"192.0.2.1:4711\"", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("198.51.100.1, 192.0.2.1", Some("192.0.2.1")),
            ("made up, 192.0.2.1, 10.1.2.3,", Some("192.0.2.1")),
            ("192.0.2.1, fd00::7", Some("192.0.2.1")),
            ("10.1.2.3", None),
        ] {
            assert_eq!(client_of(ForwardedFields::XForwarded, "x-forwarded-for", said).as_deref(), client, "{said}");
        }
        for (said, client) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            ("For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1", Some("2001:db8::1")),
            ("for=192.0.2.1;host=\"a,b;c\", for=10.0.0.2", Some("192.0.2.1")),
        ] {
            assert_eq!(client_of(ForwardedFields::Forwarded, "forwarded", said).as_deref(), client, "{said}");
        }
    }

    #[test]
    fn host_and_scheme_are_those_that_the_nearest_proxy_states() {
        let x = [
            ("x-forwarded-proto", "http,HTTPS"),
            ("x-forwarded-host", "made-up.localhost"),
            ("x-forwarded-host", "other.localhost, acme.localhost:8443"),
        ];
        let forwarded = [
            ("forwarded", "for=192.0.2.1;host=made-up.localhost;proto=http"),
            ("forwarded", "for=10.0.0.2;Host=\"acme.localhost:8443\"; proto=Https"),
        ];
        for (fields, lines) in [(ForwardedFields::XForwarded, &x[..]), (ForwardedFields::Forwarded, &forwarded)] {
            let said = read(fields, lines).unwrap();
            assert_eq!((said.host.as_deref(), said.scheme), (Some("acme.localhost:8443"), Some("https")));
        }
    }

    #[test]
    fn a_field_that_the_proxies_do_not_write_is_the_clients_and_counts_for_nothing() {
        let lines = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.2")];
        let client = |fields| read(fields, &lines).unwrap().client.unwrap().to_string();
        assert_eq!(client(ForwardedFields::XForwarded), "192.0.2.2");
        assert_eq!(client(ForwardedFields::Forwarded), "192.0.2.1");
        assert_eq!(read(ForwardedFields::Forwarded, &[("x-forwarded-for", "junk")]).unwrap(), Forwarded::default());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (name, value) in [
            ("x-forwarded-for", ""),
            ("x-forwarded-for", "unknown"),
            ("x-forwarded-host", " , "),
            ("x-forwarded-for", "192.0.2.1, junk"),
            ("x-forwarded-for", "192.0.2.1:port"),
            ("x-forwarded-for", "[192.0.2.1"),
            ("x-forwarded-for", "\"192.0.2.1"),
            ("x-forwarded-proto", "wss"),
            ("x-forwarded-proto", "https, gopher"),
        ] {
            assert!(read(ForwardedFields::XForwarded, &[(name, value)]).is_err(), "{name}: {value}");
        }
        for value in ["for=_hidden", "for", "for=192.0.2.1;for=192.0.2.2", "for=\"192.0.2.1", "proto=https", "host=a"] {
            assert!(read(ForwardedFields::Forwarded, &[("forwarded", value)]).is_err(), "{value}");
        }
    }
}
