//! Tests that span modules, and the clients that all tests share.

mod cases;
mod console_forms;
mod console_pages;
pub mod every_route;
mod forwarding;
pub mod fuzz;
mod routing_client;
pub mod routing_endpoints;
mod stub_provider;
mod test_browser;
mod test_server;
mod views;

pub use routing_client::RoutingClient;
pub use stub_provider::{StubProvider, TokenFault};
pub use test_browser::{TestBrowser, unescaped};
pub use test_server::{AuthenticatorApp, PASSWORD, TestClient, TestResponse, TestServer, description, router};
