//! The settings that all HTTP clients of the program share.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// The root certificates of the system. Reading them takes some milliseconds.
pub fn system_roots() -> RootCerts {
    roots_of(&rustls_native_certs::load_native_certs().certs)
}

/// The root certificates of a setting: those of a PEM file, or those of the system.
pub fn root_certificates(setting: &str, file: Option<&Path>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let Some(path) = file else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let roots = read.with_context(|| format!("{setting}: {} cannot be read in PEM", path.display()))?;
    ensure!(!roots.is_empty(), "{setting}: no certificate in {}", path.display());
    Ok(roots)
}

/// Root certificates in DER.
pub fn roots_of<C: AsRef<[u8]>>(certificates: &[C]) -> RootCerts {
    let roots = certificates.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned());
    RootCerts::Specific(Arc::new(roots.collect()))
}

/// A client that hands every response to its caller, also an error or a redirect. A proxy from the environment could read
/// what is sent, and reach addresses that we must not.
pub fn agent_config(roots: RootCerts) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("cx-engine/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
}
