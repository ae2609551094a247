//! Notices: mails about a change to an account that its owner may not have made.

use rusqlite::Connection;

use super::accounts::{self, Account};
use super::mail_templates::Notice;
use super::{outbox, workspace_rows};
use crate::api::{BlockingCtx, Error, Result};
use crate::auth::{Origin, TokenInUse};
use crate::values::Timestamp;

/// The change that a notice is about.
#[derive(Debug, Clone)]
pub enum NoticeKind<'a> {
    PasswordChanged,
    EmailChanged {
        email: &'a str,
    },
    SecondFactorEnabled,
    SecondFactorDisabled,
    /// By an operator of the server.
    SecondFactorReset,
    RecoveryCodesCreated,
    IdentityConnected {
        provider: &'a str,
    },
    TokenCreated {
        label: &'a str,
    },
    KeyCreated {
        name: &'a str,
        workspace: &'a str,
    },
    AccessGranted {
        client: &'a str,
        workspace: &'a str,
    },
    NewNetwork,
}

impl NoticeKind<'_> {
    fn subject(&self) -> &'static str {
        match self {
            Self::PasswordChanged => "Your password was changed",
            Self::EmailChanged { .. } => "Your email address was changed",
            Self::SecondFactorEnabled => "A second factor was added to your account",
            Self::SecondFactorDisabled => "The second factor was removed from your account",
            Self::SecondFactorReset => "An operator removed the second factor from your account",
            Self::RecoveryCodesCreated => "New recovery codes were created for your account",
            Self::IdentityConnected { .. } => "A way to sign in was added to your account",
            Self::TokenCreated { .. } => "A token was created for your account",
            Self::KeyCreated { .. } => "An integration key was created in your name",
            Self::AccessGranted { .. } => "An application was given access in your name",
            Self::NewNetwork => "Login from a new network",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::PasswordChanged => "The password of your account was changed. All other sessions have ended.".into(),
            Self::EmailChanged { email } => format!("The email address of your account is now {email}."),
            Self::SecondFactorEnabled => "Login now requires a code from your authenticator app.".into(),
            Self::SecondFactorDisabled => "Login now requires only your password.".into(),
            Self::SecondFactorReset => {
                "An operator of this server removed it. Login now requires only your password.".into()
            }
            Self::RecoveryCodesCreated => "The recovery codes that you had before no longer work.".into(),
            Self::IdentityConnected { provider } => format!("You can now sign in with {provider}."),
            Self::TokenCreated { label } => format!("The name of the token is \u{201c}{label}\u{201d}."),
            Self::KeyCreated { name, workspace } => {
                format!("The name of the key is \u{201c}{name}\u{201d}. It belongs to the workspace {workspace}.")
            }
            Self::AccessGranted { client, workspace } => {
                format!("You approved that {client} may act for you in the workspace {workspace}.")
            }
            Self::NewNetwork => "Your account was used to log in from a new network. Most likely it was you.".into(),
        }
    }
}

/// Queues a notice for an account, in the transaction of the change.
pub fn queue(db: &Connection, account_id: i64, about: &NoticeKind<'_>, origin: &Origin) -> Result<()> {
    let account = accounts::find(db, account_id)?;
    queue_to(db, &account, &account.email, about, origin)
}

/// Queues a notice to a current or former address of an account.
pub fn queue_to(
    db: &Connection,
    account: &Account,
    email: &str,
    about: &NoticeKind<'_>,
    origin: &Origin,
) -> Result<()> {
    let notice = Notice {
        name: account.name.clone(),
        subject: about.subject().to_owned(),
        sentence: about.sentence(),
        address: origin.address.map(|address| address.to_string()),
        user_agent: origin.user_agent.clone(),
        at: origin.at,
    };
    Ok(outbox::queue(db, &notice.mail(email.parse().map_err(Error::Internal)?)?, origin.at)?)
}

/// The name of an object that a user created in a workspace and that acts for the user.
#[derive(Debug, Clone)]
pub enum CreatedCredential {
    Key(String),
    Grant(String),
}

/// Queues a notice about a created object. The object stays, even if the notice fails.
pub fn notify(ctx: &BlockingCtx<'_>, person: &TokenInUse, made: CreatedCredential) -> Result<()> {
    let (account_id, workspace) = (person.account_id, ctx.request.workspace()?.id());
    let origin = ctx.request.origin().by(account_id);
    let queued = ctx.instance.central.write(move |db| {
        let workspace = &workspace_rows::name(db, workspace)?;
        let about = match &made {
            CreatedCredential::Key(name) => NoticeKind::KeyCreated { name, workspace },
            CreatedCredential::Grant(client) => NoticeKind::AccessGranted { client, workspace },
        };
        queue(db, account_id, &about, &origin)
    });
    if let Err(error) = queued {
        tracing::warn!(%error, "could not queue a notice about a created key or grant");
    }
    Ok(())
}

/// Minimum seconds between two mails about logins from the same network.
const NETWORK_MAIL_EVERY: i64 = 30 * 86_400;

/// Records the network of a login. Queues a notice if the account has other networks and has not used this one for a
/// month.
pub fn record_login(db: &Connection, account_id: i64, origin: &Origin) -> Result<()> {
    let Some(network) = origin.network() else { return Ok(()) };
    let (is_first, last): (bool, Option<Timestamp>) = db
        .prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM known_networks WHERE account_id = ?1),
                    (SELECT last_login_at FROM known_networks WHERE account_id = ?1 AND network = ?2)",
        )?
        .query_row((account_id, &network), |row| Ok((row.get(0)?, row.get(1)?)))?;
    db.prepare_cached(
        "INSERT INTO known_networks (account_id, network, last_login_at) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET last_login_at = excluded.last_login_at",
    )?
    .execute((account_id, &network, origin.at))?;
    let is_new = last.is_none_or(|last| last.plus(NETWORK_MAIL_EVERY) <= origin.at);
    if is_new && !is_first {
        queue(db, account_id, &NoticeKind::NewNetwork, origin)?;
    }
    Ok(())
}

/// Whether an account has logged in from the network of a request.
pub fn knows_network(db: &Connection, account_id: i64, origin: &Origin) -> rusqlite::Result<bool> {
    let Some(network) = origin.network() else { return Ok(false) };
    db.prepare_cached("SELECT 1 FROM known_networks WHERE account_id = ?1 AND network = ?2")?
        .exists((account_id, network))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{PASSWORD, TestServer};

    fn subjects(server: &TestServer) -> Vec<String> {
        server.mails().into_iter().map(|mail| mail.subject).collect()
    }

    #[test]
    fn a_person_is_told_what_changed_from_where_and_by_what() {
        let server = TestServer::new();
        let me = server.central().with_header("user-agent", "curl/8");
        me.post("/tokens", json!({"label": "nightly"})).created();
        me.put("/account", json!({"password": "another-long-one", "current_password": PASSWORD})).created();
        let mails = server.mails();
        let [token, password] = &mails[..] else { panic!("{mails:?}") };
        assert_eq!(
            (token.to.to_string(), token.subject.as_str()),
            ("owner@example.com".into(), "A token was created for your account")
        );
        for said in ["nightly", "127.0.0.1", "curl/8"] {
            assert!(token.text.contains(said) && token.html.contains(said), "{said}: {}", token.text);
        }
        assert_eq!(password.subject, "Your password was changed");
    }

    #[test]
    fn a_key_or_an_approval_in_somebodys_name_is_told_to_them() {
        let server = TestServer::new();
        let key = json!({"name": "nightly", "permissions": ["customer.view"]});
        let key = server.admin().post("/integration-keys", key).created();
        server.admin().post(&format!("/integration-keys/{}/rotate", key["id"]), json!({})).created();
        server
            .key(&["integration-key.create", "contact.view"], None)
            .post("/integration-keys", json!({"name": "by a program", "permissions": ["contact.view"]}))
            .created();
        let client = json!({
            "name": "3CX", "redirect_uris": ["https://example.com/"], "grants": ["authorization_code"], "scopes": ["crm"],
        });
        let client = server.admin().post("/oauth-clients", client).created();
        let query = format!(
            "client_id={}&redirect_uri=https%3A%2F%2Fexample.com%2F&response_type=code",
            client["client_id"].as_str().unwrap()
        );
        server.approve("owner@example.com", &format!("/oauth/authorize?{query}"));
        let mails = server.mails();
        let texts: Vec<&str> = mails.iter().map(|mail| mail.text.as_str()).collect();
        assert_eq!(mails.len(), 4, "{texts:?}");
        for (text, said) in texts.iter().zip(["nightly", "nightly", "a program", "3CX"]) {
            assert!(text.contains(said) && text.contains("acme"), "{text}");
        }
    }

    #[test]
    fn a_login_from_another_network_is_told_once_a_month() {
        let server = TestServer::with(&[("trusted_proxies", "127.0.0.1")]);
        let login = |address: &str| {
            let client = server.anonymous().with_header("x-forwarded-for", address);
            client.post("/login", json!({"email": "owner@example.com", "password": PASSWORD})).ok();
        };
        // The first network is the account's usual one.
        for address in ["192.0.2.1", "192.0.2.200"] {
            login(address);
        }
        assert_eq!(subjects(&server), [""; 0]);
        for address in ["198.51.100.1", "198.51.100.2", "192.0.2.1", "2001:db8:1:2::1", "2001:db8:1:3::1"] {
            login(address);
        }
        assert_eq!(subjects(&server), ["Login from a new network"; 2]);
        server
            .instance
            .central
            .write(|db| {
                Ok::<_, Error>(db.execute("UPDATE known_networks SET last_login_at = last_login_at - 2592000", [])?)
            })
            .unwrap();
        login("192.0.2.9");
        assert_eq!(subjects(&server).len(), 3);
    }
}
