//! The certificate and the key of the settings: reads their files, and reads them again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use parking_lot::{Mutex, MutexGuard};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::dispatch;
use crate::config::TlsFiles;
use crate::instance::Instance;

/// Interval between checks of the files.
const EVERY: Duration = Duration::from_secs(2);

/// The certificate being served, and the state of its files when they were last read.
#[derive(Debug)]
pub struct FileCertificate {
    files: TlsFiles,
    state: Mutex<CertificateState>,
}

#[derive(Debug)]
struct CertificateState {
    certificate: Arc<CertifiedKey>,
    looks: [Option<FileStamp>; 2],
}

/// Detects that a file was rewritten or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl FileCertificate {
    pub fn open(files: &TlsFiles) -> anyhow::Result<Self> {
        let looks = look(files);
        let state = CertificateState { certificate: Arc::new(read(files)?), looks };
        Ok(Self { files: files.clone(), state: Mutex::new(state) })
    }

    /// Reloads the files even if they look unchanged.
    pub fn reload(&self) {
        self.state().looks = [None; 2];
        self.renew();
    }

    /// Starts checking the files. Open connections keep their certificate.
    pub fn reload_periodically(self: &Arc<Self>, instance: &Arc<Instance>) {
        let (served, instance) = (Arc::clone(self), Arc::clone(instance));
        tokio::spawn(async move {
            let mut rounds = tokio::time::interval(EVERY);
            loop {
                rounds.tick().await;
                let served = Arc::clone(&served);
                dispatch::run_on(&instance.executors.blocking, move || served.renew()).await;
            }
        });
    }

    /// Reloads the files if they changed. If they are invalid, logs that once and keeps the old certificate: while two
    /// files are being replaced, one changes first.
    fn renew(&self) {
        let looks = look(&self.files);
        if looks == self.state().looks {
            return;
        }
        let read = read(&self.files);
        let mut state = self.state();
        state.looks = looks;
        match read {
            Ok(certificate) => {
                state.certificate = Arc::new(certificate);
                tracing::info!("reloaded the TLS certificate");
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "invalid TLS certificate; still serving the old one")
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, CertificateState> {
        self.state.lock()
    }
}

impl ResolvesServerCert for FileCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.state().certificate))
    }
}

fn look(files: &TlsFiles) -> [Option<FileStamp>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let data = fs::metadata(path).ok()?;
        Some(FileStamp { inode: data.ino(), length: data.len(), changed: (data.mtime(), data.mtime_nsec()) })
    })
}

fn read(files: &TlsFiles) -> anyhow::Result<CertifiedKey> {
    let TlsFiles { certificate, key } = files;
    let said = |path: &Path, what| format!("{} cannot be read as {what}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| said(certificate, "certificates in PEM"))?;
    ensure!(!chain.is_empty(), "no certificate in {}", certificate.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| said(key, "a private key in PEM"))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))
}
