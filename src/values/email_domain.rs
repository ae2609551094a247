//! The domain of email addresses.

use std::str::FromStr;

use schemars::json_schema;
use serde::Serialize;

use super::email::is_label;

/// A domain with at least two labels, in A-labels (RFC 5890) and lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EmailDomain(String);

super::stored_as_text!(EmailDomain);

impl EmailDomain {
    /// Whether an address belongs to this domain. An address of a subdomain does not.
    pub fn has(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').and_then(|(_, domain)| idna::domain_to_ascii(domain).ok());
        domain.is_some_and(|domain| domain == self.0)
    }
}

impl FromStr for EmailDomain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ascii = idna::domain_to_ascii(text).ok();
        let is_domain = |ascii: &String| ascii.contains('.') && ascii.len() <= 253 && ascii.split('.').all(is_label);
        ascii.filter(is_domain).map(Self).ok_or_else(|| "must be a domain of email addresses.".into())
    }
}

super::read_from_text!(EmailDomain);

super::described!(
    EmailDomain,
    json_schema!({
        "type": "string", "minLength": 3, "maxLength": 253,
        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$",
        "examples": ["example.com"]
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_compared_as_names_in_the_dns_are() {
        for (domain, email, has) in [
            ("Example.com", "ada@example.com", true),
            ("example.com", "ada@EXAMPLE.COM", true),
            ("bücher.example", "ada@xn--bcher-kva.example", true),
            ("xn--bcher-kva.example", "ada@bücher.example", true),
            ("example.com", "ada@mail.example.com", false),
            ("example.com", "ada@notexample.com", false),
            ("example.com", "ada@example.com.evil.example", false),
            ("example.com", "example.com", false),
        ] {
            assert_eq!(domain.parse::<EmailDomain>().unwrap().has(email), has, "{domain} {email}");
        }
        for bad in
            ["", "com", "a@example.com", "*.example.com", "exa mple.com", "example..com", "-a.example", "a_b.example"]
        {
            assert!(bad.parse::<EmailDomain>().is_err(), "{bad}");
        }
    }
}
