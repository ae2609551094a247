//! The certificate of each host, by ACME. The first handshake of a host that is served here waits for its certificate. A
//! handshake for another name ends before anything is ordered.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::acme_client::AcmeClient;
use super::acme_proofs::AcmeProofs;
use super::certificate_orders::CertificateOrders;
use super::{dispatch, operations, service, tls};
use crate::certificates::CertificateStore;
use crate::config::{AcmeSettings, Config};
use crate::instance::Instance;

/// Certificates in memory. The others are read when they are needed.
const IN_MEMORY: usize = 1024;

/// Longest wait of a handshake for a first certificate, and how many may wait at once.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const MOST_WAITING: usize = 128;

pub struct HostCertificates {
    store: Arc<CertificateStore>,
    orders: Arc<CertificateOrders>,
    /// A handshake without a certificate, which the client is told.
    refusal: Arc<ServerConfig>,
    /// For clients that name no host, until there is a certificate: monitors on this machine do not check it.
    self_signed: Arc<ServerConfig>,
    loaded: Cache<String, Arc<ServerConfig>>,
    /// Counts changes of certificates on disk.
    changes: AtomicU64,
    waiting: Semaphore,
    /// Set once this server serves. Until then it has only the certificates on disk.
    instance: OnceLock<Arc<Instance>>,
}

/// No certificate for anybody.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

impl HostCertificates {
    pub fn open(store: Arc<CertificateStore>, settings: &AcmeSettings, config: &Config) -> anyhow::Result<Self> {
        let client = AcmeClient::open(settings, config.redirect_listen.is_some())?;
        Ok(Self {
            orders: Arc::new(CertificateOrders::new(Arc::clone(&store), client)),
            store,
            refusal: Arc::new(tls::server_config(Arc::new(NoCertificate))?),
            self_signed: Arc::new(self_signed(&config.central_domain)?),
            loaded: Cache::new(IN_MEMORY),
            changes: AtomicU64::new(0),
            waiting: Semaphore::new(MOST_WAITING),
            instance: OnceLock::new(),
        })
    }

    /// Orders and renews certificates from now on.
    pub fn start(self: &Arc<Self>, instance: &Arc<Instance>) -> io::Result<()> {
        instance.set_certificates(Arc::clone(&self.store));
        tracing::info!(authority = self.store.directory(), "certificates by ACME");
        let _ = self.instance.set(Arc::clone(instance));
        let hosts = Arc::downgrade(self);
        let forget = move |name: &str| {
            if let Some(hosts) = hosts.upgrade() {
                hosts.changes.fetch_add(1, Ordering::SeqCst);
                hosts.loaded.remove(name);
            }
        };
        self.orders.start(instance, forget, service::now)
    }

    pub fn proofs(&self) -> &AcmeProofs {
        self.orders.proofs()
    }

    pub fn refusal(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.refusal)
    }

    /// The configuration of a handshake with a host. A client that names no host gets the central one.
    pub async fn find(&self, host: Option<String>) -> Option<Arc<ServerConfig>> {
        let Some(host) = host else {
            let central = self.stored(self.store.central_domain()).await;
            return Some(central.unwrap_or_else(|| Arc::clone(&self.self_signed)));
        };
        if let Some(found) = self.stored(&host).await {
            return Some(found);
        }
        let instance = self.instance.get()?;
        if !operations::needs_certificate(instance, &host) {
            return None;
        }
        let _permit = self.waiting.try_acquire().ok()?;
        tokio::time::timeout(LONGEST_WAIT, self.ordered(&host)).await.ok()?
    }

    /// Waits until the certificate of a host was ordered.
    async fn ordered(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let name = self.store.name_to_order(host);
        let mut ended = self.orders.ended();
        if let Err(refused) = self.orders.request(&name, service::now()) {
            tracing::debug!(host, ?refused, "no certificate is ordered");
            return None;
        }
        while self.orders.is_requested(&name) {
            ended.changed().await.ok()?;
        }
        self.stored(host).await
    }

    /// All hosts share the memory of sessions: rustls resumes a session only for the host that it began with.
    fn with_certificate(&self, certificate: CertifiedKey) -> ServerConfig {
        let mut config = (*self.refusal).clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certificate));
        config
    }

    /// The certificate of a host that is on disk.
    async fn stored(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let name = self.store.find(host)?;
        if let Some(loaded) = self.loaded.get(&name) {
            return Some(loaded);
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let read = match self.instance.get() {
            Some(instance) => {
                let (store, name) = (Arc::clone(&self.store), name.clone());
                dispatch::run_on(&instance.executors.blocking, move || read(&store, &name)).await?
            }
            None => read(&self.store, &name),
        };
        match read {
            Ok(certificate) => {
                let config = Arc::new(self.with_certificate(certificate));
                self.loaded.insert(name.clone(), Arc::clone(&config));
                // It may have been replaced after it was read, and before it was remembered.
                if self.changes.load(Ordering::SeqCst) != changes {
                    self.loaded.remove(&name);
                }
                Some(config)
            }
            Err(error) => {
                tracing::error!(
                    host,
                    error = format!("{error:#}"),
                    "a certificate cannot be used; it is ordered again"
                );
                self.store.lose(&name);
                None
            }
        }
    }
}

/// Reads a certificate with its key.
fn read(store: &CertificateStore, name: &str) -> anyhow::Result<CertifiedKey> {
    certified_key(&store.read(name)?)
}

fn self_signed(host: &str) -> anyhow::Result<ServerConfig> {
    let signed = rcgen::generate_simple_self_signed([host.to_owned()])?;
    let pem = signed.cert.pem() + &signed.signing_key.serialize_pem();
    tls::server_config(Arc::new(SingleCertAndKey::from(certified_key(pem.as_bytes())?)))
}

/// Parses a certificate chain with its key. Fails if they do not belong together.
pub fn certified_key(pem: &[u8]) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().context("not a certificate")?;
    ensure!(!chain.is_empty(), "there is no certificate");
    let key = PrivateKeyDer::from_pem_slice(pem).context("there is no key")?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).context("the certificate has another key")
}
