//! Phone numbers. They are stored as typed and found by their meaning.
//!
//! People type a number in many ways (`+33 1 42 00 00 00`, `0142000000`, `0033142000000`, `sip:+33142000000@pbx`). Its
//! E.164 form is stored next to the text, and searches use that form.

mod plans;
mod written;

use phonenumber::country::Id;

use super::normalize::normalize;
use written::Run;
pub use written::decimal;

/// Maximum numbers that are read from one text. A text of forty characters has no more.
const MOST: usize = 4;

/// Digits of the longest extension. More digits are an impossible number.
const LONGEST_SHORT: usize = 8;

/// The meaning of a text as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialled {
    /// A number in E.164.
    Number(String),
    /// An extension or a short number: its digits, as dialled.
    Short(String),
    /// Digits that cannot be a number: too many or too few.
    Impossible(String),
}

impl Dialled {
    /// The number without punctuation: digits, perhaps after a `+`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(text) | Self::Short(text) | Self::Impossible(text) => text,
        }
    }

    /// The key in the index of numbers: the digits of the E.164 form or of the extension, reversed.
    pub fn key(&self) -> String {
        let reversed = reversed_digits(self.as_str());
        if let Self::Impossible(_) = self { format!("{IMPOSSIBLE}{reversed}") } else { reversed }
    }
}

/// Prefix of the key of an impossible number. Such a text is found only by exactly the same digits, and never as the last
/// digits of another number.
const IMPOSSIBLE: char = '?';

/// The country with this ISO 3166 code of two letters.
pub fn country(code: &str) -> Option<Id> {
    code.to_ascii_uppercase().parse().ok()
}

/// The default country of a workspace with this setting. France without a setting.
pub fn default_country(code: Option<&str>) -> Id {
    code.and_then(country).unwrap_or(Id::FR)
}

/// Reads the numbers in a text as dialled in `country`. Returns nothing for texts such as `anonymous` and
/// `sip:anonymous@192.168.1.20`. Extensions and impossible numbers are read only if the text has no other number.
pub fn read(text: &str, country: Id) -> Vec<Dialled> {
    let text = written::plain(text);
    let runs = match written::user(&text) {
        Some(user) if written::is_number(&user) => vec![Run { text: user, is_named: false }],
        Some(_) => return Vec::new(),
        None => written::runs(&text),
    };
    let mut numbers: Vec<Dialled> = Vec::new();
    for number in runs.iter().flat_map(|run| numbers_in(&run.text, country)).map(Dialled::Number) {
        if !numbers.contains(&number) && numbers.len() < MOST {
            numbers.push(number);
        }
    }
    if !numbers.is_empty() {
        return numbers;
    }
    // `Jean 75` has no extension, but `75 (Jean)` has one.
    let plain = runs.iter().filter(|run| !run.is_named).map(|run| digits(&run.text));
    match plain.collect::<Vec<_>>().as_slice() {
        [] => Vec::new(),
        [only] if only.len() > LONGEST_SHORT => vec![Dialled::Impossible(only.clone())],
        several => {
            let short = several.iter().filter(|digits| digits.len() <= LONGEST_SHORT).take(MOST);
            short.cloned().map(Dialled::Short).collect()
        }
    }
}

/// Reads the numbers in a run of digits: as one number, else as numbers separated by slashes, else as two numbers
/// separated by a blank.
fn numbers_in(run: &str, country: Id) -> Vec<String> {
    if let Some(number) = number(run, country) {
        return vec![number];
    }
    if run.contains('/') {
        return run.split('/').flat_map(|part| numbers_in(part, country)).collect();
    }
    let blanks = run.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| run.split_at(at));
    let both = |(one, other): (&str, &str)| Some(vec![number(one, country)?, number(other, country)?]);
    blanks.into_iter().find_map(both).unwrap_or_default()
}

fn number(run: &str, country: Id) -> Option<String> {
    let digits = digits(run);
    let read = if run.trim_start().starts_with('+') {
        match plans::international(&digits) {
            // Read again, these digits would be the same number.
            Some(form) if form[1..] == digits => return Some(form),
            // Digits in parentheses are not dialled from abroad.
            None if run.contains("(0)") => plans::international(&self::digits(&run.replace("(0)", ""))),
            read => read,
        }
    } else {
        plans::dialled_in(&digits, country)
    };
    // `+4900000` begins with the national prefix twice. Read again, it would be another number.
    read.filter(|form| plans::international(&form[1..]).as_ref() == Some(form))
}

/// The key of the first number in a text. `None` if there is none.
pub fn first_key(text: &str, country: Id) -> Option<String> {
    read(text, country).first().map(Dialled::key)
}

/// The E.164 form (`+33142000000`) of a number dialled in `country`. `None` if it cannot be a number there: too short,
/// too long, or words.
pub fn e164(text: &str, country: Id) -> Option<String> {
    match read(text, country).into_iter().next() {
        Some(Dialled::Number(number)) => Some(number),
        _ => None,
    }
}

/// Other ways to dial a number in `country`: the E.164 form, and the national form if it is a number of that country
/// (`+33142000000`, `0142000000`). Empty if it is not a number.
pub fn spellings(text: &str, country: Id) -> Vec<String> {
    let Some(e164) = e164(text, country) else { return Vec::new() };
    let national = plans::as_dialled_in(&e164, country);
    [e164].into_iter().chain(national).collect()
}

/// Words that replace a number that is withheld or unknown.
const WITHHELD: [&str; 8] =
    ["anonymous", "anonyme", "private", "restricted", "unavailable", "unknown", "withheld", "no number"];

/// Whether a text states that the number is withheld or unknown.
pub fn is_withheld(text: &str) -> bool {
    WITHHELD.contains(&normalize(uri_user(text).trim()).as_str())
}

/// The user of a SIP or tel URI, or else the text itself.
pub fn uri_user(text: &str) -> String {
    let text = written::plain(text);
    written::user(&text).unwrap_or(text)
}

/// The digits of a text, in order.
pub fn digits(text: &str) -> String {
    text.chars().filter_map(written::decimal).collect()
}

/// The digits in reverse order. That turns a search for "ends with" into "begins with", which an index supports.
pub fn reversed_digits(text: &str) -> String {
    digits(text).chars().rev().collect()
}

/// Restores a plus that arrived as a space: PBXs put numbers into URLs without encoding them.
pub fn restore_plus(phone: &str) -> String {
    match phone.strip_prefix(' ') {
        Some(number) if number.starts_with(|first: char| first.is_ascii_digit()) => format!("+{number}"),
        _ => phone.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_typed_in_any_way() {
        for typed in [
            "+33 1 42 00 00 00",
            "0142000000",
            "0033142000000",
            "01.42.00.00.00",
            "(01) 42-00-00-00",
            "+33 (0)1 42 00 00 00",
        ] {
            assert_eq!(e164(typed, Id::FR).as_deref(), Some("+33142000000"), "{typed}");
        }
        assert_eq!(e164("+49 30 123456", Id::FR).as_deref(), Some("+4930123456"));
        assert_eq!(e164("+39 02 1234567", Id::FR).as_deref(), Some("+39021234567"));
        assert_eq!(e164("030 123456", Id::DE).as_deref(), Some("+4930123456"));
    }

    #[test]
    fn what_is_no_number_has_no_form() {
        for typed in ["", "204", "call me", "+", "00", "49000000+"] {
            assert_eq!(e164(typed, Id::FR), None, "{typed}");
        }
    }

    /// Each example number in a country's metadata is found in every form that people and machines write.
    #[test]
    fn the_examples_of_every_country_are_read_in_every_form() {
        let mut wrong = Vec::new();
        for (country, code, national, prefix) in plans::examples::all() {
            let e164 = format!("+{code}{national}");
            let (head, tail) = national.split_at(national.len() / 2);
            for form in [
                e164.clone(),
                format!("+{code} {head} {tail}"),
                format!("+{code}-{head}-{tail}"),
                format!("00{code}{national}"),
                format!("{code}{national}"),
                national.clone(),
                format!("{prefix}{national}"),
                format!("({prefix}{head}) {tail}"),
                format!("tel:{e164}"),
                format!("sip:{e164}@10.0.0.1"),
                format!("\"Jean 75\" <sip:{e164}@10.0.0.1;user=phone>"),
                format!("{e164};ext=12"),
                format!("{e164} bureau"),
            ] {
                let read = self::e164(&form, country);
                if read.as_ref() != Some(&e164) {
                    wrong.push(format!("{country:?} {form}: {read:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// No country has numbers with so many or so few digits.
    #[test]
    fn too_many_digits_and_too_few_are_no_number() {
        let mut wrong = Vec::new();
        for (country, code, national, prefix) in plans::examples::all() {
            let many = format!("{national}{}", "7".repeat(20 - national.len()));
            for form in [
                format!("+{code}{many}"),
                format!("00{code}{many}"),
                format!("{prefix}{many}"),
                many,
                format!("+{code}7"),
            ] {
                if let Some(read) = self::e164(&form, country) {
                    wrong.push(format!("{country:?} {form}: {read}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn only_the_user_of_an_address_is_a_number() {
        for (text, number) in [
            ("sip:anonymous@192.168.1.20", None),
            ("sip:jean75@10.0.0.1", None),
            ("<sip:10.0.0.1:5060>", None),
            ("sip:204@10.0.0.1", Some("204")),
            ("\"Jean 75\" <sip:+33142000017@10.0.0.1>", Some("+33142000017")),
            ("tel:1234567;phone-context=+1-650", Some("+16501234567")),
            ("bureau 12 / 0142000201", Some("+33142000201")),
            ("1234567890123456", Some("1234567890123456")),
        ] {
            assert_eq!(read(text, Id::FR).first().map(Dialled::as_str), number, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,40}|[<>@:;+=0-9a-z/ ().x#-]{0,40}") {
            for country in [Id::FR, Id::DE, Id::US, Id::AR] {
                read(&text, country);
                spellings(&text, country);
            }
        }

        #[test]
        fn a_form_is_its_own_form(typed in "[0-9+(). -]{0,24}|\\+?[0-9]{1,3}0{0,3}[0-9]{3,12}") {
            for country in [Id::FR, Id::DE, Id::US, Id::AR, Id::IT, Id::BR] {
                if let Some(form) = e164(&typed, country) {
                    proptest::prop_assert_eq!(e164(&form, country), Some(form));
                }
            }
        }
    }
}
