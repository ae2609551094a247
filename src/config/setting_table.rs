//! The table of settings.

use std::path::PathBuf;

use url::Url;

use super::values::{
    domain, host_and_port, is_log_filter, items, node_name, node_url, region, seconds, sender, smtp, within,
};
use super::{Config, NodeSettings, RawSettings, TlsFiles, acme_settings, backup_settings, sign_on_settings};
use crate::object_store::{StorePurpose, StoreSettings};
use crate::values::{PublicUrl, TimeZone, phone};

/// One setting: `max_waiting` in the file, `--max-waiting`, `CX_MAX_WAITING`.
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    /// The default of a server that gets its certificates by ACME, if it is another.
    acme_default: Option<&'static str>,
    pub about: &'static str,
    pub allowed: &'static str,
    pub kind: SettingKind,
    pub group: SettingGroup,
    /// Whether SIGHUP applies a new value to a running server.
    pub reloads: bool,
    /// Applies a value; `None` means that the value is not allowed. Earlier settings of the table are already applied.
    pub(super) set: Set,
}

type Set = fn(&mut Config, &str) -> Option<()>;

/// The type of a value in a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Choice(&'static [&'static str]),
    Number,
    Seconds,
    Flag,
    List,
}

/// The heading under which `--help` shows a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingGroup {
    Main,
    Limit,
    Tuning,
}

pub const SETTINGS: &[Setting] = &[
    Setting::main("listen", "127.0.0.1:8080", SettingKind::Text, |config, text| {
        text.parse().ok().map(|listen| config.listen = listen)
    })
    .acme_default("[::]:443")
    .about("Address and port to listen on; port 0 picks a free port. With acme_email, the default is [::]:443")
    .allowed("an address and a port, like 127.0.0.1:8080 or [::1]:8080"),
    Setting::main("tls_certificate", "", SettingKind::Text, |config, text| {
        config.tls = (!text.is_empty()).then(|| TlsFiles { certificate: text.into(), key: PathBuf::new() });
        Some(())
    })
    .about("Certificate chain for TLS without a proxy; read again when the file changes")
    .allowed("the path of a PEM file, with tls_key"),
    Setting::main("tls_key", "", SettingKind::Text, |config, text| match &mut config.tls {
        Some(tls) if !text.is_empty() => {
            tls.key = text.into();
            Some(())
        }
        tls => (tls.is_none() && text.is_empty()).then_some(()),
    })
    .about("Private key of the certificate; read again when the file changes")
    .allowed("the path of a PEM file, with tls_certificate"),
    acme_settings::ACME_EMAIL,
    acme_settings::ACME_DIRECTORY,
    acme_settings::ACME_ROOT,
    acme_settings::ACME_DNS_HOOK,
    acme_settings::ACME_WEEKLY_LIMIT,
    Setting::tuning("hsts_max_age", "15552000", SettingKind::Number, |config, text| {
        within(text, 0, 63_072_000).map(|age| config.hsts_max_age = age)
    })
    .about("Seconds for which browsers use only HTTPS (Strict-Transport-Security); 0 omits the header")
    .allowed("a number from 0 to 63072000")
    .reloads(),
    Setting::main("redirect_listen", "", SettingKind::Text, |config, text| {
        if !text.is_empty() {
            config.redirect_listen = Some(text.parse().ok().filter(|_| config.has_tls())?);
        }
        Some(())
    })
    .acme_default("[::]:80")
    .about("Address that redirects plain HTTP to HTTPS. With acme_email, the default is [::]:80")
    .allowed("an address and a port, like 0.0.0.0:80, with tls_certificate or acme_email"),
    Setting::main("data_dir", "data", SettingKind::Text, |config, text| {
        (!text.is_empty()).then(|| config.data_dir = text.into())
    })
    .about("Directory that holds all data")
    .allowed("a path"),
    Setting::main("backup_dir", "", SettingKind::Text, |config, text| {
        config.backup_dir = (!text.is_empty()).then(|| text.into());
        Some(())
    })
    .about("Folder for backups, preferably on another disk; empty means backups in the data directory")
    .allowed("a path"),
    backup_settings::BACKUP_TO,
    backup_settings::BACKUP_RECIPIENTS,
    backup_settings::BACKUP_REGION,
    backup_settings::BACKUP_KEY_FILE,
    backup_settings::BACKUP_SECRET_FILE,
    backup_settings::BACKUP_EXPECT,
    backup_settings::ALERT_WEBHOOK,
    backup_settings::ALERT_WEBHOOK_SECRET_FILE,
    Setting::main("store_url", "", SettingKind::Text, |config, text| {
        if !text.is_empty() {
            let (key_file, secret_file) = (PathBuf::new(), PathBuf::new());
            config.store = Some(StoreSettings {
                url: text.parse().ok()?,
                region: String::new(),
                key_file,
                secret_file,
                purpose: StorePurpose::Commits,
            });
        }
        Some(())
    })
    .about("Bucket of an object store (S3 API) that receives every write; empty means that data is only on this disk")
    .allowed(
        "https://HOST/BUCKET, or s3://BUCKET for AWS, each with or without /PREFIX and without a password; http:// \
                  only to a loopback or private address",
    ),
    Setting::main("store_region", "us-east-1", SettingKind::Text, |config, text| {
        let region = region(text)?;
        if let Some(store) = &mut config.store {
            store.region = region;
        }
        Some(())
    })
    .about("Region of the bucket; stores without regions accept the default")
    .allowed("letters, digits and -, like eu-west-3"),
    Setting::main("store_key_file", "", SettingKind::Text, |config, text| {
        if let Some(store) = &mut config.store {
            store.key_file = text.into();
        }
        Some(())
    })
    .about("File with the access key id of the object store")
    .allowed("the path of a file that contains only the key"),
    Setting::main("store_secret_file", "", SettingKind::Text, |config, text| {
        if let Some(store) = &mut config.store {
            store.secret_file = text.into();
        }
        Some(())
    })
    .about("File with the secret access key of the object store")
    .allowed("the path of a file that contains only the key"),
    Setting::main("acknowledge", "stored", SettingKind::Choice(&["stored", "local"]), |config, text| {
        text.parse().ok().map(|acknowledge| config.acknowledge = acknowledge)
    })
    .about(
        "When a write is answered, with an object store: after the store has it (stored), or after the local disk has \
                it and up to a second before the store has it (local)",
    )
    .allowed("stored or local"),
    Setting::main("node_name", "", SettingKind::Text, |config, text| {
        node_name(text).map(|name| config.node_name = name)
    })
    .about("Name of this machine in the object store; empty means the host name")
    .allowed("1 to 63 letters, digits and -"),
    Setting::main("node_url", "", SettingKind::Text, |config, text| {
        if !text.is_empty() {
            config.node = Some(NodeSettings { url: node_url(text)?, secret_file: PathBuf::new(), root: None });
        }
        Some(())
    })
    .about(
        "URL at which the other servers of the object store reach this one, to forward requests; empty means that only \
                one server serves at a time",
    )
    .allowed("http://HOST or https://HOST, each with or without :PORT, with node_secret_file, store_url and acknowledge = stored"),
    Setting::main("node_secret_file", "", SettingKind::Text, |config, text| match &mut config.node {
        Some(node) if !text.is_empty() => {
            node.secret_file = text.into();
            Some(())
        }
        node => (node.is_none() && text.is_empty()).then_some(()),
    })
    .about("File with the secret by which the servers of the object store recognize each other; the same on each of them")
    .allowed("the path of a file with at least 32 bytes, with node_url"),
    Setting::main("node_root", "", SettingKind::Text, |config, text| match &mut config.node {
        Some(node) => {
            node.root = (!text.is_empty()).then(|| text.into());
            Some(())
        }
        None => text.is_empty().then_some(()),
    })
    .about(
        "Root certificate by which the servers of the object store recognize each other at https:// URLs; empty means the \
                roots of the system",
    )
    .allowed("the path of a PEM file, with node_url"),
    Setting::limit("lease", "10", SettingKind::Seconds, |config, text| {
        seconds(text).filter(|lease| (1..=300).contains(&lease.as_secs())).map(|lease| config.lease = lease)
    })
    .about("Seconds after which another server of the object store takes over from one that does not respond")
    .allowed("a number from 1 to 300"),
    Setting::limit("cluster_keep", "604800", SettingKind::Number, |config, text| {
        within(text, 60, 315_360_000).map(|n| config.cluster_keep = n)
    })
    .about("Seconds for which old states can be restored from the object store")
    .allowed("a number from 60 to 315360000"),
    Setting::main("central_domain", "localhost", SettingKind::Text, |config, text| {
        domain(text).map(|domain| config.central_domain = domain)
    })
    .about("Host of the central API; each workspace is a subdomain of it")
    .allowed(
        "a domain name, like cx.example.com, and not an IP address: workspaces are subdomains of it. In a \
                  network without such names, choose any name and set workspace_by_path",
    ),
    Setting::main("workspace_by_path", "false", SettingKind::Flag, |config, text| {
        text.parse().ok().map(|by_path| config.workspace_by_path = by_path)
    })
    .about(
        "Also serve workspaces on the central host, under /w/acme/api/… or by the header X-Workspace, for \
                networks without a host name for each workspace; links then use the path",
    )
    .allowed("true or false"),
    Setting::main("public_url", "", SettingKind::Text, |config, text| {
        let url: Option<PublicUrl> = if text.is_empty() { None } else { Some(text.parse().ok()?) };
        // Workspaces are one label below the host, which an IP address cannot have.
        if url.as_ref().is_some_and(PublicUrl::is_address) && !config.workspace_by_path {
            return None;
        }
        config.public_url = url;
        Some(())
    })
    .about(
        "Public URL of the central host, for links in mail and responses. If empty: https and the central \
                domain with TLS or trusted proxies, else http, the central domain and the port of listen",
    )
    .allowed("a URL without a path, like https://cx.example.com; an IP address only with workspace_by_path")
    .reloads(),
    Setting::main("registration", "open", SettingKind::Choice(&["open", "invite", "closed"]), |config, text| {
        text.parse().ok().map(|registration| config.registration = registration)
    })
    .about("Allow new accounts for everyone (open), for invited people only (invite), or not at all (closed)")
    .allowed("open, invite or closed")
    .reloads(),
    sign_on_settings::SINGLE_SIGN_ON,
    sign_on_settings::REQUIRE_SINGLE_SIGN_ON,
    Setting::tuning("max_open_workspaces", "1000", SettingKind::Number, |config, text| {
        within(text, 1, 100_000).map(|n| config.max_open_workspaces = n)
    })
    .about("Keep the files of this many idle workspaces open")
    .allowed("a number from 1 to 100000"),
    Setting::tuning("database_threads", "4", SettingKind::Number, |config, text| {
        within(text, 2, 256).map(|n| config.database_threads = n)
    })
    .about("Threads for database work")
    .allowed("a number from 2 to 256"),
    Setting::tuning("read_turns", "3", SettingKind::Number, |config, text| {
        within(text, 1, 255).map(|n| config.read_turns = n)
    })
    .about(
        "Concurrent reads per workspace. Must be less than database_threads, so that one workspace cannot take \
                all threads",
    )
    .allowed("a number from 1 to 255"),
    Setting::tuning("max_waiting", "1024", SettingKind::Number, |config, text| {
        within(text, 1, 1_000_000).map(|n| config.max_waiting = n)
    })
    .about("Requests that may wait in one lane, for reads or for writes, of one workspace; more get 503")
    .allowed("a number from 1 to 1000000"),
    Setting::tuning("turn_timeout", "5", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.turn_timeout = time)
    })
    .about("Seconds that a request may wait for its turn. After that it gets 503 and has changed nothing")
    .allowed("seconds from 0.1 to 3600"),
    Setting::tuning("statement_timeout", "10", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.statement_timeout = time)
    })
    .about("Seconds that the database work of a request may take")
    .allowed("seconds from 0.1 to 3600"),
    Setting::tuning("list_timeout", "2", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.list_timeout = time.min(config.statement_timeout))
    })
    .about("Seconds that a list or another read may take; at most statement_timeout")
    .allowed("seconds from 0.1 to 3600")
    .reloads(),
    Setting::tuning("header_timeout", "15", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.header_timeout = time)
    })
    .about("Seconds for the headers of a request to arrive, also on an idle connection")
    .allowed("seconds from 0.1 to 3600")
    .reloads(),
    Setting::tuning("body_timeout", "30", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.body_timeout = time)
    })
    .about("Seconds for the body of a request to arrive")
    .allowed("seconds from 0.1 to 3600")
    .reloads(),
    Setting::tuning("write_timeout", "30", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.write_timeout = time)
    })
    .about("Seconds after which a client that reads too slowly, or an idle HTTP/2 client, is disconnected")
    .allowed("seconds from 0.1 to 3600")
    .reloads(),
    Setting::limit("max_connections", "10000", SettingKind::Number, |config, text| {
        within(text, 1, 1_000_000).map(|n| config.max_connections = n)
    })
    .about("Maximum open connections; more are closed at once")
    .allowed("a number from 1 to 1000000"),
    Setting::limit("max_connections_per_address", "512", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.max_connections_per_address = n)
    })
    .about(
        "Maximum open connections per client (IPv4 address or IPv6 /64). Trusted proxies are exempt; 0 means \
                no limit",
    )
    .allowed("a number from 0 to 1000000"),
    Setting::tuning("shutdown_timeout", "30", SettingKind::Seconds, |config, text| {
        seconds(text).map(|time| config.shutdown_timeout = time)
    })
    .about("Seconds that running requests get to finish when the server stops")
    .allowed("seconds from 0.1 to 3600")
    .reloads(),
    Setting::limit("token_ttl", "2592000", SettingKind::Number, |config, text| {
        within(text, 60, 315_360_000).map(|n| config.token_ttl = n)
    })
    .about("Lifetime of a token from a login, in seconds")
    .allowed("a number from 60 to 315360000")
    .reloads(),
    Setting::limit("oauth_access_token_ttl", "31536000", SettingKind::Number, |config, text| {
        within(text, 60, 31_536_000).map(|n| config.oauth_access_token_ttl = n)
    })
    .about("Lifetime of an OAuth access token, in seconds, unless its client sets another")
    .allowed("a number from 60 to 31536000")
    .reloads(),
    Setting::tuning("password_memory_kib", "19456", SettingKind::Number, |config, text| {
        within(text, 64, 1_048_576).map(|n| config.password_cost.memory_kib = n)
    })
    .about("Memory of one password hash (argon2id m), in KiB")
    .allowed("a number from 64 to 1048576"),
    Setting::tuning("password_passes", "2", SettingKind::Number, |config, text| {
        within(text, 1, 100).map(|n| config.password_cost.passes = n)
    })
    .about("Passes of one password hash (argon2id t)")
    .allowed("a number from 1 to 100"),
    Setting::tuning("password_lanes", "1", SettingKind::Number, |config, text| {
        within(text, 1, 8).map(|n| config.password_cost.lanes = n)
    })
    .about("Lanes of one password hash (argon2id p)")
    .allowed("a number from 1 to 8"),
    Setting::tuning("hashing_threads", "2", SettingKind::Number, |config, text| {
        within(text, 1, 64).map(|n| config.hashing_threads = n)
    })
    .about("Concurrent password hashes")
    .allowed("a number from 1 to 64"),
    Setting::limit("throttle_attempts", "10", SettingKind::Number, |config, text| {
        within(text, 0, 1000).map(|n| config.throttle_attempts = n)
    })
    .about(
        "Failed logins from one address before more get 429; the same limit holds for wrong codes, requested \
                mails and new accounts. For one email from all addresses it is 20 times as high; 0 means no limit",
    )
    .allowed("a number from 0 to 1000"),
    Setting::limit("throttle_window", "900", SettingKind::Number, |config, text| {
        within(text, 1, 86_400).map(|n| config.throttle_window = n)
    })
    .about("Seconds for which a failed attempt counts")
    .allowed("a number from 1 to 86400"),
    Setting::main("operator_second_factor", "false", SettingKind::Flag, |config, text| {
        text.parse().ok().map(|required| config.operator_second_factor = required)
    })
    .about("Require a second factor for actions that only operators may take")
    .allowed("true or false")
    .reloads(),
    Setting::limit("audit_days", "365", SettingKind::Number, |config, text| {
        within(text, 1, 36_500).map(|n| config.audit_days = n)
    })
    .about("Days to keep the central audit log")
    .allowed("a number from 1 to 36500")
    .reloads(),
    Setting::limit("max_workspaces_per_account", "20", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.max_workspaces_per_account = n)
    })
    .about("Workspaces that an account may own; 0 means no limit. Operators are exempt from every quota")
    .allowed("a number from 0 to 1000000")
    .reloads(),
    Setting::limit("max_tokens_per_account", "200", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.max_tokens_per_account = n)
    })
    .about("Tokens per account; 0 means no limit")
    .allowed("a number from 0 to 1000000")
    .reloads(),
    Setting::limit("invitations_per_day", "200", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.invitations_per_day = n)
    })
    .about("Invitations per workspace and day; 0 means no limit")
    .allowed("a number from 0 to 1000000")
    .reloads(),
    Setting::limit("invitation_resend_interval", "600", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.invitation_resend_interval = n)
    })
    .about("Seconds between two resends of an invitation; 0 means no limit")
    .allowed("a number from 0 to 1000000")
    .reloads(),
    Setting::limit("max_webhooks", "20", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.max_webhooks = n)
    })
    .about("Webhooks per workspace; 0 means no limit")
    .allowed("a number from 0 to 1000000")
    .reloads(),
    Setting::limit("max_pending_deliveries", "10000", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.max_pending_deliveries = n)
    })
    .about(
        "Pending webhook deliveries per workspace. Beyond that, the oldest is dropped and logged; 0 means no \
                limit",
    )
    .allowed("a number from 0 to 1000000"),
    Setting::limit("mails_per_hour", "100", SettingKind::Number, |config, text| {
        within(text, 0, 1_000_000).map(|n| config.quotas.mails_per_hour = n)
    })
    .about("Mails that an account may cause to be sent per hour; 0 means no limit")
    .allowed("a number from 0 to 1000000")
    .reloads(),
    Setting::main("default_country", "FR", SettingKind::Text, |config, text| {
        phone::country(text).map(|_| config.default_country = text.to_ascii_uppercase())
    })
    .about("Country of phone numbers without an international prefix, in new workspaces")
    .allowed("an ISO 3166 code of two letters, like FR")
    .reloads(),
    Setting::main("timezone", "Europe/Paris", SettingKind::Text, |config, text| {
        text.parse().ok().map(|zone: TimeZone| config.timezone = zone.to_string())
    })
    .about("Time zone of new workspaces")
    .allowed("an IANA name, like Europe/Paris")
    .reloads(),
    Setting::limit("trash_days", "30", SettingKind::Number, |config, text| {
        within(text, 0, 36_500).map(|n| config.trash_days = n)
    })
    .about("Days to keep a deleted workspace in the trash")
    .allowed("a number from 0 to 36500")
    .reloads(),
    backup_settings::BACKUP_PART_MIB,
    Setting::main("smtp_plain_password", "false", SettingKind::Flag, |config, text| {
        text.parse().ok().map(|allowed| config.smtp_plain_password = allowed)
    })
    .about("Allow sending the password of smtp_url to another machine without TLS")
    .allowed("true or false")
    .reloads(),
    Setting::main("smtp_url", "", SettingKind::Text, |config, text| {
        config.smtp = smtp(text, &config.central_domain, config.smtp_plain_password)?;
        config.smtp_server = Url::parse(text).ok().map(|url| host_and_port(&url));
        Some(())
    })
    .about(
        "Mail server. Without one, each mail is written to a file in outbox in the data directory. TLS is used \
                if the server offers it, and required to send a password to another machine",
    )
    .allowed(
        "smtp://HOST or smtps://HOST, with USER:PASSWORD@ before HOST and :PORT after it; ?tls=required for \
                  STARTTLS",
    )
    .reloads(),
    Setting::main("mail_from", "", SettingKind::Text, |config, text| {
        sender(text, &config.central_domain).map(|from| config.mail_from = from)
    })
    .about("Sender of mails; empty means cx-engine <no-reply@CENTRAL_DOMAIN>")
    .allowed("an address, like Acme <no-reply@example.com>")
    .reloads(),
    Setting::main("private_webhooks", "false", SettingKind::Flag, |config, text| {
        text.parse().ok().map(|allowed| config.private_webhooks = allowed)
    })
    .about("Allow webhooks to loopback, private and link-local addresses")
    .allowed("true or false"),
    Setting::main("trusted_proxies", "", SettingKind::List, |config, text| {
        text.parse().ok().map(|networks| config.trusted_proxies = networks)
    })
    .about("Trust these proxies to report the client's address, host and scheme")
    .allowed("IP addresses and networks like 10.0.0.0/8, separated by commas"),
    Setting::main(
        "forwarded_fields",
        "x-forwarded",
        SettingKind::Choice(&["x-forwarded", "forwarded"]),
        |config, text| text.parse().ok().map(|fields| config.forwarded_fields = fields),
    )
    .about("Headers that trusted proxies set: X-Forwarded-For, -Host and -Proto, or Forwarded (RFC 7239)")
    .allowed("x-forwarded or forwarded")
    .reloads(),
    Setting::main("cors_origins", "", SettingKind::List, |config, text| {
        let origin = |item: &str| item.starts_with("http://") || item.starts_with("https://");
        items(text).all(origin).then(|| config.cors_origins = items(text).map(str::to_owned).collect())
    })
    .about("Origins of web pages that may use the API from a browser")
    .allowed("origins like https://app.example.com, separated by commas")
    .reloads(),
    Setting::main("metrics", "false", SettingKind::Flag, |config, text| {
        text.parse().ok().map(|shown| config.metrics = shown)
    })
    .about("Expose Prometheus metrics at /metrics. Anyone who can reach the port can read them")
    .allowed("true or false"),
    Setting::main("log", "info", SettingKind::Text, |config, text| {
        is_log_filter(text).then(|| config.log = text.into())
    })
    .about("Log level, or filters by module")
    .allowed("off, error, warn, info, debug or trace, or filters like info,cx_engine::jobs=debug")
    .reloads(),
    Setting::main("log_format", "auto", SettingKind::Choice(&["auto", "text", "json"]), |config, text| {
        text.parse().ok().map(|format| config.log_format = format)
    })
    .about("Log format: text for people, json for programs; auto is text on a terminal")
    .allowed("auto, text or json"),
];

impl Setting {
    pub(super) const fn main(name: &'static str, default: &'static str, kind: SettingKind, set: Set) -> Self {
        Self {
            name,
            default,
            acme_default: None,
            about: "",
            allowed: "",
            kind,
            group: SettingGroup::Main,
            reloads: false,
            set,
        }
    }

    pub(super) const fn limit(name: &'static str, default: &'static str, kind: SettingKind, set: Set) -> Self {
        Self { group: SettingGroup::Limit, ..Self::main(name, default, kind, set) }
    }

    pub(super) const fn tuning(name: &'static str, default: &'static str, kind: SettingKind, set: Set) -> Self {
        Self { group: SettingGroup::Tuning, ..Self::main(name, default, kind, set) }
    }

    pub(super) const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    const fn acme_default(self, default: &'static str) -> Self {
        Self { acme_default: Some(default), ..self }
    }

    pub(super) const fn allowed(self, allowed: &'static str) -> Self {
        Self { allowed, ..self }
    }

    const fn reloads(self) -> Self {
        Self { reloads: true, ..self }
    }

    /// The default, given the other settings.
    pub(super) fn default_with(&self, typed: &RawSettings) -> &'static str {
        self.acme_default.filter(|_| typed.uses_acme()).unwrap_or(self.default)
    }

    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub fn variable(&self) -> String {
        format!("CX_{}", self.name.to_ascii_uppercase())
    }

    /// Formats an allowed value for a settings file.
    pub(super) fn toml(&self, text: &str) -> toml::Value {
        let text = text.trim();
        let typed = match self.kind {
            SettingKind::Number => text.parse().ok().map(toml::Value::Integer),
            SettingKind::Seconds => match text.parse() {
                Ok(whole) => Some(toml::Value::Integer(whole)),
                Err(_) => text.parse().ok().map(toml::Value::Float),
            },
            SettingKind::Flag => text.parse().ok().map(toml::Value::Boolean),
            SettingKind::List => Some(items(text).collect::<Vec<_>>().into()),
            SettingKind::Text | SettingKind::Choice(_) => None,
        };
        typed.unwrap_or_else(|| text.into())
    }

    /// True if the value may contain a password.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.name, "smtp_url" | "store_url" | "backup_to" | "backup_recipients" | "alert_webhook")
    }

    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

/// The setting whose name is most similar to a misspelled name.
pub(super) fn nearest(name: &str) -> &'static Setting {
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
