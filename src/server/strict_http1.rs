//! Strict checks of HTTP/1 request heads. hyper accepts some malformed heads silently, and a proxy before us may read
//! those differently (request smuggling). So we also look at the raw bytes and reject such requests.

use bytes::{Buf, BytesMut};
use http::{Version, header};
use memchr::memchr;

/// The preface of an HTTP/2 connection (RFC 9113, 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Received bytes that are not yet assigned to a request.
#[derive(Debug, Default)]
pub struct StrictHttp1 {
    came: BytesMut,
    /// Remaining bytes of the last request's body.
    body: u64,
    /// Stops the checks: HTTP/2 has no lines, and after the last request nothing follows.
    done: bool,
}

/// Whether another request may follow on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Follows,
    /// Only hyper knows where the body ends and the next head begins.
    Never,
}

impl StrictHttp1 {
    /// Adds bytes that hyper is about to get.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        let of_body = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        self.body -= of_body as u64;
        self.came.extend_from_slice(&bytes[of_body..]);
        if self.came.starts_with(HTTP_2) {
            self.finish();
        }
    }

    /// Removes the head and body of a request that hyper has parsed; an error says how the head is malformed.
    pub fn take<B>(&mut self, request: &http::Request<B>) -> Result<Next, &'static str> {
        if request.version() == Version::HTTP_2 {
            self.finish();
            return Ok(Next::Follows);
        }
        if self.done {
            return Ok(Next::Never);
        }
        let taken = self.take_head();
        if taken.is_err() || request.headers().contains_key(header::TRANSFER_ENCODING) {
            self.finish();
            return taken.map(|()| Next::Never);
        }
        let length =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length: u64 = length.unwrap_or_default();
        let came = usize::try_from(length).unwrap_or(usize::MAX).min(self.came.len());
        self.came.advance(came);
        self.body = length - came as u64;
        Ok(Next::Follows)
    }

    fn take_head(&mut self) -> Result<(), &'static str> {
        let (mut begun, mut lengths) = (false, 0);
        // hyper has found the end of the head, an empty line.
        while let Some(end) = memchr(b'\n', &self.came) {
            let Some(line) = self.came[..end].strip_suffix(b"\r") else {
                return Err("Each line of the request head must end with CRLF.");
            };
            let is_empty = line.is_empty();
            lengths += usize::from(is_field(line, b"content-length") || is_field(line, b"transfer-encoding"));
            self.came.advance(end + 1);
            match (is_empty, begun) {
                (true, true) if lengths > 1 => return Err("The request must state the length of its body only once."),
                (true, true) => return Ok(()),
                // Empty lines before a request are allowed (RFC 9112, 2.2).
                (true, false) => {}
                (false, _) => begun = true,
            }
        }
        Err("The request head must end with an empty line.")
    }

    fn finish(&mut self) {
        *self = Self { done: true, ..Self::default() };
    }
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    fn request(headers: &[(&'static str, &str)]) -> http::Request<()> {
        headers
            .iter()
            .fold(http::Request::builder(), |request, (name, value)| request.header(*name, *value))
            .body(())
            .unwrap()
    }

    fn heads(bytes: &str) -> StrictHttp1 {
        let mut heads = StrictHttp1::default();
        heads.feed(bytes.as_bytes());
        heads
    }

    #[test]
    fn heads_are_taken_one_after_the_other_and_bodies_are_none_of_them() {
        let posted = "\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n";
        // Any cut into pieces works, and a body may contain any lines.
        let all = format!("{GET}{posted}\n\n\n\n\n\n{GET}");
        for cut in 0..all.len() {
            let mut heads = heads("");
            let last = all.len() - GET.len();
            for part in [&all[..cut.min(last)], &all[cut.min(last)..last]] {
                heads.feed(part.as_bytes());
            }
            assert_eq!(heads.take(&request(&[])), Ok(Next::Follows), "{cut}");
            assert_eq!(heads.take(&request(&[("content-length", "6")])), Ok(Next::Follows), "{cut}");
            heads.feed(&all.as_bytes()[last..]);
            assert_eq!(heads.take(&request(&[])), Ok(Next::Follows), "{cut}");
            assert!(heads.came.is_empty() && heads.body == 0, "{cut}");
        }
    }

    #[test]
    fn the_rest_of_a_long_body_is_not_kept() {
        let mut heads = heads(GET);
        heads.take(&request(&[("content-length", "10000000")])).unwrap();
        for _ in 0..10 {
            heads.feed(&vec![b'\n'; 1_000_000]);
        }
        assert!(heads.came.is_empty() && heads.body == 0);
        heads.feed(b"x");
        assert_eq!(heads.came.len(), 1);
    }

    #[test]
    fn a_line_that_ends_in_lf_alone_is_refused() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(heads(bad).take(&request(&[])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_length_of_a_body_is_said_once() {
        for twice in [
            "content-length: 0\r\nContent-Length: 0",
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            "transfer-encoding: chunked\r\nTRANSFER-ENCODING: chunked",
        ] {
            let chunked = request(&[("transfer-encoding", "chunked")]);
            assert!(heads(&format!("POST / HTTP/1.1\r\n{twice}\r\n\r\n")).take(&chunked).is_err(), "{twice}");
        }
    }

    #[test]
    fn after_a_body_in_chunks_and_in_http_2_nothing_is_looked_at() {
        let mut chunked = heads("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0");
        assert_eq!(chunked.take(&request(&[("transfer-encoding", "chunked")])), Ok(Next::Never));
        let (first, rest) = HTTP_2.split_at(10);
        let mut frames = StrictHttp1::default();
        frames.feed(first);
        frames.feed(rest);
        for mut heads in [chunked, frames] {
            heads.feed(&[0; 1000]);
            assert!(heads.done && heads.came.is_empty());
        }
    }
}
