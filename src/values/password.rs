//! A password that somebody chooses: 8 to 200 characters, not among the 10,000 that are guessed first, and not what is
//! known of the person.

use std::fmt;

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;

const SHORTEST: usize = 8;
const LONGEST: usize = 200;
/// Text that is judged at the most.
const LONGEST_JUDGED: usize = 32;

/// Guesses that somebody makes who knows the person.
const PERSONAL_GUESSES: u64 = 100_000;

/// A new password, in its one form (RFC 8265, 4.2). It is written nowhere: neither to a log nor into an answer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// The password, or the sentence that says why not.
    pub fn parse(text: String) -> Result<Self, String> {
        let text = opaque(&text);
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

    /// Refuses what somebody tries who knows the person: the address and the name, the host, parts of them.
    pub fn check_not_about(&self, email: &str, name: &str, host: &str) -> Result<(), String> {
        let (local, domain) = email.split_once('@').unwrap_or((email, ""));
        let whole = [email, local, domain, name, host].map(str::to_lowercase);
        let parts = whole.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let known: Vec<&str> = whole.iter().map(String::as_str).chain(parts).filter(|part| part.len() >= 3).collect();
        let with_these = guesses(&self.0, &known);
        let bare = bare(&self.0);
        let is_one = !bare.is_empty() && known.iter().any(|known| self::bare(known) == bare);
        if is_one || (with_these <= PERSONAL_GUESSES && with_these < guesses(&self.0, &[])) {
            return Err("is too easy to guess: it is your name or address, or the name of this site.".into());
        }
        Ok(())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The one form of a password (RFC 8265, 4.2): composed characters, and every space as U+0020.
pub fn opaque(text: &str) -> String {
    let space = |c: char| if c.is_whitespace() && !c.is_control() { ' ' } else { c };
    text.chars().map(space).nfc().collect()
}

/// Letters and digits alone, without digits before and behind them: what somebody adds to a name.
fn bare(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    text.trim_matches(char::is_numeric).to_owned()
}

/// How many guesses it takes, with these words tried first. Text that repeats a piece takes as many as the piece, each as
/// often as it is repeated. Other long text is not judged: that takes longer than a hash, and nothing long is common.
fn guesses(text: &str, known: &[&str]) -> u64 {
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len();
    let repeats = |period: &usize| characters.iter().zip(&characters[*period..]).all(|(one, next)| one == next);
    let period = (1..=length / 2).find(repeats);
    let judged: String = characters[..period.unwrap_or(length)].iter().collect();
    // A whole address may be long, and is known as it is.
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
        "description": "Not one of the 10,000 passwords that are guessed first, and not the person's name or address."
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
