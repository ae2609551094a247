//! The stylesheets of pages and the script of the console, compiled into the program. The URL of each contains a digest: a browser caches it forever,
//! and a new version has a new URL.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::api::{BlockingCtx, Needs, Result, Route, Script, Stylesheet, get, inline};

pub const ROUTES: &[Route] = &[
    get(PAGES.path, &inline(of_pages), Needs::Anyone, "Get the stylesheet of pages"),
    get(DOCS.path, &inline(of_docs), Needs::Anyone, "Get the stylesheet of the API reference"),
    get(CONSOLE.path, &inline(of_console), Needs::Anyone, "Get the stylesheet of the console"),
    get(SCRIPT.path, &inline(script), Needs::Anyone, "Get the script of the console"),
];

struct Asset {
    path: &'static str,
    text: &'static str,
}

const PAGES: Asset = Asset {
    path: "/ui/style.css",
    text: concat!(include_str!("../../templates/colors.css"), include_str!("../../templates/style.css")),
};
const DOCS: Asset = Asset { path: "/ui/docs.css", text: include_str!("../../templates/docs.css") };
const CONSOLE: Asset = Asset {
    path: "/ui/console.css",
    text: concat!(include_str!("../../templates/colors.css"), include_str!("../../templates/console.css")),
};
const SCRIPT: Asset = Asset { path: "/ui/console.js", text: include_str!("../../templates/console.js") };

static PAGES_DIGEST: LazyLock<String> = LazyLock::new(|| PAGES.digest());
static DOCS_DIGEST: LazyLock<String> = LazyLock::new(|| DOCS.digest());
static CONSOLE_DIGEST: LazyLock<String> = LazyLock::new(|| CONSOLE.digest());
static SCRIPT_DIGEST: LazyLock<String> = LazyLock::new(|| SCRIPT.digest());

impl Asset {
    fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(&Sha256::digest(self.text)[..12])
    }
}

/// The URL of the stylesheet of pages.
pub fn address() -> String {
    format!("{}?{}", PAGES.path, *PAGES_DIGEST)
}

/// The URL of the stylesheet of the API reference.
pub fn docs_address() -> String {
    format!("{}?{}", DOCS.path, *DOCS_DIGEST)
}

/// The URL of the stylesheet of the console.
pub fn console_address() -> String {
    format!("{}?{}", CONSOLE.path, *CONSOLE_DIGEST)
}

/// The URL of the script of the console.
pub fn script_address() -> String {
    format!("{}?{}", SCRIPT.path, *SCRIPT_DIGEST)
}

fn of_pages(ctx: &BlockingCtx<'_>) -> Result<Stylesheet> {
    Ok(Stylesheet { text: PAGES.text, is_for_ever: ctx.request.query == *PAGES_DIGEST })
}

fn of_docs(ctx: &BlockingCtx<'_>) -> Result<Stylesheet> {
    Ok(Stylesheet { text: DOCS.text, is_for_ever: ctx.request.query == *DOCS_DIGEST })
}

fn of_console(ctx: &BlockingCtx<'_>) -> Result<Stylesheet> {
    Ok(Stylesheet { text: CONSOLE.text, is_for_ever: ctx.request.query == *CONSOLE_DIGEST })
}

fn script(ctx: &BlockingCtx<'_>) -> Result<Script> {
    Ok(Script { text: SCRIPT.text, is_for_ever: ctx.request.query == *SCRIPT_DIGEST })
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::tests::TestServer;

    #[test]
    fn every_page_has_its_style_on_its_own_host_and_a_browser_keeps_it() {
        let server = TestServer::new();
        let pages = [("localhost", "/ui/password-reset"), ("acme.localhost", "/ui/sign-in"), ("localhost", "/docs")];
        for (host, page) in pages {
            let visitor = server.anonymous().at(host);
            let page = visitor.get(page);
            let (_, rest) = page.text.split_once("<link rel=\"stylesheet\" href=\"").unwrap();
            let address = rest.split('"').next().unwrap();
            let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("style-src 'self';") && !page.text.contains("<style"), "{policy}");

            let kept = visitor.get(address);
            assert!(kept.status == 200 && kept.text.contains(":focus-visible"), "{kept:?}");
            assert_eq!(kept.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
            assert_eq!(kept.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
            let of_another_version = visitor.get(&format!("{}?AAAA", address.split('?').next().unwrap()));
            assert_eq!(of_another_version.headers[header::CACHE_CONTROL], "no-cache");
        }
    }
}
