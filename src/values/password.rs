//! A new password: 8 to 200 characters, not one of the 10,000 most common passwords, and not the person's name or
//! address.

use std::fmt;

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;

const SHORTEST: usize = 8;
const LONGEST: usize = 200;
/// Longer text is not checked for strength.
const LONGEST_JUDGED: usize = 32;

/// The number of guesses by a person who knows the user.
const PERSONAL_GUESSES: u64 = 100_000;

/// A new password in normal form (RFC 8265, 4.2). It must never appear in a log or a response.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// Checks a password. The error is the sentence for the client.
    pub fn parse(text: String) -> Result<Self, String> {
        let text = prepare(&text);
        let length = text.chars().count();
        if length == 0 {
            return Err("field is required.".into());
        }
        if length < SHORTEST {
            return Err(format!("must be at least {SHORTEST} characters."));
        }
        if length > LONGEST {
            return Err(format!("may not be greater than {LONGEST} characters."));
        }
        if guesses(&text, &[]) <= 10_000 {
            return Err("is too common: choose one that is harder to guess.".into());
        }
        Ok(Self(text))
    }

    /// Rejects a password that resembles the user's address or name, the host, or a part of them.
    pub fn check_not_about(&self, email: &str, name: &str, host: &str) -> Result<(), String> {
        let (local, domain) = email.split_once('@').unwrap_or((email, ""));
        let whole = [email, local, domain, name, host].map(str::to_lowercase);
        let parts = whole.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let known: Vec<&str> = whole.iter().map(String::as_str).chain(parts).filter(|part| part.len() >= 3).collect();
        let with_these = guesses(&self.0, &known);
        let bare = letters_and_digits(&self.0);
        let is_one = !bare.is_empty() && known.iter().any(|known| self::letters_and_digits(known) == bare);
        if is_one || (with_these <= PERSONAL_GUESSES && with_these < guesses(&self.0, &[])) {
            return Err("is too easy to guess: it is your name or address, or the name of this site.".into());
        }
        Ok(())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The normal form of a password (RFC 8265, 4.2): composed characters, and every space as U+0020.
pub fn prepare(text: &str) -> String {
    let space = |c: char| if c.is_whitespace() && !c.is_control() { ' ' } else { c };
    text.chars().map(space).nfc().collect()
}

/// The letters and digits of a text, without digits at both ends, which people add to a name.
fn letters_and_digits(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    text.trim_matches(char::is_numeric).to_owned()
}

/// Estimates the number of guesses for a password when `known` words are tried first. For a repeated piece, that is the
/// guesses for the piece times the repetitions. Other long text is not estimated: that takes longer than a hash, and no
/// long text is common.
fn guesses(text: &str, known: &[&str]) -> u64 {
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len();
    let repeats = |period: &usize| characters.iter().zip(&characters[*period..]).all(|(one, next)| one == next);
    let period = (1..=length / 2).find(repeats);
    let judged: String = characters[..period.unwrap_or(length)].iter().collect();
    // An address may be too long to estimate, so compare it here.
    if known.contains(&judged.to_lowercase().as_str()) {
        return 1;
    }
    if judged.chars().count() > LONGEST_JUDGED {
        return u64::MAX;
    }
    let times = period.map_or(1, |period| length.div_ceil(period)) as u64;
    zxcvbn::zxcvbn(&judged, known).guesses().saturating_mul(times)
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str("")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(input)?).map_err(de::Error::custom)
    }
}

super::described!(
    Password,
    json_schema!({
        "type": "string", "format": "password", "minLength": SHORTEST, "maxLength": LONGEST,
        "examples": ["a-long-password"],
        "description": "Must not be one of the 10,000 most common passwords, nor the person's name or address."
    })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_are_refused() {
        for common in ["password", "12345678", "password1", "qwertyuiop", "iloveyou", "aaaaaaaa"] {
            assert!(Password::parse(common.into()).unwrap_err().starts_with("is too common"), "{common}");
        }
        assert!(Password::parse("correct horse battery".into()).is_ok());
    }

    #[test]
    fn what_repeats_a_piece_is_judged_by_the_piece() {
        let said = |text: String| Password::parse(text);
        for common in [
            "abc".repeat(20),
            "password1".repeat(2),
            "password1".repeat(6),
            "x".repeat(100),
            "qwerty".repeat(8) + "qwe",
        ] {
            assert!(said(common.clone()).unwrap_err().starts_with("is too common"), "{common}");
        }
        assert!(said("kV9#tRz!2mQ8".repeat(4)).is_ok());
        assert!(said("correct horse battery staple, and a wagon".into()).is_ok());
    }

    #[test]
    fn what_is_known_of_a_person_is_no_password() {
        let said = |text: &str| {
            Password::parse(text.into())?.check_not_about(
                "grace.hopper@navy.example",
                "Grace Vandermolen Hopper",
                "cx.example.com",
            )
        };
        for known in [
            "grace.hopper@navy.example",
            "Grace.Hopper",
            "gracehopper",
            "Vandermolen",
            "vandermolen1",
            "Hopper!!",
            "cx.example.com",
            "grace vandermolen hopper",
            "hopperhopperhopper",
        ] {
            assert!(said(known).is_err(), "{known}");
        }
        for good in ["correct horse battery", "hopper-and-49-green-mules", "kV9#tRz!2mQ8"] {
            assert_eq!(said(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn however_it_is_typed_it_is_one_password() {
        let composed = Password::parse("caf\u{e9} noir d\u{e9}caf".into()).unwrap();
        let decomposed = Password::parse("cafe\u{301}\u{a0}noir de\u{301}caf".into()).unwrap();
        assert_eq!(composed.reveal(), decomposed.reveal());
    }

    #[test]
    fn length_has_two_bounds() {
        assert_eq!(Password::parse("short".into()).unwrap_err(), "must be at least 8 characters.");
        assert!(Password::parse("x".repeat(201)).unwrap_err().starts_with("may not be greater than 200"));
    }
}
