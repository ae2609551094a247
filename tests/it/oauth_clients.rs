//! OAuth with a client that does not know this server: the `oauth2` crate, behind a proxy that adds https.

use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;

use http::{Response, StatusCode};
use oauth2::basic::{BasicClient, BasicRequestTokenError, BasicTokenType};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, IntrospectionUrl, PkceCodeChallenge, RedirectUrl, RequestTokenError, RevocationUrl,
    Scope, StandardRevocableToken, StandardTokenResponse, TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use serde_json::{Value, json};
use url::Url;

use crate::client::{Answer, Request};
use crate::test_server::{PASSWORD, Team, TestServer, email, text};

const URI: &str = "https://pbx.example.com/callback";
const HOST: &str = "acme.localhost";

type Tokens = StandardTokenResponse<EmptyExtraTokenFields, BasicTokenType>;
type Ours = BasicClient<EndpointSet, EndpointNotSet, EndpointSet, EndpointSet, EndpointSet>;

struct Scene {
    server: TestServer,
    acme: Team,
}

impl Scene {
    fn new() -> Self {
        let server = TestServer::with(&["--trusted-proxies", "127.0.0.1"]);
        let acme = server.team("acme");
        Self { server, acme }
    }

    fn register(&self, more: Value) -> Value {
        let mut client = json!({
            "name": "A client", "redirect_uris": [URI], "grants": ["authorization_code", "client_credentials"],
            "scopes": ["contact.view", "customer.view"],
        });
        client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.server.post(&self.acme.inside, "/oauth-clients", client).created()
    }

    /// The crate's client, configured from the server metadata.
    fn client(&self, registered: &Value) -> Ours {
        let known = self.through_the_proxy("GET", "/.well-known/oauth-authorization-server", &[], None).ok();
        let mut client = BasicClient::new(ClientId::new(text(&registered["client_id"])));
        if let Some(secret) = registered["client_secret"].as_str() {
            client = client.set_client_secret(ClientSecret::new(secret.into()));
        }
        client
            .set_auth_uri(AuthUrl::new(text(&known["authorization_endpoint"])).unwrap())
            .set_token_uri(TokenUrl::new(text(&known["token_endpoint"])).unwrap())
            .set_introspection_url(IntrospectionUrl::new(text(&known["introspection_endpoint"])).unwrap())
            .set_revocation_url(RevocationUrl::new(text(&known["revocation_endpoint"])).unwrap())
            .set_redirect_uri(RedirectUrl::new(URI.into()).unwrap())
    }

    /// The HTTP client of the crate.
    fn http(&self) -> impl Fn(HttpRequest) -> Result<HttpResponse, http::Error> {
        |request| {
            let sent = |name| request.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
            let headers = ["accept", "authorization", "content-type"].map(|name| (name, sent(name)));
            let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let body = std::str::from_utf8(request.body()).unwrap();
            let answer = self.through_the_proxy(request.method().as_str(), request.uri().path(), &headers, Some(body));
            let kind = answer.header("content-type").unwrap_or_default();
            let status = StatusCode::from_u16(answer.status).unwrap();
            Response::builder().status(status).header("content-type", kind).body(answer.text.clone().into_bytes())
        }
    }

    fn through_the_proxy(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", HOST)];
        let headers = [headers, &forwarded].concat();
        self.server.ask(&Request { method, path, host: "127.0.0.1", headers: &headers, body, token: None })
    }

    /// A browser that submits each form until it is redirected to the client. Returns the parameters of that redirect.
    fn approve(&self, url: &Url) -> HashMap<String, String> {
        let mut cookies: HashMap<String, String> = HashMap::new();
        let (mut path, mut form) = (format!("{}?{}", url.path(), url.query().unwrap()), None);
        for _ in 0..10 {
            let cookie = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let kind = ("Content-Type", "application/x-www-form-urlencoded");
            let method = if form.is_some() { "POST" } else { "GET" };
            let answer = self.through_the_proxy(method, &path, &[("Cookie", &cookie), kind], form.as_deref());
            if let Some((name, value)) =
                answer.header("set-cookie").and_then(|set| set.split(';').next()?.split_once('='))
            {
                assert!(name.starts_with("__Host-"), "{name}");
                cookies.insert(name.into(), value.into());
            }
            form = None;
            match answer.header("location") {
                Some(to) if to.starts_with(URI) => {
                    return Url::parse(to).unwrap().query_pairs().into_owned().collect();
                }
                Some(to) => path = to.to_owned(),
                None => {
                    assert_eq!(answer.status, 200, "{answer:?}");
                    let action = between(&answer.text, "action=\"", "\"").to_owned();
                    form = Some(self.filled(&answer.text));
                    path = action;
                }
            }
        }
        panic!("the browser goes in circles: {path}");
    }

    /// The first form of a page, filled in to continue.
    fn filled(&self, page: &str) -> String {
        let mut fields = form_urlencoded::Serializer::new(String::new());
        for input in between(page, "<form", "</form>").split("<input").skip(1) {
            let (name, value) = (between(input, "name=\"", "\""), between(input, "value=\"", "\""));
            match name {
                "email" => fields.append_pair(name, &email("acme")),
                "password" => fields.append_pair(name, PASSWORD),
                _ => fields.append_pair(name, &value.replace("&#38;", "&")),
            };
        }
        fields.append_pair("decision", "approve").finish()
    }

    /// The status of a request for contacts with an access token.
    fn contacts(&self, tokens: &Tokens) -> u16 {
        let token = json!(tokens.access_token().secret());
        self.server.get(&self.acme.inside.clone().with(&token), "/contacts").status
    }
}

/// The text between two texts. Empty if they are missing.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(found, _)| found)
}

#[test]
fn a_client_of_others_gets_renews_looks_into_and_gives_back_its_tokens() {
    let scene = Scene::new();
    for registered in
        [scene.register(json!({})), scene.register(json!({"confidential": false, "grants": ["authorization_code"]}))]
    {
        let (client, http) = (scene.client(&registered), scene.http());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = client.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge);
        let (url, state) = request.add_scope(Scope::new("contact.view".into())).url();
        let told = scene.approve(&url);
        assert_eq!((&told["state"], &*told["iss"]), (state.secret(), "https://acme.localhost"));

        let code = AuthorizationCode::new(told["code"].clone());
        let tokens = client.exchange_code(code).set_pkce_verifier(verifier).request(&http).unwrap();
        assert_eq!(tokens.expires_in().unwrap().as_secs(), 31_536_000);
        assert_eq!(tokens.scopes().unwrap(), &[Scope::new("contact.view".into())]);
        assert_eq!(scene.contacts(&tokens), 200);

        let renewed = client.exchange_refresh_token(tokens.refresh_token().unwrap()).request(&http).unwrap();
        assert_eq!((scene.contacts(&tokens), scene.contacts(&renewed)), (401, 200));
        if registered["confidential"] == true {
            let seen = client.introspect(renewed.access_token()).request(&http).unwrap();
            assert!(seen.active() && seen.client_id().unwrap().as_str() == registered["client_id"], "{seen:?}");
        }
        let last: StandardRevocableToken = renewed.refresh_token().unwrap().into();
        client.revoke_token(last).unwrap().request(&http).unwrap();
        assert_eq!(scene.contacts(&renewed), 401);
    }
}

#[test]
fn a_client_of_others_asks_for_itself_and_understands_a_refusal() {
    let scene = Scene::new();
    let (client, http) = (scene.client(&scene.register(json!({}))), scene.http());
    let own = client.exchange_client_credentials().add_scope(Scope::new("contact.view".into())).request(&http).unwrap();
    assert_eq!((scene.contacts(&own), own.refresh_token().is_none()), (200, true));
    let refused = client.exchange_client_credentials().add_scope(Scope::new("user.view".into())).request(&http);
    assert_eq!(error_of(refused), "invalid_scope");
    let code = AuthorizationCode::new("made-up".into());
    assert_eq!(error_of(client.exchange_code(code).request(&http)), "invalid_grant");
}

/// A second use of a code means that it was stolen: the tokens of the first use are revoked (RFC 9700, 4.13).
#[test]
fn of_many_who_exchange_one_code_at_once_one_gets_a_pair_and_loses_it() {
    let scene = Scene::new();
    let client = scene.client(&scene.register(json!({})));
    let other = scene.client(&scene.register(json!({"name": "Another client"})));
    let told = scene.approve(&client.authorize_url(CsrfToken::new_random).url().0);
    let exchange = |client: &Ours| {
        let code = AuthorizationCode::new(told["code"].clone());
        client.exchange_code(code).request(&scene.http())
    };
    // Another client cannot use the code and revokes nothing: a code is no more secret than the URL that contains it.
    assert_eq!(error_of(exchange(&other)), "invalid_grant");
    let start = Barrier::new(4);
    let results: Vec<_> = thread::scope(|scope| {
        let race = |client| {
            start.wait();
            exchange(client)
        };
        let racers = [&client, &client, &other, &other].map(|client| scope.spawn(move || race(client)));
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let (got, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((got.len(), refused.len()), (1, 3));
    assert!(refused.into_iter().all(|result| error_of(result) == "invalid_grant"));
    assert_eq!(scene.contacts(got[0].as_ref().unwrap()), 401);
}

/// The error code as the crate reads it. It must be a code of RFC 6749.
fn error_of(result: Result<Tokens, BasicRequestTokenError<http::Error>>) -> String {
    match result {
        Err(RequestTokenError::ServerResponse(refused)) => refused.error().to_string(),
        other => panic!("not as RFC 6749, 5.2, says: {other:?}"),
    }
}
