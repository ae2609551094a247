//! Errors of pages, as pages in the visitor's language.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri};

use super::Message;
use super::translations::Translations;
use crate::api::{Error, Request, language};

/// The page for the error of a request.
pub struct ErrorPage {
    words: Translations,
    about: ErrorTopic,
    /// The address that was requested.
    requested: String,
    /// The first page of the host.
    start: String,
}

enum ErrorTopic {
    Approval,
    /// Entering a workspace from the central host.
    Entrance,
    Other,
}

impl ErrorPage {
    /// The error page of a path. `None` if the path belongs to programs. `prefix` names the workspace, if the path
    /// does; `path` is the rest.
    pub fn of(path: &str, prefix: &str, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let about = match path {
            "/oauth/authorize" => ErrorTopic::Approval,
            path if path.starts_with("/ui/enter/") => ErrorTopic::Entrance,
            path if path == "/ui" || path.starts_with("/ui/") => ErrorTopic::Other,
            _ => return None,
        };
        let requested = uri.path_and_query().map_or_else(String::new, ToString::to_string);
        Some(Self {
            words: Translations(language(headers).unwrap_or_default()),
            about,
            requested,
            start: format!("{prefix}/ui"),
        })
    }

    /// Takes the language of the request, which may be that of its workspace.
    pub fn speak_as(&mut self, request: &Request) {
        self.words = Translations::of(request);
    }

    /// The response, with the headers of the error.
    pub fn response(&self, error: Error) -> Response<Bytes> {
        let (status, title, text) = self.texts(&error);
        let words = self.words;
        let (address, label) = match (&self.about, status) {
            (ErrorTopic::Entrance, _) => (&self.start, words.your_workspaces()),
            (_, StatusCode::SERVICE_UNAVAILABLE) => (&self.requested, words.try_again()),
            _ => (&self.start, words.to_the_start()),
        };
        let link = (!matches!(self.about, ErrorTopic::Approval)).then_some((address.as_str(), label.as_str()));
        let page = Message { link, ..Message::about(words, &title, &text) };
        let page = page.page(status).and_then(|page| page.response(""));
        let response = error.into_response();
        let Ok(page) = page else { return response };
        let (mut head, _) = response.into_parts();
        let (of_page, text) = page.into_parts();
        head.status = of_page.status;
        head.headers.extend(of_page.headers);
        Response::from_parts(head, text)
    }

    fn texts(&self, error: &Error) -> (StatusCode, String, String) {
        let (words, status) = (self.words, error.status());
        let text = words.problems(error).join(" ");
        match (&self.about, error) {
            (ErrorTopic::Entrance, Error::NotFound { code: "workspace_not_found" | "not_found", .. }) => {
                (status, words.cannot_enter(), words.not_entered_about())
            }
            // A form from another site is one more request that cannot be approved.
            (ErrorTopic::Approval, Error::Forbidden { code: "forbidden", .. }) => {
                (StatusCode::BAD_REQUEST, words.not_to_be_approved(), text)
            }
            (ErrorTopic::Approval, _) if status.is_client_error() => (status, words.not_to_be_approved(), text),
            (_, Error::MissingPermission(name)) => {
                let permission = words.choice("permissions", name).unwrap_or_else(|| name.to_string());
                (status, words.permission_missing(), words.permission_needed(&permission))
            }
            (_, Error::TooSlow) => (status, words.not_now(), words.looks_at_every_row()),
            (_, Error::NotFound { code: "route_not_found", .. }) => {
                (status, words.no_such_page(), words.check_the_link())
            }
            (_, Error::NotFound { code: "not_found", .. }) => (status, words.record_is_gone(), words.gone_or_hidden()),
            (_, Error::Overloaded) => (status, words.not_now(), text),
            _ => (status, words.cannot_be_shown(), text),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, header};

    use crate::tests::TestServer;

    #[test]
    fn an_error_of_a_page_is_a_page_in_the_visitors_language() {
        let server = TestServer::new();
        for (host, method, path, status, english, french) in [
            ("localhost", Method::GET, "/ui/nowhere", 404, "There is no such page", "Cette page n’existe pas"),
            ("acme.localhost", Method::GET, "/ui/nowhere", 404, "There is no such page", "Cette page n’existe pas"),
            ("localhost", Method::GET, "/ui/contacts/1", 404, "There is no such page", "Cette page n’existe pas"),
            (
                "acme.localhost",
                Method::DELETE,
                "/ui/sign-in",
                405,
                "allows only GET, POST, HEAD",
                "n’a pas pu être lue",
            ),
            ("acme.localhost", Method::DELETE, "/oauth/authorize", 405, "cannot be approved", "Impossible d’accepter"),
            ("nowhere.localhost", Method::GET, "/ui/sign-in", 404, "no such workspace", "n’existe pas"),
        ] {
            let visitor = server.anonymous().at(host);
            for (language, said) in [("en", english), ("fr", french)] {
                let page = visitor.with_header("accept-language", language).send(method.clone(), path, None);
                assert_eq!(page.status, status, "{method} {path}: {page:?}");
                assert!(page.text.contains(&format!("<html lang=\"{language}\">")), "{page:?}");
                assert!(page.text.contains(said), "{said}: {page:?}");
                assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
                assert_eq!(page.headers.contains_key(header::ALLOW), status == 405);
            }
        }
        let large = server.anonymous().submit("/ui/password-reset", &[("email", &"x".repeat(2 * 1024 * 1024))]);
        assert!(large.status == 413 && large.text.starts_with("<!doctype html>"), "{large:?}");
        let answer = server.anonymous().at("acme.localhost").send(Method::DELETE, "/contacts", None);
        answer.rejected(405, "method_not_allowed");
        server.service.stop();
        let stopping = server.anonymous().at("acme.localhost").get("/ui/sign-in");
        assert!(stopping.status == 503 && stopping.text.contains("shutting down"), "{stopping:?}");
        assert_eq!(stopping.headers[header::RETRY_AFTER], "1");
        assert_eq!(stopping.headers.get_all(header::CONTENT_TYPE).iter().count(), 1);
    }
}
