//! Webhook deliveries: the messages to a webhook and their outcome. `jobs/webhook_sender.rs` sends them.

use rusqlite::{Connection, OptionalExtension, Row};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::webhooks;
use crate::api::field::{Field, choice, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, button, group, label, quick_filter};
use crate::api::{Ctx, Error, Id, InnerId, Needs, Ok200, Page, Result, Route, Saved, get, post, run};
use crate::auth::SigningSecret;
use crate::values::{Timestamp, choice};

pub const RESOURCE: Resource = Resource::new("Webhook deliveries", "Messages to a webhook and their outcome.", ROUTES)
    .french("Envois des webhooks")
    .section(Section::Integrations)
    .fields(FIELDS)
    .view(VIEW);

/// The fields, with their labels.
pub const FIELDS: &[Field] = &[
    labelled("webhook_id", "Webhook", "Webhook"),
    labelled("message_id", "Message id", "Identifiant du message"),
    labelled("event", "Event", "Événement"),
    labelled("status", "State", "État"),
    labelled("tries", "Attempts", "Tentatives"),
    labelled("next_try_at", "Next attempt", "Prochaine tentative"),
    labelled("last_tried_at", "Last attempt", "Dernière tentative"),
    labelled("response_status", "HTTP status", "Statut HTTP"),
    labelled("response_body", "Response text", "Texte de la réponse"),
    labelled("error", "Error", "Erreur"),
    labelled("body", "Message", "Message"),
];

const VIEW: ResourceView = ResourceView {
    title: &["event", "message_id"],
    columns: &["created_at", "event", "status", "tries", "next_try_at", "response_status", "error"],
    groups: &[
        group("Delivery", "Envoi", &["event", "status", "message_id", "webhook_id"]),
        group("Attempts", "Tentatives", &["tries", "last_tried_at", "next_try_at"]),
        group("Response", "Réponse", &["response_status", "error", "response_body"]),
        group("Message", "Message", &["body"]),
    ],
    widgets: &[
        ("event", Widget::Events),
        ("webhook_id", Widget::Link("/webhooks")),
        ("response_body", Widget::Lines),
        ("body", Widget::Pairs),
    ],
    quick_filters: &[
        quick_filter("Failed", "Échoués", "filter[status]=failed"),
        quick_filter("Pending", "En attente", "filter[status]=pending"),
        quick_filter("Delivered", "Remis", "filter[status]=delivered"),
    ],
    buttons: &[button(
        "replay",
        label("Deliver again", "Renvoyer"),
        label(
            "The same message is sent again, with the same message id.",
            "Le même message est renvoyé, avec le même identifiant.",
        ),
    )
    .for_many()],
    purpose: label("Messages to this webhook.", "Les messages envoyés à ce webhook."),
    singular: label("delivery", "un envoi"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/webhooks/{id}/deliveries",
        &run(list),
        Needs::Permission("webhook.view"),
        "List the deliveries of a webhook, newest first",
    ),
    get(
        "/webhooks/{id}/deliveries/{delivery_id}",
        &run(show),
        Needs::Permission("webhook.view"),
        "Show a delivery and its message",
    ),
    post(
        "/webhooks/{id}/deliveries/{delivery_id}/replay",
        &run(replay),
        Needs::Permission("webhook.update"),
        "Replay a delivery with the same message id",
    )
    .named("replayWebhookDelivery"),
];

/// The event of a test message.
const TEST_EVENT: &str = "webhook.test";

/// Seconds before each retry, 24 hours in total. After the last retry the delivery has failed.
const WAITS: [i64; 7] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 8 * 3600, LONGEST_WAIT];

/// The number of attempts before a delivery has failed.
pub const MOST_TRIES: usize = WAITS.len() + 1;

/// A due time beyond the longest back-off means that the clock was set back: the message is due.
pub const LONGEST_WAIT: i64 = 8 * 3600 + 25 * 60 - 5;

/// Retention in seconds of deliveries that are not pending.
pub const KEPT: i64 = 30 * 86_400;

choice! {
    /// The state of a delivery.
    Status { PENDING = "pending", DELIVERED = "delivered", FAILED = "failed" }
}

/// A message to a webhook, and its outcome.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WebhookDelivery {
    /// Id of the delivery.
    id: i64,
    /// Id of the webhook.
    webhook_id: i64,
    /// Value of the `webhook-id` header. It is the same for every attempt.
    message_id: String,
    /// Event of the message, for example `customer.created`, or `webhook.test`.
    event: String,
    /// State of the delivery.
    status: Status,
    /// Number of failed attempts since the delivery was created or last replayed.
    tries: u32,
    /// Time of the next attempt (UTC). Null if there is none.
    next_try_at: Option<Timestamp>,
    /// Time of the last attempt (UTC). Null if there was none.
    last_tried_at: Option<Timestamp>,
    /// HTTP status of the last response.
    response_status: Option<u16>,
    /// Beginning of the last response body.
    response_body: Option<String>,
    /// Reason why the last attempt failed.
    error: Option<String>,
    /// Time of creation (UTC).
    created_at: Timestamp,
}

/// A delivery together with its message.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookDeliveryShown {
    #[serde(flatten)]
    delivery: WebhookDelivery,
    /// The message. The signature covers the exact bytes that are sent, which may have other whitespace than this.
    body: Value,
}

pub fn test(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Saved<WebhookDelivery>> {
    let webhook = webhooks::find(ctx.db, id)?;
    webhook.check_touch(ctx.principal()?)?;
    webhook.check_active()?;
    let recorder = ctx.recorder()?;
    let message = recorder.message(TEST_EVENT, &json!({"webhook_id": id}))?;
    let delivery = recorder.send_to(ctx.db, id, TEST_EVENT, &message)?;
    find(ctx.db, id, delivery).map(Saved)
}

fn list(ctx: &mut Ctx<'_>, Id(id): Id, list: List<WebhookDelivery>) -> Result<Page<WebhookDelivery>> {
    webhooks::find(ctx.db, id)?;
    list.restrict("webhook_id", id).page(ctx)
}

/// A message contains a resource, so the caller must be able to view that resource.
fn show(ctx: &mut Ctx<'_>, Id(id): Id, InnerId(delivery): InnerId) -> Result<Ok200<WebhookDeliveryShown>> {
    let delivery = find(ctx.db, id, delivery)?;
    let resource = delivery.event.split('.').next().unwrap_or_default();
    let needed = super::recorded().find(|recorded| recorded.name == resource).and_then(|recorded| recorded.view);
    if let Some(needed) = needed {
        ctx.require_permission(needed)?;
    }
    let body: String = ctx
        .db
        .prepare_cached(
            "SELECT m.body FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message WHERE d.id = ?1",
        )?
        .query_row([delivery.id], |row| row.get(0))?;
    let body = serde_json::from_str(&body).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Ok200(WebhookDeliveryShown { delivery, body }))
}

fn replay(ctx: &mut Ctx<'_>, Id(id): Id, InnerId(delivery): InnerId) -> Result<Saved<WebhookDelivery>> {
    let webhook = webhooks::find(ctx.db, id)?;
    let WebhookDelivery { id, .. } = find(ctx.db, id, delivery)?;
    webhook.check_touch(ctx.principal()?)?;
    webhook.check_active()?;
    ctx.db
        .prepare_cached("UPDATE webhook_deliveries SET status = 'pending', tries = 0, due_at = ?2 WHERE id = ?1")?
        .execute((id, ctx.now))?;
    let recorder = ctx.recorder()?;
    recorder.pending.add(recorder.workspace);
    find(ctx.db, webhook.id, id).map(Saved)
}

/// Deliveries joined with their messages.
const TABLE: &str =
    "(SELECT d.*, m.message_id, m.event FROM webhook_deliveries d JOIN webhook_messages m ON m.id = d.message)";

const COLUMNS: &str = "id, webhook_id, message_id, event, status, tries, due_at, last_tried_at, response_status,
    response_body, error, created_at";

pub fn find(db: &Connection, webhook_id: i64, id: i64) -> Result<WebhookDelivery> {
    let found = db
        .prepare_cached(&format!("SELECT {COLUMNS} FROM {TABLE} WHERE id = ?1 AND webhook_id = ?2"))?
        .query_row((id, webhook_id), WebhookDelivery::from_row)
        .optional()?;
    found.ok_or_else(Error::not_found)
}

#[derive(Debug)]
pub struct Due {
    pub id: i64,
    pub message_id: String,
    pub url: String,
    pub secret: SigningSecret,
    pub body: String,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryOutcome {
    /// HTTP status of the response, if there was one.
    pub status: Option<u16>,
    pub body: Option<String>,
    /// Reason of the failure.
    pub error: Option<String>,
}

/// The webhooks with a due message, longest waiting first, and the time at which the next message of the others is due.
pub fn due_webhooks(db: &Connection, now: Timestamp) -> rusqlite::Result<(Vec<i64>, Option<Timestamp>)> {
    let mut due = Vec::new();
    let mut next: Option<Timestamp> = None;
    let mut statement = db.prepare_cached(
        "SELECT w.id, (SELECT min(d.due_at) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.due_at IS NOT NULL),
             (SELECT max(d.due_at) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.due_at IS NOT NULL)
         FROM webhooks w WHERE w.active",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match (row.get::<_, Option<Timestamp>>(1)?, row.get::<_, Option<Timestamp>>(2)?) {
            (Some(first), Some(last)) if first <= now || last > now.plus(LONGEST_WAIT) => {
                due.push((first.seconds(), row.get(0)?));
            }
            (Some(first), _) => next = Some(next.map_or(first, |next| next.min(first))),
            (None, _) => {}
        }
    }
    due.sort_unstable();
    Ok((due.into_iter().map(|(_, id)| id).collect(), next))
}

/// The oldest due message of a webhook.
pub fn next_due(db: &Connection, webhook_id: i64, now: Timestamp) -> rusqlite::Result<Option<Due>> {
    db.prepare_cached(
        "SELECT d.id, m.message_id, w.url, w.secret, m.body
         FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN webhook_messages m ON m.id = d.message
         WHERE d.webhook_id = ?1 AND w.active AND (d.due_at <= ?2 OR d.due_at > ?3) ORDER BY d.due_at, d.id LIMIT 1",
    )?
    .query_row((webhook_id, now, now.plus(LONGEST_WAIT)), |row| {
        Ok(Due { id: row.get(0)?, message_id: row.get(1)?, url: row.get(2)?, secret: row.get(3)?, body: row.get(4)? })
    })
    .optional()
}

/// Records the outcome of an attempt, and schedules the next one.
pub fn record_outcome(db: &Connection, id: i64, outcome: &DeliveryOutcome, now: Timestamp) -> rusqlite::Result<()> {
    let tries: Option<u32> = db
        .prepare_cached("SELECT tries FROM webhook_deliveries WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(tries) = tries else { return Ok(()) };
    let due_at = WAITS.get(tries as usize).filter(|_| outcome.error.is_some()).map(|wait| now.plus(*wait));
    let status = match (&outcome.error, due_at) {
        (None, _) => Status::DELIVERED,
        (Some(_), Some(_)) => Status::PENDING,
        (Some(_), None) => Status::FAILED,
    };
    db.prepare_cached(
        "UPDATE webhook_deliveries SET status = ?2, tries = tries + ?3, due_at = ?4, last_tried_at = ?5,
             response_status = ?6, response_body = ?7, error = ?8 WHERE id = ?1",
    )?
    .execute((id, status, outcome.error.is_some(), due_at, now, outcome.status, &outcome.body, &outcome.error))?;
    Ok(())
}

/// Marks all pending deliveries of a webhook as failed.
pub fn give_up(db: &Connection, webhook_id: i64, why: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE webhook_deliveries SET status = 'failed', due_at = NULL, error = ?2
         WHERE webhook_id = ?1 AND due_at IS NOT NULL",
    )?
    .execute((webhook_id, why))?;
    Ok(())
}

/// Deletes at most `most` old deliveries. Returns their number.
pub fn forget(db: &Connection, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM webhook_deliveries WHERE id IN (
             SELECT id FROM webhook_deliveries WHERE created_at < ?1 AND due_at IS NULL ORDER BY created_at LIMIT ?2)",
    )?
    .execute((before, i64::try_from(most).unwrap_or(i64::MAX)))
}

impl Listable for WebhookDelivery {
    const LISTING: ListSpec = ListSpec {
        table: TABLE,
        columns: COLUMNS,
        fields: &[
            integer("id").only_sorted(),
            text("event"),
            choice("status", Status::WORDS),
            text("message_id"),
            moment("created_at").sorted(),
        ],
        plain_filters: false,
        newest_first: true,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            webhook_id: row.get(1)?,
            message_id: row.get(2)?,
            event: row.get(3)?,
            status: row.get(4)?,
            tries: row.get(5)?,
            next_try_at: row.get(6)?,
            last_tried_at: row.get(7)?,
            response_status: row.get(8)?,
            response_body: row.get(9)?,
            error: row.get(10)?,
            created_at: row.get(11)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::storage;
    use crate::tests::TestServer;

    const START: Timestamp = Timestamp::from_seconds(1_705_752_000);

    #[test]
    fn tries_go_on_for_a_day_and_then_no_more() {
        let server = TestServer::new();
        server.admin().post("/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
        let recorder = server.recorder();
        server.in_file(move |db| Ok(recorder.send_to(db, 1, "customer.created", "{}")?));
        let mut tries = Vec::new();
        let mut now = START;
        loop {
            let (due, next) = server.in_file(move |db| Ok(due_webhooks(db, now)?));
            if due.is_empty() {
                match next {
                    Some(next) => now = next,
                    None => break,
                }
                continue;
            }
            tries.push(now.seconds() - START.seconds());
            server.in_file(move |db| {
                let due = next_due(db, 1, now)?.expect("what was said to be due");
                let error = Some("the receiver answered 500".to_owned());
                Ok(record_outcome(db, due.id, &DeliveryOutcome { status: Some(500), body: None, error }, now)?)
            });
        }
        assert_eq!(tries, [0, 5, 305, 2105, 9305, 27305, 56105, 86400]);
        let off = server.in_file(move |db| {
            db.execute("UPDATE webhooks SET active = 0", [])?;
            db.execute("UPDATE webhook_deliveries SET due_at = ?1", [now])?;
            let none_is_due = next_due(db, 1, now)?.is_none();
            db.execute("UPDATE webhooks SET active = 1", [])?;
            db.execute("UPDATE webhook_deliveries SET due_at = NULL", [])?;
            Ok(none_is_due)
        });
        assert!(off, "a webhook that is off is told nothing");
        let given_up = server.admin().get("/webhooks/1/deliveries").ok()["data"][0].clone();
        assert_eq!((&given_up["status"], &given_up["tries"]), (&json!("failed"), &json!(8)));
        let again = server.admin().post("/webhooks/1/deliveries/1/replay", json!({})).created();
        assert_eq!((&again["status"], &again["tries"]), (&json!("pending"), &json!(0)));
    }

    fn count(server: &TestServer, table: &'static str) -> i64 {
        server.in_file(move |db| Ok(db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?))
    }

    #[test]
    fn a_message_is_kept_once_for_all_who_are_told_and_as_long_as_one_of_them() {
        let server = TestServer::new();
        for _ in 0..5 {
            server.admin().post("/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
        }
        server.admin().post("/customers", json!({"name": "Ada"})).created();
        assert_eq!((count(&server, "webhook_messages"), count(&server, "webhook_deliveries")), (1, 5));
        let shown = |webhook: i64| {
            let listed = server.admin().get(&format!("/webhooks/{webhook}/deliveries?filter[event]=customer")).ok();
            server.admin().get(&format!("/webhooks/{webhook}/deliveries/{}", listed["data"][0]["id"])).ok()
        };
        assert_eq!((&shown(1)["body"], &shown(1)["message_id"]), (&shown(5)["body"], &shown(5)["message_id"]));
        (1..5).for_each(|id| {
            server.admin().delete(&format!("/webhooks/{id}")).ok();
        });
        assert_eq!(count(&server, "webhook_messages"), 1);
        server.admin().delete("/webhooks/5").ok();
        assert_eq!(count(&server, "webhook_messages"), 0);
    }

    /// Migrates a file from before messages had their own table.
    #[test]
    fn deliveries_from_before_keep_their_messages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        storage::create_of_version(&path, storage::FileKind::Workspace, 10).unwrap();
        let mut db = storage::open_writer(&path).unwrap();
        db.execute_batch(
            "INSERT INTO webhooks (id, url, events, secret, active, created_at, updated_at) VALUES (1, 'u', '[]', '', 1, 0, 0);
             INSERT INTO webhook_deliveries (id, webhook_id, message_id, event, body, due_at, created_at)
             VALUES (3, 1, 'msg_3', 'customer.created', '{}', 7, 0), (9, 1, 'msg_9', 'customer.updated', '[]', NULL, 0);",
        )
        .unwrap();
        storage::migrate(&mut db, storage::FileKind::Workspace).unwrap();
        let found = find(&db, 1, 9).unwrap();
        assert_eq!((found.message_id.as_str(), found.event.as_str()), ("msg_9", "customer.updated"));
        let pending = "SELECT rows FROM row_counts WHERE name = 'pending_deliveries'";
        assert_eq!(db.query_row(pending, [], |row| row.get::<_, i64>(0)), Ok(1));
        assert_eq!(forget(&db, Timestamp::from_seconds(1), 9), Ok(1));
        assert_eq!(
            db.query_row("SELECT group_concat(id) FROM webhook_messages", [], |row| row.get::<_, String>(0)),
            Ok("3".into())
        );
    }

    #[test]
    fn where_too_many_wait_the_oldest_are_dropped_and_it_is_said_how_many() {
        let server = TestServer::with(&[("max_pending_deliveries", "3")]);
        for _ in 0..2 {
            server.admin().post("/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
        }
        for name in ["A", "B", "C"] {
            server.admin().post("/customers", json!({"name": name})).created();
        }
        let waiting = server.in_file(|db| {
            let sql = "SELECT group_concat(id ORDER BY id) FROM webhook_deliveries WHERE due_at IS NOT NULL";
            Ok(db.query_row(sql, [], |row| row.get::<_, String>(0))?)
        });
        assert_eq!(waiting, "4,5,6");
        let dropped = server.admin().get("/webhooks/1/deliveries/1").ok();
        assert_eq!(
            (&dropped["status"], &dropped["error"]),
            (&json!("failed"), &json!("dropped: too many were waiting"))
        );
        assert_eq!(server.instance.node.pending.take_dropped().into_iter().collect::<Vec<_>>(), [(server.acme.id, 3)]);
        // A delivered message no longer counts as pending and leaves room.
        server.in_file(|db| {
            Ok(record_outcome(db, 5, &DeliveryOutcome { status: Some(204), ..DeliveryOutcome::default() }, START)?)
        });
        server.admin().post("/webhooks/1/test", json!({})).created();
        assert!(server.instance.node.pending.take_dropped().is_empty());
    }

    #[test]
    fn what_waits_does_not_wait_until_a_clock_that_was_put_back_is_that_late_again() {
        let server = TestServer::new();
        server.admin().post("/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
        let recorder = server.recorder();
        server.in_file(move |db| Ok(recorder.send_to(db, 1, "customer.created", "{}")?));
        for (earlier, is_due) in [(3600, false), (LONGEST_WAIT, false), (LONGEST_WAIT + 1, true), (365 * 86_400, true)]
        {
            let now = START.plus(-earlier);
            let ((due, _), next) = server.in_file(move |db| Ok((due_webhooks(db, now)?, next_due(db, 1, now)?)));
            assert_eq!((!due.is_empty(), next.is_some()), (is_due, is_due), "{earlier} seconds earlier");
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_what_is_not_is_kept() {
        let server = TestServer::new();
        server.admin().post("/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
        let recorder = server.recorder();
        let left = server.in_file(move |db| {
            for _ in 0..3 {
                recorder.send_to(db, 1, "customer.created", "{}")?;
            }
            record_outcome(db, 1, &DeliveryOutcome { status: Some(204), ..DeliveryOutcome::default() }, START)?;
            give_up(db, 1, "no more")?;
            recorder.send_to(db, 1, "customer.created", "{}")?;
            let before = |moment: Timestamp, most: usize| forget(db, moment, most);
            assert_eq!(
                (before(recorder.at, 9)?, before(recorder.at.plus(1), 2)?, before(recorder.at.plus(1), 9)?),
                (0, 2, 1)
            );
            Ok(db.query_row("SELECT group_concat(id) FROM webhook_deliveries", [], |row| row.get::<_, String>(0))?)
        });
        assert_eq!(left, "4");
    }
}
