//! Workspaces as tenants: host names, open workspaces, and the lifecycle of a workspace file from template to trash.

pub mod adoption;
mod central;
pub mod customers;
mod directory;
pub mod grants;
mod group;
mod hosts;
pub mod indexing;
mod instance_record;
pub mod journal;
pub mod life;
pub mod members;
pub mod phones;
mod registry;
pub mod scratch;
pub mod settings;

pub use central::Central;
pub use directory::{Bearer, Current, Directory, Listed, Status};
pub use group::{Group, LargeBody, Pools};
pub use hosts::{Host, host, workspace_in};
pub use instance_record::InstanceRecord;
pub use journal::{Author, News};
pub use registry::{Lease, Registry};
pub use scratch::Scratch;
