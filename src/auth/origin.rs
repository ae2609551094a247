//! The origin of a change to accounts and tokens: a request with its address and program, or a command.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::values::Timestamp;

/// Maximum characters of a user agent. The rest is cut off.
const LONGEST_USER_AGENT: usize = 200;

#[derive(Debug, Clone)]
pub struct Origin {
    pub actor: OriginActor,
    /// The client's address. `None` for a command.
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginActor {
    Account(i64),
    /// A request without a token.
    Anonymous,
    /// A command, or the server itself.
    System,
}

impl Origin {
    /// The origin of a request.
    pub fn request(account_id: Option<i64>, address: IpAddr, user_agent: Option<&str>, at: Timestamp) -> Self {
        let printable = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_USER_AGENT).collect();
        Self {
            actor: account_id.map_or(OriginActor::Anonymous, OriginActor::Account),
            address: Some(address.to_canonical()),
            user_agent: user_agent.map(printable),
            at,
        }
    }

    /// The origin of a change by a command or by the server itself.
    pub fn system(at: Timestamp) -> Self {
        Self { actor: OriginActor::System, address: None, user_agent: None, at }
    }

    /// The same request, once its account is known.
    #[must_use]
    pub fn by(&self, account_id: i64) -> Self {
        Self { actor: OriginActor::Account(account_id), ..self.clone() }
    }

    /// The network of the client's address.
    pub fn network(&self) -> Option<String> {
        self.address.map(network_of)
    }
}

/// The network of an address: the /24 of an IPv4 address, the /48 of an IPv6 address. Providers often change a
/// customer's address within such a network.
pub fn network_of(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map_or_else(|_| address.to_string(), |network| network.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_a_provider_gives_to_neighbours() {
        for (address, network) in [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48")] {
            assert_eq!(network_of(address.parse().unwrap()), network);
        }
    }

    #[test]
    fn a_user_agent_is_kept_short_and_printable() {
        let agent = format!("curl\u{7}/8{}", "x".repeat(500));
        let origin =
            Origin::request(None, "::ffff:192.0.2.1".parse().unwrap(), Some(&agent), Timestamp::from_seconds(0));
        let kept = origin.user_agent.unwrap();
        assert!(kept.starts_with("curl/8xxx") && kept.len() == LONGEST_USER_AGENT, "{kept}");
        assert_eq!(origin.address.unwrap().to_string(), "192.0.2.1");
    }
}
