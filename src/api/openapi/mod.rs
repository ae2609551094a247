//! Generates OpenAPI 3.1 from the table of routes. Each route's inputs and replies describe themselves.

mod components;
pub mod document;
mod example;
pub mod operation;
mod schemas;

pub use document::{document, resolve};
pub use operation::{Operation, ParameterIn};
