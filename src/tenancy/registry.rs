//! The open workspaces. Each is opened at most once. Above the limit, the least recently used is closed.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::account_group::{AccountGroup, Pools};
use super::lifecycle;
use crate::storage::{File, FileKind, Storage};

/// An open workspace.
pub struct OpenWorkspace {
    id: Uuid,
    file: Option<Arc<File>>,
    storage: Arc<Storage>,
    /// The owning account and its group, once a request has looked up the owner.
    group: Mutex<Option<(i64, Arc<AccountGroup>)>>,
}

/// Keeps a workspace open as long as it is held.
#[derive(Clone)]
pub struct Lease(Arc<OpenWorkspace>);

pub struct Registry {
    data: PathBuf,
    storage: Arc<Storage>,
    pools: Pools,
    /// Groups by owning account.
    groups: Mutex<HashMap<i64, Weak<AccountGroup>>>,
    most: AtomicUsize,
    /// Leases of workspaces that were open, and of workspaces that were not.
    hits: AtomicU64,
    misses: AtomicU64,
    /// Ordered by last lease, the most recent at the end.
    open: Mutex<LinkedHashMap<Uuid, Lease>>,
}

impl Registry {
    /// A registry of the workspaces in a data directory. At most `most` idle workspaces stay open.
    pub fn new(data: PathBuf, storage: Arc<Storage>, pools: Pools, most: usize) -> Self {
        Self {
            data,
            storage,
            pools,
            groups: Mutex::default(),
            most: AtomicUsize::new(most.max(1)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    /// Lowers the limit, if the operating system allows fewer open files.
    pub fn set_max_open(&self, most: usize) {
        self.most.fetch_min(most.max(1), Ordering::Relaxed);
    }

    /// Leases the workspace and registers it as open. The first job opens the file itself.
    ///
    /// At the limit, this closes the least recently used idle workspace. If every workspace is in use, it exceeds the
    /// limit: the cache never rejects a request.
    pub fn lease(&self, id: Uuid) -> Lease {
        let mut open = self.lock();
        if let Some(workspace) = open.to_back(&id) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return workspace.clone();
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        while open.len() >= self.most.load(Ordering::Relaxed) {
            let idle = |workspace: &Lease| Arc::strong_count(&workspace.0) == 1;
            let Some(oldest) = open.iter().find(|(_, workspace)| idle(workspace)).map(|(id, _)| *id) else { break };
            open.remove(&oldest);
        }
        let workspace = Lease(Arc::new(OpenWorkspace {
            id,
            file: Some(File::in_service(&self.storage, self.path(id), FileKind::Workspace)),
            storage: Arc::clone(&self.storage),
            group: Mutex::default(),
        }));
        open.insert(id, workspace.clone());
        workspace
    }

    /// Leases the workspace for a request. Its work counts towards the group of the owning account.
    pub fn lease_of(&self, id: Uuid, owner: i64) -> Lease {
        let lease = self.lease(id);
        let mut group = lease.group.lock();
        if group.as_ref().is_none_or(|(known, _)| *known != owner) {
            let now = self.group(owner);
            lease.file().set_share(&now.database);
            *group = Some((owner, now));
        }
        drop(group);
        lease
    }

    fn group(&self, owner: i64) -> Arc<AccountGroup> {
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get(&owner).and_then(Weak::upgrade) {
            return group;
        }
        groups.retain(|_, group| group.strong_count() > 0);
        let group = AccountGroup::new(self.pools);
        groups.insert(owner, Arc::downgrade(&group));
        group
    }

    /// Closes a workspace and waits at most `wait` until the last request has left it.
    pub fn close(&self, id: Uuid, wait: Duration) -> anyhow::Result<()> {
        let Some(workspace) = self.lock().remove(&id) else {
            return Ok(());
        };
        let end = workspace.file().closed();
        drop(workspace);
        match end.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => anyhow::bail!("workspace {id} is still in use"),
            _ => Ok(()),
        }
    }

    /// Closes the workspaces that another node serves from now on. Requests that are still in them after `wait` are
    /// rejected.
    pub fn hand_over(&self, is_wanted: impl Fn(Uuid) -> bool, wait: Duration) {
        let last = Instant::now() + wait;
        let mut open = self.lock();
        let ids: Vec<Uuid> = open.keys().copied().filter(|id| is_wanted(*id)).collect();
        let leaving: Vec<Lease> = ids.iter().filter_map(|id| open.remove(id)).collect();
        drop(open);
        let ends: Vec<_> = leaving.iter().map(|lease| (Arc::downgrade(lease.file()), lease.file().closed())).collect();
        drop(leaving);
        for (file, end) in ends {
            let ended = end.recv_timeout(last.saturating_duration_since(Instant::now()));
            if let (Err(RecvTimeoutError::Timeout), Some(file)) = (ended, file.upgrade()) {
                file.close_lanes();
            }
        }
    }

    /// Closes all workspaces within a time, when the server stops.
    pub fn close_all(&self, wait: Duration) -> anyhow::Result<()> {
        let last = Instant::now() + wait;
        let open: Vec<Uuid> = self.lock().keys().copied().collect();
        open.into_iter().try_for_each(|id| self.close(id, last.saturating_duration_since(Instant::now())))
    }

    /// The files of the open workspaces.
    pub fn files(&self) -> Vec<Arc<File>> {
        self.lock().values().map(|workspace| Arc::clone(workspace.file())).collect()
    }

    pub fn is_open(&self, id: Uuid) -> bool {
        self.lock().contains_key(&id)
    }

    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Leases that found the workspace open, and those that did not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    pub fn path(&self, id: Uuid) -> PathBuf {
        lifecycle::live_path(&self.data, id)
    }

    fn lock(&self) -> MutexGuard<'_, LinkedHashMap<Uuid, Lease>> {
        self.open.lock()
    }
}

impl OpenWorkspace {
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The group of the owning account. `None` until the first request to the workspace.
    pub fn group(&self) -> Option<Arc<AccountGroup>> {
        self.group.lock().as_ref().map(|(_, group)| Arc::clone(group))
    }

    pub fn file(&self) -> &Arc<File> {
        self.file.as_ref().expect("the file is present until the workspace is dropped")
    }
}

impl Deref for Lease {
    type Target = OpenWorkspace;

    fn deref(&self) -> &OpenWorkspace {
        &self.0
    }
}

impl Drop for OpenWorkspace {
    fn drop(&mut self) {
        // The last request may end on a thread that must not wait for the disk.
        if let Some(file) = self.file.take() {
            self.storage.close(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::TestServer;

    #[test]
    fn the_workspaces_of_one_account_are_one_group_until_one_is_anothers() {
        let server = TestServer::new();
        server.join_acme("ada@example.com", "admin");
        let group = |id: Uuid| {
            server.admin().get("/customers").ok();
            server.admin_of_other().get("/customers").ok();
            server.instance.registry.lease(id).group().unwrap()
        };
        let (acme, other) = (server.acme.id, server.other.id);
        assert!(Arc::ptr_eq(&group(acme), &group(other)));
        let users = server.admin().get("/users").ok();
        let ada = users["data"].as_array().unwrap().iter().find(|user| user["email"] == "ada@example.com").unwrap();
        let transfer = format!("/workspaces/{acme}/transfer");
        server.central().post(&transfer, json!({"user_id": ada["id"]})).created();
        assert!(!Arc::ptr_eq(&group(acme), &group(other)), "now another account owns it");
    }

    #[test]
    fn a_group_has_half_of_the_room_for_large_bodies() {
        let group = AccountGroup::new(Pools { database: 4, blocking: 4, long_running: 2 });
        let mut taken: Vec<_> = std::iter::from_fn(|| group.large_body()).collect();
        assert_eq!(taken.len(), 4);
        taken.pop();
        assert!(group.large_body().is_some());
    }
}
