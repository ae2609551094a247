//! Generators of unusual and almost valid input.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Texts that have broken parsers, and some that are valid in many places.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    "\u{feff}",
    "\u{85}",
    "\u{202e}abc",
    "e\u{301}",
    "\u{1f1eb}\u{1f1f7}",
    "ß",
    "İ",
    "ﬁ",
    "\u{10ffff}",
    "null",
    "true",
    "0",
    "-1",
    "1e9",
    "NaN",
    "0x10",
    "9223372036854775807",
    "9223372036854775808",
    "1.0",
    " 1",
    "+1",
    "'",
    "\"",
    "\\",
    "%",
    "_",
    "*",
    "%00",
    "%2e%2e%2f",
    "..",
    "../../etc/passwd",
    "..\\..",
    "/",
    "//",
    "C:\\",
    "a/b",
    ";",
    ",",
    "\r\n",
    "\t",
    "\n",
    "<script>",
    "{{7*7}}",
    "${x}",
    "' OR 1=1 --",
    "\") OR 1=1",
    "AND",
    "NEAR(a b)",
    "a*",
    "\"a",
    "name:a",
    "^a",
    "ada@example.com",
    "ADA@EXAMPLE.COM",
    "@",
    "a@b",
    "owner@example.com",
    "+33142000000",
    "01 42 00 00 00",
    "+",
    "tel:+331",
    "0000",
    "2024-01-20T12:00:00Z",
    "2024-02-30",
    "2024-02-29",
    "9999-12-31T23:59:60Z",
    "-0001-01-01",
    "0000-00-00T00:00:00Z",
    "262144-01-01T00:00:00Z",
    "2024-01-20T12:00:00+99:99",
    "24:00",
    "23:59",
    "00:00:60",
    "Europe/Paris",
    "../UTC",
    "FR",
    "fr-FR",
    "xx",
    "https://example.com/",
    "http://[::1]:1/",
    "javascript:alert(1)",
    "https://a@b:c@d/",
    "https://exa mple.com",
    "file:///etc/passwd",
    "00000000-0000-0000-0000-000000000000",
    "inbound",
    "outbound",
    "admin",
    "customer.view",
    "*",
    "customer.*",
    "call_queue",
    "authorization_code",
    "client_credentials",
    "refresh_token",
    "client crm",
    "192.0.2.1",
    "10.0.0.0/8",
    "::/0",
    "localhost",
];

const NUMBERS: &[f64] =
    &[0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 7.0, 0.5, 1e15, 9007199254740993.0, 1e19, -1e19, 1e308, -1e308, 5e-324];

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(TEXTS).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => (select(TEXTS), select(TEXTS)).prop_map(|(one, other)| format!("{one}{other}")),
        1 => (select(vec!["a", "é", "1", " ", "\"", "[", "a "]), 100..6000_usize).prop_map(|(part, many)| part.repeat(many)),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => select(NUMBERS).prop_map(Value::from),
        2 => (-3..10_i64).prop_map(Value::from),
        1 => select(vec![json!(i64::MAX), json!(i64::MIN), json!(u64::MAX)]),
        6 => text().prop_map(Value::from),
    ]
}

pub fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// A corruption of a text: at `at` thousandths of its bytes, `cut` bytes are replaced by `put`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slip {
    at: u16,
    cut: u8,
    put: String,
}

pub fn slip() -> impl Strategy<Value = Slip> {
    let parts = vec![
        "",
        "\"",
        "\\",
        "\\ud800",
        "\\udc00\\ud800",
        "\\u0000",
        "\0",
        "{",
        "[",
        "]",
        "}",
        ",",
        ":",
        "1e999",
        "-",
        "1",
        "null",
        "é",
        "\"a\":1,",
        "=",
        "&",
        ".",
        "A",
        "_",
        " ",
        "\r\n",
        ";",
        "'",
        "%",
        "\u{feff}",
    ];
    let put =
        prop_oneof![8 => select(parts).prop_map(str::to_owned), 1 => (1..9000_usize).prop_map(|many| "[".repeat(many))];
    (0..=1000_u16, 0..6_u8, put).prop_map(|(at, cut, put)| Slip { at, cut, put })
}

/// Applies corruptions to a text. The result may not be UTF-8.
pub fn slipped(text: &str, slips: &[Slip]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for Slip { at, cut, put } in slips {
        let from = bytes.len() * usize::from(*at) / 1000;
        let to = (from + usize::from(*cut)).min(bytes.len());
        bytes.splice(from..to, put.bytes());
    }
    bytes
}

/// Encodes a text for a query.
pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Whether this is a valid request target. hyper accepts at most 65,534 bytes, and no invalid characters.
pub fn is_target(path: &str) -> bool {
    http::Uri::try_from(format!("/api{path}")).is_ok()
}
