//! The mails that are sent, as text and as HTML for a phone's width: one column, one button, no image, and no colour but
//! the button's, so that a dark screen stays dark.

use askama::Template;

use super::outbox::Mail;
use crate::api::{Error, Result, rendered};
use crate::values::{Email, Timestamp};

/// Asks somebody into a workspace.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The workspace's name.
    pub workspace: String,
    /// The name of whoever invites.
    pub inviter: String,
    /// The name of the role that is offered.
    pub role: String,
    /// Of who is invited, where it is known.
    pub name: Option<String>,
    /// Where the invitation is accepted.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Lets somebody who forgot a password choose another.
#[derive(Debug, Clone)]
pub struct PasswordReset {
    /// Of the account.
    pub name: String,
    /// Where the password is chosen.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Lets somebody confirm an address of their account.
#[derive(Debug, Clone)]
pub struct EmailCode {
    /// Of the account.
    pub name: String,
    pub code: String,
    /// Where the code is confirmed.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Tells the former address of an account that another one is to take its place.
#[derive(Debug, Clone)]
pub struct EmailChange {
    /// Of the account.
    pub name: String,
    /// The new address.
    pub email: String,
    /// Where the change is undone.
    pub url: String,
    pub expires_at: Timestamp,
}

/// Tells somebody what changed in their account.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Of the account.
    pub name: String,
    pub subject: String,
    pub sentence: String,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub at: Timestamp,
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
            workspace: on_one_line(&self.workspace),
            inviter: on_one_line(&self.inviter),
            role: on_one_line(&self.role),
            name: self.name.as_deref().map(on_one_line),
            ..self
        };
        let subject = format!("{} invites you to {}", is.inviter, is.workspace);
        let until = &moment(is.expires_at)?;
        let text = rendered(&InvitationText { is, until })?;
        let html = rendered(&InvitationHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl PasswordReset {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), ..self };
        let subject = "Choose a new password".to_owned();
        let until = &moment(is.expires_at)?;
        let text = rendered(&PasswordResetText { is, until })?;
        let html = rendered(&PasswordResetHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl EmailCode {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), ..self };
        let subject = "Confirm your email address".to_owned();
        let until = &moment(is.expires_at)?;
        let text = rendered(&EmailCodeText { is, until })?;
        let html = rendered(&EmailCodeHtml { subject: &subject, is, until })?;
        Ok(Mail { to, subject, text, html })
    }
}

impl EmailChange {
    pub fn mail(self, to: Email) -> Result<Mail> {
        let is = &Self { name: on_one_line(&self.name), ..self };
        let subject = "The email address of your account is about to change".to_owned();
        let until = &moment(is.expires_at)?;
        let text = rendered(&EmailChangeText { is, until })?;
        let html = rendered(&EmailChangeHtml { subject: &subject, is, until })?;
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
        let text = rendered(&NoticeText { subject: &subject, is, at })?;
        let html = rendered(&NoticeHtml { subject: &subject, is, at })?;
        Ok(Mail { to, subject, text, html })
    }
}

/// People choose names freely: one must not look like a paragraph of ours, or like a header.
fn on_one_line(name: &str) -> String {
    name.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `20 January 2024, 12:00 UTC`: where the reader is, nobody knows.
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

    /// A name is whatever somebody typed: it is neither markup nor a line of its own.
    #[test]
    fn names_stay_names() {
        let name = "<b>Ada</b>\r\nBcc: all@example.com\n\nClick\u{2028}here".to_owned();
        let flat = "<b>Ada</b> Bcc: all@example.com Click here";
        let mail = Invitation { inviter: name.clone(), name: Some(name.clone()), workspace: name, ..invitation() };
        let mail = mail.mail(to()).unwrap();
        assert_eq!(mail.subject, format!("{flat} invites you to {flat}"));
        assert!(mail.text.contains(&format!("Hello {flat},")), "{}", mail.text);
        assert!(!mail.html.contains("<b>"), "{}", mail.html);
    }

    /// What a phone wants of a page, and a mail program allows.
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
