//! From the name in a request to the half of the API that answers it.

/// What a host name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Central,
    /// The one label before the central domain.
    Workspace(String),
}

/// What `authority` (host, perhaps with a port) means under a central domain, or nothing where it means nothing here.
pub fn host(authority: &str, central_domain: &str) -> Option<Host> {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name == central_domain {
        return Some(Host::Central);
    }
    let label = name.strip_suffix(central_domain)?.strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then(|| Host::Workspace(label.to_owned()))
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
            "127.0.0.1:8080",
            "[::1]:80",
            "localhost.evil.com",
        ] {
            assert_eq!(host(other, "localhost"), None, "{other}");
        }
        assert_eq!(host("a.cx.example.com", "cx.example.com"), Some(Host::Workspace("a".into())));
    }
}
