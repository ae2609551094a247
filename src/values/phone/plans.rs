//! Numbering plans: which digits can be a number of which country, by the metadata of the `phonenumber` crate.
//!
//! The crate's own parser is not used. It strips country codes where there is none (`476 12 345` in Norway). It also
//! ignores lengths that the metadata list by kind of number only, and they always do.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Metadata, Type};
use regex::{Regex, RegexBuilder};

/// Digits of the longest country code.
const LONGEST_CODE: usize = 3;

/// Minimum digits of an international number without `+`. In most places fewer digits are an extension, or the last
/// digits of a number.
const SHORTEST_WITHOUT_PLUS: usize = 8;

/// Digits of the longest number (E.164). Some countries have longer numbers, but no one calls these from abroad.
const LONGEST: usize = 15;

/// Minimum digits of an international number without `+` if its country is the workspace's own.
const SHORTEST_OWN: usize = 7;

/// From this number of digits on, a text is a number in every country. Fewer digits are an extension, except in
/// countries with such short numbers.
const ALWAYS_A_NUMBER: usize = 5;

const KINDS: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::TollFree,
    Type::PremiumRate,
    Type::SharedCost,
    Type::PersonalNumber,
    Type::Voip,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
];

/// The numbering plan of a country.
struct Plan {
    metadata: &'static Metadata,
    /// Digits of the shortest fixed or mobile number, without a prefix.
    shortest: usize,
    /// Patterns of valid numbers and of prefixes. Each is compiled on first use: a workspace needs few of the 250
    /// plans.
    valid: OnceLock<Option<Regex>>,
    kinds: OnceLock<Vec<Regex>>,
    prefix: OnceLock<Option<Regex>>,
    abroad: OnceLock<Option<Regex>>,
}

/// The plans that share a country code, the main country first.
struct CallingCode {
    plans: Vec<Plan>,
    /// Bit n is set if numbers of n digits are possible.
    lengths: u32,
}

static CODES: LazyLock<HashMap<u16, CallingCode>> = LazyLock::new(|| {
    let of_code = |code: u16| DATABASE.by_code(&code).map(|plans| (code, CallingCode::of(plans)));
    (1..1000).filter_map(of_code).collect()
});

/// A number in E.164 without `+`: the country code and the national number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ParsedNumber {
    code: u16,
    national: String,
    is_valid: bool,
}

/// Converts digits with a country code to E.164. `None` if no number has so many digits.
pub fn international(digits: &str) -> Option<String> {
    read_international(digits).map(ParsedNumber::e164)
}

/// Converts digits as dialled in `country` to E.164. They may be a national number, an international number with that
/// country's international prefix, or an international number without its `+`.
pub fn dialled_in(digits: &str, country: Id) -> Option<String> {
    // Nearly every country uses this international prefix, so accept it in each.
    if let Some(read) = digits.strip_prefix("00").and_then(read_international) {
        return Some(read.e164());
    }
    let (code, plan) = plan_of(country)?;
    let national = read_national(digits, code, plan);
    let without_plus = read_international(digits);
    let own = without_plus.as_ref().filter(|read| read.code == code && read.is_valid);
    if let Some(own) = own.filter(|own| digits.len() >= SHORTEST_OWN && plan.is_own(own, national.as_ref(), digits)) {
        return Some(own.clone().e164());
    }
    if national.as_ref().is_some_and(|read| read.is_valid) {
        return national.map(ParsedNumber::e164);
    }
    let without_plus = without_plus.filter(|_| (SHORTEST_WITHOUT_PLUS..=LONGEST).contains(&digits.len()));
    let abroad = plan.abroad().and_then(|way_out| {
        let end = way_out.find(digits)?.end();
        read_international(&digits[end..])
    });
    national.or(abroad).or(without_plus).map(ParsedNumber::e164)
}

/// The national form of an E.164 number, if it is a number of `country`.
pub fn as_dialled_in(e164: &str, country: Id) -> Option<String> {
    let (code, plan) = plan_of(country)?;
    let national = e164.strip_prefix('+')?.strip_prefix(&code.to_string())?;
    let read = read_national(national, code, plan).filter(|read| read.national == national)?;
    let main = &CODES.get(&code)?.plans[0];
    // The number belongs to another country with the same code.
    if !plan.accepts(&read.national) && main.metadata.id() != plan.metadata.id() && main.accepts(&read.national) {
        return None;
    }
    let prefix = plan.metadata.national_prefix().filter(|_| plan.writes_prefix(&read.national)).unwrap_or_default();
    Some(format!("{prefix}{national}"))
}

fn plan_of(country: Id) -> Option<(u16, &'static Plan)> {
    let code = DATABASE.by_id(country.as_ref())?.country_code();
    let plans = &CODES.get(&code)?.plans;
    plans.iter().find(|plan| plan.metadata.id() == country.as_ref()).map(|plan| (code, plan))
}

fn read_international(digits: &str) -> Option<ParsedNumber> {
    if digits.starts_with('0') {
        return None;
    }
    let (code, rest) = (1..=LONGEST_CODE.min(digits.len())).find_map(|end| {
        let code = digits[..end].parse().ok().filter(|code| CODES.contains_key(code))?;
        Some((code, &digits[end..]))
    })?;
    // `+33 (0)1 …`: people write the national prefix after the country code.
    CODES.get(&code)?.best(code, rest, CODES.get(&code)?.plans[0].without_prefix(rest))
}

fn read_national(digits: &str, code: u16, plan: &Plan) -> Option<ParsedNumber> {
    let read = CODES.get(&code)?.best(code, digits, plan.without_prefix(digits))?;
    let enough = ALWAYS_A_NUMBER.min(plan.shortest);
    (read.national.len() >= enough).then_some(read)
}

impl ParsedNumber {
    fn e164(self) -> String {
        format!("+{}{}", self.code, self.national)
    }
}

impl CallingCode {
    fn of(plans: Vec<&'static Metadata>) -> Self {
        let plans: Vec<Plan> = plans.into_iter().map(Plan::of).collect();
        let lengths = plans.iter().fold(0, |all, plan| all | plan.lengths());
        Self { plans, lengths }
    }

    /// Chooses between the digits as written and the digits without the national prefix: a valid number first, else a
    /// possible one. If the number is valid only with the prefix, the prefix stays.
    fn best(&self, code: u16, digits: &str, stripped: [Option<String>; 2]) -> Option<ParsedNumber> {
        let read = |national: String| ParsedNumber { code, is_valid: self.accepts(&national), national };
        let ways = stripped.into_iter().flatten().chain([digits.to_owned()]);
        let mut possible: Vec<ParsedNumber> = ways.filter(|way| self.is_possible(way.len())).map(read).collect();
        let best = possible.iter().position(|read| read.is_valid).unwrap_or(0);
        (best < possible.len()).then(|| possible.swap_remove(best))
    }

    fn is_possible(&self, length: usize) -> bool {
        u32::try_from(length).is_ok_and(|length| length < 32 && self.lengths & (1 << length) != 0)
    }

    fn accepts(&self, national: &str) -> bool {
        self.plans.iter().any(|plan| plan.accepts(national))
    }
}

impl Plan {
    fn of(metadata: &'static Metadata) -> Self {
        let example = |kind| metadata.descriptors().get(kind).and_then(|descriptor| descriptor.example());
        let examples = [Type::FixedLine, Type::Mobile].into_iter().filter_map(example);
        let shortest = examples.map(str::len).min().unwrap_or(ALWAYS_A_NUMBER);
        Self {
            metadata,
            shortest,
            valid: OnceLock::new(),
            kinds: OnceLock::new(),
            prefix: OnceLock::new(),
            abroad: OnceLock::new(),
        }
    }

    /// All possible lengths, because the metadata list them by kind of number.
    fn lengths(&self) -> u32 {
        let descriptors = self.metadata.descriptors();
        let kinds = KINDS.iter().filter_map(|kind| descriptors.get(*kind)).chain([descriptors.general()]);
        let lengths = kinds.flat_map(|kind| kind.possible_length().iter().copied());
        lengths.filter(|length| *length < 32).fold(0, |all, length| all | 1 << length)
    }

    /// Whether digits are a valid number, and not only of a possible length.
    fn accepts(&self, national: &str) -> bool {
        let pattern = || self.metadata.descriptors().general().national_number().as_str();
        let valid = self.valid.get_or_init(|| compiled(&format!("^(?:{})$", pattern())));
        valid.as_ref().is_some_and(|valid| valid.is_match(national))
    }

    fn abroad(&self) -> Option<&Regex> {
        let compile = || compiled(&format!("^(?:{})", self.metadata.international_prefix()?.as_str()));
        self.abroad.get_or_init(compile).as_ref()
    }

    /// Decides whether digits that begin with the country's own code contain that code, or are a national number that
    /// begins with the same digits. People who leave out a national prefix usually replace it by the country code.
    fn is_own(&self, own: &ParsedNumber, national: Option<&ParsedNumber>, digits: &str) -> bool {
        let Some(national) = national.filter(|national| national.is_valid) else { return true };
        match (self.is_of_a_kind(&own.national), self.is_of_a_kind(&national.national)) {
            (true, true) => self.metadata.national_prefix().is_some() && national.national == digits,
            (own, national) => own && !national,
        }
    }

    /// Whether digits match a kind of number, such as fixed or mobile. This is stricter than the general pattern.
    fn is_of_a_kind(&self, national: &str) -> bool {
        let descriptors = || KINDS.iter().filter_map(|kind| self.metadata.descriptors().get(*kind));
        let pattern =
            |kind: &phonenumber::metadata::Descriptor| compiled(&format!("^(?:{})$", kind.national_number().as_str()));
        let kinds = self.kinds.get_or_init(|| descriptors().filter_map(pattern).collect());
        kinds.iter().any(|kind| kind.is_match(national))
    }

    /// Removes the national prefix, such as `0` or a carrier code. In some countries this also completes local digits
    /// to a full number.
    fn without_prefix(&self, digits: &str) -> [Option<String>; 2] {
        let plain = self.metadata.national_prefix().and_then(|prefix| digits.strip_prefix(prefix)).map(str::to_owned);
        [self.parsed(digits), plain]
    }

    fn parsed(&self, digits: &str) -> Option<String> {
        let parsing = self.metadata.national_prefix_for_parsing()?;
        let prefix = self.prefix.get_or_init(|| compiled(&format!("^(?:{})", parsing.as_str())));
        let found = prefix.as_ref()?.captures(digits)?;
        let last = found.get(found.len() - 1).filter(|_| found.len() > 1);
        match (self.metadata.national_prefix_transform_rule(), last) {
            (Some(rule), Some(_)) => {
                let group = |n: usize| found.get(n).map_or("", |group| group.as_str());
                let becomes = rule.replace("$1", group(1)).replace("$2", group(2));
                Some(becomes + &digits[found[0].len()..])
            }
            _ => Some(digits[found[0].len()..].to_owned()),
        }
    }

    /// Whether people write the national prefix before a number.
    fn writes_prefix(&self, national: &str) -> bool {
        let leads = |format: &&phonenumber::metadata::Format| {
            let is_whole = |found: regex::Match<'_>| found.start() == 0 && found.end() == national.len();
            let begins = format.leading_digits().last();
            begins.is_none_or(|begins| begins.find(national).is_some_and(|found| found.start() == 0))
                && format.pattern().find(national).is_some_and(is_whole)
        };
        let format = self.metadata.formats().iter().find(leads);
        format.and_then(|format| format.national_prefix()).is_some_and(|rule| rule.contains("$NP"))
    }
}

fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).ignore_whitespace(true).build().ok()
}

#[cfg(test)]
pub(super) mod examples {
    use super::*;

    /// A number of every kind and country: the country, its code, the number, and the national prefix.
    pub fn all() -> Vec<(Id, u16, String, String)> {
        let mut all = Vec::new();
        for metadata in DATABASE.iter() {
            let Ok(country) = metadata.id().parse::<Id>() else { continue };
            let prefix = metadata.national_prefix().unwrap_or_default();
            let kinds = KINDS.iter().filter_map(|kind| metadata.descriptors().get(*kind));
            // Four digits are an extension, unless the country's own numbers are as short.
            let has_short =
                |number: &str| number.len() >= ALWAYS_A_NUMBER || Plan::of(metadata).shortest <= number.len();
            for example in kinds.filter_map(|kind| kind.example()).filter(|example| has_short(example)) {
                all.push((country, metadata.country_code(), example.to_owned(), prefix.to_owned()));
            }
        }
        assert!(all.len() > 1000, "{}", all.len());
        all
    }
}
