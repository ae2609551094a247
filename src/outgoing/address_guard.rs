//! A guard for URLs of tenants. It rejects addresses in the server's own network.

use std::io;
use std::net::IpAddr;

use ureq::Agent;
use ureq::config::{Config, ConfigBuilder};
use ureq::http::Uri;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::values::is_public;

/// A client for URLs of tenants. `private` allows addresses inside the server's own network.
pub fn guarded_agent(config: ConfigBuilder<AgentScope>, private: bool) -> Agent {
    let resolver = PrivateAddressGuard { private, names: DefaultResolver::default() };
    Agent::with_parts(config.build(), DefaultConnector::default(), resolver)
}

/// True if the address is on the public internet and not one of this machine's own, which are inside its firewall.
fn is_allowed_address(address: IpAddr, own: &[IpAddr]) -> bool {
    is_public(address) && !own.iter().any(|own| own.to_canonical() == address.to_canonical())
}

/// Resolves a name and removes private and own addresses. Runs at each connection, so that the name cannot change
/// between check and use.
#[derive(Debug)]
struct PrivateAddressGuard {
    private: bool,
    names: DefaultResolver,
}

impl Resolver for PrivateAddressGuard {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        let own: Vec<IpAddr> = if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip()).collect();
        let mut allowed = self.empty();
        found
            .iter()
            .filter(|address| self.private || is_allowed_address(address.ip(), &own))
            .for_each(|address| allowed.push(*address));
        if allowed.is_empty() {
            let why = "the name resolves to a private address or to this machine; private_webhooks would allow that";
            return Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, why)));
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_this_machine_are_not_foreign_though_they_be_public() {
        let own = ["1.1.1.1", "2606:4700::1111", "127.0.0.1"].map(|address| address.parse().unwrap());
        for (address, is_so) in [
            ("1.1.1.1", false),
            ("::ffff:1.1.1.1", false),
            ("2606:4700::1111", false),
            ("10.0.0.1", false),
            ("1.1.1.2", true),
            ("2606:4700::1112", true),
        ] {
            assert_eq!(is_allowed_address(address.parse().unwrap(), &own), is_so, "{address}");
        }
        assert!(if_addrs::get_if_addrs().unwrap().iter().any(|interface| interface.ip().is_loopback()));
    }
}
