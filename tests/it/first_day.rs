//! The first day of a new user: an account, a workspace, customers and contacts in it, and the log-out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::test_server::{PASSWORD, TestServer, Who, at, central, email, text};

#[test]
fn a_new_user_registers_works_and_leaves() {
    let server = TestServer::new();
    let ada = register_and_log_in(&server);
    let acme = make_a_workspace_and_enter_it(&server, &ada);
    work_with_customers_and_contacts(&server, &acme);
    for leaving in [acme, ada] {
        assert_eq!(server.post(&leaving, "/logout", json!({})).ok(), json!({"response": "ok"}));
        server.get(&leaving, "/whoami").refused(401, "token_revoked");
    }
}

fn register_and_log_in(server: &TestServer) -> Who {
    let body = json!({"name": "Ada", "email": email("ada"), "password": PASSWORD, "password_confirmation": PASSWORD});
    let registered = server.post(&central(), "/register", body).created();
    assert_eq!(registered["user"]["email"], email("ada"));
    assert_eq!((&registered["token_type"], &registered["workspace"]), (&json!("Bearer"), &Value::Null));

    let login = server.post(&central(), "/login", json!({"email": email("ada"), "password": PASSWORD})).ok();
    assert_eq!((&login["user"]["id"], &login["workspaces"]), (&registered["user"]["id"], &json!([])));
    central().with(&login["token"])
}

fn make_a_workspace_and_enter_it(server: &TestServer, ada: &Who) -> Who {
    let workspace = server.post(ada, "/workspaces", json!({"name": "Acme Télécom"})).created();
    assert_eq!(workspace["subdomain"], "acme-telecom");
    assert_eq!((&workspace["role"], &workspace["owner"]), (&json!("admin"), &json!(true)));
    assert_eq!(workspace["url"], format!("http://acme-telecom.localhost:{}", server.address().port()));

    let switched = server.post(ada, "/switch-to", json!({"workspace_id": workspace["id"]})).ok();
    assert_eq!((&switched["scope"], &switched["workspace"]["id"]), (&json!("workspace"), &workspace["id"]));
    let acme = at("acme-telecom").with(&switched["token"]);
    let whoami = server.get(&acme, "/whoami").ok();
    assert_eq!((&whoami["user"]["email"], &whoami["role"]), (&json!(email("ada")), &json!("admin")));
    acme
}

fn work_with_customers_and_contacts(server: &TestServer, acme: &Who) {
    let customer = server.post(acme, "/customers", json!({"name": "Renault", "phone": "01 42 00 00 00"})).created();
    let its_path = one("customers", &customer);
    assert_eq!(server.get(acme, &its_path).ok(), customer);
    let contact = json!({"last_name": "Durand", "customer_id": customer["id"]});
    let contact = server.post(acme, "/contacts", contact).created();
    assert_eq!(server.get(acme, &format!("{its_path}/contacts")).ok()["data"], json!([contact]));

    let changed = server.put(acme, &its_path, json!({"comment": "calls on Mondays"})).created();
    assert_eq!((&changed["comment"], &changed["phone"]), (&json!("calls on Mondays"), &customer["phone"]));
    let changed = server.put(acme, &its_path, json!({"phone": null})).created();
    assert_eq!((&changed["comment"], &changed["phone"]), (&json!("calls on Mondays"), &Value::Null));

    server.delete(acme, &its_path).refused(422, "customer_has_contacts");
    assert_eq!(server.delete(acme, &one("contacts", &contact)).ok(), json!({"response": "ok"}));
    server.get(acme, &one("contacts", &contact)).refused(404, "not_found");
    assert_eq!(server.delete(acme, &its_path).ok(), json!({"response": "ok"}));
    assert_eq!(server.customers(acme), [""; 0]);
}

#[test]
fn registering_with_a_workspace_makes_both() {
    let server = TestServer::new();
    let body = json!({"name": "Ada", "email": email("ada"), "password": PASSWORD, "workspace_name": "Acme"});
    let answer = server.post(&central(), "/register", body).created();
    assert_eq!(answer["workspace"]["subdomain"], "acme");

    let login = server.post(&at("acme"), "/login", json!({"email": email("ada"), "password": PASSWORD})).ok();
    assert_eq!(login["workspace"]["id"], answer["workspace"]["id"]);
    assert_eq!(server.customers(&at("acme").with(&login["token"])), [""; 0]);
}

#[test]
fn registering_twice_or_badly_is_told_what_is_wrong() {
    let server = TestServer::new();
    server.register("ada");
    let again = json!({"name": "Ada", "email": "ADA@example.com", "password": PASSWORD});
    server.post(&central(), "/register", again).refused(422, "email_taken");
    server
        .post(&central(), "/register", json!({"email": "ada", "password": PASSWORD}))
        .invalid(&["The name field is required.", "The email must be a valid email address."]);
    server
        .post(&central(), "/login", json!({"email": email("ada"), "password": "wrong"}))
        .refused(401, "invalid_credentials");
    server
        .post(&central(), "/login", json!({"email": email("eve"), "password": PASSWORD}))
        .refused(401, "invalid_credentials");
}

#[test]
fn a_list_is_walked_page_by_page_to_its_end() {
    let (server, acme) = bench_with_customers();
    let (mut seen, mut next, mut pages) = (Vec::new(), Some("/api/customers?per_page=10&sort=-name".to_owned()), 0);
    while let Some(path) = next {
        let page = server.get(&acme, path.strip_prefix("/api").unwrap()).ok();
        pages += 1;
        assert_eq!((&page["current_page"], &page["total"], &page["last_page"]), (&json!(pages), &json!(45), &json!(5)));
        seen.extend(names(&page));
        next = page["next_page_url"].as_str().map(|url| path_of(url, &server));
    }
    let mut expected: Vec<String> = (1..=45).map(name).collect();
    expected.reverse();
    assert_eq!((pages, seen), (5, expected));

    let beyond = server.get(&acme, "/customers?page=9").ok();
    assert_eq!((&beyond["data"], &beyond["from"], &beyond["per_page"]), (&json!([]), &Value::Null, &json!(20)));
    let both_bad = server.get(&acme, "/customers?page=0&per_page=501");
    both_bad.invalid(&["The page must be an integer of at least 1.", "The per page must be between 1 and 500."]);
}

#[test]
fn a_list_is_filtered_and_sorted_by_what_it_allows() {
    let (server, acme) = bench_with_customers();
    let named = |query: &str| names(&server.get(&acme, &format!("/customers?per_page=500&{query}")).ok());
    let of = |numbers: &[usize]| numbers.iter().copied().map(name).collect::<Vec<_>>();

    assert_eq!(named("filter[city]=SAINT-ETIENNE&filter[name]=1"), of(&[1, 10, 13, 16, 19, 31]));
    assert_eq!(named("filter[vip]=1&sort=-id"), of(&[45, 30, 15]));
    assert_eq!(named("filter[phone]=%2B33142000007"), of(&[7]));
    assert_eq!(named("filter[phone]=0142000007"), of(&[7]));
    assert_eq!(named("filter[term]=customer+44"), of(&[44]));
    assert_eq!(named("filter[vip]=true&filter[city]=Saint"), [""; 0]);

    let unknown = server.get(&acme, "/customers?filter[password]=x&sort=secret");
    assert_eq!(unknown.status, 400);
    for allowed in ["customer_account", "main_address_city", "city"] {
        assert_eq!(unknown.text.contains(allowed), allowed != "main_address_city", "{}", unknown.text);
    }
}

#[test]
fn many_customers_are_deleted_all_or_none() {
    let (server, acme) = bench_with_customers();
    let delete = |ids: Value| server.send(&acme, "DELETE", "/customers/bulk", Some(json!({"ids": ids})));
    delete(json!([1, 2, 999])).refused(422, "unknown_ids");
    assert_eq!(server.customers(&acme).len(), 45);
    assert_eq!(delete(json!([1, 2, 3])).ok(), json!({"response": "ok", "deleted": 3}));
    let left: BTreeSet<String> = server.customers(&acme).into_iter().collect();
    assert_eq!(left, (4..=45).map(name).collect());
}

/// `Customer 01` to `Customer 45`: every third in Saint-Étienne, every fifteenth a VIP.
fn bench_with_customers() -> (TestServer, Who) {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    for number in 1..=45 {
        let city = if number % 3 == 1 { "Saint-Étienne" } else { "Lyon" };
        let body = json!({"name": name(number), "main_address_city": city, "vip": number % 15 == 0,
                          "phone": format!("01 42 00 00 {number:02}")});
        server.post(&acme, "/customers", body).created();
    }
    (server, acme)
}

fn name(number: usize) -> String {
    format!("Customer {number:02}")
}

fn names(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|customer| text(&customer["name"])).collect()
}

fn one(resource: &str, row: &Value) -> String {
    format!("/{resource}/{}", row["id"])
}

/// The rest of a URL of this server, after the host.
fn path_of(url: &str, server: &TestServer) -> String {
    let here = format!("http://acme.localhost:{}", server.address().port());
    url.strip_prefix(&here).unwrap_or_else(|| panic!("{url} is not at {here}")).to_owned()
}
