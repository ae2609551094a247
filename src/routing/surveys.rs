//! Surveys of callers after a call, and summaries of their responses.

use std::collections::BTreeMap;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::customer_param::{CustomerParam, OptionalCustomer};
use super::survey_records::{self, SurveyRecord};
use crate::api::crud::{self, create, list, remove, show, update};
use crate::api::entity::{Editable, Entity, entity};
use crate::api::field::{Field, labelled};
use crate::api::list::List;
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{RecordLink, ResourceView, Widget, group, label, related};
use crate::api::{
    Ctx, Id, Needs, Ok200, Page, Query, Result, Route, delete, entity_rows, get, period_bound, post, put, run,
};
use crate::tenancy::ChangeRecorder;
use crate::tenancy::journal::Recorded;
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::values::{Name, Text, Timestamp};

pub const RESOURCE: Resource =
    Resource::new("Surveys", "Surveys of callers after a call, with a summary of the responses.", ROUTES)
        .french("Enquêtes")
        .section(Section::Routing)
        .entity::<Survey>()
        .more_fields(&[FIELDS])
        .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("from", "From", "Du"),
    labelled("to", "To", "Au"),
    labelled("survey", "Survey", "Enquête"),
    labelled("count", "Responses", "Réponses"),
    labelled("score_1", "Score 1", "Note 1"),
    labelled("score_2", "Score 2", "Note 2"),
    labelled("score_3", "Score 3", "Note 3"),
    labelled("agents", "Agents", "Agents"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "created_at", "updated_at"],
    groups: &[group("Survey", "Enquête", &["name", "customer_id"])],
    widgets: &[("customer_id", Widget::Link("/customers"))],
    related: &[related("Responses", "Réponses", "/smart-routings/survey-records", "survey_id")],
    affected_by_delete: &[related(
        "responses are deleted",
        "réponses sont supprimées",
        "/smart-routings/survey-records",
        "survey_id",
    )],
    purpose: label(
        "Questions that callers answer after a call.",
        "Les questions auxquelles les appelants répondent après un appel.",
    ),
    singular: label("survey", "une enquête"),
    record_links: &[RecordLink {
        label: label("Answers", "Réponses"),
        page: "/ui/routing/{account}/surveys/{id}/summary",
        only_if: &[],
    }],
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/surveys", &run(list::<Survey>), Needs::Scoped("routing.view"), "List surveys"),
    get(
        "/smart-routings/surveys/summaries",
        &run(summaries),
        Needs::Scoped("routing.view"),
        "List surveys with the figures of their records, of one customer or of all",
    )
    .named("listSurveySummaries"),
    get("/smart-routings/surveys/{id}", &run(show::<Survey>), Needs::Scoped("routing.view"), "Show a survey"),
    get(
        "/smart-routings/surveys/{id}/summary",
        &run(summary),
        Needs::Scoped("routing.view"),
        "Summarize a survey's records, in total and by agent",
    )
    .named("getSurveySummary"),
    post("/smart-routings/surveys", &run(create::<Survey>), Needs::Scoped("routing.create"), "Create a survey"),
    put("/smart-routings/surveys/{id}", &run(update::<Survey>), Needs::Scoped("routing.update"), "Change a survey"),
    delete(
        "/smart-routings/surveys/{id}",
        &run(remove::<Survey>),
        Needs::Scoped("routing.delete"),
        "Delete a survey and its records",
    ),
];

entity! {
    /// A survey that callers answer after a call.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct Survey in "surveys" {
        /// Id of the customer that owns the survey.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Display name of the survey.
        #[schemars(example = &"Satisfaction")]
        pub name: Name<255> => text.sorted_by("fold(name)"), "Name", "Nom";
    }
    recorded: &Recorded::announced("survey", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["name"])];
}

/// The period of the records to summarize. Both ends are included.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Period {
    /// Start of the period: a time, or a day in the workspace's time zone, for example `2024-01-20T12:00:00Z` or
    /// `2024-01-20`. Defaults to the first record.
    from: Text<40>,
    /// End of the period, in the same formats. A day counts to its end. Defaults to the last record.
    to: Text<40>,
}

/// Counts and averages of a survey's records.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SurveySummary {
    /// The survey.
    survey: Survey,
    /// Start of the period (UTC). Null if the request has none.
    from: Option<Timestamp>,
    /// End of the period (UTC). Null if the request has none.
    to: Option<Timestamp>,
    #[serde(flatten)]
    sum: Sum,
    /// The same figures for each agent, ordered by extension, then by name.
    agents: Vec<AgentSum>,
}

/// A survey, with counts and averages of its records.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SurveyFigures {
    /// The survey.
    survey: Survey,
    #[serde(flatten)]
    sum: Sum,
}

/// Counts and averages of one agent's records.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct AgentSum {
    /// Extension of the agent. Null for records without one: these are grouped by name.
    agent_extension: Option<Text<32>>,
    /// Name of the agent, from the newest record with this extension.
    agent_name: Option<Text<255>>,
    #[serde(flatten)]
    sum: Sum,
}

/// Counts and averages of some records.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Sum {
    /// Number of records.
    count: u64,
    /// Figures of `score_1`.
    score_1: ScoreSum,
    /// Figures of `score_2`.
    score_2: ScoreSum,
    /// Figures of `score_3`.
    score_3: ScoreSum,
}

/// Figures of one score.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ScoreSum {
    /// Number of records that have this score.
    count: u64,
    /// Average of the scores that are numbers. Null if none is.
    mean: Option<f64>,
    /// Number of records for each score text.
    distribution: BTreeMap<String, u64>,
    /// Number of scores that are numbers.
    #[serde(skip)]
    numbers: f64,
}

fn summaries(
    ctx: &mut Ctx<'_>,
    scope: OptionalCustomer,
    Query(period): Query<Period>,
    list: List<Survey>,
) -> Result<Ok200<Page<SurveyFigures>>> {
    let (from, to) = period.bounds(ctx.db)?;
    let surveys = scope.narrow(ctx, list)?.page(ctx)?;
    let figures = |survey: Survey| {
        let mut sum = Sum::default();
        survey_records::each_between(ctx.db, survey.id, from, to, |record| sum.take(&record))?;
        Ok(SurveyFigures { survey, sum })
    };
    surveys.map(figures).map(Ok200)
}

impl Period {
    fn bounds(&self, db: &Connection) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        let zone = WorkspaceLocale::of(db)?.zone;
        let (from, to) = (period_bound("from", &self.from, &zone)?, period_bound("to", &self.to, &zone)?);
        Ok((from.map(|(first, _)| first), to.map(|(_, last)| last)))
    }
}

fn summary(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    Id(id): Id,
    Query(period): Query<Period>,
) -> Result<Ok200<SurveySummary>> {
    let survey = crud::find::<Survey>(ctx, &scope, id)?;
    let (from, to) = period.bounds(ctx.db)?;
    let mut sum = Sum::default();
    let mut agents: BTreeMap<(Option<Text<32>>, Option<Text<255>>), AgentSum> = BTreeMap::new();
    survey_records::each_between(ctx.db, id, from, to, |record| {
        sum.take(&record);
        let (extension, name) = (record.agent_extension.clone(), record.agent_name.clone());
        let known_by = if extension.is_some() { (extension, None) } else { (None, name) };
        let agent = agents.entry(known_by).or_default();
        agent.agent_extension.clone_from(&record.agent_extension);
        agent.agent_name = record.agent_name.clone().or(agent.agent_name.take());
        agent.sum.take(&record);
    })?;
    Ok(Ok200(SurveySummary { survey, from, to, sum, agents: agents.into_values().collect() }))
}

impl Sum {
    fn take(&mut self, record: &SurveyRecord) {
        self.count += 1;
        self.score_1.take(record.score_1.as_deref());
        self.score_2.take(record.score_2.as_deref());
        self.score_3.take(record.score_3.as_deref());
    }
}

impl ScoreSum {
    fn take(&mut self, score: Option<&str>) {
        let Some(score) = score.map(str::trim).filter(|score| !score.is_empty()) else { return };
        self.count += 1;
        *self.distribution.entry(score.to_owned()).or_default() += 1;
        if let Some(number) = score.parse::<f64>().ok().filter(|number| number.is_finite()) {
            // A running mean: the sum of all numbers could overflow a float.
            self.numbers += 1.0;
            let mean = self.mean.unwrap_or_default();
            self.mean = Some(mean + (number / self.numbers - mean / self.numbers));
        }
    }
}

impl Entity for Survey {
    fn release(&self, db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
        entity_rows::delete_each::<SurveyRecord>(db, recorder, survey_records::SURVEY, self.id)
    }
}

impl Editable for Survey {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn a_summary_counts_and_averages_each_score_by_agent() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let (survey, other) =
            (routing.create("/surveys", json!({"name": "S"})), routing.create("/surveys", json!({"name": "O"})));
        for (day, extension, name, scores) in [
            (1, json!("204"), json!("Ada"), ["5", "yes", ""]),
            (2, json!("204"), json!("Ada L"), ["4", "no", " "]),
            (3, json!("204"), Value::Null, ["3.5", "yes", ""]),
            (4, Value::Null, json!("Zoé"), ["5", "", "n/a"]),
            (9, json!("205"), json!("Late"), ["1", "1", "1"]),
        ] {
            let record = json!({
                "survey_id": survey, "agent_extension": extension, "agent_name": name, "score_1": scores[0],
                "score_2": scores[1], "score_3": scores[2], "datetime": format!("2024-01-0{day}T12:00:00Z"),
            });
            routing.create("/survey-records", record);
        }
        routing.create("/survey-records", json!({"survey_id": other, "score_1": "9"}));
        let sum = |query: &str| routing.get(&format!("/surveys/{survey}/summary{query}")).ok();
        let score = |count: u64, mean: Value, distribution: Value| json!({"count": count, "mean": mean, "distribution": distribution});
        let none = score(0, Value::Null, json!({}));
        let week = sum("?from=2024-01-01&to=2024-01-04");
        assert_eq!((&week["survey"]["name"], &week["count"]), (&json!("S"), &json!(4)));
        assert_eq!((&week["from"], &week["to"]), (&json!("2023-12-31T23:00:00Z"), &json!("2024-01-04T22:59:59Z")));
        assert_eq!(week["score_1"], score(4, json!(4.375), json!({"3.5": 1, "4": 1, "5": 2})));
        assert_eq!(week["score_2"], score(3, Value::Null, json!({"no": 1, "yes": 2})));
        assert_eq!(week["score_3"], score(1, Value::Null, json!({"n/a": 1})));
        let agents = json!([
            {"agent_extension": null, "agent_name": "Zoé", "count": 1, "score_1": score(1, json!(5.0), json!({"5": 1})),
             "score_2": none, "score_3": score(1, Value::Null, json!({"n/a": 1}))},
            {"agent_extension": "204", "agent_name": "Ada L", "count": 3,
             "score_1": score(3, json!(12.5 / 3.0), json!({"3.5": 1, "4": 1, "5": 1})),
             "score_2": score(3, Value::Null, json!({"no": 1, "yes": 2})), "score_3": none},
        ]);
        assert_eq!(week["agents"], agents);
        assert_eq!((&sum("")["count"], &sum("?from=2024-01-09")["count"]), (&json!(5), &json!(1)));
        assert_eq!(sum("?to=2024-01-01T11:59:59Z")["count"], 0);
        assert_eq!(sum("?to=2024-01-01T12:00:00Z")["count"], 1);
        let bad = routing.get(&format!("/surveys/{survey}/summary?from=soon"));
        bad.invalid(&["The from must be a valid date and time, like 2024-01-20T12:00:00Z."]);
        RoutingClient::new(&server).get(&format!("/surveys/{survey}/summary")).rejected(404, "not_found");
    }

    #[test]
    fn the_figures_of_all_surveys_are_those_of_each() {
        let server = TestServer::new();
        let (one, other) = (RoutingClient::new(&server), RoutingClient::new(&server));
        let surveys = [one.create("/surveys", json!({"name": "S"})), other.create("/surveys", json!({"name": "O"}))];
        for (routing, survey, day, score) in [
            (&one, surveys[0], 1, "5"),
            (&one, surveys[0], 2, "4"),
            (&other, surveys[1], 2, "1"),
            (&one, surveys[0], 9, "3"),
        ] {
            let at = format!("2024-01-0{day}T12:00:00Z");
            routing.create("/survey-records", json!({"survey_id": survey, "score_1": score, "datetime": at}));
        }
        let period = "from=2024-01-01&to=2024-01-05";
        let all = server.admin().get(&format!("/smart-routings/surveys/summaries?sort=id&{period}")).ok();
        let rows = all["data"].as_array().unwrap();
        for (row, (routing, survey)) in rows.iter().zip([(&one, surveys[0]), (&other, surveys[1])]) {
            let single = routing.get(&format!("/surveys/{survey}/summary?{period}")).ok();
            for field in ["survey", "count", "score_1", "score_2", "score_3"] {
                assert_eq!(row[field], single[field], "{field}");
            }
        }
        assert_eq!((rows.len(), &rows[0]["count"], &rows[0]["score_1"]["mean"]), (2, &json!(2), &json!(4.5)));
        assert_eq!(other.get(&format!("/surveys/summaries?{period}")).ok()["total"], 1, "of one customer");
    }

    #[test]
    fn a_survey_goes_with_its_records() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let (survey, other) =
            (routing.create("/surveys", json!({"name": "S"})), routing.create("/surveys", json!({"name": "O"})));
        routing.create("/survey-records", json!({"survey_id": survey}));
        let stays = routing.create("/survey-records", json!({"survey_id": other}));
        routing.delete(&format!("/surveys/{survey}")).ok();
        assert_eq!(routing.ids("/survey-records"), [stays]);
        assert_eq!(server.admin().get("/audit-log?filter[action]=survey-record.deleted").ok()["total"], 1);
    }
}
