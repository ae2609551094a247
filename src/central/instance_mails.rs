//! Mails that are not sent yet, for operators: they wait, or every attempt has failed.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::Serialize;

use super::outbox;
use crate::api::field::{Field, choice, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable, find_row};
use crate::api::resource::Resource;
use crate::api::resource_view::{ResourceView, Widget, button, group, label, quick_filter};
use crate::api::{Ctx, Error, Id, Needs, Ok200, Page, Result, Route, Saved, get, post, run};
use crate::values::{Timestamp, choice};

pub const RESOURCE: Resource = Resource::new("Mails", "Mails that are not sent yet, for operators.", ROUTES)
    .french("Mails")
    .fields(FIELDS)
    .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("recipient", "To", "À"),
    labelled("subject", "Subject", "Objet"),
    labelled("status", "State", "État"),
    labelled("tries", "Attempts", "Tentatives"),
    labelled("due_at", "Next attempt", "Prochaine tentative"),
    labelled("last_tried_at", "Last attempt", "Dernière tentative"),
    labelled("last_error", "Error", "Erreur"),
];

const VIEW: ResourceView = ResourceView {
    title: &["recipient"],
    columns: &["recipient", "subject", "status", "tries", "due_at", "last_error"],
    groups: &[group(
        "Mail",
        "Mail",
        &["recipient", "subject", "status", "tries", "due_at", "last_tried_at", "last_error"],
    )],
    widgets: &[("recipient", Widget::Email)],
    quick_filters: &[quick_filter("Failed", "Échoués", "filter[status]=failed")],
    buttons: &[button(
        "send-again",
        label("Send again", "Envoyer à nouveau"),
        label(
            "The mail is sent with the next round, and all attempts are available again.",
            "Le mail part au prochain envoi, et toutes les tentatives sont de nouveau disponibles.",
        ),
    )
    .only_if(&[("status", "failed")])],
    purpose: label(
        "Mails wait here until they are sent. A failed one was tried five times.",
        "Les mails attendent ici leur envoi. Un mail échoué a été tenté cinq fois.",
    ),
    singular: label("mail", "un mail"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/instance/mails", &run(list), Needs::Operator, "List mails that are not sent yet (operators only)")
        .named("listMails"),
    get("/instance/mails/{id}", &run(show), Needs::Operator, "Show a mail that is not sent yet (operators only)")
        .named("getMail"),
    post(
        "/instance/mails/{id}/send-again",
        &run(send_again),
        Needs::Operator,
        "Send a failed mail again (operators only)",
    )
    .named("sendMailAgain"),
];

choice! {
    /// The status of a mail: it waits for its first attempt, for another one, or every attempt has failed.
    MailStatus { WAITING = "waiting", RETRYING = "retrying", FAILED = "failed" }
}

/// A mail that is not sent yet, without its text, which may contain a code.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mail")]
pub struct InstanceMail {
    /// Id of the mail.
    id: i64,
    /// Email address of the recipient.
    recipient: String,
    /// Subject of the mail.
    subject: String,
    /// `waiting`, `retrying` or `failed`.
    status: MailStatus,
    /// Number of failed attempts.
    tries: i64,
    /// Time of the next attempt (UTC). Null if there is none.
    due_at: Option<Timestamp>,
    /// Time of the last attempt (UTC). Null before the first.
    last_tried_at: Option<Timestamp>,
    /// Error of the last attempt. Null if none failed.
    last_error: Option<String>,
    /// Time at which the mail was queued (UTC).
    created_at: Timestamp,
}

fn list(ctx: &mut Ctx<'_>, list: List<InstanceMail>) -> Result<Page<InstanceMail>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<InstanceMail>> {
    find(ctx.db, id).map(Ok200)
}

fn send_again(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Saved<InstanceMail>> {
    if find(ctx.db, id)?.status != MailStatus::FAILED {
        return Err(Error::rejected("wrong_status", "The mail has not failed: the server still tries to send it."));
    }
    outbox::queue_again(ctx.db, id, ctx.now)?;
    find(ctx.db, id).map(Saved)
}

fn find(db: &Connection, id: i64) -> Result<InstanceMail> {
    find_row(db, "id = ?1", [id])?.ok_or_else(Error::not_found)
}

impl Listable for InstanceMail {
    const LISTING: ListSpec = ListSpec {
        table: "(SELECT id, recipient, subject, tries, due_at, last_tried_at, last_error, created_at,
                        CASE WHEN due_at IS NULL THEN 'failed' WHEN tries > 0 THEN 'retrying' ELSE 'waiting' END AS status
                 FROM outbox)",
        columns: "id, recipient, subject, status, tries, due_at, last_tried_at, last_error, created_at",
        fields: &[
            integer("id").only_sorted(),
            text("recipient").sorted(),
            text("subject"),
            choice("status", MailStatus::WORDS),
            moment("due_at").sorted(),
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
            recipient: row.get(1)?,
            subject: row.get(2)?,
            status: row.get(3)?,
            tries: row.get(4)?,
            due_at: row.get(5)?,
            last_tried_at: row.get(6)?,
            last_error: row.get(7)?,
            created_at: row.get(8)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::TestServer;
    use crate::values::Timestamp;

    #[test]
    fn an_operator_sees_mails_that_failed_and_sends_them_again() {
        let server = TestServer::new();
        let operator = server.central();
        server
            .anonymous()
            .post("/register", json!({"name": "Zoé", "email": "zoe@example.com", "password": "a long enough one"}))
            .created();
        let waiting = operator.get("/instance/mails?filter[recipient]=zoe@example.com").ok();
        let mail = waiting["data"][0].clone();
        assert_eq!((&mail["status"], &mail["tries"]), (&json!("waiting"), &json!(0)));
        assert!(mail.get("text").is_none() && mail.get("html").is_none(), "a mail may contain a code: {mail}");
        let again = format!("/instance/mails/{}/send-again", mail["id"]);
        operator.post(&again, json!({})).rejected(422, "wrong_status");
        // Every attempt fails.
        for day in 1..=5 {
            let now = Timestamp::now().plus(day * 86_400);
            let due = server.instance.central.mails_due(now, 100, 100).unwrap();
            let queued = due.iter().find(|queued| &*queued.mail.to == "zoe@example.com").unwrap();
            server.instance.central.note_mail_failed(queued, "no such mailbox", now).unwrap();
        }
        let failed = operator.get("/instance/mails?filter[status]=failed").ok();
        assert_eq!((&failed["total"], &failed["data"][0]["last_error"]), (&json!(1), &json!("no such mailbox")));
        let sent = operator.post(&again, json!({})).created();
        assert_eq!((&sent["status"], &sent["tries"]), (&json!("waiting"), &json!(0)));
        operator.get("/instance/mails/9999").rejected(404, "not_found");
    }
}
