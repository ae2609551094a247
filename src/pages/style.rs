//! The stylesheets of pages, the script and the icon, compiled into the program. The URL of each contains a digest: a
//! browser caches it forever, and a new version has a new URL.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minifier::css;
use sha2::{Digest, Sha256};

use crate::api::{BlockingCtx, Needs, Result, Route, StaticAsset, get, inline};

pub const ROUTES: &[Route] = &[
    get(
        "/ui/style.css",
        &inline(|ctx: &BlockingCtx<'_>| PAGES.response(ctx)),
        Needs::Anyone,
        "Get the stylesheet of pages",
    ),
    get(
        "/ui/docs.css",
        &inline(|ctx: &BlockingCtx<'_>| DOCS.response(ctx)),
        Needs::Anyone,
        "Get the stylesheet of the API reference",
    ),
    get(
        "/ui/console.css",
        &inline(|ctx: &BlockingCtx<'_>| CONSOLE.response(ctx)),
        Needs::Anyone,
        "Get the stylesheet of the console",
    ),
    get(
        "/ui/console.js",
        &inline(|ctx: &BlockingCtx<'_>| SCRIPT.response(ctx)),
        Needs::Anyone,
        "Get the script of the console",
    ),
    get("/ui/icon.svg", &inline(|ctx: &BlockingCtx<'_>| ICON.response(ctx)), Needs::Anyone, "Get the icon of pages"),
];

/// A file of pages.
pub struct Asset {
    path: &'static str,
    media_type: &'static str,
    /// The text that is sent. Stylesheets have no comments and blanks, scripts no comments and indents.
    text: LazyLock<String>,
    digest: LazyLock<String>,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPTS: &str = "text/javascript; charset=utf-8";

fn smaller(text: &str, media_type: &str) -> String {
    match media_type {
        CSS => css::minify(text).map_or_else(|_| text.to_owned(), |smaller| smaller.to_string()),
        SCRIPTS => {
            let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//"));
            lines.flat_map(|line| [line, "\n"]).collect()
        }
        _ => text.to_owned(),
    }
}

macro_rules! asset {
    ($name:ident, $path:literal, $media_type:expr, $($file:literal),+) => {
        pub static $name: Asset = Asset {
            path: $path,
            media_type: $media_type,
            text: LazyLock::new(|| {
                let text = concat!($(include_str!(concat!("../../templates/", $file))),+);
                smaller(text, $media_type)
            }),
            digest: LazyLock::new(|| $name.digest()),
        };
    };
}

asset!(PAGES, "/ui/style.css", CSS, "colors.css", "style.css");
asset!(DOCS, "/ui/docs.css", CSS, "docs.css");
asset!(CONSOLE, "/ui/console.css", CSS, "colors.css", "console.css");
asset!(SCRIPT, "/ui/console.js", SCRIPTS, "console.js", "console_live.js");
asset!(ICON, "/ui/icon.svg", "image/svg+xml", "icon.svg");

impl Asset {
    fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(&Sha256::digest(self.text.as_bytes())[..12])
    }

    /// The URL of this version.
    pub fn address(&self) -> String {
        format!("{}?{}", self.path, *self.digest)
    }

    fn response(&'static self, ctx: &BlockingCtx<'_>) -> Result<StaticAsset> {
        let is_for_ever = ctx.request.query == *self.digest;
        Ok(StaticAsset { text: &self.text, media_type: self.media_type, is_for_ever })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_page_of_the_console_loads_little() {
        assert!(CONSOLE.text.len() < 15 * 1024, "the stylesheet has {} bytes", CONSOLE.text.len());
        assert!(SCRIPT.text.len() < 14_000, "the script has {} bytes", SCRIPT.text.len());
        assert!(SCRIPT.text.lines().count() < 400);
        assert!(CONSOLE.text.contains(".matrix td>div{") && !CONSOLE.text.contains("/*"), "{}", *CONSOLE.text);
        let page = TestServer::new().anonymous().at("acme.localhost").get("/ui/sign-in");
        assert!(page.text.len() < 4_000, "the sign-in page has {} bytes", page.text.len());
    }
}
