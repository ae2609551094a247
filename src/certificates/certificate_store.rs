//! The folder `acme/` of a data directory: the account, a file for each certificate with its key, and `state.json`, an index
//! of them with the state of the orders. Only the owner can read them. The index makes the start independent of the number
//! of certificates, and keeps the weekly limit over restarts.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use parking_lot::Mutex;

use super::certificate_summary::CertificateSummary;
use super::order_schedule::{OrderFailure, OrderSchedule, RefusedOrder};
use crate::config::{AcmeSettings, Config};
use crate::durable_fs;
use crate::tls_certificate::Validity;
use crate::values::Timestamp;

const FOLDER: &str = "acme";
const STATE: &str = "state.json";
const ACCOUNT: &str = "account.json";
const CERTIFICATES: &str = "certificates";

pub struct CertificateStore {
    folder: PathBuf,
    central_domain: String,
    /// Whether one certificate serves all hosts.
    has_wildcard: bool,
    schedule: Mutex<OrderSchedule>,
    issued: AtomicU64,
    failed: AtomicU64,
}

impl CertificateStore {
    /// Reads the index, or the certificates if there is no index. Creates nothing.
    pub fn open(config: &Config, settings: &AcmeSettings) -> anyhow::Result<Self> {
        let folder = config.data_dir.join(FOLDER);
        let mut schedule = match read_state(&folder) {
            Ok(Some(schedule)) => schedule,
            Ok(None) => read_certificates(&folder)?,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the certificates are read again, one by one");
                read_certificates(&folder)?
            }
        };
        schedule.use_authority(&settings.directory, settings.weekly_limit);
        Ok(Self {
            folder,
            central_domain: config.central_domain.clone(),
            has_wildcard: settings.dns_hook.is_some(),
            schedule: Mutex::new(schedule),
            issued: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// The summary of the certificates in a data directory. `None` if there are none.
    pub fn read_summary(data: &Path, now: Timestamp) -> anyhow::Result<Option<CertificateSummary>> {
        Ok(read_state(&data.join(FOLDER))?.map(|schedule| CertificateSummary::of(&schedule, now)))
    }

    pub fn summary(&self, now: Timestamp) -> CertificateSummary {
        CertificateSummary::of(&self.schedule.lock(), now)
    }

    /// The directory of the authority.
    pub fn directory(&self) -> String {
        self.schedule.lock().directory.clone()
    }

    pub fn central_domain(&self) -> &str {
        &self.central_domain
    }

    /// Certificates that were issued, and orders that failed, since the start.
    pub fn orders(&self) -> (u64, u64) {
        (self.issued.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// The name under which the certificate for a host is ordered: its own, or the wildcard.
    pub fn name_to_order(&self, host: &str) -> String {
        if self.has_wildcard { self.wildcard() } else { host.to_owned() }
    }

    /// The identifiers of the certificate with a name. The wildcard does not cover the domain itself.
    pub fn identifiers(&self, name: &str) -> Vec<String> {
        if self.is_wildcard(name) { vec![self.central_domain.clone(), name.to_owned()] } else { vec![name.to_owned()] }
    }

    /// The name of the stored certificate that serves a host. After a change between a wildcard and a certificate for each
    /// host, the old ones serve until there are new ones.
    pub fn find(&self, host: &str) -> Option<String> {
        let schedule = self.schedule.lock();
        let is_below = host.split_once('.').is_some_and(|(_, domain)| domain == self.central_domain);
        let wildcard = (is_below || host == self.central_domain).then(|| self.wildcard());
        let own = Some(host.to_owned());
        let [first, second] = if self.has_wildcard { [wildcard, own] } else { [own, wildcard] };
        let is_stored = |name: &String| schedule.certificate(name).is_some();
        first.filter(is_stored).or_else(|| second.filter(is_stored))
    }

    pub fn has(&self, name: &str) -> bool {
        self.schedule.lock().certificate(name).is_some()
    }

    /// Whether the certificate with this name may be ordered now.
    pub fn check(&self, name: &str, now: Timestamp) -> Result<(), RefusedOrder> {
        self.schedule.lock().check(name, now)
    }

    /// Failed orders of a certificate since the last that was issued.
    pub fn failures(&self, name: &str) -> u32 {
        self.schedule.lock().failures(name)
    }

    /// The name of the certificate to order next without a request: that of the central host, then those to renew.
    pub fn due(&self, now: Timestamp) -> Option<String> {
        let schedule = self.schedule.lock();
        let central = self.name_to_order(&self.central_domain);
        if schedule.certificate(&central).is_none() && schedule.check(&central, now).is_ok() {
            return Some(central);
        }
        schedule.due(now, |name| self.is_wildcard(name) == self.has_wildcard).map(str::to_owned)
    }

    /// Counts an order on disk, before the authority is asked for the certificate.
    pub fn count_order(&self, name: &str, now: Timestamp) -> anyhow::Result<()> {
        self.schedule.lock().count_order(name, now);
        self.save_state()
    }

    /// Saves a certificate with its key, both in one PEM file.
    pub fn save(&self, name: &str, pem: &[u8], now: Timestamp) -> anyhow::Result<Validity> {
        let validity = Validity::of_pem(pem).context("the certificate cannot be read")?;
        anyhow::ensure!(
            validity.expires_at > now,
            "the certificate has expired at {} already: the clock of this machine or of the authority is wrong",
            validity.expires_at
        );
        let path = self.path(name);
        durable_fs::create_private_folder(durable_fs::folder_of(&path)?)?;
        durable_fs::write_private_file(&path, pem)?;
        self.schedule.lock().issued(name, validity, now);
        self.issued.fetch_add(1, Ordering::Relaxed);
        self.save_state()?;
        Ok(validity)
    }

    /// Notes that an order failed, and that the next one must wait.
    pub fn order_failed(&self, name: &str, failure: &OrderFailure, now: Timestamp) -> anyhow::Result<()> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.schedule.lock().failed(name, failure, now);
        self.save_state()
    }

    /// Reads a certificate with its key. If the file cannot be read, the certificate is ordered again.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path(name);
        fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
    }

    /// Notes that a certificate cannot be used.
    pub fn lose(&self, name: &str) {
        self.schedule.lock().lose(name);
    }

    /// Deletes the certificates of hosts that are not served any more. Returns their names.
    pub fn keep_only(&self, is_served: impl Fn(&str) -> bool, now: Timestamp) -> anyhow::Result<Vec<String>> {
        let wildcard = self.wildcard();
        let names = |schedule: &OrderSchedule| -> Vec<String> {
            let is_valid = |name: &str| schedule.certificate(name).is_some_and(|known| known.expires_at > now);
            let is_kept = |name: &str| match (self.has_wildcard, self.is_wildcard(name)) {
                (true, true) => true,
                (true, false) => !is_valid(&wildcard) && is_served(name),
                (false, true) => is_valid(&wildcard),
                (false, false) => is_served(name),
            };
            schedule.hosts().map(|(name, _)| name).filter(|name| !is_kept(name)).map(str::to_owned).collect()
        };
        let removed = names(&self.schedule.lock());
        if removed.is_empty() {
            return Ok(removed);
        }
        for name in &removed {
            self.schedule.lock().remove(name);
            let path = self.path(name);
            let deleted = durable_fs::if_there(fs::remove_file(&path));
            deleted.with_context(|| format!("cannot delete {}", path.display()))?;
        }
        self.save_state()?;
        Ok(removed)
    }

    /// The account at the authority, as it was saved.
    pub fn read_account(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.folder.join(ACCOUNT);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    pub fn save_account(&self, account: &[u8]) -> anyhow::Result<()> {
        durable_fs::create_private_folder(&self.folder)?;
        durable_fs::write_private_file(&self.folder.join(ACCOUNT), account)
    }

    /// Deletes an account that the authority does not know.
    pub fn delete_account(&self) -> anyhow::Result<()> {
        Ok(durable_fs::if_there(fs::remove_file(self.folder.join(ACCOUNT)))?)
    }

    fn save_state(&self) -> anyhow::Result<()> {
        durable_fs::create_private_folder(&self.folder)?;
        let text = serde_json::to_vec(&*self.schedule.lock())?;
        durable_fs::write_private_file(&self.folder.join(STATE), &text)
    }

    pub fn is_wildcard(&self, name: &str) -> bool {
        name.starts_with("*.")
    }

    fn wildcard(&self) -> String {
        format!("*.{}", self.central_domain)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(CERTIFICATES).join(format!("{}.pem", name.replace('*', "_")))
    }
}

fn read_state(folder: &Path) -> anyhow::Result<Option<OrderSchedule>> {
    let path = folder.join(STATE);
    let schedule = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(anyhow::Error::from).and_then(|text| Ok(serde_json::from_slice(&text)?)),
    };
    schedule.map(Some).with_context(|| format!("{} cannot be read", path.display()))
}

/// Reads all certificates. One that cannot be read is ordered again.
fn read_certificates(folder: &Path) -> anyhow::Result<OrderSchedule> {
    let mut schedule = OrderSchedule::default();
    let folder = folder.join(CERTIFICATES);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(schedule),
        entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".pem"));
        if let Some(name) = name
            && let Ok(pem) = fs::read(&path)
            && let Ok(validity) = Validity::of_pem(&pem)
        {
            schedule.add(&name.replace('_', "*"), validity);
        }
    }
    Ok(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RawSettings, Setting};

    const CENTRAL: &str = "cx.example.com";

    fn open(data: &Path, dns_hook: &str) -> CertificateStore {
        let mut typed = RawSettings::default();
        for (name, value) in [
            ("data_dir", data.to_str().unwrap()),
            ("central_domain", CENTRAL),
            ("acme_email", "ada@example.com"),
            ("acme_dns_hook", dns_hook),
        ] {
            typed.insert(Setting::named(name).unwrap(), value.into(), "the test".into());
        }
        let config = Config::new(&typed).unwrap();
        CertificateStore::open(&config, config.acme.as_ref().unwrap()).unwrap()
    }

    /// A certificate from the first to the last of these days of January 2031.
    fn pem(days: (u8, u8)) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec![CENTRAL.into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2031, 1, days.0);
        parameters.not_after = rcgen::date_time_ymd(2031, 1, days.1);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().into_bytes()
    }

    fn day(day: u8) -> Timestamp {
        format!("2031-01-{day:02}T00:00:00Z").parse().unwrap()
    }

    #[test]
    fn certificates_are_found_again_also_without_their_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), "");
        assert_eq!(store.due(day(1)).as_deref(), Some(CENTRAL), "the central host is not waited for");
        for name in [CENTRAL, "acme.cx.example.com"] {
            store.count_order(name, day(1)).unwrap();
            store.save(name, &pem((1, 30)), day(1)).unwrap();
        }
        let index = folder.path().join("acme").join(STATE);
        for spoil in [|_: &Path| Ok(()), |index: &Path| fs::remove_file(index), |index: &Path| fs::write(index, "{")] {
            spoil(&index).unwrap();
            let again = open(folder.path(), "");
            assert_eq!(again.find("acme.cx.example.com").as_deref(), Some("acme.cx.example.com"));
            assert_eq!(again.find("beta.cx.example.com"), None);
            assert_eq!((again.due(day(2)), again.summary(day(2)).orders_left), (None, 38));
            assert!(again.due(day(21)).is_some());
        }
    }

    #[test]
    fn an_expired_certificate_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), "");
        let said = store.save(CENTRAL, &pem((1, 2)), day(3)).unwrap_err().to_string();
        assert!(said.contains("has expired at 2031-01-02T00:00:00Z already"), "{said}");
        assert_eq!(store.find(CENTRAL), None);
    }

    #[test]
    fn old_certificates_serve_until_the_wildcard_is_there_and_the_other_way_round() {
        let folder = tempfile::tempdir().unwrap();
        let (acme, wildcard) = ("acme.cx.example.com", "*.cx.example.com");
        let store = open(folder.path(), "");
        store.save(acme, &pem((1, 30)), day(1)).unwrap();
        let store = open(folder.path(), "/hook");
        assert_eq!((store.find(acme).as_deref(), store.due(day(1)).as_deref()), (Some(acme), Some(wildcard)));
        assert_eq!(store.identifiers(&store.name_to_order(acme)), [CENTRAL, wildcard]);
        assert!(store.keep_only(|_| true, day(1)).unwrap().is_empty());
        store.save(wildcard, &pem((1, 30)), day(1)).unwrap();
        for host in [CENTRAL, acme, "beta.cx.example.com"] {
            assert_eq!(store.find(host).as_deref(), Some(wildcard), "{host}");
        }
        assert_eq!(store.find("a.b.cx.example.com"), None);
        assert_eq!(store.keep_only(|_| true, day(1)).unwrap(), [acme]);

        let store = open(folder.path(), "");
        assert_eq!((store.find(acme).as_deref(), store.due(day(25)).as_deref()), (Some(wildcard), Some(CENTRAL)));
        store.save(CENTRAL, &pem((25, 31)), day(25)).unwrap();
        assert_eq!(store.find(CENTRAL).as_deref(), Some(CENTRAL));
        assert!(store.keep_only(|_| true, day(25)).unwrap().is_empty());
        assert_eq!(store.keep_only(|_| true, day(30)).unwrap(), [wildcard]);
        assert_eq!(store.keep_only(|_| false, day(30)).unwrap(), [CENTRAL]);
    }
}
