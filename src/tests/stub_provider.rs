//! An OpenID provider for tests. It keeps to the standard, or departs from it in one way.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use openidconnect::core::{CoreJwsSigningAlgorithm, CoreRsaPrivateSigningKey};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

use super::TestServer;
use crate::values::Timestamp;

const CLIENT_SECRET: &str = "a secret / with + signs";

/// The provider runs until the process ends.
pub struct StubProvider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    /// Changes of the metadata.
    metadata: Map<String, Value>,
    userinfo: Option<Value>,
    codes: HashMap<String, Grant>,
    fault: Option<TokenFault>,
    key_id: u32,
    /// Requests by path.
    requests: Vec<String>,
    is_down: bool,
}

/// A code that was issued.
struct Grant {
    claims: Value,
    challenge: String,
    redirect_uri: String,
    nonce: String,
}

/// What is wrong with an ID token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    OtherKey,
    Unsigned,
    /// Signed with the public key, as if it were a secret (RFC 8725, 2.1).
    PublicKeyAsSecret,
    OtherAudience,
    MoreAudiences,
    OtherIssuer,
    Expired,
    FromTheFuture,
    OtherNonce,
    NoNonce,
    Missing,
}

impl TokenFault {
    pub const ALL: [Self; 11] = [
        Self::OtherKey,
        Self::Unsigned,
        Self::PublicKeyAsSecret,
        Self::OtherAudience,
        Self::MoreAudiences,
        Self::OtherIssuer,
        Self::Expired,
        Self::FromTheFuture,
        Self::OtherNonce,
        Self::NoNonce,
        Self::Missing,
    ];
}

impl StubProvider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, own) = (Arc::clone(&state), issuer.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, own) = (Arc::clone(&shared), own.clone());
                thread::spawn(move || serve(&stream.unwrap(), &shared, &own));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{CLIENT_SECRET}\n")).unwrap();
        Self { issuer, state, folder }
    }

    /// A server with this provider, with more lines of its description and more settings.
    pub fn server(&self, lines: &str, settings: &[(&str, &str)]) -> TestServer {
        let path = self.file(lines);
        TestServer::with(&[&[("single_sign_on", path.as_str())], settings].concat())
    }

    /// The file that describes this provider.
    pub fn file(&self, lines: &str) -> String {
        let path = self.folder.path().join("providers.toml");
        let text = format!(
            "[company]\nname = \"Example Ltd\"\nissuer = {:?}\nclient_id = \"cx-engine\"\nclient_secret_file = {:?}\n{lines}\n",
            self.issuer,
            self.folder.path().join("secret"),
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Signs a person in who was sent to `url`. Returns the URL to which the person is sent back.
    #[track_caller]
    pub fn sign_in(&self, url: &str, claims: Value) -> String {
        let url = Url::parse(url).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.issuer)), "{url}");
        let sent: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((&*sent["response_type"], &*sent["code_challenge_method"]), ("code", "S256"));
        let scopes: Vec<&str> = sent["scope"].split(' ').collect();
        assert!(scopes.contains(&"openid") && sent["nonce"].len() >= 16 && sent["state"].len() >= 16, "{sent:?}");
        let mut state = self.state.lock();
        let code = format!("code-{}", state.codes.len());
        let grant = Grant {
            claims,
            challenge: sent["code_challenge"].clone(),
            redirect_uri: sent["redirect_uri"].clone(),
            nonce: sent["nonce"].clone(),
        };
        state.codes.insert(code.clone(), grant);
        let mut back = Url::parse(&sent["redirect_uri"]).unwrap();
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &sent["state"]);
        back.into()
    }

    pub fn set_metadata(&self, name: &str, value: Value) {
        self.state.lock().metadata.insert(name.to_owned(), value);
    }

    pub fn set_userinfo(&self, claims: Value) {
        self.state.lock().userinfo = Some(claims);
    }

    pub fn set_fault(&self, fault: Option<TokenFault>) {
        self.state.lock().fault = fault;
    }

    /// Signs with a new key from now on.
    pub fn rotate_key(&self) {
        self.state.lock().key_id += 1;
    }

    pub fn set_down(&self, is_down: bool) {
        self.state.lock().is_down = is_down;
    }

    /// The number of requests for a path.
    pub fn requests(&self, path: &str) -> usize {
        self.state.lock().requests.iter().filter(|asked| *asked == path).count()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>, issuer: &str) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let header = |name: &str| {
            let found = head
                .iter()
                .filter_map(|line| line.split_once(": "))
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let (status, answer) = answer(&mut state.lock(), issuer, &path, header("authorization").as_deref(), &body);
        let answer = answer.to_string();
        let text = format!(
            "HTTP/1.1 {status} Stub\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let mut writer = stream;
        if writer.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(state: &mut State, issuer: &str, path: &str, authorization: Option<&str>, body: &[u8]) -> (u16, Value) {
    state.requests.push(path.to_owned());
    if state.is_down {
        return (502, json!({}));
    }
    match path {
        "/.well-known/openid-configuration" => {
            let mut metadata = json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "userinfo_endpoint": format!("{issuer}/userinfo"),
                "end_session_endpoint": format!("{issuer}/logout"),
                "jwks_uri": format!("{issuer}/jwks"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            });
            metadata.as_object_mut().unwrap().extend(state.metadata.clone());
            (200, metadata)
        }
        "/jwks" => (200, json!({"keys": [signing_key(KEY, state.key_id).as_verification_key()]})),
        "/token" => tokens(state, issuer, authorization, body),
        "/userinfo" => match &state.userinfo {
            Some(claims) if authorization == Some("Bearer an-access-token") => (200, claims.clone()),
            Some(_) => (401, json!({})),
            None => (404, json!({})),
        },
        _ => (404, json!({})),
    }
}

/// Checks the code, the client and PKCE, and issues tokens. Each code works once.
fn tokens(state: &mut State, issuer: &str, authorization: Option<&str>, body: &[u8]) -> (u16, Value) {
    let sent: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
    let bad = |error: &str| (400, json!({"error": error}));
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode("cx-engine"), encode(CLIENT_SECRET))));
    let takes_basic = state.metadata.get("token_endpoint_auth_methods_supported").is_none();
    let is_client = match takes_basic {
        true => authorization == Some(&basic),
        false => sent.get("client_secret").map(String::as_str) == Some(CLIENT_SECRET),
    };
    if !is_client {
        return bad("invalid_client");
    }
    let Some(grant) = sent.get("code").and_then(|code| state.codes.remove(code)) else { return bad("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&sent["code_verifier"]));
    if challenge != grant.challenge || sent["redirect_uri"] != grant.redirect_uri {
        return bad("invalid_grant");
    }
    let mut answer = json!({"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 60});
    if state.fault != Some(TokenFault::Missing) {
        answer["id_token"] = json!(id_token(state, issuer, &grant));
    }
    (200, answer)
}

fn id_token(state: &State, issuer: &str, grant: &Grant) -> String {
    let now = Timestamp::now().seconds();
    let mut claims = json!({"iss": issuer, "aud": "cx-engine", "iat": now, "exp": now + 300, "nonce": grant.nonce});
    claims.as_object_mut().unwrap().extend(grant.claims.as_object().unwrap().clone());
    match state.fault {
        Some(TokenFault::OtherAudience) => claims["aud"] = json!("another-client"),
        Some(TokenFault::MoreAudiences) => claims["aud"] = json!(["cx-engine", "another-client"]),
        Some(TokenFault::OtherIssuer) => claims["iss"] = json!("https://other.example"),
        Some(TokenFault::Expired) => claims["exp"] = json!(now - 3600),
        Some(TokenFault::FromTheFuture) => claims["iat"] = json!(now + 3600),
        Some(TokenFault::OtherNonce) => claims["nonce"] = json!("another nonce"),
        Some(TokenFault::NoNonce) => _ = claims.as_object_mut().unwrap().remove("nonce"),
        _ => {}
    }
    let algorithm = match state.fault {
        Some(TokenFault::Unsigned) => "none",
        Some(TokenFault::PublicKeyAsSecret) => "HS256",
        _ => "RS256",
    };
    let header = json!({"alg": algorithm, "kid": format!("key-{}", state.key_id)});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = match state.fault {
        Some(TokenFault::Unsigned) => Vec::new(),
        Some(TokenFault::PublicKeyAsSecret) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(PUBLIC_KEY.as_bytes()).unwrap();
            mac.update(signed.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        fault => {
            let key = if fault == Some(TokenFault::OtherKey) { OTHER_KEY } else { KEY };
            let algorithm = CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256;
            signing_key(key, state.key_id).sign(&algorithm, signed.as_bytes()).unwrap()
        }
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

const KEY: &str = include_str!("../../tests/fixtures/provider/key.pem");
const PUBLIC_KEY: &str = include_str!("../../tests/fixtures/provider/public_key.pem");
const OTHER_KEY: &str = include_str!("../../tests/fixtures/provider/other_key.pem");

fn signing_key(pem: &str, id: u32) -> CoreRsaPrivateSigningKey {
    CoreRsaPrivateSigningKey::from_pem(pem, Some(JsonWebKeyId::new(format!("key-{id}")))).unwrap()
}
