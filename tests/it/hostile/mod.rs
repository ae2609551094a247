//! Input that means harm, over real connections: none of it gets more than its sender's share, and nobody else notices.

mod floods;
mod http_2;
mod malformed;
mod refused_bodies;
mod slow_clients;
mod smuggling;

const GOOD: &str = "GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n";
