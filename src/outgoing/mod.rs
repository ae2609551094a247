//! How the program reaches others: HTTP clients, and programs of the operator.

mod address_guard;
mod http_agent;
mod operator_program;

pub use address_guard::guarded_agent;
pub use http_agent::{agent_config, root_certificates, roots_of, system_roots};
pub use operator_program::{EndedProgram, is_executable, run};
