//! Text with a maximum length in characters.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Text of at most `MAX` characters, stored as written. It may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Text<const MAX: usize>(pub(super) String);

/// Text of 1 to `MAX` characters that is not blank, for required names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Name<const MAX: usize>(pub(super) String);

super::stored_as_text!(Text<const MAX: usize>);
super::stored_as_text!(Name<const MAX: usize>);

impl<const MAX: usize> Text<MAX> {
    /// Checks a text. The error is the sentence for the client.
    pub fn parse(text: String) -> Result<Self, String> {
        within(MAX, text).map(Self)
    }
}

impl<const MAX: usize> Name<MAX> {
    /// Checks a name. The error is the sentence for the client.
    pub fn parse(text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("field is required.".into());
        }
        within(MAX, text).map(Self)
    }
}

/// Rejects NUL too: SQLite ends a text at the first NUL, so the stored text would differ.
fn within(max: usize, text: String) -> Result<String, String> {
    if text.contains('\0') {
        return Err("may not contain a null character.".into());
    }
    // There are at least as many bytes as characters, so short texts need no count.
    if text.len() > max && text.chars().count() > max {
        return Err(format!("may not be greater than {max} characters."));
    }
    Ok(text)
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(input)?).map_err(de::Error::custom)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Name<MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(input)?).map_err(de::Error::custom)
    }
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": MAX, "pattern": "^[^\\u0000]*$"})
    }
}

impl<const MAX: usize> JsonSchema for Name<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Name{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX, "pattern": "^[^\\u0000]*[^\\s\\u0085\\u0000][^\\u0000]*$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters() {
        assert!(Text::<3>::parse("éàü".into()).is_ok());
        assert_eq!(Text::<3>::parse("éàüo".into()), Err("may not be greater than 3 characters.".into()));
    }

    #[test]
    fn a_name_is_not_blank_and_a_text_may_be() {
        assert_eq!(Name::<9>::parse(" \t".into()), Err("field is required.".into()));
        assert!(Text::<9>::parse(String::new()).is_ok());
    }
}
