//! Finds the central API or the workspace that a host name or a path refers to.

use std::net::IpAddr;

/// The target of a host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Central,
    /// The one label in front of the central domain.
    Workspace(String),
}

/// Resolves `authority` (a host, perhaps with a port) under a central domain. `None` means an unknown host. Under
/// `localhost`, a loopback address is the central host too, since not every client can resolve that name.
pub fn host(authority: &str, central_domain: &str) -> Option<Host> {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name == central_domain || (central_domain == "localhost" && is_this_machine(&name)) {
        return Some(Host::Central);
    }
    let label = name.strip_suffix(central_domain)?.strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then(|| Host::Workspace(label.to_owned()))
}

/// Splits a path that names a workspace into the name, the prefix and the remaining path: `/w/acme/api/customers` is
/// `/api/customers` of `acme`. The path of the OAuth server metadata has its own form (RFC 8414, section 3.1).
pub fn workspace_in(path: &str) -> Option<(String, String, String)> {
    let (before, named) = match path.strip_prefix("/w/") {
        Some(named) => ("", named),
        None => {
            let (before, named) = path.split_once("/w/")?;
            (before.strip_prefix("/.well-known/").is_some_and(|name| !name.contains('/')).then_some(before)?, named)
        }
    };
    let (label, rest) = named.split_at(named.find('/').unwrap_or(named.len()));
    let is_label = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_label.then(|| {
        let path = format!("{before}{rest}");
        let path = if path.is_empty() { "/".to_owned() } else { path };
        (label.to_ascii_lowercase(), format!("/w/{label}"), path)
    })
}

fn is_this_machine(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_port_and_final_dot_do_not_matter() {
        for central in ["localhost", "LOCALHOST:8080", "localhost.", "Localhost.:80"] {
            assert_eq!(host(central, "localhost"), Some(Host::Central), "{central}");
        }
        for acme in ["acme.localhost", "Acme.LocalHost:8080", "acme.localhost."] {
            assert_eq!(host(acme, "localhost"), Some(Host::Workspace("acme".into())), "{acme}");
        }
    }

    #[test]
    fn only_one_label_is_a_workspace() {
        for other in [
            "",
            "example.com",
            "a.b.localhost",
            ".localhost",
            "xlocalhost",
            "192.168.1.5:8080",
            "[2001:db8::1]:80",
            "localhost.evil.com",
        ] {
            assert_eq!(host(other, "localhost"), None, "{other}");
        }
        assert_eq!(host("a.cx.example.com", "cx.example.com"), Some(Host::Workspace("a".into())));
    }

    #[test]
    fn an_address_of_this_machine_is_the_central_host_of_localhost_alone() {
        for address in ["127.0.0.1:8080", "127.8.9.1", "[::1]:80", "[::ffff:127.0.0.1]:80", "0.0.0.0:8080", "[::]"] {
            assert_eq!(host(address, "localhost"), Some(Host::Central), "{address}");
            assert_eq!(host(address, "cx.example.com"), None, "{address}");
        }
    }

    #[test]
    fn a_path_names_a_workspace_by_its_first_two_segments() {
        let named = |path| workspace_in(path).map(|(label, prefix, rest)| format!("{label} {prefix} {rest}"));
        for (path, expected) in [
            ("/w/acme", Some("acme /w/acme /")),
            ("/w/Acme/", Some("acme /w/Acme /")),
            ("/w/acme/api/customers/1", Some("acme /w/acme /api/customers/1")),
            ("/w/acme/w/other/api", Some("acme /w/acme /w/other/api")),
            (
                "/.well-known/oauth-authorization-server/w/acme",
                Some("acme /w/acme /.well-known/oauth-authorization-server"),
            ),
            ("/w/", None),
            ("/w//api", None),
            ("/w/a.b/api", None),
            ("/w/a%2e/api", None),
            ("/api/w/acme", None),
            ("/.well-known/a/b/w/acme", None),
        ] {
            assert_eq!(named(path).as_deref(), expected, "{path}");
        }
    }
}
