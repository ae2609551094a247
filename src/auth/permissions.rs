//! Permissions in a workspace: `{resource}.{action}`. Roles may also contain `{resource}.*` and `*`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::catalogue;
use crate::values::{Language, distinct, stored_as_json};

/// Permissions of a role or a key, including wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permissions(Vec<String>);

impl Permissions {
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Keeps the permissions that `others` cover too.
    #[must_use]
    pub fn within(self, others: &Self) -> Self {
        Self(self.0.into_iter().filter(|permission| others.cover(permission)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this permission, or everything that this wildcard stands for, is granted.
    pub fn cover(&self, permission: &str) -> bool {
        self.0.iter().any(|granted| covers(granted, permission))
    }

    /// Finds one of `others` that these permissions do not cover. Their holder must not grant it.
    pub fn lacks<'o>(&self, others: &'o Self) -> Option<&'o str> {
        others.0.iter().map(String::as_str).find(|other| !self.cover(other))
    }

    /// Describes the permissions for people.
    pub fn in_words(&self, language: Language) -> Vec<String> {
        let all = catalogue::in_words(language).filter(|(name, _)| self.cover(name));
        all.map(|(_, can)| can.to_owned()).collect()
    }

    /// The number of permissions of the catalogue that these grant.
    pub fn count(&self) -> usize {
        catalogue::names().filter(|name| self.cover(name)).count()
    }
}

fn covers(granted: &str, permission: &str) -> bool {
    match granted.strip_suffix('*') {
        Some("") => true,
        Some(resource) => resource.ends_with('.') && permission.starts_with(resource),
        None => granted == permission,
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let permissions: Vec<Permission> = distinct(input)?;
        Ok(Self(permissions.into_iter().map(|Permission(name)| name).collect()))
    }
}

/// One permission. It is a type, so that the error for an unknown name states its index in the list.
#[derive(PartialEq)]
struct Permission(String);

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = String::deserialize(input)?;
        if catalogue::knows(&name) { Ok(Self(name)) } else { Err(de::Error::custom("unknown permission")) }
    }
}

impl JsonSchema for Permissions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Permissions".into()
    }

    /// In responses an item is any string, because a later version may add permissions.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_serialize() {
            return json_schema!({"type": "array", "items": {"type": "string"}, "examples": [["customer.view", "contact.*"]]});
        }
        let wildcards = catalogue::CATALOGUE.iter().map(|group| format!("{}.*", group.resource));
        let names: Vec<String> = std::iter::once("*".to_owned()).chain(wildcards).chain(catalogue::names()).collect();
        json_schema!({"type": "array", "items": {"type": "string", "enum": names}, "examples": [["customer.view", "contact.*"]]})
    }
}

stored_as_json!(Permissions);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_whole_names_only() {
        for (granted, permission, covered) in [
            ("*", "customer.view", true),
            ("*", "customer.*", true),
            ("customer.*", "customer.view", true),
            ("customer.*", "customer.*", true),
            ("customer.*", "customers.view", false),
            ("customer.*", "*", false),
            ("customer.view", "customer.view", true),
            ("customer.view", "customer.viewer", false),
            ("customer.view", "customer.*", false),
            ("cust*", "customer.view", false),
        ] {
            assert_eq!(covers(granted, permission), covered, "{granted} {permission}");
        }
    }

    #[test]
    fn only_names_of_the_catalogue_are_taken_each_once() {
        let read = |text: &str| serde_json::from_str::<Permissions>(text);
        assert_eq!(read(r#"["customer.view","*","customer.view"]"#).unwrap().0, ["customer.view", "*"]);
        for bad in [r#"["customer.fly"]"#, r#"["dragon.*"]"#, r#"["customer"]"#, r#"[""]"#, r#"["cust*"]"#, r#""*""#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
