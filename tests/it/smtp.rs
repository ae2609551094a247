//! A mail server for tests. It speaks SMTP like a real one and stores the mails.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use mailin::response::{AUTH_OK, NO_SERVICE, OK, Response};
use mailin::{Action, AuthMechanism, Handler, Session, SessionBuilder};
use mailparse::{MailHeaderMap, ParsedMail};
use parking_lot::Mutex;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::client::PATIENCE;

/// The login that the server accepts, if it requires one.
pub const LOGIN: (&str, &str) = ("postmaster", "p@ss/word");

/// Serves until it is dropped.
pub struct Smtp {
    pub address: SocketAddr,
    /// The certificate that a client must trust, if the server speaks TLS.
    pub certificate: Option<String>,
    mails: Mutex<Receiver<Delivered>>,
    /// Number of mails to store and still reject, as after a crash between the two.
    faults: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A stored mail.
#[derive(Debug, Default, Clone)]
pub struct Delivered {
    /// The client's name in its greeting.
    pub hello: String,
    pub user: Option<String>,
    /// Whether the mail arrived over TLS.
    pub encrypted: bool,
    pub from: String,
    pub to: Vec<String>,
    pub text: Vec<u8>,
}

/// A parsed mail.
#[derive(Debug)]
pub struct Letter {
    pub from: String,
    pub to: String,
    pub subject: String,
    pub message_id: String,
    pub text: String,
    pub html: String,
}

/// The TLS mode of a server.
#[derive(Clone)]
struct Tls {
    config: Arc<ServerConfig>,
    /// TLS from the first byte, or else after `STARTTLS`.
    at_once: bool,
}

struct Taker {
    delivered: Delivered,
    /// Whether the connection uses TLS now.
    encrypted: Arc<AtomicBool>,
    taken: Sender<Delivered>,
    faults: Arc<AtomicUsize>,
}

impl Smtp {
    /// Starts on a free port.
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn on(listener: TcpListener) -> Self {
        Self::serve(listener, &SessionBuilder::new("mail.example.com"), None, None)
    }

    /// Accepts mail only after a login with [`LOGIN`].
    pub fn for_members() -> Self {
        let mut sessions = SessionBuilder::new("mail.example.com");
        sessions.enable_auth(AuthMechanism::Plain).insecure_enable_plaintext_auth();
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), &sessions, None, None)
    }

    /// Speaks TLS at once, or after `STARTTLS`, as `localhost` with a self-signed certificate.
    pub fn encrypted(at_once: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap());
        let mut sessions = SessionBuilder::new("mail.example.com");
        if !at_once {
            sessions.enable_start_tls();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::serve(listener, &sessions, Some(Tls { config, at_once }), Some(made.cert.pem()))
    }

    fn serve(listener: TcpListener, sessions: &SessionBuilder, tls: Option<Tls>, certificate: Option<String>) -> Self {
        let address = listener.local_addr().unwrap();
        let (taken, mails) = channel();
        let (stop, faults) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, faulty, sessions) = (Arc::clone(&stop), Arc::clone(&faults), sessions.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let encrypted = Arc::new(AtomicBool::new(tls.as_ref().is_some_and(|tls| tls.at_once)));
                let taker = Taker {
                    delivered: Delivered::default(),
                    encrypted: Arc::clone(&encrypted),
                    taken: taken.clone(),
                    faults: Arc::clone(&faulty),
                };
                let session = sessions.build(address.ip(), taker);
                // A client may close the connection at any time.
                let _ = stream.and_then(|stream| converse(stream, session, tls.as_ref(), &encrypted));
            }
        });
        Self { address, certificate, mails: Mutex::new(mails), faults, stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Stores the next mail but reports a failure.
    pub fn stumble(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// The next stored mail. Fails if none arrives.
    #[track_caller]
    pub fn next(&self) -> Delivered {
        self.mails.lock().recv_timeout(PATIENCE).expect("a mail")
    }

    /// All stored mails that were not read.
    pub fn others(&self) -> Vec<Delivered> {
        self.mails.lock().try_iter().collect()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Ends the thread's wait for a client.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

impl Delivered {
    pub fn letter(&self) -> Letter {
        Letter::read(&self.text)
    }
}

impl Letter {
    pub fn read(bytes: &[u8]) -> Self {
        let mail = mailparse::parse_mail(bytes).unwrap();
        assert_eq!(mail.ctype.mimetype, "multipart/alternative");
        let header = |name: &str| mail.headers.get_first_value(name).unwrap_or_else(|| panic!("no {name}"));
        Self {
            from: header("From"),
            to: header("To"),
            subject: header("Subject"),
            message_id: header("Message-ID"),
            text: part(&mail, 0, "text/plain"),
            html: part(&mail, 1, "text/html"),
        }
    }

    /// The link of the mail, which must be the same in both parts.
    pub fn link(&self) -> String {
        let link = self.text.split_whitespace().find(|word| word.starts_with("http")).expect("a link").to_owned();
        let html = self.html.replace("&#38;", "&");
        assert!(html.contains(&format!("href=\"{link}\"")), "{link} is not in {html}");
        link
    }
}

impl Handler for Taker {
    fn helo(&mut self, _: IpAddr, domain: &str) -> Response {
        domain.clone_into(&mut self.delivered.hello);
        OK
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        if (user, password) != LOGIN {
            // A server may put any text in an error, even the recipient's address.
            return Response::custom(535, "5.7.8 no mail for ada@example.com from you".into());
        }
        self.delivered.user = Some(user.to_owned());
        AUTH_OK
    }

    fn data_start(&mut self, _: &str, from: &str, _: bool, to: &[String]) -> Response {
        from.clone_into(&mut self.delivered.from);
        self.delivered.to = to.to_vec();
        OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.delivered.text.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.delivered.encrypted = self.encrypted.load(Ordering::Acquire);
        // The test may have dropped the receiver.
        let _ = self.taken.send(self.delivered.clone());
        match self.faults.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |faults| faults.checked_sub(1)) {
            Ok(_) => NO_SERVICE,
            Err(_) => OK,
        }
    }
}

/// Serves one SMTP session.
fn converse(
    stream: TcpStream,
    mut session: Session<Taker>,
    tls: Option<&Tls>,
    is_encrypted: &AtomicBool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let encrypted = |stream, tls: &Tls| {
        let connection = ServerConnection::new(Arc::clone(&tls.config)).map_err(io::Error::other)?;
        Ok::<_, io::Error>(BufReader::new(StreamOwned::new(connection, stream)))
    };
    let greeting = session.greeting();
    let mut plain = BufReader::new(stream);
    match tls {
        Some(tls) if tls.at_once => talk(&mut encrypted(plain.into_inner(), tls)?, &mut session, Some(&greeting))?,
        _ => {
            let end = talk(&mut plain, &mut session, Some(&greeting))?;
            let Some(tls) = tls.filter(|_| end == Action::UpgradeTls) else { return Ok(()) };
            session.tls_active();
            is_encrypted.store(true, Ordering::Release);
            talk(&mut encrypted(plain.into_inner(), tls)?, &mut session, None)?
        }
    };
    Ok(())
}

/// Responds line by line until the client disconnects, quits or starts TLS. Returns the reason.
fn talk<S: Read + Write>(
    stream: &mut BufReader<S>,
    session: &mut Session<Taker>,
    greeting: Option<&Response>,
) -> io::Result<Action> {
    let say = |stream: &mut BufReader<S>, answer: &Response| {
        stream.get_mut().write_all(&answer.buffer()?)?;
        stream.get_mut().flush()
    };
    if let Some(greeting) = greeting {
        say(stream, greeting)?;
    }
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(Action::Close);
        }
        let answer = session.process(&line);
        if answer.action != Action::NoReply {
            say(stream, &answer)?;
        }
        if matches!(answer.action, Action::Close | Action::UpgradeTls) {
            return Ok(answer.action);
        }
    }
}

fn part(mail: &ParsedMail<'_>, n: usize, kind: &str) -> String {
    let part = &mail.subparts[n];
    assert_eq!(part.ctype.mimetype, kind);
    part.get_body().unwrap()
}
