//! Integration keys: credentials for programs that work in this workspace without a user.
//!
//! A key is `cxk_` and 256 random bits, shown once and stored as a digest. It has the permissions it was granted, which
//! never exceed those of its creator. A key bound to a customer sees only that customer.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::api::field::{Field, flag, integer, labelled, moment, text};
use crate::api::list::{List, ListSpec, Listable, for_each_row};
use crate::api::resource::{MANAGER, MANAGER_AND_AGENT, PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, Widget, button, group, label, quick_filter};
use crate::api::{
    BlockingCtx, Changes, Ctx, Done, Error, Id, Json, Needs, Ok200, Page, Result, Route, Saved, blocking,
    check_customer, delete, get, post, put, require_grantable, run,
};
use crate::auth::{Credential, KEY_PREFIX, Permissions, secret};
use crate::central::account_session::TokenShown;
use crate::central::notices::{self, CreatedCredential};
use crate::storage::{Stored, record};
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::values::{Name, Text, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Integration keys", "Credentials for programs that work in this workspace without a user.", ROUTES)
        .french("Clés d’intégration")
        .section(Section::Integrations)
        .permissions(&PERMISSIONS)
        .recorded(&[RECORDED])
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("permissions", "Permissions", "Droits"),
    labelled("customer_id", "Customer", "Client"),
    labelled("active", "Active", "Active"),
    labelled("expires_at", "Expiry", "Expiration"),
    labelled("prefix", "Begins with", "Commence par"),
    labelled("last_four", "Last four characters", "Quatre derniers caractères"),
    labelled("last_used_at", "Last used", "Dernière utilisation"),
    labelled("key", "Secret", "Secret"),
    labelled("grace", "Keep the old secret for", "Conserver l’ancien secret"),
];

const VIEW: ResourceView = ResourceView {
    is_bearer: true,
    title: &["name"],
    columns: &["name", "last_four", "customer_id", "active", "expires_at", "last_used_at"],
    groups: &[
        group("Key", "Clé", &["name", "active", "customer_id", "expires_at"]),
        group("Permissions", "Droits", &["permissions"]),
        group("Use", "Utilisation", &["prefix", "last_four", "last_used_at"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("permissions", Widget::Permissions),
        ("grace", Widget::Seconds),
    ],
    help: &[
        (
            "customer_id",
            label(
                "With a customer, the key can access nothing else. It is deleted with the customer.",
                "Avec un client, la clé ne donne accès à rien d’autre. Elle est supprimée avec le client.",
            ),
        ),
        (
            "expires_at",
            label("Leave it empty for a key that never expires.", "Laissez vide pour une clé sans expiration."),
        ),
        (
            "grace",
            label(
                "For this long, the old secret keeps working. Without a value: one day.",
                "Durée pendant laquelle l’ancien secret reste accepté. Sans valeur\u{a0}: un jour.",
            ),
        ),
    ],
    quick_filters: &[
        quick_filter("Active", "Actives", "filter[active]=true"),
        quick_filter("Disabled", "Désactivées", "filter[active]=false"),
    ],
    buttons: &[button(
        "rotate",
        label("New secret", "Nouveau secret"),
        label(
            "The key gets a new secret, which is shown once.",
            "La clé reçoit un nouveau secret, affiché une seule fois.",
        ),
    )],
    purpose: label(
        "A key lets a program work in this workspace without a person.",
        "Une clé permet à un programme de travailler ici sans qu’une personne se connecte.",
    ),
    singular: label("integration key", "une clé d’intégration"),
    secret: Some("key"),
    ..ResourceView::DERIVED
};

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "integration-key",
    actions: &[
        action("view", "see integration keys", "voir les clés d’intégration", MANAGER_AND_AGENT),
        action("create", "create integration keys", "créer des clés d’intégration", MANAGER),
        action(
            "update",
            "change and rotate integration keys",
            "modifier et renouveler les clés d’intégration",
            MANAGER,
        ),
        action("delete", "delete integration keys", "supprimer des clés d’intégration", MANAGER),
    ],
};

const ROUTES: &[Route] = &[
    get("/integration-keys", &run(list), Needs::Permission("integration-key.view"), "List integration keys"),
    get("/integration-keys/{id}", &run(show), Needs::Permission("integration-key.view"), "Show an integration key"),
    post(
        "/integration-keys",
        &blocking(create),
        Needs::Permission("integration-key.create"),
        "Create an integration key; it is shown only once",
    ),
    put(
        "/integration-keys/{id}",
        &run(update),
        Needs::Permission("integration-key.update"),
        "Change the permissions of an integration key, or disable it",
    ),
    post(
        "/integration-keys/{id}/rotate",
        &blocking(rotate),
        Needs::Permission("integration-key.update"),
        "Rotate the secret of an integration key",
    )
    .named("rotateIntegrationKey"),
    delete(
        "/integration-keys/{id}",
        &run(remove),
        Needs::Permission("integration-key.delete"),
        "Delete an integration key",
    ),
];

/// Default lifetime of the old secret after a rotation, in seconds.
const GRACE: i64 = 86_400;
const LONGEST_GRACE: i64 = 30 * 86_400;

/// A credential for a program that works in one workspace.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IntegrationKey {
    /// Id of the key.
    pub id: i64,
    /// Display name, for example the program that uses the key.
    pub name: Name<255>,
    /// Permissions as granted: `customer.view`, `customer.*` or `*`.
    pub permissions: Permissions,
    /// Id of the only customer that the key can access. Null: all customers. The key is deleted with that customer.
    pub customer_id: Option<i64>,
    /// Whether the key is accepted.
    pub active: bool,
    /// Time at which the key expires (UTC). Null if it never expires.
    pub expires_at: Option<Timestamp>,
    /// First characters of the newest secret.
    pub prefix: Text<16>,
    /// Last four characters of the newest secret.
    pub last_four: Text<4>,
    /// Time of the last request with this key (UTC), to the minute. Null if it was never used.
    pub last_used_at: Option<Timestamp>,
    /// Time of creation (UTC).
    pub created_at: Timestamp,
    /// Time of the last change (UTC).
    pub updated_at: Timestamp,
}

/// An integration key together with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IntegrationKeyShown {
    #[serde(flatten)]
    known: IntegrationKey,
    /// The secret. Send it as `Authorization: Bearer {key}`. It is shown only in this response.
    key: String,
}

/// An integration key to create.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewIntegrationKey {
    /// Display name, for example the program that uses the key.
    #[schemars(example = &"Phones")]
    name: Name<255>,
    /// At least one permission, and none that the caller does not have.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(extend("minItems" = 1))]
    permissions: Permissions,
    /// Restricts the key to this customer. It cannot be changed later.
    customer_id: Option<i64>,
    /// Time at which the key expires (UTC). If absent, the key never expires.
    #[schemars(example = &"2099-12-31T23:59:59Z")]
    expires_at: Option<Timestamp>,
}

/// The fields of an integration key that can change.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IntegrationKey")]
#[serde(default)]
pub struct IntegrationKeyChanges {
    /// Display name, for example the program that uses the key.
    #[schemars(example = &"Phones")]
    name: Name<255>,
    /// At least one permission, and none that the caller does not have.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(extend("minItems" = 1))]
    permissions: Permissions,
    /// Requests with a key that is not active get 401 `token_revoked`.
    active: bool,
    /// Time at which the key expires (UTC). Null if it never expires.
    #[schemars(example = &"2099-12-31T23:59:59Z")]
    expires_at: Option<Timestamp>,
}

/// Options of a rotation.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeyRotation {
    /// Seconds for which the old secret stays valid. Defaults to 86400 (one day). 0 ends it at once.
    #[schemars(range(min = 0, max = 2_592_000))]
    #[schemars(example = 3600)]
    grace: Option<i64>,
}

fn list(ctx: &mut Ctx<'_>, list: List<IntegrationKey>) -> Result<Page<IntegrationKey>> {
    list.page(ctx)
}

fn show(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Ok200<IntegrationKey>> {
    find(ctx.db, id).map(Ok200)
}

fn create(ctx: &BlockingCtx<'_>, Json(new): Json<NewIntegrationKey>) -> Result<Saved<IntegrationKeyShown>> {
    let (principal, recorder) = (ctx.principal()?.clone(), ctx.recorder()?);
    let shown = ctx.request.workspace()?.file().write(move |db| {
        require_grantable(&principal, [&new.permissions])?;
        check_customer(db, new.customer_id)?;
        let new = new.clone();
        let mut key = IntegrationKey {
            id: 0,
            name: new.name,
            permissions: new.permissions,
            customer_id: new.customer_id,
            active: true,
            expires_at: new.expires_at,
            prefix: Text::default(),
            last_four: Text::default(),
            last_used_at: None,
            created_at: recorder.at,
            updated_at: recorder.at,
        };
        let secret = key.take_new_secret()?;
        key.id = key.insert(db)?;
        keep_secret(db, key.id, &secret)?;
        recorder.created(db, RECORDED, &key)?;
        Ok::<_, Error>(IntegrationKeyShown { known: key, key: secret })
    })?;
    notify_creator(ctx, &shown)?;
    Ok(Saved(shown))
}

/// Notifies the caller by mail about a new secret in their name.
fn notify_creator(ctx: &BlockingCtx<'_>, shown: &IntegrationKeyShown) -> Result<()> {
    match &ctx.request.credential {
        Credential::Token(person) => notices::notify(ctx, person, CreatedCredential::Key(shown.known.name.to_string())),
        _ => Ok(()),
    }
}

fn update(ctx: &mut Ctx<'_>, Id(id): Id, changes: Changes<IntegrationKeyChanges>) -> Result<Saved<IntegrationKey>> {
    let old = find(ctx.db, id)?;
    let mut key = old.clone();
    let new = changes.apply(&IntegrationKeyChanges {
        name: key.name.clone(),
        permissions: key.permissions.clone(),
        active: key.active,
        expires_at: key.expires_at,
    })?;
    require_grantable(ctx.principal()?, [&old.permissions, &new.permissions])?;
    (key.name, key.permissions, key.active, key.expires_at) = (new.name, new.permissions, new.active, new.expires_at);
    key.updated_at = ctx.now;
    key.save(ctx.db, &old)?;
    ctx.recorder()?.updated(ctx.db, RECORDED, &old, &key)?;
    Ok(Saved(key))
}

fn rotate(ctx: &BlockingCtx<'_>, Id(id): Id, Json(rotation): Json<KeyRotation>) -> Result<Saved<IntegrationKeyShown>> {
    let grace = rotation.grace.unwrap_or(GRACE);
    if !(0..=LONGEST_GRACE).contains(&grace) {
        return Err(Error::invalid(format!("The grace must be between 0 and {LONGEST_GRACE}.")));
    }
    let (principal, recorder, now) = (ctx.principal()?.clone(), ctx.recorder()?, ctx.now);
    let shown = ctx.request.workspace()?.file().write(move |db| {
        let old = find(db, id)?;
        let mut key = old.clone();
        require_grantable(&principal, [&key.permissions])?;
        let secret = key.take_new_secret()?;
        key.updated_at = now;
        key.save(db, &old)?;
        let ending = "UPDATE integration_key_secrets SET expires_at = ?2 WHERE key_id = ?1 AND expires_at IS NULL";
        db.prepare_cached(ending)?.execute((id, now.plus(grace)))?;
        let over = "DELETE FROM integration_key_secrets WHERE key_id = ?1 AND expires_at <= ?2";
        db.prepare_cached(over)?.execute((id, now))?;
        keep_secret(db, id, &secret)?;
        recorder.updated(db, RECORDED, &old, &key)?;
        Ok::<_, Error>(IntegrationKeyShown { known: key, key: secret })
    })?;
    notify_creator(ctx, &shown)?;
    Ok(Saved(shown))
}

fn remove(ctx: &mut Ctx<'_>, Id(id): Id) -> Result<Done> {
    let key = find(ctx.db, id)?;
    require_grantable(ctx.principal()?, [&key.permissions])?;
    delete_one(ctx.db, &ctx.recorder()?, &key)?;
    Ok(Done)
}

pub const RECORDED: &Recorded = &Recorded::new("integration-key", Some("integration-key.view"));
const UPDATE: &str = "integration-key.update";

/// Deletes the keys that are bound to this customer.
pub fn delete_all(db: &Connection, recorder: &ChangeRecorder, customer: i64) -> Result<()> {
    for_each_row(db, "customer_id", customer, |key| Ok(delete_one(db, recorder, &key)?))
}

/// Binds the keys of one customer to another. They gain access to other rows, so this requires the same permissions as
/// a change of the keys.
pub fn move_all(ctx: &Ctx<'_>, from: i64, to: i64) -> Result<()> {
    let (principal, recorder) = (ctx.principal()?, ctx.recorder()?);
    for_each_row(ctx.db, "customer_id", from, |old: IntegrationKey| {
        ctx.require_permission(UPDATE)?;
        require_grantable(principal, [&old.permissions])?;
        let new = IntegrationKey { customer_id: Some(to), updated_at: ctx.now, ..old.clone() };
        new.save(ctx.db, &old)?;
        Ok(recorder.updated(ctx.db, RECORDED, &old, &new)?)
    })
}

fn delete_one(db: &Connection, recorder: &ChangeRecorder, key: &IntegrationKey) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM integration_keys WHERE id = ?1")?.execute([key.id])?;
    recorder.deleted(db, RECORDED, key)
}

/// A key without permissions is a mistake.
fn at_least_one<'de, D: Deserializer<'de>>(input: D) -> Result<Permissions, D::Error> {
    let permissions = Permissions::deserialize(input)?;
    if permissions.is_empty() { Err(de::Error::custom("field is required.")) } else { Ok(permissions) }
}

record!(IntegrationKey in "integration_keys" {
    id, name, permissions, customer_id, active, expires_at, prefix, last_four, last_used_at, created_at, updated_at,
});

impl IntegrationKey {
    /// Creates a secret and sets its visible parts. The caller stores the digest.
    fn take_new_secret(&mut self) -> Result<String> {
        let secret = format!("{KEY_PREFIX}{}", secret::random()?);
        self.prefix = Text::parse(secret[..KEY_PREFIX.len() + 4].to_owned()).map_err(Error::Internal)?;
        self.last_four = Text::parse(secret[secret.len() - 4..].to_owned()).map_err(Error::Internal)?;
        Ok(secret)
    }
}

pub fn find(db: &Connection, id: i64) -> Result<IntegrationKey> {
    IntegrationKey::find(db, id)?.ok_or_else(Error::not_found)
}

fn keep_secret(db: &Connection, id: i64, secret: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO integration_key_secrets (digest, key_id) VALUES (?1, ?2)")?
        .execute((secret::digest(secret), id))?;
    Ok(())
}

/// Writes the times of last use to the rows.
pub fn write_uses<'u>(
    db: &Connection,
    uses: impl IntoIterator<Item = (&'u i64, &'u Timestamp)>,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("UPDATE integration_keys SET last_used_at = ?2 WHERE id = ?1")?;
    uses.into_iter().try_for_each(|used| statement.execute(used).map(|_| ()))
}

impl From<IntegrationKey> for TokenShown {
    fn from(key: IntegrationKey) -> Self {
        Self { id: key.id, label: key.name.to_string(), expires_at: key.expires_at }
    }
}

impl Listable for IntegrationKey {
    const LISTING: ListSpec = ListSpec {
        table: "integration_keys",
        columns: Self::COLUMNS,
        fields: &[
            integer("id").only_sorted(),
            text("name").sorted_by("fold(name)"),
            integer("customer_id"),
            flag("active"),
            moment("created_at").sorted(),
            moment("last_used_at").sorted(),
            moment("expires_at"),
        ],
        plain_filters: false,
        newest_first: true,
        has_row_count: false,
        customer: None,
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Self::from_columns(row)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jobs;
    use crate::tests::{TestClient, TestServer};

    fn made(by: &TestClient<'_>, body: Value) -> (String, Value) {
        let mut made = by.post("/integration-keys", body).created();
        let key = made.as_object_mut().unwrap().remove("key").unwrap();
        (key.as_str().unwrap().to_owned(), made)
    }

    fn program<'b>(server: &'b TestServer, key: &str) -> TestClient<'b> {
        server.anonymous().at("acme.localhost").with_token(key.into())
    }

    #[test]
    fn a_key_is_shown_once_and_does_what_it_was_given() {
        let server = TestServer::new();
        let (key, made) =
            made(&server.admin(), json!({"name": "importer", "permissions": ["customer.*", "contact.view"]}));
        assert!(key.starts_with("cxk_") && key.len() == 47, "{key}");
        assert_eq!((made["prefix"].as_str(), made["last_four"].as_str()), (Some(&key[..8]), Some(&key[43..])));
        let listed = server.admin().get("/integration-keys").ok();
        assert_eq!(listed["data"], json!([made]));
        assert_eq!(server.admin().get(&format!("/integration-keys/{}", made["id"])).ok(), made);
        assert!(!listed.to_string().contains(&key));

        let program = program(&server, &key);
        program.post("/customers", json!({"name": "A"})).created();
        program.post("/contacts", json!({"last_name": "B"})).rejected(403, "missing_permission");
        let me = program.get("/whoami").ok();
        assert_eq!((&me["user"], &me["role"], &me["token"]["label"]), (&Value::Null, &Value::Null, &json!("importer")));
        assert_eq!((&me["permissions"], &me["workspace"]["subdomain"]), (&made["permissions"], &json!("acme")));
        program.post("/logout", json!({})).rejected(403, "forbidden");
    }

    #[test]
    fn the_file_holds_a_digest_and_never_the_key() {
        let server = TestServer::new();
        let (key, _) = made(&server.admin(), json!({"name": "a", "permissions": ["customer.view"]}));
        let dump = server.in_file(|db| {
            let rows = "SELECT group_concat(hex(digest) || quote(k.name) || quote(permissions) || prefix || last_four)
                        FROM integration_key_secrets s JOIN integration_keys k ON k.id = s.key_id";
            Ok(db.query_row(rows, [], |row| row.get::<_, String>(0))?)
        });
        let digest: String = secret::digest(&key).iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(dump.contains(&digest) && !dump.contains(&key[8..43]), "{dump}");
    }

    #[test]
    fn nobody_makes_changes_or_is_shown_a_key_that_may_do_more_than_they() {
        let server = TestServer::new();
        let manager = server.with_role("manager");
        let refused =
            |permissions: Value| manager.post("/integration-keys", json!({"name": "a", "permissions": permissions}));
        refused(json!(["role.manage"])).rejected(403, "missing_permission");
        refused(json!(["*"])).rejected(403, "missing_permission");
        refused(json!([])).invalid(&["The permissions field is required."]);
        let (_, key) = made(&server.admin(), json!({"name": "a", "permissions": ["*"]}));
        let path = format!("/integration-keys/{}", key["id"]);
        manager.post(&format!("{path}/rotate"), json!({})).rejected(403, "missing_permission");
        manager.put(&path, json!({"permissions": ["*", "customer.view"]})).rejected(403, "missing_permission");
        for change in [json!({"name": "b"}), json!({"active": true}), json!({"permissions": ["customer.view"]})] {
            manager.put(&path, change).rejected(403, "missing_permission");
        }
    }

    #[test]
    fn a_rotated_key_works_beside_the_new_one_for_its_grace() {
        let server = TestServer::new();
        let (old, made) = made(&server.admin(), json!({"name": "a", "permissions": ["customer.view"]}));
        let rotate = |body: Value| {
            let path = format!("/integration-keys/{}/rotate", made["id"]);
            server.admin().post(&path, body).created()["key"].as_str().unwrap().to_owned()
        };
        let new = rotate(json!({}));
        program(&server, &old).get("/customers").ok();
        program(&server, &new).get("/customers").ok();
        let ends = server.in_file(|db| {
            let sql = "SELECT max(expires_at) FROM integration_key_secrets";
            Ok(db.query_row(sql, [], |row| row.get::<_, Timestamp>(0))?)
        });
        assert!((86_300..=86_400).contains(&(ends.seconds() - Timestamp::now().seconds())), "{ends}");

        let newest = rotate(json!({"grace": 0}));
        program(&server, &new).get("/customers").rejected(401, "token_invalid");
        program(&server, &old).get("/customers").ok();
        program(&server, &newest).get("/customers").ok();
        server.in_file(|db| {
            Ok(db.execute("UPDATE integration_key_secrets SET expires_at = 1 WHERE expires_at > 1", [])?)
        });
        program(&server, &old).get("/customers").rejected(401, "token_expired");
        let path = format!("/integration-keys/{}/rotate", made["id"]);
        server.admin().post(&path, json!({"grace": -1})).invalid(&["The grace must be between 0 and 2592000."]);
    }

    #[test]
    fn a_key_that_is_off_over_or_gone_is_told_so() {
        let server = TestServer::new();
        let (key, made) = made(&server.admin(), json!({"name": "a", "permissions": ["customer.view"]}));
        let path = format!("/integration-keys/{}", made["id"]);
        let said = |code: &str| program(&server, &key).get("/customers").rejected(401, code);
        server.admin().put(&path, json!({"active": false})).created();
        said("token_revoked");
        server.admin().put(&path, json!({"active": true, "expires_at": "2024-01-20T12:00:00Z"})).created();
        said("token_expired");
        server.admin().put(&path, json!({"expires_at": null})).created();
        program(&server, &key).get("/customers").ok();
        server.admin().delete(&path).ok();
        said("token_invalid");
        server.admin().delete(&path).rejected(404, "not_found");
        server.admin().get("/integration-keys?filter[name]=a").ok();
    }

    #[test]
    fn a_customers_key_writes_into_that_customer_and_goes_with_it() {
        let server = TestServer::new();
        let customer = |name: &str| server.admin().post("/customers", json!({"name": name})).created()["id"].clone();
        let (own, other) = (customer("Own"), customer("Other"));
        let theirs = server.admin().post("/contacts", json!({"last_name": "B", "customer_id": other})).created();
        let program = server.key(&["*"], own.as_i64());
        assert_eq!(program.get("/whoami").ok()["customer_id"], own);
        assert_eq!(program.post("/contacts", json!({"last_name": "A"})).created()["customer_id"], own);
        program.post("/contacts", json!({"last_name": "A", "customer_id": other})).rejected(403, "forbidden");
        program.put("/contacts/2", json!({"customer_id": other})).rejected(403, "forbidden");
        program.put("/contacts/2", json!({"customer_id": null, "role": "r"})).created();
        assert_eq!(server.admin().get("/contacts/2").ok()["customer_id"], own);
        assert_eq!(program.get("/contacts").ok()["total"], 1);
        assert_eq!(program.get(&format!("/contacts?filter[customer_id]={other}")).ok()["total"], 0);
        program.get(&format!("/contacts/{}", theirs["id"])).rejected(404, "not_found");
        program.get(&format!("/customers/{other}/contacts")).rejected(404, "not_found");
        program.post("/customers", json!({"name": "Third"})).rejected(403, "forbidden");

        let unknown = json!({"name": "a", "permissions": ["*"], "customer_id": 99});
        server.admin().post("/integration-keys", unknown).invalid(&["The selected customer id is invalid."]);
        server.admin().delete(&format!("/customers/{own}?cascade=1")).ok();
        program.get("/contacts").rejected(401, "token_invalid");
    }

    #[test]
    fn the_last_use_is_written_at_most_once_a_minute() {
        let server = TestServer::new();
        let (key, made) = made(&server.admin(), json!({"name": "a", "permissions": ["customer.view"]}));
        let used = || server.admin().get("/integration-keys").ok()["data"][0]["last_used_at"].clone();
        assert_eq!(made["last_used_at"], Value::Null);
        program(&server, &key).get("/customers").ok();
        jobs::round(&server.instance, Timestamp::now(), true).unwrap();
        assert!(used().is_string(), "{}", used());
        program(&server, &key).get("/customers").ok();
        assert!(server.instance.node.key_uses.take().is_empty());
        server.in_file(|db| Ok(db.execute("UPDATE integration_keys SET last_used_at = last_used_at - 61", [])?));
        program(&server, &key).get("/customers").ok();
        assert_eq!(server.instance.node.key_uses.take().len(), 1);
    }
}
