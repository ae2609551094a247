//! What a provider says about a person, with the differences between providers settled.

use openidconnect::AdditionalClaims;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Provider;
use super::provider_settings::is_in;
use crate::values::{Email, EmailDomain};

/// A person, as a provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderIdentity {
    /// With the issuer, this names the person for ever (OpenID Connect Core 1.0, 5.7).
    pub subject: String,
    /// The address, if the provider tells a valid one.
    pub email: Option<Email>,
    /// Whether the provider answers for it that the address is the person's.
    pub has_proven_email: bool,
    pub name: Option<String>,
    /// The groups of the person. `None` if the provider does not tell them, or not all of them.
    pub groups: Option<Vec<String>>,
}

/// The claims beyond the standard ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MoreClaims(pub Map<String, Value>);

impl AdditionalClaims for MoreClaims {}

/// The claims about a person, from the ID token or from UserInfo.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    pub subject: String,
    pub email: Option<String>,
    pub email_verified: Option<bool>,
    pub name: Option<String>,
    pub more: Map<String, Value>,
}

/// Google answers for the addresses of its own domain, and for those of domains that it hosts, which have the claim `hd`.
/// Any other address was verified once and may belong to somebody else by now.
const GOOGLE: &str = "https://accounts.google.com";
const GOOGLE_MAIL: [&str; 2] = ["gmail.com", "googlemail.com"];

impl Claims {
    /// Adds claims that the ID token lacks. Those of the ID token, which is signed, are kept.
    pub fn or(self, other: Self) -> Self {
        // The statement about an address goes with that address.
        let (email, email_verified) = match self.email {
            Some(email) => (Some(email), self.email_verified),
            None => (other.email, other.email_verified),
        };
        let mut more = other.more;
        more.extend(self.more);
        Self { subject: self.subject, email, email_verified, name: self.name.or(other.name), more }
    }

    /// The person that these claims are about.
    pub fn identity(self, provider: &Provider) -> ProviderIdentity {
        let email = self.email.as_deref().and_then(|email| email.trim().parse::<Email>().ok());
        let has_proven_email = email.as_ref().is_some_and(|email| self.proves(provider, email));
        ProviderIdentity {
            has_proven_email,
            groups: self.groups(&provider.groups_claim),
            name: self.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()),
            subject: self.subject,
            email,
        }
    }

    fn proves(&self, provider: &Provider, email: &str) -> bool {
        if is_in(&provider.trusted_domains, email) {
            return true;
        }
        // Microsoft has no `email_verified`. Its `xms_edov` says that the owner of the domain is verified.
        let is_verified = self.email_verified == Some(true) || self.more.get("xms_edov").is_some_and(is_true);
        let domains = self.more.get("hd").and_then(Value::as_str).into_iter().chain(GOOGLE_MAIL);
        let is_of = |domain: &str| domain.parse::<EmailDomain>().is_ok_and(|domain| domain.has(email));
        let is_authority = provider.issuer != GOOGLE || domains.into_iter().any(is_of);
        is_verified && is_authority
    }

    /// The groups in a claim. Microsoft leaves the claim out if there are too many, and names it in `_claim_names`.
    fn groups(&self, claim: &str) -> Option<Vec<String>> {
        // A namespace of Auth0 is a URL, so the whole name comes before the path.
        let found = self.more.get(claim).or_else(|| {
            let (first, rest) = claim.split_once('.')?;
            rest.split('.').try_fold(self.more.get(first)?, |value, name| value.get(name))
        });
        match found? {
            Value::String(group) => Some(vec![group.clone()]),
            Value::Array(groups) => Some(groups.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            _ => None,
        }
    }
}

/// Booleans, as some providers write them.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(value) => value.as_i64() == Some(1),
        Value::String(value) => value == "true" || value == "1",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::openid::ClientSecret;

    fn provider(issuer: &str) -> Provider {
        Provider {
            id: "company".into(),
            name: "Example Ltd".into(),
            issuer: issuer.into(),
            client_id: "cx".into(),
            client_secret: ClientSecret::None,
            scopes: Vec::new(),
            allowed_domains: Vec::new(),
            trusted_domains: vec!["trusted.example".parse().unwrap()],
            second_factor: false,
            groups_claim: "groups".into(),
            roles: Vec::new(),
            is_of_workspace: false,
        }
    }

    fn claims(email: &str, email_verified: Option<bool>, more: Value) -> Claims {
        let Value::Object(more) = more else { panic!("{more}") };
        Claims { subject: "1".into(), email: Some(email.into()), email_verified, name: None, more }
    }

    /// What the documents of the providers say about addresses.
    #[test]
    fn an_address_is_proven_only_if_the_provider_answers_for_it() {
        const KEYCLOAK: &str = "https://login.example.com/realms/staff";
        const MICROSOFT: &str = "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0";
        for (issuer, email, verified, more, is_proven) in [
            (KEYCLOAK, "ada@example.com", Some(true), json!({}), true),
            // Users from LDAP, unless "Trust Email" is set.
            (KEYCLOAK, "ada@example.com", Some(false), json!({}), false),
            (KEYCLOAK, "ada@trusted.example", Some(false), json!({}), true),
            (KEYCLOAK, "ada@example.com", None, json!({}), false),
            (GOOGLE, "ada@gmail.com", Some(true), json!({}), true),
            (GOOGLE, "ada@example.com", Some(true), json!({"hd": "example.com"}), true),
            (GOOGLE, "ada@example.com", Some(true), json!({"hd": "other.example"}), false),
            (GOOGLE, "ada@example.com", Some(true), json!({}), false),
            (GOOGLE, "ada@gmail.com", Some(false), json!({}), false),
            // The address can be set by any administrator of any directory.
            (MICROSOFT, "ada@example.com", None, json!({}), false),
            (MICROSOFT, "ada@example.com", None, json!({"xms_edov": true}), true),
            (MICROSOFT, "ada@example.com", None, json!({"xms_edov": "1"}), true),
            (MICROSOFT, "ada@example.com", None, json!({"xms_edov": 0}), false),
            (MICROSOFT, "ada@trusted.example", None, json!({}), true),
        ] {
            let identity = claims(email, verified, more.clone()).identity(&provider(issuer));
            assert_eq!(identity.has_proven_email, is_proven, "{issuer} {email} {verified:?} {more}");
        }
        let none = claims("not an address", Some(true), json!({})).identity(&provider(KEYCLOAK));
        assert_eq!((none.email, none.has_proven_email), (None, false));
    }

    #[test]
    fn groups_are_found_where_a_provider_puts_them() {
        for (claim, more, groups) in [
            ("groups", json!({"groups": ["/staff", "admins"]}), Some(vec!["/staff", "admins"])),
            ("groups", json!({"groups": "admins"}), Some(vec!["admins"])),
            ("groups", json!({"groups": []}), Some(vec![])),
            ("groups", json!({}), None),
            // More than 200 groups at Microsoft.
            ("groups", json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {}}), None),
            ("realm_access.roles", json!({"realm_access": {"roles": ["lead"]}}), Some(vec!["lead"])),
            (
                "resource_access.cx-engine.roles",
                json!({"resource_access": {"cx-engine": {"roles": ["lead"]}}}),
                Some(vec!["lead"]),
            ),
            ("https://example.com/groups", json!({"https://example.com/groups": ["lead"]}), Some(vec!["lead"])),
            ("realm_access.roles", json!({"realm_access": "no object"}), None),
        ] {
            let provider = Provider { groups_claim: claim.into(), ..provider("https://login.example.com") };
            let identity = claims("ada@example.com", None, more.clone()).identity(&provider);
            let groups = groups.map(|groups| groups.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(identity.groups, groups, "{claim} {more}");
        }
    }

    /// Authelia has the address only in UserInfo. An address from there must not borrow the proof of another one.
    #[test]
    fn an_address_keeps_its_own_proof() {
        let token = claims("ada@example.com", None, json!({"groups": ["a"]}));
        let info = claims("other@example.com", Some(true), json!({"groups": ["b"], "hd": "x"}));
        let both = token.clone().or(info.clone());
        assert_eq!((both.email.as_deref(), both.email_verified), (Some("ada@example.com"), None));
        assert_eq!((&both.more["groups"], &both.more["hd"]), (&json!(["a"]), &json!("x")));
        let both = Claims { email: None, email_verified: Some(false), ..token }.or(info);
        assert_eq!((both.email.as_deref(), both.email_verified), (Some("other@example.com"), Some(true)));
    }
}
