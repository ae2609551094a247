//! The permission catalog: every permission of a workspace, as its resources declare them.

use std::borrow::Cow;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::resources;
use crate::api::resource::{PermissionAction, PermissionGroup};
use crate::auth::Permissions;
use crate::values::{Language, distinct};

/// The groups in the order in which people read them. A wildcard in a role stands for the names in this list, including
/// names that a later version adds.
pub fn groups() -> &'static [&'static PermissionGroup] {
    static GROUPS: LazyLock<Vec<&'static PermissionGroup>> = LazyLock::new(|| {
        let mut declared: Vec<_> = resources().filter(|resource| resource.permissions.is_some()).collect();
        declared.sort_by_key(|resource| resource.section);
        declared.into_iter().filter_map(|resource| resource.permissions).collect()
    });
    &GROUPS
}

fn actions() -> impl Iterator<Item = (String, &'static PermissionAction)> {
    let names = |group: &&'static PermissionGroup| {
        let group = *group;
        group.actions.iter().map(move |action| (format!("{}.{}", group.resource, action.name), action))
    };
    groups().iter().flat_map(names)
}

/// Every name: `customer.view`.
pub fn names() -> impl Iterator<Item = String> {
    actions().map(|(name, _)| name)
}

/// Every name, with a description in a language.
pub fn in_words(language: Language) -> impl Iterator<Item = (String, &'static str)> {
    actions().map(move |(name, action)| {
        let can = match language {
            Language::English => action.can.english,
            Language::French => action.can.french,
        };
        (name, can)
    })
}

/// Whether a role may contain this name: a permission, all permissions of a resource, or all permissions.
pub fn is_known(name: &str) -> bool {
    let Some((resource, action)) = name.split_once('.') else { return name == "*" };
    let group = groups().iter().find(|group| group.resource == resource);
    group.is_some_and(|group| action == "*" || group.actions.iter().any(|known| known.name == action))
}

impl Permissions {
    /// Describes the permissions for people.
    pub fn descriptions(&self, language: Language) -> Vec<String> {
        let all = in_words(language).filter(|(name, _)| self.grants(name));
        all.map(|(_, can)| can.to_owned()).collect()
    }

    /// The number of permissions of the catalog that these grant.
    pub fn count(&self) -> usize {
        names().filter(|name| self.grants(name)).count()
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let permissions: Vec<PermissionName> = distinct(input)?;
        Ok(Self::of(permissions.iter().map(|PermissionName(name)| name.as_str())))
    }
}

/// One permission. It is a type, so that the error for an unknown name states its index in the list.
#[derive(PartialEq)]
struct PermissionName(String);

impl<'de> Deserialize<'de> for PermissionName {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = String::deserialize(input)?;
        if is_known(&name) { Ok(Self(name)) } else { Err(de::Error::custom("unknown permission")) }
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
        let wildcards = groups().iter().map(|group| format!("{}.*", group.resource));
        let names: Vec<String> = std::iter::once("*".to_owned()).chain(wildcards).chain(names()).collect();
        json_schema!({"type": "array", "items": {"type": "string", "enum": names}, "examples": [["customer.view", "contact.*"]]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::TestServer;

    #[test]
    fn only_names_of_the_catalogue_are_taken_each_once() {
        let read = |text: &str| serde_json::from_str::<Permissions>(text);
        assert_eq!(read(r#"["customer.view","*","customer.view"]"#).unwrap(), Permissions::of(["customer.view", "*"]));
        for bad in [r#"["customer.fly"]"#, r#"["dragon.*"]"#, r#"["customer"]"#, r#"[""]"#, r#"["cust*"]"#, r#""*""#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_built_in_roles_have_the_permissions_that_the_resources_declare() {
        let server = TestServer::new();
        for role in server.admin().get("/roles").ok().as_array().unwrap() {
            let name = role["name"].as_str().unwrap().to_owned();
            let declared = actions().filter(|(_, action)| name == "admin" || action.roles.contains(&name.as_str()));
            let (sql, wanted) = ("SELECT permissions FROM roles WHERE name = ?1", name.clone());
            let stored: Permissions = server.in_file(move |db| Ok(db.query_row(sql, [&wanted], |row| row.get(0))?));
            let granted = names().filter(|permission| stored.grants(permission));
            assert_eq!(granted.collect::<Vec<_>>(), declared.map(|(name, _)| name).collect::<Vec<_>>());
        }
    }
}
