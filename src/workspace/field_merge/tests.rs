use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::tests::TestServer;
use crate::workspace::contacts::Contact;

const NUMBERS: [&str; 6] =
    ["phone_business_1", "phone_business_2", "phone_mobile_1", "phone_mobile_2", "phone_home_1", "fax"];

/// Whose value each field of a contact gets.
fn choices(of: &[(&str, FieldChoice)]) -> FieldChoices {
    of.iter().map(|(name, choice)| ((*name).to_owned(), *choice)).collect()
}

fn contact(fields: &Value) -> Contact {
    let mut body = json!({"last_name": "Nobody"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(body).unwrap()
}

/// The merged contact as JSON, or the sentences of the rejection.
fn merge(server: &TestServer, kept: &Value, other: &Value, of: &FieldChoices) -> Result<Value, Vec<String>> {
    let (kept, other, of) = (contact(kept), contact(other), of.clone());
    server.in_file(move |db| {
        Ok(match merged(db, &kept, &other, &of) {
            Ok(merged) => Ok(serde_json::to_value(merged).unwrap()),
            Err(error) => Err(error.messages()),
        })
    })
}

#[test]
fn without_a_choice_nothing_is_lost() {
    let server = TestServer::new();
    let kept = json!({
        "last_name": "Martin", "company": "Acme", "phone_mobile_1": "06 12 34 56 78", "fax": "01 42 00 00 09",
        "comment": "Likes tea.", "custom_fields": {"tier": "gold", "seats": null},
    });
    let other = json!({
        "last_name": "MARTIN", "first_name": "Zoé", "company": "Acme SA", "email": "zoe@example.com",
        "phone_mobile_1": "+33 6 99 99 99 99", "phone_home_1": "+33612345678", "phone_business_1": "01 42 00 00 00",
        "comment": "Calls on Mondays.", "custom_fields": {"tier": "silver", "seats": 3, "size": "L"},
    });
    let merged = merge(&server, &kept, &other, &FieldChoices::new()).unwrap();
    for (field, value) in [
        ("last_name", json!("Martin")),
        ("first_name", json!("Zoé")),
        ("company", json!("Acme")),
        ("email", json!("zoe@example.com")),
        ("phone_mobile_1", json!("06 12 34 56 78")),
        ("phone_mobile_2", json!("+33 6 99 99 99 99")),
        ("phone_business_1", json!("01 42 00 00 00")),
        // The same number is there already.
        ("phone_home_1", json!(null)),
        ("fax", json!("01 42 00 00 09")),
        ("comment", json!("Likes tea.\n\nCalls on Mondays.")),
        ("custom_fields", json!({"tier": "gold", "seats": 3, "size": "L"})),
    ] {
        assert_eq!(merged[field], value, "{field}");
    }
}

#[test]
fn a_choice_is_for_one_record_or_for_both() {
    let server = TestServer::new();
    let kept = json!({"company": "Acme", "email": "a@example.com", "comment": "One.", "phone_home_1": "0142000000"});
    let other = json!({"company": "Bcme", "comment": "Two.", "phone_home_1": "0143000000", "role": "CEO"});
    let of = choices(&[
        ("company", FieldChoice::OTHER),
        ("email", FieldChoice::OTHER),
        ("comment", FieldChoice::KEPT),
        ("role", FieldChoice::KEPT),
        ("phone_home_1", FieldChoice::OTHER),
    ]);
    let merged = merge(&server, &kept, &other, &of).unwrap();
    for (field, value) in [
        ("company", json!("Bcme")),
        ("email", json!(null)),
        ("comment", json!("One.")),
        ("role", json!(null)),
        ("phone_home_1", json!("0143000000")),
        ("phone_business_1", json!(null)),
    ] {
        assert_eq!(merged[field], value, "{field}");
    }
    let both = choices(&[("phone_home_1", FieldChoice::BOTH)]);
    assert_eq!(merge(&server, &kept, &other, &both).unwrap()["phone_business_1"], "0143000000");
}

#[test]
fn what_cannot_be_merged_is_named() {
    let server = TestServer::new();
    let (kept, other) = (json!({"fax": "0142000000"}), json!({"fax": "0143000000"}));
    let no_choice = FieldChoices::new();
    let said = "The fax fits in no free field: 0143000000. Choose one of the two numbers.";
    assert_eq!(merge(&server, &kept, &other, &no_choice).unwrap_err(), [said]);
    let chosen = choices(&[("fax", FieldChoice::KEPT)]);
    assert_eq!(merge(&server, &kept, &other, &chosen).unwrap()["fax"], "0142000000");

    let of = choices(&[("shoe_size", FieldChoice::KEPT), ("id", FieldChoice::OTHER), ("company", FieldChoice::BOTH)]);
    let said = [
        "The company cannot be both values.",
        "The selected fields id is invalid.",
        "The selected fields shoe_size is invalid.",
    ];
    assert_eq!(merge(&server, &kept, &kept, &of).unwrap_err(), said);

    let long = |letter: &str| json!({"comment": letter.repeat(6000)});
    let said = "The comment may not be greater than 10000 characters.";
    assert_eq!(merge(&server, &long("a"), &long("b"), &no_choice).unwrap_err(), [said]);
    merge(&server, &long("a"), &long("b"), &choices(&[("comment", FieldChoice::OTHER)])).unwrap();
    // A blank choice of a required field is the rule of that field.
    assert_eq!(merge(&server, &json!({}), &json!({"last_name": "B"}), &no_choice).unwrap()["last_name"], "Nobody");
}

/// A value of each field, or none.
fn some_contact() -> impl Strategy<Value = Value> {
    let number = prop::sample::select(vec![
        None,
        Some("0142000000"),
        Some("+33 1 42 00 00 00"),
        Some("0143000000"),
        Some("0144000000"),
        Some("204"),
        Some("ask Zoé"),
        Some("0142000000 / 0143000000"),
    ]);
    let text = prop::sample::select(vec![None, Some("one"), Some("two"), Some("One")]);
    (prop::collection::vec(number, NUMBERS.len()), prop::collection::vec(text, 4)).prop_map(|(numbers, texts)| {
        let mut contact = json!({
            "company": texts[0], "role": texts[1], "comment": texts[2], "last_name": texts[3].unwrap_or("three"),
        });
        for (field, number) in NUMBERS.iter().zip(numbers) {
            contact[field] = json!(number);
        }
        contact
    })
}

/// All numbers of a contact.
fn keys(contact: &Value) -> Vec<String> {
    let country = crate::values::phone::country("FR").unwrap();
    NUMBERS.iter().filter_map(|field| contact[field].as_str()).flat_map(|text| phones::keys(text, country)).collect()
}

proptest! {
    #![proptest_config(Config { cases: 300, ..Config::default() })]

    #[test]
    fn no_number_is_lost_and_none_is_added(kept in some_contact(), other in some_contact()) {
        let server = shared();
        match merge(server, &kept, &other, &FieldChoices::new()) {
            Ok(merged) => {
                let (mut before, mut after) = ([keys(&kept), keys(&other)].concat(), keys(&merged));
                before.sort();
                before.dedup();
                after.sort();
                let own = keys(&kept).len();
                after.dedup();
                prop_assert_eq!(&before, &after, "{}", merged);
                for field in NUMBERS {
                    if !kept[field].is_null() {
                        prop_assert_eq!(&merged[field], &kept[field], "{} {}", field, own);
                    }
                }
            }
            Err(said) => {
                prop_assert!(said.iter().all(|said| said.contains("fits in no free field")), "{:?}", said);
                // There are more numbers than fields.
                let count = |record: &Value| NUMBERS[..5].iter().filter(|field| !record[**field].is_null()).count();
                let is_full = count(&kept) + count(&other) > 5;
                prop_assert!(is_full || (!kept["fax"].is_null() && !other["fax"].is_null()), "{:?}", said);
            }
        }
    }

    #[test]
    fn mirrored_choices_make_the_same_record(
        one in some_contact(),
        two in some_contact(),
        of_other in prop::collection::vec(any::<bool>(), 10),
    ) {
        let server = shared();
        let fields = NUMBERS.iter().chain(&["company", "role", "comment", "last_name"]);
        let sides = |mirrored: bool| -> FieldChoices {
            let side = |of_other: bool| if of_other == mirrored { FieldChoice::KEPT } else { FieldChoice::OTHER };
            fields.clone().zip(&of_other).map(|(field, of_other)| ((*field).to_owned(), side(*of_other))).collect()
        };
        prop_assert_eq!(merge(server, &one, &two, &sides(false)), merge(server, &two, &one, &sides(true)));
    }
}

fn shared() -> &'static TestServer {
    static SERVER: std::sync::OnceLock<TestServer> = std::sync::OnceLock::new();
    SERVER.get_or_init(TestServer::new)
}
