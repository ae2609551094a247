//! Call-flow tokens: a call flow of a PBX (3CX CFD) uses one to look up destinations. It opens nothing else.
//!
//! A token belongs to one customer and has no more permissions than its user. It can be restricted to hosts. It is
//! shown once and stored as a digest.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::customer_param::CustomerParam;
use super::routing_tokens::{self, LastFour};
use crate::api::crud::{self, list, remove, show};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{Changes, Ctx, Error, Id, Json, Needs, Result, Route, Saved, delete, get, post, put, run};
use crate::auth::{CALL_FLOW_PREFIX, Identity, LOOK_UP};
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::values::{AllowedHost, Name, Timestamp, UniqueList};

pub const RESOURCE: Resource = Resource::new(
    "CFD tokens",
    "Tokens for call flows of a PBX (3CX CFD). They can only look up destinations.",
    ROUTES,
)
.french("Jetons CFD")
.section(Section::Routing)
.entity::<CfdToken>()
.more_fields(&[FIELDS])
.view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[labelled("token", "Token", "Jeton")];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "last_four", "user_id", "hosts", "expires_at"],
    groups: &[group("Token", "Jeton", &["name", "user_id", "hosts", "expires_at", "last_four", "customer_id"])],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("user_id", Widget::Link("/users")),
        ("hosts", Widget::List),
    ],
    help: &[
        (
            "hosts",
            label(
                "Addresses, networks or host names that may use the token, one per line. Without any, all may.",
                "Les adresses, réseaux ou noms d’hôte autorisés, un par ligne. Sans aucun, tous le sont.",
            ),
        ),
        (
            "expires_at",
            label("Leave it empty for a token that never expires.", "Laissez vide pour un jeton sans expiration."),
        ),
        (
            "user_id",
            label(
                "The token may do no more than this person. Leave it empty for yourself.",
                "Le jeton n’a pas plus de droits que cette personne. Laissez vide pour vous-même.",
            ),
        ),
    ],
    purpose: label(
        "A token lets a call flow of your phone system ask where a call goes.",
        "Un jeton permet à un scénario de votre standard de demander où va un appel.",
    ),
    singular: label("call-flow token", "un jeton CFD"),
    secret: Some("token"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/cfd-tokens", &run(list::<CfdToken>), Needs::Scoped("routing.view"), "List call-flow tokens"),
    get(
        "/smart-routings/cfd-tokens/{id}",
        &run(show::<CfdToken>),
        Needs::Scoped("routing.view"),
        "Show a call-flow token, without its secret",
    ),
    post(
        "/smart-routings/cfd-tokens",
        &run(create),
        Needs::Scoped("routing.create"),
        "Create a call-flow token; it is shown only once",
    ),
    put(
        "/smart-routings/cfd-tokens/{id}",
        &run(update),
        Needs::Scoped("routing.update"),
        "Change the user, hosts or expiry of a call-flow token",
    ),
    delete(
        "/smart-routings/cfd-tokens/{id}",
        &run(remove::<CfdToken>),
        Needs::Scoped("routing.delete"),
        "Delete a call-flow token; it stops working at once",
    ),
];

const MOST_HOSTS: usize = 50;

entity! {
    /// A token that lets a call flow of a PBX look up destinations.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct CfdToken in "cfd_tokens" {
        /// Id of the customer that owns the token.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Display name, for example the name of the call flow.
        #[schemars(example = &"Main call flow")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
        /// Id of the user whose permissions limit the token. Defaults to the caller. Null after that user has left the
        /// workspace: the token is rejected until it is assigned to another user.
        #[serde(deserialize_with = "crate::values::nullable_id")]
        pub user_id: Option<i64> => integer, "User", "Utilisateur";
        /// Addresses, networks and host names that may use the token, at most 50. An empty list allows every address.
        pub hosts: UniqueList<AllowedHost> => text, "Hosts", "Hôtes";
        /// Time at which the token expires (UTC). Null if it never expires.
        #[schemars(example = "2099-12-31T23:59:59Z")]
        pub expires_at: Option<Timestamp> => moment.sorted(), "Expiry", "Expiration";
        /// Last four characters of the token, to tell tokens apart.
        #[schemars(extend("readOnly" = true))]
        pub last_four: Option<LastFour> => text, "Last four characters", "Quatre derniers caractères";
    }
    recorded: &Recorded::new("cfd-token", Some("routing.view")), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["name", "hosts"])];
}

/// A call-flow token together with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CfdTokenShown {
    #[serde(flatten)]
    known: CfdToken,
    /// The token. Send it as `Authorization: Bearer {token}`. It is shown only in this response.
    token: String,
}

/// The creator must have the look-up permission, which the token passes on.
fn create(ctx: &mut Ctx<'_>, scope: CustomerParam, Json(new): Json<CfdToken>) -> Result<Saved<CfdTokenShown>> {
    let customer = Some(scope.id(ctx)?);
    check_may_give(ctx)?;
    let principal = ctx.principal()?;
    let oneself = match principal.actor {
        Identity::Client { user_id, .. } => user_id,
        _ => principal.user_id(),
    };
    let (token, last_four) = routing_tokens::generate(CALL_FLOW_PREFIX)?;
    let new = CfdToken { user_id: new.user_id.or(oneself), last_four: Some(last_four), ..new };
    let known = crud::create_for(ctx, customer, new)?;
    routing_tokens::save(ctx.db, "cfd_tokens", known.id, &token)?;
    keep_creator(ctx, known.id)?;
    Ok(Saved(CfdTokenShown { known, token }))
}

/// Assigning a token to another user passes the permission on again. The caller becomes the creator of record.
fn update(ctx: &mut Ctx<'_>, scope: CustomerParam, Id(id): Id, changes: Changes<CfdToken>) -> Result<Saved<CfdToken>> {
    let before = CfdToken::find(ctx.db, id)?.map(|token| token.user_id);
    let Saved(token) = crud::update(ctx, scope, Id(id), changes)?;
    if before != Some(token.user_id) {
        check_may_give(ctx)?;
        keep_creator(ctx, id)?;
    }
    Ok(Saved(token))
}

/// Rejects a caller who may not change call-flow tokens, if the customer has any.
pub fn check_may_move(ctx: &Ctx<'_>, customer: i64) -> Result<()> {
    let has_any = ctx.db.prepare_cached("SELECT 1 FROM cfd_tokens WHERE customer_id = ?1")?.exists([customer])?;
    match ctx.principal()?.has_permission(UPDATE) {
        _ if !has_any => Ok(()),
        false => Err(Error::MissingPermission(UPDATE.into())),
        true => check_may_give(ctx),
    }
}

const UPDATE: &str = "routing.update";

fn check_may_give(ctx: &Ctx<'_>) -> Result<()> {
    match ctx.principal()?.has_permission(LOOK_UP) {
        true => Ok(()),
        false => Err(Error::MissingPermission(LOOK_UP.into())),
    }
}

/// Records the caller as the creator of a token. The token is valid only as long as its creator is.
fn keep_creator(ctx: &Ctx<'_>, id: i64) -> Result<()> {
    let (kind, maker) = match ctx.principal()?.actor {
        Identity::User { id, .. } => ("user", id),
        Identity::Key { id, .. } => ("integration-key", id),
        Identity::Client { token, .. } => ("oauth-grant", token.grant_id),
        Identity::CallFlow { .. } => return Err(Error::lookup_only()),
    };
    ctx.db
        .prepare_cached("UPDATE cfd_tokens SET maker_type = ?2, maker_id = ?3 WHERE id = ?1")?
        .execute((id, kind, maker))?;
    Ok(())
}

impl Entity for CfdToken {
    /// `last_four` follows the token. A body cannot change it.
    fn check(&mut self, db: &Connection, old: Option<&Self>) -> Result<()> {
        if let Some(old) = old {
            self.last_four.clone_from(&old.last_four);
        }
        if self.hosts.len() > MOST_HOSTS {
            return Err(Error::invalid(format!("The hosts may not be more than {MOST_HOSTS}.")));
        }
        match self.user_id {
            // A token without a user may stay without one.
            None if old.is_some_and(|old| old.user_id.is_none()) => Ok(()),
            None => Err(Error::invalid("The user id field is required.")),
            Some(user) if db.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?.exists([user])? => Ok(()),
            Some(_) => Err(Error::invalid("The selected user id is invalid.")),
        }
    }
}

impl Editable for CfdToken {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestClient, TestServer};

    fn made(routing: &RoutingClient<'_>, body: Value) -> (Value, String) {
        let made = routing.post("/cfd-tokens", body).created();
        let token = made["token"].as_str().unwrap().to_owned();
        (made, token)
    }

    fn call_flow<'b>(server: &'b TestServer, token: &str) -> TestClient<'b> {
        server.anonymous().at("acme.localhost").with_token(token.into())
    }

    const LOOK_UP: &str = "/smart-routings/contacts/lookup?id_code=A1";

    #[test]
    fn a_token_is_shown_once_looks_up_for_its_customer_and_dies_at_once() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let contact = routing.create("/contacts", json!({"id_code": "A1"}));
        other.create("/contacts", json!({"id_code": "A1"}));
        let (made, token) = made(&routing, json!({"name": "Night", "last_four": "mine"}));
        assert!(token.starts_with("cxf_") && token.len() == 47, "{token}");
        assert_eq!((&made["user_id"], &made["hosts"], &made["expires_at"]), (&json!(1), &json!([]), &Value::Null));
        assert_eq!(made["last_four"], &token[43..]);
        let flow = call_flow(&server, &token);
        assert_eq!(flow.get(LOOK_UP).ok()["contact"]["id"], contact);
        flow.get(&routing.path("/contacts/lookup?id_code=A1")).ok();
        flow.get(&other.path("/contacts/lookup?id_code=A1")).rejected(403, "forbidden");
        flow.get("/whoami").rejected(403, "forbidden");
        flow.get("/smart-routings/contacts").rejected(403, "forbidden");
        flow.clone().at("localhost").get(LOOK_UP).rejected(401, "wrong_token_scope");
        flow.clone().at("other.localhost").get(LOOK_UP).rejected(401, "token_invalid");

        let path = format!("/cfd-tokens/{}", made["id"]);
        for shown in [routing.get(&path).text, routing.get("/cfd-tokens").text] {
            assert!(!shown.contains(&token), "{shown}");
        }
        let changed = routing.put(&path, json!({"name": "Day", "last_four": "mine"})).created();
        assert_eq!((&changed["last_four"], &changed["token"]), (&made["last_four"], &Value::Null));
        flow.get(LOOK_UP).ok();
        routing.delete(&path).ok();
        flow.get(LOOK_UP).rejected(401, "token_invalid");
    }

    #[test]
    fn a_token_may_no_more_than_its_user_and_ends_with_them_or_in_time() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/contacts", json!({"id_code": "A1"}));
        let user = server.join_acme("zoe@example.com", "agent");
        let (made, token) = made(&routing, json!({"name": "Night", "user_id": user}));
        let (flow, path) = (call_flow(&server, &token), format!("/cfd-tokens/{}", made["id"]));
        flow.get(LOOK_UP).ok();
        let role = server.admin().post("/roles", json!({"name": "blind", "permissions": ["customer.*"]})).created();
        server.admin().put(&format!("/users/{user}"), json!({"role_id": role["id"]})).created();
        flow.get(LOOK_UP).rejected(403, "missing_permission");
        server.admin().delete(&format!("/users/{user}")).ok();
        flow.get(LOOK_UP).rejected(401, "token_revoked");
        assert_eq!(routing.get(&path).ok()["user_id"], Value::Null);
        routing.put(&path, json!({"name": "Still nobody's"})).created();
        routing.put(&path, json!({"user_id": 1})).created();
        flow.get(LOOK_UP).ok();
        routing.put(&path, json!({"expires_at": "2024-01-01T00:00:00Z"})).created();
        flow.get(LOOK_UP).rejected(401, "token_expired");
    }

    #[test]
    fn a_token_is_good_for_as_long_as_who_made_it() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/contacts", json!({"id_code": "A1"}));
        let path = routing.path("/cfd-tokens");
        let made_by = |maker: &TestClient<'_>| {
            let made = maker.post(&path, json!({"name": "N", "user_id": 1})).created();
            (call_flow(&server, made["token"].as_str().unwrap()), format!("/cfd-tokens/{}", made["id"]))
        };
        let of_key = json!({"name": "k", "permissions": ["routing.*"]});
        let key = server.admin().post("/integration-keys", of_key).created();
        let program = server.anonymous().at("acme.localhost").with_token(key["key"].as_str().unwrap().into());
        let (flow, token) = made_by(&program);
        flow.get(LOOK_UP).ok();
        let key = format!("/integration-keys/{}", key["id"]);
        for (change, back) in [
            (json!({"active": false}), json!({"active": true})),
            (json!({"expires_at": "2024-01-01T00:00:00Z"}), json!({"expires_at": null})),
            (json!({"permissions": ["routing.create"]}), json!({"permissions": ["routing.*"]})),
        ] {
            server.admin().put(&key, change).created();
            flow.get(LOOK_UP).rejected(401, "token_revoked");
            server.admin().put(&key, back).created();
            flow.get(LOOK_UP).ok();
        }
        server.admin().delete(&key).ok();
        flow.get(LOOK_UP).rejected(401, "token_revoked");
        // Assigning the token to a user makes the caller its creator of record.
        let user = server.join_acme("agent@example.com", "agent");
        routing.put(&token, json!({"user_id": user})).created();
        flow.get(LOOK_UP).ok();

        let (flow, _) = made_by(&server.oauth(&["routing.create", "routing.view"], None));
        flow.get(LOOK_UP).ok();
        let grants = server.admin().get("/oauth-grants").ok();
        server.admin().delete(&format!("/oauth-grants/{}", grants["data"][0]["id"])).ok();
        flow.get(LOOK_UP).rejected(401, "token_revoked");

        let manager = server.join_acme("manager@example.com", "manager");
        let (flow, _) = made_by(&server.with_role("manager"));
        flow.get(LOOK_UP).ok();
        server.admin().delete(&format!("/users/{manager}")).ok();
        flow.get(LOOK_UP).rejected(401, "token_revoked");
    }

    #[test]
    fn who_makes_one_may_look_up_and_says_for_whom() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let path = routing.path("/cfd-tokens");
        let maker = server.with_only(&["routing.create"]);
        maker.post(&path, json!({"name": "N"})).rejected(403, "missing_permission");
        let program = server.key(&["routing.*"], Some(routing.customer));
        program.post(&path, json!({"name": "N"})).invalid(&["The user id field is required."]);
        program.post(&path, json!({"name": "N", "user_id": 99})).invalid(&["The selected user id is invalid."]);
        program.post(&path, json!({"name": "N", "user_id": 1})).created();
        let many: Vec<String> = (0..51).map(|n| format!("10.0.0.{n}")).collect();
        program
            .post(&path, json!({"name": "N", "user_id": 1, "hosts": many}))
            .invalid(&["The hosts may not be more than 50."]);
    }

    #[test]
    fn a_token_is_used_from_its_hosts_alone() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/contacts", json!({"id_code": "A1"}));
        let (made, token) = made(&routing, json!({"name": "Night"}));
        let flow = call_flow(&server, &token);
        for (hosts, is_let_in) in [
            (json!([]), true),
            (json!(["127.0.0.1"]), true),
            (json!(["127.0.0.0/8"]), true),
            (json!(["192.0.2.1", "10.0.0.0/8"]), false),
            (json!(["192.0.2.1", "localhost"]), true),
            (json!(["nowhere.invalid"]), false),
            (json!(["nowhere.invalid", "localhost"]), true),
        ] {
            routing.put(&format!("/cfd-tokens/{}", made["id"]), json!({"hosts": hosts})).created();
            let answer = flow.get(LOOK_UP);
            if is_let_in {
                answer.ok();
            } else {
                answer.rejected(403, "host_not_allowed");
            }
        }
        let bad = routing.post("/cfd-tokens", json!({"name": "N", "hosts": ["http://x"]}));
        bad.invalid(&[
            "The hosts 0 must be an address, a network or a name, like 192.0.2.1, 10.0.0.0/8 or pbx.example.com.",
        ]);
    }

    #[test]
    fn a_token_does_not_go_where_its_customer_goes() {
        let server = TestServer::new();
        let (goes, stays) = (RoutingClient::new(&server), RoutingClient::new(&server));
        goes.create("/contacts", json!({"id_code": "A1"}));
        let (_, token) = made(&goes, json!({"name": "Night"}));
        server.admin().post(&format!("/customers/{}/merge", goes.customer), json!({"into": stays.customer})).created();
        call_flow(&server, &token).get(LOOK_UP).rejected(401, "token_invalid");
        stays.get("/contacts/lookup?id_code=A1").ok();
        assert_eq!(server.admin().get("/audit-log?filter[action]=cfd-token.deleted").ok()["total"], 1);
    }
}
