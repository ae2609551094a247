//! The page on which a user approves that a program acts for them (RFC 6749, 4.1.1 and 4.1.2).
//!
//! The client and its redirect URI are checked first. If either is wrong, the user sees an error page and is redirected
//! nowhere (RFC 6749, 4.1.2.1; RFC 9700, 4.11). All other errors are reported to the program.

use askama::Template;
use http::StatusCode;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::visitor::Visitor;
use super::words::Words;
use super::{Message, sign_in};
use crate::api::{Error, Form, Html, Link, Needs, Redirect, Result, Route, Steps, Visited, get, post, rendered, steps};
use crate::auth::callers::{self, Person};
use crate::auth::{Scopes, TokenInUse};
use crate::central::notices::{self, Made};
use crate::tenancy::journal::Actor;
use crate::values::Text;
use crate::workspace::oauth::clients::{self, Client, GrantType};
use crate::workspace::oauth::grants::{self, Approval};
use crate::workspace::oauth::token::{BAD_SCOPE, Refusal, wanted};

pub const ROUTES: &[Route] = &[
    get("/oauth/authorize", &steps(show), Needs::Anyone, "Show the approval page"),
    post("/oauth/authorize", &steps(decide), Needs::Anyone, "Approve or deny a program's request"),
];

/// The parameters of an authorization request. All are checked again when the user decides.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Asked {
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
enum Verdict {
    /// The client or redirect URI is wrong. Contains the message for the user.
    Page(String),
    /// The error is reported to the program.
    Back(Refusal),
    Good(Box<Request>),
}

/// A valid request that the user may decide on.
struct Request {
    client: Client,
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
struct Page<'a> {
    words: Words,
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

fn show(steps: &Steps<'_>, visitor: Visitor, Link(asked): Link<Asked>) -> Result<Visited> {
    let words = Words::of(steps.call);
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return told(words, &words.problems(&error).join(" ")),
    };
    match judge(steps, &visitor, &asked)? {
        Verdict::Page(why) => told(words, &why),
        Verdict::Back(refusal) => back(steps, &asked, &refusal_pairs(refusal)),
        Verdict::Good(request) => match request {
            _ if visitor.session.is_none() => Ok(Visited::Onward(Redirect::to(sign_in::path(&asked.here())))),
            request => page(steps, &visitor, &asked, &request).map(Visited::Page),
        },
    }
}

fn decide(steps: &Steps<'_>, visitor: Visitor, Form(asked): Form<Asked>) -> Result<Visited> {
    let words = Words::of(steps.call);
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return told(words, &words.problems(&error).join(" ")),
    };
    let request = match judge(steps, &visitor, &asked)? {
        Verdict::Page(why) => return told(words, &why),
        Verdict::Back(refusal) => return back(steps, &asked, &refusal_pairs(refusal)),
        // If the session has expired, the user signs in and then sees the page again.
        Verdict::Good(_) if visitor.session.is_none() => {
            return Ok(Visited::Onward(Redirect::to(sign_in::path(&asked.here()))));
        }
        Verdict::Good(request) => request,
    };
    match &*asked.decision {
        "approve" => {
            let approval = Approval {
                client_id: request.client.id,
                user_id: request.user_id,
                redirect_uri: asked.redirect_uri.to_string(),
                scopes: request.scopes.holding(&Scopes::parse(&asked.shown).unwrap_or_default(), None),
                challenge: Some(asked.code_challenge.to_string()).filter(|challenge| !challenge.is_empty()),
            };
            let lease = steps.call.workspace()?;
            let person = Actor::User { id: request.user_id, name: request.name };
            let author = steps.call.author_in(lease.id(), person);
            let code = lease.file().write(move |db| grants::approve(db, &author, &approval))?;
            if let Some(session) = &visitor.session {
                notices::tell(steps, session, Made::Grant(request.client.name.to_string()))?;
            }
            back(steps, &asked, &[("code", &code)])
        }
        "deny" => {
            back(steps, &asked, &[("error", "access_denied"), ("error_description", "The user denied the request.")])
        }
        _ => told(words, &words.not_decided()),
    }
}

fn judge(steps: &Steps<'_>, visitor: &Visitor, asked: &Asked) -> Result<Verdict> {
    let (asked, words, token) = (asked.clone(), Words::of(steps.call), visitor.session.clone());
    steps.call.workspace()?.file().read(move |db| asked.judge(db, words, token.as_deref()))
}

impl Asked {
    fn judge(&self, db: &Connection, words: Words, token: Option<&TokenInUse>) -> Result<Verdict> {
        let Some(client) = clients::named(db, &self.client_id)? else {
            return Ok(Verdict::Page(words.unknown_program()));
        };
        if !client.redirects_to(&self.redirect_uri) {
            return Ok(Verdict::Page(words.unknown_destination()));
        }
        let refusal = |code, why| Ok(Verdict::Back(Refusal { code, why }));
        if !client.may_use(GrantType::AUTHORIZATION_CODE) {
            return refusal("unauthorized_client", "The client may not use codes.");
        }
        match &*self.response_type {
            "code" => {}
            "" => return refusal("invalid_request", "The response_type is missing."),
            _ => return refusal("unsupported_response_type", "The response_type must be code."),
        }
        let Ok(scopes) = wanted(Some(&self.scope), &client.scopes) else { return Ok(Verdict::Back(BAD_SCOPE)) };
        match (&*self.code_challenge, &*self.code_challenge_method) {
            ("", "") if client.confidential => {}
            ("", _) => return refusal("invalid_request", "The code_challenge is missing."),
            (challenge, "S256") if is_challenge(challenge) => {}
            (_, "S256") => return refusal("invalid_request", "The code_challenge is malformed."),
            _ => return refusal("invalid_request", "The code_challenge_method must be S256."),
        }
        let person = match token.map(|token| callers::person(db, token)).transpose()? {
            Some(Person::Member(person)) => person,
            Some(Person::WithoutSecondFactor) => return Ok(Verdict::Page(words.second_factor_required())),
            // The user must sign in first. Until then, nothing is shown about the user's rights.
            Some(Person::NotAMember) | None => {
                return Ok(Verdict::Good(Box::new(Request::unsigned(client, scopes))));
            }
        };
        let user_id = person.user_id().ok_or_else(Error::not_a_member)?;
        let scopes = scopes.holding(&client.scopes, Some(&person.permissions));
        let customer = client.customer_id.map(|id| {
            db.prepare_cached("SELECT name FROM customers WHERE id = ?1")?
                .query_row([id], |row| row.get::<_, String>(0))
        });
        let email =
            db.prepare_cached("SELECT email FROM users WHERE id = ?1")?.query_row([user_id], |row| row.get(0))?;
        Ok(Verdict::Good(Box::new(Request {
            rights: scopes.permissions().in_words(words.0),
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

impl Request {
    fn unsigned(client: Client, scopes: Scopes) -> Self {
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

fn page(steps: &Steps<'_>, visitor: &Visitor, asked: &Asked, request: &Request) -> Result<Html> {
    let id = steps.call.workspace()?.id();
    let workspace = steps.engine.central.workspace_name(id)?;
    let (form_key, cookie) = visitor.form_key()?;
    let origin = origin_of(&asked.redirect_uri);
    let (words, shown) = (Words::of(steps.call), request.scopes.to_string());
    let text = rendered(&Page {
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
    Ok(Html::ok(words.0, text).with_cookie(cookie).leading_to(source_of(&asked.redirect_uri)))
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
fn told(words: Words, why: &str) -> Result<Visited> {
    Message::about(words, &words.not_to_be_approved(), why).page(StatusCode::BAD_REQUEST).map(Visited::Page)
}

fn refusal_pairs(refusal: Refusal) -> [(&'static str, &'static str); 2] {
    [("error", refusal.code), ("error_description", refusal.why)]
}

/// Redirects to the program with these parameters, its own `state`, and the issuer (RFC 9207).
fn back(steps: &Steps<'_>, asked: &Asked, told: &[(&str, &str)]) -> Result<Visited> {
    let start = format!("{}{}", &*asked.redirect_uri, if asked.redirect_uri.contains('?') { "&" } else { "?" });
    let length = start.len();
    let mut url = form_urlencoded::Serializer::for_suffix(start, length);
    url.extend_pairs(told);
    if !asked.state.is_empty() {
        url.append_pair("state", &asked.state);
    }
    url.append_pair("iss", &steps.call.workspace_url()?);
    Ok(Visited::Onward(Redirect::to(url.finish())))
}

#[cfg(test)]
mod tests {
    use http::header;
    use serde_json::{Value, json};

    use crate::auth::Scope;
    use crate::testing::{Answer, Bench, Client, PASSWORD};

    const SCRIPT_IN_URL: &str = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    const URI: &str = "https://pbx.example.com/callback?a=b";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn client(bench: &Bench, more: Value) -> Value {
        let mut body = json!({
            "name": "3CX <b>", "redirect_uris": [URI, "http://127.0.0.1:1234/"], "grants": ["authorization_code"],
            "scopes": ["client", "crm", "contact.view", "customer.delete"],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.admin().post("/oauth-clients", body).created()
    }

    fn query(client: &Value, more: &[(&str, &str)]) -> String {
        let mut pairs = vec![
            ("client_id", client["client_id"].as_str().unwrap().to_owned()),
            ("redirect_uri", URI.to_owned()),
            ("response_type", "code".to_owned()),
            ("state", "a b&c".to_owned()),
        ];
        for (name, value) in more {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, (*value).to_owned()));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    fn anyone(bench: &Bench) -> Client<'_> {
        bench.nobody().at("acme.localhost")
    }

    fn location(answer: &Answer) -> String {
        assert_eq!(answer.status, 302, "{}", answer.text);
        answer.headers[header::LOCATION].to_str().unwrap().to_owned()
    }

    fn cookie(answer: &Answer) -> String {
        let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
        set.split(';').next().unwrap().to_owned()
    }

    fn hidden(page: &Answer, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = page.text.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", page.text));
        rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&")
    }

    /// A browser with a session.
    fn signed_in<'b>(bench: &'b Bench, email: &str) -> Client<'b> {
        let page = anyone(bench).get("/ui/sign-in?to=/docs");
        let visiting = anyone(bench).with_header("cookie", &cookie(&page));
        let form =
            [("email", email), ("password", PASSWORD), ("to", "/docs"), ("form_key", &hidden(&page, "form_key"))];
        let done = visiting.submit("/ui/sign-in", &form);
        assert_eq!(location(&done), "/docs");
        anyone(bench).with_header("cookie", &cookie(&done))
    }

    /// The form as the page sends it when a button is pressed.
    fn decide(browser: &Client<'_>, page: &Answer, client: &Value, decision: &str) -> Answer {
        let mut form = vec![("decision", decision.to_owned()), ("form_key", hidden(page, "form_key"))];
        let names =
            ["redirect_uri", "response_type", "state", "scope", "code_challenge", "code_challenge_method", "shown"];
        let there = names.iter().filter(|name| page.text.contains(&format!("name=\"{name}\"")));
        form.extend(there.map(|name| (*name, hidden(page, name))));
        form.push(("client_id", client["client_id"].as_str().unwrap().to_owned()));
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.submit("/oauth/authorize", &form)
    }

    fn told(location: &str) -> std::collections::BTreeMap<String, String> {
        url::Url::parse(location).unwrap().query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
    }

    #[test]
    fn a_person_signs_in_approves_and_the_program_gets_its_token() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let path = format!("/oauth/authorize?{}", query(&client, &[("scope", "client crm")]));
        let to_sign_in = location(&anyone(&bench).get(&path));
        assert!(to_sign_in.starts_with("/ui/sign-in?to=%2Foauth%2Fauthorize%3Fclient_id%3D"), "{to_sign_in}");

        let page = anyone(&bench).get(&to_sign_in);
        let to = hidden(&page, "to");
        let visiting = anyone(&bench).with_header("cookie", &cookie(&page));
        let form = |password: &str| -> Vec<(&str, String)> {
            vec![
                ("email", "owner@example.com".into()),
                ("password", password.into()),
                ("to", to.clone()),
                ("form_key", hidden(&page, "form_key")),
            ]
        };
        let submit = |filled: &[(&str, String)]| {
            let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
            visiting.submit("/ui/sign-in", &filled)
        };
        let wrong = submit(&form("not the password"));
        assert!(wrong.status == 401 && wrong.text.contains("The email or the password is wrong."), "{wrong:?}");
        assert_eq!(hidden(&wrong, "to"), to);
        let done = submit(&form(PASSWORD));
        let browser = anyone(&bench).with_header("cookie", &cookie(&done));
        let page = browser.get(&location(&done));
        assert_eq!(page.status, 200);
        assert!(page.text.contains("3CX &#60;b&#62;") && page.text.contains("owner@example.com"), "{}", page.text);
        assert!(page.text.contains("https://pbx.example.com"), "{}", page.text);
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("form-action 'self' https://pbx.example.com;"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");

        let back = location(&decide(&browser, &page, &client, "approve"));
        assert!(back.starts_with("https://pbx.example.com/callback?a=b&code="), "{back}");
        let told = told(&back);
        assert_eq!((told["state"].as_str(), told["iss"].as_str()), ("a b&c", "http://acme.localhost"));
        let exchange = json!({
            "grant_type": "authorization_code", "code": told["code"], "redirect_uri": URI,
            "client_id": client["client_id"], "client_secret": client["client_secret"],
        });
        let token = anyone(&bench).post("/oauth/token", exchange).ok();
        assert_eq!(token["scope"], "client crm");
        let whoami = anyone(&bench).with_token(token["access_token"].as_str().unwrap().into()).get("/whoami").ok();
        assert_eq!((&whoami["permissions"], &whoami["user"]["id"]), (&json!(["crm.lookup"]), &json!(1)));
    }

    #[test]
    fn a_page_leads_to_where_its_program_is() {
        for (uri, source) in [
            ("https://pbx.example.com/cb", "https://pbx.example.com"),
            ("http://127.0.0.1:5000/cb", "http://127.0.0.1:5000"),
            ("http://[::1]:5000/cb", "http:"),
            ("https://[2001:db8::1]/cb", "https:"),
        ] {
            assert_eq!(super::source_of(uri), source);
        }
    }

    #[test]
    fn a_person_denies() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let browser = signed_in(&bench, "owner@example.com");
        let page = browser.get(&format!("/oauth/authorize?{}", query(&client, &[])));
        let told = told(&location(&decide(&browser, &page, &client, "deny")));
        assert_eq!((told["error"].as_str(), told["state"].as_str()), ("access_denied", "a b&c"));
        assert!(!told.contains_key("code") && told.contains_key("iss"));
    }

    #[test]
    fn nobody_is_sent_where_the_program_has_not_registered() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let browser = signed_in(&bench, "owner@example.com");
        let off = self::client(&bench, json!({"active": false}));
        let mut bad = vec![query(&off, &[]), query(&client, &[("client_id", "nobody")]), String::new()];
        for uri in [
            "https://pbx.example.com/callback",
            "https://pbx.example.com/callback?a=b&c",
            "https://pbx.example.com/callback/../callback?a=b",
            "https://PBX.example.com/callback?a=b",
            "https://pbx.example.com.evil.example/callback?a=b",
            "http://127.0.0.1:1235/",
            "javascript:alert(1)",
            "//evil.example",
        ] {
            bad.push(query(&client, &[("redirect_uri", uri)]));
        }
        bad.push(format!("{}&redirect_uri=https%3A%2F%2Fevil.example", query(&client, &[])));
        bad.push(format!("{}&client_id=other", query(&client, &[])));
        for query in bad {
            for who in [anyone(&bench), browser.clone()] {
                let answer = who.get(&format!("/oauth/authorize?{query}"));
                assert!(answer.status == 400 && answer.headers.get(header::LOCATION).is_none(), "{query}: {answer:?}");
            }
        }
    }

    #[test]
    fn the_program_is_told_what_is_wrong_with_what_it_asks() {
        let bench = Bench::new();
        let browser = signed_in(&bench, "owner@example.com");
        let confidential = client(&bench, json!({}));
        let public = client(&bench, json!({"confidential": false}));
        let none = client(&bench, json!({"grants": ["client_credentials"]}));
        for (client, more, error) in [
            (&confidential, vec![("response_type", "token")], "unsupported_response_type"),
            (&confidential, vec![("response_type", "")], "invalid_request"),
            (&confidential, vec![("scope", "contact.delete")], "invalid_scope"),
            (&confidential, vec![("scope", "nonsense")], "invalid_scope"),
            (&confidential, vec![("code_challenge", CHALLENGE)], "invalid_request"),
            (&confidential, vec![("code_challenge", CHALLENGE), ("code_challenge_method", "plain")], "invalid_request"),
            (&confidential, vec![("code_challenge", "short"), ("code_challenge_method", "S256")], "invalid_request"),
            (&public, vec![], "invalid_request"),
            (&none, vec![], "unauthorized_client"),
        ] {
            let told = told(&location(&browser.get(&format!("/oauth/authorize?{}", query(client, &more)))));
            assert_eq!((told["error"].as_str(), told["state"].as_str()), (error, "a b&c"), "{more:?}");
            assert_eq!(told["iss"], "http://acme.localhost");
        }
        let good = query(&public, &[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]);
        assert_eq!(browser.get(&format!("/oauth/authorize?{good}")).status, 200);
    }

    #[test]
    fn a_form_of_another_site_or_of_nobody_approves_nothing() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let browser = signed_in(&bench, "owner@example.com");
        let page = browser.get(&format!("/oauth/authorize?{}", query(&client, &[])));
        let cross = |browser: &Client<'_>| {
            let answer = decide(browser, &page, &client, "approve");
            assert!(answer.status == 400 && answer.headers.get(header::LOCATION).is_none(), "{answer:?}");
        };
        let nobody = location(&decide(&anyone(&bench), &page, &client, "approve"));
        assert!(nobody.starts_with("/ui/sign-in?to="), "{nobody}");
        for site in ["cross-site", "same-site"] {
            cross(&browser.with_header("sec-fetch-site", site));
        }
        // Another user's session does not make the form valid.
        bench.join_acme("zoe@example.com", "agent");
        cross(&signed_in(&bench, "zoe@example.com"));
        let form_key = hidden(&page, "form_key");
        let form = [
            ("form_key", form_key.as_str()),
            ("decision", "maybe"),
            ("client_id", client["client_id"].as_str().unwrap()),
            ("redirect_uri", URI),
            ("response_type", "code"),
        ];
        assert_eq!(browser.submit("/oauth/authorize", &form).status, 400);
        let codes =
            bench.in_file(|db| Ok(db.query_row("SELECT count(*) FROM oauth_codes", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(codes, 0);
    }

    #[test]
    fn the_page_says_what_the_person_gives_and_no_more() {
        let bench = Bench::new();
        let customer = bench.admin().post("/customers", json!({"name": "Renault"})).created()["id"].clone();
        let client = client(&bench, json!({"customer_id": customer}));
        bench.join_acme("zoe@example.com", "agent");
        let path = format!("/oauth/authorize?{}", query(&client, &[]));
        let agents = signed_in(&bench, "zoe@example.com").get(&path);
        assert!(agents.text.contains("see contacts") && !agents.text.contains("delete customers"), "{}", agents.text);
        assert!(agents.text.contains("Renault"), "{}", agents.text);
        let admins = signed_in(&bench, "owner@example.com").get(&path);
        assert!(admins.text.contains("delete customers"), "{}", admins.text);
        let french = signed_in(&bench, "zoe@example.com").with_header("accept-language", "fr").get(&path);
        for said in ["demande un accès à acme", "<li>voir les contacts</li>", "pour le client Renault", ">Refuser<"] {
            assert!(french.text.contains(said), "{said} is not in {}", french.text);
        }
        // The user can grant none of the requested scopes.
        bench.admin().post("/roles", json!({"name": "auditor", "permissions": ["audit.view"]})).created();
        bench.join_acme("eve@example.com", "auditor");
        let nothing = signed_in(&bench, "eve@example.com").get(&path);
        assert!(
            nothing.text.contains("You have none of the rights") && !nothing.text.contains("<li>"),
            "{}",
            nothing.text
        );
    }

    #[test]
    fn a_session_ends_by_signing_out_and_with_the_membership() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let user = bench.join_acme("zoe@example.com", "agent");
        let path = format!("/oauth/authorize?{}", query(&client, &[]));
        let browser = signed_in(&bench, "zoe@example.com");
        let page = browser.get(&path);
        let form = [("form_key", hidden(&page, "form_key")), ("to", "/docs".to_owned())];
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let out = browser.submit("/ui/sign-out", &form);
        assert_eq!(location(&out), "/ui/sign-in?to=%2Fdocs");
        assert!(location(&browser.get(&path)).starts_with("/ui/sign-in"));
        // Repeated from the page that the browser still has, or sent by another site, whose form comes without the
        // cookie.
        for who in [browser.clone(), anyone(&bench)] {
            let again = who.submit("/ui/sign-out", &form);
            assert_eq!(location(&again), "/ui/sign-in?to=%2Fdocs");
            assert!(again.headers.get(header::SET_COOKIE).is_none(), "{again:?}");
        }

        let browser = signed_in(&bench, "zoe@example.com");
        assert_eq!(browser.get(&path).status, 200);
        bench.admin().delete(&format!("/users/{user}")).ok();
        assert!(location(&browser.get(&path)).starts_with("/ui/sign-in"));
    }

    /// An attacker signs the victim's browser in as the attacker. Otherwise the attacker would receive what the victim
    /// does next.
    #[test]
    fn nobody_is_signed_in_by_a_form_that_they_did_not_load() {
        let bench = Bench::new();
        bench.join_acme("mallory@example.com", "agent");
        let mallorys = anyone(&bench).get("/ui/sign-in");
        let form_key = hidden(&mallorys, "form_key");
        let form = [("email", "mallory@example.com"), ("password", PASSWORD), ("form_key", &form_key)];
        let victims_own = cookie(&anyone(&bench).get("/ui/sign-in"));
        for victim in [
            anyone(&bench),
            anyone(&bench).with_header("cookie", &victims_own),
            // Even with a planted cookie, browsers report the origin of the form.
            anyone(&bench).with_header("cookie", &cookie(&mallorys)).with_header("sec-fetch-site", "cross-site"),
            anyone(&bench).with_header("cookie", &cookie(&mallorys)).with_header("sec-fetch-site", "same-site"),
        ] {
            let answer = victim.submit("/ui/sign-in", &form);
            assert_eq!(answer.status, 403, "{answer:?}");
            let set = answer.headers.get(header::SET_COOKIE).map_or("", |set| set.to_str().unwrap());
            assert!(!set.contains("cx_session"), "{set}");
        }
        let hers = anyone(&bench).with_header("cookie", &cookie(&mallorys)).submit("/ui/sign-in", &form);
        assert_eq!(location(&hers), "/docs");
    }

    #[test]
    fn only_a_persons_token_for_this_workspace_is_a_session() {
        let bench = Bench::new();
        let client = client(&bench, json!({"grants": ["authorization_code", "client_credentials"]}));
        let path = format!("/oauth/authorize?{}", query(&client, &[]));
        let wish = json!({
            "grant_type": "client_credentials", "client_id": client["client_id"],
            "client_secret": client["client_secret"],
        });
        let access = anyone(&bench).post("/oauth/token", wish).ok()["access_token"].as_str().unwrap().to_owned();
        let key = bench.admin().post("/integration-keys", json!({"name": "k", "permissions": ["*"]})).created();
        let key = key["key"].as_str().unwrap().to_owned();
        let owner = "owner@example.com";
        for (token, is_session) in [
            (bench.token(owner, Scope::Workspace(bench.acme.id)), true),
            (bench.token(owner, Scope::Workspace(bench.other.id)), false),
            (bench.token(owner, Scope::Central), false),
            (access, false),
            (key, false),
            ("made-up".into(), false),
            (String::new(), false),
        ] {
            let answer = anyone(&bench).with_header("cookie", &format!("cx_session={token}")).get(&path);
            assert_eq!(answer.status == 200, is_session, "{token}: {answer:?}");
            assert!(is_session || location(&answer).starts_with("/ui/sign-in?"), "{token}: {answer:?}");
        }
    }

    #[test]
    fn whatever_is_shown_is_text_and_whatever_is_sent_back_one_line() {
        const SCRIPT: &str = "\"'><script>alert(1)</script>";
        let bench = Bench::new();
        let customer = bench.admin().post("/customers", json!({"name": SCRIPT})).created()["id"].clone();
        let client = client(&bench, json!({"name": SCRIPT, "customer_id": customer}));
        bench.central().put(&format!("/workspaces/{}", bench.acme.id), json!({"name": SCRIPT})).created();
        let state = format!("{SCRIPT}\r\nSet-Cookie: a=b");
        let path = format!("/oauth/authorize?{}", query(&client, &[("state", &state)]));
        let browser = signed_in(&bench, "owner@example.com");
        let page = browser.get(&path);
        assert!(page.status == 200 && page.text.matches("&#60;script&#62;").count() >= 4, "{}", page.text);
        let visiting = anyone(&bench).get(&format!("/ui/sign-in?{}", query(&client, &[("to", SCRIPT)])));
        let tried = [("email", SCRIPT), ("to", SCRIPT), ("form_key", SCRIPT)];
        let refused = anyone(&bench).submit("/ui/sign-in", &tried);
        for page in [&page, &visiting, &refused, &browser.get(&format!("/oauth/authorize?client_id={SCRIPT_IN_URL}"))] {
            assert!(page.text.contains("<h1>") && !page.text.contains("<script"), "{}", page.text);
        }

        let form_key = hidden(&page, "form_key");
        let form = [
            ("form_key", form_key.as_str()),
            ("decision", "deny"),
            ("client_id", client["client_id"].as_str().unwrap()),
            ("redirect_uri", URI),
            ("response_type", "code"),
            ("state", &state),
        ];
        let denied = browser.submit("/oauth/authorize", &form);
        assert_eq!(told(&location(&denied))["state"], state);
        assert!(denied.headers.get(header::SET_COOKIE).is_none(), "{denied:?}");
        let form = [("form_key", form_key.as_str()), ("to", "/docs\r\nSet-Cookie: a=b")];
        let out = browser.submit("/ui/sign-out", &form);
        assert_eq!(location(&out), "/ui/sign-in?to=%2Fdocs%0D%0ASet-Cookie%3A+a%3Db");
        let split = query(&client, &[("redirect_uri", &format!("{URI}\r\nSet-Cookie: a=b"))]);
        assert_eq!(browser.get(&format!("/oauth/authorize?{split}")).status, 400);
    }

    #[test]
    fn what_a_person_may_no_more_they_cannot_give() {
        let bench = Bench::new();
        let client = client(&bench, json!({}));
        let user = bench.join_acme("zoe@example.com", "admin");
        let reader = json!({"name": "reader", "permissions": ["contact.view"]});
        let reader = bench.admin().post("/roles", reader).created()["id"].clone();
        let browser = signed_in(&bench, "zoe@example.com");
        let page = browser.get(&format!("/oauth/authorize?{}", query(&client, &[])));
        assert!(page.text.contains("delete customers"), "{}", page.text);
        // Between loading the page and pressing the button.
        bench.admin().put(&format!("/users/{user}"), json!({"role_id": reader})).created();
        let told = told(&location(&decide(&browser, &page, &client, "approve")));
        let exchange = json!({
            "grant_type": "authorization_code", "code": told["code"], "redirect_uri": URI,
            "client_id": client["client_id"], "client_secret": client["client_secret"],
        });
        let token = anyone(&bench).post("/oauth/token", exchange).ok()["access_token"].as_str().unwrap().to_owned();
        let program = anyone(&bench).with_token(token);
        program.get("/contacts").ok();
        program.delete("/customers/1").refused(403, "missing_permission");
        assert_eq!(program.get("/whoami").ok()["permissions"], json!(["contact.view"]));
    }

    #[test]
    fn a_stranger_does_not_get_in_and_a_session_is_one_workspaces() {
        let bench = Bench::new();
        bench.stranger();
        let page = anyone(&bench).get("/ui/sign-in");
        let visiting = anyone(&bench).with_header("cookie", &cookie(&page));
        let form =
            [("email", "stranger@example.com"), ("password", PASSWORD), ("form_key", &hidden(&page, "form_key"))];
        let refused = visiting.submit("/ui/sign-in", &form);
        assert!(refused.status == 403 && refused.text.contains("not a member"), "{refused:?}");
        let client = client(&bench, json!({}));
        let at_other = signed_in(&bench, "owner@example.com").at("other.localhost");
        assert_eq!(at_other.get(&format!("/oauth/authorize?{}", query(&client, &[]))).status, 400);
        // Under https the cookie's name has a prefix that no other host can set.
        let secure = Bench::with(&[("trusted_proxies", "127.0.0.1")]);
        let page = anyone(&secure).with_header("x-forwarded-proto", "https").get("/ui/sign-in");
        let set = page.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(set.starts_with("__Host-cx_visit=") && set.contains("Secure"), "{set}");
    }
}
