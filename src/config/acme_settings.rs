//! The settings of certificates by ACME, for the table.

use std::path::PathBuf;

use super::setting_table::{Setting, SettingKind};
use super::values::{acme_directory, within};
use super::{AcmeSettings, Config, LETS_ENCRYPT};
use crate::values::Email;

pub const ACME_EMAIL: Setting = Setting::main("acme_email", "", SettingKind::Text, |config, text| {
    if !text.is_empty() {
        let email: Email = text.parse().ok()?;
        config.acme = Some(AcmeSettings { email: email.to_string(), ..AcmeSettings::default() });
    }
    Some(())
})
.about(
    "Get certificates by ACME, and give the authority this address. Setting it accepts the authority's terms of \
            service",
)
.allowed("an email address, without tls_certificate");

pub const ACME_DIRECTORY: Setting =
    Setting::main("acme_directory", LETS_ENCRYPT, SettingKind::Text, |config, text| match &mut config.acme {
        Some(acme) => acme_directory(text).map(|url| acme.directory = url),
        None => (text == LETS_ENCRYPT).then_some(()),
    })
    .about("Directory of the authority that issues certificates by ACME; the default is Let's Encrypt")
    .allowed("an https:// URL, with acme_email; http:// only to this machine");

pub const ACME_ROOT: Setting =
    Setting::main("acme_root", "", SettingKind::Text, |config, text| set_path(config, text, |acme| &mut acme.root))
        .about("Root certificate by which the ACME server is recognized; empty means the roots of the system")
        .allowed("the path of a PEM file, with acme_email");

pub const ACME_DNS_HOOK: Setting = Setting::main("acme_dns_hook", "", SettingKind::Text, |config, text| {
    set_path(config, text, |acme| &mut acme.dns_hook)
})
.about(
    "Program that sets DNS records, called with set or remove, the name and the value of a TXT record. With it, one \
            wildcard certificate serves all hosts (DNS-01); without it, each host has its own",
)
.allowed("the path of a program, with acme_email");

pub const ACME_WEEKLY_LIMIT: Setting =
    Setting::limit("acme_weekly_limit", "40", SettingKind::Number, |config, text| {
        let limit = within(text, 1, 1_000_000)?;
        if let Some(acme) = &mut config.acme {
            acme.weekly_limit = limit;
        }
        Some(())
    })
    .about(
        "Certificates per week for hosts that have none; renewals do not count. Let's Encrypt allows 50 for a domain",
    )
    .allowed("a number from 1 to 1000000");

/// Sets a path that is allowed only with `acme_email`.
fn set_path(config: &mut Config, text: &str, field: fn(&mut AcmeSettings) -> &mut Option<PathBuf>) -> Option<()> {
    let path = (!text.is_empty()).then(|| text.into());
    match &mut config.acme {
        Some(acme) => *field(acme) = path,
        None if path.is_some() => return None,
        None => {}
    }
    Some(())
}
