//! Scopes of OAuth tokens (RFC 6749, 3.3): the names of permissions, and two older scopes of the CRM look-up.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;

use super::permissions::Permissions;

/// Both scopes together grant the permission to look up callers.
pub const LOOK_UP: [&str; 2] = ["client", "crm"];
const LOOK_UP_PERMISSION: &str = "crm.lookup";

/// Scopes in the order of the request, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Scopes(Vec<String>);

impl Scopes {
    pub fn of(scopes: impl IntoIterator<Item = String>) -> Self {
        Self(scopes.into_iter().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|own| own == scope)
    }

    /// Whether all of these are among the others.
    pub fn are_within(&self, others: &Self) -> bool {
        self.iter().all(|scope| others.contains(scope))
    }

    /// Keeps the scopes that are still valid: the client may have them, and the person who approved them, if any, may
    /// use them.
    #[must_use]
    pub fn effective(&self, client: &Self, person: Option<&Permissions>) -> Self {
        let held = Self(self.iter().filter(|scope| client.contains(scope)).map(str::to_owned).collect());
        match person {
            Some(person) => held.limited_to(person),
            None => held,
        }
    }

    /// Keeps the scopes that a person with these permissions may use.
    fn limited_to(self, person: &Permissions) -> Self {
        let looks_up = LOOK_UP.iter().all(|scope| self.contains(scope));
        let may = |scope: &String| match LOOK_UP.contains(&scope.as_str()) {
            // One of the two alone grants nothing.
            true => !looks_up || person.grants(LOOK_UP_PERMISSION),
            false => person.grants(scope),
        };
        Self(self.0.into_iter().filter(may).collect())
    }

    /// The permissions that the scopes grant.
    pub fn permissions(&self) -> Permissions {
        let looks_up = LOOK_UP.iter().all(|scope| self.contains(scope)).then_some(LOOK_UP_PERMISSION);
        Permissions::of(self.iter().filter(|scope| !LOOK_UP.contains(scope)).chain(looks_up))
    }
}

/// Separated by spaces, as in tokens.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl ToSql for Scopes {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.to_string()))
    }
}

/// Reads the stored text without checking it against the catalogue: a version with more scopes may have written it.
impl FromSql for Scopes {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str().map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self(text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    #[test]
    fn client_and_crm_look_up_together_and_neither_alone() {
        assert!(scopes("client crm").permissions().grants("crm.lookup"));
        assert!(!scopes("client").permissions().grants("crm.lookup"));
        assert!(!scopes("crm customer.view").permissions().grants("crm.lookup"));
        assert!(scopes("crm customer.view").permissions().grants("customer.view"));
    }

    #[test]
    fn what_holds_is_granted_and_the_clients_and_the_persons() {
        let holding = |granted: &str, client: &str, person: Option<&[&str]>| {
            let person = person.map(|names| Permissions::of(names.iter().copied()));
            scopes(granted).effective(&scopes(client), person.as_ref()).to_string()
        };
        assert_eq!(holding("contact.view customer.view", "customer.view audit.view", None), "customer.view");
        assert_eq!(
            holding("contact.view customer.view", "customer.view contact.view", Some(&["contact.*"])),
            "contact.view"
        );
        assert_eq!(holding("client crm", "client crm", Some(&["*"])), "client crm");
        assert_eq!(holding("client crm audit.view", "client crm audit.view", Some(&["audit.view"])), "audit.view");
        // A client that has lost one of the two cannot look up callers.
        assert_eq!(holding("client crm", "client", Some(&["*"])), "client");
    }
}
