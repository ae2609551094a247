//! One request, with everything that is known before its handler runs.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cookie::Cookie;
use http::{HeaderMap, HeaderName, Method, header};
use jiff::tz::TimeZone;
use rusqlite::Connection;
use uuid::Uuid;

use super::access::Audience;
use super::access::{Layer, Needs};
use super::error::{Error, Result};
use super::media_type::{BodyKind, MediaType};
use super::router::Router;
use crate::auth::identity::MemberCheck;
use crate::auth::{Caller, Credential, Identity, Origin, Principal, TokenFault, TokenInUse, identity};
use crate::instance::Instance;
use crate::storage::File;
use crate::tenancy::{
    ChangeRecorder, Host, Lease, Status, WorkspaceEntry, host, journal, locale_settings, text_indexes,
};
use crate::values::{AllowedHost, Language, Timestamp};

pub struct Request {
    pub instance: Arc<Instance>,
    /// The route table.
    pub router: Arc<Router>,
    pub method: Method,
    /// The path of the route: `{id}` stands for one segment.
    pub route_path: &'static str,
    pub needs: Needs,
    /// The body that the route accepts.
    pub accepts: BodyKind,
    /// Whether a form must prove that a page of this host sent it, even if the visitor has no session.
    pub has_form_key: bool,
    pub audience: Audience,
    pub layer: Layer,
    /// The values in the path, in order, decoded.
    pub path_values: Vec<String>,
    /// The query without its question mark.
    pub query: String,
    /// The body, unless it is a form with a file.
    pub body: Bytes,
    /// The form with a file.
    pub form: Option<MultipartForm>,
    /// The media type of the body, one of those that the route accepts.
    pub sent_as: Option<MediaType>,
    pub headers: HeaderMap,
    pub credential: Credential,
    /// The workspace of the request. The lease keeps it open.
    pub workspace: Option<Lease>,
    pub address: Address,
    /// The workspace's time zone, read when it is first needed.
    pub time_zone: OnceLock<TimeZone>,
    /// The workspace's language. A page reads it before its handler runs, if the visitor asks for neither English nor
    /// French.
    pub workspace_language: OnceLock<Language>,
    /// Set once all texts that were written before the request are indexed.
    pub texts_indexed: OnceLock<()>,
    /// The client's IP address. `X-Forwarded-For` counts only from trusted proxies.
    pub client: IpAddr,
    /// The id in the log. A node that forwards the request sends it along.
    pub id: Uuid,
    pub now: Timestamp,
}

/// A form with a file.
#[derive(Debug, Default)]
pub struct MultipartForm {
    /// The names and values of the fields, in order.
    pub fields: Vec<(String, String)>,
    pub file: Option<UploadedFile>,
}

/// The file in a form.
#[derive(Debug)]
pub struct UploadedFile {
    /// The name of its field.
    pub field: String,
    /// The name of the file.
    pub name: String,
    pub media_type: Option<String>,
    pub content: Bytes,
}

/// The address by which the caller reached the server. Links in responses use it. Lasting links use the public URL.
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

/// The value of a cookie that the browser sent. Cookies are parsed one by one, as bytes, so that a malformed cookie of
/// another program does not hide ours.
pub fn cookie_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let headers = headers.get_all(header::COOKIE).iter();
    let pieces = headers.flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    let mut pieces = pieces.filter_map(|piece| Cookie::parse(str::from_utf8(piece).ok()?).ok());
    pieces.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// The cookie with the language that a person chose.
pub const LANGUAGE_COOKIE: &str = "cx_language";

/// The language that the sender of these headers chose, or else prefers, if the pages have it.
pub fn language(headers: &HeaderMap) -> Option<Language> {
    match cookie_value(headers, LANGUAGE_COOKIE).as_deref() {
        Some("fr") => return Some(Language::French),
        Some("en") => return Some(Language::English),
        _ => {}
    }
    let values = headers.get_all(header::ACCEPT_LANGUAGE).iter();
    Language::wanted(values.filter_map(|value| value.to_str().ok()))
}

/// The id of a workspace that exists and is not suspended.
pub fn require_active(found: Option<WorkspaceEntry>) -> Result<Uuid> {
    let listed = found.ok_or_else(Error::workspace_not_found)?;
    match listed.status {
        Status::Active => Ok(listed.id),
        Status::Suspended => Err(Error::workspace_suspended()),
    }
}

impl Request {
    /// The id of a workspace that this request creates. Fails if another node is to serve it. The node is that of another
    /// workspace, or else the id of the request chooses it, so that the one that it is forwarded to agrees.
    pub fn new_workspace_id(&self, beside: Option<Uuid>) -> Result<Uuid> {
        let mut id = Uuid::now_v7().into_bytes();
        id[15] = beside.unwrap_or(self.id).as_bytes()[15];
        let id = Uuid::from_bytes(id);
        self.instance.require_served(id)?;
        Ok(id)
    }

    /// The public URL of the workspace, without a slash at the end. Looks the subdomain up only if the caller came by
    /// the central host.
    pub fn workspace_url(&self) -> Result<String> {
        let instance = &self.instance;
        let subdomain = match host(&self.address.authority, &instance.config.central_domain) {
            Some(Host::Workspace(label)) => label,
            _ => {
                let listed = instance.directory.current(&instance.keys)?.by_id(self.workspace()?.id())?;
                listed.ok_or_else(Error::workspace_not_found)?.subdomain
            }
        };
        Ok(instance.public_url().workspace(&subdomain))
    }

    /// The time zone for times without one: the workspace's, if known; in the central API, UTC.
    pub fn time_zone(&self) -> Option<&TimeZone> {
        match self.layer {
            Layer::Central => Some(const { &TimeZone::UTC }),
            Layer::Workspace => self.time_zone.get(),
        }
    }

    /// A search needs this: every text that was written before the request is in the index. A response in many turns asks
    /// once: texts that are written meanwhile may be missing.
    pub fn require_texts(&self, db: &Connection) -> Result<()> {
        if self.texts_indexed.get().is_none() {
            if let Some(missing) = text_indexes::missing(db)? {
                return Err(Error::NeedsTexts(missing));
            }
            let _ = self.texts_indexed.set(());
        }
        Ok(())
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
            Credential::Token(token) | Credential::Session(token) => Some(token.account_id),
            _ => None,
        };
        Origin::request(account_id, self.client, self.header(&header::USER_AGENT), self.now)
    }

    /// The value of a header, if it is present and is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The language of a page: the one that the visitor chose, or else prefers, or else the workspace's.
    pub fn language(&self) -> Language {
        language(&self.headers).or_else(|| self.workspace_language.get().copied()).unwrap_or_default()
    }

    /// Whether the page must read the language of the workspace.
    pub fn needs_workspace_language(&self) -> bool {
        self.audience == Audience::People
            && self.layer == Layer::Workspace
            && self.workspace_language.get().is_none()
            && language(&self.headers).is_none()
    }

    /// Reads the language of the workspace if the page needs it.
    pub fn read_workspace_language(&self, db: &Connection) -> Result<()> {
        if self.needs_workspace_language() {
            let _ = self.workspace_language.set(locale_settings::language(db)?);
        }
        Ok(())
    }

    /// The open workspace. Every route of the workspace layer has one.
    pub fn workspace(&self) -> Result<&Lease> {
        self.workspace
            .as_ref()
            .ok_or_else(|| Error::Internal("a request of the workspace layer has no workspace".into()))
    }

    /// A change recorder for the caller, in the open workspace.
    pub fn recorder(&self, caller: &Caller) -> Result<ChangeRecorder> {
        let Caller::Principal(principal) = caller else { return Err(no_principal()) };
        let name = principal.name.clone();
        let actor = match principal.actor {
            Identity::User { id, .. } => journal::Actor::User { id, name },
            Identity::Key { id, .. } => journal::Actor::Key { id, name },
            Identity::Client { id, .. } => journal::Actor::Client { id, name },
            Identity::CallFlow { .. } => return Err(Error::lookup_only()),
        };
        Ok(self.recorder_for(self.workspace()?.id(), actor))
    }

    /// A change recorder for an actor in a workspace.
    pub fn recorder_for(&self, workspace: Uuid, actor: journal::Actor) -> ChangeRecorder {
        let pending = Arc::clone(&self.instance.node.pending);
        ChangeRecorder { workspace, actor, address: Some(self.client), at: self.now, pending }
    }

    /// The file of the request's layer.
    pub fn file(&self) -> &Arc<File> {
        match (self.layer, &self.workspace) {
            (Layer::Workspace, Some(workspace)) => workspace.file(),
            _ => self.instance.central.file(),
        }
    }

    /// Identifies the caller and checks that the caller meets the needs of the route. Reads the layer's file, in the
    /// handler's transaction if the handler has one.
    pub fn identify(&self, db: &Connection) -> Result<Caller> {
        match (self.layer, self.needs) {
            (_, Needs::Anyone) => Ok(Caller::Anonymous),
            (Layer::Central, needs) => self.check_account(db, needs).map(|()| Caller::Anonymous),
            (Layer::Workspace, needs) => {
                let principal = match (self.principal(db), needs) {
                    // A member without what the workspace requires may still log out or switch to another workspace.
                    (
                        Err(Error::Forbidden { code: "second_factor_required" | "single_sign_on_required", .. }),
                        Needs::SignedIn,
                    ) => {
                        return Ok(Caller::Anonymous);
                    }
                    (principal, _) => principal?,
                };
                self.check_principal(&principal, needs)?;
                Ok(Caller::Principal(principal))
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
                match identity::is_owner(db, token.account_id, id)? {
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
        self.instance.config.operator_second_factor && !operator.second_factor
    }

    fn principal(&self, db: &Connection) -> Result<Principal> {
        if let Credential::CallFlow(digest) = &self.credential {
            let (principal, hosts) = identity::call_flow(db, digest, self.now)?.map_err(Error::Token)?;
            self.check_host(&hosts)?;
            return Ok(principal);
        }
        let principal = principal_of(&self.credential, db, self.now)?;
        if let Identity::Key { id, last_used_at } = principal.actor {
            self.instance.node.key_uses.record(self.workspace()?.id(), id, last_used_at, self.now);
        }
        Ok(principal)
    }

    /// Checks that the caller calls from one of these hosts. An empty list allows every host.
    fn check_host(&self, hosts: &[AllowedHost]) -> Result<()> {
        if hosts.is_empty() || hosts.iter().any(|host| host.has(self.client)) {
            return Ok(());
        }
        let mut unknown = Vec::new();
        for name in hosts.iter().filter_map(AllowedHost::name) {
            match self.instance.node.host_names.addresses(name, self.now) {
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

    fn check_principal(&self, principal: &Principal, needs: Needs) -> Result<()> {
        if matches!(principal.actor, Identity::CallFlow { .. }) && !matches!(needs, Needs::Lookup(_)) {
            return Err(Error::lookup_only());
        }
        match needs {
            Needs::SignedIn | Needs::AnyToken => return self.token().map(|_| ()),
            Needs::Self_(_) => {
                let in_path = self.path_values.first().and_then(|id| id.parse().ok());
                if in_path.is_some() && in_path == principal.user_id() {
                    return Ok(());
                }
            }
            Needs::OwnOr(_) if principal.user_id().is_some() => return Ok(()),
            _ => {}
        }
        match needs.permission() {
            Some(name) if !principal.has_permission(name) => Err(Error::MissingPermission(name.into())),
            Some(_) if principal.customer_id.is_some() && !matches!(needs, Needs::Scoped(_) | Needs::Lookup(_)) => {
                Err(Error::bound_to_customer())
            }
            _ => Ok(()),
        }
    }
}

/// The caller with this credential, if it is valid in this workspace at this moment. A call flow's credential is valid
/// only for look-ups, and is refused here.
pub fn principal_of(credential: &Credential, db: &Connection, now: Timestamp) -> Result<Principal> {
    match credential {
        Credential::Token(token) | Credential::Session(token) => match identity::member(db, token)? {
            MemberCheck::Member(principal) => Ok(principal),
            MemberCheck::WithoutSecondFactor => Err(Error::second_factor_missing()),
            MemberCheck::WithoutSingleSignOn => Err(Error::single_sign_on_required()),
            MemberCheck::NotAMember => Err(Error::not_a_member()),
        },
        Credential::Key(digest) => identity::integration_key(db, digest, now)?.map_err(Error::Token),
        Credential::Client(token) => identity::oauth_client(db, token, now)?.map_err(Error::Token),
        Credential::CallFlow(_) => Err(Error::lookup_only()),
        Credential::None => Err(Error::Token(TokenFault::Missing)),
    }
}

/// The error of a handler that needs the caller, on a route that identifies none.
pub(super) fn no_principal() -> Error {
    Error::Internal("a handler asked for the caller on a route that needs none".into())
}
