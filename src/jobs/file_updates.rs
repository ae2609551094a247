//! Updates the files of all workspaces after an update of the program, one by one while the server serves. A request that
//! comes earlier updates its file itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use crate::api::Result;
use crate::instance::Instance;
use crate::storage::{self, FileKind};

/// Files per round: about half a second, which a stopping server has to wait.
const FILES: usize = 20;

pub struct Updater {
    instance: Arc<Instance>,
    /// The workspaces to update, the next one last. `None` until they were looked for.
    waiting: Option<Vec<Uuid>>,
}

impl Updater {
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, waiting: None }
    }

    /// Updates some files. A file that cannot be updated is reported, and tried again when it is used.
    pub fn round(&mut self) -> Result<()> {
        let instance = &self.instance;
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            None => {
                let found = outdated(instance)?;
                if !found.is_empty() {
                    tracing::info!(workspaces = found.len(), "files of an older version are updated");
                }
                self.waiting.insert(found)
            }
        };
        if waiting.is_empty() {
            return Ok(());
        }
        for id in waiting.split_off(waiting.len().saturating_sub(FILES)) {
            if instance.serves(id)
                && let Err(error) = instance.registry.lease(id).file().open()
            {
                tracing::error!(workspace = %id, error = format!("{error:#}"), "a file was not updated");
            }
        }
        instance.node.waiting_updates.store(waiting.len(), Ordering::Relaxed);
        if waiting.is_empty() {
            tracing::info!("the files of all workspaces were updated");
        }
        Ok(())
    }
}

/// Finds the workspaces in service that have files of an older version. The last id comes first.
fn outdated(instance: &Instance) -> Result<Vec<Uuid>> {
    let in_service = |status: &str| ["active", "suspended"].contains(&status);
    let workspaces = instance.central.workspace_statuses()?;
    // The doctor reports what cannot be read.
    let is_older = |id: &Uuid| {
        storage::read_version(&instance.registry.path(*id)).is_ok_and(|found| found < FileKind::Workspace.version())
    };
    let found = workspaces.into_iter().rev().filter(|(_, status)| in_service(status)).map(|(id, _)| id);
    let found: Vec<Uuid> = found.filter(is_older).collect();
    instance.node.waiting_updates.store(found.len(), Ordering::Relaxed);
    Ok(found)
}
