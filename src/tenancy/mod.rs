//! Workspaces as tenants: host names, open workspaces, and the lifecycle of a workspace file from template to trash.

mod account_group;
mod background_job;
mod central;
pub mod customer_lookup;
pub mod demo_account;
mod directory;
pub mod grant_revocation;
mod hosts;
pub mod indexing;
mod instance_record;
pub mod journal;
pub mod kept_uploads;
pub mod lifecycle;
pub mod locale_settings;
pub mod members;
pub mod phones;
mod registry;
pub mod ringing_calls;
pub mod row_counts;
mod stream_signals;
pub mod temp_dir;
pub mod text_indexes;
pub mod workspace_import;

pub use account_group::{AccountGroup, LargeBody, Pools};
pub use background_job::{JobProgress, JobSlot};
pub use central::Central;
pub use directory::{Bearer, Current, Directory, Status, WorkspaceEntry};
pub use hosts::{Host, host, workspace_in};
pub use instance_record::InstanceRecord;
pub use journal::{ChangeRecorder, PendingDeliveries};
pub use registry::{Lease, Registry};
pub use ringing_calls::{RingTarget, RingingCall, RingingCalls};
pub use stream_signals::StreamSignals;
pub use temp_dir::InstanceTempDir;
