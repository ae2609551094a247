//! A small blocking HTTP/1.1 client: whole requests, and raw connections for tests about bytes.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any expected wait, so that a silent server fails a test instead of hanging it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One request. Empty fields are omitted, including `Host`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'r> {
    pub method: &'r str,
    pub path: &'r str,
    pub host: &'r str,
    pub token: Option<&'r str>,
    pub headers: &'r [(&'r str, &'r str)],
    pub body: Option<&'r str>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    headers: Vec<(String, String)>,
}

/// A connection that stays open between requests.
pub struct Connection(BufReader<TcpStream>);

impl Request<'_> {
    /// The bytes of the request. The body is sent as JSON unless the headers say otherwise.
    pub fn text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let mut header = |name: &str, value: &str| write!(text, "{name}: {value}\r\n").expect("a text takes all");
        if !self.host.is_empty() {
            header("Host", self.host);
        }
        if let Some(token) = self.token {
            header("Authorization", &format!("Bearer {token}"));
        }
        for (name, value) in self.headers {
            header(name, value);
        }
        let is_given = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let body = self.body.unwrap_or_default();
        if self.body.is_some() && !is_given("Content-Type") {
            header("Content-Type", "application/json");
        }
        if self.body.is_some() && !is_given("Content-Length") {
            header("Content-Length", &body.len().to_string());
        }
        text + "\r\n" + body
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a request and reads its response.
    pub fn ask(&mut self, request: &Request<'_>) -> io::Result<Answer> {
        self.send(request.text())?;
        let answer = if request.method == "HEAD" { self.receive_head()? } else { self.receive()? };
        answer.ok_or_else(|| ErrorKind::ConnectionAborted.into())
    }

    /// The next response; `None` if the server closed the connection before it; `UnexpectedEof` if it closed in the
    /// middle.
    pub fn receive(&mut self) -> io::Result<Option<Answer>> {
        let Some(mut answer) = self.receive_head()? else { return Ok(None) };
        answer.text = String::from_utf8(self.receive_body(&answer)?).expect("answers are UTF-8");
        Ok(Some(answer))
    }

    /// The body of a response whose head was received.
    pub fn receive_body(&mut self, head: &Answer) -> io::Result<Vec<u8>> {
        let length = head.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).map_err(half_answered)?;
        Ok(body)
    }

    /// The chunked body of a response whose head was received (RFC 9112, 7.1).
    pub fn receive_chunks(&mut self) -> io::Result<String> {
        let mut body = Vec::new();
        loop {
            let chunk = self.receive_chunk()?;
            if chunk.is_empty() {
                return Ok(String::from_utf8(body).expect("answers are UTF-8"));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The next chunk of a body; empty at its end.
    pub fn receive_chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut size = String::new();
        self.0.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| half_answered(io::Error::other(size)))?;
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok(chunk)
    }

    /// Reads so many bytes.
    pub fn receive_bytes(&mut self, many: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; many];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A response that consists of a head only: to `HEAD`, or `100 Continue`.
    pub fn receive_head(&mut self) -> io::Result<Option<Answer>> {
        let mut first = String::new();
        match self.0.read_line(&mut first) {
            Ok(0) => return Ok(None),
            Err(error) if first.is_empty() && error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            read => read?,
        };
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| half_answered(io::Error::other(first)))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).map_err(half_answered)? == 0 {
                return Err(half_answered(ErrorKind::UnexpectedEof.into()));
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => return Ok(Some(Answer { status, headers, text: String::new() })),
            }
        }
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    #[track_caller]
    pub fn created(&self) -> Value {
        assert_eq!(self.status, 201, "{self:?}");
        self.json()
    }

    /// An error of the form `{message, error}`.
    #[track_caller]
    pub fn refused(&self, status: u16, error: &str) {
        assert_eq!((self.status, &self.json()["error"]), (status, &json!(error)), "{self:?}");
        assert!(self.json()["message"].is_string(), "{self:?}");
    }

    /// A 400 with exactly these sentences.
    #[track_caller]
    pub fn invalid(&self, sentences: &[&str]) {
        assert_eq!((self.status, &self.json()["hint"]), (400, &json!(sentences)), "{self:?}");
    }
}

/// Maps all errors of a response that was cut off to one kind.
fn half_answered(error: io::Error) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, error)
}
