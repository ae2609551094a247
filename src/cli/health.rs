//! `cx-engine health`: whether the server of these settings is ready. For containers and monitoring, whoever they run it as:
//! it asks over the network, and opens no file of the server's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::cli::output::outln;
use crate::config::Config;

/// Less than what monitors wait for a command.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn run(config: &Config) -> anyhow::Result<()> {
    let url = format!("{}://{}", config.scheme(), reached_at(config.listen)?);
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        // A proxy of the environment does not lead to this machine.
        .proxy(None)
        // The certificate is not for the address; and whether it is any good is not what is asked.
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .build()
        .new_agent();
    let not_ready = || format!("{url} is not ready");
    let mut answer = agent.get(format!("{url}/readyz")).call().with_context(not_ready)?;
    let said = answer.body_mut().read_to_string().with_context(not_ready)?;
    if !answer.status().is_success() {
        bail!("{}: {} {}", not_ready(), answer.status().as_u16(), said.trim());
    }
    outln!("{url} is ready");
    Ok(())
}

/// Where this machine reaches what listens there: on any address is also on the loopback one.
fn reached_at(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    if listen.port() == 0 {
        bail!("`listen` names no port, so nobody knows where the server is");
    }
    let address = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    Ok(SocketAddr::new(address, listen.port()))
}
