//! Mail: it reaches a mail server, survives an outage of that server, and its recipient can read it.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::smtp::{LOGIN, Letter, Smtp};
use crate::test_server::{PASSWORD, TestServer, central, email, eventually, sqlite};

const NEW: &str = "another long one";

#[test]
fn a_forgotten_password_is_mailed_read_and_reset_once() {
    let smtp = Smtp::start();
    let server = TestServer::with(&["--smtp-url", &smtp.url(), "--mail-from", "Acme Télécom <no-reply@acme.test>"]);
    let ada = server.verified("ada");
    forgot(&server, "ada");
    forgot(&server, "nobody");

    let mail = smtp.next();
    assert_eq!((mail.from.as_str(), mail.to.clone()), ("no-reply@acme.test", vec![email("ada")]));
    assert_eq!(mail.hello, "localhost");
    let letter = mail.letter();
    assert_eq!(letter.from, "Acme Télécom <no-reply@acme.test>");
    assert_eq!((letter.to, letter.subject.as_str()), (email("ada"), "Choose a new password"));
    assert!(letter.text.starts_with("Hello ada,"), "{}", letter.text);

    let code = code(&server, &mail.letter());
    reset(&server, "ada", &code).ok();
    server.get(&ada, "/whoami").refused(401, "token_revoked");
    server.post(&central(), "/login", json!({"email": email("ada"), "password": NEW})).ok();
    let old = json!({"email": email("ada"), "password": PASSWORD});
    server.post(&central(), "/login", old).refused(401, "invalid_credentials");
    reset(&server, "ada", &code).invalid(&["The selected code is invalid."]);

    assert_eq!(smtp.next().letter().subject, "Your password was changed");
    // When the second mail arrives, the outbox has handled everything before it.
    forgot(&server, "ada");
    assert_eq!(smtp.next().letter().subject, "Choose a new password");
    assert!(smtp.others().is_empty());
    for secret in [code.as_str(), "@example.com"] {
        assert!(!server.whole_log().contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_test_mail_is_sent_at_once_and_the_servers_answer_is_printed() {
    let server = TestServer::new();
    let said = server.cli(&["mail", "test", "ada@example.com"]).ok();
    let file = said.trim().rsplit_once(' ').unwrap().1.to_owned();
    assert!(said.contains("smtp_url") && file.ends_with(".eml"), "{said}");
    let letter = Letter::read(&fs::read(server.data().parent().unwrap().join(&file)).unwrap());
    assert!(letter.to == email("ada") && letter.text.contains("mail test"), "{}", letter.text);

    let smtp = Smtp::start();
    let settings = server.data().with_file_name("cx-engine.toml");
    fs::write(&settings, format!("smtp_url = \"{}\"\nmail_from = \"no-reply@acme.test\"\n", smtp.url())).unwrap();
    let said = server.cli(&["mail", "test", "ada@example.com"]).ok();
    assert!(said.contains("from no-reply@acme.test") && said.contains("responded: 250"), "{said}");
    assert!(smtp.next().letter().subject.starts_with("Test mail from http://localhost"));

    assert!(server.cli(&["mail", "test", "ada"]).failed().contains("address"));
    fs::write(&settings, "smtp_url = \"smtp://ada:secret@127.0.0.1:1\"\n").unwrap();
    let said = server.cli(&["mail", "test", "ada@example.com"]).failed();
    assert!(said.contains("was not sent: smtp://127.0.0.1:1") && said.contains("refused"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_server_that_wants_a_password_is_given_the_one_of_the_url() {
    let smtp = Smtp::for_members();
    let (user, _) = LOGIN;
    let url = format!("smtp://{user}:p%40ss%2Fword@{}/cx.example.com", smtp.address);
    let server = TestServer::with(&["--smtp-url", &url]);
    server.verified("ada");
    forgot(&server, "ada");
    let mail = smtp.next();
    assert_eq!((mail.user.as_deref(), mail.hello.as_str()), (Some(user), "cx.example.com"));
    let printed = server.cli(&["serve", "--print-config", "--smtp-url", &url]).ok();
    assert!(printed.contains(user) && !printed.contains("p%40ss"), "{printed}");
}

/// `SSL_CERT_FILE` replaces the root certificates of the system.
#[test]
fn an_encrypted_server_is_sent_mail_and_one_that_nobody_vouches_for_is_not() {
    for at_once in [true, false] {
        let smtp = Smtp::encrypted(at_once);
        let port = smtp.address.port();
        let url =
            if at_once { format!("smtps://localhost:{port}") } else { format!("smtp://localhost:{port}?tls=required") };
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.pem");
        fs::write(&root, smtp.certificate.as_ref().unwrap()).unwrap();
        let trusting = TestServer::within(&[("CX_SMTP_URL", &url), ("SSL_CERT_FILE", root.to_str().unwrap())], &[]);
        trusting.verified("ada");
        forgot(&trusting, "ada");
        let mail = smtp.next();
        assert_eq!((mail.to, mail.encrypted), (vec![email("ada")], true));

        let wary = TestServer::within(&[("CX_SMTP_URL", &url)], &[]);
        wary.verified("ada");
        forgot(&wary, "ada");
        eventually("the certificate is refused", || wary.log().contains("invalid peer certificate"));
        assert!(smtp.others().is_empty());
    }
}

#[test]
fn a_server_that_offers_tls_is_sent_mail_by_tls_whoever_it_is() {
    let smtp = Smtp::encrypted(false);
    let server = TestServer::with(&["--smtp-url", &smtp.url()]);
    server.register("ada");
    forgot(&server, "ada");
    let mail = smtp.next();
    assert_eq!((mail.to, mail.encrypted), (vec![email("ada")], true));
}

#[test]
fn what_cannot_be_sent_at_first_arrives_once_the_server_is_back() {
    // Bound, so that the port is reserved, and closed, so that connections fail.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let server = TestServer::with(&["--smtp-url", &format!("smtp://{address}")]);
    server.verified("ada");
    forgot(&server, "ada");
    eventually("the first try has failed", || server.log().contains("sending a mail failed; it is retried"));

    let smtp = Smtp::on(TcpListener::bind(address).unwrap());
    let code = code(&server, &smtp.next().letter());
    reset(&server, "ada", &code).ok();
    eventually("it has left the outbox", || waiting(&server) == 0);
}

#[test]
fn a_mail_that_is_sent_twice_is_known_by_its_message_id() {
    let smtp = Smtp::start();
    smtp.stumble();
    let server = TestServer::with(&["--smtp-url", &smtp.url()]);
    server.verified("ada");
    forgot(&server, "ada");
    let (first, second) = (smtp.next().letter(), smtp.next().letter());
    assert_eq!(first.message_id, second.message_id);
    assert!(first.message_id.ends_with("@localhost>"), "{}", first.message_id);
    assert_eq!(first.link(), second.link());
}

/// The test skips the back-off: it makes each attempt due at once.
#[test]
fn what_is_refused_five_times_is_shown_by_the_doctor_and_sent_when_it_says_so() {
    let smtp = Smtp::for_members();
    let wrong = format!("smtp://postmaster:wrong@{}", smtp.address);
    let mut server = TestServer::with(&["--smtp-url", &wrong]);
    server.verified("ada");
    forgot(&server, "ada");
    let file = sqlite(&server.data().join("central.sqlite"));
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    eventually("it is a dead letter", || {
        file.execute("UPDATE outbox SET due_at = 0 WHERE due_at IS NOT NULL AND tries > 0", []).unwrap();
        server.log().contains("sending a mail failed for good")
    });
    let found = server.cli(&["doctor"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    assert!(
        found.out.contains("ada@example.com could not be sent after 5 tries") && found.out.contains("535"),
        "{found:?}"
    );
    assert!(!server.whole_log().contains("@example.com"), "{}", server.log());

    // The mail stays failed until an operator retries it, even after a restart.
    server.restart();
    assert_eq!(server.cli(&["doctor", "--fix"]).code, Some(0));
    eventually("it has been tried again", || tries(&server) > 0);
    assert!(smtp.others().is_empty());
}

#[test]
fn without_a_server_a_mail_is_a_file_and_the_log_names_it() {
    let server = TestServer::new();
    server.verified("ada");
    forgot(&server, "ada");
    eventually("there is a file", || server.log().contains(".eml"));
    let files: Vec<_> = fs::read_dir(server.data().join("outbox")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let log = server.whole_log();
    assert!(log.contains(files[0].file_name().unwrap().to_str().unwrap()), "{log}");

    let letter = Letter::read(&fs::read(&files[0]).unwrap());
    assert_eq!((letter.from.as_str(), letter.to.clone()), ("cx-engine <no-reply@localhost>", email("ada")));
    let code = code(&server, &letter);
    assert!(!log.contains(&code) && !log.contains("@example.com"), "{log}");
    reset(&server, "ada", &code).ok();
    eventually("it has left the outbox", || waiting(&server) == 0);
}

/// The mail server accepts the connection and sends nothing.
#[test]
fn a_mail_server_that_does_not_answer_holds_up_neither_requests_nor_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", silent.local_addr().unwrap());
    let mut server = TestServer::with(&["--smtp-url", &url]);
    let ada = server.verified("ada");
    forgot(&server, "ada");
    let _stream = silent.accept().unwrap();
    server.get(&ada, "/whoami").ok();
    let told = Instant::now();
    assert!(server.stop().success(), "{}", server.log());
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    drop(silent);

    // The mail is still queued: the next server sends it.
    assert_eq!(waiting(&server), 1);
}

fn forgot(server: &TestServer, name: &str) {
    let answer = server.post(&central(), "/password/forgot", json!({"email": email(name)})).ok();
    assert_eq!(answer, json!({"response": "ok"}));
}

fn reset(server: &TestServer, name: &str, code: &str) -> crate::client::Answer {
    server.post(&central(), "/password/reset", json!({"email": email(name), "code": code, "password": NEW}))
}

/// The code in the link. Checks that the link leads to the server that mailed it.
fn code(server: &TestServer, letter: &Letter) -> String {
    let link = letter.link();
    let page = format!("http://localhost:{}/ui/password-reset?email=ada%40example.com&code=", server.address().port());
    link.strip_prefix(&page).unwrap_or_else(|| panic!("{link} does not begin with {page}")).to_owned()
}

fn waiting(server: &TestServer) -> i64 {
    let file = sqlite(&server.data().join("central.sqlite"));
    file.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap()
}

fn tries(server: &TestServer) -> i64 {
    let file = sqlite(&server.data().join("central.sqlite"));
    file.query_row("SELECT tries FROM outbox", [], |row| row.get(0)).unwrap()
}
