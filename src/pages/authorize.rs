//! The page on which a user approves that a program acts for them (RFC 6749, 4.1.1 and 4.1.2).
//!
//! The client and its redirect URI are checked first. If either is wrong, the user sees an error page and is redirected
//! nowhere (RFC 6749, 4.1.2.1; RFC 9700, 4.11). All other errors are reported to the program.

use askama::Template;
use http::StatusCode;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::session::BrowserSession;
use super::translations::Translations;
use super::{Message, sign_in};
use crate::api::{
    BlockingCtx, Error, Form, Html, LinkQuery, Needs, PageOrRedirect, Redirect, Result, Route, blocking, get, post,
    render,
};
use crate::auth::identity::{self, MemberCheck};
use crate::auth::{Scopes, TokenInUse};
use crate::central::notices::{self, CreatedCredential};
use crate::tenancy::journal::Actor;
use crate::values::Text;
use crate::workspace::oauth::clients::{self, GrantType, OAuthClient};
use crate::workspace::oauth::grants::{self, Approval};
use crate::workspace::oauth::protocol::{BAD_SCOPE, OAuthError};
use crate::workspace::oauth::token_endpoint::resolve_scopes;

pub const ROUTES: &[Route] = &[
    get("/oauth/authorize", &blocking(show), Needs::Anyone, "Show the approval page"),
    post("/oauth/authorize", &blocking(decide), Needs::Anyone, "Approve or deny a program's request"),
];

/// The parameters of an authorization request. All are checked again when the user decides.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuthorizeParams {
    /// Id of the OAuth client.
    client_id: Text<200>,
    /// A registered redirect URI of the client, to the letter.
    redirect_uri: Text<2000>,
    /// Must be `code`.
    response_type: Text<100>,
    /// Requested scopes, separated by blanks. Default: the client's scopes.
    scope: Text<5000>,
    /// Returned to the client unchanged.
    state: Text<4000>,
    /// PKCE challenge (RFC 7636). Required of public clients.
    code_challenge: Text<200>,
    /// Must be `S256`.
    code_challenge_method: Text<20>,
    /// `approve` or `deny`, once the user has decided.
    decision: Text<20>,
    /// The scopes that the page showed. No others are approved.
    shown: Text<5000>,
}

/// The result of checking a request.
enum RequestCheck {
    /// The client or redirect URI is wrong. Contains the message for the user.
    Page(String),
    /// The error is reported to the program.
    Back(OAuthError),
    Good(Box<AuthorizationRequest>),
}

/// A valid request that the user may decide on.
struct AuthorizationRequest {
    client: OAuthClient,
    scopes: Scopes,
    /// The rights that the user would grant, in words.
    rights: Vec<String>,
    customer: Option<String>,
    user_id: i64,
    name: String,
    email: String,
}

#[derive(Template)]
#[template(path = "page_authorize.html")]
struct AuthorizePage<'a> {
    words: Translations,
    client: &'a str,
    workspace: &'a str,
    email: &'a str,
    rights: &'a [String],
    customer: Option<&'a str>,
    destination: &'a str,
    asked: Vec<(&'static str, &'a str)>,
    here: &'a str,
    form_key: &'a str,
}

fn show(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    LinkQuery(asked): LinkQuery<AuthorizeParams>,
) -> Result<PageOrRedirect> {
    let words = Translations::of(ctx.request);
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return error_page(words, &words.problems(&error).join(" ")),
    };
    match check_request(ctx, &browser, &asked)? {
        RequestCheck::Page(why) => error_page(words, &why),
        RequestCheck::Back(refusal) => redirect_back(ctx, &asked, &refusal_pairs(refusal)),
        RequestCheck::Good(request) => match request {
            _ if browser.session.is_none() => Ok(PageOrRedirect::Redirect(Redirect::to(sign_in::path(&asked.here())))),
            request => page(ctx, &browser, &asked, &request).map(PageOrRedirect::Page),
        },
    }
}

fn decide(
    ctx: &BlockingCtx<'_>,
    browser: BrowserSession,
    Form(asked): Form<AuthorizeParams>,
) -> Result<PageOrRedirect> {
    let words = Translations::of(ctx.request);
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return error_page(words, &words.problems(&error).join(" ")),
    };
    let request = match check_request(ctx, &browser, &asked)? {
        RequestCheck::Page(why) => return error_page(words, &why),
        RequestCheck::Back(refusal) => return redirect_back(ctx, &asked, &refusal_pairs(refusal)),
        // If the session has expired, the user signs in and then sees the page again.
        RequestCheck::Good(_) if browser.session.is_none() => {
            return Ok(PageOrRedirect::Redirect(Redirect::to(sign_in::path(&asked.here()))));
        }
        RequestCheck::Good(request) => request,
    };
    match &*asked.decision {
        "approve" => {
            let approval = Approval {
                client_id: request.client.id,
                user_id: request.user_id,
                redirect_uri: asked.redirect_uri.to_string(),
                scopes: request.scopes.effective(&Scopes::parse(&asked.shown).unwrap_or_default(), None),
                challenge: Some(asked.code_challenge.to_string()).filter(|challenge| !challenge.is_empty()),
            };
            let lease = ctx.request.workspace()?;
            let person = Actor::User { id: request.user_id, name: request.name };
            let recorder = ctx.request.recorder_for(lease.id(), person);
            let code = lease.file().write(move |db| grants::approve(db, &recorder, &approval))?;
            if let Some(session) = &browser.session {
                notices::notify(ctx, session, CreatedCredential::Grant(request.client.name.to_string()))?;
            }
            redirect_back(ctx, &asked, &[("code", &code)])
        }
        "deny" => redirect_back(
            ctx,
            &asked,
            &[("error", "access_denied"), ("error_description", "The user denied the request.")],
        ),
        _ => error_page(words, &words.not_decided()),
    }
}

fn check_request(ctx: &BlockingCtx<'_>, browser: &BrowserSession, asked: &AuthorizeParams) -> Result<RequestCheck> {
    let (asked, words, token) = (asked.clone(), Translations::of(ctx.request), browser.session.clone());
    ctx.request.workspace()?.file().read(move |db| asked.judge(db, words, token.as_deref()))
}

impl AuthorizeParams {
    fn judge(&self, db: &Connection, words: Translations, token: Option<&TokenInUse>) -> Result<RequestCheck> {
        let Some(client) = clients::named(db, &self.client_id)? else {
            return Ok(RequestCheck::Page(words.unknown_program()));
        };
        if !client.allows_redirect(&self.redirect_uri) {
            return Ok(RequestCheck::Page(words.unknown_destination()));
        }
        let refusal = |code, why| Ok(RequestCheck::Back(OAuthError { code, why }));
        if !client.may_use(GrantType::AUTHORIZATION_CODE) {
            return refusal("unauthorized_client", "The client may not use codes.");
        }
        match &*self.response_type {
            "code" => {}
            "" => return refusal("invalid_request", "The response_type is missing."),
            _ => return refusal("unsupported_response_type", "The response_type must be code."),
        }
        let Ok(scopes) = resolve_scopes(Some(&self.scope), &client.scopes) else {
            return Ok(RequestCheck::Back(BAD_SCOPE));
        };
        match (&*self.code_challenge, &*self.code_challenge_method) {
            ("", "") if client.confidential => {}
            ("", _) => return refusal("invalid_request", "The code_challenge is missing."),
            (challenge, "S256") if is_challenge(challenge) => {}
            (_, "S256") => return refusal("invalid_request", "The code_challenge is malformed."),
            _ => return refusal("invalid_request", "The code_challenge_method must be S256."),
        }
        let person = match token.map(|token| identity::member(db, token)).transpose()? {
            Some(MemberCheck::Member(person)) => person,
            Some(MemberCheck::WithoutSecondFactor) => return Ok(RequestCheck::Page(words.second_factor_required())),
            Some(MemberCheck::WithoutSingleSignOn) => return Ok(RequestCheck::Page(words.single_sign_on_required())),
            // The user must sign in first. Until then, nothing is shown about the user's rights.
            Some(MemberCheck::NotAMember) | None => {
                return Ok(RequestCheck::Good(Box::new(AuthorizationRequest::unsigned(client, scopes))));
            }
        };
        let user_id = person.user_id().ok_or_else(Error::not_a_member)?;
        let scopes = scopes.effective(&client.scopes, Some(&person.permissions));
        let customer = client.customer_id.map(|id| {
            db.prepare_cached("SELECT name FROM customers WHERE id = ?1")?
                .query_row([id], |row| row.get::<_, String>(0))
        });
        let email =
            db.prepare_cached("SELECT email FROM users WHERE id = ?1")?.query_row([user_id], |row| row.get(0))?;
        Ok(RequestCheck::Good(Box::new(AuthorizationRequest {
            rights: scopes.permissions().descriptions(words.0),
            customer: customer.transpose()?,
            user_id,
            name: person.name,
            email,
            client,
            scopes,
        })))
    }

    /// The URL of this page with the request, but without the decision.
    fn here(&self) -> String {
        let start = "/oauth/authorize?";
        let mut url = form_urlencoded::Serializer::for_suffix(start.to_owned(), start.len());
        url.extend_pairs(self.pairs());
        url.finish()
    }

    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all: [(&'static str, &str); 7] = [
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", &self.response_type),
            ("scope", &self.scope),
            ("state", &self.state),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl AuthorizationRequest {
    fn unsigned(client: OAuthClient, scopes: Scopes) -> Self {
        Self {
            client,
            scopes,
            rights: Vec::new(),
            customer: None,
            user_id: 0,
            name: String::new(),
            email: String::new(),
        }
    }
}

/// 43 characters of base64url: a SHA-256 (RFC 7636, 4.2).
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn page(
    ctx: &BlockingCtx<'_>,
    browser: &BrowserSession,
    asked: &AuthorizeParams,
    request: &AuthorizationRequest,
) -> Result<Html> {
    let id = ctx.request.workspace()?.id();
    let workspace = ctx.instance.central.workspace_name(id)?;
    let (form_key, cookie) = browser.form_key()?;
    let origin = origin_of(&asked.redirect_uri);
    let (words, shown) = (Translations::of(ctx.request), request.scopes.to_string());
    let text = render(&AuthorizePage {
        words,
        client: &request.client.name,
        workspace: &workspace,
        email: &request.email,
        rights: &request.rights,
        customer: request.customer.as_deref(),
        destination: &origin,
        asked: asked.pairs().into_iter().chain([("shown", shown.as_str())]).collect(),
        here: &asked.here(),
        form_key: &form_key,
    })?;
    Ok(Html::ok(words.0, text).with_cookie(cookie).leading_to(Some(source_of(&asked.redirect_uri))))
}

/// The scheme, host and port of a registered URI.
fn origin_of(uri: &str) -> String {
    url::Url::parse(uri).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// A Content Security Policy source that allows a registered URI. A source cannot name an IPv6 address (CSP 3, 2.3.1),
/// so an IPv6 URI is allowed by its scheme.
fn source_of(uri: &str) -> String {
    match url::Url::parse(uri) {
        Ok(url) if matches!(url.host(), Some(url::Host::Ipv6(_))) => format!("{}:", url.scheme()),
        _ => origin_of(uri),
    }
}

/// Shows an error page without a redirect.
fn error_page(words: Translations, why: &str) -> Result<PageOrRedirect> {
    Message::about(words, &words.not_to_be_approved(), why).page(StatusCode::BAD_REQUEST).map(PageOrRedirect::Page)
}

fn refusal_pairs(refusal: OAuthError) -> [(&'static str, &'static str); 2] {
    [("error", refusal.code), ("error_description", refusal.why)]
}

/// Redirects to the program with these parameters, its own `state`, and the issuer (RFC 9207).
fn redirect_back(ctx: &BlockingCtx<'_>, asked: &AuthorizeParams, told: &[(&str, &str)]) -> Result<PageOrRedirect> {
    let start = format!("{}{}", &*asked.redirect_uri, if asked.redirect_uri.contains('?') { "&" } else { "?" });
    let length = start.len();
    let mut url = form_urlencoded::Serializer::for_suffix(start, length);
    url.extend_pairs(told);
    if !asked.state.is_empty() {
        url.append_pair("state", &asked.state);
    }
    url.append_pair("iss", &ctx.request.workspace_url()?);
    Ok(PageOrRedirect::Redirect(Redirect::to(url.finish())))
}

#[cfg(test)]
mod tests;
