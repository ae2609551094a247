//! The walk over the table of routes: what must hold for every row, whatever it does.

use http::Method;
use serde_json::{Value, json};

use crate::api::{Error, Id, Layer, Needs, Ok200, Place, Resource, Result, Route, Router, Steps, get, here, openapi};
use crate::config::SETTINGS;
use crate::testing::{Bench, Client};

/// A request for a row, such that the row does what it is for. Rows are added here with their routes.
struct Sample {
    path: String,
    body: Option<Value>,
}

/// Fills a row with what it needs, made through the API beforehand.
fn sample(bench: &Bench, layer: Layer, route: &Route) -> Sample {
    let path = route.path;
    let customer = || bench.admin().post("/customers", json!({"name": "Walked"})).created()["id"].to_string();
    let contact = || bench.admin().post("/contacts", json!({"last_name": "Walked"})).created()["id"].to_string();
    let token = || bench.central().post("/tokens", json!({"label": "walked"})).created()["id"].to_string();
    let workspace = || {
        let made = bench.central().post("/workspaces", json!({"name": "Walked"})).created();
        (made["id"].as_str().unwrap().to_owned(), made["subdomain"].clone())
    };
    let with_id = |id: &str| path.replace("{id}", id);
    let plain = |body: Value| Sample { path: path.into(), body: Some(body) };
    match (layer, route.method.as_str(), path) {
        (_, "GET", "/customers/resolve") => {
            let id = customer();
            let made = bench.admin().get(&format!("/customers/{id}")).ok();
            let account = made["customer_account"].as_str().unwrap().to_owned();
            Sample { path: format!("{path}?customer_account={account}"), body: None }
        }
        (_, "GET", path) if !path.contains('{') => Sample { path: path.into(), body: None },
        (_, "GET" | "DELETE", path) if path.starts_with("/customers/{id}") => {
            Sample { path: with_id(&customer()), body: None }
        }
        (_, "GET" | "DELETE", "/contacts/{id}") => Sample { path: with_id(&contact()), body: None },
        (_, "PUT", "/customers/{id}") => Sample { path: with_id(&customer()), body: Some(json!({"vip": true})) },
        (_, "PUT", "/contacts/{id}") => Sample { path: with_id(&contact()), body: Some(json!({"first_name": "Zoé"})) },
        (_, "POST", "/customers") => plain(json!({"name": "Ada"})),
        (_, "POST", "/contacts") => plain(json!({"last_name": "Lovelace"})),
        (_, "DELETE", "/customers/bulk") => plain(json!({"ids": [customer().parse::<i64>().unwrap()]})),
        (_, "DELETE", "/contacts/bulk") => plain(json!({"ids": [contact().parse::<i64>().unwrap()]})),
        (_, "POST", "/login") => plain(json!({"email": "owner@example.com", "password": crate::testing::PASSWORD})),
        (_, "POST", "/logout") => Sample { path: path.into(), body: None },
        (_, "POST", "/switch-to") => plain(json!({"workspace_id": bench.acme.id})),
        (_, "POST", "/register") => plain(
            json!({"name": "New", "email": "new@example.com", "password": "quite-a-long-one", "subdomain": "newly"}),
        ),
        (_, "POST", "/password/forgot") => plain(json!({"email": "owner@example.com"})),
        (_, "POST", "/password/reset") => {
            bench.nobody().post("/password/forgot", json!({"email": "owner@example.com"})).ok();
            let mail = bench.mails().pop().unwrap();
            let (_, code) = mail.text.split_once("&code=").unwrap();
            let code = code.split_whitespace().next().unwrap();
            plain(json!({"email": "owner@example.com", "code": code, "password": "quite-a-long-one"}))
        }
        (_, "PUT", "/account") => plain(json!({"name": "Renamed"})),
        (_, "POST", "/tokens") => plain(json!({"label": "program"})),
        (_, "DELETE", "/tokens/{id}") => Sample { path: with_id(&token()), body: None },
        (_, "POST", "/workspaces") => plain(json!({"name": "Another"})),
        (_, "GET", "/workspaces/{id}") => Sample { path: with_id(&workspace().0), body: None },
        (_, "PUT", "/workspaces/{id}") => Sample { path: with_id(&workspace().0), body: Some(json!({"name": "N"})) },
        (_, "DELETE", "/workspaces/{id}") => {
            let (id, subdomain) = workspace();
            Sample { path: with_id(&id), body: Some(json!({"subdomain": subdomain})) }
        }
        (_, "DELETE", "/account") => plain(json!({"current_password": crate::testing::PASSWORD})),
        (_, method, path) => panic!("{method} {path} has no sample: add one, so that the walk can take it"),
    }
}

/// Calls `check` with every row, on a fresh bench for those that write.
fn walk(mut check: impl FnMut(&Bench, Layer, &'static Route)) {
    let router = crate::router().unwrap();
    let mut bench = Bench::new();
    for layer in [Layer::Central, Layer::Workspace] {
        for route in router.routes(layer) {
            check(&bench, layer, route);
            if route.method != Method::GET {
                bench = Bench::new();
            }
        }
    }
}

fn owner(bench: &Bench, layer: Layer) -> Client<'_> {
    match layer {
        Layer::Central => bench.central(),
        Layer::Workspace => bench.admin(),
    }
}

fn host(layer: Layer) -> &'static str {
    match layer {
        Layer::Central => "localhost",
        Layer::Workspace => "acme.localhost",
    }
}

#[test]
fn without_a_token_only_what_is_for_anyone_is_answered() {
    walk(|bench, layer, route| {
        let Sample { path, body } = sample(bench, layer, route);
        let answer = bench.nobody().at(host(layer)).send(route.method.clone(), &path, body);
        match route.needs {
            Needs::Anyone => assert!(answer.status.is_success(), "{} {path}: {answer:?}", route.method),
            _ => answer.refused(401, "token_missing"),
        }
    });
}

#[test]
fn a_role_does_what_its_permissions_say_and_is_told_which_is_missing() {
    walk(|bench, layer, route| {
        let Needs::Permission(permission) = route.needs else { return };
        assert_eq!(layer, Layer::Workspace, "permissions are a workspace's");
        for role in ["manager", "agent"] {
            let may = bench.may(role, permission);
            let Sample { path, body } = sample(bench, layer, route);
            let answer = bench.with_role(role).send(route.method.clone(), &path, body);
            if may {
                assert!(answer.status.is_success(), "{role} {path}: {answer:?}");
            } else {
                answer.refused(403, "missing_permission");
                assert!(answer.text.contains(permission), "{}", answer.text);
            }
        }
    });
}

#[test]
fn a_token_of_another_scope_is_refused() {
    walk(|bench, layer, route| {
        if matches!(route.needs, Needs::Anyone | Needs::AnyToken) {
            return;
        }
        let Sample { path, body } = sample(bench, layer, route);
        let strangers = match layer {
            Layer::Central => vec![bench.admin().at("localhost")],
            Layer::Workspace => vec![bench.central().at("acme.localhost"), bench.admin_of_other().at("acme.localhost")],
        };
        for stranger in strangers {
            stranger.send(route.method.clone(), &path, body.clone()).refused(401, "wrong_token_scope");
        }
    });
}

#[test]
fn rows_of_another_workspace_are_never_there() {
    walk(|bench, layer, route| {
        if layer != Layer::Workspace || !route.path.contains("{id}") {
            return;
        }
        let Sample { path, body } = sample(bench, layer, route);
        let answer = bench.admin_of_other().send(route.method.clone(), &path, body);
        answer.refused(404, "not_found");
    });
}

#[test]
fn every_answer_has_the_shape_that_the_description_gives_it() {
    let router = crate::router().unwrap();
    let documents = [openapi::document(&router, Layer::Central), openapi::document(&router, Layer::Workspace)];
    walk(|bench, layer, route| {
        let document = &documents[usize::from(layer == Layer::Workspace)];
        let Sample { path, body } = sample(bench, layer, route);
        let deletes_account = route.method == Method::DELETE && route.path == "/account";
        if deletes_account {
            bench.engine.central.write(|db| Ok::<_, Error>(db.execute("DELETE FROM workspaces", [])?)).unwrap();
        }
        let answer = owner(bench, layer).send(route.method.clone(), &path, body);
        assert!(answer.status.is_success(), "{} {path}: {answer:?}", route.method);

        let method = route.method.as_str().to_ascii_lowercase();
        let reply = &document["paths"][route.path][method]["responses"][answer.status.as_str()];
        assert!(reply.is_object(), "{} {path} does not describe {}", route.method, answer.status);
        let schema = &reply["content"]["application/json"]["schema"];
        if schema.is_object() {
            let whole = json!({"$ref": "#/schema", "schema": schema, "components": document["components"]});
            let validator = jsonschema::validator_for(&whole).unwrap();
            let problems: Vec<String> = validator.iter_errors(&answer.json()).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{} {path}: {problems:?} in {}", route.method, answer.text);
        }
    });
}

#[test]
fn the_description_is_the_one_that_is_kept() {
    let router = crate::router().unwrap();
    for layer in [Layer::Central, Layer::Workspace] {
        let path = format!("{}/tests/openapi/{}.json", env!("CARGO_MANIFEST_DIR"), layer.name());
        let kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(
            kept == openapi::document(&router, layer),
            "the API has changed; if it is meant to: cargo run -- openapi {name} > tests/openapi/{name}.json",
            name = layer.name()
        );
    }
}

#[test]
fn a_table_in_which_two_rows_answer_the_same_request_is_refused() {
    fn nothing(_: &Steps<'_>) -> Result<Ok200<bool>> {
        Ok(Ok200(true))
    }
    fn by_id(_: &Steps<'_>, _: Id) -> Result<Ok200<bool>> {
        Ok(Ok200(true))
    }
    const TWICE: &[Route] =
        &[get("/a", &here(nothing), Needs::Anyone, "one"), get("/a", &here(nothing), Needs::Anyone, "two")];
    const AMBIGUOUS: &[Route] =
        &[get("/a/{id}", &here(by_id), Needs::Anyone, "one"), get("/a/{name}", &here(by_id), Needs::Anyone, "two")];
    const LITERAL_WINS: &[Route] =
        &[get("/a/{id}", &here(by_id), Needs::Anyone, "one"), get("/a/b", &here(nothing), Needs::Anyone, "two")];
    let router = |routes| Router::new(&[Resource { name: "a", routes }], &[]);
    assert!(router(TWICE).is_err());
    assert!(router(AMBIGUOUS).is_err());
    let router = router(LITERAL_WINS).unwrap();
    let found = router.find(Layer::Central, "/a/b").unwrap().route(&Method::GET).unwrap();
    assert_eq!(found.summary, "two");
}

/// A permission is looked up in the turn; a handler beside the lanes has none.
#[test]
fn what_needs_a_permission_is_run_in_a_turn() {
    walk(|_, _, route| {
        if let Needs::Permission(_) = route.needs {
            assert_eq!(route.handler.place(), Place::Turn, "{}", route.path);
        }
    });
}

/// README's tables of routes and settings are the ones in the code, row by row.
#[test]
fn the_readme_lists_every_route_and_every_setting() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let router = crate::router().unwrap();
    let mut rows = Vec::new();
    for layer in [Layer::Central, Layer::Workspace] {
        for route in router.routes(layer) {
            let needs = match route.needs {
                Needs::Anyone => "",
                Needs::SignedIn => "a token",
                Needs::AnyToken => "any token",
                Needs::Permission(name) => name,
            };
            rows.push(format!(
                "| {} | {} `{}` | {needs} | {} |",
                layer.name(),
                route.method,
                route.path,
                route.summary
            ));
        }
    }
    for setting in SETTINGS {
        rows.push(format!("| `{}` | `{}` | {}: {} |", setting.name, setting.default, setting.about, setting.allowed));
    }
    let missing: Vec<&String> = rows.iter().filter(|row| !readme.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "README lacks:\n{}", missing.iter().map(|row| format!("{row}\n")).collect::<String>());
}
