//! The encoding of an uploaded file: UTF-8, UTF-16 with a byte order mark, else Windows-1252, which spreadsheets in
//! western Europe write.

use bytes::Bytes;
use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::error::{Error, Result};

/// The name of an encoding, as responses give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(pub &'static str);

const IS_UTF_8: Encoding = Encoding("UTF-8");
const IS_UTF_16: Encoding = Encoding("UTF-16");
const IS_WINDOWS_1252: Encoding = Encoding("Windows-1252");

/// Decodes a text to UTF-8 without its byte order mark. Also returns its encoding.
pub fn decode_to_utf8(text: Bytes) -> Result<(Bytes, Encoding)> {
    match encoding_rs::Encoding::for_bom(&text) {
        Some((encoding, mark)) if encoding == UTF_16LE || encoding == UTF_16BE => {
            let decoded = encoding.decode_without_bom_handling_and_without_replacement(&text[mark..]);
            let decoded =
                decoded.ok_or_else(|| Error::invalid("The file begins as UTF-16 but is not valid UTF-16."))?;
            Ok((decoded.into_owned().into(), IS_UTF_16))
        }
        Some((_, mark)) => utf_8(text.slice(mark..))
            .ok_or_else(|| Error::invalid("The file has a UTF-8 byte order mark but is not valid UTF-8.")),
        None => {
            let decoded = utf_8(text.clone());
            Ok(decoded.unwrap_or_else(|| {
                let (decoded, _) = WINDOWS_1252.decode_without_bom_handling(&text);
                (decoded.into_owned().into(), IS_WINDOWS_1252)
            }))
        }
    }
}

fn utf_8(text: Bytes) -> Option<(Bytes, Encoding)> {
    let is_utf_8 = encoding_rs::Encoding::utf8_valid_up_to(&text) == text.len();
    debug_assert_eq!(UTF_8.name(), IS_UTF_8.0);
    is_utf_8.then_some((text, IS_UTF_8))
}
