//! The certificates that the server gets by ACME (RFC 8555), in `acme/` of the data directory: when each is ordered
//! and renewed, and the files. `server/` talks to the authority.

mod certificate_store;
mod certificate_summary;
mod order_schedule;

pub use certificate_store::CertificateStore;
pub use certificate_summary::CertificateSummary;
pub use order_schedule::{OrderFailure, RefusedOrder};
