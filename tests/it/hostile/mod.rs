//! Malicious input over real connections: no sender gets more than a fair share, and other clients are not affected.

mod floods;
mod http_2;
mod malformed;
mod refused_bodies;
mod slow_clients;
mod smuggling;

const GOOD: &str = "GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n";
