//! The public address of the server: scheme, host and port of the central host. Workspaces are one label below it.

use std::str::FromStr;

use url::{Host, Url};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: &'static str,
    host: String,
    /// With the colon. Empty for the default port of the scheme.
    port: String,
    /// Whether workspaces are paths of the central host instead of subdomains.
    by_path: bool,
}

impl PublicUrl {
    pub fn new(scheme: &'static str, host: &str, port: u16) -> Self {
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        Self { scheme, host: host.to_owned(), port, by_path: false }
    }

    /// The URL of the central host, without a slash at the end.
    pub fn central(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.port)
    }

    /// Whether the host is an IP address.
    pub fn is_address(&self) -> bool {
        !matches!(Host::parse(&self.host), Ok(Host::Domain(_)))
    }

    #[must_use]
    pub fn with_workspaces_by_path(self, by_path: bool) -> Self {
        Self { by_path, ..self }
    }

    /// The URL of a workspace, without a slash at the end.
    pub fn workspace(&self, subdomain: &str) -> String {
        if self.by_path {
            return format!("{}/w/{subdomain}", self.central());
        }
        format!("{}://{subdomain}.{}{}", self.scheme, self.host, self.port)
    }
}

impl FromStr for PublicUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = Url::parse(text).map_err(|_| ())?;
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(()),
        };
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) if is_bare && is_anonymous => Ok(Self::new(scheme, &host.to_string(), port)),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_one_label_below() {
        for (text, central, workspace) in [
            ("https://cx.example.com", "https://cx.example.com", "https://acme.cx.example.com"),
            ("https://CX.example.com:443/", "https://cx.example.com", "https://acme.cx.example.com"),
            ("http://localhost:8080", "http://localhost:8080", "http://acme.localhost:8080"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.central().as_str(), url.workspace("acme").as_str()), (central, workspace), "{text}");
        }
    }

    #[test]
    fn it_has_a_host_and_nothing_behind_it() {
        for bad in [
            "cx.example.com",
            "ftp://cx.example.com",
            "https://",
            "https://cx.example.com/api",
            "https://cx.example.com?a=b",
            "https://ada@cx.example.com",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
        for (url, is_address) in [("https://10.0.0.1", true), ("https://[::1]:8443", true), ("https://cx.test", false)]
        {
            let parsed: PublicUrl = url.parse().unwrap();
            assert_eq!((parsed.is_address(), parsed.central().as_str()), (is_address, url));
        }
    }
}
