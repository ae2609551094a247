//! Public holidays of some countries, computed by rules: fixed days, and days relative to Easter.
//!
//! Each country is a file in `holidays/`. It names its source (a law or a list) and the year of the source. It contains
//! the holidays of the whole country, and those that only some regions (ISO 3166-2) have.

use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;

use crate::values::choice;

choice! {
    /// A country with known public holidays.
    Country { BELGIUM = "BE", SWITZERLAND = "CH", GERMANY = "DE", FRANCE = "FR", LUXEMBOURG = "LU" }
}

const FILES: [&str; 5] = [
    include_str!("holidays/BE.json"),
    include_str!("holidays/CH.json"),
    include_str!("holidays/DE.json"),
    include_str!("holidays/FR.json"),
    include_str!("holidays/LU.json"),
];

static CALENDARS: LazyLock<Vec<Calendar>> = LazyLock::new(|| {
    FILES.iter().map(|file| serde_json::from_str(file).expect("the tests parse the built-in data")).collect()
});

#[derive(Deserialize)]
struct Calendar {
    country: Country,
    holidays: Vec<Rule>,
    #[serde(default)]
    regions: Vec<Region>,
}

/// Regional holidays of one region, or of several regions that have the same ones.
#[derive(Deserialize)]
struct Region {
    codes: Vec<String>,
    holidays: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    /// In the main language of the country.
    name: String,
    #[serde(flatten)]
    when: When,
    /// First and last year of the holiday, if it has not always existed or was abolished.
    from: Option<i16>,
    until: Option<i16>,
    /// Days of the week on which the holiday applies (0 is Sunday). None: every day.
    only_on: Option<Vec<i8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum When {
    /// Month and day: `05-01`.
    Day(String),
    /// Days after Easter Sunday.
    Easter(i64),
    First(First),
}

/// The first given weekday on or after a day of the year.
#[derive(Deserialize)]
struct First {
    /// 0 is Sunday.
    weekday: i8,
    /// Month and day.
    since: String,
    /// Moved by one week if it would be this many days after Easter Sunday.
    unless_easter: Option<i64>,
}

/// Codes of the regions with regional holidays.
pub fn regions(country: Country) -> impl Iterator<Item = &'static str> {
    let own = CALENDARS.iter().filter(move |calendar| calendar.country == country).flat_map(|found| &found.regions);
    own.flat_map(|region| &region.codes).map(String::as_str)
}

/// The public holidays of a country, or of one of its regions, in order, for a year from 1 to 9998. Two holidays on one
/// day are one entry with both names.
pub fn in_year(country: Country, region: Option<&str>, year: i16) -> Vec<(Date, String)> {
    let calendar = || CALENDARS.iter().filter(|calendar| calendar.country == country);
    let is_wanted = |found: &&Region| region.is_some_and(|region| found.codes.iter().any(|code| code == region));
    let own = calendar().flat_map(|found| &found.regions).filter(is_wanted).flat_map(|found| &found.holidays);
    let rules = calendar().flat_map(|found| &found.holidays).chain(own);
    let counts =
        |rule: &&Rule| rule.from.is_none_or(|from| from <= year) && rule.until.is_none_or(|until| year <= until);
    let mut days: Vec<(Date, String)> =
        rules.filter(counts).filter_map(|rule| Some((rule.in_year(year)?, rule.name.clone()))).collect();
    days.sort_by_key(|(date, _)| *date);
    days.dedup_by(|(date, name), (before, first)| {
        let is_same = date == before;
        if is_same && first != name {
            *first = format!("{first}, {name}");
        }
        is_same
    });
    days
}

impl Rule {
    fn in_year(&self, year: i16) -> Option<Date> {
        let counts = |date: &Date| {
            let weekday = date.weekday().to_sunday_zero_offset();
            self.only_on.as_ref().is_none_or(|days| days.contains(&weekday))
        };
        self.when.in_year(year).filter(counts)
    }
}

impl When {
    fn in_year(&self, year: i16) -> Option<Date> {
        match self {
            Self::Day(day) => format!("{year:04}-{day}").parse().ok(),
            Self::Easter(days) => easter(year)?.checked_add(days.days()).ok(),
            Self::First(First { weekday, since, unless_easter }) => {
                let since: Date = format!("{year:04}-{since}").parse().ok()?;
                let wait = i64::from((weekday - since.weekday().to_sunday_zero_offset()).rem_euclid(7));
                let first = since.checked_add(wait.days()).ok()?;
                let avoided = unless_easter.and_then(|days| easter(year)?.checked_add(days.days()).ok());
                if avoided == Some(first) { first.checked_add(7.days()).ok() } else { Some(first) }
            }
        }
    }
}

/// Easter Sunday by the Gregorian calendar (Meeus, Astronomical Algorithms, chapter 8; after Jones and Butcher).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let f = (b + 8) / 25;
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    Date::new(year, i8::try_from(n / 31).ok()?, i8::try_from(n % 31 + 1).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn easter_is_when_it_is() {
        // Includes the earliest and the latest possible Easter.
        for day in [
            "1818-03-22",
            "1886-04-25",
            "1900-04-15",
            "1943-04-25",
            "1954-04-18",
            "1961-04-02",
            "1981-04-19",
            "2000-04-23",
            "2008-03-23",
            "2011-04-24",
            "2019-04-21",
            "2024-03-31",
            "2025-04-20",
            "2026-04-05",
            "2027-03-28",
            "2038-04-25",
            "2049-04-18",
            "2076-04-19",
            "2160-03-23",
            "2200-04-06",
        ] {
            let day: Date = day.parse().unwrap();
            assert_eq!(easter(day.year()), Some(day));
        }
    }

    #[test]
    fn holidays_are_those_that_are_published() {
        let mut published: HashMap<(&str, i16), Vec<Date>> = HashMap::new();
        let lines = include_str!("holidays/published.txt").lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let (country, day) = line.split_once(' ').unwrap();
            let day: Date = day.parse().unwrap();
            published.entry((country, day.year())).or_default().push(day);
        }
        assert_eq!(published.len(), Country::WORDS.len() * 7);
        for ((country, year), days) in published {
            let known = in_year(country.parse().unwrap(), None, year);
            assert_eq!(known.into_iter().map(|(day, _)| day).collect::<Vec<_>>(), days, "{country} {year}");
        }
    }

    #[test]
    fn holidays_of_regions_are_those_that_are_published() {
        let mut published: HashMap<(&str, i16), Vec<Date>> = HashMap::new();
        let lines = include_str!("holidays/published_regions.txt").lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let (region, day) = line.split_once(' ').unwrap();
            let day: Date = day.parse().unwrap();
            published.entry((region, day.year())).or_default().push(day);
        }
        let known: usize = Country::WORDS.iter().map(|country| regions(country.parse().unwrap()).count()).sum();
        assert_eq!(published.len(), known * 7);
        for ((region, year), days) in published {
            let known = in_year(region[..2].parse().unwrap(), Some(region), year);
            assert_eq!(known.into_iter().map(|(day, _)| day).collect::<Vec<_>>(), days, "{region} {year}");
        }
    }

    #[test]
    fn a_holiday_is_one_in_its_years_only() {
        let has = |country: &str, day: &str| {
            let day: Date = day.parse().unwrap();
            in_year(country.parse().unwrap(), None, day.year()).iter().any(|(holiday, _)| *holiday == day)
        };
        for (country, day, is_one) in [
            ("FR", "1959-05-08", true),
            ("FR", "1960-05-08", false),
            ("FR", "1982-05-08", true),
            ("DE", "2016-10-31", false),
            ("DE", "2017-10-31", true),
            ("DE", "2018-10-31", false),
            ("LU", "2018-05-09", false),
            ("LU", "2019-05-09", true),
            ("CH", "1993-08-01", false),
        ] {
            assert_eq!(has(country, day), is_one, "{country} {day}");
        }
        let both = in_year(Country::LUXEMBOURG, None, 2024);
        assert!(both.iter().any(|(_, name)| name == "Europadag, Christi Himmelfaart"), "{both:?}");
    }

    #[test]
    fn every_file_names_its_source_and_every_rule_is_a_day_of_every_year() {
        for (file, country) in FILES.iter().zip(Country::WORDS) {
            let file: Value = serde_json::from_str(file).unwrap();
            assert_eq!(file["country"], *country);
            assert!(file["source"].as_str().is_some_and(|source| source.len() > 20) && file["year"].is_i64());
        }
        for calendar in CALENDARS.iter() {
            for rule in calendar.holidays.iter().chain(calendar.regions.iter().flat_map(|region| &region.holidays)) {
                assert!((1900..=2200).all(|year| rule.when.in_year(year).is_some()), "{}", rule.name);
            }
        }
    }
}
