//! An e-mail address (RFC 5321, 5322), of at most 254 characters.

use std::str::FromStr;

use email_address::{EmailAddress, Options};
use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// An address as it was written. Two that differ only in case are one: columns that are unique by it collate so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Email(String);

super::stored_as_text!(Email);

impl FromStr for Email {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = Options::default().without_display_text().without_domain_literal();
        if text.contains('\0') || text.len() > 254 {
            return Err("must be a valid email address.".into());
        }
        EmailAddress::parse_with_options(text, plain)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| "must be a valid email address.".into())
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if text.is_empty() {
            return Err(de::Error::custom("field is required."));
        }
        text.parse().map_err(de::Error::custom)
    }
}

super::described!(
    Email,
    json_schema!({"type": "string", "format": "email", "maxLength": 254, "examples": ["ada@example.com"]})
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_taken() {
        for good in ["ada@example.com", "a.b+c@sub.example.co.uk", "root@localhost"] {
            assert!(good.parse::<Email>().is_ok(), "{good}");
        }
        for bad in ["", "ada", "ada@", "@example.com", "Ada <ada@example.com>", "a b@example.com", "a@[127.0.0.1]"] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
    }
}
