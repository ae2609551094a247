//! The journal of a workspace. It records every change in the transaction of the change.
//!
//! The audit log gets a row with the actor, the change, the time and the client address. Each webhook that subscribed
//! to the event gets a delivery. Both are in the transaction, so uncommitted changes are never announced and committed
//! changes always are.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::values::{Timestamp, choice, json};

choice! {
    /// The kind of actor that made a change.
    ActorType { USER = "user", KEY = "integration-key", CLIENT = "oauth-client", SYSTEM = "system" }
}

/// A resource whose changes the audit log records.
#[derive(Debug)]
pub struct Recorded {
    /// The first part of an action's name.
    pub name: &'static str,
    /// The permission to see its fields. `None` means that every user of the workspace sees them.
    pub view: Option<&'static str>,
    /// Whether webhooks are notified of its changes.
    pub is_announced: bool,
}

impl Recorded {
    pub const fn new(name: &'static str, view: Option<&'static str>) -> Self {
        Self { name, view, is_announced: false }
    }

    /// A resource whose changes are announced to webhooks too.
    pub const fn announced(name: &'static str, view: &'static str) -> Self {
        Self { name, view: Some(view), is_announced: true }
    }
}

/// The second half of an action's name.
pub const VERBS: &[&str] = &["created", "updated", "deleted"];

/// The ids of the resource into which a deleted one was merged, and of the one that was merged into an updated one.
const MERGED_INTO: &str = "merged_into";
const MERGED_FROM: &str = "merged_from";

/// Fields that are not reported as changes.
const NOT_CHANGES: [&str; 3] = ["id", "created_at", "updated_at"];

/// Records changes in a workspace: their actor, origin and time.
#[derive(Debug, Clone)]
pub struct ChangeRecorder {
    pub workspace: Uuid,
    pub actor: Actor,
    pub address: Option<IpAddr>,
    pub at: Timestamp,
    pub pending: Arc<PendingDeliveries>,
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
    /// The user that the change is about: an account that joins or leaves.
    Oneself,
    /// A command, or the server itself.
    System,
}

/// The workspaces in which this process may have created deliveries.
///
/// A workspace is noted before its transaction commits. Its reader looks for deliveries in a write turn of the file.
/// That turn comes after the commit, or is in the same batch and sees the delivery.
#[derive(Debug, Default)]
pub struct PendingDeliveries {
    noted: Mutex<HashSet<Uuid>>,
    /// Maximum pending deliveries per workspace. 0 means no limit.
    most_pending: i64,
    /// Deliveries dropped per workspace, since the last `take_dropped`.
    dropped: Mutex<HashMap<Uuid, usize>>,
}

impl PendingDeliveries {
    pub fn new(most_pending: i64) -> Self {
        Self { most_pending, ..Self::default() }
    }

    pub fn add(&self, workspace: Uuid) {
        self.noted.lock().insert(workspace);
    }

    /// Takes the workspaces that were noted since the last call.
    pub fn take(&self) -> HashSet<Uuid> {
        std::mem::take(&mut *self.noted.lock())
    }

    /// Takes the numbers of dropped deliveries since the last call.
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

impl ChangeRecorder {
    /// Records that a resource was created. `new` is its public form.
    pub fn created(&self, db: &Connection, resource: &'static Recorded, new: &impl Serialize) -> rusqlite::Result<()> {
        let created = Created(text(new)?);
        let changes = created.changes();
        self.record(db, resource, "created", changes, Payload::Created(created))
    }

    /// Records that a resource was updated, from `old` to `new`, its public forms. Records nothing if they are equal.
    pub fn updated<T: Serialize>(
        &self,
        db: &Connection,
        resource: &'static Recorded,
        old: &T,
        new: &T,
    ) -> rusqlite::Result<()> {
        let change = Change { old: fields(old)?, new: fields(new)? };
        if change.fields().next().is_none() { Ok(()) } else { self.record_change(db, resource, "updated", change) }
    }

    /// Records that a resource was deleted. `old` is its public form.
    pub fn deleted(&self, db: &Connection, resource: &'static Recorded, old: &impl Serialize) -> rusqlite::Result<()> {
        self.record_change(db, resource, "deleted", Change { old: fields(old)?, new: Map::new() })
    }

    /// Records that `gone` was merged into the resource that was `old` and is `new`: a deletion and an update. Each names the
    /// other resource.
    pub fn merged<T: Serialize>(
        &self,
        db: &Connection,
        resource: &'static Recorded,
        (old, new): (&T, &T),
        gone: &T,
    ) -> rusqlite::Result<()> {
        let (mut kept, mut gone) = (Change { old: fields(old)?, new: fields(new)? }, fields(gone)?);
        kept.new.insert(MERGED_FROM.into(), gone["id"].clone());
        gone.insert(MERGED_INTO.into(), Value::Null);
        let into = Map::from_iter([(MERGED_INTO.to_owned(), kept.new["id"].clone())]);
        self.record_change(db, resource, "deleted", Change { old: gone, new: into })?;
        self.record_change(db, resource, "updated", kept)
    }

    fn record_change(
        &self,
        db: &Connection,
        resource: &'static Recorded,
        verb: &'static str,
        change: Change,
    ) -> rusqlite::Result<()> {
        self.record(db, resource, verb, text(&change)?, Payload::Changed(change))
    }

    /// Writes the audit row with these changes as JSON, and the deliveries of the payload.
    fn record(
        &self,
        db: &Connection,
        resource: &'static Recorded,
        verb: &'static str,
        changes: String,
        payload: Payload,
    ) -> rusqlite::Result<()> {
        let action = format!("{}.{verb}", resource.name);
        let resource_id = payload.resource_id();
        let own_name;
        let (kind, id, name) = match &self.actor {
            Actor::User { id, name } => (ActorType::USER, Some(*id), name.as_str()),
            Actor::Key { id, name } => (ActorType::KEY, Some(*id), name.as_str()),
            Actor::Client { id, name } => (ActorType::CLIENT, Some(*id), name.as_str()),
            Actor::Oneself => {
                own_name = payload.name()?;
                (ActorType::USER, resource_id, own_name.as_str())
            }
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
            resource.name,
            resource_id,
            self.address.map(|address| address.to_string()),
            changes,
        ))?;
        if resource.is_announced { self.announce(db, &action, payload) } else { Ok(()) }
    }

    /// Adds a delivery to the outbox of each webhook that subscribed to this action.
    fn announce(&self, db: &Connection, action: &str, payload: Payload) -> rusqlite::Result<()> {
        let mut webhooks = db.prepare_cached("SELECT id, events FROM webhooks WHERE active")?;
        let mut webhooks = webhooks.query([])?;
        let mut message = None;
        while let Some(webhook) = webhooks.next()? {
            let events: Vec<String> = serde_json::from_str(webhook.get_ref(1)?.as_str()?).map_err(unwritable)?;
            if events.iter().any(|wanted| matches(wanted, action)) {
                let message = match message {
                    Some(message) => message,
                    // The body is written once, and only if a webhook subscribed to it.
                    None => *message.insert(keep_message(db, action, &payload.body(self, action)?)?),
                };
                self.deliver(db, webhook.get(0)?, message)?;
            }
        }
        Ok(())
    }

    /// Adds a delivery of a message that is due at once. Returns the delivery's id.
    fn deliver(&self, db: &Connection, webhook_id: i64, message: i64) -> rusqlite::Result<i64> {
        self.pending.add(self.workspace);
        let id = db
            .prepare_cached(
                "INSERT INTO webhook_deliveries (webhook_id, message, due_at, created_at) VALUES (?1, ?2, ?3, ?3)",
            )?
            .insert((webhook_id, message, self.at))?;
        self.pending.drop_oldest(db, self.workspace)?;
        Ok(id)
    }

    /// Creates a message for one webhook, due at once. Returns the delivery's id.
    pub fn send_to(&self, db: &Connection, webhook_id: i64, event: &str, body: &str) -> rusqlite::Result<i64> {
        let message = keep_message(db, event, body)?;
        self.deliver(db, webhook_id, message)
    }

    /// The body of a webhook message (Standard Webhooks, "Payload structure").
    pub fn message(&self, event: &str, data: &Value) -> rusqlite::Result<String> {
        text(&json!({"type": event, "timestamp": self.at, "workspace_id": self.workspace, "data": data}))
    }
}

/// Stores a message that several deliveries can share. Returns its id.
fn keep_message(db: &Connection, event: &str, body: &str) -> rusqlite::Result<i64> {
    let message_id = format!("msg_{}", Uuid::now_v7().simple());
    db.prepare_cached("INSERT INTO webhook_messages (message_id, event, body) VALUES (?1, ?2, ?3)")?
        .insert((message_id, event, body))
}

/// What a webhook is told of a change.
enum Payload {
    Created(Created),
    Changed(Change),
}

impl Payload {
    fn resource_id(&self) -> Option<i64> {
        match self {
            Self::Created(created) => created.id(),
            Self::Changed(change) => change.shown().get("id").and_then(Value::as_i64),
        }
    }

    /// The field `name` of the resource. Empty if it has none.
    fn name(&self) -> rusqlite::Result<String> {
        let parsed;
        let shown = match self {
            Self::Created(created) => {
                parsed = created.fields()?;
                &parsed
            }
            Self::Changed(change) => change.shown(),
        };
        Ok(shown.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The body of an announcement.
    fn body(&self, recorder: &ChangeRecorder, action: &str) -> rusqlite::Result<String> {
        let data = match self {
            Self::Created(created) => created.fields()?,
            Self::Changed(change) => {
                let mut data = change.shown().clone();
                // A deleted resource may have been merged into another.
                data.extend(change.new.clone());
                if action.ends_with(".updated") {
                    data.insert("changes".into(), serde_json::to_value(change).map_err(unwritable)?);
                }
                data
            }
        };
        recorder.message(action, &Value::Object(data))
    }
}

/// The public form of a new resource, as the text of a JSON object. Its changes are written from that text: most creates
/// are announced to nobody, and to build values of all fields takes longer than everything else here.
struct Created(String);

impl Created {
    fn id(&self) -> Option<i64> {
        members(&self.0).find(|(name, _)| *name == r#""id""#).and_then(|(_, value)| value.parse().ok())
    }

    /// The same text as that of a [`Change`] from nothing: each field that is not null, with null as its old value.
    fn changes(&self) -> String {
        let mut changes = String::with_capacity(2 * self.0.len());
        changes.push('{');
        for (name, value) in members(&self.0) {
            let is_change = |name: &str| !NOT_CHANGES.contains(&name);
            if name.get(1..name.len() - 1).is_some_and(is_change) && value != "null" {
                let comma = if changes.len() > 1 { "," } else { "" };
                changes.extend([comma, name, ":[null,", value, "]"]);
            }
        }
        changes.push('}');
        changes
    }

    fn fields(&self) -> rusqlite::Result<Map<String, Value>> {
        serde_json::from_str(&self.0).map_err(unwritable)
    }
}

/// The members of a JSON object without blanks, as `serde_json` writes it: each name with its quotes, and its value.
fn members(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = object.strip_prefix('{').unwrap_or_default();
    std::iter::from_fn(move || {
        let (name, behind) = rest.split_at_checked(value_length(rest))?;
        let behind = behind.strip_prefix(':')?;
        let (value, behind) = behind.split_at_checked(value_length(behind))?;
        rest = behind.strip_prefix(',').unwrap_or_default();
        Some((name, value))
    })
}

/// The length of the JSON value with which a text begins.
fn value_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += text_length(&bytes[at..]),
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' if depth > 0 => (at, depth) = (at + 1, depth - 1),
            _ if depth > 0 => at += 1,
            // A number, a boolean or null.
            _ => return bytes.iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(bytes.len()),
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the JSON text with which these bytes begin, with its quotes.
fn text_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Whether a webhook's subscription `*`, `contact.*` or `contact.created` includes the action of an announced resource.
pub fn matches(wanted: &str, action: &str) -> bool {
    let Some((resource, _)) = action.split_once('.') else { return false };
    match wanted.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.strip_suffix('.') == Some(resource),
        None => wanted == action,
    }
}

/// Deletes at most `most` rows of the audit log that are older than `before`. Returns the number of deleted rows.
pub fn forget(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ?1 ORDER BY at LIMIT ?2)",
    )?
    .execute((before, i64::try_from(most).unwrap_or(i64::MAX)))
}

/// The public forms of a resource before and after a change. One of them is empty if it was created or deleted.
/// That of a resource that was merged and deleted has only the id of the other resource.
///
/// As JSON it is each changed field with its old and new value. A missing value is null.
#[derive(Debug)]
struct Change {
    old: Map<String, Value>,
    new: Map<String, Value>,
}

impl Change {
    /// The resource as it is now, or as it was before its deletion.
    fn shown(&self) -> &Map<String, Value> {
        let is_deleted = self.new.is_empty() || self.new.contains_key(MERGED_INTO);
        if is_deleted { &self.old } else { &self.new }
    }

    fn fields(&self) -> impl Iterator<Item = (&String, [&Value; 2])> {
        let names = self.shown().keys().filter(|name| !NOT_CHANGES.contains(&name.as_str()));
        let both =
            names.map(|name| (name, [&self.old, &self.new].map(|fields| fields.get(name).unwrap_or(&Value::Null))));
        both.filter(|(_, [old, new])| old != new)
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.fields())
    }
}

fn fields(shown: &impl Serialize) -> rusqlite::Result<Map<String, Value>> {
    match serde_json::to_value(shown).map_err(unwritable)? {
        Value::Object(fields) => Ok(fields),
        other => Ok(Map::from_iter([("value".to_owned(), other)])),
    }
}

fn text(value: &impl Serialize) -> rusqlite::Result<String> {
    json::to_string(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Any JSON value, with texts that look like its syntax.
    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[a-z"\\\\{}\\[\\],:é\n]{0,6}"#;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((text, inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_created_is_recorded_like_a_change_from_nothing(
            id in any::<i64>(),
            fields in vec((r#"[a-z"\\\\:{,]{0,5}"#, value()), 0..6),
        ) {
            let mut new: Map<String, Value> = fields.into_iter().collect();
            new.insert("id".into(), id.into());
            new.insert("updated_at".into(), "now".into());
            let created = Created(text(&new).unwrap());
            prop_assert_eq!(created.fields().unwrap(), new.clone());
            prop_assert_eq!(created.id(), Some(id));
            prop_assert_eq!(created.changes(), text(&Change { old: Map::new(), new }).unwrap());
        }
    }

    #[test]
    fn a_wish_means_what_it_says_and_nothing_that_begins_like_it() {
        for (wanted, action, is_meant) in [
            ("*", "contact.created", true),
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
