//! Content codings (RFC 9110, 8.4): compresses a response if the client accepts that.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};

use super::error::{Error, Result};

/// Documents are compressed once and sent often, so a few tenths of a second are worth it.
const BROTLI_QUALITY: i32 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCoding {
    Gzip,
    Brotli,
}

impl ContentCoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    /// The best of these codings that the client accepts, by the client's weight, then by this order (RFC 9110,
    /// 12.5.3).
    pub fn accepted_coding(headers: &HeaderMap, of: &[Self]) -> Option<Self> {
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        let mut liked = Vec::new();
        for item in lines.flat_map(|line| line.split(',')) {
            let (name, parameter) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = parameter.trim().split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
            let weight = weight.and_then(|(_, weight)| weight.trim().parse::<f32>().ok());
            // An older name of the same coding (RFC 9110, 8.4.1.3).
            let name = if name.trim().eq_ignore_ascii_case("x-gzip") { "gzip" } else { name.trim() };
            liked.push((name, weight.unwrap_or(0.0)));
        }
        let weight = |name: &str| {
            let named = liked.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            named.or_else(|| liked.iter().find(|(known, _)| *known == "*")).map_or(0.0, |(_, weight)| *weight)
        };
        let best = of.iter().rev().max_by(|a, b| weight(a.name()).total_cmp(&weight(b.name())))?;
        (weight(best.name()) > 0.0).then_some(*best)
    }

    /// Compresses a whole text.
    pub fn compress(self, text: &[u8]) -> Result<Bytes> {
        let packed = match self {
            Self::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                gzip.write_all(text).and_then(|()| gzip.finish())
            }
            Self::Brotli => {
                let mut brotli = Vec::new();
                let parameters = brotli::enc::BrotliEncoderParams { quality: BROTLI_QUALITY, ..Default::default() };
                brotli::BrotliCompress(&mut &*text, &mut brotli, &parameters).map(|_| brotli)
            }
        };
        packed.map(Bytes::from).map_err(|error| Error::Internal(error.to_string()))
    }
}

/// Compresses a long response piece by piece.
pub struct Packer(GzEncoder<Vec<u8>>);

impl Packer {
    pub fn gzip() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// The compressed form of a piece. It is flushed, so the client can decompress it at once.
    pub fn add(&mut self, piece: &[u8]) -> std::io::Result<Bytes> {
        self.0.write_all(piece)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()).into())
    }

    /// The end of the stream.
    pub fn end(self) -> std::io::Result<Bytes> {
        self.0.finish().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_is_the_one_that_the_client_likes_most() {
        let taken = |accepted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            ContentCoding::accepted_coding(&headers, &[ContentCoding::Brotli, ContentCoding::Gzip])
                .map(ContentCoding::name)
        };
        for (accepted, coding) in [
            ("gzip, deflate, br", Some("br")),
            ("gzip", Some("gzip")),
            ("GZIP;q=0.8, br;q=0.5", Some("gzip")),
            ("br;q=0, gzip", Some("gzip")),
            ("*", Some("br")),
            ("*;q=0", None),
            ("identity", None),
            ("gzip;q=0, br;q=0.000", None),
            ("gzip;q=nonsense", None),
            ("", None),
        ] {
            assert_eq!(taken(accepted), coding, "{accepted}");
        }
        assert_eq!(ContentCoding::accepted_coding(&HeaderMap::new(), &[ContentCoding::Gzip]), None);
    }
}
