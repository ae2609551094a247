//! A call: one request, with all that is known of it before its handler runs.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{Error, Result};
use super::route::{Layer, Needs, Route};
use super::router::Router;
use crate::auth::{TokenFault, TokenInUse, Who, permissions};
use crate::engine::Engine;
use crate::tenancy::Lease;
use crate::values::Timestamp;

pub struct Call {
    pub engine: Arc<Engine>,
    pub router: Arc<Router>,
    pub route: &'static Route,
    pub layer: Layer,
    /// The values in the path, in order, decoded.
    pub path_values: Vec<String>,
    /// Without its question mark.
    pub query: String,
    pub body: Bytes,
    pub token: Option<Arc<TokenInUse>>,
    /// The workspace that the call is about, kept open by this.
    pub workspace: Option<Lease>,
    pub address: Address,
    /// Whom the request comes from, as far as proxies are trusted to say.
    pub client: IpAddr,
    pub now: Timestamp,
}

/// How the caller reached the server, for the URLs in answers.
#[derive(Debug, Clone)]
pub struct Address {
    /// `http`, or `https` behind a proxy that says so.
    pub scheme: &'static str,
    /// Host and port, as the caller wrote them.
    pub authority: String,
    /// The path as the caller wrote it.
    pub path: String,
}

impl Address {
    /// The URL of this request without its query.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path)
    }

    /// The URL of a workspace, on the port by which the caller came.
    pub fn workspace_url(&self, subdomain: &str, central_domain: &str) -> String {
        format!("{}://{subdomain}.{central_domain}{}", self.scheme, self.port())
    }

    /// The URL of the central host, on the port by which the caller came.
    pub fn central_url(&self, central_domain: &str) -> String {
        format!("{}://{central_domain}{}", self.scheme, self.port())
    }

    /// With its colon; empty where the caller named none.
    fn port(&self) -> String {
        let port = self.authority.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
        port.map(|port| format!(":{port}")).unwrap_or_default()
    }
}

impl Call {
    /// The token that the call came with; there is one wherever the route needs one.
    pub fn token(&self) -> Result<&TokenInUse> {
        self.token.as_deref().ok_or(Error::Token(TokenFault::Missing))
    }

    /// The open workspace; there is one wherever the route is of the workspace layer.
    pub fn workspace(&self) -> Result<&Lease> {
        self.workspace.as_ref().ok_or_else(|| Error::Internal("a call of the workspace layer has no workspace".into()))
    }

    /// Who the caller is in the workspace, read in the same transaction as all the rest.
    pub fn identify(&self, db: &rusqlite::Connection) -> Result<Who> {
        if self.layer == Layer::Central || self.route.needs == Needs::Anyone {
            return Ok(Who::Outsider);
        }
        let member = permissions::member(db, self.token()?.account_id)?.ok_or_else(Error::not_a_member)?;
        match self.route.needs {
            Needs::Permission(name) if !member.may(name) => Err(Error::MissingPermission(name)),
            _ => Ok(Who::Member(member)),
        }
    }
}
