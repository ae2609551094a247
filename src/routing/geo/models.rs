//! Geo models: how a postcode or a number is read, cut and matched to a zone. They are built into the program and are
//! the same in every workspace.
//!
//! `models/models.json` lists the models and the sources of their data. The zones of each model are in a file of that
//! folder. Lists store model ids and zone codes: never remove or reuse one.

use std::collections::HashMap;
use std::sync::LazyLock;

use phonenumber::country::Id as Country;
use rusqlite::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::field::{Field, choice, integer, labelled, text, words};
use crate::api::list::{ListSpec, Listable};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, group, label};
use crate::api::{Ctx, Error, Id, List, Needs, Ok200, Page, Result, Route, get, run};
use crate::routing::customer_param::CustomerParam;
use crate::values::phone;

pub const RESOURCE: Resource =
    Resource::new("Geo models", "Rules that match a postcode or a number to a zone. They are built in.", ROUTES)
        .french("Modèles géographiques")
        .section(Section::Routing)
        .fields(FIELDS)
        .view(VIEW);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("name", "Name", "Nom"),
    labelled("max_length", "Characters compared", "Caractères comparés"),
    labelled("match_method", "Comparison", "Comparaison"),
    labelled("match_position", "From", "À partir de"),
    labelled("zones", "Zones", "Zones"),
    labelled("source", "Source", "Source"),
    labelled("year", "Year", "Année"),
];

const VIEW: ResourceView = ResourceView {
    title: &["name"],
    columns: &["name", "match_method", "match_position", "max_length", "source", "year"],
    groups: &[group(
        "Model",
        "Modèle",
        &["name", "match_method", "match_position", "max_length", "source", "year", "zones"],
    )],
    purpose: label(
        "Built-in rules that find the zone of a postcode or a number.",
        "Les règles prédéfinies qui trouvent la zone d’un code postal ou d’un numéro.",
    ),
    singular: label("geo model", "un modèle géographique"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get("/smart-routings/geo/models", &run(list), Needs::Scoped("routing.view"), "List geo models"),
    get("/smart-routings/geo/models/{id}", &run(show), Needs::Scoped("routing.view"), "Show a geo model and its zones"),
];

/// A geo model matches a value to a zone. It reads the value, keeps `max_length` characters from `match_position` and
/// compares them by `match_method`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GeoModel {
    /// Id of the geo model. It is the same in every workspace.
    pub id: i64,
    /// Display name of the geo model.
    pub name: String,
    /// Number of characters that are compared.
    pub max_length: usize,
    /// How the characters are compared with a zone.
    pub match_method: MatchMethod,
    /// Which end of the value the characters are taken from.
    pub match_position: MatchPosition,
    #[serde(skip_serializing)]
    #[schemars(skip)]
    reads: Reads,
    /// The zones of the model.
    #[serde(skip_deserializing)]
    pub zones: Vec<GeoZone>,
    /// Position of the zone for each text or prefix.
    #[serde(skip)]
    led_to: HashMap<String, usize>,
    /// Publisher of the zones.
    pub source: String,
    /// Year of the published data.
    pub year: i64,
}

/// How characters are compared with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchMethod {
    /// They are equal to a code or text of the zone.
    Exact,
    /// They begin with a code or text of the zone. The longest match wins.
    Prefix,
    /// They are a number within a range of the zone.
    Range,
}

/// The end of the value that the characters are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchPosition {
    Start,
    End,
}

/// A zone of a geo model.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GeoZone {
    /// Code of the zone, unique within the model.
    pub code: String,
    /// Display name of the zone.
    pub label: String,
    /// Texts, prefixes or ranges (`1000-1299`) that lead to this zone. If the shipped data has none, its code.
    #[serde(default, skip_serializing)]
    matches: Vec<String>,
}

/// How a value is read before it is cut.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reads {
    /// Letters and digits, in upper case: a postcode, or a number that is matched by its end.
    Text,
    /// A postcode of a country, in digits of any script. It may have the country letters in front. Its leading zero may
    /// be missing, because spreadsheets remove it.
    Postcode { letters: Vec<String>, length: usize, may_lead_with_zero: bool },
    /// A phone number as dialled within a country: a 0, then the number without any of these country codes.
    National { country: Country, codes: Vec<String> },
    /// A phone number with its country code, in digits.
    Dialling,
}

fn list(ctx: &mut Ctx<'_>, scope: CustomerParam, list: List<&'static GeoModel>) -> Result<Page<&'static GeoModel>> {
    list.restrict("customer_id", scope.id(ctx)?).page(ctx)
}

fn show(ctx: &mut Ctx<'_>, scope: CustomerParam, Id(id): Id) -> Result<Ok200<&'static GeoModel>> {
    scope.id(ctx)?;
    find(id).map(Ok200).ok_or_else(Error::not_found)
}

pub fn find(id: i64) -> Option<&'static GeoModel> {
    MODELS.iter().find(|model| model.id == id)
}

static MODELS: LazyLock<Vec<GeoModel>> = LazyLock::new(|| {
    let models: Vec<GeoModel> = parse_embedded(include_str!("models/models.json"));
    let zones =
        |id| ZONES.iter().find(|(model, _)| *model == id).map_or_else(Vec::new, |(_, zones)| parse_embedded(zones));
    models.into_iter().map(|model| GeoModel { zones: zones(model.id), ..model }.indexed()).collect()
});

/// The zones of each model, by model id.
const ZONES: &[(i64, &str)] = &[
    (1, include_str!("models/french_departments.json")),
    (2, include_str!("models/french_phone_zones.json")),
    (3, include_str!("models/french_regions.json")),
    (4, include_str!("models/belgian_provinces.json")),
    (5, include_str!("models/swiss_postal_regions.json")),
    (6, include_str!("models/german_postal_regions.json")),
    (7, include_str!("models/countries_by_prefix.json")),
    (8, include_str!("models/last_digits.json")),
    (9, include_str!("models/last_two_digits.json")),
];

fn parse_embedded<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("the tests parse the built-in data")
}

impl GeoModel {
    /// Indexes the zones by the texts and prefixes that lead to them.
    fn indexed(mut self) -> Self {
        for (place, zone) in self.zones.iter_mut().enumerate() {
            if zone.matches.is_empty() {
                zone.matches.push(zone.code.clone());
            }
            self.led_to.extend(zone.matches.iter().map(|with| (with.clone(), place)));
        }
        self
    }

    pub fn zone(&self, code: &str) -> Option<&GeoZone> {
        self.zones.iter().find(|zone| zone.code == code)
    }

    /// The zone of a value. A phone number without a prefix is read as a number of `home`, unless the model is for one
    /// country. `home` is called only if it is needed.
    pub fn zone_of<E>(&self, value: &str, home: impl FnOnce() -> Result<Country, E>) -> Result<Option<&GeoZone>, E> {
        let read = match &self.reads {
            Reads::Text => Some(letters_and_digits(value)),
            Reads::Postcode { letters, length, may_lead_with_zero } => {
                Some(postcode(value, letters, *length, *may_lead_with_zero))
            }
            Reads::National { country, codes } => national_number(value, *country, codes),
            Reads::Dialling => digits(value, home()?),
        };
        Ok(read.and_then(|read| self.zone_by(&read)))
    }

    /// The zone of a value that was already read.
    fn zone_by(&self, read: &str) -> Option<&GeoZone> {
        let cut = cut(read, self.max_length, self.match_position);
        let led_to = |with: &str| self.led_to.get(with).map(|place| &self.zones[*place]);
        match self.match_method {
            MatchMethod::Exact => led_to(cut),
            MatchMethod::Prefix => (1..=cut.len()).rev().filter_map(|end| cut.get(..end)).find_map(led_to),
            MatchMethod::Range => self.zones.iter().find(|zone| zone.matches.iter().any(|range| holds(range, cut))),
        }
    }
}

fn letters_and_digits(value: &str) -> String {
    value.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

/// A postcode without country letters, and with its leading zero. The zero is restored only if exactly one digit is
/// missing. Shorter texts are beginnings of postcodes, such as a department.
fn postcode(value: &str, letters: &[String], length: usize, may_lead_with_zero: bool) -> String {
    let written: String = letters_and_digits(value).chars().map(|c| phone::decimal(c).unwrap_or(c)).collect();
    let without = |letters: &String| {
        let rest = written.strip_prefix(letters.as_str())?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some(rest)
    };
    let code = letters.iter().find_map(without).unwrap_or(&written);
    let is_short = code.len() + 1 == length && code.bytes().all(|c| c.is_ascii_digit()) && !code.starts_with('0');
    if is_short && may_lead_with_zero { format!("0{code}") } else { code.to_owned() }
}

/// The digits of a phone number with its country code.
fn digits(value: &str, home: Country) -> Option<String> {
    phone::e164(&phone::restore_plus(value), home).map(|number| phone::digits(&number))
}

/// The digits of a phone number as dialled within its country, which has these country codes.
fn national_number(value: &str, country: Country, codes: &[String]) -> Option<String> {
    let digits = digits(value, country)?;
    let rest = codes.iter().find_map(|code| digits.strip_prefix(code.as_str()))?;
    Some(format!("0{rest}"))
}

/// Whether the digits are within a range whose ends have the same length. Digit texts of one length sort like their
/// numbers.
fn holds(range: &str, cut: &str) -> bool {
    range.split_once('-').is_some_and(|(first, last)| {
        let is_alike = cut.len() == first.len() && cut.bytes().all(|byte| byte.is_ascii_digit());
        is_alike && (first..=last).contains(&cut)
    })
}

/// At most `most` characters from the start or the end of a text.
fn cut(text: &str, most: usize, position: MatchPosition) -> &str {
    let at = |place| text.char_indices().nth(place).map_or(text.len(), |(at, _)| at);
    match position {
        MatchPosition::Start => &text[..at(most)],
        MatchPosition::End => &text[at(text.chars().count().saturating_sub(most))..],
    }
}

impl Listable for &'static GeoModel {
    const LISTING: ListSpec = ListSpec {
        // The models have no table. The JSON file is a SQL literal here, so it must not contain apostrophes. The rows
        // match every customer.
        table: concat!(
            "(SELECT model.value ->> 'id' AS id, model.value ->> 'name' AS name, model.value ->> 'source' AS source,
                     model.value ->> 'year' AS year, model.value ->> 'max_length' AS max_length,
                     model.value ->> 'match_method' AS match_method, model.value ->> 'match_position' AS match_position,
                     customers.id AS customer_id
              FROM customers CROSS JOIN json_each('",
            include_str!("models/models.json"),
            "') AS model)"
        ),
        columns: "id",
        fields: &[
            integer("id").sorted(),
            text("name").sorted_by("fold(name)"),
            integer("max_length"),
            choice("match_method", &["exact", "prefix", "range"]),
            choice("match_position", &["start", "end"]),
            text("source"),
            integer("year").sorted(),
            words(&["name", "source"]),
        ],
        plain_filters: true,
        newest_first: false,
        has_row_count: false,
        customer: Some("customer_id"),
    };

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        find(row.get(0)?).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}

#[cfg(test)]
mod tests;
