//! Mails as text and as HTML for narrow screens: one column, one button, no image, and no color except the button's, so
//! that dark mode works.

use askama::Template;

use super::outbox::Mail;
use crate::api::{Error, Result, render};
use crate::values::{Email, Timestamp};

/// Invites a person to a workspace.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Name of the workspace.
    pub workspace: String,
    /// Name of the inviter.
    pub inviter: String,
    /// Name of the offered role.
    pub role: String,
    /// Name of the invitee, if known.
    pub name: Option<String>,
    /// URL of the page to accept the invitation.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Lets a person who forgot the password choose a new one.
#[derive(Debug, Clone)]
pub struct PasswordReset {
    /// Name of the account.
    pub name: String,
    /// URL of the page to choose the password.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Lets a person verify the address of their account.
#[derive(Debug, Clone)]
pub struct EmailCode {
    /// Name of the account.
    pub name: String,
    pub code: String,
    /// URL of the page to verify the address.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Notifies the old address of an account of a requested change.
#[derive(Debug, Clone)]
pub struct EmailChange {
    /// Name of the account.
    pub name: String,
    /// The new address.
    pub email: String,
    /// URL of the page to undo the change.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Notifies a person of a change to their account.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Name of the account.
    pub name: String,
    pub subject: String,
    pub sentence: String,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub at: Timestamp,
}

/// Tells an operator that backups fail, do not come, or work again.
#[derive(Debug, Clone)]
pub struct BackupAlert {
    /// Name of the account.
    pub name: String,
    pub subject: String,
    pub sentence: String,
    /// URL of the central host.
    pub server: String,
    /// Time of the newest complete backup.
    pub last: Option<Timestamp>,
    /// Place outside the server that has it.
    pub place: Option<String>,
    pub is_trouble: bool,
}

#[derive(Template)]
#[template(path = "mail_backup_alert.html")]
struct BackupAlertHtml<'a> {
    subject: &'a str,
    is: &'a BackupAlert,
    last: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail_backup_alert.txt")]
struct BackupAlertText<'a> {
    subject: &'a str,
    is: &'a BackupAlert,
    last: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail_email_code.html")]
struct EmailCodeHtml<'a> {
    subject: &'a str,
    is: &'a EmailCode,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_email_code.txt")]
struct EmailCodeText<'a> {
    is: &'a EmailCode,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_email_change.html")]
struct EmailChangeHtml<'a> {
    subject: &'a str,
    is: &'a EmailChange,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_email_change.txt")]
struct EmailChangeText<'a> {
    is: &'a EmailChange,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_notice.html")]
struct NoticeHtml<'a> {
    subject: &'a str,
    is: &'a Notice,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "mail_notice.txt")]
struct NoticeText<'a> {
    subject: &'a str,
    is: &'a Notice,
    at: &'a str,
}

#[derive(Template)]
#[template(path = "mail_invitation.html")]
struct InvitationHtml<'a> {
    subject: &'a str,
    is: &'a Invitation,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_invitation.txt")]
struct InvitationText<'a> {
    is: &'a Invitation,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_password_reset.html")]
struct PasswordResetHtml<'a> {
    subject: &'a str,
    is: &'a PasswordReset,
    until: &'a str,
}

#[derive(Template)]
#[template(path = "mail_password_reset.txt")]
struct PasswordResetText<'a> {
    is: &'a PasswordReset,
    until: &'a str,
}

impl Invitation {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self {
            workspace: strip_links(&self.workspace),
            inviter: strip_links(&self.inviter),
            role: strip_links(&self.role),
            name: self.name.as_deref().map(strip_links),
            ..self
        };
        let subject = format!("{} invites you to {}", is.inviter, is.workspace);
        let until = &moment(is.expires_at)?;
        let text = render(&InvitationText { is, until })?;
        let html = render(&InvitationHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl PasswordReset {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), ..self };
        let subject = "Choose a new password".to_owned();
        let until = &moment(is.expires_at)?;
        let text = render(&PasswordResetText { is, until })?;
        let html = render(&PasswordResetHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl EmailCode {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), ..self };
        let subject = "Confirm your email address".to_owned();
        let until = &moment(is.expires_at)?;
        let text = render(&EmailCodeText { is, until })?;
        let html = render(&EmailCodeHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl EmailChange {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), ..self };
        let subject = "The email address of your account is about to change".to_owned();
        let until = &moment(is.expires_at)?;
        let text = render(&EmailChangeText { is, until })?;
        let html = render(&EmailChangeHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl Notice {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self {
            name: on_one_line(&self.name),
            sentence: on_one_line(&self.sentence),
            user_agent: self.user_agent.as_deref().map(on_one_line),
            ..self
        };
        let (subject, at) = (is.subject.clone(), &moment(is.at)?);
        let text = render(&NoticeText { subject: &subject, is, at })?;
        let html = render(&NoticeHtml { subject: &subject, is, at })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl BackupAlert {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), sentence: on_one_line(&self.sentence), ..self };
        let last = is.last.map(moment).transpose()?;
        let (subject, last) = (is.subject.clone(), last.as_deref());
        let text = render(&BackupAlertText { subject: &subject, is, last })?;
        let html = render(&BackupAlertHtml { subject: &subject, is, last })?;
        Ok(Mail { to, subject, text, html })
    }
}

/// Removes line breaks. Names are free text, and one must not look like a paragraph or a header of the mail.
fn on_one_line(name: &str) -> String {
    name.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Maximum consecutive digits of a name. Fewer than a telephone number has.
const MOST_DIGITS: usize = 5;

/// Defuses a name that another person chose, for a mail that the recipient did not request. No mail program can then
/// turn a part of it into a link or a phone number. A space follows each character that joins the parts of an address,
/// and long runs of digits are cut.
fn strip_links(name: &str) -> String {
    let (mut text, mut digits) = (String::new(), 0);
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            _ if c.is_numeric() => {
                digits += 1;
                match digits {
                    ..=MOST_DIGITS => text.push(c),
                    _ if digits == MOST_DIGITS + 1 => text.push('…'),
                    _ => {}
                }
                continue;
            }
            // Separators between the digits of a number do not end it.
            _ if !c.is_alphabetic() => {}
            _ => digits = 0,
        }
        match c {
            _ if joins(c) => {
                text.push(c);
                if characters.peek().is_some_and(|next| !next.is_whitespace() && !ends_a_sentence(*next)) {
                    text.push(' ');
                }
            }
            '@' | '\u{ff20}' => text.push_str(" @ "),
            _ => text.push(c),
        }
    }
    on_one_line(&text)
}

/// Characters that join the parts of an address: the full stops of a host (UTS 46, 2.3), `:`, `/` and `\`.
fn joins(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' | '\u{2024}' | ':' | '\u{ff1a}' | '/' | '\u{ff0f}' | '\\')
}

/// Characters that may follow a full stop without being a part of an address.
fn ends_a_sentence(c: char) -> bool {
    matches!(c, ',' | ';' | ')' | '!' | '?' | '"' | '\'')
}

/// Formats a time like `20 January 2024, 12:00 UTC`. The reader's time zone is not known.
fn moment(at: Timestamp) -> Result<String> {
    let at = jiff::Timestamp::from_second(at.seconds()).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(at.strftime("%-d %B %Y, %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-20T12:00:00Z
    const UNTIL: Timestamp = Timestamp::from_seconds(1_705_752_000);

    fn invitation() -> Invitation {
        Invitation {
            workspace: "Zoé & Fils".into(),
            inviter: "Ada Lovelace".into(),
            role: "manager".into(),
            name: Some("Grace".into()),
            url: "https://cx.example.com/ui/invitation?code=abc&x=1".into(),
            expires_at: UNTIL,
        }
    }

    fn to() -> Email {
        "grace@example.com".parse().unwrap()
    }

    #[test]
    fn an_invitation_says_who_asks_where_to_as_what_and_until_when() {
        let mail = invitation().mail(to()).unwrap();
        assert_eq!((mail.to, mail.subject.as_str()), (to(), "Ada Lovelace invites you to Zoé & Fils"));
        let url = "https://cx.example.com/ui/invitation?code=abc&x=1";
        for said in ["Hello Grace,", "Ada Lovelace", "Zoé & Fils", "manager", "20 January 2024, 12:00 UTC", url] {
            assert!(mail.text.contains(said), "{said} is not in {}", mail.text);
        }
        let html = mail.html.replace("&#38;", "&");
        for said in ["Hello Grace,", "Ada Lovelace", "Zoé & Fils", "manager", "20 January 2024, 12:00 UTC"] {
            assert!(html.contains(said), "{said} is not in {html}");
        }
        assert!(html.contains(&format!("href=\"{url}\"")), "{html}");
        let unnamed = Invitation { name: None, ..invitation() }.mail(to()).unwrap();
        assert!(unnamed.text.starts_with("Hello,\n") && unnamed.html.contains("Hello,"), "{}", unnamed.text);
    }

    #[test]
    fn a_forgotten_password_is_mailed_a_link_and_until_when() {
        let url = "https://cx.example.com/ui/password-reset?email=a%40b.c&code=abc";
        let reset = PasswordReset { name: "Ada".into(), url: url.into(), expires_at: UNTIL };
        let mail = reset.mail(to()).unwrap();
        for said in ["Hello Ada,", "20 January 2024, 12:00 UTC", url] {
            assert!(mail.text.contains(said), "{said} is not in {}", mail.text);
            assert!(mail.html.replace("&#38;", "&").contains(said), "{said} is not in {}", mail.html);
        }
    }

    /// A name is free text. It must become neither markup nor a separate line.
    #[test]
    fn names_stay_names() {
        let name = "<b>Ada</b>\r\nBcc: all@example.com\n\nClick\u{2028}here".to_owned();
        let flat = "<b>Ada</ b> Bcc: all @ example. com Click here";
        let mail = Invitation { inviter: name.clone(), name: Some(name.clone()), workspace: name, ..invitation() };
        let mail = mail.mail(to()).unwrap();
        assert_eq!(mail.subject, format!("{flat} invites you to {flat}"));
        assert!(mail.text.contains(&format!("Hello {flat},")), "{}", mail.text);
        assert!(!mail.html.contains("<b>"), "{}", mail.html);
    }

    #[test]
    fn a_name_in_an_invitation_is_no_link_and_no_number_to_call() {
        for (name, shown) in [
            ("Zoé & Fils", "Zoé & Fils"),
            ("Acme S.A., Paris 75008", "Acme S. A., Paris 75008"),
            ("Win at www.evil.example/x now", "Win at www. evil. example/ x now"),
            ("https://evil.example", "https: / / evil. example"),
            ("evil\u{3002}example", "evil\u{3002} example"),
            ("mail me@evil.example", "mail me @ evil. example"),
            ("Call 01 42 00 00 00 now", "Call 01 42 0… now"),
            ("tel:+33142000000", "tel: +33142…"),
        ] {
            assert_eq!(strip_links(name), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_has_a_link_or_a_number_in_it(name in "([a-z]|[0-9]|[.:/@\\\\+() -]|www\\.|://|\\PC){0,40}") {
            let shown = strip_links(&name);
            let characters: Vec<char> = shown.chars().collect();
            for pair in characters.windows(2) {
                let is_joined = joins(pair[0]) && !pair[1].is_whitespace() && !ends_a_sentence(pair[1]);
                let is_address = pair.contains(&'@') && !pair.contains(&' ');
                proptest::prop_assert!(!is_joined && !is_address, "{:?} of {:?}", shown, name);
            }
            let mut digits = 0;
            for c in characters {
                digits = if c.is_numeric() { digits + 1 } else if c.is_alphabetic() { 0 } else { digits };
                proptest::prop_assert!(digits <= MOST_DIGITS, "{:?} of {:?}", shown, name);
            }
        }
    }

    /// Elements that a phone needs and mail programs allow.
    #[test]
    fn the_html_fits_a_phone_and_loads_nothing() {
        let reset = PasswordReset { name: "Ada".into(), url: "https://cx.example.com/ui".into(), expires_at: UNTIL };
        for html in [invitation().mail(to()).unwrap().html, reset.mail(to()).unwrap().html] {
            assert!(html.contains("name=\"viewport\"") && html.contains("max-width"), "{html}");
            assert!(html.contains("name=\"color-scheme\" content=\"light dark\""), "{html}");
            for absent in ["<img", "<script", "<link", "<table", "url(", "@import"] {
                assert!(!html.contains(absent), "{absent} in {html}");
            }
        }
    }
}
