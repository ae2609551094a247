//! Survey records: the responses of one caller after one call.

use std::borrow::Cow;
use std::ops::Deref;

use rusqlite::Connection;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::surveys::Survey;
use crate::api::crud::{create, export, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label, quick_filter};
use crate::api::{Error, Needs, Result, Route, delete, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::values::{RowId, Text, Timestamp};

pub const RESOURCE: Resource = Resource::new("Survey records", "Responses of one caller after one call.", ROUTES)
    .french("Réponses aux enquêtes")
    .section(Section::Routing)
    .entity::<SurveyRecord>()
    .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["caller", "datetime"],
    columns: &["datetime", "caller", "survey_id", "score_1", "score_2", "score_3", "agent_name"],
    groups: &[
        group(
            "Response",
            "Réponse",
            &["survey_id", "caller", "datetime", "score_1", "score_2", "score_3", "customer_id"],
        ),
        group("Agent", "Agent", &["agent_name", "agent_extension"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("survey_id", Widget::Link("/smart-routings/surveys")),
        ("caller", Widget::Phone),
    ],
    quick_filters: &[quick_filter("Today", "Aujourd’hui", "filter[datetime][on]={today}")],
    purpose: label("What callers answered, one entry for each call.", "Les réponses des appelants, une par appel."),
    singular: label("response", "une réponse"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/survey-records",
        &run(list::<SurveyRecord>),
        Needs::Scoped("routing.view"),
        "List survey records",
    ),
    get(
        "/smart-routings/survey-records/export",
        &run(export::<SurveyRecord>),
        Needs::Scoped("routing.view"),
        "Export survey records as JSON or CSV",
    ),
    get(
        "/smart-routings/survey-records/{id}",
        &run(show::<SurveyRecord>),
        Needs::Scoped("routing.view"),
        "Show a survey record",
    ),
    post(
        "/smart-routings/survey-records",
        &run(create::<SurveyRecord>),
        Needs::Scoped("routing.create"),
        "Create a survey record",
    ),
    put(
        "/smart-routings/survey-records/{id}",
        &run(update::<SurveyRecord>),
        Needs::Scoped("routing.update"),
        "Change a survey record",
    ),
    delete(
        "/smart-routings/survey-records/{id}",
        &run(remove::<SurveyRecord>),
        Needs::Scoped("routing.delete"),
        "Delete a survey record",
    ),
];

entity! {
    /// One caller's responses to a survey after one call.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct SurveyRecord in "survey_records" {
        /// Id of the customer that owns the record.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Id of a survey of the same customer.
        pub survey_id: RowId => integer, "Survey", "Enquête";
        /// The caller who responded, for example a phone number.
        #[schemars(example = &"+33612345678")]
        pub caller: Option<Text<255>> => text.sorted_by("fold(caller)"), "Caller", "Appelant";
        /// First score. Numbers are stored as text.
        pub score_1: Option<Score> => text, "Score 1", "Note 1";
        /// Second score.
        pub score_2: Option<Score> => text, "Score 2", "Note 2";
        /// Third score.
        pub score_3: Option<Score> => text, "Score 3", "Note 3";
        /// Extension of the agent who took the call.
        #[schemars(example = &"101")]
        pub agent_extension: Option<Text<32>> => text.sorted(), "Extension", "Poste";
        /// Name of the agent who took the call.
        pub agent_name: Option<Text<255>> => text.sorted_by("fold(agent_name)"), "Agent", "Agent";
        /// Time of the response (UTC). Defaults to the time of creation.
        pub datetime: Option<Timestamp> => moment.sorted(), "Time", "Date et heure";
    }
    recorded: &Recorded::announced("survey-record", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["caller", "agent_extension", "agent_name", "score_1", "score_2", "score_3"])];
}

/// Text of at most 64 characters. A number is accepted and stored as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Score(Text<64>);

pub const SURVEY: &str = "survey_id";

impl Entity for SurveyRecord {
    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        self.datetime = self.datetime.or(Some(self.created_at));
        let survey = Survey::find(db, self.survey_id.get())?;
        let own = survey.filter(|survey| survey.customer_id == self.customer_id);
        own.map(|_| ()).ok_or_else(|| Error::invalid("The selected survey id is invalid."))
    }
}

impl Editable for SurveyRecord {}

/// Calls `work` for each record of a survey, oldest first. Both ends of the period are included.
pub fn each_between(
    db: &Connection,
    survey: i64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    mut work: impl FnMut(SurveyRecord),
) -> Result<()> {
    let sql = format!(
        "SELECT {} FROM survey_records WHERE survey_id = ?1 AND datetime BETWEEN ?2 AND ?3 ORDER BY datetime, id",
        SurveyRecord::COLUMNS
    );
    let (from, to) = (from.map_or(i64::MIN, Timestamp::seconds), to.map_or(i64::MAX, Timestamp::seconds));
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query_map((survey, from, to), SurveyRecord::from_columns)?;
    Ok(rows.try_for_each(|record| record.map(&mut work))?)
}

impl Deref for Score {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(input)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(de::Error::custom("must be a string.")),
        };
        Text::parse(text).map(Self).map_err(de::Error::custom)
    }
}

impl ToSql for Score {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Score {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Text::column_result(value).map(Self)
    }
}

impl JsonSchema for Score {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Score".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Text<64>>()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn a_score_is_text_and_a_number_becomes_one() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let survey = routing.create("/surveys", json!({"name": "S"}));
        let record = json!({"survey_id": survey, "score_1": 5, "score_2": 4.5, "score_3": "05"});
        let made = routing.post("/survey-records", record).created();
        assert_eq!((&made["score_1"], &made["score_2"], &made["score_3"]), (&json!("5"), &json!("4.5"), &json!("05")));
        assert_eq!(made["datetime"], made["created_at"]);
        for bad in [json!(true), json!([1]), json!({})] {
            let refused = routing.post("/survey-records", json!({"survey_id": survey, "score_1": bad}));
            refused.invalid(&["The score 1 must be a string."]);
        }
        routing.post("/survey-records", json!({})).invalid(&["The survey id field is required."]);
    }

    #[test]
    fn a_record_is_of_a_survey_of_its_customers() {
        let server = TestServer::new();
        let (routing, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let (survey, theirs) =
            (routing.create("/surveys", json!({"name": "S"})), other.create("/surveys", json!({"name": "O"})));
        let invalid = &["The selected survey id is invalid."];
        routing.post("/survey-records", json!({"survey_id": theirs})).invalid(invalid);
        routing.post("/survey-records", json!({"survey_id": 99})).invalid(invalid);
        let record = routing.create("/survey-records", json!({"survey_id": survey}));
        routing.put(&format!("/survey-records/{record}"), json!({"survey_id": theirs})).invalid(invalid);
        assert_eq!(routing.get(&format!("/survey-records/{record}")).ok()["survey_id"], survey);
    }

    #[test]
    fn records_are_found_by_what_they_say_and_when() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let (first, second) =
            (routing.create("/surveys", json!({"name": "S"})), routing.create("/surveys", json!({"name": "O"})));
        let record = |survey: i64, caller: &str, extension: &str, day: i32| {
            let datetime = format!("2024-01-{day:02}T12:00:00Z");
            let record =
                json!({"survey_id": survey, "caller": caller, "agent_extension": extension, "datetime": datetime});
            routing.create("/survey-records", record)
        };
        let one = record(first, "+33 1 42 00 00 00", "204", 1);
        let two = record(first, "anonymous", "205", 2);
        let three = record(second, "+33 6 12 34 56 78", "204", 3);
        for (query, found) in [
            (format!("survey_id={first}"), vec![one, two]),
            ("agent_extension=204".into(), vec![one, three]),
            ("caller=ANON".into(), vec![two]),
            ("datetime=2024-01-02".into(), vec![two]),
            ("datetime[gte]=2024-01-02".into(), vec![two, three]),
            ("datetime[gte]=2024-01-02&datetime[lte]=2024-01-02".into(), vec![two]),
            ("filter[datetime][lte]=2024-01-01T12:00:00Z".into(), vec![one]),
            ("term=204%20%2B33".into(), vec![one, three]),
            ("sort=-datetime".into(), vec![three, two, one]),
        ] {
            assert_eq!(routing.ids(&format!("/survey-records?{query}")), found, "{query}");
        }
        let exported = routing.get("/survey-records/export?agent_extension=205").ok();
        assert_eq!((exported.as_array().unwrap().len(), &exported[0]["id"]), (1, &json!(two)));
        let many = format!("/survey-records?term={}", vec!["a"; 21].join("+"));
        routing.get(&many).invalid(&["The term filters may not have more than 20 words and 100 characters in all."]);
    }
}
