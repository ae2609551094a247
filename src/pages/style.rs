//! The style of all pages, which is in the program. Its address has a digest of it: a browser that has it asks no more,
//! and one that has that of another version asks anew.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::api::{Needs, Result, Route, Steps, Stylesheet, get, here};

pub const ROUTES: &[Route] = &[get(PATH, &here(style), Needs::Anyone, "The style of all pages")];

const PATH: &str = "/ui/style.css";
const STYLE: &str = include_str!("../../templates/style.css");

static DIGEST: LazyLock<String> = LazyLock::new(|| URL_SAFE_NO_PAD.encode(&Sha256::digest(STYLE)[..12]));

/// Where a page says that its style is.
pub fn address() -> String {
    format!("{PATH}?{}", *DIGEST)
}

fn style(steps: &Steps<'_>) -> Result<Stylesheet> {
    Ok(Stylesheet { text: STYLE, is_for_ever: steps.call.query == *DIGEST })
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::testing::Bench;

    #[test]
    fn every_page_has_its_style_on_its_own_host_and_a_browser_keeps_it() {
        let bench = Bench::new();
        for (host, page) in [("localhost", "/ui/password-reset"), ("acme.localhost", "/ui/sign-in")] {
            let visitor = bench.nobody().at(host);
            let page = visitor.get(page);
            let (_, rest) = page.text.split_once("<link rel=\"stylesheet\" href=\"").unwrap();
            let address = rest.split('"').next().unwrap();
            let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("style-src 'self';") && !page.text.contains("<style"), "{policy}");

            let kept = visitor.get(address);
            assert!(kept.status == 200 && kept.text.contains(":focus-visible"), "{kept:?}");
            assert_eq!(kept.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
            assert_eq!(kept.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
            let of_another_version = visitor.get("/ui/style.css?AAAA");
            assert_eq!(of_another_version.headers[header::CACHE_CONTROL], "no-cache");
        }
    }
}
