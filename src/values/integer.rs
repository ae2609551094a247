//! Integers as clients write them: `1.0` is an integer too (JSON Schema 2020-12, 4.2.3).

/// Up to this bound a float represents every integer exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Converts a float to an integer if it has no fraction.
pub fn whole(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

/// Parses an integer in a query, where every value is text.
pub fn read(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| whole(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_float_is_an_integer_and_nothing_else_is() {
        for (text, integer) in [
            ("7", Some(7)),
            ("-2863.0", Some(-2863)),
            ("9223372036854775807", Some(i64::MAX)),
            ("1.5", None),
            ("1e300", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(read(text), integer, "{text}");
        }
    }
}
