//! One word of a closed list.

/// Defines a type for a closed list of words. The caller defines its `Default`: a word, or, derived, the blank. The
/// blank is none of the words, so it makes a field of the type required.
macro_rules! choice {
    ($(#[$about:meta])* $type:ident { $($constant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        pub struct $type(&'static str);

        #[allow(dead_code, reason = "each word has a constant, even if no code uses it")]
        impl $type {
            $(pub const $constant: Self = Self($word);)+
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                if text.is_empty() {
                    return Err("field is required.".into());
                }
                let word = Self::WORDS.iter().find(|word| **word == text);
                word.map(|word| Self(word)).ok_or_else(|| "not one of the words".into())
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }

        $crate::values::read_from_text!($type);
        $crate::values::described!($type, schemars::json_schema!({"type": "string", "enum": Self::WORDS}));

        impl rusqlite::ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl rusqlite::types::FromSql for $type {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|said: String| rusqlite::types::FromSqlError::Other(said.into()))
            }
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    choice!(Colour { RED = "red", DARK_BLUE = "dark_blue" });

    #[test]
    fn only_a_word_of_the_list_is_taken() {
        assert_eq!("dark_blue".parse(), Ok(Colour::DARK_BLUE));
        assert_eq!(serde_json::to_string(&Colour::RED).unwrap(), "\"red\"");
        assert_eq!("".parse::<Colour>(), Err("field is required.".into()));
        for bad in ["\"Red\"", "\"green\"", "1", "null", "{\"red\":null}"] {
            assert!(serde_json::from_str::<Colour>(bad).is_err(), "{bad}");
        }
    }
}
