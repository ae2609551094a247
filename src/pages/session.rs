//! The cookies of pages: the session of a visitor, and the keys of forms.
//!
//! A session is a token of the person for one workspace or for the central API, so it is listed, revoked and expires like
//! any other token. The browser sends its cookie only to this host, and no script can read it (RFC 6265; `__Host-` under
//! https). Each form contains a digest of the cookie, which only pages of this host can know. `SameSite` alone is not
//! enough: for a browser, a sibling workspace belongs to the same site, so its pages could post.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderName, Method};
use sha2::{Digest, Sha256};

use crate::api::request::cookie_value;
use crate::api::{Address, Audience, Error, Input, Operation, Request, Result, form_field};
use crate::auth::{Credential, TokenInUse, TokenScope, secret};
use crate::central::account_session::LoginToken;
use crate::tenancy::{Bearer, Current};
use crate::values::Timestamp;

/// The token of a session. It lasts for a working day.
pub const BROWSER: LoginToken = LoginToken { label: "browser", ttl: 12 * 3600 };

/// The header in which browsers report the origin of a request (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const SESSION: &str = "cx_session";
const VISIT: &str = "cx_visit";
const ATTEMPT: &str = "cx_attempt";

/// The visitor of a page.
#[derive(Debug, Clone)]
pub struct BrowserSession {
    /// The token of the session, if the visitor is signed in.
    pub session: Option<Arc<TokenInUse>>,
    /// The secret behind the visitor's form keys: the session's token, or the visit cookie before sign-in.
    secret: Option<String>,
    /// The value of the visit cookie.
    visit: Option<String>,
    cookies: Cookies,
}

/// Names and attributes of cookies.
#[derive(Debug, Clone)]
struct Cookies {
    is_secure: bool,
    /// The path of the workspace, if it shares its host with others.
    path: String,
}

impl BrowserSession {
    /// The form key of this visitor, with a new cookie if the visitor has none.
    pub fn form_key(&self) -> Result<(String, Option<Cookie<'static>>)> {
        match &self.secret {
            Some(secret) => Ok((digest(secret), None)),
            None => {
                let visit = secret::random()?;
                Ok((digest(&visit), Some(self.cookie(VISIT, visit))))
            }
        }
    }

    /// A name of this visit that other hosts may see, with a new cookie if the visitor has none.
    pub fn visit(&self) -> Result<(String, Option<Cookie<'static>>)> {
        match &self.visit {
            Some(visit) => Ok((visit_name(visit), None)),
            None => {
                let visit = secret::random()?;
                Ok((visit_name(&visit), Some(self.cookie(VISIT, visit))))
            }
        }
    }

    /// The cookie of a new session.
    pub fn signed_in(&self, token: String) -> Cookie<'static> {
        let mut cookie = self.cookie(SESSION, token);
        cookie.set_max_age(cookie::time::Duration::seconds(BROWSER.ttl));
        cookie
    }

    /// The cookie that removes a session.
    pub fn signed_out(&self) -> Cookie<'static> {
        self.removal(SESSION)
    }

    /// The key of links that connect an identity to the account of this session. Other sites do not know it.
    pub fn connect_key(&self) -> Option<String> {
        let secret = self.secret.as_ref().filter(|_| self.session.is_some())?;
        Some(URL_SAFE_NO_PAD.encode(Sha256::digest(format!("connect {secret}"))))
    }

    /// The cookie of an attempt to sign in with a provider.
    pub fn provider_attempt(&self, value: String, ttl: i64) -> Cookie<'static> {
        let mut cookie = self.cookie(ATTEMPT, value);
        cookie.set_max_age(cookie::time::Duration::seconds(ttl));
        cookie
    }

    /// The cookie that removes an attempt.
    pub fn no_provider_attempt(&self) -> Cookie<'static> {
        self.removal(ATTEMPT)
    }

    fn removal(&self, name: &'static str) -> Cookie<'static> {
        let mut cookie = self.cookie(name, String::new());
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
    fn of(address: &Address) -> Self {
        let path = if address.prefix.is_empty() { "/".to_owned() } else { address.prefix.clone() };
        Self { is_secure: address.scheme == "https", path }
    }

    fn sent(&self, headers: &HeaderMap, name: &'static str) -> Option<String> {
        cookie_value(headers, &self.named(name))
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

/// The value of the cookie of an attempt to sign in with a provider.
pub fn provider_cookie(request: &Request) -> Option<String> {
    Cookies::of(&request.address).sent(&request.headers, ATTEMPT)
}

/// The cookie with something that a person chose for this browser. It lasts a year.
pub fn choice_cookie(request: &Request, name: &'static str, choice: &'static str) -> Cookie<'static> {
    let Cookies { is_secure, path } = Cookies::of(&request.address);
    let mut cookie = Cookie::build((name, choice)).path(path).same_site(SameSite::Lax).secure(is_secure).build();
    cookie.set_max_age(cookie::time::Duration::days(365));
    cookie
}

fn digest(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("form {secret}")))
}

/// Differs from the form key of the same cookie, because it stands in URLs.
fn visit_name(visit: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("visit {visit}")))
}

/// The session of a request for a page of this scope, if the browser has one.
pub fn session(
    headers: &HeaderMap,
    address: &Address,
    scope: TokenScope,
    directory: &mut Current<'_>,
    now: Timestamp,
) -> Result<Credential> {
    let Some(text) = Cookies::of(address).sent(headers, SESSION) else { return Ok(Credential::None) };
    Ok(match directory.bearer(&text, now)? {
        Ok(Bearer::Person(token)) if token.scope == scope => Credential::Session(token),
        _ => Credential::None,
    })
}

/// Rejects a form that another site sends in the visitor's name. This is the only check of form keys, and it runs
/// before the handler of every page.
pub fn check_form(request: &Request) -> Result<()> {
    if request.audience != Audience::People || request.method == Method::GET {
        return Ok(());
    }
    let visitor = BrowserSession::read(request)?;
    if visitor.session.is_none() && !request.has_form_key {
        return Ok(());
    }
    let form_key = form_field(request, "form_key")?;
    let is_ours = visitor.secret.as_deref().is_some_and(|secret| digest(secret) == form_key);
    if is_ours && is_from_here(&request.headers) {
        return Ok(());
    }
    Err(Error::forbidden("forbidden", "This form is from another site or has expired. Go back and reload the page."))
}

/// Whether no browser reports that the request comes from another site.
pub fn is_from_here(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin" || site == "none")
}

impl Input for BrowserSession {
    fn read(request: &Request) -> Result<Self> {
        let cookies = Cookies::of(&request.address);
        let (session, name) = match &request.credential {
            Credential::Session(token) => (Some(Arc::clone(token)), SESSION),
            _ => (None, VISIT),
        };
        let secret = cookies.sent(&request.headers, name);
        let visit = cookies.sent(&request.headers, VISIT);
        Ok(Self { session, secret, visit, cookies })
    }

    fn describe(_: &mut Operation<'_>) {}
}

/// The form key of a visitor with this session or visit.
#[cfg(test)]
pub fn form_key_of(secret: &str) -> String {
    digest(secret)
}
