//! Writes JSON (RFC 8259), with the same result as `serde_json`.
//!
//! A row of the API has many short texts and names of fields, and almost none has a character to escape. `serde_json` looks at
//! each byte in turn. This looks at eight at once. `benches/README.md` has the difference. Texts with escapes and all values
//! that are neither texts, arrays nor objects are left to `serde_json`.

use std::fmt::Display;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Result};

/// A value as JSON.
pub fn to_vec(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
    // Almost every row is shorter.
    let mut out = Vec::with_capacity(1024);
    write(&mut out, value)?;
    Ok(out)
}

/// A value as JSON.
pub fn to_string(value: &(impl Serialize + ?Sized)) -> Result<String> {
    String::from_utf8(to_vec(value)?).map_err(Error::custom)
}

/// Appends a value as JSON.
pub fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    value.serialize(Writer { out })
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

/// The inside of an array or object. The first byte of `end` closes it, and the others what it is in.
struct Inside<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
    end: &'static [u8],
}

fn write_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    if needs_escape(text.as_bytes()) {
        return serde_json::to_writer(out, text);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Whether a text has a character that is escaped: a quote, a backslash, or one below the space (RFC 8259, section 7).
fn needs_escape(text: &[u8]) -> bool {
    match text.last_chunk() {
        None => text.iter().any(|byte| has_escaped(u64::from_le_bytes([*byte; 8]))),
        Some(last) => {
            let (eights, _) = text.as_chunks();
            eights.iter().chain([last]).any(|eight| has_escaped(u64::from_le_bytes(*eight)))
        }
    }
}

/// Whether one of eight bytes is a character that is escaped.
const fn has_escaped(eight: u64) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST_BITS: u64 = EACH << 7;
    /// Sets the highest bit of each byte below `limit`, up to 128, and possibly of bytes after such a byte.
    const fn below(eight: u64, limit: u8) -> u64 {
        eight.wrapping_sub(EACH * limit as u64) & !eight
    }
    let quotes = eight ^ (EACH * b'"' as u64);
    let backslashes = eight ^ (EACH * b'\\' as u64);
    (below(eight, b' ') | below(quotes, 1) | below(backslashes, 1)) & HIGHEST_BITS != 0
}

impl<'o> Writer<'o> {
    fn inside(self, begin: u8, end: &'static [u8]) -> Inside<'o> {
        self.out.push(begin);
        Inside { out: self.out, is_empty: true, end }
    }

    /// The inside of an array or object that is the only member of an object.
    fn inside_variant(self, variant: &'static str, begin: u8, end: &'static [u8]) -> Result<Inside<'o>> {
        self.out.push(b'{');
        write_text(self.out, variant)?;
        self.out.push(b':');
        Ok(self.inside(begin, end))
    }
}

macro_rules! by_serde_json {
    ($($method:ident: $type:ty),+) => {
        $(fn $method(self, value: $type) -> Result<()> {
            serde_json::Serializer::new(self.out).$method(value)
        })+
    };
}

impl<'o> Serializer for Writer<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Inside<'o>;
    type SerializeTuple = Inside<'o>;
    type SerializeTupleStruct = Inside<'o>;
    type SerializeTupleVariant = Inside<'o>;
    type SerializeMap = Inside<'o>;
    type SerializeStruct = Inside<'o>;
    type SerializeStructVariant = Inside<'o>;

    by_serde_json! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    }

    fn serialize_none(self) -> Result<()> {
        serde_json::Serializer::new(self.out).serialize_none()
    }

    fn serialize_unit(self) -> Result<()> {
        serde_json::Serializer::new(self.out).serialize_unit()
    }

    /// Writes what the value displays, without a text in between.
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        serde_json::Serializer::new(self.out).collect_str(value)
    }

    fn serialize_str(self, text: &str) -> Result<()> {
        write_text(self.out, text)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        write_text(self.out, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut object = self.inside(b'{', b"}");
        object.member(variant, value)?;
        object.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'o>> {
        Ok(self.inside(b'[', b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'o>> {
        Ok(self.inside(b'[', b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'o>> {
        Ok(self.inside(b'[', b"]"))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Inside<'o>> {
        self.inside_variant(variant, b'[', b"]}")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'o>> {
        Ok(self.inside(b'{', b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'o>> {
        Ok(self.inside(b'{', b"}"))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Inside<'o>> {
        self.inside_variant(variant, b'{', b"}}")
    }
}

impl Inside<'_> {
    fn separate(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }

    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.separate();
        write(self.out, value)
    }

    /// The name of a member: a text, or a number or a boolean in quotes.
    fn name(&mut self, name: &(impl Serialize + ?Sized)) -> Result<()> {
        self.separate();
        let start = self.out.len();
        write(self.out, name)?;
        match self.out.get(start) {
            Some(b'"') => Ok(()),
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.out.insert(start, b'"');
                self.out.push(b'"');
                Ok(())
            }
            _ => Err(Error::custom("the name of a member is a text")),
        }
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.out.push(b':');
        write(self.out, value)
    }

    fn member(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.name(name)?;
        self.value(value)
    }

    fn close(self) -> Result<()> {
        self.out.extend_from_slice(self.end);
        Ok(())
    }
}

macro_rules! arrays {
    ($($trait:ident: $method:ident),+) => {
        $(impl $trait for Inside<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        })+
    };
}

arrays! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! objects {
    ($($trait:ident),+) => {
        $(impl $trait for Inside<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.member(name, value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        })+
    };
}

objects! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<()> {
        self.name(name)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// Every shape that a value may have.
    #[derive(Debug, Clone, serde::Serialize)]
    struct Shapes {
        #[serde(rename = "a \"name\"\n")]
        text: String,
        byte: u8,
        integer: i64,
        long: i128,
        fraction: f64,
        small_fraction: f32,
        letter: char,
        flag: bool,
        unit: (),
        pair: (i32, String),
        variants: Vec<Variant>,
        by_integer: BTreeMap<i64, Option<String>>,
        by_flag: BTreeMap<bool, char>,
        by_letter: BTreeMap<char, u16>,
        by_variant: BTreeMap<Plain, i8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<u32>,
        #[serde(flatten)]
        others: Map<String, Value>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
    enum Plain {
        A,
        B,
    }

    #[derive(Debug, Clone, serde::Serialize)]
    enum Variant {
        Unit,
        Newtype(String),
        Tuple(i64, Plain),
        Struct { text: String, wrapped: Wrapped },
        Nothing(Empty),
    }

    #[derive(Debug, Clone, serde::Serialize)]
    struct Wrapped(Option<f64>);

    #[derive(Debug, Clone, serde::Serialize)]
    struct Empty;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["\\PC{0,40}", "[ -~]{0,40}", "[a\"\\\\\\x00-\\x1f\\x7f é]{0,20}"]
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map(text(), inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn variant() -> impl Strategy<Value = Variant> {
        prop_oneof![
            Just(Variant::Unit),
            Just(Variant::Nothing(Empty)),
            text().prop_map(Variant::Newtype),
            (any::<i64>(), plain()).prop_map(|(n, plain)| Variant::Tuple(n, plain)),
            (text(), option::of(any::<f64>()))
                .prop_map(|(text, fraction)| Variant::Struct { text, wrapped: Wrapped(fraction) }),
        ]
    }

    fn plain() -> impl Strategy<Value = Plain> {
        prop_oneof![Just(Plain::A), Just(Plain::B)]
    }

    prop_compose! {
        fn shapes()(
            (text, byte, integer, long, fraction, small_fraction) in
                (text(), any::<u8>(), any::<i64>(), any::<i128>(), any::<f64>(), any::<f32>()),
            (letter, flag, pair) in (any::<char>(), any::<bool>(), (any::<i32>(), text())),
            variants in vec(variant(), 0..4),
            by_integer in btree_map(any::<i64>(), option::of(text()), 0..3),
            by_flag in btree_map(any::<bool>(), any::<char>(), 0..3),
            by_letter in btree_map(any::<char>(), any::<u16>(), 0..3),
            by_variant in btree_map(plain(), any::<i8>(), 0..3),
            absent in option::of(any::<u32>()),
            others in btree_map(text(), json(), 0..3),
        ) -> Shapes {
            Shapes {
                text, byte, integer, long, fraction, small_fraction, letter, flag, unit: (), pair, variants, by_integer,
                by_flag, by_letter, by_variant, absent, others: others.into_iter().collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_written_as_serde_json_writes_it(value in json(), shapes in shapes()) {
            prop_assert_eq!(to_string(&value).unwrap(), serde_json::to_string(&value).unwrap());
            prop_assert_eq!(to_string(&shapes).unwrap(), serde_json::to_string(&shapes).unwrap());
        }
    }

    #[test]
    fn the_name_of_a_member_is_a_text() {
        let by_list = BTreeMap::from([(vec![1], 2)]);
        assert!(serde_json::to_string(&by_list).is_err());
        assert!(to_string(&by_list).is_err());
    }
}
