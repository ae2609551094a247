//! The program as its users meet it: each test starts the real binary on a data directory of its own, speaks HTTP to it,
//! types commands beside it, stops it, kills it. `bench.rs` makes that a few lines; `process.rs`, `client.rs`, `chromium.rs`,
//! `smtp.rs`, `receiver.rs` are its hands.

mod bench;
mod chromium;
mod client;
mod process;
mod receiver;
mod smtp;

mod approving;
mod backups;
mod browsers;
mod bursts;
mod carrying;
mod cli_accounts;
mod cli_settings;
mod cli_users;
mod cli_workspaces;
mod errors;
mod exports;
mod faults;
mod first_day;
mod health;
mod hostile;
mod hosts;
mod house;
mod http;
mod idempotency;
mod imports;
mod invitations;
mod isolation;
mod journals;
mod keys;
mod lanes;
mod litestream;
mod logs;
mod mail;
mod metrics;
mod oauth_clients;
mod owners;
mod proxies;
mod quiet;
mod readme;
mod revoking;
mod routing;
mod shutdown;
mod side_outputs;
mod systemd;
mod throttle;
mod tls;
mod token_scopes;
mod trash;
mod units;
mod webhooks;
mod workspace_names;
mod writers;
