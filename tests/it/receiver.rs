//! A receiver of webhooks: an HTTP server that stores its requests and sends the response that a test sets.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::thread;

use parking_lot::Mutex;
use serde_json::Value;

use crate::client::PATIENCE;

/// Serves as long as the test runs.
pub struct Receiver {
    pub address: SocketAddr,
    inbox: Inbox<Message>,
    answer: Arc<Mutex<String>>,
}

/// A received POST request.
#[derive(Debug, Clone)]
pub struct Message {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Receiver {
    /// Starts on a free port and responds with 200.
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn on(listener: TcpListener) -> Self {
        let (taken, inbox) = channel();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, inbox, answer: Arc::default() };
        receiver.answers("200 OK", "");
        let answer = Arc::clone(&receiver.answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, answer) = (taken.clone(), Arc::clone(&answer));
                thread::spawn(move || serve(&stream, &taken, &answer));
            }
        });
        receiver
    }

    /// Sets the status and further header lines of all later responses.
    pub fn answers(&self, status: &str, head: &str) {
        self.say(status, head, "read");
    }

    /// Sets a page as the body of all later responses.
    pub fn shows(&self, page: &str) {
        self.say("200 OK", "Content-Type: text/html\r\n", page);
    }

    fn say(&self, status: &str, head: &str, body: &str) {
        let answer = format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
        *self.answer.lock() = answer;
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next message.
    pub fn next(&self) -> Message {
        self.inbox.recv_timeout(PATIENCE).expect("a message")
    }

    /// All messages that were received and not read.
    pub fn others(&self) -> Vec<Message> {
        self.inbox.try_iter().collect()
    }
}

impl Message {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Serves the requests of one connection.
fn serve(stream: &TcpStream, taken: &Sender<Message>, answer: &Mutex<String>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let headers: HashMap<String, String> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = taken.send(Message { path, headers, body: String::from_utf8(body).unwrap() });
        let answer = answer.lock().clone();
        (&*stream).write_all(answer.as_bytes())?;
    }
}
