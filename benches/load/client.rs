//! The load client: keep-alive HTTP/1.1 over plain sockets. It shares the cores with the server that it measures, so it
//! does little: it writes requests straight into a buffer, and reads only the status and length of a response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// After this time a request counts as failed, and the run ends instead of hanging.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long a scenario runs.
#[derive(Clone, Copy)]
pub struct Times {
    pub warmup: Duration,
    pub measured: Duration,
}

/// The part of a scenario that counts.
#[derive(Clone, Copy)]
pub struct Window {
    opens: Instant,
    closes: Instant,
}

impl Window {
    pub fn starting_now(times: Times) -> Self {
        let opens = Instant::now() + times.warmup;
        Self { opens, closes: opens + times.measured }
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.closes
    }
}

/// The results of a window.
#[derive(Default)]
pub struct Tally {
    /// Number of good responses inside the window.
    pub answered: usize,
    /// Number of all good responses, including the warm-up.
    pub responses: usize,
    /// Latency of every good response in microseconds. Responses after the end of the window are included, because
    /// without them the slowest would be missing.
    pub latencies: Vec<u32>,
    /// Number of responses other than 2xx and of broken connections, including the warm-up.
    pub errors: usize,
    pub first_error: Option<String>,
}

impl Tally {
    pub fn record(&mut self, window: &Window, asked: Instant) {
        let answered = Instant::now();
        self.responses += 1;
        if answered < window.opens {
            return;
        }
        if answered <= window.closes {
            self.answered += 1;
        }
        self.latencies.push(micros(answered - asked));
    }

    /// Good responses outside a window, with their latencies.
    pub fn of(took: &[Duration]) -> Self {
        Self {
            answered: took.len(),
            responses: took.len(),
            latencies: took.iter().map(|took| micros(*took)).collect(),
            ..Self::default()
        }
    }

    fn fail(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }

    fn merge(&mut self, other: Self) {
        self.answered += other.answered;
        self.responses += other.responses;
        self.latencies.extend(other.latencies);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

/// Sends requests in a closed loop: every connection sends its next request after the response to its last. `requests`
/// is called once per connection, with its number. It returns the function that writes that connection's next request
/// into an empty buffer.
pub async fn load<Next>(
    address: SocketAddr,
    connections: usize,
    times: Times,
    requests: impl Fn(u64) -> Next,
) -> Result<Tally>
where
    Next: FnMut(&mut Vec<u8>) + Send + 'static,
{
    // All connections are open before the clock starts, because connecting is not measured.
    let mut opened = Vec::with_capacity(connections);
    for number in 0..connections as u64 {
        opened.push((Connection::open(address).await?, requests(number)));
    }
    let window = Window::starting_now(times);
    let mut tasks = JoinSet::new();
    for (connection, next_request) in opened {
        tasks.spawn(ask_until_over(connection, next_request, window));
    }
    // One limit for all together: a timer for each request would cost the client more than reading the response.
    let tallies = timeout(times.warmup + times.measured + ANSWER_LIMIT, tasks.join_all())
        .await
        .context("a request was not answered within 30 s")?;
    let mut total = Tally::default();
    for tally in tallies {
        total.merge(tally);
    }
    Ok(total)
}

async fn ask_until_over(
    mut connection: Connection,
    mut next_request: impl FnMut(&mut Vec<u8>),
    window: Window,
) -> Tally {
    let mut tally = Tally::default();
    let mut request = Vec::new();
    while !window.is_over() {
        request.clear();
        next_request(&mut request);
        let asked = Instant::now();
        match connection.exchange(&request).await {
            Ok(answer) if answer.is_good() => tally.record(&window, asked),
            Ok(answer) => tally.fail(answer.to_string()),
            Err(error) => {
                tally.fail(format!("{error:#}"));
                break;
            }
        }
    }
    tally
}

/// Sends requests in an open loop: each at its time, however many are still running, on an idle or a new connection. A
/// slow server does not get fewer requests. Returns the number of connections.
pub async fn load_at_rate(
    address: SocketAddr,
    per_second: u32,
    times: Times,
    request: Vec<u8>,
) -> Result<(Tally, usize)> {
    let window = Window::starting_now(times);
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (request, idle) = (Arc::new(request), Arc::new(Mutex::new(Vec::new())));
    let mut tasks = JoinSet::new();
    while !window.is_over() {
        let asked = ticks.tick().await.into_std();
        let (request, idle) = (Arc::clone(&request), Arc::clone(&idle));
        tasks.spawn(async move {
            let mut tally = Tally::default();
            match ask_once(address, &request, &idle).await {
                Ok(()) => tally.record(&window, asked),
                Err(error) => tally.fail(format!("{error:#}")),
            }
            tally
        });
    }
    let tallies = timeout(ANSWER_LIMIT, tasks.join_all()).await.context("a request was not answered within 30 s")?;
    let mut total = Tally::default();
    for tally in tallies {
        total.merge(tally);
    }
    let connections = idle.lock().len();
    Ok((total, connections))
}

/// An idle connection, and since when it is idle.
type Idle = (Connection, Instant);

/// How long a connection is reused. A server closes it after a while.
const FRESH: Duration = Duration::from_secs(5);

async fn ask_once(address: SocketAddr, request: &[u8], idle: &Mutex<Vec<Idle>>) -> Result<()> {
    let waiting = idle.lock().pop();
    let mut connection = match waiting {
        Some((connection, since)) if since.elapsed() < FRESH => connection,
        _ => Connection::open(address).await?,
    };
    let answer = connection.exchange(request).await?;
    ensure!(answer.is_good(), "{answer}");
    idle.lock().push((connection, Instant::now()));
    Ok(())
}

/// One kept-alive connection.
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true).context("switching Nagle's algorithm off")?;
        Ok(Self { stream, received: BytesMut::with_capacity(16 * 1024) })
    }

    /// Sends one request and reads its response.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await.context("sending a request")?;
        self.received.clear();
        let head = loop {
            self.receive().await?;
            if let Some(head) = Head::read(&self.received)? {
                break head;
            }
        };
        match head.content_length {
            Some(content_length) => {
                let end = head.length + content_length;
                self.received.reserve(end.saturating_sub(self.received.len()));
                while self.received.len() < end {
                    self.receive().await?;
                }
                ensure!(self.received.len() == end, "the server sent more than one answer to a request");
            }
            // For a chunked body, only the end matters.
            None => {
                while !self.received.ends_with(b"\r\n0\r\n\r\n") {
                    self.receive().await?;
                }
            }
        }
        let (head_bytes, body) = self.received.split_at(head.length);
        Ok(Answer { status: head.status, head: head_bytes, body })
    }

    async fn receive(&mut self) -> Result<()> {
        let count = self.stream.read_buf(&mut self.received).await.context("reading an answer")?;
        ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

pub struct Answer<'a> {
    pub status: u16,
    pub head: &'a [u8],
    pub body: &'a [u8],
}

impl Answer<'_> {
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The status and the beginning of the body, for error messages.
impl std::fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(200)];
        write!(f, "{} {}", self.status, String::from_utf8_lossy(shown))
    }
}

struct Head {
    status: u16,
    /// Length in bytes, including the empty line.
    length: usize,
    /// `None` for a chunked body.
    content_length: Option<usize>,
}

impl Head {
    /// `None` until the empty line was received.
    fn read(received: &[u8]) -> Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(None);
        };
        let mut lines = received[..end].split(|&byte| byte == b'\n');
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix(b"HTTP/1.1 "))
            .and_then(|rest| number(rest.get(..3)?))
            .context("the answer is not HTTP/1.1")?;
        let content_length = lines.find_map(content_length);
        Ok(Some(Self { status, length: end + 4, content_length }))
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if name.eq_ignore_ascii_case(NAME) { number(value) } else { None }
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
