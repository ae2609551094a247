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
use crate::central::password_recovery;
use crate::durable_fs;
use crate::instance::Instance;
use crate::values::{Email, Timestamp};

/// Maximum mails per round, and per cause within a round. Limits how long new mail waits.
const MOST: u32 = 50;
const OF_ONE_CAUSE: u32 = 10;

/// The reason that a mail was not sent.
struct SendError {
    /// The full error, which may contain the recipient.
    said: String,
    /// The part that may be logged.
    logged: String,
    /// True if the next mail would fail for the same reason.
    of_server: bool,
}

/// One round: handles requests for password resets and sends the mail that is due.
pub fn round(instance: &Instance, now: Timestamp) -> Result<()> {
    password_recovery::answer_requests(instance, now)?;
    for queued in instance.central.mails_due(now, MOST, OF_ONE_CAUSE)? {
        let id = queued.id;
        // Counted before sending. With a full disk, a mail could otherwise be sent again in each round.
        instance.central.note_mail_tried(id, now)?;
        let sent = send(instance, &queued);
        instance.metrics.mailed(if sent.is_ok() { "sent" } else { "failed" });
        match sent {
            Ok(()) => instance.central.forget_mail(id)?,
            Err(failure) => {
                let (said, tries) = (failure.said, queued.tries + 1);
                let again = instance.central.note_mail_failed(&queued, &said, now)?;
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

fn send(instance: &Instance, queued: &Queued) -> std::result::Result<(), SendError> {
    let message = message(instance, queued)?;
    match &instance.config.smtp {
        Some(smtp) => {
            smtp.clone().build().send(&message)?;
        }
        None => {
            let path = keep(instance, queued, &message.formatted())?;
            tracing::info!(file = %path.display(), "no smtp_url: the mail was written to a file");
        }
    }
    Ok(())
}

/// The result of sending a mail.
#[derive(Debug)]
pub enum MailSent {
    /// The mail server accepted it.
    Taken { server: String, answer: String },
    /// Written to a file, because there is no mail server.
    Kept(PathBuf),
}

/// Sends a mail at once, bypassing the outbox, without retries. The error contains everything that the server reported.
pub fn send_now(instance: &Instance, mail: Mail, now: Timestamp) -> anyhow::Result<MailSent> {
    let queued = Queued { id: 0, message_id: Uuid::now_v7().to_string(), mail, created_at: now, tries: 0 };
    let message = message(instance, &queued)?;
    let (Some(smtp), Some(server)) = (&instance.config.smtp, &instance.config.smtp_server) else {
        return Ok(MailSent::Kept(keep(instance, &queued, &message.formatted())?));
    };
    let answer = smtp.clone().build().send(&message).with_context(|| server.clone())?;
    let said: Vec<&str> = answer.message().collect();
    Ok(MailSent::Taken { server: server.clone(), answer: format!("{} {}", answer.code(), said.join(" ")) })
}

fn message(instance: &Instance, queued: &Queued) -> anyhow::Result<Message> {
    let Queued { mail, message_id, created_at, .. } = queued;
    let from = instance.config.mail_from.clone();
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
fn keep(instance: &Instance, queued: &Queued, text: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = instance.config.data_dir.join("outbox");
    durable_fs::create_private_folder(&folder)?;
    let path = folder.join(format!("{}.eml", queued.message_id));
    durable_fs::write_private_file(&path, text)?;
    Ok(path)
}

/// The server's response may repeat the address, so only its code is logged.
impl From<lettre::transport::smtp::Error> for SendError {
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

impl From<anyhow::Error> for SendError {
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
    use crate::tests::TestServer;

    /// 2024-01-20T12:00:00Z
    const NOW: Timestamp = Timestamp::from_seconds(1_705_752_000);

    fn queue(server: &TestServer, to: &str) {
        let mail = Mail {
            to: to.parse().unwrap(),
            subject: "Été".into(),
            text: "Text à lire".into(),
            html: "<p>HTML</p>".into(),
        };
        server.instance.central.write(move |db| Ok::<_, Error>(outbox::queue(db, &mail, NOW)?)).unwrap();
    }

    fn due(server: &TestServer, at: Timestamp) -> Vec<Queued> {
        server.instance.central.mails_due(at, 99, 99).unwrap()
    }

    fn files(server: &TestServer) -> Vec<PathBuf> {
        let folder = server.instance.config.data_dir.join("outbox");
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
        let server = TestServer::new();
        queue(&server, "ada@example.com");
        round(&server.instance, NOW).unwrap();
        round(&server.instance, NOW.plus(60)).unwrap();
        let paths = files(&server);
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
        let server = TestServer::new();
        let mail = |to: &str| Mail { to: to.parse().unwrap(), subject: to.into(), text: "T".into(), html: "H".into() };
        let cause = |account: i64, to: String| {
            let mail = mail(&to);
            let quotas = server.instance.config.quotas;
            server.instance.central.write(move |db| outbox::queue_for(db, quotas, account, &mail, NOW)).unwrap();
        };
        (0..30).for_each(|n| cause(1, format!("flood{n}@example.com")));
        cause(2, "other@example.com".into());
        queue(&server, "reset@example.com");
        let order: Vec<String> = {
            let due = server.instance.central.mails_due(NOW, MOST, OF_ONE_CAUSE).unwrap();
            due.into_iter().map(|queued| queued.mail.to.to_string()).collect()
        };
        assert_eq!(order[..4], ["flood0@example.com", "other@example.com", "reset@example.com", "flood1@example.com"]);
        assert_eq!(order.len(), 12);
        for _ in 0..3 {
            round(&server.instance, NOW).unwrap();
        }
        assert_eq!(files(&server).len(), 32);
    }

    #[test]
    fn what_fails_five_times_is_a_dead_letter_until_it_is_queued_again() {
        let server = TestServer::with(&[("smtp_url", &server_that_says("554 5.7.1 we do not know ada@example.com"))]);
        queue(&server, "ada@example.com");
        let mut at = NOW;
        let mut waited = Vec::new();
        while let Some(queued) = due(&server, at.plus(86_400)).pop() {
            round(&server.instance, at).unwrap();
            assert_eq!(due(&server, at).len(), 0, "it is not tried twice at once");
            let Some(next) = due(&server, at.plus(86_400)).pop() else { break };
            assert_eq!(next.message_id, queued.message_id);
            let wait = (0..).find(|wait| !due(&server, at.plus(*wait)).is_empty()).unwrap();
            waited.push(wait);
            at = at.plus(wait);
        }
        assert_eq!(waited, [2, 60, 900, 7200]);

        let dead = || server.instance.central.dead_letters().unwrap();
        let letter = dead().pop().unwrap();
        assert_eq!((letter.recipient.as_str(), letter.tries, letter.last_tried_at), ("ada@example.com", 5, at));
        assert!(letter.last_error.contains("554"), "{letter:?}");
        round(&server.instance, at.plus(86_400)).unwrap();
        assert_eq!(dead().len(), 1, "it is left alone");
        server.instance.central.queue_mail_again(letter.id, at).unwrap();
        assert_eq!((due(&server, at).len(), dead().len()), (1, 0));
    }

    #[test]
    fn a_server_that_is_away_is_tried_for_one_mail_of_a_round() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = TestServer::with(&[("smtp_url", &format!("smtp://{gone}"))]);
        queue(&server, "ada@example.com");
        queue(&server, "grace@example.com");
        round(&server.instance, NOW).unwrap();
        let tries = |at| due(&server, at).iter().map(|queued| (queued.id, queued.tries)).collect::<Vec<_>>();
        assert_eq!(tries(NOW), [(2, 0)]);
        round(&server.instance, NOW).unwrap();
        assert_eq!(tries(NOW), []);
        assert_eq!(tries(NOW.plus(2)), [(1, 1), (2, 1)]);
    }

    #[test]
    fn a_mail_does_not_wait_until_a_clock_that_was_put_back_is_that_late_again() {
        let server = TestServer::new();
        queue(&server, "ada@example.com");
        assert_eq!(due(&server, NOW.plus(-3600)).len(), 0);
        round(&server.instance, NOW.plus(-365 * 86_400)).unwrap();
        assert_eq!(files(&server).len(), 1);
    }

    #[test]
    fn a_mail_that_cannot_be_written_holds_up_no_other() {
        let server = TestServer::new();
        queue(&server, "ada@example.com");
        let blocked = due(&server, NOW).pop().unwrap().message_id;
        fs::create_dir_all(server.instance.config.data_dir.join(format!("outbox/{blocked}.eml"))).unwrap();
        queue(&server, "grace@example.com");
        round(&server.instance, NOW).unwrap();
        let left = due(&server, NOW.plus(2));
        assert_eq!(left.iter().map(|queued| queued.mail.to.to_string()).collect::<Vec<_>>(), ["ada@example.com"]);
    }
}
