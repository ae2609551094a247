//! Sends the mail in the outbox by SMTP, or writes it to `data/outbox/` if no server is configured.
//!
//! Delivery is at least once: a mail leaves the outbox after the server has accepted it. After a crash in between, it
//! is sent again with the same Message-ID, so that the receiver can recognize it.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message, Transport};
use uuid::Uuid;

use crate::api::Result;
use crate::central::outbox::{Mail, Queued};
use crate::central::password;
use crate::durable_fs;
use crate::engine::Engine;
use crate::values::{Email, Timestamp};

/// Maximum mails per round, and per cause within a round. Limits how long new mail waits.
const MOST: u32 = 50;
const OF_ONE_CAUSE: u32 = 10;

/// The reason that a mail was not sent.
struct Failure {
    /// The full error, which may contain the recipient.
    said: String,
    /// The part that may be logged.
    logged: String,
    /// True if the next mail would fail for the same reason.
    of_server: bool,
}

/// One round: handles requests for password resets and sends the mail that is due.
pub fn round(engine: &Engine, now: Timestamp) -> Result<()> {
    password::answer_requests(engine, now)?;
    for queued in engine.central.mails_due(now, MOST, OF_ONE_CAUSE)? {
        let id = queued.id;
        // Counted before sending. With a full disk, a mail could otherwise be sent again in each round.
        engine.central.note_mail_tried(id, now)?;
        let sent = send(engine, &queued);
        engine.meter.mailed(if sent.is_ok() { "sent" } else { "failed" });
        match sent {
            Ok(()) => engine.central.forget_mail(id)?,
            Err(failure) => {
                let (said, tries) = (failure.said, queued.tries + 1);
                let again = engine.central.note_mail_failed(&queued, &said, now)?;
                match again {
                    Some(at) => {
                        tracing::warn!(mail = id, tries, error = failure.logged, %at, "sending a mail failed; it is retried")
                    }
                    None => tracing::error!(
                        mail = id,
                        tries,
                        error = failure.logged,
                        "sending a mail failed for good; see doctor"
                    ),
                }
                if failure.of_server {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn send(engine: &Engine, queued: &Queued) -> std::result::Result<(), Failure> {
    let message = message(engine, queued)?;
    match &engine.config.smtp {
        Some(smtp) => {
            smtp.clone().build().send(&message)?;
        }
        None => {
            let path = keep(engine, queued, &message.formatted())?;
            tracing::info!(file = %path.display(), "no smtp_url: the mail was written to a file");
        }
    }
    Ok(())
}

/// The result of sending a mail.
#[derive(Debug)]
pub enum Sent {
    /// The mail server accepted it.
    Taken { server: String, answer: String },
    /// Written to a file, because there is no mail server.
    Kept(PathBuf),
}

/// Sends a mail at once, bypassing the outbox, without retries. The error contains everything that the server reported.
pub fn send_now(engine: &Engine, mail: Mail, now: Timestamp) -> anyhow::Result<Sent> {
    let queued = Queued { id: 0, message_id: Uuid::now_v7().to_string(), mail, created_at: now, tries: 0 };
    let message = message(engine, &queued)?;
    let (Some(smtp), Some(server)) = (&engine.config.smtp, &engine.config.smtp_server) else {
        return Ok(Sent::Kept(keep(engine, &queued, &message.formatted())?));
    };
    let answer = smtp.clone().build().send(&message).with_context(|| server.clone())?;
    let said: Vec<&str> = answer.message().collect();
    Ok(Sent::Taken { server: server.clone(), answer: format!("{} {}", answer.code(), said.join(" ")) })
}

fn message(engine: &Engine, queued: &Queued) -> anyhow::Result<Message> {
    let Queued { mail, message_id, created_at, .. } = queued;
    let from = engine.config.mail_from.clone();
    let written_at = UNIX_EPOCH + Duration::from_secs(u64::try_from(created_at.seconds())?);
    let message = Message::builder()
        .message_id(Some(format!("<{message_id}@{}>", from.email.domain())))
        .date(written_at)
        .from(from)
        .to(Mailbox::new(None, address(&mail.to)?))
        .subject(&mail.subject)
        // Suppresses automatic replies such as absence notices (RFC 3834, 5).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()))
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))?;
    Ok(message)
}

/// An earlier version accepted addresses that mail cannot be sent to.
fn address(to: &Email) -> anyhow::Result<Address> {
    let (local, domain) = to.to_send().context("mail cannot be sent to this address")?;
    Ok(Address::new(local, domain)?)
}

/// Writes a mail to a file atomically. Mails contain codes, so only the owner may read the folder.
fn keep(engine: &Engine, queued: &Queued, text: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = engine.config.data_dir.join("outbox");
    durable_fs::create_private_folder(&folder)?;
    let path = folder.join(format!("{}.eml", queued.message_id));
    durable_fs::write_private_file(&path, text)?;
    Ok(path)
}

/// The server's response may repeat the address, so only its code is logged.
impl From<lettre::transport::smtp::Error> for Failure {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        let said = error.to_string();
        let logged = match error.status() {
            Some(code) => format!("the server responded {code}"),
            None if error.is_response() => "the server's response could not be parsed".into(),
            None => said.clone(),
        };
        Self { of_server: error.status().is_none() && !error.is_client(), said, logged }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let said = format!("{error:#}");
        Self { logged: said.clone(), said, of_server: false }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;
    use crate::api::Error;
    use crate::central::outbox;
    use crate::testing::Bench;

    /// 2024-01-20T12:00:00Z
    const NOW: Timestamp = Timestamp::from_seconds(1_705_752_000);

    fn queue(bench: &Bench, to: &str) {
        let mail = Mail {
            to: to.parse().unwrap(),
            subject: "Été".into(),
            text: "Text à lire".into(),
            html: "<p>HTML</p>".into(),
        };
        bench.engine.central.write(move |db| Ok::<_, Error>(outbox::put(db, &mail, NOW)?)).unwrap();
    }

    fn due(bench: &Bench, at: Timestamp) -> Vec<Queued> {
        bench.engine.central.mails_due(at, 99, 99).unwrap()
    }

    fn files(bench: &Bench) -> Vec<PathBuf> {
        let folder = bench.engine.config.data_dir.join("outbox");
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// A server that sends this greeting and hangs up; returns its URL.
    fn server_that_says(line: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(format!("{line}\r\n").as_bytes());
                let _ = BufReader::new(stream).lines().take(1).count();
            }
        });
        url
    }

    #[test]
    fn without_a_server_a_mail_becomes_a_file_that_is_its_owners_alone() {
        let bench = Bench::new();
        queue(&bench, "ada@example.com");
        round(&bench.engine, NOW).unwrap();
        round(&bench.engine, NOW.plus(60)).unwrap();
        let paths = files(&bench);
        assert_eq!(paths.len(), 1, "{paths:?}");
        assert_eq!(paths[0].extension().unwrap(), "eml");
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&paths[0]), mode(paths[0].parent().unwrap())), (0o600, 0o700));

        let text = fs::read(&paths[0]).unwrap();
        let mail = mailparse::parse_mail(&text).unwrap();
        let header = |name: &str| {
            let found = mail.headers.iter().find(|header| header.get_key_ref() == name);
            found.unwrap_or_else(|| panic!("no {name}")).get_value()
        };
        let id = paths[0].file_stem().unwrap().to_str().unwrap();
        for (name, value) in [
            ("From", "cx-engine <no-reply@localhost>"),
            ("To", "ada@example.com"),
            ("Subject", "Été"),
            ("Date", "Sat, 20 Jan 2024 12:00:00 +0000"),
            ("Message-ID", &format!("<{id}@localhost>")),
            ("Auto-Submitted", "auto-generated"),
        ] {
            assert_eq!(header(name), value);
        }
        assert_eq!(mail.ctype.mimetype, "multipart/alternative");
        let parts: Vec<_> =
            mail.subparts.iter().map(|part| (part.ctype.mimetype.as_str(), part.get_body().unwrap())).collect();
        assert_eq!(parts[0].0, "text/plain");
        assert_eq!(parts[0].1.trim_end(), "Text à lire");
        assert_eq!((parts[1].0, parts[1].1.trim_end()), ("text/html", "<p>HTML</p>"));
    }

    #[test]
    fn mails_are_sent_in_turns_so_that_a_flood_delays_no_others() {
        let bench = Bench::new();
        let mail = |to: &str| Mail { to: to.parse().unwrap(), subject: to.into(), text: "T".into(), html: "H".into() };
        let cause = |account: i64, to: String| {
            let mail = mail(&to);
            let quotas = bench.engine.config.quotas;
            bench.engine.central.write(move |db| outbox::put_for(db, quotas, account, &mail, NOW)).unwrap();
        };
        (0..30).for_each(|n| cause(1, format!("flood{n}@example.com")));
        cause(2, "other@example.com".into());
        queue(&bench, "reset@example.com");
        let order: Vec<String> = {
            let due = bench.engine.central.mails_due(NOW, MOST, OF_ONE_CAUSE).unwrap();
            due.into_iter().map(|queued| queued.mail.to.to_string()).collect()
        };
        assert_eq!(order[..4], ["flood0@example.com", "other@example.com", "reset@example.com", "flood1@example.com"]);
        assert_eq!(order.len(), 12);
        for _ in 0..3 {
            round(&bench.engine, NOW).unwrap();
        }
        assert_eq!(files(&bench).len(), 32);
    }

    #[test]
    fn what_fails_five_times_is_a_dead_letter_until_it_is_queued_again() {
        let bench = Bench::with(&[("smtp_url", &server_that_says("554 5.7.1 we do not know ada@example.com"))]);
        queue(&bench, "ada@example.com");
        let mut at = NOW;
        let mut waited = Vec::new();
        while let Some(queued) = due(&bench, at.plus(86_400)).pop() {
            round(&bench.engine, at).unwrap();
            assert_eq!(due(&bench, at).len(), 0, "it is not tried twice at once");
            let Some(next) = due(&bench, at.plus(86_400)).pop() else { break };
            assert_eq!(next.message_id, queued.message_id);
            let wait = (0..).find(|wait| !due(&bench, at.plus(*wait)).is_empty()).unwrap();
            waited.push(wait);
            at = at.plus(wait);
        }
        assert_eq!(waited, [2, 60, 900, 7200]);

        let dead = || bench.engine.central.dead_letters().unwrap();
        let letter = dead().pop().unwrap();
        assert_eq!((letter.recipient.as_str(), letter.tries, letter.last_tried_at), ("ada@example.com", 5, at));
        assert!(letter.last_error.contains("554"), "{letter:?}");
        round(&bench.engine, at.plus(86_400)).unwrap();
        assert_eq!(dead().len(), 1, "it is left alone");
        bench.engine.central.queue_mail_again(letter.id, at).unwrap();
        assert_eq!((due(&bench, at).len(), dead().len()), (1, 0));
    }

    #[test]
    fn a_server_that_is_away_is_tried_for_one_mail_of_a_round() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let bench = Bench::with(&[("smtp_url", &format!("smtp://{gone}"))]);
        queue(&bench, "ada@example.com");
        queue(&bench, "grace@example.com");
        round(&bench.engine, NOW).unwrap();
        let tries = |at| due(&bench, at).iter().map(|queued| (queued.id, queued.tries)).collect::<Vec<_>>();
        assert_eq!(tries(NOW), [(2, 0)]);
        round(&bench.engine, NOW).unwrap();
        assert_eq!(tries(NOW), []);
        assert_eq!(tries(NOW.plus(2)), [(1, 1), (2, 1)]);
    }

    #[test]
    fn a_mail_does_not_wait_until_a_clock_that_was_put_back_is_that_late_again() {
        let bench = Bench::new();
        queue(&bench, "ada@example.com");
        assert_eq!(due(&bench, NOW.plus(-3600)).len(), 0);
        round(&bench.engine, NOW.plus(-365 * 86_400)).unwrap();
        assert_eq!(files(&bench).len(), 1);
    }

    #[test]
    fn a_mail_that_cannot_be_written_holds_up_no_other() {
        let bench = Bench::new();
        queue(&bench, "ada@example.com");
        let blocked = due(&bench, NOW).pop().unwrap().message_id;
        fs::create_dir_all(bench.engine.config.data_dir.join(format!("outbox/{blocked}.eml"))).unwrap();
        queue(&bench, "grace@example.com");
        round(&bench.engine, NOW).unwrap();
        let left = due(&bench, NOW.plus(2));
        assert_eq!(left.iter().map(|queued| queued.mail.to.to_string()).collect::<Vec<_>>(), ["ada@example.com"]);
    }
}
