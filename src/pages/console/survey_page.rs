//! The answers to a survey: for each score a bar for each value, and the means by agent.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::display::{self, plain};
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use super::{detail_page, query};
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;
use crate::values::Language;

pub const ROUTES: &[Route] = &[get(
    "/ui/routing/{account}/surveys/{id}/summary",
    &run(page),
    Needs::Permission("routing.view"),
    "Show the answers to a survey as a page",
)];

const SURVEYS: &str = "/smart-routings/surveys";
const SUMMARY: &str = "/smart-routings/surveys/{id}/summary";
const SCORES: [&str; 3] = ["score_1", "score_2", "score_3"];

#[derive(Template)]
#[template(path = "console/survey.html")]
struct SurveyPage<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    survey: String,
    from: String,
    to: String,
    problems: Vec<String>,
    count: String,
    scores: Vec<Score>,
    agents: Vec<Agent>,
}

struct Score {
    label: String,
    count: i64,
    mean: String,
    values: Vec<(String, i64)>,
}

struct Agent {
    name: String,
    count: String,
    means: Vec<String>,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = &PageCtx::of_turn(ctx);
    let [account, _] = page.request.path_values.as_slice() else { return Err(Error::not_found()) };
    let surveys = page.collection(SURVEYS)?;
    let place = Place::of(surveys, page.request);
    let survey = detail_page::read(page, surveys, &place)?.body;
    let field = |name: &str| page.query(name).unwrap_or_default().trim().to_owned();
    let (from, to) = (field("from"), field("to"));
    let asked = [("customer_account", account.as_str()), ("from", &from), ("to", &to)];
    let asked: Vec<_> = asked.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let frame = Frame::of(page)?;
    let words = frame.words;
    let (sum, problems) = match page.send(place.address(InnerRequest::get(SUMMARY)).with_query(query(&asked))) {
        Ok(found) => (found.body, Vec::new()),
        Err(error @ Error::Invalid(_)) => (Value::Null, words.problems(&error)),
        Err(error) => return Err(error),
    };
    let scores: Vec<&str> = SCORES.into_iter().filter(|score| sum[score]["count"].as_i64() > Some(0)).collect();
    let agents = sum["agents"].as_array().into_iter().flatten();
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let rendered = SurveyPage {
        words,
        name: surveys.title(&survey),
        survey: place.page(surveys),
        from,
        to,
        problems,
        count: display::count(words, sum["count"].as_i64().unwrap_or_default()),
        agents: agents.map(|agent| agent_of(words, agent, &scores)).collect(),
        scores: scores.iter().map(|score| score_of(words, score, &sum[score])).collect(),
        frame: &frame,
    };
    frame.html(status, &rendered)
}

fn score_of(words: Translations, name: &str, sum: &Value) -> Score {
    let values = sum["distribution"].as_object().into_iter().flatten();
    let mut values: Vec<(String, i64)> =
        values.map(|(value, count)| (value.clone(), count.as_i64().unwrap_or_default())).collect();
    // Numbers in their order, before texts.
    values.sort_by_cached_key(|(value, _)| {
        (value.parse::<f64>().map_or(i64::MAX, |score| (score * 1e6) as i64), value.clone())
    });
    Score {
        label: words.score(name.trim_start_matches("score_")),
        count: sum["count"].as_i64().unwrap_or_default(),
        mean: mean(words, &sum["mean"]),
        values,
    }
}

fn agent_of(words: Translations, agent: &Value, scores: &[&str]) -> Agent {
    let name = [plain(&agent["agent_extension"]), plain(&agent["agent_name"])].join(" ");
    Agent {
        name: if name.trim().is_empty() { words.no_agent() } else { name.trim().to_owned() },
        count: display::count(words, agent["count"].as_i64().unwrap_or_default()),
        means: scores.iter().map(|score| mean(words, &agent[score]["mean"])).collect(),
    }
}

/// A mean with one decimal: `4.2`, `4,2`. Empty, if no score is a number.
pub fn mean(words: Translations, mean: &Value) -> String {
    let Some(mean) = mean.as_f64() else { return String::new() };
    let written = format!("{mean:.1}");
    if words.0 == Language::French { written.replace('.', ",") } else { written }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{RoutingClient, TestBrowser, TestServer};

    #[test]
    fn a_survey_shows_each_value_of_a_score_and_the_means_by_agent() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/surveys", json!({"name": "After the call"}));
        for (score, agent, at) in [
            ("10", "Ada", "2027-03-29T10:00:00Z"),
            ("9", "Ada", "2027-03-30T10:00:00Z"),
            ("2", "Zoé", "2027-03-30T11:00:00Z"),
        ] {
            let record = json!({"survey_id": 1, "score_1": score, "agent_name": agent, "datetime": at});
            routing.create("/survey-records", record);
        }
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter");
        let page = format!("http://acme.localhost/ui/routing/{}/surveys/1/summary", routing.account);
        browser.go(&page);
        for shown in ["After the call", "Score 1", "7.0", "Ada", "9.5", "Zoé", "max=\"3\" value=\"1\""] {
            assert!(browser.page.text.contains(shown), "{shown}: {browser:?}");
        }
        let place = |value: &str| browser.page.text.find(&format!("<th scope=\"row\">{value}</th>")).unwrap();
        assert!(place("2") < place("9") && place("9") < place("10"), "numbers are in their order");
        assert!(!browser.page.text.contains("Score 2"));
        browser.go(&format!("{page}?from=2027-03-30&to=2027-03-30"));
        assert!(browser.page.text.contains("5.5"), "{browser:?}");
        browser.go(&format!("{page}?from=never"));
        assert_eq!(browser.page.status, 422);
        browser.go(&format!("{page}?from=2028-01-01"));
        assert!(browser.page.text.contains("No answer in this time"), "{browser:?}");
    }
}
