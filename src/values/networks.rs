//! A list of networks, as in a setting: `10.0.0.0/8, 127.0.0.1`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Networks {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(network).collect::<Option<_>>().map(Self).ok_or(())
    }
}

/// Parses a network, or a single address as a network.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.to_canonical().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_stand_side_by_side() {
        let networks: Networks = "10.0.0.0/8, 127.0.0.1,fd00::/8, ".parse().unwrap();
        for (address, is_inside) in
            [("10.255.0.1", true), ("127.0.0.1", true), ("127.0.0.2", false), ("fd12::1", true), ("2001:db8::1", false)]
        {
            assert_eq!(networks.contains(address.parse().unwrap()), is_inside, "{address}");
        }
        for bad in ["10.0.0.0/33", "proxy", "10.0.0.0/8;127.0.0.1"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert!("".parse::<Networks>().unwrap().is_empty());
    }
}
