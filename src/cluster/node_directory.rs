//! Which node serves a workspace or the central file, and how one node notifies another.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, ensure};
use ureq::Agent;
use uuid::Uuid;

use super::nodes::Owner;
use super::store_log::StoreLog;
use crate::auth::{NODE_HEADER, NOTIFY_PATH, NodeKey, RequestOrigin};
use crate::outgoing::{agent_config, root_certificates, roots_of};
use crate::values::Timestamp;

/// Time limit for a notification.
const LONGEST_NOTIFICATION: Duration = Duration::from_secs(2);

/// What to correct when the certificate of a node is rejected.
pub const UNTRUSTED_NODE: &str = "the certificate of another node is not trusted: set node_root to the root certificate of its \
     authority, and see that it has the host of node_url";

/// Tells which node serves what.
pub trait NodeDirectory: Send + Sync {
    /// Called for each request of a workspace, so it must not wait.
    fn owner_of_workspace(&self, id: Uuid) -> Owner;

    /// The node that central requests are sent to by preference. Must not wait.
    fn central_node(&self) -> Owner;

    /// Reads the placement again, because a node was unreachable or is no longer the owner. May wait.
    fn refresh(&self);

    /// Another node has stored something. May wait; the other node responds to its client once this node knows it.
    fn notify(&self) -> anyhow::Result<()>;
}

impl NodeDirectory for StoreLog {
    fn owner_of_workspace(&self, id: Uuid) -> Owner {
        self.nodes().map_or(Owner::ThisNode, |nodes| nodes.owner_of(id))
    }

    fn central_node(&self) -> Owner {
        self.nodes().map_or(Owner::ThisNode, |nodes| nodes.central_node())
    }

    fn refresh(&self) {
        if let Some(nodes) = self.nodes()
            && let Err(error) = nodes.refresh()
        {
            tracing::warn!(error = format!("{error:#}"), "the placement was not read");
        }
    }

    fn notify(&self) -> anyhow::Result<()> {
        self.refresh();
        self.catch_up()
    }
}

/// Notifies other nodes. It blocks, so it is used on threads.
#[derive(Debug)]
pub struct NodeNotifier {
    key: NodeKey,
    /// The name of this node.
    name: String,
    /// The file `node_root`.
    root: Option<PathBuf>,
    agent: OnceLock<Agent>,
}

impl NodeNotifier {
    pub fn new(key: NodeKey, name: String, root: Option<PathBuf>) -> Self {
        Self { key, name, root, agent: OnceLock::new() }
    }

    /// Created with the first notification, so that a server alone need not read the system's certificates.
    fn agent(&self) -> anyhow::Result<&Agent> {
        if let Some(agent) = self.agent.get() {
            return Ok(agent);
        }
        let roots = root_certificates("node_root", self.root.as_deref())?;
        let config = agent_config(roots_of(&roots)).timeout_global(Some(LONGEST_NOTIFICATION));
        Ok(self.agent.get_or_init(|| config.build().into()))
    }

    /// Notifies the node at this URL. Returns after that node has handled the notification.
    pub fn notify(&self, url: &str, now: Timestamp) -> anyhow::Result<()> {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        let origin = RequestOrigin {
            node: self.name.clone(),
            id: Uuid::now_v7(),
            client: std::net::Ipv4Addr::UNSPECIFIED.into(),
            scheme: "http".into(),
            host: host.to_owned(),
        };
        let signed = self.key.sign(&origin, "POST", NOTIFY_PATH, now);
        let sent = self.agent()?.post(format!("{url}{NOTIFY_PATH}")).header(NODE_HEADER, signed).send_empty();
        let is_untrusted = |error: &ureq::Error| error.to_string().contains("invalid peer certificate");
        let status = match sent {
            Err(error) if is_untrusted(&error) => return Err(error).context(format!("{UNTRUSTED_NODE} ({url})")),
            sent => sent.with_context(|| format!("cannot notify {url}"))?.status().as_u16(),
        };
        ensure!(status == 204, "cannot notify {url}: it responds with {status}");
        Ok(())
    }
}
