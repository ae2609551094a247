//! The providers of an instance, from a TOML file with a table for each.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::ProviderIdentity;
use crate::values::{Email, EmailDomain, Subdomain};

/// An OpenID provider, and what this server accepts from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The name in URLs.
    pub id: String,
    /// The name on the button.
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    pub client_secret: ClientSecret,
    /// The scopes to ask for, besides `openid`.
    pub scopes: Vec<String>,
    /// The only domains of addresses that may sign in. Empty: all.
    pub allowed_domains: Vec<EmailDomain>,
    /// An address of these domains counts as proven without `email_verified`.
    pub trusted_domains: Vec<EmailDomain>,
    /// Whether a sign-in counts as one with a second factor.
    pub second_factor: bool,
    /// The claim with the groups of a person. A dot leads into an object.
    pub groups_claim: String,
    pub roles: Vec<GroupRole>,
    /// Whether it is the provider of a workspace. It may be hostile: its URLs must not lead into the server's own network.
    pub is_of_workspace: bool,
}

/// How this server authenticates itself to the provider.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// A public client, which has none.
    None,
    /// Read at each sign-in, so that it can be replaced.
    File(PathBuf),
    Text(String),
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

/// The role in a workspace that a group gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRole {
    /// The name of the group. `*` stands for everybody.
    pub group: String,
    /// The subdomain of the workspace.
    pub workspace: String,
    /// The name of the role.
    pub role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderTable {
    name: String,
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default)]
    allowed_domains: Vec<EmailDomain>,
    #[serde(default)]
    trusted_domains: Vec<EmailDomain>,
    #[serde(default)]
    second_factor: bool,
    #[serde(default = "default_groups_claim")]
    groups_claim: String,
    #[serde(default)]
    roles: Vec<GroupRole>,
}

fn default_scopes() -> Vec<String> {
    ["email", "profile"].map(str::to_owned).into()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

/// Reads the providers. The error names the table and the key that are wrong.
pub fn providers_of_file(path: &Path) -> anyhow::Result<Vec<Provider>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let tables: BTreeMap<String, ProviderTable> =
        toml::from_str(&text).with_context(|| format!("{} describes no providers", path.display()))?;
    let providers = tables.into_iter().map(|(id, table)| {
        provider(id.clone(), table).with_context(|| format!("the provider {id} in {} is not allowed", path.display()))
    });
    providers.collect()
}

fn provider(id: String, table: ProviderTable) -> anyhow::Result<Provider> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        id.len() <= 32 && id.bytes().all(is_plain),
        "its name in the file must be 1 to 32 lowercase letters, digits and -, because it is part of a URL"
    );
    ensure!((1..=60).contains(&table.name.trim().chars().count()), "name must have 1 to 60 characters");
    ensure!(!table.client_id.is_empty(), "client_id is empty");
    check_issuer(&table.issuer)?;
    for GroupRole { group, workspace, role } in &table.roles {
        ensure!(!group.is_empty() && !role.is_empty(), "roles need a group and a role");
        ensure!(workspace.parse::<Subdomain>().is_ok(), "{workspace:?} is no subdomain of a workspace");
    }
    Ok(Provider {
        id,
        name: table.name.trim().to_owned(),
        issuer: table.issuer,
        client_id: table.client_id,
        client_secret: table.client_secret_file.map_or(ClientSecret::None, ClientSecret::File),
        scopes: table.scopes.into_iter().filter(|scope| scope != "openid").collect(),
        allowed_domains: table.allowed_domains,
        trusted_domains: table.trusted_domains,
        second_factor: table.second_factor,
        groups_claim: table.groups_claim,
        roles: table.roles,
        is_of_workspace: false,
    })
}

/// An issuer is an `https` URL without query and fragment (OpenID Connect Discovery 1.0, 3).
pub fn check_issuer(issuer: &str) -> anyhow::Result<()> {
    let url = Url::parse(issuer).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
    let Some(url) = url else { bail!("issuer must be a URL without query and fragment") };
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    ensure!(
        url.scheme() == "https" || (url.scheme() == "http" && is_local),
        "issuer must be an https:// URL; http:// only to this machine"
    );
    Ok(())
}

impl ClientSecret {
    /// The secret. The file may end with a line break.
    pub fn read(&self) -> anyhow::Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Text(secret) => Ok(Some(secret.clone())),
            Self::File(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                let secret = text.trim();
                ensure!(!secret.is_empty(), "{} is empty", path.display());
                Ok(Some(secret.to_owned()))
            }
        }
    }
}

impl Provider {
    /// The provider of a workspace. It proves the addresses of these domains and no others.
    pub fn of_workspace(
        id: Uuid,
        name: String,
        issuer: String,
        client_id: String,
        client_secret: ClientSecret,
        domains: Vec<EmailDomain>,
    ) -> Self {
        Self {
            id: id.to_string(),
            name,
            issuer,
            client_id,
            client_secret,
            scopes: default_scopes(),
            allowed_domains: domains.clone(),
            trusted_domains: domains,
            second_factor: false,
            groups_claim: default_groups_claim(),
            roles: Vec::new(),
            is_of_workspace: true,
        }
    }

    /// The URL to which the provider with this name sends people back.
    pub fn callback_url(central_url: &str, id: &str) -> String {
        format!("{central_url}/ui/sign-in/with/{id}/callback")
    }

    /// Whether a person may sign in.
    pub fn allows(&self, identity: &ProviderIdentity) -> bool {
        let is_allowed = |email: &Email| identity.has_proven_email && is_in(&self.allowed_domains, email);
        self.allowed_domains.is_empty() || identity.email.as_ref().is_some_and(is_allowed)
    }
}

/// Whether the address belongs to one of these domains.
pub(super) fn is_in(domains: &[EmailDomain], email: &str) -> bool {
    domains.iter().any(|domain| domain.has(email))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Vec<Provider>> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        providers_of_file(file.path())
    }

    const SMALLEST: &str =
        "[company]\nname = \"Example Ltd\"\nissuer = \"https://login.example.com/staff\"\nclient_id = \"cx\"\n";

    #[test]
    fn a_provider_needs_a_name_an_issuer_and_a_client() {
        let found = read(SMALLEST).unwrap();
        let [company] = &found[..] else { panic!("{found:?}") };
        assert_eq!((company.id.as_str(), company.name.as_str()), ("company", "Example Ltd"));
        assert_eq!((&company.scopes, &company.client_secret), (&default_scopes(), &ClientSecret::None));
        for key in ["name", "issuer", "client_id"] {
            let without: String =
                SMALLEST.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect();
            let said = format!("{:#}", read(&without).unwrap_err());
            assert!(said.contains(key), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("issuer = \"http://login.example.com\"", "https://"),
            ("issuer = \"https://login.example.com/?a=b\"", "without query"),
            ("issuer = \"login.example.com\"", "URL"),
            ("client_id = \"\"", "client_id"),
            ("name = \" \"", "name"),
        ] {
            let key = line.split(' ').next().unwrap();
            let text: String = SMALLEST
                .lines()
                .map(|old| if old.starts_with(key) { format!("{line}\n") } else { format!("{old}\n") })
                .collect();
            let said = format!("{:#}", read(&text).unwrap_err());
            assert!(said.contains("company") && said.contains(named), "{line}: {said}");
        }
        for (line, named) in [
            ("secret = \"x\"", "secret"),
            ("trusted_domains = [\"a@example.com\"]", "a@example.com"),
            ("allowed_domains = [\"com\"]", "com"),
            ("roles = [{ group = \"a\", workspace = \"Acme!\", role = \"admin\" }]", "Acme!"),
            ("roles = [{ group = \"a\", workspace = \"acme\" }]", "role"),
        ] {
            let said = format!("{:#}", read(&format!("{SMALLEST}{line}\n")).unwrap_err());
            assert!(said.contains(named), "{line}: {said}");
        }
        let said = format!("{:#}", read(&SMALLEST.replace("[company]", "[Our_Company]")).unwrap_err());
        assert!(said.contains("lowercase"), "{said}");
        assert!(read(&SMALLEST.replace("https://login.example.com/staff", "http://127.0.0.1:9400")).is_ok());
    }
}
