//! Configuration: raw settings (flags, then `CX_…` in the environment, then a file, then defaults) become a `Config`.
//! One table defines the flags, the environment variables, the file, `--print-config` and `docs/configuration.md`.

mod acme_settings;
mod backup_settings;
mod setting_table;
mod sign_on_settings;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::SmtpTransportBuilder;
use parking_lot::RwLock;

use crate::auth::PasswordCost;
use crate::object_store::StoreSettings;
use crate::offsite::{BackupTarget, OffsiteSettings, Recipient};
use crate::openid::{Provider, providers_of_file};
use crate::values::{Networks, PublicUrl, WebUrl};
use setting_table::nearest;
pub use setting_table::{SETTINGS, Setting, SettingGroup, SettingKind};
use values::{is_public_domain, without_password};

/// The validated settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that the settings come from, if one was read.
    pub settings_file: Option<PathBuf>,
    pub listen: SocketAddr,
    /// Enables TLS without a proxy.
    pub tls: Option<TlsFiles>,
    /// Enables TLS without a proxy, with certificates by ACME.
    pub acme: Option<AcmeSettings>,
    /// The `max-age` of HSTS, in seconds; 0 omits the header.
    pub hsts_max_age: u32,
    /// Redirects plain HTTP to HTTPS. Only with TLS.
    pub redirect_listen: Option<SocketAddr>,
    pub data_dir: PathBuf,
    /// Defaults to `backups` in the data directory.
    pub backup_dir: Option<PathBuf>,
    /// The place outside this machine that gets a copy of each backup; see [`Config::offsite`].
    pub backup_to: Option<BackupTarget>,
    pub backup_recipients: Vec<Recipient>,
    pub backup_region: String,
    pub backup_key_file: PathBuf,
    pub backup_secret_file: PathBuf,
    pub backup_part_mib: u64,
    /// Seconds without a complete backup after which operators are alerted.
    pub backup_expect: Option<i64>,
    pub alert_webhook: Option<AlertWebhook>,
    /// The object store, if one is set.
    pub store: Option<StoreSettings>,
    pub acknowledge: Acknowledge,
    /// The name of this machine in the object store.
    pub node_name: String,
    /// How the other servers of the object store reach this one, if several serve.
    pub node: Option<NodeSettings>,
    /// The time after which another server of the object store takes over.
    pub lease: Duration,
    /// Seconds for which old states can be restored from the object store.
    pub cluster_keep: i64,
    pub central_domain: String,
    /// Allows requests to the central host to name a workspace by path or header.
    pub workspace_by_path: bool,
    /// Explicit setting only; see [`Config::public_url`].
    pub public_url: Option<PublicUrl>,
    pub registration: Registration,
    /// The file of the providers.
    pub single_sign_on: Option<PathBuf>,
    /// The providers of single sign-on; see [`Config::provider`].
    pub providers: Vec<Provider>,
    /// Rejects passwords.
    pub require_single_sign_on: bool,
    pub max_open_workspaces: usize,
    pub database_threads: usize,
    pub read_turns: usize,
    pub max_waiting: usize,
    pub turn_timeout: Duration,
    pub statement_timeout: Duration,
    pub list_timeout: Duration,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub shutdown_timeout: Duration,
    pub token_ttl: i64,
    pub oauth_access_token_ttl: i64,
    pub password_cost: PasswordCost,
    pub hashing_threads: usize,
    pub throttle_attempts: usize,
    pub throttle_window: i64,
    /// Require a second factor for operator actions.
    pub operator_second_factor: bool,
    /// Retention of the central audit log, in days.
    pub audit_days: i64,
    pub quotas: Quotas,
    pub default_country: String,
    pub timezone: String,
    pub trash_days: i64,
    pub smtp_plain_password: bool,
    /// The mail server, if one is set.
    pub smtp: Option<SmtpTransportBuilder>,
    /// Host and port of the mail server, without the password.
    pub smtp_server: Option<String>,
    pub mail_from: Mailbox,
    /// Allow webhooks to loopback, private and link-local addresses.
    pub private_webhooks: bool,
    pub trusted_proxies: Networks,
    pub forwarded_fields: ForwardedFields,
    pub cors_origins: Vec<String>,
    /// Serve `/metrics`.
    pub metrics: bool,
    pub log: String,
    pub log_format: LogFormat,
}

/// Limits, named like their settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    pub max_workspaces_per_account: i64,
    pub max_tokens_per_account: i64,
    pub invitations_per_day: i64,
    /// Minimum seconds between two resends of an invitation.
    pub invitation_resend_interval: i64,
    pub max_webhooks: i64,
    pub max_pending_deliveries: i64,
    pub mails_per_hour: i64,
}

/// PEM files: the certificate chain (the server's certificate first) and its private key.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How certificates are got by ACME (RFC 8555).
#[derive(Debug, Clone, Default)]
pub struct AcmeSettings {
    pub email: String,
    pub directory: String,
    /// The root certificate of a private authority.
    pub root: Option<PathBuf>,
    /// Sets DNS records. With it, one wildcard certificate serves all hosts.
    pub dns_hook: Option<PathBuf>,
    /// Certificates per week for hosts that have none.
    pub weekly_limit: usize,
}

/// How the servers of an object store reach and recognize each other.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The URL of this server, without a path.
    pub url: String,
    pub secret_file: PathBuf,
    /// The root certificate by which the other servers are recognized with `https://`.
    pub root: Option<PathBuf>,
}

/// The receiver of alerts.
#[derive(Debug, Clone)]
pub struct AlertWebhook {
    pub url: WebUrl,
    pub secret_file: PathBuf,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// Only with an invitation.
    Invite,
    Closed,
}

/// When a response to a write is sent, with an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// After the object store has the write.
    Stored,
    /// After the local disk has the write. The object store follows within a second.
    Local,
}

/// The headers that trusted proxies set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `-Host` and `-Proto`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// Variables with our prefix that other programs in `packaging/` read.
const NOT_OURS: [&str; 3] = ["CX_DOMAIN", "CX_REPLICA", "CX_SERVER"];

/// Raw values by setting name, each with its origin.
#[derive(Debug, Clone, Default)]
pub struct RawSettings {
    values: BTreeMap<&'static str, (String, String)>,
    file: Option<PathBuf>,
}

impl RawSettings {
    pub fn insert(&mut self, setting: &'static Setting, value: String, origin: String) {
        self.values.insert(setting.name, (value, origin));
    }

    /// Adds the values from the environment. Rejects a `CX_` variable that names no setting, because it is misspelled.
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn add_environment(&mut self) -> anyhow::Result<()> {
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with("CX_")) else { continue };
            if NOT_OURS.contains(&name) {
                continue;
            }
            let setting = SETTINGS.iter().find(|setting| setting.variable() == name);
            let setting = setting.with_context(|| {
                let nearest = nearest(&name.trim_start_matches("CX_").to_ascii_lowercase());
                format!("the environment variable {name} is no setting; did you mean {}?", nearest.variable())
            })?;
            let value = value.into_string().ok().with_context(|| format!("{name} is not UTF-8"))?;
            self.insert(setting, value, format!("the environment variable {name}"));
        }
        Ok(())
    }

    /// Adds the values of a TOML file.
    pub fn add_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: toml::Table = text.parse().with_context(|| format!("{} is not a TOML file", path.display()))?;
        self.file = Some(path.to_owned());
        for (name, value) in table {
            let Some(setting) = Setting::named(&name) else {
                bail!("{} sets {name}, which is no setting; did you mean {}?", path.display(), nearest(&name).name);
            };
            self.insert(setting, plain(&value), path.display().to_string());
        }
        Ok(())
    }

    fn value(&self, setting: &Setting) -> &str {
        self.values.get(setting.name).map_or(setting.default_with(self), |(value, _)| value.trim())
    }

    fn uses_acme(&self) -> bool {
        self.values.get("acme_email").is_some_and(|(email, _)| !email.trim().is_empty())
    }

    /// Overwrites values with those of `other`.
    pub fn override_with(&mut self, other: Self) {
        self.values.extend(other.values);
    }
}

/// The result of reading the settings again.
#[derive(Debug)]
pub struct Reloaded {
    pub config: Config,
    /// The values in force.
    pub typed: RawSettings,
    /// Changed settings that were applied.
    pub applied: Vec<&'static str>,
    /// Changed settings that need a restart.
    pub need_restart: Vec<&'static str>,
}

impl Reloaded {
    /// Applies the changes that a running server can apply. If any new value is invalid, none is applied.
    pub fn new(old: &RawSettings, new: &RawSettings) -> anyhow::Result<Self> {
        Config::new(new)?;
        let (mut typed, mut applied, mut need_restart) = (old.clone(), Vec::new(), Vec::new());
        for setting in SETTINGS {
            if old.value(setting) == new.value(setting) {
                continue;
            }
            if !setting.reloads {
                need_restart.push(setting.name);
                continue;
            }
            applied.push(setting.name);
            match new.values.get(setting.name) {
                Some(value) => typed.values.insert(setting.name, value.clone()),
                None => typed.values.remove(setting.name),
            };
        }
        let config = Config::new(&typed)?;
        Ok(Self { config, typed, applied, need_restart })
    }
}

/// The settings in force. A reload replaces them; existing references keep the old ones.
pub struct LiveConfig(RwLock<&'static Config>);

impl LiveConfig {
    /// Never frees the settings, so that references outlive a reload. They take a kilobyte, and reloads are rare.
    pub fn new(config: Config) -> Self {
        Self(RwLock::new(Box::leak(Box::new(config))))
    }

    pub fn replace(&self, config: Config) {
        *self.0.write() = Box::leak(Box::new(config));
    }
}

impl Deref for LiveConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        *self.0.read()
    }
}

impl Config {
    /// Applies the raw values over the defaults. The error names the first value that is not allowed.
    pub fn new(typed: &RawSettings) -> anyhow::Result<Self> {
        let mut config = Self { settings_file: typed.file.clone(), ..Self::blank() };
        for setting in SETTINGS {
            let value = typed.value(setting);
            if (setting.set)(&mut config, value).is_none() {
                let origin = typed.values.get(setting.name).map_or("the default", |(_, origin)| origin.as_str());
                // A malformed URL is hidden entirely, because its password cannot be found in it.
                let shown = if setting.is_secret() { "…".into() } else { format!("{value:?}") };
                bail!("{} = {shown} (from {origin}) is not allowed: it must be {}", setting.name, setting.allowed);
            }
        }
        config.check_acme()?;
        if config.read_turns >= config.database_threads {
            bail!(
                "read_turns = {} is not allowed: it must be less than database_threads = {}",
                config.read_turns,
                config.database_threads
            );
        }
        if let Some(store) = &config.store
            && [&store.key_file, &store.secret_file].iter().any(|file| file.as_os_str().is_empty())
        {
            bail!(
                "store_url needs store_key_file and store_secret_file: the files with the access key and its secret key"
            );
        }
        if config.node.is_some() && (config.store.is_none() || config.acknowledge != Acknowledge::Stored) {
            bail!(
                "node_url needs store_url and acknowledge = \"stored\": other servers take over from the object store"
            );
        }
        if config.backup_to.is_some() && config.backup_recipients.is_empty() {
            bail!(
                "backup_to needs backup_recipients: the public keys that encrypt the backups. `cx-engine backup-key` makes a \
                 pair of keys"
            );
        }
        config.offsite()?;
        config.providers = config.single_sign_on.as_deref().map(providers_of_file).transpose()?.unwrap_or_default();
        if config.require_single_sign_on && config.providers.is_empty() {
            bail!("require_single_sign_on needs single_sign_on: the file of the providers");
        }
        Ok(config)
    }

    /// Certificates by ACME need a domain that the authority can reach, and no other source of certificates.
    fn check_acme(&self) -> anyhow::Result<()> {
        let Some(acme) = &self.acme else { return Ok(()) };
        if self.tls.is_some() {
            bail!("acme_email and tls_certificate exclude each other: remove the one that is not wanted");
        }
        if acme.directory == LETS_ENCRYPT && !is_public_domain(&self.central_domain) {
            bail!(
                "acme_email needs a public domain: Let's Encrypt issues no certificate for central_domain = {:?}. Set \
                 central_domain, or acme_directory to an authority of your network",
                self.central_domain
            );
        }
        if self.node.is_some() && acme.dns_hook.is_none() {
            bail!(
                "acme_email with node_url needs acme_dns_hook: the authority may reach any of the servers, and only one \
                 of them has the proof for a host"
            );
        }
        Ok(())
    }

    /// The provider of single sign-on with this name.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// Whether this server speaks TLS itself.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some() || self.acme.is_some()
    }

    /// The place outside this machine for backups, if one is set.
    pub fn offsite(&self) -> anyhow::Result<Option<OffsiteSettings>> {
        let Some(target) = &self.backup_to else { return Ok(None) };
        let or_of_store = |own: &PathBuf, of_store: fn(&StoreSettings) -> &PathBuf| match &self.store {
            Some(store) if own.as_os_str().is_empty() => of_store(store).clone(),
            _ => own.clone(),
        };
        let key_file = or_of_store(&self.backup_key_file, |store| &store.key_file);
        let secret_file = or_of_store(&self.backup_secret_file, |store| &store.secret_file);
        if matches!(target, BackupTarget::Store(_))
            && [&key_file, &secret_file].iter().any(|file| file.as_os_str().is_empty())
        {
            bail!(
                "a bucket for backups needs backup_key_file and backup_secret_file: the files with the access key and its \
                 secret key"
            );
        }
        Ok(Some(OffsiteSettings {
            target: target.clone(),
            region: self.backup_region.clone(),
            key_file,
            secret_file,
            recipients: self.backup_recipients.clone(),
            part_bytes: self.backup_part_mib << 20,
        }))
    }

    /// The scheme of a connection, unless a proxy reports another.
    pub fn scheme(&self) -> &'static str {
        if self.has_tls() { "https" } else { "http" }
    }

    /// The public URL of a server that listens at `listens`: the setting, or else a URL derived from other settings.
    /// Lasting links use this URL, never one from a request.
    pub fn public_url(&self, listens: SocketAddr) -> PublicUrl {
        let central = &self.central_domain;
        let url = match &self.public_url {
            Some(set) => set.clone(),
            None if self.has_tls() => PublicUrl::new("https", central, listens.port()),
            None if !self.trusted_proxies.is_empty() => PublicUrl::new("https", central, 443),
            None => PublicUrl::new("http", central, listens.port()),
        };
        url.with_workspaces_by_path(self.workspace_by_path)
    }

    /// Placeholder values. [`Config::new`] overwrites every field, at least with its default.
    fn blank() -> Self {
        Self {
            settings_file: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            acme: None,
            hsts_max_age: 0,
            redirect_listen: None,
            data_dir: PathBuf::new(),
            backup_dir: None,
            backup_to: None,
            backup_recipients: Vec::new(),
            backup_region: String::new(),
            backup_key_file: PathBuf::new(),
            backup_secret_file: PathBuf::new(),
            backup_part_mib: 0,
            backup_expect: None,
            alert_webhook: None,
            store: None,
            acknowledge: Acknowledge::Stored,
            node_name: String::new(),
            node: None,
            lease: Duration::ZERO,
            cluster_keep: 0,
            central_domain: String::new(),
            workspace_by_path: false,
            public_url: None,
            registration: Registration::Closed,
            single_sign_on: None,
            providers: Vec::new(),
            require_single_sign_on: false,
            max_open_workspaces: 0,
            database_threads: 0,
            read_turns: 0,
            max_waiting: 0,
            turn_timeout: Duration::ZERO,
            statement_timeout: Duration::ZERO,
            list_timeout: Duration::ZERO,
            header_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            max_connections: 0,
            max_connections_per_address: 0,
            shutdown_timeout: Duration::ZERO,
            token_ttl: 0,
            oauth_access_token_ttl: 0,
            password_cost: PasswordCost { memory_kib: 0, passes: 0, lanes: 0 },
            hashing_threads: 0,
            throttle_attempts: 0,
            throttle_window: 0,
            operator_second_factor: false,
            audit_days: 0,
            quotas: Quotas::default(),
            default_country: String::new(),
            timezone: String::new(),
            trash_days: 0,
            smtp_plain_password: false,
            smtp: None,
            smtp_server: None,
            mail_from: Mailbox::new(None, Address::new_dangerous("", "")),
            private_webhooks: false,
            trusted_proxies: Networks::default(),
            forwarded_fields: ForwardedFields::XForwarded,
            cors_origins: Vec::new(),
            metrics: false,
            log: String::new(),
            log_format: LogFormat::Auto,
        }
    }
}

/// Formats the settings in force as a `cx-engine.toml`, each with its origin. A setting with a password becomes a
/// comment without the password.
pub fn print(typed: &RawSettings) -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let (value, origin) = match typed.values.get(setting.name) {
            Some((value, origin)) => (value.as_str(), origin.as_str()),
            None => (setting.default_with(typed), "the default"),
        };
        text += &format!("# {}: {}. From {origin}.\n", setting.about, setting.allowed);
        match without_password(value).filter(|_| setting.is_secret()) {
            Some(shown) => {
                text += &format!("# {} = {} (its password is not shown)\n", setting.name, toml::Value::from(shown))
            }
            None => text += &format!("{} = {}\n", setting.name, setting.toml(value)),
        }
    }
    text
}

/// Formats a TOML value as text, as on the command line.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
