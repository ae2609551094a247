//! Text without case and accents, the form in which texts are compared.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Lower-cased, with accents removed (Unicode NFKD less its combining marks): `É` and `e` fold alike.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_go() {
        assert_eq!(fold("Éric LEFÈVRE"), "eric lefevre");
        assert_eq!(fold("ＡＢＣ"), "abc");
    }
}
