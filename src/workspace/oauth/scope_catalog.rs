//! The scopes that a program can request (RFC 6749, section 3.3): the names of permissions, and two older scopes of the
//! CRM look-up.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::auth::Scopes;
use crate::auth::scopes::LOOK_UP;
use crate::values::{Language, distinct};
use crate::workspace::permission_catalog;

impl Scopes {
    /// Every scope that exists.
    pub fn all() -> impl Iterator<Item = String> {
        LOOK_UP.iter().map(|scope| (*scope).to_owned()).chain(permission_catalog::names())
    }

    /// Every scope with its description.
    pub fn descriptions() -> impl Iterator<Item = (String, String)> {
        let look_up =
            LOOK_UP.map(|scope| (scope.to_owned(), "Look up callers. Requires both `client` and `crm`".to_owned()));
        let others = permission_catalog::in_words(Language::English);
        look_up.into_iter().chain(others.map(|(name, can)| (name, format!("Can {can}"))))
    }

    /// Parses scopes separated by spaces. Returns `None` if one of them is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scopes: Vec<String> = Vec::new();
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            if !is_known(scope) {
                return None;
            }
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
        Some(Self::of(scopes))
    }
}

fn is_known(scope: &str) -> bool {
    LOOK_UP.contains(&scope) || (!scope.contains('*') && permission_catalog::is_known(scope))
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let scopes: Vec<ScopeName> = distinct(input)?;
        Ok(Self::of(scopes.into_iter().map(|ScopeName(scope)| scope)))
    }
}

/// One scope. It is a type, so that the error for an unknown scope states its index in the list.
#[derive(PartialEq)]
struct ScopeName(String);

impl<'de> Deserialize<'de> for ScopeName {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let scope = String::deserialize(input)?;
        if is_known(&scope) { Ok(Self(scope)) } else { Err(de::Error::custom("unknown scope")) }
    }
}

impl JsonSchema for Scopes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scopes".into()
    }

    /// In responses an item is any string, because a later version may add scopes.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            return json_schema!({"type": "array", "items": {"type": "string"}, "examples": [["client", "crm"]]});
        }
        let all: Vec<String> = Self::all().collect();
        json_schema!({"type": "array", "items": {"type": "string", "enum": all}, "examples": [["client", "crm"]]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    #[test]
    fn only_what_there_is_can_be_asked_for() {
        assert_eq!(parsed("crm  client crm").to_string(), "crm client");
        assert_eq!(parsed(""), Scopes::default());
        for unknown in ["*", "customer.*", "customer", "customer.paint", "crm\tclient", "CRM"] {
            assert_eq!(Scopes::parse(unknown), None, "{unknown}");
        }
        assert!(parsed("crm").are_within(&parsed("client crm")));
        assert!(!parsed("client crm").are_within(&parsed("crm")));
    }
}
