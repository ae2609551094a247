//! A browser for tests in the process: it keeps cookies for each host, follows redirects, and submits the forms that a
//! page has.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;

use super::{PASSWORD, TestResponse, TestServer};

pub struct TestBrowser<'b> {
    server: &'b TestServer,
    language: &'static str,
    /// By host and name.
    cookies: BTreeMap<(String, String), String>,
    /// The URL of the page.
    pub url: String,
    pub page: TestResponse,
    /// The URLs of the redirects on the way to the page.
    pub way: Vec<String>,
}

impl<'b> TestBrowser<'b> {
    pub fn new(server: &'b TestServer) -> Self {
        let page = TestResponse { status: http::StatusCode::OK, headers: http::HeaderMap::new(), text: String::new() };
        let (cookies, way) = (BTreeMap::new(), Vec::new());
        Self { server, language: "en", cookies, url: "http://localhost/".into(), page, way }
    }

    pub fn in_french(self) -> Self {
        Self { language: "fr", ..self }
    }

    /// A browser with a person who is signed in on the central host.
    pub fn signed_in(server: &'b TestServer, email: &str) -> Self {
        let mut browser = Self::new(server);
        browser.go("/ui/sign-in").submit("/ui/sign-in", &[("email", email), ("password", PASSWORD)]);
        browser
    }

    /// Opens a URL, or a path on the same host, and follows redirects.
    pub fn go(&mut self, url: &str) -> &mut Self {
        self.way.clear();
        self.ask(Method::GET, url, String::new());
        self.follow()
    }

    /// Opens a URL and follows no redirect.
    pub fn step(&mut self, url: &str) -> &mut Self {
        self.ask(Method::GET, url, String::new());
        self
    }

    /// Fills the fields of the form with this action, submits it, and follows redirects.
    #[track_caller]
    pub fn submit(&mut self, action: &str, filled: &[(&str, &str)]) -> &mut Self {
        let mut fields = self.fields(action);
        for (name, value) in filled {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.way.clear();
        self.ask(Method::POST, action, body);
        self.follow()
    }

    /// The fields of the form with this action, as the page fills them.
    #[track_caller]
    pub fn fields(&self, action: &str) -> Vec<(String, String)> {
        let start = format!("action=\"{action}\"");
        let form = self.page.text.split("<form").skip(1).find(|form| form.split('>').next().unwrap().contains(&start));
        let form = form.unwrap_or_else(|| panic!("no form for {action} on {}: {}", self.url, self.page.text));
        let inputs = form.split("</form>").next().unwrap().split("<input ").skip(1);
        let fields = inputs.filter_map(|input| {
            let input = input.split('>').next().unwrap();
            let value = |name: &str| {
                let (_, rest) = input.split_once(&format!("{name}=\""))?;
                Some(unescaped(rest.split('"').next().unwrap()))
            };
            let is_box = input.contains("type=\"checkbox\"") || input.contains("type=\"radio\"");
            let is_unticked = is_box && !input.contains(" checked");
            (!is_unticked).then(|| Some((value("name")?, value("value").unwrap_or_default()))).flatten()
        });
        fields.collect()
    }

    /// Whether the browser has a session on a host.
    pub fn has_session(&self, host: &str) -> bool {
        self.cookies.contains_key(&(host.to_owned(), "cx_session".to_owned()))
    }

    /// Takes over a session.
    pub fn sign_in_with(&mut self, host: &str, token: &str) {
        self.cookies.insert((host.to_owned(), "cx_session".to_owned()), token.to_owned());
    }

    /// Forgets the cookies of a host, or of one name.
    pub fn forget(&mut self, host: &str, name: &str) {
        self.cookies.remove(&(host.to_owned(), name.to_owned()));
    }

    fn follow(&mut self) -> &mut Self {
        while self.page.status.is_redirection() {
            assert_eq!(self.page.status, 303, "{:?}", self.page);
            assert!(self.way.len() < 10, "redirects without an end: {:?}", self.way);
            let to = self.page.headers[header::LOCATION].to_str().unwrap().to_owned();
            self.way.push(to.clone());
            self.ask(Method::GET, &to, String::new());
        }
        self
    }

    fn ask(&mut self, method: Method, url: &str, body: String) {
        let url = url::Url::parse(&self.url).unwrap().join(url).unwrap();
        let host = url.host_str().unwrap().to_owned();
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .filter(|((of, _), _)| *of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &host)
            .header(header::ACCEPT_LANGUAGE, self.language)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.page = self.server.send(request.body(Full::new(Bytes::from(body))).unwrap());
        self.url = url.to_string();
        for set in self.page.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie::Cookie::parse(set.to_str().unwrap().to_owned()).unwrap();
            let key = (host.clone(), cookie.name().to_owned());
            match cookie.max_age() {
                Some(age) if age.is_zero() => _ = self.cookies.remove(&key),
                _ => _ = self.cookies.insert(key, cookie.value().to_owned()),
            }
        }
    }
}

pub fn unescaped(text: &str) -> String {
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

impl std::fmt::Debug for TestBrowser<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}: {} {}", self.url, self.way, self.page.status, self.page.text)
    }
}
