//! The audit log: changes in the workspace, with their time, actor and address. `tenancy/journal.rs` writes it.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Type;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use super::{RECORDED_NAMES, recorded};
use crate::api::field::{Field, choice, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable};
use crate::api::resource::{MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{Ctx, Needs, Page, Result, Route, get, run};
use crate::tenancy::journal::ActorType;
use crate::values::Timestamp;

pub const RESOURCE: Resource =
    Resource::new("Audit log", "Changes in the workspace with their time, actor and address.", ROUTES)
        .french("Journal d’audit")
        .section(Section::History)
        .permissions(&PERMISSIONS)
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("at", "Time", "Date et heure"),
    labelled("actor", "By", "Auteur"),
    labelled("actor_type", "Kind of author", "Type d’auteur"),
    labelled("actor_id", "Identifier of the author", "Identifiant de l’auteur"),
    labelled("actor_name", "Author", "Auteur"),
    labelled("action", "Action", "Opération"),
    labelled("resource", "Kind of record", "Type de fiche"),
    labelled("resource_id", "Record", "Fiche"),
    labelled("address", "IP address", "Adresse IP"),
    labelled("changes", "Changed fields", "Champs modifiés"),
];

/// The lists of the resources whose changes are recorded, as far as a record has a page of its own.
const RECORDS: &[(&str, &str)] = &[
    ("organisation", "/organisations"),
    ("user", "/users"),
    ("role", "/roles"),
    ("integration-key", "/integration-keys"),
    ("oauth-client", "/oauth-clients"),
    ("customer", "/customers"),
    ("contact", "/contacts"),
    ("phone-call", "/phone-calls"),
    ("webhook", "/webhooks"),
    ("routing-contact", "/smart-routings/contacts"),
    ("routing-field", "/smart-routings/fields"),
    ("call-queue", "/smart-routings/call-queues/queues"),
    ("call-queue-group", "/smart-routings/call-queues/groups"),
    ("time-span", "/smart-routings/call-queues/time-spans"),
    ("routing-exception", "/smart-routings/call-queues/exceptions"),
    ("cti", "/smart-routings/ctis"),
    ("geo-list", "/smart-routings/geo/lists"),
    ("cfd-token", "/smart-routings/cfd-tokens"),
    ("survey", "/smart-routings/surveys"),
    ("survey-record", "/smart-routings/survey-records"),
];

const VIEW: ResourceView = ResourceView {
    title: &["action", "resource_id"],
    columns: &["at", "actor", "action", "resource_id", "address"],
    groups: &[
        group("Change", "Modification", &["at", "actor", "action", "resource", "resource_id", "address"]),
        group("Fields", "Champs", &["changes"]),
    ],
    widgets: &[("resource_id", Widget::LinkBy("resource", RECORDS)), ("changes", Widget::Pairs)],
    quick_filters: &[
        quick_filter("Today", "Aujourd’hui", "filter[at][on]={today}"),
        quick_filter("Deletions", "Suppressions", "filter[action]=.deleted"),
        quick_filter("Contacts", "Contacts", "filter[resource]=contact"),
        quick_filter("Customers", "Clients", "filter[resource]=customer"),
        quick_filter("Users", "Utilisateurs", "filter[resource]=user"),
    ],
    purpose: label(
        "Every change in this workspace: when, who, what and from where.",
        "Chaque modification de cet espace de travail\u{a0}: quand, qui, quoi et d’où.",
    ),
    singular: label("change", "une modification"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "audit",
    actions: &[action("view", "see the audit log", "voir le journal d’audit", MANAGER_AND_AGENT)],
};

const ROUTES: &[Route] =
    &[get("/audit-log", &run(list), Needs::Permission("audit.view"), "List changes, newest first")
        .named("listAuditLog")];

/// One change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// Id of the entry.
    id: i64,
    /// Time of the change (UTC).
    at: Timestamp,
    /// The user or program that made the change.
    actor: AuditActor,
    /// Resource and kind of change, for example `customer.updated`.
    action: String,
    /// Kind of the changed resource.
    #[schemars(extend("enum" = RECORDED_NAMES))]
    resource: String,
    /// Id of the changed resource. Null for resources that exist once, such as the settings.
    resource_id: Option<i64>,
    /// IP address of the request. Null for commands on the server.
    address: Option<String>,
    /// Each changed field with its old and its new value. Both are null if the caller may not view the resource.
    #[schemars(schema_with = "changes_schema")]
    changes: BTreeMap<String, (Value, Value)>,
}

fn changes_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "array", "items": {}, "minItems": 2, "maxItems": 2},
        "examples": [{"name": ["Acme", "Acme SAS"]}],
    })
}

/// The user or program that made a change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditActor {
    /// Type of the actor.
    #[serde(rename = "type")]
    kind: ActorType,
    /// Id of the user, key or other actor. Null for commands and for the server itself.
    id: Option<i64>,
    /// Name of the actor at the time of the change.
    name: String,
}

fn list(ctx: &mut Ctx<'_>, list: List<AuditEntry>) -> Result<Page<AuditEntry>> {
    let mut page = list.page(ctx)?;
    let principal = ctx.principal()?;
    let is_hidden = |entry: &AuditEntry| match recorded().find(|recorded| recorded.name == entry.resource) {
        Some(recorded) => recorded.view.is_some_and(|needed| !principal.has_permission(needed)),
        // Recorded by a later version: only for callers who may do everything.
        None => !principal.has_permission("*"),
    };
    for entry in page.rows_mut().iter_mut().filter(|entry| is_hidden(entry)) {
        entry.changes.values_mut().for_each(|change| *change = (Value::Null, Value::Null));
    }
    Ok(page)
}

impl Listable for AuditEntry {
    const LISTING: ListSpec = ListSpec {
        table: "audit_log",
        columns: "id, at, actor_type, actor_id, actor_name, action, resource, resource_id, address, changes",
        fields: &[
            integer("id").only_sorted(),
            moment("at").sorted(),
            choice("actor_type", ActorType::WORDS),
            integer("actor_id"),
            text("actor_name"),
            text("action"),
            choice("resource", RECORDED_NAMES),
            integer("resource_id"),
            text("address"),
        ],
        plain_filters: false,
        newest_first: true,
        has_row_count: true,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let changes = serde_json::from_str(row.get_ref(9)?.as_str()?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(9, Type::Text, error.into()))?;
        Ok(Self {
            id: row.get(0)?,
            at: row.get(1)?,
            actor: AuditActor { kind: row.get(2)?, id: row.get(3)?, name: row.get(4)? },
            action: row.get(5)?,
            resource: row.get(6)?,
            resource_id: row.get(7)?,
            address: row.get(8)?,
            changes,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tenancy::journal::VERBS;
    use crate::tests::routing_endpoints::{self, CreatedRows};
    use crate::tests::{RoutingClient, TestClient, TestServer};
    use crate::workspace::RECORDED_NAMES;

    /// Oldest first.
    fn entries(client: &TestClient<'_>, query: &str) -> Vec<Value> {
        let listed = client.get(&format!("/audit-log?per_page=500&sort=id&{query}")).ok();
        listed["data"].as_array().unwrap().clone()
    }

    fn actions(server: &TestServer) -> Vec<String> {
        let all = entries(&server.admin(), "").into_iter();
        all.map(|entry| format!("{} {}", entry["action"].as_str().unwrap(), entry["resource_id"])).collect()
    }

    #[test]
    fn an_entry_says_who_did_what_when_and_from_where() {
        let server = TestServer::new();
        let made = server.admin().post("/customers", json!({"name": "Ada", "vip": true})).created();
        server.admin().put("/customers/1", json!({"name": "Zoé", "vip": true, "phone": "01 42 00 00 00"})).created();
        server.admin().delete("/customers/1").ok();

        let told = entries(&server.admin(), "");
        assert_eq!(told.len(), 3);
        let owner = json!({"type": "user", "id": 1, "name": "Somebody"});
        for (entry, action) in told.iter().zip(["customer.created", "customer.updated", "customer.deleted"]) {
            assert_eq!(entry["action"], action);
            assert_eq!((&entry["resource"], &entry["resource_id"]), (&json!("customer"), &json!(1)));
            assert_eq!((&entry["actor"], &entry["address"]), (&owner, &json!("127.0.0.1")));
            assert!(entry["at"].as_str() >= made["created_at"].as_str(), "{entry}");
        }
        let begins = json!({
            "customer_account": [null, "CL000001"], "name": [null, "Ada"], "active": [null, true], "vip": [null, true],
            "custom_fields": [null, {}],
        });
        assert_eq!(told[0]["changes"], begins);
        assert_eq!(told[1]["changes"], json!({"name": ["Ada", "Zoé"], "phone": [null, "01 42 00 00 00"]}));
        assert_eq!(told[2]["changes"]["name"], json!(["Zoé", null]));
    }

    #[test]
    fn what_changes_nothing_or_is_refused_leaves_no_entry() {
        let server = TestServer::new();
        server.admin().post("/customers", json!({"name": "Ada"})).created();
        server.admin().put("/customers/1", json!({"name": "Ada"})).created();
        server.admin().put("/customers/1", json!({"name": ""})).invalid(&["The name field is required."]);
        server.admin().post("/contacts", json!({"last_name": "B", "customer_id": 9})).status.is_client_error();
        server.admin().delete_with("/customers/bulk", json!({"ids": [1, 9]})).rejected(422, "unknown_ids");
        assert_eq!(actions(&server), ["customer.created 1"]);
    }

    #[test]
    fn what_goes_or_moves_with_a_customer_is_accounted_for_one_by_one() {
        let server = TestServer::new();
        let admin = server.admin();
        for name in ["A", "B"] {
            admin.post("/customers", json!({"name": name})).created();
        }
        for _ in 0..2 {
            admin.post("/contacts", json!({"last_name": "C", "customer_id": 1})).created();
        }
        admin.post("/phone-calls", json!({"direction": "inbound", "customer_id": 1})).created();
        server.key(&["contact.view"], Some(1));
        let before = actions(&server).len();
        admin.post("/customers/1/merge", json!({"into": 2})).created();
        let told = actions(&server);
        let merged = [
            "contact.updated 1",
            "contact.updated 2",
            "phone-call.updated 1",
            "integration-key.deleted 1",
            "customer.deleted 1",
            "customer.updated 2",
        ];
        assert_eq!(told[before..], merged);
        assert_eq!(
            entries(&admin, "filter[resource]=contact&filter[resource_id]=1")[1]["changes"],
            json!({"customer_id": [1, 2]})
        );

        admin.delete("/customers/2?cascade=1").ok();
        assert_eq!(actions(&server)[told.len()..], ["contact.deleted 1", "contact.deleted 2", "customer.deleted 2"]);
    }

    #[test]
    fn every_resource_is_accounted_for_and_no_secret_is_told() {
        let server = TestServer::new();
        let admin = server.admin();
        let made = |path: &str, body: Value| admin.post(path, body).created()["id"].to_string();
        let at = |path: &str, id: &str| format!("{path}/{id}");
        let key = admin.post("/integration-keys", json!({"name": "K", "permissions": ["customer.view"]})).created();
        let webhook = json!({"url": "https://example.com/", "events": ["*"]});
        let webhook = admin.post("/webhooks", webhook).created();
        let client = json!({"name": "P", "grants": ["client_credentials"], "scopes": ["crm"]});
        let client = admin.post("/oauth-clients", client).created();
        for (path, new, change) in [
            ("/customers", json!({"name": "A"}), json!({"name": "B"})),
            ("/contacts", json!({"last_name": "A"}), json!({"last_name": "B"})),
            ("/phone-calls", json!({"direction": "inbound"}), json!({"subject": "B"})),
            ("/roles", json!({"name": "A"}), json!({"name": "B"})),
            ("/organisations", json!({"name": "A"}), json!({"name": "B"})),
        ] {
            let id = made(path, new);
            admin.put(&at(path, &id), change).created();
            admin.delete(&at(path, &id)).ok();
        }
        for body in ["A", "B"] {
            admin.post("/crm/lookup/chats", json!({"external_id": "7", "body": body})).created();
        }
        let (key_id, webhook_id) = (key["id"].to_string(), webhook["id"].to_string());
        let rotated = admin.post(&format!("/integration-keys/{key_id}/rotate"), json!({})).created();
        admin.delete(&at("/integration-keys", &key_id)).ok();
        let client_at = at("/oauth-clients", &client["id"].to_string());
        let narrowed = approve_and_narrow(&server);
        admin.delete(&at("/oauth-grants", &narrowed)).ok();
        admin.put(&client_at, json!({"active": false})).created();
        admin.delete(&client_at).ok();
        admin.put(&at("/webhooks", &webhook_id), json!({"active": false})).created();
        admin.delete(&at("/webhooks", &webhook_id)).ok();
        let user = server.join_acme("zoe@example.com", "agent").to_string();
        admin.put(&at("/users", &user), json!({"name": "Zoé"})).created();
        admin.delete(&at("/users", &user)).ok();
        admin.put("/settings", json!({"locale": "en"})).created();
        for (path, name) in [("/contacts", "last_name"), ("/customers", "name")] {
            let made = || admin.post(path, json!({name: "A"})).created()["id"].clone();
            let pair = json!({"a": made(), "b": made()});
            admin.post(&format!("{path}/duplicates/dismiss"), pair.clone()).ok();
            admin.post(&format!("{path}/duplicates/restore"), pair).ok();
        }

        for endpoint in routing_endpoints::all().iter().filter(|endpoint| endpoint.method != "GET") {
            let routing = RoutingClient::new(&server);
            let world = CreatedRows::make(&routing);
            let path = routing.path(&endpoint.path(&world));
            routing.client.send(endpoint.method.parse().unwrap(), &path, endpoint.body(&world));
        }

        for resource in RECORDED_NAMES {
            for verb in VERBS {
                let action = format!("{resource}.{verb}");
                let known = admin.get(&format!("/audit-log?filter[action]={action}")).ok()["total"] != 0;
                // Settings always exist, no route deletes a chat, and a dismissed pair does not change.
                let happens = match *resource {
                    "settings" => *verb == "updated",
                    "chat" => *verb != "deleted",
                    "contact-dismissal" | "customer-dismissal" => *verb != "updated",
                    _ => true,
                };
                assert_eq!(known, happens, "{action}");
            }
        }
        let all: String = server.in_file(|db| {
            let all = "SELECT group_concat(changes, ' ') FROM audit_log";
            Ok(db.query_row(all, [], |row| row.get(0))?)
        });
        for secret in [&key["key"], &rotated["key"], &webhook["secret"], &client["client_secret"]] {
            assert!(!all.contains(secret.as_str().unwrap()), "{secret}");
        }
    }

    /// Creates a grant whose newest access token has fewer scopes than were approved. Returns its id.
    fn approve_and_narrow(server: &TestServer) -> String {
        let uri = "https://example.com/cb";
        let client =
            json!({"name": "P", "grants": ["authorization_code"], "redirect_uris": [uri], "scopes": ["client", "crm"]});
        let client = server.admin().post("/oauth-clients", client).created();
        let text = |name: &str| client[name].as_str().unwrap().to_owned();
        let (id, secret) = (text("client_id"), text("client_secret"));
        let page = format!("/oauth/authorize?client_id={id}&redirect_uri={uri}&response_type=code");
        let code = server.approve("owner@example.com", &page);
        let ask = |more: Value| {
            let mut body = json!({"client_id": id, "client_secret": secret, "redirect_uri": uri});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            server.anonymous().at("acme.localhost").post("/oauth/token", body).ok()
        };
        let first = ask(json!({"grant_type": "authorization_code", "code": code}));
        ask(json!({"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "scope": "crm"}));
        server.admin().get("/oauth-grants").ok()["data"][0]["id"].to_string()
    }

    #[test]
    fn entries_are_found_by_each_of_their_fields() {
        let server = TestServer::new();
        server.admin().post("/customers", json!({"name": "A"})).created();
        let key = server.key(&["contact.create"], None);
        key.post("/contacts", json!({"last_name": "B"})).created();
        let found = |query: &str| -> Vec<Value> {
            entries(&server.admin(), query).into_iter().map(|entry| entry["action"].clone()).collect()
        };
        assert_eq!(found("filter[actor_type]=integration-key"), ["contact.created"]);
        assert_eq!(found("filter[actor_name]=program&filter[actor_id]=1"), ["contact.created"]);
        assert_eq!(found("filter[action]=customer"), ["customer.created"]);
        assert_eq!(found("filter[resource]=customer&filter[resource_id]=1"), ["customer.created"]);
        assert_eq!(found("filter[resource_id]=2"), [json!(null); 0]);
        assert_eq!(found("filter[address]=127.0").len(), 3);
        assert_eq!(found("filter[at][lte]=2024-01-01"), [json!(null); 0]);
        assert_eq!(found("filter[at][gte]=2024-01-01").len(), 3);
        server.with_only(&["audit.view"]).get("/audit-log").ok();
        server.with_only(&["customer.*"]).get("/audit-log").rejected(403, "missing_permission");
        // Another workspace has its own log.
        assert_eq!(server.admin_of_other().get("/audit-log").ok()["total"], 0);
    }

    #[test]
    fn values_are_for_those_who_may_view_what_changed() {
        let server = TestServer::new();
        server.admin().post("/customers", json!({"name": "Ada"})).created();
        server.admin().post("/contacts", json!({"last_name": "Lovelace", "email": "ada@example.com"})).created();
        let auditor = server.with_only(&["audit.view", "customer.view"]);
        let seen = |resource: &str| entries(&auditor, &format!("filter[resource]={resource}"))[0].clone();
        assert_eq!(seen("customer")["changes"]["name"], json!([null, "Ada"]));
        let contact = seen("contact");
        assert_eq!(
            (&contact["action"], &contact["changes"]["email"]),
            (&json!("contact.created"), &json!([null, null]))
        );
        assert!(!auditor.get("/audit-log").text.contains("Lovelace"));
        assert!(server.admin().get("/audit-log").text.contains("Lovelace"));
    }

    #[test]
    fn who_joins_and_who_leaves_is_their_own_author() {
        let server = TestServer::new();
        let role = server.admin().get("/roles").ok()[2]["id"].clone();
        let invite = json!({"email": "stranger@example.com", "role_id": role});
        let invite = server.admin().post("/user-invites", invite).created();
        server.stranger().post(&format!("/user-invites/{}/accept", invite["id"]), json!({})).created();
        let joined = &entries(&server.admin(), "filter[resource]=user")[0];
        assert_eq!((&joined["action"], &joined["actor"]["id"]), (&json!("user.created"), &joined["resource_id"]));
        assert_eq!(joined["changes"]["role"], json!([null, {"id": role, "name": "agent"}]));

        let farewell = json!({"current_password": crate::tests::PASSWORD});
        server.stranger().delete_with("/account", farewell).ok();
        let left = &entries(&server.admin(), "filter[resource]=user")[1];
        assert_eq!((&left["action"], &left["actor"]), (&json!("user.deleted"), &joined["actor"]));
    }
}
