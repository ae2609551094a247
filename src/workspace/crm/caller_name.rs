//! The name of a caller as plain text, for PBXs that ask a URL for it and show what it answers: FreePBX, FusionPBX,
//! Asterisk.
//!
//! Some of them cannot send a header. For these the key is in the path, where logs and histories may keep it. Such a key
//! may have the permission `crm.caller-name` and no other.

use http::StatusCode;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CustomerFilter;
use super::caller_lookup::{CallerCriteria, callers};
use super::pbx_values::OrBlank;
use crate::api::{Ctx, Error, Input, Operation, PlainText, Query, Request, Result};
use crate::auth::{Identity, KEY_PREFIX, Permissions, TokenFault, identity, secret};
use crate::values::{Text, phone};
use crate::workspace::settings::Settings;

/// The permission to look up names.
pub const PERMISSION: &str = "crm.caller-name";

/// The caller to name.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CallerNameQuery {
    /// Number of the caller, in any format. A withheld number has no name.
    #[schemars(example = "+33612345678")]
    number: OrBlank<Text<255>>,
}

/// The integration key in the path.
pub struct PathKey(String);

impl Input for PathKey {
    fn read(request: &Request) -> Result<Self> {
        request.path_values.first().cloned().map(Self).ok_or_else(Error::not_found)
    }

    fn describe(operation: &mut Operation<'_>) {
        let about = "An integration key that has only the permission `crm.caller-name`.";
        operation.path_value(0, about, serde_json::json!({"type": "string"}));
        operation.error_response(StatusCode::UNAUTHORIZED);
    }
}

pub fn by_header(
    ctx: &mut Ctx<'_>,
    Query(asked): Query<CallerNameQuery>,
    Query(whose): Query<CustomerFilter>,
) -> Result<PlainText> {
    name(ctx.db, whose.customer(ctx)?, &asked)
}

pub fn by_path(ctx: &mut Ctx<'_>, PathKey(key): PathKey, Query(asked): Query<CallerNameQuery>) -> Result<PlainText> {
    if !key.starts_with(KEY_PREFIX) {
        return Err(Error::Token(TokenFault::Invalid));
    }
    let found = identity::integration_key(ctx.db, &secret::digest(&key), ctx.now)?;
    let principal = found.map_err(Error::Token)?;
    if principal.permissions != Permissions::of([PERMISSION]) {
        return Err(Error::forbidden(
            "key_not_for_addresses",
            "A key in an address may have the permission crm.caller-name and no other.",
        ));
    }
    if let Identity::Key { id, last_used_at } = principal.actor {
        let request = ctx.request;
        request.instance.node.key_uses.record(request.workspace()?.id(), id, last_used_at, ctx.now);
    }
    name(ctx.db, principal.customer_id, &asked)
}

/// The name of the best match: the person, or else the company. Empty, if nobody is known by this number or the look-up
/// is disabled.
fn name(db: &Connection, customer: Option<i64>, asked: &CallerNameQuery) -> Result<PlainText> {
    let Some(number) = asked.number.value().map(|number| phone::restore_plus(number)) else {
        return Ok(PlainText(String::new()));
    };
    let settings = Settings::find(db)?;
    let by = CallerCriteria { phone: Some(&number), email: None, country: settings.country() };
    let found = if settings.features.contact_lookup { callers(db, customer, &by)? } else { Vec::new() };
    Ok(PlainText(found.first().map(|caller| caller.name()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::TestServer;

    const NUMBER: &str = "number=%2B33142000000";

    /// A key, as its owner sees it once.
    fn key(server: &TestServer, permissions: &[&str], customer: Option<i64>) -> String {
        let new = json!({"name": "PBX", "permissions": permissions, "customer_id": customer});
        server.admin().post("/integration-keys", new).created()["key"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_pbx_reads_the_name_of_a_caller_and_nothing_for_a_stranger() {
        let server = TestServer::new();
        let admin = server.admin();
        let customer = admin.post("/customers", json!({"name": "Renault"})).created()["id"].as_i64();
        let zoe = json!({"first_name": "Zoé", "last_name": "Martin", "company": "Acme", "phone_home_1": "01 42 00 00 00",
                         "customer_id": customer});
        admin.post("/contacts", zoe).created();
        admin.post("/contacts", json!({"company": "Desk", "last_name": "", "phone_home_1": "01 43 00 00 00"}));
        let pbx = server.key(&["crm.caller-name"], None);
        let in_path = key(&server, &["crm.caller-name"], None);
        for (asked, name) in [
            (NUMBER, "Zoé Martin"),
            ("number=0142000000", "Zoé Martin"),
            ("number=sip:0142000000@pbx.example.com", "Zoé Martin"),
            ("number=0144000000", ""),
            ("number=anonymous", ""),
            ("number=[Number]", ""),
            ("number=", ""),
            ("", ""),
        ] {
            let by_header = pbx.get(&format!("/crm/lookup/caller-name?{asked}"));
            let by_path =
                server.anonymous().at("acme.localhost").get(&format!("/crm/lookup/caller-name/{in_path}?{asked}"));
            for answer in [by_header, by_path] {
                assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, name), "{asked}");
                assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
            }
        }
        admin.put("/settings", json!({"features": {"contact_lookup": false}})).created();
        assert_eq!(pbx.get(&format!("/crm/lookup/caller-name?{NUMBER}")).text, "");
    }

    #[test]
    fn a_key_in_an_address_can_do_nothing_else() {
        let server = TestServer::new();
        let made = server.admin().post("/customers", json!({"name": "Renault"})).created();
        let zoe = json!({"last_name": "Martin", "phone_home_1": "01 42 00 00 00"});
        server.admin().post("/contacts", zoe).created();
        let visitor = server.anonymous().at("acme.localhost");
        let ask = |key: &str| visitor.get(&format!("/crm/lookup/caller-name/{key}?{NUMBER}"));
        for permissions in [&["crm.lookup"][..], &["crm.caller-name", "contact.view"], &["crm.*"], &["*"]] {
            ask(&key(&server, permissions, None)).rejected(403, "key_not_for_addresses");
        }
        for wrong in ["cxk_none", "none", server.admin().token().unwrap()] {
            ask(wrong).rejected(401, "token_invalid");
        }
        // A key of a customer knows that customer's callers alone.
        assert_eq!(ask(&key(&server, &["crm.caller-name"], made["id"].as_i64())).text, "");
        assert_eq!(ask(&key(&server, &["crm.caller-name"], None)).text, "Martin");
        let only_names = server.key(&["crm.caller-name"], None);
        only_names.get("/crm/lookup/contacts/search?phone=1").rejected(403, "missing_permission");
        server.key(&["crm.lookup"], None).get("/crm/lookup/caller-name?number=1").rejected(403, "missing_permission");
    }
}
