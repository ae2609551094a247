//! A host from which a token may be used: an address, a network, or a name that resolves to addresses.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::json_schema;
use serde::Serialize;
use url::Host;

/// `192.0.2.1`, `2001:db8::/32` or `pbx.example.com`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AllowedHost(String);

impl AllowedHost {
    /// Whether this is the address, or a network that contains it. False for a name, which must be resolved first.
    pub fn has(&self, address: IpAddr) -> bool {
        net(&self.0).is_some_and(|net| net.contains(&address.to_canonical()))
    }

    /// The name, if this is a name.
    pub fn name(&self) -> Option<&str> {
        net(&self.0).is_none().then_some(&self.0)
    }
}

fn net(text: &str) -> Option<IpNet> {
    text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()))).ok()
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = || text.len() <= 253 && matches!(Host::parse(text), Ok(Host::Domain(_)));
        if net(text).is_some() || is_name() {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be an address, a network or a name, like 192.0.2.1, 10.0.0.0/8 or pbx.example.com.".into())
        }
    }
}

super::stored_as_text!(AllowedHost);
super::read_from_text!(AllowedHost);

super::described!(
    AllowedHost,
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "examples": ["192.0.2.1", "10.0.0.0/8", "pbx.example.com"]})
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_itself_and_a_network_all_in_it() {
        for (host, address, has) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("pbx.example.com", "192.0.2.1", false),
        ] {
            let host: AllowedHost = host.parse().unwrap();
            assert_eq!(host.has(address.parse().unwrap()), has, "{host:?} {address}");
        }
    }

    #[test]
    fn only_what_can_be_called_from_is_taken() {
        assert_eq!("pbx.example.com".parse::<AllowedHost>().unwrap().name(), Some("pbx.example.com"));
        assert_eq!("192.0.2.1".parse::<AllowedHost>().unwrap().name(), None);
        for bad in ["", " ", "a b", "http://example.com", "example.com/x", "10.0.0.0/33", "1.2.3.4.5", "a:b"] {
            assert!(bad.parse::<AllowedHost>().is_err(), "{bad}");
        }
    }
}
