//! Where the object store is: the address of a bucket, and the files with the keys.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rusty_s3::{Bucket, UrlStyle};
use url::{Host, Url};

use crate::values::is_public;

/// The settings of the object store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub url: StoreUrl,
    /// The region with which requests are signed.
    pub region: String,
    /// The file with the access key id.
    pub key_file: PathBuf,
    /// The file with the secret access key.
    pub secret_file: PathBuf,
    pub purpose: StorePurpose,
}

/// The use of an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePurpose {
    /// It receives every write.
    Commits,
    /// It receives backups.
    Backups,
}

/// The names of the settings of a store, for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct SettingNames {
    pub url: &'static str,
    pub region: &'static str,
    pub key_file: &'static str,
    pub secret_file: &'static str,
}

impl StorePurpose {
    pub(super) fn names(self) -> SettingNames {
        match self {
            Self::Commits => SettingNames {
                url: "store_url",
                region: "store_region",
                key_file: "store_key_file",
                secret_file: "store_secret_file",
            },
            Self::Backups => SettingNames {
                url: "backup_to",
                region: "backup_region",
                key_file: "backup_key_file",
                secret_file: "backup_secret_file",
            },
        }
    }

    /// Bytes that even a slow store takes in a second. Commits wait for the store. A backup may use a slow line.
    pub(super) fn slowest_rate(self) -> u64 {
        match self {
            Self::Commits => 1 << 20,
            Self::Backups => 32 << 10,
        }
    }
}

/// The address of a folder in a bucket.
///
/// `https://HOST/BUCKET/PREFIX` is a bucket at any provider: the first segment of the path is the bucket (path style).
/// `s3://BUCKET/PREFIX` is a bucket at AWS, in the region of the settings. The prefix may be missing. `http://` is
/// accepted for loopback and private addresses. The address of a host name is judged when a connection is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// `None` is AWS.
    endpoint: Option<Url>,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
}

impl StoreUrl {
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The bucket of these settings, for a client.
    pub(super) fn bucket(&self, region: &str, purpose: StorePurpose) -> anyhow::Result<Bucket> {
        let (endpoint, style) = match &self.endpoint {
            Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
            // The certificate of AWS is for one label before the host, so a name with a dot is written into the path.
            None if self.bucket.contains('.') => (aws_endpoint(region)?, UrlStyle::Path),
            None => (aws_endpoint(region)?, UrlStyle::VirtualHost),
        };
        Bucket::new(endpoint, style, self.bucket.clone(), region.to_owned())
            .map_err(|error| anyhow::anyhow!("{} cannot be used: {error}", purpose.names().url))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_ref().map_or("s3://", Url::as_str);
        let path = format!("{}/{}", self.bucket, self.prefix);
        write!(f, "{endpoint}{}", path.trim_end_matches('/'))
    }
}

fn aws_endpoint(region: &str) -> anyhow::Result<Url> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Ok(Url::parse(&format!("https://s3.{region}.{domain}"))?)
}

impl FromStr for StoreUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once("://").ok_or(())?;
        // What a URL parser forgives or resolves is an error here, and so is a password.
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#\\%".contains(c)) {
            return Err(());
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (endpoint, bucket, prefix) = match scheme {
            "s3" => (None, host, path),
            "http" | "https" => {
                let endpoint = Url::parse(&format!("{scheme}://{host}/")).map_err(drop)?;
                if scheme == "http" && has_public_address(&endpoint) {
                    return Err(());
                }
                let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
                (Some(endpoint), bucket, prefix)
            }
            _ => return Err(()),
        };
        let prefix = prefix.trim_end_matches('/');
        if !is_bucket(bucket) || !(prefix.is_empty() || prefix.split('/').all(is_segment)) {
            return Err(());
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { endpoint, bucket: bucket.to_owned(), prefix })
    }
}

fn has_public_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        Some(Host::Domain(_)) | None => false,
    }
}

fn is_bucket(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.bytes().all(|byte| is_letter(byte) || b".-_".contains(&byte))
        && text.bytes().next().is_some_and(is_letter)
        && text.bytes().last().is_some_and(is_letter)
}

fn is_segment(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !["", ".", ".."].contains(&text) && text.bytes().all(is_allowed)
}
