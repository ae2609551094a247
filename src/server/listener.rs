//! The listener: accepts connections up to a total and a per-client limit. Connections over a limit are closed at once.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use listenfd::ListenFd;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpStream};

use super::log::LogLimiter;
use crate::auth::network;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::values::Networks;

/// Pause after a failed accept. Usually the process is out of descriptors, and other connections must close first.
const PAUSE: Duration = Duration::from_millis(100);

pub struct Listener {
    main: TcpListener,
    /// Accepts plain HTTP, which is redirected to HTTPS.
    plain: Option<TcpListener>,
    limit: Arc<ConnectionLimit>,
    metrics: Arc<Metrics>,
    rejected_log: LogLimiter,
    failed_log: LogLimiter,
}

/// Listening sockets that accept nothing yet.
pub struct BoundSockets {
    main: std::net::TcpListener,
    plain: Option<std::net::TcpListener>,
}

/// An accepted connection.
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: IpAddr,
    pub permit: ConnectionPermit,
    /// For plain HTTP: the HTTPS port to redirect to.
    pub tls_port: Option<u16>,
}

/// Counts and limits the open connections.
struct ConnectionLimit {
    max: usize,
    /// Maximum per client; 0 means no limit.
    max_per_address: usize,
    /// Trusted proxies, which are exempt because their connections serve many clients.
    proxies: Networks,
    open: Mutex<OpenConnections>,
}

#[derive(Default)]
struct OpenConnections {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Permission for one open connection, returned on drop.
pub struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    /// The client's network, if it is counted.
    network: Option<IpAddr>,
}

impl Listener {
    /// Must be called within the tokio runtime.
    pub fn new(listeners: BoundSockets, config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let main = TcpListener::from_std(listeners.main)?;
        let plain = listeners.plain.map(TcpListener::from_std).transpose()?;
        if let Some(plain) = &plain {
            tracing::info!(address = %plain.local_addr()?, "plain HTTP is redirected to TLS");
        }
        let limit = ConnectionLimit {
            max: config.max_connections,
            max_per_address: config.max_connections_per_address,
            proxies: config.trusted_proxies.clone(),
            open: Mutex::default(),
        };
        Ok(Self {
            main,
            plain,
            limit: Arc::new(limit),
            metrics: Arc::clone(metrics),
            rejected_log: LogLimiter::default(),
            failed_log: LogLimiter::default(),
        })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.main.local_addr()
    }

    /// Waits for the next connection within the limits.
    pub async fn next(&mut self) -> Accepted {
        loop {
            match self.accept().await {
                Ok((stream, peer, sent_on)) => {
                    let peer = peer.ip().to_canonical();
                    if let Some(place) = self.limit.acquire(peer) {
                        return Accepted { stream, peer, permit: place, tls_port: sent_on };
                    }
                    self.metrics.connection_rejected();
                    if let Some(times) = self.rejected_log.times(Instant::now()) {
                        tracing::warn!(%peer, times, "too many connections; closed one");
                    }
                }
                // The client gave up before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if let Some(times) = self.failed_log.times(Instant::now()) {
                        tracing::warn!(%error, times, "cannot accept a connection");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr, Option<u16>)> {
        let Some(plain) = &self.plain else {
            let (stream, peer) = self.main.accept().await?;
            return Ok((stream, peer, None));
        };
        let (accepted, sent_on) = tokio::select! {
            accepted = self.main.accept() => (accepted?, None),
            accepted = plain.accept() => (accepted?, Some(self.main.local_addr()?.port())),
        };
        let (stream, peer) = accepted;
        Ok((stream, peer, sent_on))
    }
}

impl BoundSockets {
    /// Another handle of the main socket.
    pub fn main(&self) -> std::io::Result<std::net::TcpListener> {
        self.main.try_clone()
    }

    /// Binds the configured addresses, or takes the sockets that systemd opened: the first for `listen`, the second for
    /// `redirect_listen`.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let mut opened = ListenFd::from_env();
        let main = listen(&mut opened, 0, config.listen, "listen")?;
        let plain = config.redirect_listen.map(|address| listen(&mut opened, 1, address, "redirect_listen"));
        Ok(Self { main, plain: plain.transpose()? })
    }
}

fn listen(
    opened: &mut ListenFd,
    number: usize,
    address: SocketAddr,
    setting: &str,
) -> anyhow::Result<std::net::TcpListener> {
    let listener = match opened.take_tcp_listener(number).context("the socket from systemd is not a TCP listener")? {
        Some(listener) => listener,
        None => std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                anyhow!("{address} is in use by another server: stop it, or choose another port (`{setting}`)")
            }
            ErrorKind::PermissionDenied => anyhow!(
                "this user may not listen on {address}: ports below 1024 need a privilege or a systemd socket \
                 (cx-engine.socket); or choose another port (`{setting}`)"
            ),
            ErrorKind::AddrNotAvailable => {
                anyhow!("{address} is not an address of this machine; choose another (`{setting}`)")
            }
            _ => anyhow!(error).context(format!("cannot listen on {address}; choose another (`{setting}`)")),
        })?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl ConnectionLimit {
    fn acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let is_counted = self.max_per_address > 0 && !self.proxies.contains(peer);
        let network = is_counted.then(|| network(peer));
        let mut open = self.open();
        if open.total >= self.max {
            return None;
        }
        if let Some(network) = network {
            let of_it = open.by_address.entry(network).or_default();
            if *of_it >= self.max_per_address {
                return None;
            }
            *of_it += 1;
        }
        open.total += 1;
        Some(ConnectionPermit { limit: Arc::clone(self), network })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        open.total -= 1;
        let Some(network) = self.network else { return };
        if let Some(of_it) = open.by_address.get_mut(&network) {
            *of_it -= 1;
            if *of_it == 0 {
                open.by_address.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(most: usize, most_of_one: usize, proxies: &[&str]) -> Arc<ConnectionLimit> {
        let proxies = proxies.join(",").parse().unwrap();
        Arc::new(ConnectionLimit { max: most, max_per_address: most_of_one, proxies, open: Mutex::default() })
    }

    fn admit(limit: &Arc<ConnectionLimit>, peer: &str) -> Option<ConnectionPermit> {
        limit.acquire(peer.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let limit = limit(100, 2, &[]);
        let (first, second) = (admit(&limit, "192.0.2.1"), admit(&limit, "192.0.2.1"));
        assert!(first.is_some() && second.is_some() && admit(&limit, "192.0.2.1").is_none());
        let other = admit(&limit, "192.0.2.2");
        assert!(other.is_some());
        drop(first);
        let third = admit(&limit, "192.0.2.1");
        assert!(third.is_some() && admit(&limit, "192.0.2.1").is_none());
        drop((second, other, third));
        let open = limit.open();
        assert_eq!((open.total, open.by_address.len()), (0, 0), "closed connections are forgotten");
    }

    #[test]
    fn the_addresses_that_are_anybodys_own_to_choose_are_one() {
        let limit = limit(100, 1, &[]);
        let _first = admit(&limit, "2001:db8::1");
        assert!(admit(&limit, "2001:db8::ffff:2").is_none());
        let _next_door = admit(&limit, "2001:db8:0:1::1").expect("another network");
    }

    #[test]
    fn in_all_there_are_no_more_than_so_many_also_by_proxies() {
        let limit = limit(3, 1, &["10.0.0.0/8"]);
        let open = ["10.0.0.1", "10.0.0.1", "192.0.2.1"].map(|peer| admit(&limit, peer));
        assert!(open.iter().all(Option::is_some), "proxies are exempt");
        assert!(admit(&limit, "10.0.0.1").is_none() && admit(&limit, "192.0.2.2").is_none());
        drop(open);
        assert!(admit(&limit, "192.0.2.2").is_some());
    }

    #[test]
    fn zero_counts_nobody() {
        let limit = limit(100, 0, &[]);
        let open: Vec<_> = (0..100).filter_map(|_| admit(&limit, "192.0.2.1")).collect();
        assert_eq!(open.len(), 100);
    }
}
