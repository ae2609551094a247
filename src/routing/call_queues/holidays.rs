//! Holidays: exceptions that are created as holidays, one by one or as the public holidays of a country in a year.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::calendars::{self, Country};
use super::create_many::CreatedMany;
use super::exceptions::RoutingException;
use super::parents::PARENTS;
use super::parents::{self, OfParent, ParentType};
use crate::api::crud;
use crate::api::field::{Field, labelled};
use crate::api::json_body::ValueReader;
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{
    BodyKind, Ctx, Error, Input, List, Needs, Ok200, Operation, Page, Query, Request, Result, Route, Saved, get,
    json_body, post, run,
};
use crate::routing::customer_param::CustomerParam;
use crate::values::{Day, FullDate, RowId, Text, UniqueList};

pub const RESOURCE: Resource =
    Resource::new("Holidays", "Exceptions for public holidays, one by one or for a whole year.", ROUTES)
        .french("Jours fériés")
        .section(Section::Routing)
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("customer_id", "Customer", "Client"),
    labelled("exceptionable_id", "Queue or group", "File ou groupe"),
    labelled("exceptionable_type", "Of", "Rattachement"),
    labelled("reference", "Reference", "Référence"),
    labelled("label", "Label", "Libellé"),
    labelled("destination", "Destination", "Destination"),
    labelled("day", "Day", "Jour"),
    labelled("holiday", "Holiday", "Jour férié"),
    labelled("country", "Country", "Pays"),
    labelled("region", "Region", "Région"),
    labelled("year", "Year", "Année"),
    labelled("days", "Days", "Jours"),
    labelled("regions", "Regions", "Régions"),
    labelled("holidays", "Holidays", "Jours fériés"),
];

const VIEW: ResourceView = ResourceView {
    title: &["day", "label"],
    columns: &["day", "label", "exceptionable_id", "destination", "reference"],
    groups: &[
        group("Of", "Rattachement", &["exceptionable_type", "exceptionable_id", "customer_id"]),
        group("Of a country", "D’un pays", &["country", "region", "year"]),
        group("One day", "Un seul jour", &["day", "label"]),
        group("Where", "Où", &["destination", "reference"]),
    ],
    widgets: &[
        ("customer_id", Widget::Link("/customers")),
        ("exceptionable_id", Widget::LinkBy("exceptionable_type", PARENTS)),
        ("holiday", Widget::Hidden),
        ("days", Widget::Hidden),
        ("regions", Widget::Hidden),
        ("holidays", Widget::Hidden),
    ],
    help: &[
        (
            "country",
            label(
                "Creates all public holidays of a country in a year.",
                "Crée tous les jours fériés d’un pays pour une année.",
            ),
        ),
        (
            "region",
            label(
                "A region with further holidays, for example FR-57, DE-BY or CH-ZH.",
                "Une région qui a d’autres jours fériés, par exemple FR-57, DE-BY ou CH-ZH.",
            ),
        ),
        (
            "day",
            label(
                "A date such as 2027-05-01, or a day of every year such as --05-01. Leave the country empty then.",
                "Une date comme 2027-05-01, ou un jour de chaque année comme --05-01. Laissez alors vide le pays.",
            ),
        ),
        (
            "destination",
            label(
                "Leave it empty for the default destination of the queue.",
                "Laissez vide pour la destination par défaut de la file.",
            ),
        ),
    ],
    purpose: label(
        "Public holidays on which a queue or a group is closed.",
        "Les jours fériés où une file ou un groupe est fermé.",
    ),
    singular: label("holiday", "un jour férié"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/call-queues/exceptions/holidays", &run(list), Needs::Scoped("routing.view"), "List holidays"),
    post(
        "/smart-routings/call-queues/exceptions/holidays",
        &run(create),
        Needs::Scoped("routing.create"),
        "Create a holiday, or the public holidays of a country",
    )
    .named("createHolidays"),
    get(
        "/smart-routings/call-queues/exceptions/holidays/calendar",
        &run(calendar),
        Needs::Scoped("routing.view"),
        "Show the public holidays of a country in a year, without creating them",
    )
    .named("showHolidayCalendar"),
];

/// One holiday (`day`), or the public holidays of a country in a year (`country` and `year`).
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("examples" = [{"exceptionable_id": 1, "exceptionable_type": "call_queue", "country": "FR", "year": 2027}]))]
pub struct NewHolidays {
    /// Id of the queue or group that the holidays belong to.
    exceptionable_id: RowId,
    /// Type of that parent.
    #[serde(deserialize_with = "parents::by_any_name")]
    exceptionable_type: ParentType,
    /// Free text, for example a reference in another system.
    reference: Option<Text<255>>,
    /// Display name of the holiday. Public holidays of a country have names of their own.
    label: Option<Text<255>>,
    /// Where calls go on these days. If null, they go to the queue's default destination.
    destination: Option<Text<255>>,
    /// A date (`2027-05-01`), or a day of every year (`--05-01`). Not allowed together with `country`.
    day: Option<Day>,
    /// Country whose public holidays are created.
    country: Option<Country>,
    /// Region of that country (ISO 3166-2), for example `FR-57`, `DE-BY` or `CH-ZH`. Its regional holidays are created
    /// too.
    region: Option<Text<16>>,
    /// Year of the public holidays. Required with `country`.
    #[serde(deserialize_with = "year")]
    #[schemars(schema_with = "year_schema")]
    year: Option<i16>,
    /// With `country`: create only these of its holidays. By default all.
    days: Option<UniqueList<FullDate>>,
}

/// The country, region and year of the holidays to show.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["country", "year"]))]
pub struct CalendarQuery {
    /// Country of the public holidays.
    #[schemars(required, example = &"FR")]
    country: Option<Country>,
    /// Region of that country (ISO 3166-2), for example `FR-57`, `DE-BY` or `CH-ZH`. Its regional holidays are shown too.
    region: Option<Text<16>>,
    /// Year of the public holidays.
    #[schemars(required, range(min = 1900, max = 2200), example = &2027)]
    year: Option<i64>,
}

/// The public holidays of a country, or of one of its regions, in a year.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HolidayCalendar {
    /// The country of the request.
    country: Country,
    /// The region, if the request names one.
    region: Option<Text<16>>,
    /// The year of the request.
    year: i16,
    /// Regions of the country that have holidays of their own.
    regions: Vec<&'static str>,
    /// The holidays, by date.
    holidays: Vec<PublicHoliday>,
}

/// A public holiday.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PublicHoliday {
    /// Date of the holiday.
    day: FullDate,
    /// Name in the main language of the country.
    label: String,
}

/// Years for which the calendar rules are valid.
pub const YEARS: std::ops::RangeInclusive<i16> = 1900..=2200;

fn year<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i16>, D::Error> {
    let year = Option::<i64>::deserialize(input)?;
    year.map(known_year).transpose().map_err(de::Error::custom)
}

fn known_year(year: i64) -> Result<i16, String> {
    let known = i16::try_from(year).ok().filter(|year| YEARS.contains(year));
    known.ok_or_else(|| format!("must be between {} and {}.", YEARS.start(), YEARS.end()))
}

fn year_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": ["integer", "null"], "minimum": YEARS.start(), "maximum": YEARS.end()})
}

/// Reads the body. The parent in the body takes precedence over that in the query.
impl Input for NewHolidays {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        let mut fields = json_body::parse(&request.body)?;
        parents::fill_in(&mut fields, request, RoutingException::PARENT);
        let new: Self = ValueReader::of(request).new_value(&fields)?;
        let wrong = match (&new.day, new.country, new.year) {
            (None, None, None) => "The day field is required when country is not present.",
            (_, Some(_), None) => "The year field is required when country is present.",
            (_, None, Some(_)) => "The country field is required when year is present.",
            (Some(_), Some(_), _) => "The day field is prohibited when country is present.",
            (_, None, _) if new.days.is_some() => "The country field is required when days is present.",
            (_, country, _) => {
                let region = region(new.region.as_deref().unwrap_or_default(), country).map_err(Error::invalid)?;
                return Ok(Self { region, ..new });
            }
        };
        Err(Error::invalid(wrong))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<Self>(&RoutingException::PARENT.map(str::to_owned));
    }
}

/// Normalizes a region code: `fr-57` and `57` become `FR-57`. None if the region is blank.
fn region(named: &str, country: Option<Country>) -> Result<Option<Text<16>>, String> {
    let named = named.trim().to_uppercase();
    if named.is_empty() {
        return Ok(None);
    }
    let country = country.ok_or("The country field is required when region is present.")?;
    let wanted = |code: &&str| *code == named || code.split_once('-').is_some_and(|(_, part)| part == named);
    if let Some(code) = calendars::regions(country).find(wanted) {
        return Text::parse(code.to_owned()).map(Some);
    }
    let known: Vec<&str> = calendars::regions(country).collect();
    Err(match known.as_slice() {
        [] => "The selected region is invalid; no region of this country has holidays of its own.".into(),
        known => format!("The selected region is invalid; it may be {}.", known.join(", ")),
    })
}

/// The created holiday, or all holidays created for a country.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum HolidaysMade {
    One(RoutingException),
    Many(CreatedMany<RoutingException>),
}

fn list(ctx: &mut Ctx<'_>, scope: CustomerParam, list: List<RoutingException>) -> Result<Page<RoutingException>> {
    crud::list(ctx, scope, list.restrict("holiday", true))
}

fn calendar(_: &mut Ctx<'_>, _: CustomerParam, Query(asked): Query<CalendarQuery>) -> Result<Ok200<HolidayCalendar>> {
    let (country, year) = match (asked.country, asked.year) {
        (Some(country), Some(year)) => (country, year),
        (None, _) => return Err(Error::invalid("The country field is required.")),
        (_, None) => return Err(Error::invalid("The year field is required.")),
    };
    let year = known_year(year).map_err(|said| Error::invalid(format!("The year {said}")))?;
    let region = region(asked.region.as_deref().unwrap_or_default(), Some(country)).map_err(Error::invalid)?;
    let holidays = calendars::in_year(country, region.as_deref(), year);
    let holidays = holidays.into_iter().map(|(date, label)| PublicHoliday { day: FullDate::of(date), label }).collect();
    Ok(Ok200(HolidayCalendar { country, region, year, regions: calendars::regions(country).collect(), holidays }))
}

fn create(ctx: &mut Ctx<'_>, scope: CustomerParam, new: NewHolidays) -> Result<Saved<HolidaysMade>> {
    let customer = scope.id(ctx)?;
    let (country, region, year, day) = (new.country, new.region, new.year, new.day);
    let holiday = RoutingException {
        exceptionable_id: new.exceptionable_id,
        exceptionable_type: new.exceptionable_type,
        reference: new.reference,
        label: new.label,
        destination: new.destination,
        day: day.unwrap_or_default(),
        holiday: true,
        ..RoutingException::default()
    };
    let (Some(country), Some(year)) = (country, year) else {
        return crud::create_for(ctx, Some(customer), holiday).map(|made| Saved(HolidaysMade::One(made)));
    };
    if let Some(wrong) = parents::problem(ctx.db, customer, &holiday)? {
        return Err(Error::invalid(wrong));
    }
    let mut all = calendars::in_year(country, region.as_deref(), year);
    if let Some(days) = &new.days {
        let is_holiday = |day: &FullDate| all.iter().any(|(date, _)| *date == day.date());
        if !days.iter().all(is_holiday) {
            return Err(Error::invalid("The selected days is invalid."));
        }
        all.retain(|(date, _)| days.iter().any(|day| day.date() == *date));
    }
    let mut made = Vec::new();
    for (date, name) in all {
        let new = RoutingException { day: date.into(), label: Text::parse(name).ok(), ..holiday.clone() };
        if !is_exception(ctx.db, &new)? {
            made.push(crud::create_for(ctx, Some(customer), new)?);
        }
    }
    Ok(Saved(HolidaysMade::Many(made.into())))
}

/// Whether the parent already has an exception for this day.
fn is_exception(db: &Connection, new: &RoutingException) -> Result<bool> {
    let sql = "SELECT 1 FROM routing_exceptions WHERE exceptionable_id = ?1 AND exceptionable_type = ?2 AND day = ?3";
    Ok(db.prepare_cached(sql)?.exists((new.exceptionable_id, new.exceptionable_type, &new.day))?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::tests::{RoutingClient, TestServer};

    const HOLIDAYS: &str = "/call-queues/exceptions/holidays";

    fn of_queue(mut body: Value) -> Value {
        (body["exceptionable_id"], body["exceptionable_type"]) = (json!(1), json!("App\\Models\\CallQueue"));
        body
    }

    #[test]
    fn a_holiday_is_of_the_parent_in_the_body_or_else_in_the_query() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        routing.create("/call-queues/groups", json!({"name": "G"}));
        let in_query = format!("{HOLIDAYS}?exceptionable_id=1&exceptionable_type=call_queue_group");
        let day = json!({"day": "2027-05-01", "label": "Fête", "destination": "801", "reference": "R"});
        let made = routing.post(&in_query, of_queue(day.clone())).created();
        assert_eq!((&made["exceptionable_type"], &made["holiday"]), (&json!("call_queue"), &json!(true)));
        for (field, value) in day.as_object().unwrap() {
            assert_eq!(&made[field], value, "{field}");
        }
        let nulls = json!({"day": "2027-05-01", "exceptionable_id": null});
        for body in [day, nulls] {
            assert_eq!(routing.post(&in_query, body).created()["exceptionable_type"], "call_queue_group");
        }
        routing
            .post(HOLIDAYS, json!({"day": "2027-05-01"}))
            .invalid(&["The exceptionable id field is required.", "The exceptionable type field is required."]);
        let theirs = RoutingClient::new(&server).create("/call-queues/queues", json!({"name": "Q"}));
        let foreign = json!({"exceptionable_id": theirs, "exceptionable_type": "call_queue"});
        for more in [json!({"day": "2027-05-01"}), json!({"country": "FR", "year": 2027})] {
            let mut body = foreign.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            routing.post(HOLIDAYS, body).invalid(&["The selected exceptionable id is invalid."]);
        }
    }

    #[test]
    fn the_public_holidays_of_a_country_are_made_at_once_but_for_days_that_are_taken() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        routing.create("/call-queues/groups", json!({"name": "G"}));
        let exception = "/call-queues/exceptions?exceptionable_id=1&exceptionable_type=call_queue";
        routing.create(exception, json!({"day": "2027-07-14", "label": "Ours"}));
        // A day of every year, or a day of another parent, does not count as this date.
        routing.create(exception, json!({"day": "--12-25"}));
        routing.create(&exception.replace("=call_queue", "=call_queue_group"), json!({"day": "2027-08-15"}));
        let wanted =
            of_queue(json!({"country": "FR", "year": 2027, "destination": "801", "reference": "R", "label": "x"}));
        let made = routing.post(HOLIDAYS, wanted.clone()).created();
        let days: Vec<(&str, &str)> = made["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["day"].as_str().unwrap(), row["label"].as_str().unwrap()))
            .collect();
        let expected = [
            ("2027-01-01", "Jour de l'An"),
            ("2027-03-29", "Lundi de Pâques"),
            ("2027-05-01", "Fête du Travail"),
            ("2027-05-06", "Ascension"),
            ("2027-05-08", "Victoire 1945"),
            ("2027-05-17", "Lundi de Pentecôte"),
            ("2027-08-15", "Assomption"),
            ("2027-11-01", "Toussaint"),
            ("2027-11-11", "Armistice 1918"),
            ("2027-12-25", "Noël"),
        ];
        assert_eq!((days.as_slice(), &made["created"], &made["response"]), (&expected[..], &json!(10), &json!("ok")));
        let first = &made["data"][0];
        assert_eq!(
            (&first["destination"], &first["reference"], &first["holiday"], &first["exceptionable_type"]),
            (&json!("801"), &json!("R"), &json!(true), &json!("call_queue"))
        );
        assert_eq!(routing.get(&format!("{HOLIDAYS}?per_page=500")).ok()["total"], 10);
        assert_eq!(routing.post(HOLIDAYS, wanted).created(), json!({"response": "ok", "created": 0, "data": []}));
        for country in ["BE", "CH", "DE", "LU"] {
            let group = json!({"exceptionable_id": 1, "exceptionable_type": "call_queue_group", "country": country, "year": 2200});
            assert!(routing.post(HOLIDAYS, group).created()["created"] != 0, "{country}");
        }
    }

    #[test]
    fn a_region_has_the_days_of_its_country_and_its_own() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let days = |country: &str, region: &str| {
            let queue = routing.create("/call-queues/queues", json!({"name": "Q"}));
            let wanted = json!({"exceptionable_id": queue, "exceptionable_type": "call_queue", "country": country,
                                "region": region, "year": 2027});
            let made = routing.post(HOLIDAYS, wanted).created();
            let days = made["data"].as_array().unwrap().iter().map(|row| row["day"].as_str().unwrap().to_owned());
            days.collect::<Vec<_>>()
        };
        let france = days("FR", "");
        for region in ["FR-57", "FR-67", "FR-68", "fr-57", " 68 "] {
            let mut alsace = days("FR", region);
            assert!(alsace.contains(&"2027-03-26".into()) && alsace.contains(&"2027-12-26".into()), "{region}");
            alsace.retain(|day| !["2027-03-26", "2027-12-26"].contains(&day.as_str()));
            assert_eq!(alsace, france);
        }
        assert!(days("DE", "DE-BY").contains(&"2027-01-06".into()));
        assert!(!days("DE", "DE-BE").contains(&"2027-01-06".into()));
        assert!(days("CH", "CH-ZH").contains(&"2027-03-26".into()));
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        for (body, says) in [
            (
                json!({"country": "FR", "region": "FR-75", "year": 2027}),
                "The selected region is invalid; it may be FR-57, FR-6AE, FR-67, FR-68, FR-971, FR-972, FR-973, FR-974, FR-976.",
            ),
            (
                json!({"country": "LU", "region": "LU-L", "year": 2027}),
                "The selected region is invalid; no region of this country has holidays of its own.",
            ),
            (json!({"day": "--05-01", "region": "FR-57"}), "The country field is required when region is present."),
            (json!({"day": "--05-01", "days": ["2027-05-01"]}), "The country field is required when days is present."),
            (
                json!({"country": "FR", "year": 2027, "days": ["2027-05-01", "2027-05-02"]}),
                "The selected days is invalid.",
            ),
        ] {
            routing.post(HOLIDAYS, of_queue(body)).invalid(&[says]);
        }
    }

    #[test]
    fn holidays_are_shown_before_they_are_made_and_some_of_them_can_be_left_out() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        let shown = routing.get(&format!("{HOLIDAYS}/calendar?country=FR&region=57&year=2027")).ok();
        assert_eq!((&shown["region"], &shown["regions"][1]), (&json!("FR-57"), &json!("FR-6AE")));
        assert!(routing.ids(HOLIDAYS).is_empty());
        let wanted = json!({"country": "FR", "region": "57", "year": 2027, "days": ["2027-12-26", "2027-05-01"]});
        let made = routing.post(HOLIDAYS, of_queue(wanted)).created();
        assert_eq!((&made["created"], &made["data"][0]["day"]), (&json!(2), &json!("2027-05-01")));
        let made = routing.post(HOLIDAYS, of_queue(json!({"country": "FR", "region": "57", "year": 2027}))).created();
        let all = shown["holidays"].as_array().unwrap();
        assert_eq!(made["created"], all.len() - 2);
        for row in routing.get(&format!("{HOLIDAYS}?per_page=500")).ok()["data"].as_array().unwrap() {
            assert!(all.contains(&json!({"day": row["day"], "label": row["label"]})), "{row}");
        }
        for (query, says) in [
            ("year=2027", "The country field is required."),
            ("country=FR", "The year field is required."),
            ("country=US&year=2027", "The selected country is invalid."),
            ("country=FR&year=1899", "The year must be between 1900 and 2200."),
            (
                "country=LU&year=2027&region=A",
                "The selected region is invalid; no region of this country has holidays of its own.",
            ),
        ] {
            routing.get(&format!("{HOLIDAYS}/calendar?{query}")).invalid(&[says]);
        }
    }

    #[test]
    fn what_is_wanted_is_a_day_or_a_country_in_a_year() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/call-queues/queues", json!({"name": "Q"}));
        for (body, says) in [
            (json!({}), "The day field is required when country is not present."),
            (json!({"country": "FR"}), "The year field is required when country is present."),
            (json!({"year": 2027}), "The country field is required when year is present."),
            (
                json!({"day": "--05-01", "country": "FR", "year": 2027}),
                "The day field is prohibited when country is present.",
            ),
            (json!({"country": "US", "year": 2027}), "The selected country is invalid."),
            (json!({"country": "FR", "year": 1899}), "The year must be between 1900 and 2200."),
            (json!({"country": "FR", "year": 70_000}), "The year must be between 1900 and 2200."),
            (json!({"country": "FR", "year": "soon"}), "The year must be an integer."),
            (json!({"day": "--02-30"}), "The day must be a valid date, like 2027-05-01 or --05-01."),
        ] {
            routing.post(HOLIDAYS, of_queue(body)).invalid(&[says]);
        }
        assert!(routing.ids(HOLIDAYS).is_empty());
    }
}
