//! The DNS label of a workspace, in front of the central domain (RFC 1123, 3 to 63 characters).

use std::str::FromStr;

use schemars::json_schema;
use serde::Serialize;

/// Names for which people or browsers expect another meaning.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "api",
    "app",
    "assets",
    "auth",
    "autoconfig",
    "autodiscover",
    "billing",
    "blog",
    "cdn",
    "central",
    "console",
    "dashboard",
    "demo-admin",
    "dev",
    "dns",
    "docs",
    "download",
    "email",
    "files",
    "ftp",
    "git",
    "healthz",
    "help",
    "host",
    "hostmaster",
    "imap",
    "info",
    "instance",
    "internal",
    "localhost",
    "login",
    "logout",
    "mail",
    "media",
    "metrics",
    "monitor",
    "mta-sts",
    "mx",
    "news",
    "ns1",
    "ns2",
    "oauth",
    "operator",
    "pop",
    "postmaster",
    "proxy",
    "public",
    "readyz",
    "register",
    "root",
    "security",
    "shop",
    "signin",
    "signup",
    "sip",
    "smtp",
    "ssl",
    "sso",
    "staging",
    "static",
    "status",
    "store",
    "support",
    "system",
    "test",
    "tls",
    "ui",
    "vpn",
    "webhooks",
    "webmaster",
    "webmail",
    "wpad",
    "www",
];

/// A label of 3 to 63 characters of `a-z 0-9 -` that is not reserved. It has no hyphen at either end, and not two
/// hyphens in third and fourth place, which would mean punycode (RFC 5891).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Subdomain(String);

super::stored_as_text!(Subdomain);

impl Subdomain {
    /// The closest subdomain for a workspace name: "Zoé & Cie" becomes `zoe-cie`.
    pub fn from_name(name: &str) -> Self {
        let mut label = String::new();
        for c in super::normalize::normalize(name).chars() {
            if c.is_ascii_alphanumeric() {
                label.push(c);
            } else if !label.is_empty() && !label.ends_with('-') {
                label.push('-');
            }
        }
        label.truncate(50);
        let label = label.trim_end_matches('-');
        label
            .parse()
            .or_else(|_| format!("team-{label}").trim_end_matches('-').parse())
            .unwrap_or_else(|_| Self("workspace".into()))
    }

    /// This label with a number appended, for use if it is taken.
    pub fn numbered(&self, n: u32) -> Self {
        Self(format!("{}-{n}", self.0))
    }
}

impl FromStr for Subdomain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("field is required.".into());
        }
        if text.len() < 3 {
            return Err("must be at least 3 characters.".into());
        }
        if text.len() > 63 {
            return Err("may not be greater than 63 characters.".into());
        }
        let label = text.to_ascii_lowercase();
        let letters = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !letters || label.starts_with('-') || label.ends_with('-') || &label[2..label.len().min(4)] == "--" {
            return Err("may only contain letters, digits and single hyphens between them.".into());
        }
        if RESERVED.contains(&label.as_str()) {
            return Err("is reserved.".into());
        }
        Ok(Self(label))
    }
}

super::read_from_text!(Subdomain);

super::described!(
    Subdomain,
    json_schema!({
        "type": "string", "minLength": 3, "maxLength": 63, "pattern": "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$",
        "examples": ["acme"]
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_label() {
        for good in ["acme", "a1b", "my-team", "x-y--z", "ACME", &"a".repeat(63)] {
            assert!(good.parse::<Subdomain>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "-abc", "abc-", "xn--abc", "a.b", "a_b", "été", "www", "API", &"a".repeat(64)] {
            assert!(bad.parse::<Subdomain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_becomes_the_nearest_label() {
        for (name, label) in
            [("Zoé & Cie", "zoe-cie"), ("Acme", "acme"), ("API", "team-api"), ("東京", "team"), ("A", "team-a")]
        {
            assert_eq!(&*Subdomain::from_name(name), label);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_gives_a_label_that_passes(name in "\\PC{0,80}") {
            let label = Subdomain::from_name(&name);
            proptest::prop_assert_eq!(label.parse::<Subdomain>(), Ok(label));
        }
    }
}
