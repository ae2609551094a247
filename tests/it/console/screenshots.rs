//! Pictures of the console with the data of the demo, for people to look at: `target/screenshots/console/`. The short form
//! takes half of them; `cargo test --test it every_picture -- --ignored` takes all.

use std::path::Path;

use tempfile::TempDir;

use crate::chromium::{Chromium, Scheme};
use crate::process::{Server, program};

/// A page of each kind.
const PAGES: [(&str, &str); 28] = [
    ("home", "/ui"),
    ("search", "/ui/search?q=dupont"),
    ("customers", "/ui/customers"),
    ("customer", "/ui/customers/1"),
    ("contacts", "/ui/contacts"),
    ("contact", "/ui/contacts/1"),
    ("contact-form", "/ui/contacts/1/edit"),
    ("contact-delete", "/ui/contacts/1/delete"),
    ("duplicates", "/ui/contacts/duplicates"),
    ("contact-merge", "/ui/contacts/1/merge?with=2"),
    ("calls", "/ui/phone-calls"),
    ("inbound-calls", "/ui/phone-calls?filter[direction]=inbound"),
    ("call", "/ui/phone-calls/1"),
    ("routing", "/ui/routing"),
    ("routing-of-a-customer", "/ui/routing/CL000001"),
    ("queues", "/ui/routing/CL000001/call-queues/queues"),
    ("queue", "/ui/routing/CL000001/call-queues/queues/1"),
    ("time-span-form", "/ui/routing/CL000001/call-queues/time-spans/new"),
    ("week", "/ui/routing/CL000001/call-queues/queues/1/week"),
    ("day-form", "/ui/routing/CL000001/call-queues/queues/1/week/day?day=1"),
    ("closed-days", "/ui/routing/CL000001/call-queues/queues/1/holidays?year=2027"),
    ("users", "/ui/users"),
    ("role", "/ui/roles/2"),
    ("role-form", "/ui/roles/new?from=3"),
    ("webhook-form", "/ui/webhooks/new"),
    ("audit-log", "/ui/audit-log"),
    ("settings", "/ui/settings/edit"),
    ("pbx", "/ui/pbx"),
];

/// The demo, served on a free port.
struct Demo {
    server: Server,
    _folder: TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = program(folder.path());
        demo.args(["demo", "--listen", "127.0.0.1:0"]);
        Self { server: Server::start(demo, folder.path()), _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://acme.localhost:{}{path}", self.server.address.port())
    }

    /// A browser that signed in with the one button of the demo.
    fn browser(&self, language: &str) -> Option<Chromium> {
        let mut browser = Chromium::start(language)?;
        browser.show(1280, Scheme::Light);
        browser.go(&self.url("/ui/sign-in"));
        browser.photograph(&format!("console/sign-in-1280-{language}"));
        browser.click("#demo");
        assert!(browser.url().ends_with("/ui"), "{}", browser.url());
        Some(browser)
    }

    fn photograph(&self, browser: &mut Chromium, width: u32, scheme: Scheme, language: &str) {
        browser.show(width, scheme);
        for (name, page) in PAGES {
            browser.go(&self.url(page));
            browser.photograph_page(&format!("console/{name}-{width}-{scheme:?}-{language}").to_lowercase());
        }
        assert_eq!(browser.errors(), Vec::<String>::new());
    }
}

#[test]
fn pictures_of_every_kind_of_page() {
    let demo = Demo::start();
    for (language, width, scheme) in [("en", 1280, Scheme::Light), ("fr", 390, Scheme::Dark)] {
        let Some(mut browser) = demo.browser(language) else { return };
        demo.photograph(&mut browser, width, scheme, language);
    }
}

#[test]
#[ignore = "takes every picture in every form: for people who look at the design"]
fn every_picture() {
    let demo = Demo::start();
    for language in ["en", "fr"] {
        let Some(mut browser) = demo.browser(language) else { return };
        for width in [1280, 390] {
            for scheme in [Scheme::Light, Scheme::Dark] {
                demo.photograph(&mut browser, width, scheme, language);
            }
        }
    }
}

#[test]
#[ignore = "makes the picture of the README: docs/console.png"]
fn the_picture_of_the_readme() {
    let demo = Demo::start();
    let Some(mut browser) = demo.browser("en") else { return };
    browser.go(&demo.url("/ui/phone-calls"));
    browser.photograph_small("console/readme");
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots/console/readme.png");
    std::fs::copy(picture, Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/console.png")).unwrap();
}
