//! Conditional requests (RFC 9110, 13): entity tags and the headers that name them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use xxhash_rust::xxh3::xxh3_128;

use super::error::{Error, Result};

/// A strong entity tag: a digest of the body. The digest detects changes. It does not resist an attacker who searches for two
/// bodies with one digest.
#[derive(Debug)]
pub struct ETag(String);

impl ETag {
    pub fn of(body: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(xxh3_128(body).to_be_bytes()))
    }

    /// The tag of the same state in a content coding. Other bytes need another tag.
    #[must_use]
    pub fn coded(self, coding: Option<&str>) -> Self {
        coding.map_or_else(|| Self(self.0.clone()), |coding| Self(format!("{}-{coding}", self.0)))
    }

    pub fn header(&self) -> Result<HeaderValue> {
        HeaderValue::try_from(format!("\"{}\"", self.0)).map_err(|error| Error::Internal(error.to_string()))
    }
}

/// Whether the request has a condition.
pub fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}

/// Whether `If-Match` allows the request for this tag. Weak tags never match (RFC 9110, 13.1.1).
pub fn matches(headers: &HeaderMap, tag: &ETag) -> Result<bool> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(true);
    }
    let malformed = Error::BadRequest("The If-Match header must be * or entity tags, like \"abc\", \"def\".");
    is_among(tag, headers, header::IF_MATCH, |is_weak| !is_weak).ok_or(malformed)
}

/// Whether the caller has this state already (RFC 9110, 13.1.2).
pub fn matches_none(headers: &HeaderMap, tag: &ETag) -> Result<bool> {
    if !headers.contains_key(header::IF_NONE_MATCH) {
        return Ok(false);
    }
    let malformed = Error::BadRequest("The If-None-Match header must be * or entity tags, like \"abc\", \"def\".");
    is_among(tag, headers, header::IF_NONE_MATCH, |_| true).ok_or(malformed)
}

/// Whether a header names this tag. `counts` decides by weakness which named tags count. `None` if the header is
/// malformed.
fn is_among(tag: &ETag, headers: &HeaderMap, name: HeaderName, counts: impl Fn(bool) -> bool) -> Option<bool> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    if let [value] = values[..]
        && value == "*"
    {
        return Some(true);
    }
    let named = tags(&values)?;
    let mut those = named.iter().filter(|(is_weak, _)| counts(*is_weak));
    (!named.is_empty()).then(|| those.any(|(_, text)| *text == tag.0.as_bytes()))
}

/// The tags in the values of a header, each with whether it is weak (RFC 9110, 8.8.3). Empty list items are skipped. A
/// tag without its quotes is accepted.
fn tags<'v>(values: &[&'v HeaderValue]) -> Option<Vec<(bool, &'v [u8])>> {
    let mut tags = Vec::new();
    for value in values {
        let mut rest = value.as_bytes().trim_ascii_start();
        while let Some(first) = rest.first() {
            if *first != b',' {
                let (is_weak, tag) = rest.strip_prefix(b"W/").map_or((false, rest), |tag| (true, tag));
                let (text, after) = match tag.strip_prefix(b"\"") {
                    Some(quoted) => {
                        let end = quoted.iter().position(|byte| *byte == b'"')?;
                        (&quoted[..end], &quoted[end + 1..])
                    }
                    // Some clients remove the quotes. Our own tags never contain a comma.
                    None => tag
                        .split_at(tag.iter().position(|byte| matches!(byte, b',' | b' ' | b'\t')).unwrap_or(tag.len())),
                };
                let is_bare = !tag.starts_with(b"\"");
                let is_character = |byte: &u8| matches!(byte, 0x21..=0x7e | 0x80..=0xff) && *byte != b'"';
                if !text.iter().all(is_character) || (is_bare && (text.is_empty() || text == b"*")) {
                    return None;
                }
                tags.push((is_weak, text));
                rest = after.trim_ascii_start();
                if rest.is_empty() {
                    break;
                }
            }
            rest = rest.strip_prefix(b",")?.trim_ascii_start();
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{TestClient, TestResponse, TestServer};

    fn tag_of(answer: &TestResponse) -> String {
        answer.headers[header::ETAG].to_str().unwrap().to_owned()
    }

    /// A client that has created a customer, and the customer's tag.
    fn with_customer(server: &TestServer) -> (TestClient<'_>, String) {
        let me = server.admin();
        me.post("/customers", json!({"name": "Ada"})).created();
        let tag = tag_of(&me.get("/customers/1"));
        (me, tag)
    }

    #[test]
    fn who_has_a_resource_already_is_not_sent_it_again() {
        let server = TestServer::new();
        let (me, tag) = with_customer(&server);
        for known in
            [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), format!(",\"a,b\" ,W/{tag},"), "*".into()]
        {
            for method in [http::Method::GET, http::Method::HEAD] {
                let answer = me.with_header("If-None-Match", &known).send(method, "/customers/1", None);
                assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{known}");
                assert_eq!(tag_of(&answer), tag);
                assert_eq!(answer.headers.get(header::CONTENT_TYPE), None);
            }
        }
        me.with_header("If-None-Match", "\"another\"").get("/customers/1").ok();
        me.put("/customers/1", json!({"vip": true})).created();
        me.with_header("If-None-Match", &tag).get("/customers/1").ok();
        me.with_header("If-None-Match", "*").get("/customers/2").rejected(404, "not_found");
    }

    #[test]
    fn who_changes_what_another_has_changed_is_told_so_and_changes_nothing() {
        let server = TestServer::new();
        let (me, old) = with_customer(&server);
        let changed = me.with_header("If-Match", &old).put("/customers/1", json!({"name": "Bob"}));
        let new = tag_of(&changed);
        assert_eq!((changed.created()["name"].clone(), new == old), (json!("Bob"), false));
        assert_eq!(tag_of(&me.get("/customers/1")), new);

        for stale in [&old, &format!("W/{new}"), &format!("{old}, W/{new}")] {
            let stale = me.with_header("If-Match", stale);
            stale.put("/customers/1", json!({"name": "Eve"})).rejected(412, "stale_write");
            stale.put("/customers/1", json!({"name": 1})).rejected(412, "stale_write");
            stale.delete("/customers/1").rejected(412, "stale_write");
        }
        assert_eq!(me.get("/customers/1").ok()["name"], "Bob");
        me.with_header("If-Match", "*").put("/customers/1", json!({"vip": true})).created();
        let newest = tag_of(&me.get("/customers/1"));
        me.with_header("If-Match", &format!("{old}, {newest}")).delete("/customers/1").ok();
        for method in [http::Method::PUT, http::Method::DELETE] {
            me.with_header("If-Match", "*").send(method, "/customers/1", None).rejected(404, "not_found");
        }
    }

    #[test]
    fn a_condition_is_looked_at_after_the_permission_and_the_row() {
        let server = TestServer::new();
        let (_, tag) = with_customer(&server);
        let change = json!({"name": "Eve"});
        let stranger = server.anonymous().at("acme.localhost").with_header("If-Match", "\"x\"");
        stranger.put("/customers/1", change.clone()).rejected(401, "token_missing");
        let reader = server.with_only(&["customer.view"]).with_header("If-Match", "\"x\"");
        reader.put("/customers/1", change.clone()).rejected(403, "missing_permission");
        // The tag does not depend on rows that the caller cannot see.
        server.admin().post("/customers", json!({"name": "Own"})).created();
        let bound = server.key(&["*"], Some(2)).with_header("If-Match", &tag);
        bound.put("/customers/1", change).rejected(404, "not_found");
    }

    #[test]
    fn a_tag_without_its_quotes_is_the_same_tag() {
        let server = TestServer::new();
        let (me, tag) = with_customer(&server);
        let bare = tag.trim_matches('"');
        for known in [bare.to_owned(), format!("W/{bare}"), format!("x, {bare}")] {
            assert_eq!(me.with_header("If-None-Match", &known).get("/customers/1").status, 304, "{known}");
        }
        me.with_header("If-Match", "another").put("/customers/1", json!({"vip": true})).rejected(412, "stale_write");
        me.with_header("If-Match", bare).put("/customers/1", json!({"vip": true})).created();
    }

    #[test]
    fn if_none_match_stops_a_change_and_if_match_a_read() {
        let server = TestServer::new();
        let (me, tag) = with_customer(&server);
        for known in ["*", &tag, &format!("\"x\", W/{tag}")] {
            let me = me.with_header("If-None-Match", known);
            me.put("/customers/1", json!({"name": "Eve"})).rejected(412, "precondition_failed");
            me.delete("/customers/1").rejected(412, "precondition_failed");
            me.put("/customers/9", json!({"name": "Eve"})).rejected(404, "not_found");
        }
        let both = me.with_header("If-Match", "\"x\"").with_header("If-None-Match", "*");
        both.put("/customers/1", json!({"name": "Eve"})).rejected(412, "stale_write");
        assert_eq!(me.get("/customers/1").ok()["name"], "Ada");
        me.with_header("If-None-Match", "\"another\"").put("/customers/1", json!({"name": "Bob"})).created();

        let tag = tag_of(&me.get("/customers/1"));
        me.with_header("If-Match", &tag).get("/customers/1").ok();
        me.with_header("If-Match", "*").get("/customers/1").ok();
        for other in ["\"another\"", &format!("W/{tag}")] {
            me.with_header("If-Match", other).get("/customers/1").rejected(412, "stale_write");
        }
        me.with_header("If-Match", "*").get("/customers/9").rejected(404, "not_found");
    }

    #[test]
    fn beside_the_lanes_it_holds_too() {
        let server = TestServer::new();
        let me = server.admin();
        let old = tag_of(&me.get("/settings"));
        let changed = me.with_header("If-Match", &old).put("/settings", json!({"locale": "de-CH"}));
        changed.created();
        assert_eq!(tag_of(&changed), tag_of(&me.get("/settings")));
        me.with_header("If-Match", &old).put("/settings", json!({"locale": "fr"})).rejected(412, "stale_write");
        assert_eq!(me.get("/settings").ok()["locale"], "de-CH");
    }

    #[test]
    fn what_is_shown_nowhere_has_no_state_to_be_stale() {
        let server = TestServer::new();
        let (me, _) = with_customer(&server);
        me.with_header("If-Match", "nonsense").delete_with("/customers/bulk", json!({"ids": [1]})).ok();
    }

    #[test]
    fn a_header_that_is_no_list_of_tags_is_refused() {
        let server = TestServer::new();
        let (me, tag) = with_customer(&server);
        for bad in
            ["", ",", "\"x", "x\"", "w/\"x\"", "\"x\" \"y\"", "\"x\", *", "*, *", "\"a b\"", "a b", "W/", &tag[1..]]
        {
            let (read, write) = (me.with_header("If-None-Match", bad), me.with_header("If-Match", bad));
            read.get("/customers/1").rejected(400, "bad_request");
            write.put("/customers/1", json!({"name": "Eve"})).rejected(400, "bad_request");
            write.delete("/customers/1").rejected(400, "bad_request");
        }
        assert_eq!(me.get("/customers/1").ok()["name"], "Ada");
    }
}
