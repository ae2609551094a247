//! Splits text that people and machines write in place of a number (RFC 3261, RFC 3966), such as `0142000201 (bureau)`,
//! `"Jean" <sip:+33142000017@10.0.0.1>`, `01 42 00 02 01 / 06 12 34 56 78` and `+33142000206;ext=12`. It does not
//! decide which digits form a number.

use std::net::Ipv4Addr;

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization;

use crate::values::normalize::normalize;

/// Digits that are written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// As written, with blanks and punctuation between the digits.
    pub text: String,
    /// Whether a name or another word precedes the digits.
    pub is_named: bool,
}

/// Words that announce an extension.
const EXTENSION: [&str; 16] = [
    "ext",
    "extn",
    "extension",
    "x",
    "poste",
    "p",
    "durchwahl",
    "dw",
    "nst",
    "klappe",
    "int",
    "interno",
    "interne",
    "anexo",
    "toestel",
    "isub",
];

const SCHEMES: [&str; 4] = ["sips:", "sip:", "tel:", "callto:"];

/// The ASCII digit of a decimal digit in any script.
pub fn decimal(c: char) -> Option<char> {
    /// The zero of each script. The other nine digits follow it in order.
    const ZEROS: [u32; 37] = [
        0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
        0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
        0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    ];
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let code = u32::from(c);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// Converts a text to plain characters: ASCII digits, no full width, no invisible characters.
pub fn plain(text: &str) -> String {
    if text.is_ascii() {
        return text.trim().to_owned();
    }
    let visible = |c: &char| !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let dash = |c: char| if matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}') { '-' } else { c };
    let plain: String = text.nfkc().filter(visible).map(|c| decimal(c).unwrap_or_else(|| dash(c))).collect();
    plain.trim().to_owned()
}

/// The user of a SIP or tel URI, without display name, host and parameters. `None` if the text is no such URI. Empty if
/// the URI has no user.
pub fn user(text: &str) -> Option<String> {
    let bracketed = text.split_once('<').map(|(_, rest)| rest.split_once('>').map_or(rest, |(inside, _)| inside));
    let uri = bracketed.filter(|inside| !inside.trim().is_empty()).unwrap_or(text).trim();
    let (scheme, rest) = match scheme(uri) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, uri),
    };
    let Some((before, _)) = rest.split_once('@') else {
        scheme?;
        return Some(without_host(rest));
    };
    let decoded = percent_decode_str(before).decode_utf8_lossy().into_owned();
    let user = decoded.split(';').next().unwrap_or_default();
    // Drop a password, which should not be sent.
    let user = user.split(':').next().unwrap_or_default().trim();
    if is_number(user) || scheme.is_some() {
        return Some(in_context(user, &decoded));
    }
    Some(user.split_whitespace().next_back().unwrap_or_default().to_owned())
}

/// Finds the first URI scheme at the start of a word. Returns it and the text after it.
fn scheme(text: &str) -> Option<(&'static str, &str)> {
    let lower = text.to_ascii_lowercase();
    SCHEMES.into_iter().find_map(|scheme| {
        let at = lower.find(scheme)?;
        let begins_word = !lower[..at].ends_with(|c: char| c.is_alphanumeric());
        begins_word.then(|| (scheme, &text[at + scheme.len()..]))
    })
}

/// The number in a URI without `@`. Empty if it is a host.
fn without_host(rest: &str) -> String {
    let decoded = percent_decode_str(rest).decode_utf8_lossy().into_owned();
    let number = decoded.split([';', '?']).next().unwrap_or_default().trim();
    let host = number.split(':').next().unwrap_or_default();
    if host.parse::<Ipv4Addr>().is_ok() { String::new() } else { in_context(host, &decoded) }
}

/// Adds the country of the URI's parameters to a local number (RFC 3966, 5.1.5).
fn in_context(number: &str, with_parameters: &str) -> String {
    let context = with_parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("phone-context="));
    match context.filter(|context| context.starts_with('+') && !number.starts_with('+')) {
        Some(context) => format!("{context} {number}"),
        None => number.to_owned(),
    }
}

/// Whether a text is a number and nothing else.
pub fn is_number(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit()) && text.chars().all(|c| is_inside(c) || matches!(c, '/' | '*' | '#'))
}

/// Characters that may be in a number. A slash is handled separately.
fn is_inside(c: char) -> bool {
    c.is_ascii_digit() || c.is_whitespace() || matches!(c, '+' | '.' | '-' | '(' | ')' | '~')
}

/// The runs of digits in a plain text, in order, without the extension that follows a number.
pub fn runs(text: &str) -> Vec<Run> {
    let mut found: Vec<Run> = Vec::new();
    let (mut rest, mut is_named) = (text, false);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+') {
        let before = &rest[..start];
        let from = &rest[start..];
        // A plus begins another number.
        let ends = |(at, c): (usize, char)| (!(is_inside(c) || c == '/') || c == '+' && at > 0).then_some(at);
        let end = from.char_indices().find_map(ends).unwrap_or(from.len());
        let run = from[..end].trim_matches(|c: char| !(c.is_ascii_digit() || c == '+'));
        let word = normalize(before.trim_matches(|c: char| !c.is_alphabetic()));
        let is_announced = EXTENSION.contains(&word.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default());
        let is_extension = !found.is_empty() && (is_announced || before.trim_end().ends_with('#'));
        is_named |= !word.is_empty() && !is_announced;
        if !is_extension && run.contains(|c: char| c.is_ascii_digit()) {
            found.push(Run { text: run.to_owned(), is_named });
        }
        rest = &from[end..];
    }
    found
}
