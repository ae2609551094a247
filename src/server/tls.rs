//! TLS without a proxy: with the certificate of the settings, or with certificates by ACME.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{Acceptor, ResolvesServerCert};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::acme_proofs::ACME_TLS;
use super::file_certificate::FileCertificate;
use super::host_certificates::HostCertificates;
use crate::certificates::CertificateStore;
use crate::config::Config;
use crate::instance::Instance;

pub enum Tls {
    Files(TlsAcceptor, Arc<FileCertificate>),
    Acme(Arc<HostCertificates>),
}

impl Tls {
    /// Supports HTTP/2 and HTTP/1.1 over TLS 1.3 and 1.2. `None` if a proxy speaks TLS, or nobody.
    pub fn open(config: &Config) -> anyhow::Result<Option<Arc<Self>>> {
        let tls = match (&config.tls, &config.acme) {
            (Some(files), _) => {
                let served = Arc::new(FileCertificate::open(files)?);
                let config = server_config(Arc::clone(&served) as _)?;
                Self::Files(Arc::new(config).into(), served)
            }
            (None, Some(acme)) => {
                let store = Arc::new(CertificateStore::open(config, acme)?);
                Self::Acme(Arc::new(HostCertificates::open(store, acme, config)?))
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Arc::new(tls)))
    }

    /// Does the handshake. `patience` limits the time for which the client keeps us waiting. `None` if the connection only
    /// served to prove to an authority that a host is ours.
    pub async fn accept(&self, stream: TcpStream, patience: Duration) -> io::Result<Option<TlsStream<TcpStream>>> {
        let hosts = match self {
            Self::Files(acceptor, _) => return within(patience, acceptor.accept(stream)).await.map(Some),
            Self::Acme(hosts) => hosts,
        };
        let start = within(patience, LazyConfigAcceptor::new(Acceptor::default(), stream)).await?;
        let hello = start.client_hello();
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let is_proof = hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS));
        let config = match (name, is_proof) {
            (Some(name), true) => hosts.proofs().handshake(&name),
            (name, _) => hosts.find(name).await,
        };
        let config = config.unwrap_or_else(|| hosts.refusal());
        let stream = within(patience, start.into_stream(config)).await?;
        Ok((!is_proof).then_some(stream))
    }

    /// Reads the files of the settings again.
    pub fn reload(&self) {
        if let Self::Files(_, served) = self {
            served.reload();
        }
    }

    /// Keeps the certificates up to date from now on.
    pub fn start(&self, instance: &Arc<Instance>) -> io::Result<()> {
        match self {
            Self::Files(_, served) => served.reload_periodically(instance),
            Self::Acme(hosts) => hosts.start(instance)?,
        }
        Ok(())
    }

    /// The proof for an authority that a host is ours, at this path of plain HTTP (HTTP-01).
    pub fn http_proof(&self, path: &str) -> Option<String> {
        match self {
            Self::Files(..) => None,
            Self::Acme(hosts) => hosts.proofs().http(path),
        }
    }
}

/// The configuration of a server with a source of certificates.
pub fn server_config(certificates: Arc<dyn ResolvesServerCert>) -> anyhow::Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn within<T>(patience: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
