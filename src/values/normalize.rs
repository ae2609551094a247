//! Normalizes text for comparison: for filters, full-text search, duplicates, unique names and sorting.
//!
//! Workspace files store normalized text. With each change of the result, increase `RULES` in `tenancy/indexing.rs`, so
//! that stored text is rewritten.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::phone::decimal;

/// Removes case, accents and typographic variants. Folding twice changes nothing.
///
/// - Case is folded in full (Unicode): `ß` becomes `ss`. Compatibility forms become plain letters: full width,
///   ligatures.
/// - Accents are removed, including Arabic hamza and the dots of Cyrillic `ё`. Letters that do not decompose become
///   their plain letter: `ø` becomes `o`, `æ` becomes `ae`.
/// - Apostrophes, dashes, quotes, blanks and digits of any script become ASCII. Invisible characters are removed.
pub fn normalize(text: &str) -> String {
    if text.is_ascii() {
        let plain = text.to_ascii_lowercase();
        return if plain.contains('`') { plain.replace('`', "'") } else { plain };
    }
    // Replace these first: Unicode would decompose them into a blank and an accent.
    let marks = text.chars().map(|c| if matches!(c, '´' | '΄' | '᾽' | '`') { '\'' } else { c });
    let letters = marks.nfkd().filter(|c| !is_combining_mark(*c) && !is_invisible(*c));
    let folded: String = letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    // Decompose again: a letter may decompose in one case and not in the other.
    let mut plain = String::with_capacity(folded.len());
    for c in folded.nfkd().filter(|c| !is_combining_mark(*c)) {
        match expand(c) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(decimal(c).unwrap_or(c)),
        }
    }
    plain
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{640}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The replacement for a lower-case character that Unicode does not decompose.
fn expand(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ĸ' => "k",
        'ŋ' => "n",
        'đ' | 'ð' | 'ɖ' | 'ɗ' => "d",
        'ø' | 'ɵ' | 'ɔ' => "o",
        'ł' | 'ƚ' | 'ɫ' | 'ⱡ' => "l",
        'ħ' => "h",
        'ŧ' | 'ⱦ' => "t",
        'ı' | 'ɨ' => "i",
        'ƀ' | 'ɓ' => "b",
        'ɇ' | 'ə' => "e",
        'ǥ' | 'ɠ' => "g",
        'ɉ' => "j",
        'ƙ' => "k",
        'ɲ' => "n",
        'ɍ' => "r",
        'ⱥ' => "a",
        'ȼ' => "c",
        'ʉ' => "u",
        'ƴ' | 'ɏ' => "y",
        'ƶ' => "z",
        'ٱ' => "ا",
        'ى' | 'ی' => "ي",
        'ک' => "ك",
        '`' | '’' | '‘' | '‛' | 'ʼ' | 'ʻ' | 'ʹ' | 'ʽ' | 'ʾ' | 'ʿ' | '′' | '‵' | '׳' => "'",
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' => "\"",
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{2e3a}' | '\u{2e3b}' | '\u{5be}' => "-",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_go() {
        assert_eq!(normalize("Éric LEFÈVRE"), "eric lefevre");
        assert_eq!(normalize("ＡＢＣ"), "abc");
        assert_eq!(normalize("Łukasz Đặng-Sørensen, cœur de Weiß"), "lukasz dang-sorensen, coeur de weiss");
        assert_eq!(normalize("WEISS"), normalize("weiß"));
        assert_eq!(normalize("O’Brien"), normalize("O'BRIEN"));
        assert_eq!(normalize("İstanbul ısparta"), "istanbul isparta");
        assert_eq!(normalize("Алёна"), normalize("АЛЕНА"));
        assert_eq!(normalize("أحمد"), normalize("احمد"));
        assert_eq!(normalize("ΟΔΟΣ"), normalize("οδος"));
        assert_eq!(normalize("٠١٢ ０１"), "012 01");
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,12}") {
            let once = normalize(&text);
            proptest::prop_assert_eq!(normalize(&once), once);
        }

        #[test]
        fn case_never_counts(text in "\\PC{0,12}") {
            proptest::prop_assert_eq!(normalize(&text.to_lowercase()), normalize(&text));
            // A Greek iota subscript becomes a separate letter in capitals.
            if !text.nfd().any(|c| c == '\u{345}') {
                proptest::prop_assert_eq!(normalize(&text.to_uppercase()), normalize(&text));
            }
        }

        /// Keyboards compose characters differently, which must not matter.
        #[test]
        fn composition_never_counts(text in "\\PC{0,12}") {
            let composed: String = text.nfc().collect();
            let decomposed: String = text.nfd().collect();
            proptest::prop_assert_eq!(normalize(&composed), normalize(&decomposed));
        }
    }
}
