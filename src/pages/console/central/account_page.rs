//! The account of the person: name, address, password, second factor, sessions and tokens.

use askama::Template;
use http::StatusCode;
use serde_json::Value;

use super::super::catalog::collection;
use super::super::display::{self, Shown, plain};
use super::super::form_page::redirect;
use super::super::page::{Frame, PageCtx};
use super::super::resource_page::Place;
use super::super::route_form::{Choices, FormTexts, RouteForm};
use super::super::secret_page;
use crate::api::{
    Ctx, Error, Html, InnerRequest, Input, IntoResponse, Layer, Needs, Redirect, Result, Route, get, run,
};
use crate::openid::Provider;
use crate::pages::provider_page;
use crate::pages::session::{BROWSER, BrowserSession};
use crate::pages::sign_in::ProviderButton;
use crate::pages::translations::Translations;

const PAGE: &str = "/ui/account";

pub const ROUTES: &[Route] = &[
    get(PAGE, &run(page), Needs::SignedIn, "Show your account as a page"),
    get("/ui/tokens", &run(tokens_page), Needs::SignedIn, "Show your sessions and tokens as a page"),
];

pub const FORMS: &[RouteForm] = &[
    RouteForm {
        record: |page, _| super::account(page),
        ..RouteForm::new(
            "/ui/account/name",
            "PUT",
            "/account",
            &["name"],
            |words, _| FormTexts { title: words.change_name(), about: None, button: words.save() },
            PAGE,
        )
    },
    RouteForm {
        record: |page, _| super::account(page),
        ..RouteForm::new(
            "/ui/account/email",
            "PUT",
            "/account",
            &["email", "current_password"],
            |words, _| FormTexts {
                title: words.change_email(),
                about: Some(words.change_email_about()),
                button: words.save(),
            },
            PAGE,
        )
    },
    RouteForm::new(
        "/ui/account/email/verify",
        "POST",
        "/account/email/verify",
        &["code"],
        |words, _| FormTexts {
            title: words.enter_code(),
            about: Some(words.enter_code_about()),
            button: words.confirm_the_address(),
        },
        PAGE,
    ),
    RouteForm {
        done: |page, form, _| redirect(page, form.back, "mailed"),
        ..RouteForm::new(
            "/ui/account/email/resend",
            "POST",
            "/account/email/resend",
            &[],
            |words, _| FormTexts {
                title: words.send_code_again(),
                about: Some(words.send_code_about()),
                button: words.send_code_again(),
            },
            PAGE,
        )
    },
    RouteForm::new(
        "/ui/account/password",
        "PUT",
        "/account",
        &["current_password", "password"],
        |words, _| FormTexts {
            title: words.change_password(),
            about: Some(format!("{} {}", words.password_rule(), words.change_password_about())),
            button: words.save(),
        },
        PAGE,
    ),
    RouteForm {
        is_danger: true,
        // The session ended with the account.
        done: |page, _, _| Redirect::to("/ui/sign-in").into_response(page.request),
        ..RouteForm::new(
            "/ui/account/delete",
            "DELETE",
            "/account",
            &["current_password"],
            |words, _| FormTexts {
                title: words.delete_account(),
                about: Some(words.delete_account_about()),
                button: words.delete_account(),
            },
            PAGE,
        )
    },
    RouteForm {
        is_danger: true,
        record: identity,
        ..RouteForm::new(
            "/ui/account/identities/{id}/delete",
            "DELETE",
            "/account/identities/{id}",
            &[],
            |words, identity| FormTexts {
                title: words.remove_identity(&plain(&identity["provider"])),
                about: Some(words.remove_identity_about()),
                button: words.remove(),
            },
            PAGE,
        )
    },
    RouteForm {
        required: &["label"],
        choices: |page, _, field| match field {
            "workspace_id" => workspaces(page).map(Some),
            "expires_in" => Ok(Some(lifetimes(page.words()))),
            _ => Ok(None),
        },
        done: |page, _, made| {
            let tokens = collection(Layer::Central, "/tokens").ok_or_else(Error::not_found)?;
            let secret = plain(&made["token"]);
            secret_page::page(page, tokens, &Place::default(), made, &secret)
        },
        ..RouteForm::new(
            "/ui/tokens/new",
            "POST",
            "/tokens",
            &["label", "workspace_id", "expires_in"],
            |words, _| FormTexts {
                title: words.new_token(),
                about: Some(words.new_token_about()),
                button: words.create(),
            },
            PAGE,
        )
    },
    RouteForm {
        is_danger: true,
        record: token,
        done: |page, form, _| redirect(page, form.back, "revoked"),
        ..RouteForm::new(
            "/ui/tokens/{id}/delete",
            "DELETE",
            "/tokens/{id}",
            &[],
            |words, token| FormTexts {
                title: words.revoke_token(&plain(&token["label"])),
                about: Some(words.revoke_about()),
                button: words.revoke(),
            },
            PAGE,
        )
    },
    RouteForm {
        is_danger: true,
        query: "others=1",
        done: |page, form, _| redirect(page, form.back, "revoked"),
        ..RouteForm::new(
            "/ui/account/revoke-others",
            "DELETE",
            "/tokens",
            &[],
            |words, _| FormTexts {
                title: words.revoke_others(),
                about: Some(words.revoke_others_about()),
                button: words.revoke_others(),
            },
            PAGE,
        )
    },
];

/// Tokens that the page lists.
const LISTED: &str = "10";

const DAY: i64 = 86_400;

#[derive(Template)]
#[template(path = "console/central/account.html")]
struct AccountPage<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    email: String,
    is_confirmed: bool,
    pending: Option<String>,
    is_operator: bool,
    has_second_factor: bool,
    codes_left: String,
    identities: Vec<IdentityRow>,
    /// The providers that are not connected.
    providers: Vec<ProviderButton>,
    tokens: Vec<TokenRow>,
    has_more: bool,
}

#[derive(Template)]
#[template(path = "console/central/tokens.html")]
struct TokensPage<'a> {
    frame: &'a Frame,
    words: Translations,
    count: String,
    tokens: Vec<TokenRow>,
    previous: Option<String>,
    next: Option<String>,
}

/// A provider by which the person signs in.
struct IdentityRow {
    provider: String,
    email: String,
    remove: String,
}

struct TokenRow {
    label: String,
    kind: String,
    place: String,
    client: String,
    is_current: bool,
    created: Shown,
    last_used: Shown,
    expires: Shown,
    revoke: String,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let account = super::account(&page)?;
    let second_factor = page.send(InnerRequest::get("/account/second-factor"))?.body;
    let tokens = page.send(InnerRequest::get("/tokens").with_query(format!("per_page={LISTED}")))?.body;
    let rows = tokens["data"].as_array().into_iter().flatten();
    let identities = page.send(InnerRequest::get("/account/identities"))?.body;
    let identities: Vec<&Value> = identities["data"].as_array().into_iter().flatten().collect();
    let browser = BrowserSession::read(ctx.request)?;
    let is_connected = |provider: &Provider| identities.iter().any(|identity| identity["issuer"] == provider.issuer);
    let providers = ctx.request.instance.config.providers.iter().filter(|provider| !is_connected(provider));
    let providers = providers.filter_map(|provider| {
        let path = provider_page::connect_path(&provider.id, &browser)?;
        Some(ProviderButton { name: provider.name.clone(), path })
    });
    let rendered = AccountPage {
        providers: providers.collect(),
        identities: identities.iter().map(|identity| identity_row(identity)).collect(),
        words,
        name: plain(&account["name"]),
        email: plain(&account["email"]),
        is_confirmed: account["email_verified"] == true,
        pending: account["pending_email"].as_str().map(str::to_owned),
        is_operator: ctx.request.token()?.operator,
        has_second_factor: second_factor["enabled"] == true,
        codes_left: words.recovery_codes_left(&plain(&second_factor["recovery_codes_left"])),
        tokens: rows.map(|token| row(&page, token)).collect::<Result<_>>()?,
        has_more: tokens["last_page"].as_i64().is_some_and(|last| last > 1),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn identity_row(identity: &Value) -> IdentityRow {
    IdentityRow {
        provider: plain(&identity["provider"]),
        email: plain(&identity["email"]),
        remove: format!("/ui/account/identities/{}/delete", identity["id"]),
    }
}

fn tokens_page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let number = page.query("page").and_then(|number| number.parse::<i64>().ok()).unwrap_or(1).max(1);
    let tokens = InnerRequest::get("/tokens").with_query(format!("per_page=25&page={number}"));
    let tokens = page.send(tokens)?.body;
    let last = tokens["last_page"].as_i64().unwrap_or(1);
    let frame = Frame::of(&page)?;
    let rows = tokens["data"].as_array().into_iter().flatten();
    let rendered = TokensPage {
        words: frame.words,
        count: display::count(frame.words, tokens["total"].as_i64().unwrap_or_default()),
        tokens: rows.map(|token| row(&page, token)).collect::<Result<_>>()?,
        previous: (number > 1).then(|| format!("/ui/tokens?page={}", number - 1)),
        next: (number < last).then(|| format!("/ui/tokens?page={}", number + 1)),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

fn row(page: &PageCtx<'_>, token: &Value) -> Result<TokenRow> {
    let (words, zone) = (page.words(), page.zone()?);
    let moment = |name: &str| match &token[name] {
        Value::Null => Shown::Nothing,
        text => display::moment(words, &zone, &plain(text)),
    };
    let program = plain(&token["user_agent"]);
    let device = device(words, &program);
    // All sessions of browsers have the same label.
    let (label, program) = match device.filter(|_| token["label"] == BROWSER.label) {
        Some(device) => (device, String::new()),
        None => (plain(&token["label"]), program),
    };
    let parts = [program, plain(&token["address"])];
    Ok(TokenRow {
        label,
        kind: if token["kind"] == "program" { words.program() } else { words.session() },
        place: token["workspace"]["name"].as_str().map_or_else(|| words.own_account_place(), str::to_owned),
        client: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · "),
        is_current: token["current"] == true,
        created: moment("created_at"),
        last_used: moment("last_used_at"),
        expires: moment("expires_at"),
        revoke: format!("/ui/tokens/{}/delete", plain(&token["id"])),
    })
}

/// The browser and the system of a `User-Agent`, in words. `None` if it is not that of a browser.
fn device(words: Translations, user_agent: &str) -> Option<String> {
    // The first that matches: each of these browsers also claims to be one of those after it.
    const BROWSERS: [(&str, &str); 6] = [
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let named =
        |all: &[(&str, &'static str)]| all.iter().find(|(sign, _)| user_agent.contains(sign)).map(|(_, name)| *name);
    Some(words.browser_of_session(named(&BROWSERS)?, named(&SYSTEMS)?))
}

/// The identity in the path of a page.
fn identity(page: &PageCtx<'_>, values: &[String]) -> Result<Value> {
    let id = values.first().ok_or_else(Error::not_found)?;
    let identities = super::rows(page, InnerRequest::get("/account/identities"))?;
    identities.into_iter().find(|identity| plain(&identity["id"]) == *id).ok_or_else(Error::not_found)
}

/// The token in the path of a page, among the newest.
fn token(page: &PageCtx<'_>, values: &[String]) -> Result<Value> {
    let id = values.first().ok_or_else(Error::not_found)?;
    let tokens = super::rows(page, InnerRequest::get("/tokens").with_query("per_page=500".into()))?;
    tokens.into_iter().find(|token| plain(&token["id"]) == *id).ok_or_else(Error::not_found)
}

/// The workspaces for which a token may be valid.
fn workspaces(page: &PageCtx<'_>) -> Result<Choices> {
    let found = super::workspaces(page)?;
    Ok(found.iter().map(|workspace| (plain(&workspace["id"]), plain(&workspace["name"]))).collect())
}

fn lifetimes(words: Translations) -> Choices {
    let lifetime = |days: i64, label: String| ((days * DAY).to_string(), label);
    let (one, year) = (lifetime(1, words.one_day()), lifetime(365, words.one_year()));
    vec![one, lifetime(30, words.days("30")), lifetime(90, words.days("90")), year]
}
