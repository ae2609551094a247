//! `cx-engine health`: checks that the server with these settings is ready. Containers and monitoring can run it as any
//! user, because it uses only the network and opens no file of the server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use ureq::Agent;
use ureq::tls::TlsConfig;

use crate::cli::output::outln;
use crate::config::Config;

/// Shorter than the usual timeout of monitors.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn run(config: &Config) -> anyhow::Result<()> {
    let url = format!("{}://{}", config.scheme(), reached_at(config.listen)?);
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        // A proxy from the environment cannot reach this machine.
        .proxy(None)
        // The certificate is for a host name, not for this address, and its validity is not checked here.
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

/// The address at which this machine reaches the listener. An unspecified address includes the loopback address.
fn reached_at(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    if listen.port() == 0 {
        bail!("`listen` has port 0, so the port of the server is unknown");
    }
    let address = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    Ok(SocketAddr::new(address, listen.port()))
}
