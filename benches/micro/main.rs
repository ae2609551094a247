//! The hot steps of a request, each measured alone and without a network: `cargo bench --bench micro`. `benches/load`
//! measures whole requests.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use cx_engine::api::{Layer, json_body};
use cx_engine::auth::{Keys, Nonce, TokenScope, encryption};
use cx_engine::tenancy;
use cx_engine::values::{self, Timestamp};
use cx_engine::workspace::customers::Customer;
use serde_json::{Map, Value, json};

/// A fixed time, because the clock is not measured.
const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

const BODY: &str = r#"{"name":"Atelier Lefèvre 4711","email_address":"contact4711@example.com",
    "phone":"+33 1 42 00 47 11","main_address_city":"Saint-Étienne","main_contact_first_name":"Bérénice",
    "main_contact_last_name":"Lefèvre","custom_fields":{"tier":"gold"}}"#;

fn host(criterion: &mut Criterion) {
    criterion.bench_function("host: a workspace's name out of an authority", |bench| {
        bench.iter(|| tenancy::host(black_box("acme.cx.example.com:8443"), black_box("cx.example.com")));
    });
}

fn route(criterion: &mut Criterion) {
    let router = cx_engine::router().expect("the table of routes is sound");
    let get = http::Method::GET;
    criterion.bench_function("route: a row of the table by path and method", |bench| {
        bench.iter(|| {
            router.find(Layer::Workspace, black_box("/customers/4711")).map(|found| found.route(&get).is_ok())
        });
    });
}

fn token(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for keys");
    let keys = Keys::open(&folder.path().join("keys"), NOW).expect("keys are made");
    let nonce = Nonce::random().ok();
    let claims = encryption::Claims {
        token_id: 7,
        account_id: 3,
        scope: TokenScope::Central,
        expires_at: NOW.plus(3600),
        nonce,
    };
    let text = encryption::encrypt_token(claims, &keys).expect("a token is sealed");
    criterion.bench_function("token: a PASETO opened, as the first time", |bench| {
        bench.iter(|| encryption::decrypt_token(black_box(&text), &keys));
    });
}

fn input(criterion: &mut Criterion) {
    criterion
        .bench_function("input: a body's JSON", |bench| bench.iter(|| json_body::parse(black_box(BODY.as_bytes()))));
    let fields: Map<String, Value> = json_body::parse(BODY.as_bytes()).expect("the body is JSON");
    let blank = Customer::default();
    criterion.bench_function("input: a customer out of it, every rule checked", |bench| {
        bench.iter(|| json_body::ValueReader::default().merge(&blank, black_box(&fields)));
    });
}

fn serialise(criterion: &mut Criterion) {
    let fields = json_body::parse(BODY.as_bytes()).expect("the body is JSON");
    let customer =
        json_body::ValueReader::default().merge(&Customer::default(), &fields).expect("the body is a customer");
    criterion.bench_function("serialise: a customer as JSON", |bench| {
        bench.iter_batched(
            || Vec::with_capacity(1024),
            |mut text| values::json::write(&mut text, black_box(&customer)).map(|()| text),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("serialise: a refusal", |bench| {
        bench.iter(|| json!({"message": black_box("There is no such resource."), "error": "not_found"}).to_string());
    });
}

criterion_group!(steps, host, route, token, input, serialise);
criterion_main!(steps);
