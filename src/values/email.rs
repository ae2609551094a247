//! An email address to which mail can be sent (RFC 5321), of at most 254 characters. Requests, mails and sign-in all
//! parse addresses here.

use std::str::FromStr;

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// An address as written. Addresses that differ only in case are equal: unique columns use a collation without case.
/// The domain may be in Unicode; it is compared and sent as A-labels (IDNA).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Email(String);

super::stored_as_text!(Email);

const NO_EMAIL: &str = "must be a valid email address.";

/// Maximum characters of an address and of its local part (RFC 5321, 4.5.3.1).
const LONGEST: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;

impl FromStr for Email {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sent = parts(text).filter(|(local, domain)| local.len() + 1 + domain.len() <= LONGEST);
        if sent.is_some() && text.len() <= LONGEST { Ok(Self(text.to_owned())) } else { Err(NO_EMAIL.into()) }
    }
}

impl Email {
    /// Parses an address for login. It is less strict: an earlier version may have created an account with an address
    /// that cannot receive mail, and that account must not be locked out.
    pub fn of_account(text: &str) -> Result<Self, String> {
        let has_parts = text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let is_address = has_parts && text.len() <= LONGEST && !text.chars().any(char::is_control);
        if is_address { Ok(Self(text.to_owned())) } else { Err(NO_EMAIL.into()) }
    }

    /// The local part and the domain in A-labels, as needed to send mail. `None` if an earlier version accepted an
    /// address that cannot receive mail.
    pub fn to_send(&self) -> Option<(&str, String)> {
        parts(&self.0)
    }
}

/// Splits an address into the local part and the domain in A-labels. Quoted and Unicode local parts are rejected,
/// because hardly any server accepts them.
fn parts(text: &str) -> Option<(&str, String)> {
    let (local, domain) = text.rsplit_once('@')?;
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atext);
    let is_local = local.len() <= LONGEST_LOCAL_PART && local.split('.').all(is_atom);
    Some((local, ascii(domain)?)).filter(|_| is_local)
}

fn is_atext(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&c)
}

/// Whether a label has only letters, digits and hyphens, and no hyphen at an end (RFC 5321, 4.1.2).
pub(super) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Converts a domain to A-labels, if it is a host name.
fn ascii(domain: &str) -> Option<String> {
    if domain.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        return None;
    }
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    // A mail domain must not be an IP address, which mail requires in brackets.
    let is_number = |label: &str| label.bytes().all(|c| c.is_ascii_digit());
    let is_name = ascii.split('.').all(is_label) && !ascii.rsplit('.').next().is_some_and(is_number);
    is_name.then_some(ascii)
}

/// Invisible characters that IDNA drops. A name with one would look like another name.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

/// The possible spellings of an address: as written, with the domain in A-labels, and with the domain in Unicode.
/// Columns are compared with each.
pub fn spellings(text: &str) -> [String; 3] {
    let text = text.trim();
    match parts(text) {
        Some((local, ascii)) => {
            let (unicode, _) = idna::domain_to_unicode(&ascii);
            [text.to_owned(), format!("{local}@{ascii}"), format!("{local}@{unicode}")]
        }
        None => [(); 3].map(|()| text.to_owned()),
    }
}

/// Reads an address for login.
pub fn of_account<'de, D: Deserializer<'de>>(input: D) -> Result<Email, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() {
        return Err(de::Error::custom("field is required."));
    }
    Email::of_account(&text).map_err(de::Error::custom)
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
    json_schema!({"type": "string", "format": "email", "maxLength": LONGEST, "examples": ["ada@example.com"]})
);

#[cfg(test)]
mod tests {
    use lettre::message::{Mailbox, header::ContentType};
    use lettre::{Address, Message};

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

    #[test]
    fn a_domain_is_sent_in_a_labels_and_found_in_any_spelling() {
        let munich = ["bob@münchen.example", "bob@xn--mnchen-3ya.example", "bob@MÜNCHEN.example"];
        for spelling in munich {
            assert_eq!(spelling.parse::<Email>().unwrap().to_send(), Some(("bob", "xn--mnchen-3ya.example".into())));
            assert_eq!(spellings(spelling)[1..], ["bob@xn--mnchen-3ya.example", "bob@münchen.example"]);
        }
    }

    fn can_be_mailed_to(text: &str) -> bool {
        let Ok(email) = text.parse::<Email>() else { return false };
        let (local, domain) = email.to_send().unwrap();
        let to = Mailbox::new(None, Address::new(local, &domain).unwrap());
        let message = Message::builder().from("a@example.com".parse().unwrap()).to(to).header(ContentType::TEXT_PLAIN);
        let message = message.body(String::new()).unwrap();
        let sent = String::from_utf8(message.formatted()).unwrap();
        let header = mailparse::parse_mail(sent.as_bytes()).unwrap().headers.into_iter().find(|h| h.get_key() == "To");
        assert_eq!(header.unwrap().get_value(), format!("{local}@{domain}"), "{text}");
        assert!(message.envelope().to()[0].to_string().is_ascii());
        true
    }

    proptest::proptest! {
        /// Every accepted address can receive mail.
        #[test]
        fn every_address_that_is_taken_can_be_mailed_to(local in "[a-zé0-9.+!'\"() @,;<>]{1,6}", domain in "[a-zA-Zü0-9.\\-_ß\\[\\]:]{1,9}") {
            can_be_mailed_to(&format!("{local}@{domain}"));
        }

        #[test]
        fn usual_addresses_are_taken(local in "[a-z]([.+_-]?[a-z0-9]){0,6}", domain in "[a-z]{1,5}(-[a-z]{1,3})?\\.(com|example|münchen)") {
            let email = format!("{local}@{domain}");
            proptest::prop_assert!(can_be_mailed_to(&email), "{}", email);
        }
    }
}
