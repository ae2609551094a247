//! Moving a workspace to another server: exported while others write, imported with its users.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::client::Request;
use crate::test_server::{Team, TestServer, Who, email, sqlite};

/// Exports a workspace through the API into a file next to the data directory.
fn exported(server: &TestServer, team: &Team, name: &str) -> PathBuf {
    let file = server.data().with_file_name(name);
    fs::write(&file, whole(server, team)).unwrap();
    file
}

fn whole(server: &TestServer, team: &Team) -> Vec<u8> {
    let path = format!("/api/workspaces/{}/export", team.workspace);
    let token = team.owner.token.clone();
    let request =
        Request { method: "GET", path: &path, host: "localhost", token: token.as_deref(), ..Request::default() };
    let mut connection = server.connect();
    connection.send(request.text()).unwrap();
    let head = connection.receive_head().unwrap().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-disposition"), Some("attachment; filename=\"acme.sqlite\""));
    connection.receive_body(&head).unwrap()
}

fn inside(server: &TestServer, who: &Who, workspace: &Value) -> Who {
    server.enter(who, workspace.as_str().unwrap())
}

#[test]
fn a_workspace_goes_to_another_server_with_all_that_is_in_it() {
    let (here, there) = (TestServer::new(), TestServer::new());
    let acme = here.team("acme");
    here.register("zoe");
    here.register("max");
    for (name, role) in [("zoe", "manager"), ("max", "agent")] {
        here.cli(&["user", "add", &email(name), "--workspace", "acme", "--role", role]).ok();
    }
    let customer = here.customer(&acme.inside, "Renault");
    let contact = json!({"last_name": "Lefèvre", "customer_id": customer, "phone_mobile_1": "06 12 34 56 78"});
    here.post(&acme.inside, "/contacts", contact).created();
    let key = json!({"name": "program", "permissions": ["contact.view"]});
    let key = here.post(&acme.inside, "/integration-keys", key).created();
    here.post(&acme.inside, "/webhooks", json!({"url": "https://example.com/", "events": ["*"]})).created();
    here.customer(&acme.inside, "Peugeot");
    let file = exported(&here, &acme, "acme.sqlite");

    // On the other server Zoé has an account with another id, Max has none, and the owner is another person.
    let (ada, zoe) = (there.register("ada"), there.verified("zoe"));
    // Mallory registered the address of a user there without access to its mail.
    let mallory = there.register("acme");
    let file = file.to_str().unwrap();
    let said = there.cli(&["workspace", "import-file", file, "--owner", &email("ada"), "--subdomain", "moved"]).ok();
    assert!(said.contains(&acme.workspace) && said.contains("moved"), "{said}");
    assert!(said.contains(&format!("invited, as agent: {}", email("max"))), "{said}");
    assert!(said.contains("webhooks disabled") && !said.contains("copy"), "{said}");

    let workspaces = there.get(&zoe, "/workspaces").ok()["data"].clone();
    assert_eq!((&workspaces[0]["id"], &workspaces[0]["role"]), (&json!(acme.workspace), &json!("manager")));
    assert_eq!(workspaces[0]["owner"], false);
    let zoe = inside(&there, &zoe, &workspaces[0]["id"]);
    assert_eq!(there.customers(&zoe), ["Renault", "Peugeot"]);
    let found = there.get(&zoe, "/contacts?filter[phone]=%2B33612345678").ok();
    assert_eq!(found["data"][0]["customer_id"], customer);
    let ada = inside(&there, &ada, &workspaces[0]["id"]);
    // Not the user that had this account id on the first server.
    let whoami = there.get(&ada, "/whoami").ok();
    assert_eq!((&whoami["role"], &whoami["user"]["id"]), (&json!("admin"), &json!(4)));
    assert_eq!(there.get(&ada, "/webhooks").ok()["data"][0]["active"], false);
    let waiting = there.get(&ada, "/webhooks/1/deliveries").ok();
    assert_eq!((&waiting["data"][0]["status"], &waiting["total"]), (&json!("failed"), &json!(1)));
    // Integration keys stay valid.
    let program = Who { token: key["key"].as_str().map(str::to_owned), host: zoe.host.clone() };
    assert_eq!(there.get(&program, "/contacts").ok()["total"], 1);
    assert_eq!(there.get(&mallory, "/workspaces").ok()["total"], 0);
    assert_eq!(there.get(&mallory, "/user-invites").ok()["total"], 0);
    // Max creates an account and finds the invitation.
    let max = there.verified("max");
    let invite = there.get(&max, "/user-invites").ok()["data"][0]["id"].clone();
    there.post(&max, &format!("/user-invites/{invite}/accept"), json!({})).created();
    assert_eq!(there.get(&inside(&there, &max, &workspaces[0]["id"]), "/whoami").ok()["role"], "agent");
    // The owner there has no account here. The new owner takes that place.
    let emails: Vec<Value> = there.get(&ada, "/users?sort=email").ok()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["email"].clone())
        .collect();
    assert_eq!(emails, [json!(email("ada")), json!(email("max")), json!(email("zoe"))]);
    assert_eq!(there.cli(&["doctor"]).code, Some(0));
    assert_eq!(here.cli(&["doctor"]).code, Some(0));
}

#[test]
fn an_export_is_of_one_moment_however_much_is_written_meanwhile() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let id = server.customer(&acme.inside, &format!("Customer {n}"));
                server.post(&acme.inside, "/contacts", json!({"last_name": "B", "customer_id": id})).created();
                n += 1;
            }
        });
        for round in 0..5 {
            let db = sqlite(&exported(&server, &acme, &format!("round-{round}.sqlite")));
            let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
            let (customers, contacts) = (one("SELECT count(*) FROM customers"), one("SELECT count(*) FROM contacts"));
            assert!((0..=1).contains(&(customers - contacts)), "{customers} customers, {contacts} contacts");
            let counted = "SELECT rows + (SELECT count(*) FROM contacts WHERE id > last_id)";
            assert_eq!(one(&format!("{counted} FROM row_counts WHERE name = 'contacts'")), contacts);
            assert_eq!(one("SELECT count(*) FROM audit_log"), customers + contacts);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(server.data().join("copies")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_put_in_its_place_leaves_nothing_behind_and_may_be_tried_again() {
    let (here, there) = (TestServer::new(), TestServer::new());
    let acme = here.team("acme");
    let file = exported(&here, &acme, "acme.sqlite");
    let ada = there.register("ada");
    let in_the_way = there.data().join("workspaces").join(&acme.workspace[acme.workspace.len() - 2..]);
    fs::write(&in_the_way, "a file where a folder should be").unwrap();
    let arguments = ["workspace", "import-file", file.to_str().unwrap(), "--owner", &email("ada")];
    there.cli(&arguments).failed();
    assert_eq!(there.get(&ada, "/workspaces").ok()["total"], 0);
    assert_eq!(there.cli(&["doctor"]).code, Some(0));
    fs::remove_file(&in_the_way).unwrap();
    assert!(there.cli(&arguments).ok().contains(&acme.workspace));
    assert_eq!(there.get(&ada, "/workspaces").ok()["total"], 1);
}

#[test]
fn only_the_owner_takes_a_workspace_away() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let zoe = server.register("zoe");
    let path = format!("/workspaces/{}/export", acme.workspace);
    server.get(&zoe, &path).refused(404, "workspace_not_found");
    server.cli(&["user", "add", &email("zoe"), "--workspace", "acme", "--role", "admin"]).ok();
    server.get(&zoe, &path).refused(403, "forbidden");
    server.get(&acme.inside.on("localhost"), &path).refused(401, "wrong_token_scope");
    server.cli(&["workspace", "suspend", "acme"]).ok();
    server.get(&acme.owner, &path).refused(403, "workspace_suspended");
}

#[test]
fn a_file_is_brought_in_beside_the_workspace_it_came_from_as_another_one() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    let file = server.data().with_file_name("acme.sqlite");
    let file = file.to_str().unwrap();
    server.cli(&["workspace", "export-file", "acme", file]).ok();
    let said = server.cli(&["workspace", "export-file", "acme", file]).failed();
    assert!(said.contains("already exists"), "{said}");
    let said =
        server.cli(&["workspace", "import-file", file, "--owner", &email("acme"), "--name", "Acme, a copy"]).ok();
    assert!(said.contains("acme-a-copy") && said.contains("a copy with a new id"), "{said}");
    let listed = server.get(&acme.owner, "/workspaces?sort=name").ok()["data"].clone();
    assert_eq!(listed[1]["name"], "Acme, a copy");
    let copy = inside(&server, &acme.owner, &listed[1]["id"]);
    server.customer(&copy, "Peugeot");
    assert_eq!(server.customers(&copy), ["Renault", "Peugeot"]);
    assert_eq!(server.customers(&acme.inside), ["Renault"]);
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
}

#[test]
fn what_is_no_workspace_is_refused_and_leaves_nothing_behind() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let good = exported(&server, &acme, "good.sqlite");
    let folder = server.data().with_file_name("files");
    fs::create_dir(&folder).unwrap();
    let file = |name: &str| folder.join(name);
    fs::write(file("text"), "not a database, however long it may be, and it is not").unwrap();
    fs::write(file("empty"), "").unwrap();
    fs::copy(server.data().join("central.sqlite"), file("central")).unwrap();
    let bytes = fs::read(&good).unwrap();
    fs::write(file("short"), &bytes[..bytes.len() / 2]).unwrap();
    for (name, sql) in [
        ("trigger", "CREATE TRIGGER evil AFTER INSERT ON customers BEGIN DELETE FROM users; END"),
        ("view", "CREATE VIEW evil AS SELECT 1"),
        ("table", "DROP TABLE contacts"),
        ("newer", "PRAGMA user_version = 999"),
        ("empty-id", "DELETE FROM workspace"),
        (
            "orphan",
            "PRAGMA foreign_keys = OFF; INSERT INTO users (account_id, name, email, role_id, created_at, updated_at)
                    VALUES (99, 'N', 'n@example.com', 99, 0, 0)",
        ),
    ] {
        fs::copy(&good, file(name)).unwrap();
        let db = sqlite(&file(name));
        db.execute_batch(sql).unwrap();
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }
    let before = server.get(&acme.owner, "/instance").ok()["workspaces"].clone();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with("-wal") || path.to_str().unwrap().ends_with("-shm") {
            continue;
        }
        let said =
            server.cli(&["workspace", "import-file", path.to_str().unwrap(), "--owner", &email("acme")]).failed();
        assert!(said.contains("workspace") || said.contains("damaged") || said.contains("version"), "{path:?}: {said}");
    }
    let good = good.to_str().unwrap();
    let said = server.cli(&["workspace", "import-file", good, "--owner", "nobody@example.com"]).failed();
    assert!(said.contains("There is no account nobody@example.com."), "{said}");
    let said =
        server.cli(&["workspace", "import-file", good, "--owner", &email("acme"), "--subdomain", "acme"]).failed();
    assert!(said.contains("taken"), "{said}");
    assert_eq!(server.get(&acme.owner, "/instance").ok()["workspaces"], before);
    assert_eq!(fs::read_dir(server.data().join("copies")).unwrap().count(), 0);
    assert_eq!(server.cli(&["doctor"]).code, Some(0));
}
