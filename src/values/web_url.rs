//! Web addresses: plain URLs, and URL templates with placeholders.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::json_schema;
use serde::Serialize;

const LONGEST: usize = 2000;
/// The allowed placeholders of a template.
const PLACEHOLDERS: [&str; 4] = ["id", "phone", "email", "display_name"];
const NO_URL: &str = "must be an absolute http or https URL.";

/// An absolute `http` or `https` URL of at most 2000 characters, stored as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WebUrl(String);

/// A [`WebUrl`] with placeholders after its host: `{id}`, `{phone}`, `{email}`, `{display_name}`. No value of a
/// placeholder can change the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UrlTemplate(String);

super::stored_as_text!(WebUrl);
super::stored_as_text!(UrlTemplate);

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        within_length(text)?;
        if is_absolute(text) { Ok(Self(text.into())) } else { Err(NO_URL.into()) }
    }
}

impl FromStr for UrlTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        within_length(text)?;
        let filled = filled(text, |_| "x".into())?;
        // The URL up to its path, query or fragment: a caller's name must not choose the host to which an agent is
        // sent.
        let host_end = text.find("://").and_then(|at| text[at + 3..].find(['/', '?', '#']).map(|end| at + 3 + end));
        if text.find('{').is_some_and(|brace| host_end.is_none_or(|end| brace < end)) {
            return Err("may have placeholders only after its host.".into());
        }
        if is_absolute(&filled) { Ok(Self(text.into())) } else { Err(NO_URL.into()) }
    }
}

/// Percent-encode all but the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl UrlTemplate {
    /// Fills each placeholder with its percent-encoded value.
    pub fn fill<'v>(&self, value: impl Fn(&str) -> &'v str) -> String {
        let encoded = |name: &str| utf8_percent_encode(value(name), RESERVED).to_string();
        filled(&self.0, encoded).expect("a template is checked when it is parsed")
    }
}

/// Replaces each placeholder of a template.
fn filled(template: &str, value: impl Fn(&str) -> String) -> Result<String, String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let inside = rest[at..].strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let Some((name, after)) = inside.filter(|(name, _)| !name.contains('{')) else {
            return Err("has an unmatched brace.".into());
        };
        if !PLACEHOLDERS.contains(&name) {
            let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
            return Err(format!("may only contain the placeholders {known}."));
        }
        filled.push_str(&rest[..at]);
        filled.push_str(&value(name));
        rest = after;
    }
    Ok(filled + rest)
}

fn within_length(text: &str) -> Result<(), String> {
    if text.chars().count() > LONGEST {
        return Err(format!("may not be greater than {LONGEST} characters."));
    }
    Ok(())
}

/// Uses the URL parser of browsers, but rejects the errors that it forgives: it drops white space, reads `\` as `/`,
/// and accepts any number of slashes before a host.
fn is_absolute(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.starts_with(['/', '?', '#']))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
        && request_form(text).is_some()
}

/// The URL in the form for a request: the host in A-labels (IDNA), the rest percent-encoded. `None` if it cannot be
/// requested.
pub fn request_form(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok().filter(url::Url::has_host)?;
    http::Uri::try_from(url.as_str()).ok().map(|_| url.into())
}

super::read_from_text!(WebUrl);

super::read_from_text!(UrlTemplate);

super::described!(
    WebUrl,
    json_schema!({
        "type": "string", "maxLength": LONGEST, "pattern": "^https?://[^/?#\\s\\\\]+[^\\s\\\\]*$",
        "examples": ["https://pbx.example.com/recordings/7.wav"]
    })
);

super::described!(UrlTemplate, {
    let placeholder = format!("\\{{({})\\}}", PLACEHOLDERS.join("|"));
    let pattern = format!("^https?://[^/?#{{}}\\s\\\\]+([/?#]([^{{}}\\s\\\\]|{placeholder})*)?$");
    json_schema!({
        "type": "string", "maxLength": LONGEST, "pattern": pattern,
        "examples": ["https://crm.example.com/search?phone={phone}"]
    })
});

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, SchemaGenerator};

    use super::*;

    #[test]
    fn only_absolute_addresses_in_the_web_are_taken() {
        for good in [
            "https://example.com",
            "http://localhost:8080/a?b=c#d",
            "https://[::1]/",
            "https://münchen.example/é",
            "https://u:p@example.com/{x}",
        ] {
            assert_eq!(good.parse::<WebUrl>().map(|url| url.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "example.com",
            "/a",
            "//example.com/a",
            "ftp://example.com",
            "javascript:alert(1)",
            "https:/example.com",
            "https://",
            "https:///example.com",
            "https://?a",
            "https://a b.example",
            " https://example.com",
            "https://example.com/\n",
            "https:\\\\example.com",
            "https://example.com:99999",
            "https://exa\0mple.com",
        ] {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad:?}");
        }
        let long = format!("https://example.com/{}", "x".repeat(LONGEST));
        assert_eq!(long.parse::<WebUrl>(), Err("may not be greater than 2000 characters.".into()));
        assert!(long[..LONGEST].parse::<WebUrl>().is_ok());
    }

    #[test]
    fn a_host_in_unicode_is_kept_as_typed_and_asked_for_in_a_labels() {
        let url: WebUrl = "http://münchen.example:8080/é?b=ü".parse().unwrap();
        assert_eq!(&*url, "http://münchen.example:8080/é?b=ü");
        assert_eq!(request_form(&url).as_deref(), Some("http://xn--mnchen-3ya.example:8080/%C3%A9?b=%C3%BC"));
        assert!("http://xn--a/".parse::<WebUrl>().is_err());
    }

    proptest::proptest! {
        /// Every accepted URL can be requested.
        #[test]
        fn every_address_that_is_taken_can_be_sent_to(host in "[a-zü0-9.\\-_@:\\[\\]]{1,10}", path in "(/[\\PC]{0,5})?") {
            let text = format!("https://{host}{path}");
            if text.parse::<WebUrl>().is_ok() {
                let sent = request_form(&text).unwrap();
                proptest::prop_assert!(sent.is_ascii(), "{}", sent);
                let uri: http::Uri = sent.parse().unwrap();
                proptest::prop_assert!(uri.host().is_some_and(|host| !host.is_empty()));
            }
        }
    }

    #[test]
    fn a_template_has_known_placeholders_behind_its_host() {
        let said = |text: &str| text.parse::<UrlTemplate>().map(|template| template.to_string());
        for good in [
            "https://crm.example.com",
            "https://crm.example.com/search?phone={phone}",
            "http://crm.example.com:8080/{id}{email}#{display_name}",
        ] {
            assert_eq!(said(good).as_deref(), Ok(good));
        }
        for bad in ["{phone}", "https://{id}.example.com/", "https://crm.example.com:{id}/", "https://a{id}"] {
            assert_eq!(said(bad), Err("may have placeholders only after its host.".into()), "{bad}");
        }
        for bad in ["https://a/{name}", "https://a/{}", "https://a/{ id }", "https://a/{ID}"] {
            assert!(said(bad).unwrap_err().starts_with("may only contain the placeholders {id}"), "{bad}");
        }
        for bad in
            ["https://a/{id", "https://a/id}", "https://a/{{id}}", "https://a/{{id}", "https://a/}{", "https://a/{"]
        {
            assert_eq!(said(bad), Err("has an unmatched brace.".into()), "{bad}");
        }
        for bad in ["", "crm.example.com/{id}", "ftp://a/{id}", "https://a/{id} {phone}", "https:///{id}"] {
            assert!(said(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_fills_a_template_stays_in_its_place() {
        let template: UrlTemplate = "https://crm.example.com/{id}?p={phone}#{email}".parse().unwrap();
        let values = |name: &str| match name {
            "id" => "a/b?c",
            "phone" => "+33 1&x={id}",
            _ => "é@example.com",
        };
        let filled = "https://crm.example.com/a%2Fb%3Fc?p=%2B33%201%26x%3D%7Bid%7D#%C3%A9%40example.com";
        assert_eq!(template.fill(values), filled);
    }

    proptest::proptest! {
        /// Checks the rule directly: without its placeholders, a template has no brace and is a URL.
        #[test]
        fn a_template_is_a_url_between_its_placeholders(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{id}", "{phone}", "{email}", "{display_name}", "{name}", "{", "}", "a", "/", "?x=", "#", " ", "é", "%20",
                ]),
                0..8,
            ),
        ) {
            let text = format!("https://crm.example.com/{}", pieces.concat());
            let mut without = text.clone();
            for name in PLACEHOLDERS {
                without = without.replace(&format!("{{{name}}}"), "x");
            }
            let good = !without.contains(['{', '}']) && without.parse::<WebUrl>().is_ok();
            // A placeholder in doubled braces is removed too, and leaves braces.
            proptest::prop_assert_eq!(text.parse::<UrlTemplate>().is_ok(), good, "{}", text);
        }

        #[test]
        fn what_a_template_is_filled_with_changes_no_host(template in "https://crm[a-z{}./?#@:\\\\]{0,12}") {
            if let Ok(template) = template.parse::<UrlTemplate>() {
                let host = |filling: &'static str| {
                    let filled = template.fill(|_| filling);
                    url::Url::parse(&filled).unwrap().host_str().map(str::to_owned)
                };
                proptest::prop_assert_eq!(host("x"), host("@evil.example"));
            }
        }

        #[test]
        fn the_pattern_is_no_narrower_than_the_rule(text in "https?://[a-z{}/?#@: \\\\]{0,12}(\\{id\\})?[}a]{0,2}") {
            let mut generator = SchemaGenerator::default();
            for (schema, taken) in [
                (UrlTemplate::json_schema(&mut generator), text.parse::<UrlTemplate>().is_ok()),
                (WebUrl::json_schema(&mut generator), text.parse::<WebUrl>().is_ok()),
            ] {
                let fits = jsonschema::is_valid(schema.as_value(), &serde_json::json!(text));
                proptest::prop_assert!(fits || !taken, "{}", text);
            }
        }
    }
}
