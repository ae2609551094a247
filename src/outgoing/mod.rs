//! How the program reaches others.

mod http_agent;

pub use http_agent::{agent_config, roots_of, system_roots};
