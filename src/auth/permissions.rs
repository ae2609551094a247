//! Permissions in a workspace: `{resource}.{action}`. Roles may also contain `{resource}.*` and `*`.

use serde::Serialize;

use crate::values::stored_as_json;

/// Permissions of a role or a key, including wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permissions(Vec<String>);

impl Permissions {
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Keeps the permissions that `others` cover too.
    #[must_use]
    pub fn intersection(self, others: &Self) -> Self {
        Self(self.0.into_iter().filter(|permission| others.grants(permission)).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this permission, or everything that this wildcard stands for, is granted.
    pub fn grants(&self, permission: &str) -> bool {
        self.0.iter().any(|granted| covers(granted, permission))
    }

    /// Finds one of `others` that these permissions do not cover. Their holder must not grant it.
    pub fn first_missing<'o>(&self, others: &'o Self) -> Option<&'o str> {
        others.0.iter().map(String::as_str).find(|other| !self.grants(other))
    }
}

fn covers(granted: &str, permission: &str) -> bool {
    match granted.strip_suffix('*') {
        Some("") => true,
        Some(resource) => resource.ends_with('.') && permission.starts_with(resource),
        None => granted == permission,
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
}
