//! Workspaces as tenants: which host means which, which are open, and the life of one from template to trash.

mod directory;
mod hosts;
pub mod life;
pub mod phones;
mod registry;

pub use directory::{Directory, Listed, Status};
pub use hosts::{Host, host};
pub use registry::{Lease, Registry};

use uuid::Uuid;

/// What a token is good for: one half of the API, and in the workspace half one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Central,
    Workspace(Uuid),
}

impl Scope {
    /// As a column has it: a workspace's id, or null.
    pub fn workspace(self) -> Option<Uuid> {
        match self {
            Self::Central => None,
            Self::Workspace(id) => Some(id),
        }
    }
}

impl From<Option<Uuid>> for Scope {
    fn from(workspace: Option<Uuid>) -> Self {
        workspace.map_or(Self::Central, Self::Workspace)
    }
}
