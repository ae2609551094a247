//! One request, with everything that is known before its handler runs.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use jiff::tz::TimeZone;
use rusqlite::Connection;
use uuid::Uuid;

use super::error::{Error, Result};
use super::media_type::MediaType;
use super::resource::Audience;
use super::route::{Layer, Needs, Route};
use super::router::Router;
use crate::auth::callers::Person;
use crate::auth::{Actor, Credential, Insider, Origin, TokenFault, TokenInUse, Who, callers};
use crate::engine::Engine;
use crate::storage::File;
use crate::tenancy::{Author, Host, Lease, Listed, Status, host, journal};
use crate::values::{AllowedHost, Language, Timestamp};

pub struct Call {
    pub engine: Arc<Engine>,
    pub router: Arc<Router>,
    pub route: &'static Route,
    pub audience: Audience,
    pub layer: Layer,
    /// The values in the path, in order, decoded.
    pub path_values: Vec<String>,
    /// The query without its question mark.
    pub query: String,
    pub body: Bytes,
    /// The media type of the body, one of those that the route accepts.
    pub sent_as: Option<MediaType>,
    pub headers: HeaderMap,
    pub credential: Credential,
    /// The workspace of the request. The lease keeps it open.
    pub workspace: Option<Lease>,
    pub address: Address,
    /// The workspace's time zone, once it was needed.
    pub zone: OnceLock<TimeZone>,
    /// The client's IP address. `X-Forwarded-For` counts only from trusted proxies.
    pub client: IpAddr,
    pub now: Timestamp,
}

/// The address by which the caller reached the server. Links that lead on from a response use it. Links that last use
/// the public URL.
#[derive(Debug, Clone)]
pub struct Address {
    /// `http`, or `https` if this server or a trusted proxy in front of it speaks TLS.
    pub scheme: &'static str,
    /// Host and port, as the caller wrote them.
    pub authority: String,
    /// The part of the path that names the workspace: `/w/acme`, or empty if the host names it.
    pub prefix: String,
    /// The rest of the path, as the caller wrote it.
    pub path: String,
}

impl Address {
    /// The URL of this request without its query.
    pub fn url(&self) -> String {
        format!("{}://{}{}{}", self.scheme, self.authority, self.prefix, self.path)
    }
}

/// The language that the sender of these headers prefers.
pub fn language(headers: &HeaderMap) -> Language {
    let values = headers.get_all(header::ACCEPT_LANGUAGE).iter();
    Language::wanted(values.filter_map(|value| value.to_str().ok()))
}

/// The id of a workspace that exists and is not suspended.
pub fn in_service(found: Option<Listed>) -> Result<Uuid> {
    let listed = found.ok_or_else(Error::workspace_not_found)?;
    match listed.status {
        Status::Active => Ok(listed.id),
        Status::Suspended => Err(Error::workspace_suspended()),
    }
}

impl Call {
    /// The public URL of the workspace, without a slash at the end. Looks the subdomain up only if the caller came by
    /// the central host.
    pub fn workspace_url(&self) -> Result<String> {
        let engine = &self.engine;
        let subdomain = match host(&self.address.authority, &engine.config.central_domain) {
            Some(Host::Workspace(label)) => label,
            _ => {
                let listed = engine.directory.current(&engine.keys)?.identified(self.workspace()?.id())?;
                listed.ok_or_else(Error::workspace_not_found)?.subdomain
            }
        };
        Ok(engine.public_url().workspace(&subdomain))
    }

    /// The time zone for times without one: the workspace's, if known; in the central API, UTC.
    pub fn zone(&self) -> Option<&TimeZone> {
        match self.layer {
            Layer::Central => Some(const { &TimeZone::UTC }),
            Layer::Workspace => self.zone.get(),
        }
    }

    /// The user's token that the request carries, or that of the session. Routes that need a token always have one.
    pub fn token(&self) -> Result<&Arc<TokenInUse>> {
        match &self.credential {
            Credential::Token(token) | Credential::Session(token) => Ok(token),
            Credential::Key(_) | Credential::CallFlow(_) => {
                Err(Error::forbidden("forbidden", "This needs a user's token, not a key."))
            }
            Credential::Client(_) => Err(Error::forbidden("forbidden", "This needs a user's own token.")),
            Credential::None => Err(Error::Token(TokenFault::Missing)),
        }
    }

    /// The origin that this request's changes to accounts or tokens record.
    pub fn origin(&self) -> Origin {
        let account_id = match &self.credential {
            Credential::Token(token) => Some(token.account_id),
            _ => None,
        };
        Origin::request(account_id, self.client, self.header(&header::USER_AGENT), self.now)
    }

    /// The value of a header, if it is present and is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The language that the caller prefers.
    pub fn language(&self) -> Language {
        language(&self.headers)
    }

    /// The open workspace. Every route of the workspace layer has one.
    pub fn workspace(&self) -> Result<&Lease> {
        self.workspace
            .as_ref()
            .ok_or_else(|| Error::Internal("a request of the workspace layer has no workspace".into()))
    }

    /// A change recorder for the caller, in the open workspace.
    pub fn author(&self, who: &Who) -> Result<Author> {
        let Who::Insider(insider) = who else { return Err(nobody()) };
        let name = insider.name.clone();
        let actor = match insider.actor {
            Actor::User { id, .. } => journal::Actor::User { id, name },
            Actor::Key { id, .. } => journal::Actor::Key { id, name },
            Actor::Client { id, .. } => journal::Actor::Client { id, name },
            Actor::CallFlow { .. } => return Err(Error::only_looks_up()),
        };
        Ok(self.author_in(self.workspace()?.id(), actor))
    }

    /// A change recorder for an actor in a workspace.
    pub fn author_in(&self, workspace: Uuid, actor: journal::Actor) -> Author {
        let news = Arc::clone(&self.engine.node.news);
        Author { workspace, actor, address: Some(self.client), at: self.now, news }
    }

    /// The file of the request's layer.
    pub fn file(&self) -> &Arc<File> {
        match (self.layer, &self.workspace) {
            (Layer::Workspace, Some(workspace)) => workspace.file(),
            _ => self.engine.central.file(),
        }
    }

    /// Identifies the caller and checks that the caller meets the needs of the route. Reads the layer's file, in the
    /// handler's transaction if the handler has one.
    pub fn identify(&self, db: &Connection) -> Result<Who> {
        match (self.layer, self.route.needs) {
            (_, Needs::Anyone) => Ok(Who::Outsider),
            (Layer::Central, needs) => self.check_account(db, needs).map(|()| Who::Outsider),
            (Layer::Workspace, needs) => {
                let insider = match (self.insider(db), needs) {
                    // A member without a required second factor may still log out or switch to another workspace.
                    (Err(Error::Forbidden { code: "second_factor_required", .. }), Needs::SignedIn) => {
                        return Ok(Who::Outsider);
                    }
                    (insider, _) => insider?,
                };
                self.check_insider(&insider, needs)?;
                Ok(Who::Insider(insider))
            }
        }
    }

    fn check_account(&self, db: &Connection, needs: Needs) -> Result<()> {
        let token = self.token()?;
        match needs {
            Needs::Operator if !token.operator => {
                Err(Error::forbidden("forbidden", "Only an operator of this server may do this."))
            }
            Needs::Operator if self.lacks_second_factor(token) => Err(Error::second_factor_missing()),
            Needs::Member | Needs::Owner => {
                let id = self.path_values.first().and_then(|id| id.parse().ok()).ok_or_else(Error::not_found)?;
                match callers::owns(db, token.account_id, id)? {
                    None => Err(Error::workspace_not_found()),
                    Some(false) if needs == Needs::Owner => {
                        Err(Error::forbidden("forbidden", "Only the owner of a workspace may do this."))
                    }
                    Some(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether this operator lacks the second factor that the server requires of operators.
    pub fn lacks_second_factor(&self, operator: &TokenInUse) -> bool {
        self.engine.config.operator_second_factor && !operator.second_factor
    }

    fn insider(&self, db: &Connection) -> Result<Insider> {
        match &self.credential {
            Credential::Token(token) | Credential::Session(token) => match callers::person(db, token)? {
                Person::Member(insider) => Ok(insider),
                Person::WithoutSecondFactor => Err(Error::second_factor_missing()),
                Person::NotAMember => Err(Error::not_a_member()),
            },
            Credential::Key(digest) => {
                let insider = callers::key(db, digest, self.now)?.map_err(Error::Token)?;
                if let Actor::Key { id, last_used_at } = insider.actor {
                    self.engine.node.key_uses.note(self.workspace()?.id(), id, last_used_at, self.now);
                }
                Ok(insider)
            }
            Credential::Client(token) => callers::client(db, token, self.now)?.map_err(Error::Token),
            Credential::CallFlow(digest) => {
                let (insider, hosts) = callers::call_flow(db, digest, self.now)?.map_err(Error::Token)?;
                self.check_host(&hosts)?;
                Ok(insider)
            }
            Credential::None => Err(Error::Token(TokenFault::Missing)),
        }
    }

    /// Checks that the caller calls from one of these hosts. An empty list allows every host.
    fn check_host(&self, hosts: &[AllowedHost]) -> Result<()> {
        if hosts.is_empty() || hosts.iter().any(|host| host.has(self.client)) {
            return Ok(());
        }
        let mut unknown = Vec::new();
        for name in hosts.iter().filter_map(AllowedHost::name) {
            match self.engine.node.host_names.addresses(name, self.now) {
                Some(addresses) if addresses.contains(&self.client.to_canonical()) => return Ok(()),
                Some(_) => {}
                None => unknown.push(name.to_owned()),
            }
        }
        if unknown.is_empty() {
            Err(Error::forbidden("host_not_allowed", "This token may not be used from where you are."))
        } else {
            Err(Error::UnknownHosts(unknown))
        }
    }

    fn check_insider(&self, insider: &Insider, needs: Needs) -> Result<()> {
        if matches!(insider.actor, Actor::CallFlow { .. }) && !matches!(needs, Needs::LookUp(_)) {
            return Err(Error::only_looks_up());
        }
        match needs {
            Needs::SignedIn | Needs::AnyToken => return self.token().map(|_| ()),
            Needs::Oneself(_) => {
                let in_path = self.path_values.first().and_then(|id| id.parse().ok());
                if in_path.is_some() && in_path == insider.user_id() {
                    return Ok(());
                }
            }
            Needs::Own(_) if insider.user_id().is_some() => return Ok(()),
            _ => {}
        }
        match needs.permission() {
            Some(name) if !insider.may(name) => Err(Error::MissingPermission(name.into())),
            Some(_) if insider.customer_id.is_some() && !matches!(needs, Needs::Scoped(_) | Needs::LookUp(_)) => {
                Err(Error::bound())
            }
            _ => Ok(()),
        }
    }
}

/// A handler asked for the caller on a route that identifies none.
pub(super) fn nobody() -> Error {
    Error::Internal("a handler asked for the caller on a route that needs none".into())
}
