//! The settings of off-site backups and of alerts about backups, for the table.

use std::path::PathBuf;

use super::AlertWebhook;
use super::setting_table::{Setting, SettingKind};
use super::values::{items, period, region, within};
use crate::values::WebUrl;

/// The default of `backup_expect` with a destination, in seconds: a day, and the random delay of a timer.
const EXPECTED_WITH_DESTINATION: i64 = 26 * 3600;

pub const BACKUP_TO: Setting = Setting::main("backup_to", "", SettingKind::Text, |config, text| {
    config.backup_to = if text.is_empty() { None } else { Some(text.parse().ok()?) };
    Some(())
})
.about(
    "Place outside this machine that gets an encrypted copy of each backup of everything: a bucket of an object \
            store (S3 API), or a command that copies; empty means none",
)
.allowed(
    "s3://BUCKET/PREFIX for AWS, https://HOST/BUCKET/PREFIX, or command:/PATH of a program; http:// only to a \
              loopback or private address",
);

pub const BACKUP_RECIPIENTS: Setting = Setting::main("backup_recipients", "", SettingKind::List, |config, text| {
    let recipients = items(text).map(|item| item.parse().ok()).collect::<Option<_>>()?;
    config.backup_recipients = recipients;
    Some(())
})
.about("Public keys that encrypt the copies for backup_to. Keep the secret key of one of them elsewhere")
.allowed("public keys of age, which begin with age1, separated by commas; `cx-engine backup-key` makes a pair");

pub const BACKUP_REGION: Setting = Setting::main("backup_region", "us-east-1", SettingKind::Text, |config, text| {
    config.backup_region = region(text)?;
    Some(())
})
.about("Region of the bucket of backup_to; stores without regions accept the default")
.allowed("letters, digits and -, like eu-west-3");

pub const BACKUP_KEY_FILE: Setting = Setting::main("backup_key_file", "", SettingKind::Text, |config, text| {
    config.backup_key_file = text.into();
    Some(())
})
.about("File with the access key id of the bucket of backup_to; empty means that of store_key_file")
.allowed("the path of a file that contains only the key");

pub const BACKUP_SECRET_FILE: Setting = Setting::main("backup_secret_file", "", SettingKind::Text, |config, text| {
    config.backup_secret_file = text.into();
    Some(())
})
.about("File with the secret access key of the bucket of backup_to; empty means that of store_secret_file")
.allowed("the path of a file that contains only the key");

pub const BACKUP_EXPECT: Setting = Setting::limit("backup_expect", "", SettingKind::Text, |config, text| {
    config.backup_expect = match text {
        "" => config.backup_to.as_ref().map(|_| EXPECTED_WITH_DESTINATION),
        "0" => None,
        text => Some(period(text).filter(|seconds| (60..=31_536_000).contains(seconds))?),
    };
    Some(())
})
.about(
    "Time without a complete backup after which the operators get a mail, and alert_webhook a message; empty means \
            26h with backup_to, else never; 0 means never",
)
.allowed("seconds, or a number with m, h or d, like 36h or 1d, from 1m to 365d");

pub const ALERT_WEBHOOK: Setting = Setting::main("alert_webhook", "", SettingKind::Text, |config, text| {
    let url: Option<WebUrl> = if text.is_empty() { None } else { Some(text.parse().ok()?) };
    config.alert_webhook = url.map(|url| AlertWebhook { url, secret_file: PathBuf::new() });
    Some(())
})
.about(
    "URL that gets a signed message when a backup fails or does not come, and when one comes again; empty means none",
)
.allowed("an http or https URL, with alert_webhook_secret_file");

pub const ALERT_WEBHOOK_SECRET_FILE: Setting =
    Setting::main("alert_webhook_secret_file", "", SettingKind::Text, |config, text| match &mut config.alert_webhook {
        Some(webhook) if !text.is_empty() => {
            webhook.secret_file = text.into();
            Some(())
        }
        webhook => (webhook.is_none() && text.is_empty()).then_some(()),
    })
    .about("File with the secret that signs the messages to alert_webhook (Standard Webhooks)")
    .allowed("the path of a file that contains only whsec_ and 24 to 64 bytes in base64, with alert_webhook");

pub const BACKUP_PART_MIB: Setting = Setting::tuning("backup_part_mib", "64", SettingKind::Number, |config, text| {
    within(text, 1, 1024).map(|n| config.backup_part_mib = n)
})
.about("Size of the objects of a backup in backup_to, in MiB. The local disk needs space for one more")
.allowed("a number from 1 to 1024");
