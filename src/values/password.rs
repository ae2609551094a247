//! A password that somebody chooses: 8 to 200 characters, and not among the 10,000 that are guessed first.

use std::fmt;

use schemars::json_schema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const SHORTEST: usize = 8;
const LONGEST: usize = 200;

/// A new password. It is written nowhere: neither to a log nor into an answer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// The password, or the sentence that says why not.
    pub fn parse(text: String) -> Result<Self, String> {
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
        // The estimate takes longer than a hash on long texts, and nothing long is common.
        if length <= 32 && zxcvbn::zxcvbn(&text, &[]).guesses() <= 10_000 {
            return Err("is too common: choose one that is harder to guess.".into());
        }
        Ok(Self(text))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
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
        "description": "Not one of the 10,000 passwords that are guessed first."
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
    fn length_has_two_bounds() {
        assert_eq!(Password::parse("short".into()).unwrap_err(), "must be at least 8 characters.");
        assert!(Password::parse("x".repeat(201)).unwrap_err().starts_with("may not be greater than 200"));
    }
}
