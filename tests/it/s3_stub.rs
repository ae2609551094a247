//! An S3 server for tests: it keeps objects in memory, honours conditions, and fails on demand.
//!
//! The unit tests of `src/` include this file too. It checks the access key of a request and that a condition is
//! signed, but not the signature: `tests/object_store.sh` does that with another server.

#![allow(dead_code, reason = "each test crate uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use parking_lot::Mutex;

/// The access key that [`S3Stub::key_files`] writes.
const KEY: &str = "stub-key";
const BUCKET: &str = "bucket";

/// A server that runs as long as the test.
pub struct S3Stub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What goes wrong. A fault holds until [`S3Stub::heal`], unless it counts requests.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Each request takes this many milliseconds longer.
    Delay(u64),
    /// The next changes are made, but the connection is closed instead of an answer.
    Unanswered(usize),
    /// The next requests are not carried out and get this status.
    Answer(u16, usize),
    /// Every connection is closed without an answer.
    CutOff,
    /// The same, for the requests with one access key.
    CutOffKey(String),
    /// `If-None-Match` is ignored.
    IgnoreIfNoneMatch,
    /// `If-Match` is ignored.
    IgnoreIfMatch,
    /// `If-None-Match` is checked before the object is written, and not at the same moment.
    RacyCreates,
    /// So many more objects are stored, and then none: the store is full.
    FullAfter(usize),
    /// Objects are stored with a wrong byte in the middle.
    Garble,
    /// The next objects that are read end in the middle.
    Truncate(usize),
    /// The clock of the store is ahead of the client's by this many seconds, and every request is rejected for that.
    Clock(i64),
    /// Every request is rejected with this status and code.
    Reject(u16, &'static str),
}

/// Requests that arrived, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    pub get: usize,
    pub put: usize,
    pub delete: usize,
    pub list: usize,
}

impl Requests {
    pub fn total(&self) -> usize {
        self.get + self.put + self.delete + self.list
    }
}

struct State {
    objects: BTreeMap<String, (Vec<u8>, String)>,
    keys: Vec<String>,
    faults: Vec<Fault>,
    requests: Requests,
    connections: usize,
    versions: u64,
    page: usize,
}

impl S3Stub {
    pub fn start() -> Self {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    /// Starts a server at an address of this machine.
    pub fn at(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            objects: BTreeMap::new(),
            keys: vec![KEY.to_owned()],
            faults: Vec::new(),
            requests: Requests::default(),
            connections: 0,
            versions: 0,
            page: 1000,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                state.lock().connections += 1;
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// The address of the bucket, as `store_url` takes it.
    pub fn url(&self) -> String {
        format!("http://{}/{BUCKET}", self.address)
    }

    /// Writes the files with the access key and the secret key.
    pub fn key_files(&self, folder: &Path) -> (PathBuf, PathBuf) {
        self.key_files_of(folder, KEY)
    }

    /// The same with another access key, by which [`Fault::CutOffKey`] tells one node from another.
    pub fn key_files_of(&self, folder: &Path, key: &str) -> (PathBuf, PathBuf) {
        self.state.lock().keys.push(key.to_owned());
        let (key_file, secret_file) = (folder.join(format!("{key}.id")), folder.join(format!("{key}.secret")));
        fs::write(&key_file, format!("{key}\n")).unwrap();
        fs::write(&secret_file, "stub-secret\n").unwrap();
        (key_file, secret_file)
    }

    pub fn fault(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// The most entries of one page of a list.
    pub fn page(&self, entries: usize) {
        self.state.lock().page = entries;
    }

    /// The keys of all objects, in order.
    pub fn objects(&self) -> Vec<String> {
        self.state.lock().objects.keys().cloned().collect()
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().objects.get(key).map(|(body, _)| body.clone())
    }

    /// Stores an object, as another program does.
    pub fn put_object(&self, key: &str, body: &[u8]) {
        let mut state = self.state.lock();
        state.versions += 1;
        let tag = format!("\"{:032x}\"", state.versions);
        state.objects.insert(key.to_owned(), (body.to_vec(), tag));
    }

    /// Inverts the middle byte of an object. Its tag stays.
    pub fn damage(&self, key: &str) {
        let mut state = self.state.lock();
        let (body, _) = state.objects.get_mut(key).unwrap_or_else(|| panic!("no object {key}"));
        let middle = body.len() / 2;
        body[middle] = !body[middle];
    }

    pub fn remove(&self, key: &str) {
        assert!(self.state.lock().objects.remove(key).is_some(), "no object {key}");
    }

    pub fn requests(&self) -> Requests {
        self.state.lock().requests
    }

    /// The number of connections that were opened.
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }
}

/// A request as it arrived.
struct Request {
    method: String,
    /// The key in the bucket; empty for the bucket itself.
    key: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// What is sent; `None` closes the connection.
type Answer = Option<(u16, Vec<String>, Vec<u8>)>;

/// Serves the requests of one connection.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let Some((status, headers, body)) = answer(&request, state) else { return Ok(()) };
        let mut text = format!("HTTP/1.1 {status} S\r\nContent-Length: {}\r\n", body.len());
        for header in headers {
            text += &format!("{header}\r\n");
        }
        let is_cut = request.is_object("GET")
            && status == 200
            && take_one(state, |fault| match fault {
                Fault::Truncate(left) => Some(left),
                _ => None,
            });
        let sent = if is_cut { body.len() / 2 } else { body.len() };
        // One write, since a second small one would wait for the acknowledgement of the first.
        (&*stream).write_all(&[text.as_bytes(), b"\r\n", &body[..sent]].concat())?;
        if is_cut {
            return Ok(());
        }
    }
    Ok(())
}

impl Request {
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let pairs = lines[1..].iter().filter_map(|line| line.split_once(": "));
        let headers: HashMap<_, _> = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        assert!(!headers.contains_key("transfer-encoding"), "S3 wants the length of a body");
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
        let key = decoded(path).strip_prefix(&format!("/{BUCKET}/")).map(str::to_owned);
        let key = key.unwrap_or_else(|| format!("no-such-bucket:{path}"));
        Ok(Some(Self { method: method.to_owned(), key, query, headers, body }))
    }

    fn is_object(&self, method: &str) -> bool {
        self.method == method && !self.key.is_empty()
    }

    fn access_key(&self) -> &str {
        self.query.get("X-Amz-Credential").and_then(|value| value.split('/').next()).unwrap_or_default()
    }

    fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

/// Counts down a fault. Returns whether it holds for this request.
fn take_one(state: &Mutex<State>, counter: impl Fn(&mut Fault) -> Option<&mut usize>) -> bool {
    let mut state = state.lock();
    let found = state.faults.iter_mut().filter_map(counter).find(|left| **left > 0);
    found.map(|left| *left -= 1).is_some()
}

fn answer(request: &Request, state: &Mutex<State>) -> Answer {
    let faults = {
        let mut state = state.lock();
        let requests = &mut state.requests;
        match request.method.as_str() {
            "PUT" => requests.put += 1,
            "DELETE" => requests.delete += 1,
            _ if request.key.is_empty() => requests.list += 1,
            _ => requests.get += 1,
        }
        state.faults.clone()
    };
    let mut date = None;
    for fault in &faults {
        match fault {
            Fault::Delay(milliseconds) => thread::sleep(Duration::from_millis(*milliseconds)),
            Fault::CutOff => return None,
            Fault::CutOffKey(key) if key == request.access_key() => return None,
            Fault::Reject(status, code) => return error(*status, code),
            Fault::Clock(seconds) => date = Some(*seconds),
            _ => {}
        }
    }
    if let Some(seconds) = date {
        let signed = DateTime::strptime("%Y%m%dT%H%M%SZ", request.query("X-Amz-Date")).unwrap();
        let at = (signed + SignedDuration::from_secs(seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT");
        let (status, mut headers, body) = error(403, "RequestTimeTooSkewed")?;
        headers.push(format!("Date: {at}"));
        return Some((status, headers, body));
    }
    let status = faults.iter().find_map(|fault| match fault {
        Fault::Answer(status, _) => Some(*status),
        _ => None,
    });
    if let Some(status) = status
        && take_one(state, |fault| if let Fault::Answer(_, left) = fault { Some(left) } else { None })
    {
        return error(status, if status == 409 { "ConditionalRequestConflict" } else { "SlowDown" });
    }
    if !state.lock().keys.iter().any(|key| key == request.access_key()) {
        return error(403, "InvalidAccessKeyId");
    }
    if request.query("X-Amz-Signature").is_empty() {
        return error(403, "AccessDenied");
    }
    if request.key.starts_with("no-such-bucket:") {
        return error(404, "NoSuchBucket");
    }
    let answer = carry_out(request, state, &faults);
    let is_change = request.method == "PUT" || request.method == "DELETE";
    let is_unanswered =
        is_change && take_one(state, |fault| if let Fault::Unanswered(left) = fault { Some(left) } else { None });
    if is_unanswered { None } else { answer }
}

fn carry_out(request: &Request, state: &Mutex<State>, faults: &[Fault]) -> Answer {
    let key = &request.key;
    match request.method.as_str() {
        "GET" if key.is_empty() => Some((200, Vec::new(), list(request, &state.lock()).into_bytes())),
        "GET" => match state.lock().objects.get(key) {
            Some((body, tag)) => Some((200, vec![format!("ETag: {tag}")], body.clone())),
            None => error(404, "NoSuchKey"),
        },
        "DELETE" => {
            state.lock().objects.remove(key);
            Some((204, Vec::new(), Vec::new()))
        }
        "PUT" => put(request, state, faults),
        _ => error(405, "MethodNotAllowed"),
    }
}

fn put(request: &Request, state: &Mutex<State>, faults: &[Fault]) -> Answer {
    let has = |wanted: fn(&Fault) -> bool| faults.iter().any(wanted);
    for condition in ["if-none-match", "if-match"] {
        let is_signed = request.query("X-Amz-SignedHeaders").split(';').any(|name| name == condition);
        assert_eq!(request.headers.contains_key(condition), is_signed, "a condition must be signed: {condition}");
    }
    let mut state_now = state.lock();
    let tag = state_now.objects.get(&request.key).map(|(_, tag)| tag.clone());
    if request.headers.contains_key("if-none-match")
        && tag.is_some()
        && !has(|fault| matches!(fault, Fault::IgnoreIfNoneMatch))
    {
        return error(412, "PreconditionFailed");
    }
    if let Some(wanted) = request.headers.get("if-match")
        && !has(|fault| matches!(fault, Fault::IgnoreIfMatch))
    {
        match tag {
            None => return error(404, "NoSuchKey"),
            Some(tag) if tag != *wanted => return error(412, "PreconditionFailed"),
            Some(_) => {}
        }
    }
    if has(|fault| matches!(fault, Fault::RacyCreates)) {
        drop(state_now);
        thread::sleep(Duration::from_millis(100));
        state_now = state.lock();
    }
    let has_room = state_now.faults.iter_mut().find_map(|fault| match fault {
        Fault::FullAfter(left) => Some(std::mem::replace(left, left.saturating_sub(1)) > 0),
        _ => None,
    });
    if has_room == Some(false) {
        return error(507, "XMinioStorageFull");
    }
    state_now.versions += 1;
    let tag = format!("\"{:032x}\"", state_now.versions);
    let mut body = request.body.clone();
    if let (true, Some(byte)) = (has(|fault| matches!(fault, Fault::Garble)), body.get_mut(request.body.len() / 2)) {
        *byte = !*byte;
    }
    state_now.objects.insert(request.key.clone(), (body, tag.clone()));
    Some((200, vec![format!("ETag: {tag}")], Vec::new()))
}

/// A page of a list (`list-type=2`).
fn list(request: &Request, state: &State) -> String {
    assert_eq!(request.query("list-type"), "2");
    let (prefix, delimiter) = (request.query("prefix"), request.query("delimiter"));
    let token = request.query("continuation-token");
    let after = if token.is_empty() { request.query("start-after") } else { token };
    let mut entries: Vec<(String, String)> = Vec::new();
    for (key, (body, tag)) in state.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let folder = (!delimiter.is_empty()).then(|| key[prefix.len()..].find(delimiter)).flatten();
        let (name, entry) = match folder {
            Some(end) => {
                let folder = &key[..prefix.len() + end + delimiter.len()];
                (folder, format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encoded(folder)))
            }
            None => {
                let (key_in_xml, size) = (encoded(key), body.len());
                let tag = tag.replace('"', "&quot;");
                (
                    key.as_str(),
                    format!("<Contents><Key>{key_in_xml}</Key><ETag>{tag}</ETag><Size>{size}</Size></Contents>"),
                )
            }
        };
        if name > after && entries.last().is_none_or(|(last, _)| last != name) {
            entries.push((name.to_owned(), entry));
        }
    }
    let is_truncated = entries.len() > state.page;
    entries.truncate(state.page);
    let next = match entries.last() {
        Some((last, _)) if is_truncated => format!("<NextContinuationToken>{last}</NextContinuationToken>"),
        _ => String::new(),
    };
    let entries: String = entries.into_iter().map(|(_, entry)| entry).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{BUCKET}</Name><IsTruncated>{is_truncated}</IsTruncated>\
         <EncodingType>url</EncodingType>{entries}{next}</ListBucketResult>"
    )
}

fn error(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>The stub says \
         {status}.</Message></Error>"
    );
    Some((status, vec!["Content-Type: application/xml".into()], body.into_bytes()))
}

fn decoded(text: &str) -> String {
    let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 3;
            }
            (byte, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).expect("a key is UTF-8")
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
