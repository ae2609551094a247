use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{MOST_OF_OWNER, forget};
use crate::api::Error;
use crate::jobs;
use crate::tests::{RoutingClient, TestClient, TestResponse, TestServer};
use crate::values::Timestamp;

/// A client who imports files in steps.
struct Importer<'s>(TestClient<'s>);

impl Importer<'_> {
    fn upload(&self, resource: &str, csv: impl Into<Vec<u8>>) -> Value {
        self.0.post_csv(&format!("/imports?resource={resource}"), csv).created()
    }

    fn get(&self, import: &Value) -> Value {
        self.0.get(&path(import, "")).ok()
    }

    fn plan(&self, import: &Value, plan: Value) -> TestResponse {
        self.0.put(&path(import, ""), plan)
    }

    /// Begins a step, and waits until it has ended.
    fn step(&self, import: &Value, step: &str, options: Value) -> Value {
        let begun = self.0.post(&path(import, step), options);
        assert_eq!(begun.status, 202, "{begun:?}");
        self.ended(import)
    }

    fn ended(&self, import: &Value) -> Value {
        loop {
            let import = self.get(import);
            if import["state"] != "checking" && import["state"] != "running" {
                return import;
            }
            assert!(import["progress"]["done"].as_i64() <= import["progress"]["of"].as_i64(), "{import}");
        }
    }

    fn check(&self, import: &Value) -> Value {
        self.step(import, "/check", json!({}))
    }

    fn run(&self, import: &Value) -> Value {
        self.step(import, "/run", json!({}))
    }
}

fn path(import: &Value, rest: &str) -> String {
    format!("/imports/{}{rest}", import["id"])
}

fn fields(import: &Value) -> Vec<Option<&str>> {
    import["columns"].as_array().unwrap().iter().map(|column| column["field"].as_str()).collect()
}

/// Created, changed, unchanged, refused.
fn counts(import: &Value) -> [i64; 4] {
    ["created", "changed", "unchanged", "refused"].map(|name| import["counts"][name].as_i64().unwrap())
}

fn total(client: &TestClient<'_>, list: &str) -> i64 {
    client.get(&format!("{list}?per_page=1")).ok()["total"].as_i64().unwrap()
}

/// As Excel in France writes it.
const FRENCH: &[u8] =
    b"name;Telephone;Ville;Note\r\nBoulangerie Leroy;01 42 00 00 00;Orl\xE9ans;x\r\nCaf\xE9 Zo\xE9;;Paris;\r\n";

#[test]
fn a_french_file_is_imported_in_steps() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let made = admin.upload("customers", FRENCH);
    assert_eq!(
        (&made["encoding"], &made["delimiter"], &made["records"]),
        (&json!("Windows-1252"), &json!(";"), &json!(2))
    );
    assert_eq!((&made["state"], &made["sample"][0][2]), (&json!("uploaded"), &json!("Orléans")));
    assert_eq!(made["columns"][0]["matched_by"], "name");
    assert_eq!(made["columns"][1]["matched_by"], "label", "{}", made["columns"]);
    assert_eq!((fields(&made)[0], fields(&made)[3]), (Some("name"), None));
    assert_eq!(made["columns"][2]["example"], "Orléans");

    let checked = admin.check(&made);
    assert_eq!((&checked["state"], counts(&checked)), (&json!("checked"), [2, 0, 0, 0]));
    assert_eq!(total(&admin.0, "/customers"), 0, "a check changes nothing");
    let done = admin.run(&made);
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [2, 0, 0, 0]));
    assert_eq!(done["progress"], json!({"done": 2, "of": 2}));
    let customer = &admin.0.get("/customers?filter[name]=Boulangerie%20Leroy").ok()["data"][0];
    assert_eq!((&customer["phone"], &customer["updated_at"]), (&json!("01 42 00 00 00"), &done["ran_at"]));
    // Each change has its entry, by the person.
    assert_eq!(admin.0.get("/audit-log?filter[resource]=customer").ok()["total"], 2);
    admin.0.post(&path(&made, "/run"), json!({})).rejected(422, "import_done");
    admin.plan(&made, json!({"mode": "create"})).rejected(422, "import_done");
}

#[test]
fn what_was_chosen_last_time_is_proposed() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let csv = "Kunde;Firma;Nom\nMartin;Acme;x\n";
    let made = admin.upload("contacts", csv);
    assert_eq!(fields(&made), [None, None, Some("last_name")]);
    let plan = json!({"fields": ["last_name", "company", null]});
    let planned = admin.plan(&made, plan).created();
    assert_eq!(
        (fields(&planned), &planned["columns"][0]["matched_by"]),
        (vec![Some("last_name"), Some("company"), None], &json!("choice"))
    );
    admin.check(&made);
    let again = admin.upload("contacts", csv);
    assert_eq!(fields(&again), [Some("last_name"), Some("company"), None]);
    assert_eq!(again["columns"][1]["matched_by"], "last_time");
    // Somebody else has chosen nothing.
    let other = Importer(server.with_role("manager"));
    assert_eq!(fields(&other.upload("contacts", csv)), [None, None, Some("last_name")]);
    // It is remembered for longer than the file.
    jobs::round(&server.instance, Timestamp::now().plus(25 * 3600), true).unwrap();
    let left: i64 = server.in_file(|db| Ok(db.query_row("SELECT count(*) FROM imports", [], |row| row.get(0))?));
    assert_eq!(left, 1);
    assert_eq!(fields(&admin.upload("contacts", csv)), [Some("last_name"), Some("company"), None]);
}

#[test]
fn a_plan_that_cannot_be_meant_is_refused_and_changes_nothing() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let made = admin.upload("contacts", "last_name,email\nAda,ada@example.com\n");
    for (plan, said) in [
        (json!({"fields": ["email", "email"]}), "The columns last_name and email have the same field: email."),
        (json!({"fields": [null, null]}), "At least one column must have a field."),
        (json!({"fields": ["email"]}), "The fields must be as many as the 2 columns."),
        (json!({"mode": "upsert", "key": "id"}), "The key id must be the field of a column."),
        (json!({"key": "phone"}), "The selected key is invalid; it may be id, email."),
    ] {
        admin.plan(&made, plan).invalid(&[said]);
    }
    let unknown = admin.plan(&made, json!({"fields": ["password", null]}));
    assert!(unknown.status == 400 && unknown.text.contains("The selected field password is invalid"), "{unknown:?}");
    assert_eq!(fields(&admin.get(&made)), [Some("last_name"), Some("email")]);
    for (path, said) in [
        (
            "/imports?resource=users",
            "The selected resource is invalid; it may be customers, contacts, phone-calls, routing-contacts, ctis.",
        ),
        ("/imports", "The resource field is required."),
        ("/imports?resource=ctis", "The customer account field is required."),
    ] {
        admin.0.post_csv(path, "name\nx\n").invalid(&[said]);
    }
    admin.0.post_csv("/imports?resource=contacts", "").invalid(&["The file field is required."]);
    let wide = format!("{}\n", ",x".repeat(200));
    admin.0.post_csv("/imports?resource=contacts", wide).invalid(&["The file may not have more than 200 columns."]);
    let office = admin.0.post_csv("/imports?resource=contacts", *b"PK\x03\x04\x14\0");
    assert!(office.status == 415 && office.text.contains("32 MiB and 250000 rows"), "{office:?}");
}

#[test]
fn refused_records_are_named_and_are_left_out_only_by_choice() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let csv = "last_name;email;Ville\nAda;ada@example.com;=1+1\n;;x\n\nBo;nobody;\"a\nb\"\nCy;cy@example.com;\nx\"y;;\nDi;di@example.com;;7\n";
    let made = admin.upload("contacts", csv);
    let checked = admin.check(&made);
    assert_eq!(counts(&checked), [2, 0, 0, 4], "{checked}");
    let refused = &checked["refused"];
    assert_eq!(
        refused[0],
        json!({"line": 3, "problems": [
        {"field": "last_name", "column": "last_name", "value": "", "sentence": "The last name field is required."}]})
    );
    assert_eq!(
        refused[1],
        json!({"line": 5, "problems": [
        {"field": "email", "column": "email", "value": "nobody", "sentence": "The email must be a valid email address."}]})
    );
    assert_eq!((&refused[2]["line"], &refused[3]["line"]), (&json!(8), &json!(9)));
    let file = admin.0.get(&path(&made, "/refused.csv"));
    let lines = "\u{feff}last_name;email;Ville;refused_because\r\n;;x;The last name field is required.\r\n\
                 Bo;nobody;\"a\nb\";The email must be a valid email address.\r\n";
    assert!(file.text.starts_with(lines), "{}", file.text);
    assert!(file.text.ends_with("there are 3 columns.;7\r\n"), "{}", file.text);

    admin.0.post(&path(&made, "/run"), json!({})).rejected(422, "records_refused");
    assert_eq!(total(&admin.0, "/contacts"), 0);
    let done = admin.step(&made, "/run", json!({"leave_out_refused": true}));
    assert_eq!((counts(&done), &done["refused_left_out"]), ([2, 0, 0, 4], &json!(true)));
    assert_eq!(total(&admin.0, "/contacts"), 2);
}

#[test]
fn an_upsert_finds_records_by_the_chosen_key() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    for (name, email) in [("Ada", "ada@example.com"), ("Bo", "bo@example.com"), ("Cy", "cy@example.com")] {
        admin.0.post("/contacts", json!({"last_name": name, "email": email})).created();
    }
    let csv = "id,email,last_name\n1,bo@example.com,Bob\n3,cy@example.com,Cy\n,new@example.com,New\n";
    let made = admin.upload("contacts", csv);
    assert_eq!(counts(&admin.check(&made)), [1, 0, 0, 2]);
    admin.plan(&made, json!({"mode": "upsert"})).created();
    assert_eq!(counts(&admin.check(&made)), [1, 1, 1, 0]);
    admin.plan(&made, json!({"key": "email"})).created();
    let done = {
        admin.check(&made);
        admin.run(&made)
    };
    assert_eq!(counts(&done), [1, 1, 1, 0]);
    assert_eq!(admin.0.get("/contacts/2").ok()["last_name"], "Bob");
    assert_eq!(admin.0.get("/contacts/1").ok()["last_name"], "Ada");
}

#[test]
fn an_import_needs_the_permissions_of_its_records_and_is_its_owners_alone() {
    let server = TestServer::new();
    let csv = "last_name\nAda\n";
    let creator = Importer(server.with_only(&["contact.create"]));
    creator.0.post_csv("/imports?resource=customers", csv).rejected(403, "missing_permission");
    let made = creator.upload("contacts", csv);
    creator.plan(&made, json!({"mode": "upsert"})).rejected(403, "missing_permission");
    for other in [server.admin(), server.key(&["*"], None), server.oauth(&["contact.create"], None)] {
        for (method, rest) in
            [("GET", ""), ("PUT", ""), ("POST", "/check"), ("POST", "/run"), ("GET", "/refused.csv"), ("DELETE", "")]
        {
            other.send(method.parse().unwrap(), &path(&made, rest), Some(json!({}))).rejected(404, "not_found");
        }
        assert_eq!(other.get("/imports").ok(), json!([]));
    }
    assert_eq!(creator.0.get("/imports").ok()[0]["id"], made["id"]);
    creator.0.delete(&path(&made, "")).ok();
    creator.0.get(&path(&made, "")).rejected(404, "not_found");

    // A caller who is bound to a customer stays bound.
    let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
    let bound = Importer(server.key(&["contact.*", "routing.*"], Some(routing.customer)));
    let made = bound.upload("contacts", format!("last_name,customer_id\nAda,{}\n", other.customer));
    let failed = bound.check(&made);
    assert_eq!(failed["state"], "failed");
    let made = bound.upload("contacts", "last_name\nAda\n");
    bound.check(&made);
    bound.run(&made);
    assert_eq!(bound.0.get("/contacts").ok()["data"][0]["customer_id"], routing.customer);
    bound
        .0
        .post_csv(&format!("/imports?resource=ctis&customer_account={}", other.account), "name\nx\n")
        .rejected(403, "forbidden");
    let made = bound.upload("ctis", "name\nx\n");
    assert_eq!((&made["customer_id"], &made["customer_account"]), (&json!(routing.customer), &json!(routing.account)));
    bound.check(&made);
    assert_eq!(counts(&bound.run(&made)), [1, 0, 0, 0]);
}

#[test]
fn kept_files_are_limited_and_deleted_with_the_import_after_a_day_and_with_the_workspace() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let folder = server.instance.config.data_dir.join("imports").join(server.acme.id.to_string());
    let files = || std::fs::read_dir(&folder).map_or(0, |files| files.count());
    let first = admin.upload("contacts", "last_name\nAda\n");
    for _ in 1..MOST_OF_OWNER.0 {
        admin.upload("contacts", "last_name\nAda\n");
    }
    admin.0.post_csv("/imports?resource=contacts", "last_name\n").rejected(422, "too_many_imports");
    assert_eq!(files(), 50);
    admin.0.delete(&path(&first, "")).ok();
    assert_eq!(files(), 49);
    let made = admin.upload("contacts", "last_name\nAda\n");
    jobs::round(&server.instance, Timestamp::now().plus(23 * 3600), true).unwrap();
    assert_eq!((files(), &admin.get(&made)["state"]), (50, &json!("uploaded")));
    jobs::round(&server.instance, Timestamp::now().plus(25 * 3600), true).unwrap();
    assert_eq!(files(), 0);
    admin.0.get(&path(&made, "")).rejected(404, "not_found");
    let data: String = server.in_file(|db| {
        Ok(db.query_row("SELECT coalesce(group_concat(sample), '') FROM imports", [], |row| row.get(0))?)
    });
    assert!(!data.contains("Ada"), "{data}");

    admin.upload("contacts", "last_name\nAda\n");
    assert_eq!(files(), 1);
    server.central().delete_with(&format!("/workspaces/{}", server.acme.id), json!({"subdomain": "acme"})).ok();
    assert!(!folder.exists());
}

#[test]
fn a_check_that_a_restart_interrupted_says_so_and_is_started_again() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let made = admin.upload("contacts", "last_name\nAda\n");
    // As the file is after a crash in the middle of the check.
    server.in_file(|db| Ok(db.execute("UPDATE imports SET state = 'checking', process = 'ended'", [])?));
    assert_eq!(admin.get(&made)["state"], "interrupted");
    admin.0.post(&path(&made, "/run"), json!({})).rejected(422, "import_not_checked");
    assert_eq!(counts(&admin.check(&made)), [1, 0, 0, 0]);
    assert_eq!(admin.run(&made)["state"], "done");
    // The file is gone, as in a restored workspace.
    let made = admin.upload("contacts", "last_name\nAda\n");
    std::fs::remove_dir_all(server.instance.config.data_dir.join("imports")).unwrap();
    let failed = admin.check(&made);
    assert_eq!(
        (&failed["state"], &failed["problem"]),
        (&json!("failed"), &json!("The file of this import is no longer there. Upload it again."))
    );
}

/// As the file is after a crash in the middle of a run that leaves refused records out: three records are done.
const AFTER_CRASH: &str =
    "UPDATE imports SET state = 'running', process = 'ended', created = 2, changed = 0, unchanged = 0,
    refused = 1, refused_records = json_array(refused_records -> 0), refused_left_out = 1, ran_at = created_at";

#[test]
fn a_run_that_a_restart_interrupted_continues_with_the_next_record() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let csv = "last_name,email,note\nAda,,\n,,\"a\nb\"\nBo,,\nCy,,\nDi,nobody,\nEd,ed@example.com,\n";
    let made = admin.upload("contacts", csv);
    let checked = admin.check(&made);
    let refused = admin.0.get(&path(&made, "/refused.csv")).text;
    server.in_file(|db| Ok(db.execute(AFTER_CRASH, [])?));

    let interrupted = admin.get(&made);
    assert_eq!(
        (&interrupted["state"], &interrupted["progress"]),
        (&json!("interrupted"), &json!({"done": 3, "of": 6})),
        "{interrupted}"
    );
    admin.plan(&made, json!({"mode": "create"})).rejected(422, "import_begun");
    admin.0.post(&path(&made, "/check"), json!({})).rejected(422, "import_begun");

    let done = admin.run(&made);
    assert_eq!((&done["state"], counts(&done)), (&json!("done"), [4, 0, 0, 2]), "{done}");
    assert_eq!((&done["refused"], &done["refused_left_out"]), (&checked["refused"], &json!(true)));
    assert_eq!(admin.0.get(&path(&made, "/refused.csv")).text, refused);
    let names = admin.0.get("/contacts").ok()["data"].clone();
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|row| row["last_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Cy", "Ed"], "the first three records are not imported again");
    let updated = admin.0.get("/contacts/1").ok()["updated_at"].clone();
    assert_eq!(updated, done["ran_at"], "the records of both parts have the time of the first run");
}

#[test]
fn an_interrupted_run_can_be_deleted_and_one_that_has_written_nothing_can_begin_again() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let made = admin.upload("contacts", "last_name,email\nAda,\n,x\nBo,\n");
    admin.check(&made);
    server.in_file(|db| Ok(db.execute(AFTER_CRASH, [])?));
    admin.0.delete(&path(&made, "")).ok();
    admin.0.get(&path(&made, "")).rejected(404, "not_found");

    let made = admin.upload("contacts", "last_name\nAda\n");
    admin.check(&made);
    let nothing = "UPDATE imports SET state = 'running', process = 'ended', created = 0, ran_at = created_at";
    server.in_file(move |db| Ok(db.execute(nothing, [])?));
    assert_eq!(admin.get(&made)["state"], "interrupted");
    assert_eq!(counts(&admin.run(&made)), [1, 0, 0, 0]);
    assert_eq!(total(&admin.0, "/contacts"), 1);
    // A second form of the same rows, whose columns are chosen again.
    let made = admin.upload("contacts", "last_name\nAda\n");
    admin.check(&made);
    server.in_file(move |db| Ok(db.execute(nothing, [])?));
    assert_eq!(admin.plan(&made, json!({"mode": "create"})).created()["state"], "uploaded");
}

#[test]
fn a_run_stops_where_its_file_ends_and_says_how_many_records_are_done() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let made = admin.upload("contacts", "last_name,email\nAda,\nBo,\n,x\nCy,\n");
    admin.check(&made);
    server.in_file(|db| Ok(db.execute(AFTER_CRASH, [])?));
    std::fs::remove_dir_all(server.instance.config.data_dir.join("imports")).unwrap();
    let interrupted = admin.run(&made);
    assert_eq!(
        (&interrupted["state"], &interrupted["problem"], &interrupted["progress"]["done"]),
        (&json!("interrupted"), &json!("The file of this import is no longer there. Upload it again."), &json!(3))
    );
}

#[test]
fn many_records_are_imported_in_several_transactions_and_their_counts_add_up() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let rows: String =
        (0..4_001).map(|n| if n % 1_000 == 0 { ",x\n".into() } else { format!("Name {n},\n") }).collect();
    let made = admin.upload("contacts", format!("last_name,email\n{rows}"));
    assert_eq!(counts(&admin.check(&made)), [3_996, 0, 0, 5]);
    let refused = admin.0.get(&path(&made, "/refused.csv")).text;
    let before = server.instance.registry.lease(server.acme.id).file().batches_written();
    let done = admin.step(&made, "/run", json!({"leave_out_refused": true}));
    assert_eq!((counts(&done), &done["state"]), ([3_996, 0, 0, 5], &json!("done")));
    assert_eq!(total(&admin.0, "/contacts"), 3_996);
    assert_eq!(admin.0.get(&path(&made, "/refused.csv")).text, refused);
    let parts = server.instance.registry.lease(server.acme.id).file().batches_written() - before;
    assert!(parts > 3, "{parts} transactions");
}

/// A body of a form with these parts: name, file name, content.
pub fn multipart(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend(format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--X--\r\n");
    body
}

#[test]
fn a_form_has_one_file_and_every_other_form_is_a_clear_error() {
    let server = TestServer::new();
    let send = |kind: &str, body: Vec<u8>| server.admin().ask(Method::POST, "/imports?resource=contacts", kind, body);
    let form = "multipart/form-data; boundary=X";
    let file: (&str, Option<&str>, &[u8]) = ("file", Some("C:\\Users\\Zoé\\clients.csv"), b"last_name\nAda\n");
    let made = send(form, multipart(&[("note", None, b"x"), file])).created();
    assert_eq!((&made["file"], &made["records"], &made["format"]), (&json!("clients.csv"), &json!(1), &json!("csv")));
    let json: (&str, Option<&str>, &[u8]) = ("file", Some("rows"), b" [{\"last_name\": \"Ada\"}]");
    assert_eq!(send(form, multipart(&[json])).created()["format"], "json");
    let long = "x".repeat(100_000);
    let many: Vec<_> = (0..200).map(|_| ("a", None, &b"x"[..])).collect();
    for (kind, body, status) in [
        (form, multipart(&[]), 400),
        (form, multipart(&[("file", None, b"last_name\nAda\n")]), 400),
        (form, multipart(&[("other", Some("a.csv"), b"last_name\nAda\n")]), 400),
        (form, multipart(&[file, file]), 400),
        (form, multipart(&[(&long, None, b"x"), file]), 400),
        (form, multipart(&[("file", Some(&long), b"x")]), 400),
        (form, multipart(&many), 400),
        (form, multipart(&[("note", None, b"\xFF"), file]), 400),
        (form, b"--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nlast_name".to_vec(), 400),
        (form, b"nonsense".to_vec(), 400),
        (form, multipart(&[("file", Some("a.csv"), b"")]), 400),
        (form, multipart(&[("file", Some("a.xlsx"), b"PK\x03\x04")]), 415),
        ("multipart/form-data", multipart(&[file]), 400),
        ("multipart/form-data; boundary=Y", multipart(&[file]), 400),
        ("multipart/mixed; boundary=X", multipart(&[file]), 415),
    ] {
        let refused = send(kind, body);
        assert_eq!(refused.status.as_u16(), status, "{refused:?}");
        assert!(refused.json().is_object(), "{refused:?}");
    }
    assert_eq!(server.admin().get("/imports").ok().as_array().unwrap().len(), 2);
}

#[test]
fn no_multipart_body_fails_inside_the_server() {
    let server = TestServer::new();
    let before = server.admin().get("/imports").ok();
    let piece = prop_oneof![
        Just(b"--X".to_vec()),
        Just(b"--X--".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"Content-Disposition: form-data; name=\"other\"".to_vec()),
        Just(b"; filename=\"a.csv\"".to_vec()),
        Just(b"Content-Type: text/csv".to_vec()),
        Just(b"; name=".to_vec()),
        vec(any::<u8>(), 0..8),
    ];
    let body = vec(piece, 0..20).prop_map(|pieces| pieces.concat());
    let config = Config { failure_persistence: None, ..Config::with_cases(300) };
    let tried = TestRunner::new(config).run(&body, |body| {
        let answer =
            server.admin().ask(Method::POST, "/imports?resource=contacts", "multipart/form-data; boundary=X", body);
        prop_assert!(answer.status.is_client_error() && answer.json().is_object(), "{answer:?}");
        Ok(())
    });
    tried.unwrap();
    assert_eq!(server.admin().get("/imports").ok(), before);
}

/// A file: its columns with their fields, and its rows.
#[derive(Debug, Clone)]
struct RandomFile {
    fields: Vec<Option<&'static str>>,
    rows: Vec<Vec<String>>,
    is_upsert: bool,
}

const FIELDS: [Option<&str>; 6] =
    [Some("last_name"), Some("email"), Some("id"), Some("custom_fields"), Some("first_name"), None];

fn files() -> impl Strategy<Value = RandomFile> {
    let cell = prop_oneof![
        3 => "[A-D][a-z]{0,3}", 2 => "[a-c]@example\\.com", 2 => "[1-9]", 1 => Just(String::new()),
        1 => "[=+'@;\", -]{1,4}[a-z0-9]?", 1 => Just("{\"a\": \"=1\"}".to_owned()), 1 => Just("nobody@".to_owned()),
    ];
    let rows = vec(vec(cell, 6), 0..8);
    (Just(FIELDS.to_vec()).prop_shuffle(), 1..=6_usize, rows, any::<bool>()).prop_map(
        |(mut fields, width, mut rows, is_upsert)| {
            fields.truncate(width);
            rows.iter_mut().for_each(|row| row.truncate(width));
            // A blank line is no row.
            rows.retain(|row| row.iter().any(|cell| !cell.trim().is_empty()));
            RandomFile { fields, rows, is_upsert }
        },
    )
}

fn csv(names: &[String], rows: &[Vec<String>]) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().delimiter(b';').quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    writer.write_record(names).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    writer.into_inner().unwrap()
}

/// The rows of the file of refused rows, without the reasons.
fn refused_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b';')
        .flexible(true)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    reader
        .records()
        .map(|row| {
            let mut row: Vec<String> = row.unwrap().iter().map(str::to_owned).collect();
            row.pop();
            row
        })
        .collect()
}

#[test]
fn the_check_predicts_the_run_the_counts_add_up_and_the_refused_rows_are_the_rest() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    let config = Config { failure_persistence: None, max_shrink_iters: 100, ..Config::with_cases(60) };
    let tried = TestRunner::new(config).run(&files(), |file| {
        if file.fields.iter().all(Option::is_none) {
            return Ok(());
        }
        let names: Vec<String> = (0..file.fields.len()).map(|at| format!("c{at}")).collect();
        let made = admin.upload("contacts", csv(&names, &file.rows));
        prop_assert_eq!(made["records"].as_u64(), Some(file.rows.len() as u64));
        let mode = if file.is_upsert { "upsert" } else { "create" };
        admin.plan(&made, json!({"fields": file.fields, "mode": mode})).created();
        let before = total(&admin.0, "/contacts");
        let checked = admin.check(&made);
        prop_assert_eq!(total(&admin.0, "/contacts"), before);
        if checked["state"] == "failed" {
            admin.0.delete(&path(&made, "")).ok();
            return Err(TestCaseError::fail(checked.to_string()));
        }
        prop_assert_eq!(counts(&checked).iter().sum::<i64>(), file.rows.len() as i64);
        let refused = counts(&checked)[3];
        let text = admin.0.get(&path(&made, "/refused.csv")).text;
        let done = admin.step(&made, "/run", json!({"leave_out_refused": true}));
        prop_assert_eq!(counts(&done), counts(&checked), "{}", done);
        prop_assert_eq!(total(&admin.0, "/contacts") - before, counts(&done)[0]);
        admin.0.delete(&path(&made, "")).ok();
        if refused == 0 {
            return Ok(());
        }
        // The refused rows again: each is refused again, for the same reason, or is now possible.
        let rest = refused_rows(&text);
        prop_assert_eq!(rest.len() as i64, refused);
        let again = admin.upload("contacts", text.clone());
        prop_assert_eq!(again["records"].as_i64(), Some(refused), "{}", text);
        // Corrected: whatever they had, they now have a name alone.
        let name: Vec<Vec<String>> = rest.iter().map(|_| vec!["Corrected".to_owned()]).collect();
        let corrected = admin.upload("contacts", csv(&["last_name".to_owned()], &name));
        admin.check(&corrected);
        prop_assert_eq!(counts(&admin.run(&corrected)), [refused, 0, 0, 0]);
        admin.0.delete(&path(&again, "")).ok();
        admin.0.delete(&path(&corrected, "")).ok();
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn forgetting_is_done_in_pieces() {
    let server = TestServer::new();
    let admin = Importer(server.admin());
    for _ in 0..3 {
        admin.upload("contacts", "last_name\nAda\n");
    }
    let later = Timestamp::now().plus(25 * 3600);
    let pieces = server
        .instance
        .registry
        .lease(server.acme.id)
        .file()
        .write(move |db| Ok::<_, Error>([forget(db, later, 2)?, forget(db, later, 2)?, forget(db, later, 2)?]));
    assert_eq!(pieces.unwrap(), [2 + 1, 0, 0]);
}
