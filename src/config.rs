//! Configuration: raw settings (flags, then `CX_…` in the environment, then a file, then defaults) become a [`Config`].
//! One table defines the flags, the environment variables, the file, `--print-config` and `docs/configuration.md`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use lettre::message::Mailbox;
use lettre::transport::smtp::SmtpTransportBuilder;
use lettre::transport::smtp::client::{CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, SmtpTransport};
use parking_lot::RwLock;
use url::Url;

use crate::auth::PasswordCost;
use crate::values::{Networks, PublicUrl, TimeZone, phone};

/// The validated settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that the settings come from, if one was read.
    pub settings_file: Option<PathBuf>,
    pub listen: SocketAddr,
    /// Enables TLS without a proxy.
    pub tls: Option<TlsFiles>,
    /// The `max-age` of HSTS, in seconds; 0 omits the header.
    pub hsts_max_age: u32,
    /// Redirects plain HTTP to HTTPS. Only with TLS.
    pub redirect_listen: Option<SocketAddr>,
    pub data_dir: PathBuf,
    /// Defaults to `backups` in the data directory.
    pub backup_dir: Option<PathBuf>,
    pub central_domain: String,
    /// Allows requests to the central host to name a workspace by path or header.
    pub workspace_by_path: bool,
    /// Explicit setting only; see [`Config::public_url`].
    pub public_url: Option<PublicUrl>,
    pub registration: Registration,
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

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// Only with an invitation.
    Invite,
    Closed,
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

/// One setting: `max_waiting` in the file, `--max-waiting`, `CX_MAX_WAITING`.
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    pub about: &'static str,
    pub allowed: &'static str,
    pub kind: Kind,
    pub group: Group,
    /// Whether SIGHUP applies a new value to a running server.
    pub reloads: bool,
    /// Applies a value; `None` means that the value is not allowed. Earlier settings of the table are already applied.
    set: fn(&mut Config, &str) -> Option<()>,
}

/// The type of a value in a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Choice(&'static [&'static str]),
    Number,
    Seconds,
    Flag,
    List,
}

/// The heading under which `--help` shows a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Main,
    Limit,
    Tuning,
}

pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        default: "127.0.0.1:8080",
        about: "Address and port to listen on; port 0 picks a free port",
        allowed: "an address and a port, like 127.0.0.1:8080 or [::1]:8080",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| text.parse().ok().map(|listen| config.listen = listen),
    },
    Setting {
        name: "tls_certificate",
        default: "",
        about: "Certificate chain for TLS without a proxy; read again when the file changes",
        allowed: "the path of a PEM file, with tls_key",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| {
            config.tls = (!text.is_empty()).then(|| TlsFiles { certificate: text.into(), key: PathBuf::new() });
            Some(())
        },
    },
    Setting {
        name: "tls_key",
        default: "",
        about: "Private key of the certificate; read again when the file changes",
        allowed: "the path of a PEM file, with tls_certificate",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| match &mut config.tls {
            Some(tls) if !text.is_empty() => {
                tls.key = text.into();
                Some(())
            }
            tls => (tls.is_none() && text.is_empty()).then_some(()),
        },
    },
    Setting {
        name: "hsts_max_age",
        default: "15552000",
        about: "Seconds for which browsers use only HTTPS (Strict-Transport-Security); 0 omits the header",
        allowed: "a number from 0 to 63072000",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: true,
        set: |config, text| within(text, 0, 63_072_000).map(|age| config.hsts_max_age = age),
    },
    Setting {
        name: "redirect_listen",
        default: "",
        about: "Address that redirects plain HTTP to HTTPS",
        allowed: "an address and a port, like 0.0.0.0:80, with tls_certificate",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| {
            if !text.is_empty() {
                config.redirect_listen = Some(text.parse().ok().filter(|_| config.tls.is_some())?);
            }
            Some(())
        },
    },
    Setting {
        name: "data_dir",
        default: "data",
        about: "Directory that holds all data",
        allowed: "a path",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| (!text.is_empty()).then(|| config.data_dir = text.into()),
    },
    Setting {
        name: "backup_dir",
        default: "",
        about: "Folder for backups, preferably on another disk; empty means backups in the data directory",
        allowed: "a path",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| {
            config.backup_dir = (!text.is_empty()).then(|| text.into());
            Some(())
        },
    },
    Setting {
        name: "central_domain",
        default: "localhost",
        about: "Host of the central API; each workspace is a subdomain of it",
        allowed: "a domain name, like cx.example.com, and not an IP address: workspaces are subdomains of it. In a \
                  network without such names, choose any name and set workspace_by_path",
        kind: Kind::Text,
        group: Group::Main,
        reloads: false,
        set: |config, text| domain(text).map(|domain| config.central_domain = domain),
    },
    Setting {
        name: "workspace_by_path",
        default: "false",
        about: "Also serve workspaces on the central host, under /w/acme/api/… or by the header X-Workspace, for \
                networks without a host name for each workspace; links then use the path",
        allowed: "true or false",
        kind: Kind::Flag,
        group: Group::Main,
        reloads: false,
        set: |config, text| text.parse().ok().map(|by_path| config.workspace_by_path = by_path),
    },
    Setting {
        name: "public_url",
        default: "",
        about: "Public URL of the central host, for links in mail and responses. If empty: https and the central \
                domain with TLS or trusted proxies, else http, the central domain and the port of listen",
        allowed: "a URL without a path, like https://cx.example.com; an IP address only with workspace_by_path",
        kind: Kind::Text,
        group: Group::Main,
        reloads: true,
        set: |config, text| {
            let url: Option<PublicUrl> = if text.is_empty() { None } else { Some(text.parse().ok()?) };
            // Workspaces are one label below the host, which an IP address cannot have.
            if url.as_ref().is_some_and(PublicUrl::is_address) && !config.workspace_by_path {
                return None;
            }
            config.public_url = url;
            Some(())
        },
    },
    Setting {
        name: "registration",
        default: "open",
        about: "Allow new accounts for everyone (open), for invited people only (invite), or not at all (closed)",
        allowed: "open, invite or closed",
        kind: Kind::Choice(&["open", "invite", "closed"]),
        group: Group::Main,
        reloads: true,
        set: |config, text| text.parse().ok().map(|registration| config.registration = registration),
    },
    Setting {
        name: "max_open_workspaces",
        default: "1000",
        about: "Keep the files of this many idle workspaces open",
        allowed: "a number from 1 to 100000",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 1, 100_000).map(|n| config.max_open_workspaces = n),
    },
    Setting {
        name: "database_threads",
        default: "4",
        about: "Threads for database work",
        allowed: "a number from 2 to 256",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 2, 256).map(|n| config.database_threads = n),
    },
    Setting {
        name: "read_turns",
        default: "3",
        about: "Concurrent reads per workspace. Must be less than database_threads, so that one workspace cannot take \
                all threads",
        allowed: "a number from 1 to 255",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 1, 255).map(|n| config.read_turns = n),
    },
    Setting {
        name: "max_waiting",
        default: "1024",
        about: "Requests that may wait in one lane, for reads or for writes, of one workspace; more get 503",
        allowed: "a number from 1 to 1000000",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 1, 1_000_000).map(|n| config.max_waiting = n),
    },
    Setting {
        name: "turn_timeout",
        default: "5",
        about: "Seconds that a request may wait for its turn. After that it gets 503 and has changed nothing",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| seconds(text).map(|time| config.turn_timeout = time),
    },
    Setting {
        name: "statement_timeout",
        default: "10",
        about: "Seconds that the database work of a request may take",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| seconds(text).map(|time| config.statement_timeout = time),
    },
    Setting {
        name: "list_timeout",
        default: "2",
        about: "Seconds that a list or another read may take; at most statement_timeout",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: true,
        set: |config, text| seconds(text).map(|time| config.list_timeout = time.min(config.statement_timeout)),
    },
    Setting {
        name: "header_timeout",
        default: "15",
        about: "Seconds for the headers of a request to arrive, also on an idle connection",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: true,
        set: |config, text| seconds(text).map(|time| config.header_timeout = time),
    },
    Setting {
        name: "body_timeout",
        default: "30",
        about: "Seconds for the body of a request to arrive",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: true,
        set: |config, text| seconds(text).map(|time| config.body_timeout = time),
    },
    Setting {
        name: "write_timeout",
        default: "30",
        about: "Seconds after which a client that reads too slowly, or an idle HTTP/2 client, is disconnected",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: true,
        set: |config, text| seconds(text).map(|time| config.write_timeout = time),
    },
    Setting {
        name: "max_connections",
        default: "10000",
        about: "Maximum open connections; more are closed at once",
        allowed: "a number from 1 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: false,
        set: |config, text| within(text, 1, 1_000_000).map(|n| config.max_connections = n),
    },
    Setting {
        name: "max_connections_per_address",
        default: "512",
        about: "Maximum open connections per client (IPv4 address or IPv6 /64). Trusted proxies are exempt; 0 means \
                no limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: false,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.max_connections_per_address = n),
    },
    Setting {
        name: "shutdown_timeout",
        default: "30",
        about: "Seconds that running requests get to finish when the server stops",
        allowed: "seconds from 0.1 to 3600",
        kind: Kind::Seconds,
        group: Group::Tuning,
        reloads: true,
        set: |config, text| seconds(text).map(|time| config.shutdown_timeout = time),
    },
    Setting {
        name: "token_ttl",
        default: "2592000",
        about: "Lifetime of a token from a login, in seconds",
        allowed: "a number from 60 to 315360000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 60, 315_360_000).map(|n| config.token_ttl = n),
    },
    Setting {
        name: "oauth_access_token_ttl",
        default: "31536000",
        about: "Lifetime of an OAuth access token, in seconds, unless its client sets another",
        allowed: "a number from 60 to 31536000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 60, 31_536_000).map(|n| config.oauth_access_token_ttl = n),
    },
    Setting {
        name: "password_memory_kib",
        default: "19456",
        about: "Memory of one password hash (argon2id m), in KiB",
        allowed: "a number from 64 to 1048576",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 64, 1_048_576).map(|n| config.password_cost.memory_kib = n),
    },
    Setting {
        name: "password_passes",
        default: "2",
        about: "Passes of one password hash (argon2id t)",
        allowed: "a number from 1 to 100",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 1, 100).map(|n| config.password_cost.passes = n),
    },
    Setting {
        name: "password_lanes",
        default: "1",
        about: "Lanes of one password hash (argon2id p)",
        allowed: "a number from 1 to 8",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 1, 8).map(|n| config.password_cost.lanes = n),
    },
    Setting {
        name: "hashing_threads",
        default: "2",
        about: "Concurrent password hashes",
        allowed: "a number from 1 to 64",
        kind: Kind::Number,
        group: Group::Tuning,
        reloads: false,
        set: |config, text| within(text, 1, 64).map(|n| config.hashing_threads = n),
    },
    Setting {
        name: "throttle_attempts",
        default: "10",
        about: "Failed logins from one address before more get 429; the same limit holds for wrong codes, requested \
                mails and new accounts. For one email from all addresses it is 20 times as high; 0 means no limit",
        allowed: "a number from 0 to 1000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: false,
        set: |config, text| within(text, 0, 1000).map(|n| config.throttle_attempts = n),
    },
    Setting {
        name: "throttle_window",
        default: "900",
        about: "Seconds for which a failed attempt counts",
        allowed: "a number from 1 to 86400",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: false,
        set: |config, text| within(text, 1, 86_400).map(|n| config.throttle_window = n),
    },
    Setting {
        name: "operator_second_factor",
        default: "false",
        about: "Require a second factor for actions that only operators may take",
        allowed: "true or false",
        kind: Kind::Flag,
        group: Group::Main,
        reloads: true,
        set: |config, text| text.parse().ok().map(|required| config.operator_second_factor = required),
    },
    Setting {
        name: "audit_days",
        default: "365",
        about: "Days to keep the central audit log",
        allowed: "a number from 1 to 36500",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 1, 36_500).map(|n| config.audit_days = n),
    },
    Setting {
        name: "max_workspaces_per_account",
        default: "20",
        about: "Workspaces that an account may own; 0 means no limit. Operators are exempt from every quota",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.max_workspaces_per_account = n),
    },
    Setting {
        name: "max_tokens_per_account",
        default: "200",
        about: "Tokens per account; 0 means no limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.max_tokens_per_account = n),
    },
    Setting {
        name: "invitations_per_day",
        default: "200",
        about: "Invitations per workspace and day; 0 means no limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.invitations_per_day = n),
    },
    Setting {
        name: "invitation_resend_interval",
        default: "600",
        about: "Seconds between two resends of an invitation; 0 means no limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.invitation_resend_interval = n),
    },
    Setting {
        name: "max_webhooks",
        default: "20",
        about: "Webhooks per workspace; 0 means no limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.max_webhooks = n),
    },
    Setting {
        name: "max_pending_deliveries",
        default: "10000",
        about: "Pending webhook deliveries per workspace. Beyond that, the oldest is dropped and logged; 0 means no \
                limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: false,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.max_pending_deliveries = n),
    },
    Setting {
        name: "mails_per_hour",
        default: "100",
        about: "Mails that an account may cause to be sent per hour; 0 means no limit",
        allowed: "a number from 0 to 1000000",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 1_000_000).map(|n| config.quotas.mails_per_hour = n),
    },
    Setting {
        name: "default_country",
        default: "FR",
        about: "Country of phone numbers without an international prefix, in new workspaces",
        allowed: "an ISO 3166 code of two letters, like FR",
        kind: Kind::Text,
        group: Group::Main,
        reloads: true,
        set: |config, text| phone::country(text).map(|_| config.default_country = text.to_ascii_uppercase()),
    },
    Setting {
        name: "timezone",
        default: "Europe/Paris",
        about: "Time zone of new workspaces",
        allowed: "an IANA name, like Europe/Paris",
        kind: Kind::Text,
        group: Group::Main,
        reloads: true,
        set: |config, text| text.parse().ok().map(|zone: TimeZone| config.timezone = zone.to_string()),
    },
    Setting {
        name: "trash_days",
        default: "30",
        about: "Days to keep a deleted workspace in the trash",
        allowed: "a number from 0 to 36500",
        kind: Kind::Number,
        group: Group::Limit,
        reloads: true,
        set: |config, text| within(text, 0, 36_500).map(|n| config.trash_days = n),
    },
    Setting {
        name: "smtp_plain_password",
        default: "false",
        about: "Allow sending the password of smtp_url to another machine without TLS",
        allowed: "true or false",
        kind: Kind::Flag,
        group: Group::Main,
        reloads: true,
        set: |config, text| text.parse().ok().map(|allowed| config.smtp_plain_password = allowed),
    },
    Setting {
        name: "smtp_url",
        default: "",
        about: "Mail server. Without one, each mail is written to a file in outbox in the data directory. TLS is used \
                if the server offers it, and required to send a password to another machine",
        allowed: "smtp://HOST or smtps://HOST, with USER:PASSWORD@ before HOST and :PORT after it; ?tls=required for \
                  STARTTLS",
        kind: Kind::Text,
        group: Group::Main,
        reloads: true,
        set: |config, text| {
            config.smtp = smtp(text, &config.central_domain, config.smtp_plain_password)?;
            config.smtp_server = Url::parse(text).ok().map(|url| host_and_port(&url));
            Some(())
        },
    },
    Setting {
        name: "mail_from",
        default: "",
        about: "Sender of mails; empty means cx-engine <no-reply@CENTRAL_DOMAIN>",
        allowed: "an address, like Acme <no-reply@example.com>",
        kind: Kind::Text,
        group: Group::Main,
        reloads: true,
        set: |config, text| sender(text, &config.central_domain).map(|from| config.mail_from = from),
    },
    Setting {
        name: "private_webhooks",
        default: "false",
        about: "Allow webhooks to loopback, private and link-local addresses",
        allowed: "true or false",
        kind: Kind::Flag,
        group: Group::Main,
        reloads: false,
        set: |config, text| text.parse().ok().map(|allowed| config.private_webhooks = allowed),
    },
    Setting {
        name: "trusted_proxies",
        default: "",
        about: "Trust these proxies to report the client's address, host and scheme",
        allowed: "IP addresses and networks like 10.0.0.0/8, separated by commas",
        kind: Kind::List,
        group: Group::Main,
        reloads: false,
        set: |config, text| text.parse().ok().map(|networks| config.trusted_proxies = networks),
    },
    Setting {
        name: "forwarded_fields",
        default: "x-forwarded",
        about: "Headers that trusted proxies set: X-Forwarded-For, -Host and -Proto, or Forwarded (RFC 7239)",
        allowed: "x-forwarded or forwarded",
        kind: Kind::Choice(&["x-forwarded", "forwarded"]),
        group: Group::Main,
        reloads: true,
        set: |config, text| text.parse().ok().map(|fields| config.forwarded_fields = fields),
    },
    Setting {
        name: "cors_origins",
        default: "",
        about: "Origins of web pages that may use the API from a browser",
        allowed: "origins like https://app.example.com, separated by commas",
        kind: Kind::List,
        group: Group::Main,
        reloads: true,
        set: |config, text| {
            let origin = |item: &str| item.starts_with("http://") || item.starts_with("https://");
            items(text).all(origin).then(|| config.cors_origins = items(text).map(str::to_owned).collect())
        },
    },
    Setting {
        name: "metrics",
        default: "false",
        about: "Expose Prometheus metrics at /metrics. Anyone who can reach the port can read them",
        allowed: "true or false",
        kind: Kind::Flag,
        group: Group::Main,
        reloads: false,
        set: |config, text| text.parse().ok().map(|shown| config.metrics = shown),
    },
    Setting {
        name: "log",
        default: "info",
        about: "Log level, or filters by module",
        allowed: "off, error, warn, info, debug or trace, or filters like info,cx_engine::jobs=debug",
        kind: Kind::Text,
        group: Group::Main,
        reloads: true,
        set: |config, text| is_log_filter(text).then(|| config.log = text.into()),
    },
    Setting {
        name: "log_format",
        default: "auto",
        about: "Log format: text for people, json for programs; auto is text on a terminal",
        allowed: "auto, text or json",
        kind: Kind::Choice(&["auto", "text", "json"]),
        group: Group::Main,
        reloads: false,
        set: |config, text| text.parse().ok().map(|format| config.log_format = format),
    },
];

/// Variables with our prefix that other programs in `packaging/` read.
const NOT_OURS: [&str; 3] = ["CX_DOMAIN", "CX_REPLICA", "CX_SERVER"];

/// The setting whose name is most similar to a misspelled name.
fn nearest(name: &str) -> &'static Setting {
    SETTINGS.iter().min_by_key(|setting| distance(name, setting.name)).unwrap_or(&SETTINGS[0])
}

/// The Levenshtein distance between two names.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = n + 1;
        for (m, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[m + 1];
            row[m + 1] = replaced.min(row[m] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Raw values by setting name, each with its origin.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    values: BTreeMap<&'static str, (String, String)>,
    file: Option<PathBuf>,
}

impl Setting {
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub fn variable(&self) -> String {
        format!("CX_{}", self.name.to_ascii_uppercase())
    }

    /// Formats an allowed value for a settings file.
    fn toml(&self, text: &str) -> toml::Value {
        let text = text.trim();
        let typed = match self.kind {
            Kind::Number => text.parse().ok().map(toml::Value::Integer),
            Kind::Seconds => match text.parse() {
                Ok(whole) => Some(toml::Value::Integer(whole)),
                Err(_) => text.parse().ok().map(toml::Value::Float),
            },
            Kind::Flag => text.parse().ok().map(toml::Value::Boolean),
            Kind::List => Some(items(text).collect::<Vec<_>>().into()),
            Kind::Text | Kind::Choice(_) => None,
        };
        typed.unwrap_or_else(|| text.into())
    }

    /// True if the value may contain a password.
    fn is_secret(&self) -> bool {
        self.name == "smtp_url"
    }

    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

impl Typed {
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
        self.values.get(setting.name).map_or(setting.default, |(value, _)| value.trim())
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
    pub typed: Typed,
    /// Changed settings that were applied.
    pub applied: Vec<&'static str>,
    /// Changed settings that need a restart.
    pub need_restart: Vec<&'static str>,
}

impl Reloaded {
    /// Applies the changes that a running server can apply. If any new value is invalid, none is applied.
    pub fn new(old: &Typed, new: &Typed) -> anyhow::Result<Self> {
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
    pub fn new(typed: &Typed) -> anyhow::Result<Self> {
        let mut config = Self { settings_file: typed.file.clone(), ..Self::blank() };
        for setting in SETTINGS {
            let typed = typed.values.get(setting.name);
            let value = typed.map_or(setting.default, |(value, _)| value.as_str());
            if (setting.set)(&mut config, value.trim()).is_none() {
                let origin = typed.map_or("the default", |(_, origin)| origin.as_str());
                // A malformed URL is hidden entirely, because its password cannot be found in it.
                let shown = if setting.is_secret() { "…".into() } else { format!("{value:?}") };
                bail!("{} = {shown} (from {origin}) is not allowed: it must be {}", setting.name, setting.allowed);
            }
        }
        if config.read_turns >= config.database_threads {
            bail!(
                "read_turns = {} is not allowed: it must be less than database_threads = {}",
                config.read_turns,
                config.database_threads
            );
        }
        Ok(config)
    }

    /// The scheme of a connection, unless a proxy reports another.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The public URL of a server that listens at `listens`: the setting, or else a URL derived from other settings.
    /// Lasting links use this URL, never one from a request.
    pub fn public_url(&self, listens: SocketAddr) -> PublicUrl {
        let central = &self.central_domain;
        let url = match &self.public_url {
            Some(set) => set.clone(),
            None if self.tls.is_some() => PublicUrl::new("https", central, listens.port()),
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
            hsts_max_age: 0,
            redirect_listen: None,
            data_dir: PathBuf::new(),
            backup_dir: None,
            central_domain: String::new(),
            workspace_by_path: false,
            public_url: None,
            registration: Registration::Closed,
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
pub fn print(typed: &Typed) -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let (value, origin) = match typed.values.get(setting.name) {
            Some((value, origin)) => (value.as_str(), origin.as_str()),
            None => (setting.default, "the default"),
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

impl FromStr for Registration {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "open" => Ok(Self::Open),
            "invite" => Ok(Self::Invite),
            "closed" => Ok(Self::Closed),
            _ => Err(()),
        }
    }
}

impl FromStr for ForwardedFields {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "x-forwarded" => Ok(Self::XForwarded),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(()),
        }
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// Formats a TOML value as text, as on the command line.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// True if each part is a level or `TARGET=LEVEL` of this program. `EnvFilter` alone would take the typo `inof` for a
/// target and then log nothing.
fn is_log_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |text: &str| LEVELS.contains(&text.to_ascii_lowercase().as_str());
    let is_target = |text: &str| text == "cx_engine" || text.starts_with("cx_engine::");
    let is_part = |part: &str| match part.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(part),
    };
    text.split(',').all(is_part) && tracing_subscriber::EnvFilter::from_str(text).is_ok()
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn within<N: TryFrom<i64>>(text: &str, least: i64, most: i64) -> Option<N> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number))?;
    N::try_from(number).ok()
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds)).map(Duration::from_secs_f64)
}

/// The mail transport for a URL; `Some(None)` if the URL is empty. The server is greeted (EHLO) with the path of the
/// URL, or with the central domain, because some servers reject clients without a name.
fn smtp(text: &str, central_domain: &str, plain_password: bool) -> Option<Option<SmtpTransportBuilder>> {
    /// Longest wait for one response. Some servers delay strangers on purpose.
    const PATIENCE: Duration = Duration::from_secs(30);
    if text.is_empty() {
        return Some(None);
    }
    let mut server = SmtpTransport::from_url(text).ok()?.timeout(Some(PATIENCE));
    if let Some(tls) = starttls(&Url::parse(text).ok()?, plain_password)? {
        server = server.tls(tls);
    }
    Some(Some(if has_path(text) { server } else { server.hello_name(ClientId::Domain(central_domain.to_owned())) }))
}

/// STARTTLS policy for an `smtp://` URL. A password for another machine requires TLS with a valid certificate. Anything
/// else uses TLS if the server offers it and accepts every certificate, since the alternative is clear text (RFC 7435).
fn starttls(url: &Url, plain_password: bool) -> Option<Option<Tls>> {
    if url.scheme() != "smtp" {
        return Some(None);
    }
    let host = url.host_str()?;
    let is_loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    if url.password().is_some() && !is_loopback && !plain_password {
        return Some(Some(Tls::Required(TlsParameters::new(host.to_owned()).ok()?)));
    }
    if url.query_pairs().any(|(name, _)| name == "tls") {
        return Some(None);
    }
    let anybody = TlsParameters::builder(host.to_owned());
    let anybody = anybody.dangerous_accept_invalid_certs(true).dangerous_accept_invalid_hostnames(true);
    Some(Some(Tls::Opportunistic(anybody.certificate_store(CertificateStore::None).build_rustls().ok()?)))
}

/// True if the URL has a path, which is the name to greet the server with.
fn has_path(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['?', '#']).next().is_some_and(|rest| rest.trim_end_matches('/').contains('/'))
}

/// Scheme, host and port of a URL, without user and password.
fn host_and_port(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// A URL with its password replaced by `…`; `None` if it has no password.
fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, host) = rest.rsplit_once('@')?;
    let (user, _) = login.split_once(':')?;
    Some(format!("{scheme}://{user}:…@{host}"))
}

fn sender(text: &str, central_domain: &str) -> Option<Mailbox> {
    if text.is_empty() {
        return Some(Mailbox::new(Some("cx-engine".into()), Address::new("no-reply", central_domain).ok()?));
    }
    text.parse().ok()
}

fn domain(text: &str) -> Option<String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    // A last label of digits turns the name into an IP address (WHATWG URL, 3.5).
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.len() <= 190 && name.split('.').all(label)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(name: &str, value: &str) -> Typed {
        let mut typed = Typed::default();
        typed.insert(Setting::named(name).unwrap(), value.into(), "a test".into());
        typed
    }

    #[test]
    fn the_defaults_are_allowed() {
        let config = Config::new(&Typed::default()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.registration, Registration::Open);
        assert_eq!((config.throttle_attempts, config.throttle_window), (10, 900));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_key_the_value_and_what_is_allowed() {
        for (name, value) in [
            ("listen", "8080"),
            ("registration", "maybe"),
            ("central_domain", "a..b"),
            ("max_open_workspaces", "0"),
            ("turn_timeout", "-1"),
            ("default_country", "Narnia"),
            ("timezone", "Mars/Olympus"),
            ("mail_from", "nobody"),
            ("trusted_proxies", "10.0.0.0/40"),
            ("forwarded_fields", "both"),
            ("public_url", "https://cx.example.com/api"),
            ("cors_origins", "example.com"),
            ("log", "info,=="),
            ("log", "inof"),
            ("log", ""),
            ("log", "info,cx_enigne=debug"),
            ("log", "cx_engine=inof"),
        ] {
            let said = Config::new(&typed(name, value)).unwrap_err().to_string();
            let allowed = Setting::named(name).unwrap().allowed;
            assert!(said.contains(name) && said.contains(value) && said.contains(allowed), "{said}");
        }
    }

    #[test]
    fn the_public_url_is_as_it_is_set_or_follows_from_how_the_server_is_reached() {
        let central = |set: &[(&str, &str)]| {
            let mut all = typed("central_domain", "cx.example.com");
            for (name, value) in set {
                all.override_with(typed(name, value));
            }
            Config::new(&all).unwrap().public_url("127.0.0.1:8080".parse().unwrap()).central()
        };
        assert_eq!(central(&[]), "http://cx.example.com:8080");
        assert_eq!(central(&[("trusted_proxies", "127.0.0.1")]), "https://cx.example.com");
        assert_eq!(central(&[("tls_certificate", "a"), ("tls_key", "b")]), "https://cx.example.com:8080");
        let set = [("public_url", "https://cx.example.com:8443"), ("trusted_proxies", "127.0.0.1")];
        assert_eq!(central(&set), "https://cx.example.com:8443");
    }

    #[test]
    fn reads_of_one_workspace_leave_a_thread_to_others() {
        assert!(Config::new(&typed("read_turns", "4")).unwrap_err().to_string().contains("database_threads"));
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cx-engine.toml");
        std::fs::write(&path, print(&typed("central_domain", "cx.example.com"))).unwrap();
        let mut read = Typed::default();
        read.add_file(&path).unwrap();
        assert_eq!(Config::new(&read).unwrap().central_domain, "cx.example.com");
    }

    #[test]
    fn mail_comes_from_the_central_domain_where_nothing_else_is_said() {
        assert_eq!(
            Config::new(&typed("central_domain", "cx.example.com")).unwrap().mail_from.to_string(),
            "cx-engine <no-reply@cx.example.com>"
        );
        let config = Config::new(&typed("mail_from", "Acme <acme@example.com>")).unwrap();
        assert_eq!(config.mail_from.to_string(), "Acme <acme@example.com>");
    }

    #[test]
    fn a_mail_servers_password_is_never_shown() {
        for good in [
            "smtp://127.0.0.1:2525",
            "smtp://ada:sec%2Fret@mail.example.com:587/cx.example.com?tls=required",
            "smtps://ada:sec%2Fret@mail.example.com",
        ] {
            let config = Config::new(&typed("smtp_url", good)).unwrap();
            let shown = format!("{config:?}");
            assert!(config.smtp.is_some() && !shown.contains("sec/") && !shown.contains("sec%"), "{shown}");
        }
        let printed = print(&typed("smtp_url", "smtps://ada:sec%2Fret@mail.example.com"));
        assert!(
            printed.contains("# smtp_url = \"smtps://ada:…@mail.example.com\"") && !printed.contains("sec%"),
            "{printed}"
        );
        let printed = print(&typed("smtp_url", "smtp://127.0.0.1"));
        assert!(printed.contains("\nsmtp_url = \"smtp://127.0.0.1\""), "{printed}");
        for bad in ["mail.example.com", "http://ada:secret@example.com", "smtp://ada:secret@mail.example.com?tls=maybe"]
        {
            let said = Config::new(&typed("smtp_url", bad)).unwrap_err().to_string();
            assert!(said.contains("smtp_url") && said.contains("a test") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_password_leaves_this_machine_by_tls_alone_unless_that_is_allowed() {
        let tls = |url: &str, allowed: &str| {
            let mut all = typed("smtp_url", url);
            all.override_with(typed("smtp_plain_password", allowed));
            let said = format!("{:?}", Config::new(&all).unwrap().smtp);
            let known = ["Opportunistic", "Required", "Wrapper"].into_iter().find(|known| said.contains(known));
            known.unwrap_or("None")
        };
        for (url, allowed, expected) in [
            ("smtp://mail.example.com", "false", "Opportunistic"),
            ("smtp://ada@mail.example.com", "false", "Opportunistic"),
            ("smtp://ada:secret@mail.example.com", "false", "Required"),
            ("smtp://ada:secret@mail.example.com?tls=opportunistic", "false", "Required"),
            ("smtp://ada:secret@192.0.2.1", "false", "Required"),
            ("smtp://ada:secret@mail.example.com", "true", "Opportunistic"),
            ("smtp://ada:secret@mail.example.com?tls=required", "true", "Required"),
            ("smtp://ada:secret@localhost:25", "false", "Opportunistic"),
            ("smtp://ada:secret@127.0.0.1", "false", "Opportunistic"),
            ("smtp://ada:secret@[::1]", "false", "Opportunistic"),
            ("smtps://ada:secret@mail.example.com", "false", "Wrapper"),
        ] {
            assert_eq!(tls(url, allowed), expected, "{url}");
        }
    }

    #[test]
    fn a_urls_path_is_the_name_that_we_greet_a_mail_server_by() {
        for (url, named) in
            [("smtp://a", false), ("smtp://a:25/", false), ("smtp://a/b", true), ("smtp://a?x=/", false)]
        {
            assert_eq!(has_path(url), named, "{url}");
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cx-engine.toml");
        std::fs::write(&path, "lisen = \"x\"").unwrap();
        let said = Typed::default().add_file(&path).unwrap_err().to_string();
        assert!(said.contains("lisen") && said.contains("listen"), "{said}");
    }
}
