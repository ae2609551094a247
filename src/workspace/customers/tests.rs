use serde_json::{Value, json};

use crate::tests::routing_endpoints::{self, CreatedRows};
use crate::tests::{RoutingClient, TestResponse, TestServer};

fn ids(answer: &TestResponse) -> Vec<i64> {
    answer.ok()["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[test]
fn whoever_is_bound_to_a_customer_learns_of_no_others_account() {
    let server = TestServer::new();
    let made = |name: &str| server.admin().post("/customers", json!({"name": name})).created();
    let (own, other) = (made("Own"), made("Other"));
    let key = server.key(&["customer.*"], own["id"].as_i64());
    let path = format!("/customers/{}", own["id"]);
    for account in [other["customer_account"].clone(), json!("nobodys")] {
        key.put(&path, json!({"customer_account": account})).rejected(403, "forbidden");
    }
    key.put(&path, json!({"customer_account": own["customer_account"], "vip": true})).created();
}

#[test]
fn a_customer_is_answered_whole_and_kept_as_it_was_sent() {
    let server = TestServer::new();
    let sent = json!({
        "customer_account": "A-1", "name": "Zoé & Cie", "type": "SARL", "registration_number": "123 456 789",
        "tax_registration_number": "FR40123456789", "activity_code": "62.01Z", "email_address": "zoe@example.com",
        "phone": "01 42 00 00 00", "mobile_phone": "+33 6 12 34 56 78", "fax": "0142000001",
        "website": "https://example.com", "main_contact_first_name": "Zoé", "main_contact_last_name": "Martin",
        "main_address_line1": "1 rue de la Paix", "main_address_line2": "Bât. B", "main_address_postal_code": "75002",
        "main_address_city": "Paris", "main_address_country": "France", "comment": "ligne 1\nligne 2",
        "active": false, "vip": true, "custom_fields": {"tier": "gold", "seats": [1, 2]},
    });
    let made = server.admin().post("/customers", sent.clone()).created();
    for (field, value) in sent.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!(server.admin().get(&format!("/customers/{}", made["id"])).ok(), made);
}

#[test]
fn only_a_name_is_needed_and_an_account_is_made() {
    let server = TestServer::new();
    let made = server.admin().post("/customers", json!({"name": "Ada"})).created();
    assert_eq!(
        (&made["customer_account"], &made["active"], &made["vip"]),
        (&json!("CL000001"), &json!(true), &json!(false))
    );
    server.admin().post("/customers", json!({"name": "By hand", "customer_account": "CL000003"})).created();
    let next = server.admin().post("/customers", json!({"name": "Bob", "customer_account": null})).created();
    assert_eq!(next["customer_account"], "CL000004");
}

#[test]
fn every_problem_of_a_body_is_said_at_once_and_nothing_is_kept() {
    let server = TestServer::new();
    let body = json!({"name": " ", "email_address": "zoe", "phone": 33, "vip": "perhaps", "custom_fields": "x",
                          "customer_account": "x".repeat(65)});
    server.admin().post("/customers", body).invalid(&[
        "The name field is required.",
        "The email address must be a valid email address.",
        "The phone must be a string.",
        "The vip must be true or false.",
        "The custom fields must be an object.",
        "The customer account may not be greater than 64 characters.",
    ]);
    assert_eq!(server.admin().get("/customers").ok()["total"], 0);
}

#[test]
fn an_account_belongs_to_one_customer() {
    let server = TestServer::new();
    server.admin().post("/customers", json!({"name": "One", "customer_account": "A"})).created();
    let two = server.admin().post("/customers", json!({"name": "Two"})).created();
    let taken = server.admin().post("/customers", json!({"name": "Three", "customer_account": "A"}));
    taken.rejected(422, "customer_account_taken");
    assert_eq!(taken.json()["hint"], json!(["The customer account has already been taken."]));
    let path = format!("/customers/{}", two["id"]);
    server.admin().put(&path, json!({"customer_account": "A"})).rejected(422, "customer_account_taken");
    assert_eq!(server.admin().get(&path).ok(), two);
}

#[test]
fn a_change_touches_only_what_it_names() {
    let server = TestServer::new();
    let made = server.admin().post("/customers", json!({"name": "Ada", "phone": "0142000000", "vip": true})).created();
    let path = format!("/customers/{}", made["id"]);
    let changed =
        server.admin().put(&path, json!({"phone": null, "id": 99, "created_at": "x", "unknown": 1})).created();
    assert_eq!((&changed["id"], &changed["name"], &changed["phone"]), (&made["id"], &json!("Ada"), &Value::Null));
    assert_eq!((&changed["vip"], &changed["created_at"]), (&json!(true), &made["created_at"]));
    server.admin().put(&path, json!({"name": null})).invalid(&["The name field is required."]);
}

#[test]
fn an_account_leads_to_an_id() {
    let server = TestServer::new();
    let made = server.admin().post("/customers", json!({"name": "Ada", "customer_account": "A-7"})).created();
    let found = server.admin().get("/customers/resolve?customer_account=A-7").ok();
    assert_eq!(found, json!({"id": made["id"], "customer_account": "A-7"}));
    server.admin().get("/customers/resolve?customer_account=B").rejected(404, "customer_not_found");
    server.admin().get("/customers/resolve").invalid(&["The customer account field is required."]);
}

#[test]
fn filters_find_what_they_say() {
    let server = TestServer::new();
    let cases = [
        json!({"name": "Électricité Lefèvre", "phone": "+33 1 42 00 00 00", "main_address_city": "Orléans"}),
        json!({"name": "Garage Petit", "mobile_phone": "06 12 34 56 78", "vip": true, "email_address": "g@petit.example"}),
        json!({"name": "Boulangerie Martin", "active": false, "main_address_country": "Belgique", "comment": "pains spéciaux"}),
    ];
    for case in cases {
        server.admin().post("/customers", case).created();
    }
    for (query, expected) in [
        ("filter[name]=ELECTRIC", vec![1]),
        ("filter[name]=i%20l", vec![]),
        ("filter[city]=orleans", vec![1]),
        ("filter[country]=belg", vec![3]),
        ("filter[email_address]=PETIT", vec![2]),
        ("filter[customer_account]=cl00000", vec![1, 2, 3]),
        ("filter[active]=0", vec![3]),
        ("filter[active]=true&filter[vip]=1", vec![2]),
        ("filter[phone]=0142000000", vec![1]),
        ("filter[phone]=0033%201%2042%2000%2000%2000", vec![1]),
        ("filter[phone]=%2B33612345678", vec![2]),
        ("filter[phone]=5678", vec![2]),
        ("filter[phone]=none", vec![]),
        ("filter[term]=lefev", vec![1]),
        ("filter[term]=pains%20boul", vec![3]),
        ("filter[term]=%22*", vec![]),
        ("filter[name]=", vec![1, 2, 3]),
        ("filter[created_at][gte]=2020-01-01&filter[created_at][lte]=2999-12-31", vec![1, 2, 3]),
        ("filter[created_at]=2020-01-01", vec![]),
        ("sort=-name", vec![1, 2, 3].into_iter().rev().collect::<Vec<_>>()),
    ] {
        let answer = server.admin().get(&format!("/customers?{query}"));
        let mut found = ids(&answer);
        if query.starts_with("sort") {
            let names =
                answer.ok()["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect::<Vec<_>>();
            assert_eq!(names, ["Garage Petit", "Électricité Lefèvre", "Boulangerie Martin"], "{query}");
            found.sort_unstable();
            assert_eq!(found, [1, 2, 3]);
        } else {
            assert_eq!(found, expected, "{query}");
        }
    }
}

#[test]
fn a_filter_or_sort_that_is_not_there_is_refused_with_those_that_are() {
    let server = TestServer::new();
    for (query, says) in [
        ("filter[nope]=1", "customer_account, name, email_address"),
        ("sort=zip", "id, customer_account, name"),
        ("per_page=501", "between 1 and 500"),
        ("per_page=0", "between 1 and 500"),
        ("page=0", "at least 1"),
        ("page=x", "at least 1"),
        ("filter[vip]=maybe", "true or false"),
        ("filter[created_at]=soon", "valid date"),
        ("filter[created_at][like]=2020-01-01", "gte, lte and on"),
        ("filter[name][gte]=a", "without an operator"),
    ] {
        let answer = server.admin().get(&format!("/customers?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["hint"][0].as_str().unwrap().contains(says), "{query}: {}", answer.text);
    }
}

#[test]
fn pages_follow_each_other_and_none_is_lost() {
    let server = TestServer::new();
    for n in 0..23 {
        server.admin().post("/customers", json!({"name": format!("N{}", n % 4)})).created();
    }
    let mut seen = Vec::new();
    let mut path = "/customers?sort=name&per_page=5&filter[active]=1".to_owned();
    loop {
        let page = server.admin().get(&path).ok();
        assert_eq!((&page["total"], &page["last_page"], &page["per_page"]), (&json!(23), &json!(5), &json!(5)));
        let rows = page["data"].as_array().unwrap();
        assert_eq!(page["from"], seen.len() + 1);
        assert_eq!(page["to"], seen.len() + rows.len());
        seen.extend(rows.iter().map(|row| (row["name"].to_string(), row["id"].as_i64().unwrap())));
        let Some(next) = page["next_page_url"].as_str() else { break };
        path = next.strip_prefix("http://acme.localhost/api").unwrap().to_owned();
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (23, &sorted));

    let beyond = server.admin().get("/customers?page=99").ok();
    assert_eq!((&beyond["data"], &beyond["from"], &beyond["next_page_url"]), (&json!([]), &Value::Null, &Value::Null));
    let far = server.admin().get("/customers?page=9223372036854775807&per_page=500").ok();
    assert_eq!(far["data"], json!([]));
}

#[test]
fn who_has_contacts_is_deleted_only_with_them() {
    let server = TestServer::new();
    let customer = server.admin().post("/customers", json!({"name": "Ada"})).created();
    let path = format!("/customers/{}", customer["id"]);
    server.admin().post("/contacts", json!({"last_name": "B", "customer_id": customer["id"]})).created();
    server.admin().delete(&path).rejected(422, "customer_has_contacts");
    assert_eq!(ids(&server.admin().get(&format!("{path}/contacts"))), [1]);
    server.admin().delete(&format!("{path}?cascade=maybe")).invalid(&["The cascade must be true or false."]);
    assert_eq!(server.admin().delete(&format!("{path}?cascade=1")).ok(), json!({"response": "ok"}));
    server.admin().get(&path).rejected(404, "not_found");
    assert_eq!(server.admin().get("/contacts").ok()["total"], 0);
}

#[test]
fn who_has_call_routing_is_deleted_only_with_it() {
    let server = TestServer::new();
    let routing = RoutingClient::new(&server);
    CreatedRows::make(&routing);
    let path = format!("/customers/{}", routing.customer);
    server.admin().delete(&path).rejected(422, "customer_has_routing");
    server.admin().delete(&format!("{path}?cascade=1")).ok();
    let left = server.in_file(|db| {
            let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%customer_id INTEGER NOT NULL REFERENCES%'";
            let mut tables = db.prepare(tables)?;
            let tables = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            let count = |table: &String| db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
            assert!(tables.len() > 2);
            Ok(tables.iter().map(count).sum::<rusqlite::Result<i64>>()?)
        });
    assert_eq!(left, 0);
    let numbers: i64 =
        server.in_file(|db| Ok(db.query_row("SELECT count(*) FROM phone_numbers", [], |row| row.get(0))?));
    assert_eq!(numbers, 0);
}

#[test]
fn call_routing_moves_with_its_customer_unless_a_code_is_the_others_too() {
    let server = TestServer::new();
    let (goes, stays) = (RoutingClient::new(&server), RoutingClient::new(&server));
    CreatedRows::make(&goes);
    let theirs = stays.create("/contacts", json!({"id_code": "W1"}));
    let merge = format!("/customers/{}/merge", goes.customer);
    server.admin().post(&merge, json!({"into": stays.customer})).rejected(422, "id_code_taken");
    let rows = routing_endpoints::all();
    let shown = |routing: &RoutingClient<'_>| -> Vec<Value> {
        // The token is bound to the merged customer and ends with it.
        let lists = rows.iter().filter(|row| row.method == "GET" && !row.path.contains('{'));
        let lists = lists.filter(|row| row.path != "/cfd-tokens");
        lists.map(|row| routing.get(row.path).json()["data"].clone()).filter(|data| data.is_array()).collect()
    };
    let before = shown(&goes);
    assert!(before.iter().all(|data| data != &json!([])), "{before:?}");
    stays.delete(&format!("/contacts/{theirs}")).ok();
    server.admin().post(&merge, json!({"into": stays.customer})).created();
    for (was, is) in before.iter().zip(shown(&stays)) {
        let (was, is) = (was.as_array().unwrap(), is.as_array().unwrap().clone());
        let ids = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(was), ids(&is));
        assert!(is.iter().all(|row| row.get("customer_id").is_none_or(|id| *id == stays.customer)));
    }
    assert_eq!(stays.get("/contacts/lookup?telecom=0142000000").ok()["destination"], "801");
}

#[test]
fn many_are_deleted_all_or_none() {
    let server = TestServer::new();
    for name in ["A", "B", "C"] {
        server.admin().post("/customers", json!({"name": name})).created();
    }
    server.admin().delete_with("/customers/bulk", json!({"ids": [1, 2, 99]})).rejected(422, "unknown_ids");
    server.admin().delete_with("/customers/bulk", json!({})).invalid(&["The ids field is required."]);
    server.admin().delete_with("/customers/bulk", json!({"ids": "1"})).invalid(&["The ids must be a list."]);
    assert_eq!(server.admin().get("/customers").ok()["total"], 3);
    let deleted = server.admin().delete_with("/customers/bulk", json!({"ids": [1, 2, 2]})).ok();
    assert_eq!(deleted, json!({"response": "ok", "deleted": 2}));
    assert_eq!(ids(&server.admin().get("/customers")), [3]);
    server.admin().delete("/customers/bulk?ids[0]=3&ids[1]=x").invalid(&["The ids must be a list of integers."]);
    assert_eq!(server.admin().delete("/customers/bulk?ids[]=3").ok()["deleted"], 1);
}

#[test]
fn an_id_is_not_given_twice() {
    let server = TestServer::new();
    server.admin().post("/customers", json!({"name": "A"})).created();
    server.admin().delete("/customers/1").ok();
    assert_eq!(server.admin().post("/customers", json!({"name": "B"})).created()["id"], 2);
}

#[test]
fn a_merged_customer_leaves_all_it_had_to_the_other() {
    let server = TestServer::new();
    let customer = |name: &str| server.admin().post("/customers", json!({"name": name})).created()["id"].clone();
    let (goes, stays, apart) = (customer("Doubled"), customer("Kept"), customer("Apart"));
    let contact = |of: &Value| server.admin().post("/contacts", json!({"last_name": "B", "customer_id": of})).created();
    let (moved, left) = (contact(&goes), contact(&apart));
    let call = json!({"direction": "inbound", "contact_id": moved["id"], "number_from": "01 42 00 00 00"});
    server.admin().post("/phone-calls", call).created();
    let (key, other) = (server.key(&["*"], goes.as_i64()), server.key(&["*"], stays.as_i64()));
    let path = format!("/customers/{goes}/merge");
    for (into, says) in [
        (json!(99), "The selected into is invalid."),
        (goes.clone(), "The selected into is invalid."),
        (Value::Null, "The with field is required when into is not present."),
    ] {
        server.admin().post(&path, json!({"into": into})).invalid(&[says]);
    }
    let merged = server.admin().post(&path, json!({"into": stays})).created();
    assert_eq!((&merged["id"], &merged["name"]), (&stays, &json!("Kept")));
    server.admin().get(&format!("/customers/{goes}")).rejected(404, "not_found");
    server.admin().post(&path, json!({"into": stays})).rejected(404, "not_found");
    assert_eq!(server.admin().get(&format!("/contacts/{}", moved["id"])).ok()["customer_id"], stays);
    assert_eq!(server.admin().get("/phone-calls?filter[phone]=0142000000").ok()["data"][0]["customer_id"], stays);
    assert_eq!(server.admin().get(&format!("/contacts/{}", left["id"])).ok(), left);
    key.get("/contacts").rejected(401, "token_invalid");
    assert_eq!(other.get("/contacts").ok()["total"], 1);
}

#[test]
fn a_field_that_the_workspace_made_up_is_found_by_its_name() {
    let server = TestServer::new();
    for (name, fields) in [
        ("A", json!({"tier": "Gold", "seats": 12, "paid": true, "a.b": "x", "o'clock\"]": "now"})),
        ("B", json!({"tier": "golden", "seats": 1, "paid": false})),
        ("C", json!({"tier": null, "nested": {"tier": "gold"}})),
    ] {
        server.admin().post("/customers", json!({"name": name, "custom_fields": fields})).created();
    }
    let found = |query: &str| ids(&server.admin().get(&format!("/customers?{query}")));
    for (query, expected) in [
        ("filter[custom_fields.tier]=g%C3%B3ld", vec![1]),
        ("filter[custom_fields.tier]=gold&filter[name]=b", vec![]),
        ("filter[custom_fields.seats]=1", vec![2]),
        ("filter[custom_fields.paid]=true", vec![1]),
        ("filter[custom_fields.paid]=false", vec![2]),
        ("filter[custom_fields.a.b]=x", vec![1]),
        ("filter%5Bcustom_fields.o'clock%22%5D%5D=now", vec![1]),
        ("filter[custom_fields.none]=x", vec![]),
        ("filter[custom_fields.tier]=", vec![1, 2, 3]),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    let nameless = server.admin().get("/customers?filter[custom_fields]=x");
    nameless.invalid(&["The filter custom_fields needs a field name after a dot, like custom_fields.tier."]);
    let operator = server.admin().get("/customers?filter[custom_fields.tier][gte]=x");
    operator.invalid(&["The filter custom_fields.tier takes one value, without an operator."]);
}

#[test]
fn a_list_counts_contacts_where_it_is_asked_to() {
    let server = TestServer::new();
    for name in ["A", "B"] {
        server.admin().post("/customers", json!({"name": name})).created();
    }
    for _ in 0..2 {
        server.admin().post("/contacts", json!({"last_name": "C", "customer_id": 2})).created();
    }
    let counts = |query: &str| {
        let page = server.admin().get(&format!("/customers?{query}")).ok();
        page["data"].as_array().unwrap().iter().map(|row| row["contacts_count"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(counts("with=contacts_count"), [json!(0), json!(2)]);
    assert_eq!(counts("with=contacts_count&per_page=1&sort=-id"), [json!(2)]);
    assert_eq!((counts(""), counts("with=")), (vec![Value::Null; 2], vec![Value::Null; 2]));
    assert!(server.admin().get("/customers").ok()["data"][0].get("contacts_count").is_none());
    server.admin().get("/customers?with=secrets").invalid(&["The selected with is invalid."]);
}
#[test]
fn an_import_knows_a_customer_by_its_account() {
    let server = TestServer::new();
    server
        .admin()
        .post("/customers", json!({"name": "Ada", "customer_account": "A-1", "phone": "0142000000"}))
        .created();
    let csv = "customer_account;name;vip\nA-1;Ada SARL;1\nA-2;Bo;\n;Cy;false\n";
    let taken = server.admin().post_csv("/customers/import", csv);
    taken.invalid(&["row 1: The customer account has already been taken."]);
    let done = server.admin().post_csv("/customers/import?mode=upsert", csv).created();
    assert_eq!((&done["created"], &done["updated"]), (&json!(2), &json!(1)));
    let rows = server.admin().get("/customers/export").ok();
    let row = |n: usize| (rows[n]["customer_account"].clone(), rows[n]["name"].clone(), rows[n]["vip"].clone());
    assert_eq!(row(0), (json!("A-1"), json!("Ada SARL"), json!(true)));
    assert_eq!(row(1), (json!("A-2"), json!("Bo"), json!(false)));
    assert_eq!(row(2), (json!("CL000003"), json!("Cy"), json!(false)));
    assert_eq!(rows[0]["phone"], "0142000000");
    let swap = json!([{"id": 1, "customer_account": "A-2"}]);
    let answer = server.admin().post("/customers/import?mode=upsert", swap);
    answer.invalid(&["row 1: The customer account has already been taken."]);
}

#[test]
fn a_merge_tells_what_it_ended_or_moves_it() {
    let server = TestServer::new();
    let admin = server.admin();
    for name in ["Ada", "Bob", "Eve"] {
        admin.post("/customers", json!({"name": name})).created();
    }
    let key = |customer: i64| {
        let new = json!({"name": "Phones", "permissions": ["contact.view"], "customer_id": customer});
        admin.post("/integration-keys", new).created()
    };
    let client = json!({
        "name": "PBX", "redirect_uris": ["https://pbx.example.com/"], "grants": ["authorization_code"],
        "scopes": ["client", "crm"], "customer_id": 1,
    });
    key(1);
    admin.post("/oauth-clients", client).created();
    admin.post("/smart-routings/cfd-tokens?customer_account=CL000001", json!({"name": "Flow"})).created();
    let merged = admin.post("/customers/1/merge", json!({"into": 3})).created();
    assert_eq!((&merged["id"], &merged["name"]), (&json!(3), &json!("Eve")));
    assert_eq!(merged["ended"], json!({"integration_keys": 1, "oauth_clients": 1, "cfd_tokens": 1}));

    key(2);
    admin.post("/smart-routings/cfd-tokens?customer_account=CL000002", json!({"name": "Flow"})).created();
    let weak = server.with_only(&["customer.view", "customer.update", "routing.update"]);
    weak.post("/customers/2/merge?move_keys=1", json!({"into": 3})).rejected(403, "missing_permission");
    let moved = admin.post("/customers/2/merge?move_keys=1", json!({"into": 3})).created();
    assert_eq!(moved["ended"], json!({"integration_keys": 0, "oauth_clients": 0, "cfd_tokens": 0}));
    assert_eq!(admin.get("/integration-keys").ok()["data"][0]["customer_id"], 3);
    let tokens = admin.get("/smart-routings/cfd-tokens?customer_account=CL000003").ok();
    assert_eq!((&tokens["total"], &tokens["data"][0]["customer_id"]), (&json!(1), &json!(3)));
}

#[test]
fn a_merge_keeps_when_a_row_of_call_routing_was_created() {
    let server = TestServer::new();
    let (goes, stays) = (RoutingClient::new(&server), RoutingClient::new(&server));
    let id = goes.create("/fields", json!({"name": "Tier"}));
    server.in_file(|db| Ok(db.execute("UPDATE routing_fields SET created_at = 1", [])?));
    server.admin().post(&format!("/customers/{}/merge", goes.customer), json!({"into": stays.customer})).created();
    let moved = stays.get(&format!("/fields/{id}")).ok();
    assert_eq!(moved["created_at"], "1970-01-01T00:00:01Z");
    assert!(moved["updated_at"].as_str() > Some("2020"), "{moved}");
}
