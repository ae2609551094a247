//! Phone numbers: kept as typed, found by what they mean.
//!
//! A number is typed in many ways (`+33 1 42 00 00 00`, `0142000000`, `0033142000000`). Beside the text stands its
//! E.164 form, by which it is found again.

use phonenumber::country::Id;

/// An ISO 3166 country (two letters) whose numbers need no prefix, or nothing where there is no such country.
pub fn country(code: &str) -> Option<Id> {
    code.to_ascii_uppercase().parse().ok()
}

/// A number in E.164 (`+33142000000`), read as one dialled in `country`. Nothing where it cannot be a number there:
/// too short, too long, or words.
pub fn e164(text: &str, country: Id) -> Option<String> {
    if digits(text).len() < 4 {
        return None;
    }
    // `00` is the way out of a country nearly everywhere; the library reads only `+` without knowing the country's.
    let text = text.trim();
    let text = text.strip_prefix("00").map_or_else(|| text.into(), |rest| format!("+{rest}"));
    // A number with a country's code is read by that country's rules, not by those of ours.
    let country = (!text.starts_with('+')).then_some(country);
    let number = phonenumber::parse(country, &text).ok()?;
    // An internal extension ("204") is typed as it is dialled: as an international number it would be somebody else's.
    let national = number.national().to_string();
    (national.len() >= 5).then(|| format!("+{}{national}", number.country().code()))
}

/// How a number that was dialled in `country` may be dialled besides: in E.164, and, where it is the country's own, as it
/// is dialled there (`+33142000000`, `0142000000`). Nothing where it is no number.
pub fn spellings(text: &str, country: Id) -> Vec<String> {
    let Some(e164) = e164(text, country) else { return Vec::new() };
    let own = phonenumber::parse(None, &e164).ok().filter(|number| number.country().id() == Some(country));
    let national = own.map(|number| digits(&number.format().mode(phonenumber::Mode::National).to_string()));
    [e164].into_iter().chain(national).collect()
}

/// The digits of a text, in order.
pub fn digits(text: &str) -> String {
    text.chars().filter_map(|c| c.to_digit(10)).filter_map(|d| char::from_digit(d, 10)).collect()
}

/// The digits from the last to the first: a search for "ends with" becomes one for "begins with", which an index answers.
pub fn reversed_digits(text: &str) -> String {
    digits(text).chars().rev().collect()
}

/// A plus that was not encoded arrives as a space: PBXs put a number into a URL as it is.
pub fn unspaced(phone: &str) -> String {
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
        for typed in ["", "204", "call me", "+", "00"] {
            assert_eq!(e164(typed, Id::FR), None, "{typed}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_form_is_its_own_form(typed in "[0-9+(). -]{0,24}") {
            if let Some(form) = e164(&typed, Id::FR) {
                proptest::prop_assert_eq!(e164(&form, Id::FR), Some(form));
            }
        }
    }
}
