//! The journal of a workspace: every change is accounted for in the transaction that makes it.
//!
//! A row of the audit log says who changed what, when, and from which address. Whoever asked by a webhook to be told of
//! such changes has a delivery beside it: what was not committed is never announced, and what was is never forgotten.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::values::{Timestamp, choice};

choice! {
    /// What somebody is who changes something.
    ActorType { USER = "user", KEY = "integration-key", CLIENT = "oauth-client", SYSTEM = "system" }
}

/// Every resource whose changes are in the audit log.
pub const RESOURCES: &[&str] = &[
    "customer",
    "contact",
    "phone-call",
    "chat",
    "user",
    "role",
    "organisation",
    "integration-key",
    "settings",
    "webhook",
    "oauth-client",
    "oauth-grant",
    "routing-field",
    "routing-option",
    "routing-contact",
    "cti",
    "cti-destination",
    "cfd-token",
    "survey",
    "survey-record",
    "geo-list",
    "geo-destination",
    "call-queue-group",
    "call-queue",
    "time-span",
    "routing-exception",
];

/// The permission to see the fields of a resource; none where every user of the workspace sees them.
pub fn needed_to_view(resource: &str) -> Option<&'static str> {
    match resource {
        "customer" => Some("customer.view"),
        "contact" | "chat" => Some("contact.view"),
        "phone-call" => Some("phone-call.view"),
        "user" => Some("user.view"),
        "role" => None,
        "organisation" => Some("organisation.view"),
        "integration-key" => Some("integration-key.view"),
        "settings" => Some("workspace.manage"),
        "webhook" => Some("webhook.view"),
        "oauth-client" => Some("oauth-client.view"),
        "oauth-grant" => Some("oauth-client.update"),
        "routing-field" | "routing-option" | "routing-contact" | "cti" | "cti-destination" | "cfd-token" | "survey"
        | "survey-record" | "geo-list" | "geo-destination" | "call-queue-group" | "call-queue" | "time-span"
        | "routing-exception" => Some("routing.view"),
        // A resource that nobody has thought of is for those who may do everything.
        _ => Some("*"),
    }
}

/// What becomes of a resource, as the second half of an action's name.
pub const VERBS: &[&str] = &["created", "updated", "deleted"];

/// The resources whose changes are told to webhooks, each with the permission to see it.
pub const ANNOUNCED: &[(&str, &str)] = &[
    ("customer", "customer.view"),
    ("contact", "contact.view"),
    ("phone-call", "phone-call.view"),
    ("user", "user.view"),
    ("organisation", "organisation.view"),
    ("routing-field", "routing.view"),
    ("routing-option", "routing.view"),
    ("routing-contact", "routing.view"),
    ("cti", "routing.view"),
    ("cti-destination", "routing.view"),
    ("survey", "routing.view"),
    ("survey-record", "routing.view"),
    ("geo-list", "routing.view"),
    ("geo-destination", "routing.view"),
    ("call-queue-group", "routing.view"),
    ("call-queue", "routing.view"),
    ("time-span", "routing.view"),
    ("routing-exception", "routing.view"),
];

/// Fields that every change touches, or none.
const NOT_CHANGES: [&str; 3] = ["id", "created_at", "updated_at"];

/// Who changes something in a workspace, from where, and when.
#[derive(Debug, Clone)]
pub struct Author {
    pub workspace: Uuid,
    pub actor: Actor,
    pub address: Option<IpAddr>,
    pub at: Timestamp,
    pub news: Arc<News>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    User {
        id: i64,
        name: String,
    },
    Key {
        id: i64,
        name: String,
    },
    Client {
        id: i64,
        name: String,
    },
    /// The user whom the change is about: an account that joins or leaves.
    Oneself,
    /// A command, or the server itself.
    System,
}

/// The workspaces in which a delivery may wait, as far as this process has made one.
///
/// A workspace is noted before its transaction is committed. Whoever takes it looks for deliveries in a write turn of
/// the file: that comes after the commit, or sees what is about to be committed with it.
#[derive(Debug, Default)]
pub struct News {
    noted: Mutex<HashSet<Uuid>>,
    /// Deliveries that may wait in one workspace; any number where it is 0.
    most_pending: i64,
    /// How many were dropped since this was last asked, by workspace.
    dropped: Mutex<HashMap<Uuid, usize>>,
}

impl News {
    pub fn new(most_pending: i64) -> Self {
        Self { most_pending, ..Self::default() }
    }

    pub fn note(&self, workspace: Uuid) {
        self.noted.lock().insert(workspace);
    }

    /// Those that were noted since this was last asked.
    pub fn take(&self) -> HashSet<Uuid> {
        std::mem::take(&mut *self.noted.lock())
    }

    /// How many deliveries were dropped since this was last asked, where too many waited.
    pub fn take_dropped(&self) -> HashMap<Uuid, usize> {
        std::mem::take(&mut *self.dropped.lock())
    }

    /// Drops the oldest deliveries of a workspace in which too many wait.
    fn drop_oldest(&self, db: &Connection, workspace: Uuid) -> rusqlite::Result<()> {
        let sql = "SELECT rows - ?1 FROM row_counts WHERE name = 'pending_deliveries'";
        let too_many: i64 = match self.most_pending {
            0 => 0,
            most => db.prepare_cached(sql)?.query_row([most], |row| row.get(0))?,
        };
        if too_many <= 0 {
            return Ok(());
        }
        let dropped = db
            .prepare_cached(
                "UPDATE webhook_deliveries SET status = 'failed', due_at = NULL, error = 'dropped: too many were waiting'
                 WHERE id IN (SELECT id FROM webhook_deliveries WHERE due_at IS NOT NULL ORDER BY id LIMIT ?1)",
            )?
            .execute([too_many])?;
        *self.dropped.lock().entry(workspace).or_default() += dropped;
        Ok(())
    }
}

impl Author {
    /// A resource was made, as it is shown.
    pub fn created(&self, db: &Connection, resource: &'static str, new: &impl Serialize) -> rusqlite::Result<()> {
        let new = fields(new)?;
        self.note(db, resource, "created", changes(&Map::new(), &new), new)
    }

    /// A resource was changed, as it was shown and is shown now. Where the two are the same there was no change.
    pub fn updated<T: Serialize>(
        &self,
        db: &Connection,
        resource: &'static str,
        old: &T,
        new: &T,
    ) -> rusqlite::Result<()> {
        let new = fields(new)?;
        let changes = changes(&fields(old)?, &new);
        if changes.is_empty() { Ok(()) } else { self.note(db, resource, "updated", changes, new) }
    }

    /// A resource was deleted, as it was shown.
    pub fn deleted(&self, db: &Connection, resource: &'static str, old: &impl Serialize) -> rusqlite::Result<()> {
        let old = fields(old)?;
        self.note(db, resource, "deleted", changes(&old, &Map::new()), old)
    }

    fn note(
        &self,
        db: &Connection,
        resource: &'static str,
        verb: &'static str,
        changes: Map<String, Value>,
        shown: Map<String, Value>,
    ) -> rusqlite::Result<()> {
        let action = format!("{resource}.{verb}");
        let resource_id = shown.get("id").and_then(Value::as_i64);
        let (kind, id, name) = match &self.actor {
            Actor::User { id, name } => (ActorType::USER, Some(*id), name.as_str()),
            Actor::Key { id, name } => (ActorType::KEY, Some(*id), name.as_str()),
            Actor::Client { id, name } => (ActorType::CLIENT, Some(*id), name.as_str()),
            Actor::Oneself => (ActorType::USER, resource_id, shown["name"].as_str().unwrap_or_default()),
            Actor::System => (ActorType::SYSTEM, None, "cx-engine"),
        };
        db.prepare_cached(
            "INSERT INTO audit_log
                 (at, actor_type, actor_id, actor_name, action, resource, resource_id, address, changes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            self.at,
            kind,
            id,
            name,
            &action,
            resource,
            resource_id,
            self.address.map(|address| address.to_string()),
            text(&changes)?,
        ))?;
        self.announce(db, &action, changes, shown)
    }

    /// Puts a delivery into the outbox of each webhook that wants to know of this.
    fn announce(
        &self,
        db: &Connection,
        action: &str,
        changes: Map<String, Value>,
        shown: Map<String, Value>,
    ) -> rusqlite::Result<()> {
        let mut webhooks = db.prepare_cached("SELECT id, events FROM webhooks WHERE active")?;
        let mut webhooks = webhooks.query([])?;
        let mut told = Told::Of { changes, shown };
        let mut message = None;
        while let Some(webhook) = webhooks.next()? {
            let events: Vec<String> = serde_json::from_str(webhook.get_ref(1)?.as_str()?).map_err(unwritable)?;
            if events.iter().any(|wanted| matches(wanted, action)) {
                let message = match message {
                    Some(message) => message,
                    None => *message.insert(keep_message(db, action, told.body(self, action)?)?),
                };
                self.deliver(db, webhook.get(0)?, message)?;
            }
        }
        Ok(())
    }

    /// Lets a webhook be told a message, at once; answers the delivery's id.
    fn deliver(&self, db: &Connection, webhook_id: i64, message: i64) -> rusqlite::Result<i64> {
        self.news.note(self.workspace);
        let id = db
            .prepare_cached(
                "INSERT INTO webhook_deliveries (webhook_id, message, due_at, created_at) VALUES (?1, ?2, ?3, ?3)",
            )?
            .insert((webhook_id, message, self.at))?;
        self.news.drop_oldest(db, self.workspace)?;
        Ok(id)
    }

    /// Lets one webhook be told something, at once; answers the delivery's id.
    pub fn tell(&self, db: &Connection, webhook_id: i64, event: &str, body: &str) -> rusqlite::Result<i64> {
        let message = keep_message(db, event, body)?;
        self.deliver(db, webhook_id, message)
    }

    /// What a webhook is sent (Standard Webhooks, "Payload structure").
    pub fn message(&self, event: &str, data: &Value) -> rusqlite::Result<String> {
        text(&json!({"type": event, "timestamp": self.at, "workspace_id": self.workspace, "data": data}))
    }
}

/// Keeps a message for the deliveries that are made of it; answers its id.
fn keep_message(db: &Connection, event: &str, body: &str) -> rusqlite::Result<i64> {
    let message_id = format!("msg_{}", Uuid::now_v7().simple());
    db.prepare_cached("INSERT INTO webhook_messages (message_id, event, body) VALUES (?1, ?2, ?3)")?
        .insert((message_id, event, body))
}

/// What is announced: written once, and only where somebody wants it.
enum Told {
    Of { changes: Map<String, Value>, shown: Map<String, Value> },
    Written(String),
}

impl Told {
    fn body(&mut self, author: &Author, action: &str) -> rusqlite::Result<&str> {
        if let Self::Of { changes, shown } = self {
            let mut data = std::mem::take(shown);
            if action.ends_with(".updated") {
                data.insert("changes".into(), Value::Object(std::mem::take(changes)));
            }
            *self = Self::Written(author.message(action, &Value::Object(data))?);
        }
        match self {
            Self::Written(body) => Ok(body),
            Self::Of { .. } => unreachable!("just written"),
        }
    }
}

/// Whether a webhook's `*`, `contact.*` or `contact.created` means this action.
pub fn matches(wanted: &str, action: &str) -> bool {
    let Some((resource, _)) = action.split_once('.') else { return false };
    match wanted.strip_suffix('*') {
        Some("") => ANNOUNCED.iter().any(|(announced, _)| *announced == resource),
        Some(prefix) => prefix.strip_suffix('.') == Some(resource),
        None => wanted == action,
    }
}

/// Deletes rows of the audit log that are older than they are kept, at most so many; answers how many they were.
pub fn forget(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?
    .execute((before, i64::try_from(most).unwrap_or(i64::MAX)))
}

/// Each field that is not as it was, before and after. What is not there, before it was made or once it was deleted, was
/// or is null.
fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let names = if new.is_empty() { old } else { new }.keys().filter(|name| !NOT_CHANGES.contains(&name.as_str()));
    let both = names.map(|name| (name, old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null)));
    both.filter(|(_, old, new)| old != new).map(|(name, old, new)| (name.clone(), json!([old, new]))).collect()
}

fn fields(shown: &impl Serialize) -> rusqlite::Result<Map<String, Value>> {
    match serde_json::to_value(shown).map_err(unwritable)? {
        Value::Object(fields) => Ok(fields),
        other => Ok(Map::from_iter([("value".to_owned(), other)])),
    }
}

fn text(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::catalogue;

    #[test]
    fn every_resource_says_who_may_view_it() {
        for resource in RESOURCES {
            let needed = needed_to_view(resource);
            assert!(needed.is_none_or(|needed| needed != "*" && catalogue::knows(needed)), "{resource}");
        }
        for (resource, needed) in ANNOUNCED {
            assert_eq!(needed_to_view(resource), Some(*needed), "{resource}");
        }
    }

    #[test]
    fn a_wish_means_what_it_says_and_nothing_that_begins_like_it() {
        for (wanted, action, is_meant) in [
            ("*", "contact.created", true),
            ("*", "webhook.created", false),
            ("contact.*", "contact.deleted", true),
            ("contact.*", "contact-list.created", false),
            ("contact.created", "contact.created", true),
            ("contact.created", "contact.updated", false),
            ("contact", "contact.created", false),
        ] {
            assert_eq!(matches(wanted, action), is_meant, "{wanted} {action}");
        }
    }
}
