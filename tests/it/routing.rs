//! A call flow on the real program: its token across a crash and behind a proxy, the secrets that the log leaves out,
//! and the command line for one customer's rows.

use std::fs;

use serde_json::{Value, json};

use crate::client::Request;
use crate::test_server::{Team, TestServer, Who};

fn account(server: &TestServer, team: &Team, name: &str) -> String {
    let id = server.customer(&team.inside, name);
    let customer = server.get(&team.inside, &format!("/customers/{id}")).ok();
    customer["customer_account"].as_str().unwrap().to_owned()
}

fn of(account: &str, path: &str) -> String {
    let and = if path.contains('?') { '&' } else { '?' };
    format!("/smart-routings{path}{and}customer_account={account}")
}

#[test]
fn a_call_flow_is_told_where_a_call_goes_also_after_a_crash() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    let (own, other) = (account(&server, &acme, "Own"), account(&server, &acme, "Other"));
    let post = |server: &TestServer, account: &str, path: &str, body: Value| {
        server.post(&acme.inside, &of(account, path), body).created()
    };
    for (account, destination) in [(&own, "801"), (&other, "666")] {
        let queue = json!({"name": "Support", "number": "01 42 00 00 00", "default_destination": "899"});
        let queue = post(&server, account, "/call-queues/queues", queue)["id"].to_string();
        let parent = format!("time_spanable_type=call_queue&time_spanable_id={queue}");
        let always = |day: i32| json!({"day_of_week": day, "start_time": "00:00", "end_time": "24:00", "destination": destination});
        for day in 0..7 {
            post(&server, account, &format!("/call-queues/time-spans?{parent}"), always(day));
        }
    }
    let flow = server.post(&acme.inside, &of(&own, "/cfd-tokens"), json!({"name": "Flow"})).created();
    let flow = Who { host: acme.inside.host.clone(), token: Some(flow["token"].as_str().unwrap().to_owned()) };
    for _ in 0..2 {
        let goes = server.get(&flow, "/smart-routings/call-queues/lookup?number=%2B33142000000").ok();
        assert_eq!((&goes["destination"], &goes["open"]), (&json!("801"), &json!(true)));
        server.get(&flow, &of(&other, "/call-queues/lookup?number=%2B33142000000")).refused(403, "forbidden");
        server.get(&flow, "/customers").refused(403, "forbidden");
        server.kill();
        server.start();
    }
}

#[test]
fn a_call_flows_token_is_good_from_its_hosts_as_a_trusted_proxy_tells_them() {
    let server = TestServer::with(&["--trusted-proxies", "127.0.0.1"]);
    let acme = server.team("acme");
    let own = account(&server, &acme, "Own");
    server.post(&acme.inside, &of(&own, "/contacts"), json!({"id_code": "A1"})).created();
    let made = |hosts: Value| {
        let made =
            server.post(&acme.inside, &of(&own, "/cfd-tokens"), json!({"name": "Flow", "hosts": hosts})).created();
        Who { host: acme.inside.host.clone(), token: Some(made["token"].as_str().unwrap().to_owned()) }
    };
    let (by_address, by_name) = (made(json!(["192.0.2.0/24"])), made(json!(["localhost"])));
    let from = |who: &Who, address: &str| {
        let headers = [("X-Forwarded-For", address)];
        let path = "/smart-routings/contacts/lookup?id_code=A1";
        let request = Request {
            method: "GET",
            path,
            host: &who.host,
            token: who.token.as_deref(),
            headers: &headers,
            body: None,
        };
        server.ask(&request)
    };
    from(&by_address, "192.0.2.7").ok();
    from(&by_address, "198.51.100.7").refused(403, "host_not_allowed");
    from(&by_name, "127.0.0.1").ok();
    from(&by_name, "192.0.2.7").refused(403, "host_not_allowed");
}

#[test]
fn a_token_in_a_query_is_not_in_the_log() {
    let mut server = TestServer::with(&["--log", "debug"]);
    let acme = server.team("acme");
    let own = account(&server, &acme, "Own");
    let cti = server.post(&acme.inside, &of(&own, "/ctis"), json!({"name": "PBX"})).created();
    let token = cti["token"].as_str().unwrap();
    let path = of(&own, &format!("/ctis/lookup?token={token}&origin=0142000000"));
    server.get(&acme.inside, &path).refused(404, "no_route");
    server.stop();
    let log = server.log();
    assert!(log.contains("/smart-routings/ctis/lookup"), "{log}");
    assert!(!log.contains(token) && !log.contains("0142000000"), "{log}");
}

#[test]
fn the_command_line_carries_one_customers_rows() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let (own, other) = (account(&server, &acme, "Own"), account(&server, &acme, "Other"));
    let folder = server.data().parent().unwrap().to_owned();
    fs::write(folder.join("new.csv"), "id_code,telecoms\nA1,0142000000;204\nB2,\n").unwrap();
    let import = |rest: &[&str]| server.cli(&[&["workspace", "import", "acme"], rest].concat());
    let export = |rest: &[&str]| server.cli(&[&["workspace", "export", "acme"], rest].concat());
    assert!(import(&["routing-contacts", "new.csv"]).failed().contains("--customer"));
    let nobody = import(&["routing-contacts", "new.csv", "--customer", "X"]).failed();
    assert!(nobody.contains("no customer has the account X"), "{nobody}");
    for account in [&own, &other] {
        let done = import(&["routing-contacts", "new.csv", "--customer", account]).ok();
        assert_eq!(done.trim(), "2 created, 0 updated");
    }
    let exported = export(&["routing-contacts", "--customer", &other]).ok();
    let rows: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(rows, server.get(&acme.inside, &of(&other, "/contacts/export")).ok());
    assert_eq!(rows[0]["telecoms"], json!(["0142000000", "204"]));
    fs::write(folder.join("other.json"), &exported).unwrap();
    let again = ["routing-contacts", "other.json", "--mode", "upsert", "--customer"];
    assert_eq!(import(&[&again[..], &[&other]].concat()).ok().trim(), "0 created, 2 updated");
    assert!(import(&[&again[..], &[&own]].concat()).failed().contains("The customer id field is prohibited."));
    server.post(&acme.inside, &of(&own, "/ctis"), json!({"name": "PBX"})).created();
    let ctis: Value = serde_json::from_str(&export(&["ctis", "--customer", &own]).ok()).unwrap();
    assert_eq!((ctis.as_array().unwrap().len(), &ctis[0]["name"]), (1, &json!("PBX")));
}
