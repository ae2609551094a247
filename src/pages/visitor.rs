//! The visitor of a workspace's page, with or without a session.
//!
//! A session is a token of the user for the workspace, so it is listed, revoked and expires like any other token. The
//! browser sends its cookie only to this host, and no script can read it (RFC 6265; `__Host-` under https). Each form
//! contains a digest of the cookie, which only pages of this host can know. `SameSite` alone is not enough: for a
//! browser, a sibling workspace belongs to the same site, so its pages could post.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use http::{HeaderName, header};
use sha2::{Digest, Sha256};

use crate::api::{Call, Error, Input, Operation, Result};
use crate::auth::{TokenInUse, secret};
use crate::tenancy::Bearer;

/// Duration of a session in seconds: a working day.
pub const SESSION_LASTS: i64 = 12 * 3600;

/// The header in which browsers report the origin of a request (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const SESSION: &str = "cx_session";
const VISIT: &str = "cx_visit";

/// The visitor of a page.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The token of the session, if the visitor is signed in.
    pub session: Option<Arc<TokenInUse>>,
    /// The secret behind the visitor's form keys: the session's token, or a visit cookie before sign-in.
    secret: Option<String>,
    cookies: Cookies,
    is_from_elsewhere: bool,
}

/// Names and attributes of cookies.
#[derive(Debug, Clone)]
struct Cookies {
    is_secure: bool,
    /// The path of the workspace, if it shares its host with others.
    path: String,
}

impl Visitor {
    /// The form key of this visitor, with a new cookie if the visitor has none.
    pub fn form_key(&self) -> Result<(String, Option<Cookie<'static>>)> {
        match &self.secret {
            Some(secret) => Ok((digest(secret), None)),
            None => {
                let visit = secret::make()?;
                Ok((digest(&visit), Some(self.cookie(VISIT, visit))))
            }
        }
    }

    /// Rejects a form that another site sends in the visitor's name.
    pub fn check(&self, form_key: &str) -> Result<()> {
        let is_ours = self.secret.as_deref().is_some_and(|secret| digest(secret) == form_key);
        if is_ours && !self.is_from_elsewhere {
            return Ok(());
        }
        Err(Error::forbidden(
            "forbidden",
            "This form is from another site or has expired. Go back and reload the page.",
        ))
    }

    /// The cookie of a new session.
    pub fn signed_in(&self, token: String) -> Cookie<'static> {
        let mut cookie = self.cookie(SESSION, token);
        cookie.set_max_age(cookie::time::Duration::seconds(SESSION_LASTS));
        cookie
    }

    /// The cookie that removes a session.
    pub fn signed_out(&self) -> Cookie<'static> {
        let mut cookie = self.cookie(SESSION, String::new());
        cookie.make_removal();
        cookie
    }

    fn cookie(&self, name: &'static str, value: String) -> Cookie<'static> {
        Cookie::build((self.cookies.named(name), value))
            .path(self.cookies.path.clone())
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.cookies.is_secure)
            .build()
    }
}

impl Cookies {
    fn of(call: &Call) -> Self {
        let prefix = &call.address.prefix;
        let path = if prefix.is_empty() { "/".to_owned() } else { prefix.clone() };
        Self { is_secure: call.address.scheme == "https", path }
    }

    /// Under https, no other host can set a cookie with this prefix (RFC 6265bis, 4.1.3.2). A cookie that is bound to a
    /// path cannot use the `__Host-` prefix.
    fn named(&self, name: &'static str) -> String {
        match (self.is_secure, self.path.as_str()) {
            (false, _) => name.to_owned(),
            (true, "/") => format!("__Host-{name}"),
            (true, _) => format!("__Secure-{name}"),
        }
    }
}

fn digest(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("form {secret}")))
}

impl Input for Visitor {
    fn read(call: &Call) -> Result<Self> {
        let cookies = Cookies::of(call);
        let sent = |name: &'static str| {
            let wanted = cookies.named(name);
            // Cookies are parsed one by one, as bytes, so that a malformed cookie of another program does not hide
            // ours.
            let headers = call.headers.get_all(header::COOKIE).iter();
            let pieces = headers.flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
            let mut pieces = pieces.filter_map(|piece| Cookie::parse(str::from_utf8(piece).ok()?).ok());
            pieces.find(|cookie| cookie.name() == wanted).map(|cookie| cookie.value().to_owned())
        };
        let workspace = call.workspace()?.id();
        let text = sent(SESSION);
        let bearer = match &text {
            Some(text) => call.engine.directory.current(&call.engine.keys)?.bearer(text, call.now)?.ok(),
            None => None,
        };
        let session = match bearer {
            Some(Bearer::Person(token)) if token.scope.workspace() == Some(workspace) => Some(token),
            _ => None,
        };
        let secret = if session.is_some() { text } else { sent(VISIT) };
        let site = call.header(&FETCH_SITE);
        let is_from_elsewhere = site.is_some_and(|site| site != "same-origin" && site != "none");
        Ok(Self { session, secret, cookies, is_from_elsewhere })
    }

    fn describe(_: &mut Operation<'_>) {}
}
