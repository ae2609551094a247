//! The languages of the pages for people.

use std::cmp::Reverse;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    English,
    French,
}

impl Language {
    const ALL: [Self; 2] = [Self::English, Self::French];

    /// Its language tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The language of a tag, with or without a country: `fr`, `fr-CA`.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?;
        Self::ALL.into_iter().find(|known| primary.eq_ignore_ascii_case(known.tag()))
    }

    /// Chooses the preferred language from the values of `Accept-Language` (RFC 9110, 12.5.4), if one is known. For
    /// `fr-CA;q=0.8, de` it is French. The crate `accept-language` does not fit: it compares whole tags and accepts
    /// `q=0`.
    pub fn wanted<'v>(accepted: impl Iterator<Item = &'v str>) -> Option<Self> {
        let mut ranges: Vec<(u16, Self)> = accepted.flat_map(|value| value.split(',')).filter_map(range).collect();
        ranges.sort_by_key(|(weight, _)| Reverse(*weight));
        ranges.first().map(|(_, language)| *language)
    }
}

/// Parses a range of the header. Returns its language and its weight in thousandths, if the language is known and the
/// weight is not zero.
fn range(text: &str) -> Option<(u16, Language)> {
    let (tag, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let (_, weight) = weight.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"))?;
    let weight = weight.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
    let language = Language::of_tag(tag.trim())?;
    let weight = (weight * 1000.0).round() as u16;
    (weight > 0).then_some((weight, language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_liked_best_of_those_there_are() {
        let (english, french) = (Some(Language::English), Some(Language::French));
        for (accepted, wanted) in [
            ("", None),
            ("fr", french),
            ("FR-ca", french),
            ("de, fr-CH;q=0.5, en ; q=0.4", french),
            ("fr;q=0.2,en-GB;q=0.9", english),
            ("en;q=0.7, fr;q=0.7", english),
            ("fr;q=0.7, en;q=0.7", french),
            ("en;q=0, fr;q=0.1", french),
            ("fr;q=0", None),
            ("*", None),
            ("frr, de", None),
            ("fr;q=NaN", None),
            ("fr;q=2, en", english),
            ("fr;level=1", None),
            (",;=,fr", french),
        ] {
            assert_eq!(Language::wanted([accepted].into_iter()), wanted, "{accepted:?}");
        }
        assert_eq!(Language::wanted(["de", "fr;q=0.1"].into_iter()), french);
    }

    #[test]
    fn the_language_of_a_locale() {
        let known = ["fr", "fr-FR", "en-GB"].map(Language::of_tag);
        assert_eq!(known, [Some(Language::French), Some(Language::French), Some(Language::English)]);
        assert_eq!(["de-CH", "frr", ""].map(Language::of_tag), [None; 3]);
    }
}
