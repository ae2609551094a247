//! What a user of a workspace may do: `{resource}.{action}`, with `{resource}.*` and `*` in roles.

use rusqlite::{Connection, OptionalExtension};

/// Who a call is made by, as far as the file knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nobody of this file's: a stranger, or an account on the central host.
    Outsider,
    Member(Member),
}

/// A user of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub user_id: i64,
    pub role: String,
    /// As the role has them, wildcards and all.
    pub permissions: Vec<String>,
}

impl Member {
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.iter().any(|granted| covers(granted, permission))
    }
}

fn covers(granted: &str, permission: &str) -> bool {
    match granted.strip_suffix('*') {
        Some("") => true,
        Some(resource) => resource.ends_with('.') && permission.starts_with(resource),
        None => granted == permission,
    }
}

/// The user that an account is in this workspace, if any.
pub fn member(db: &Connection, account_id: i64) -> rusqlite::Result<Option<Member>> {
    db.prepare_cached(
        "SELECT u.id, r.name, r.permissions FROM users u JOIN roles r ON r.id = u.role_id WHERE u.account_id = ?1",
    )?
    .query_row([account_id], |row| {
        let permissions = serde_json::from_str(row.get_ref(2)?.as_str()?).unwrap_or_default();
        Ok(Member { user_id: row.get(0)?, role: row.get(1)?, permissions })
    })
    .optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_whole_names_only() {
        for (granted, permission, covered) in [
            ("*", "customer.view", true),
            ("customer.*", "customer.view", true),
            ("customer.*", "customers.view", false),
            ("customer.view", "customer.view", true),
            ("customer.view", "customer.viewer", false),
            ("cust*", "customer.view", false),
        ] {
            assert_eq!(covers(granted, permission), covered, "{granted} {permission}");
        }
    }
}
