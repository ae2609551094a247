//! Requests about one customer's call routing, in one line: `RoutingClient::new(&server).post("/surveys", json!({"name": "S"}))`.

use serde_json::{Value, json};

use crate::tests::{TestClient, TestResponse, TestServer};

/// A client for the call routing of one customer.
pub struct RoutingClient<'b> {
    pub client: TestClient<'b>,
    pub account: String,
    pub customer: i64,
}

impl<'b> RoutingClient<'b> {
    /// Signs in as the owner and creates a customer.
    pub fn new(server: &'b TestServer) -> Self {
        let made = server.admin().post("/customers", json!({"name": "Routed"})).created();
        Self::of(server, &made["id"].to_string())
    }

    /// Signs in as the owner, for an existing customer.
    pub fn of(server: &'b TestServer, customer: &str) -> Self {
        let customer = server.admin().get(&format!("/customers/{customer}")).ok();
        let account = customer["customer_account"].as_str().unwrap().to_owned();
        Self { client: server.admin(), account, customer: customer["id"].as_i64().unwrap() }
    }

    pub fn path(&self, path: &str) -> String {
        let and = if path.contains('?') { '&' } else { '?' };
        format!("/smart-routings{path}{and}customer_account={}", self.account)
    }

    pub fn get(&self, path: &str) -> TestResponse {
        self.client.get(&self.path(path))
    }

    pub fn post(&self, path: &str, body: Value) -> TestResponse {
        self.client.post(&self.path(path), body)
    }

    pub fn put(&self, path: &str, body: Value) -> TestResponse {
        self.client.put(&self.path(path), body)
    }

    pub fn delete(&self, path: &str) -> TestResponse {
        self.client.delete(&self.path(path))
    }

    pub fn delete_with(&self, path: &str, body: Value) -> TestResponse {
        self.client.delete_with(&self.path(path), body)
    }

    /// Creates a row and returns its id.
    pub fn create(&self, path: &str, body: Value) -> i64 {
        self.post(path, body).created()["id"].as_i64().unwrap()
    }

    /// The ids of the rows in a list.
    pub fn ids(&self, path: &str) -> Vec<i64> {
        let listed = self.get(path).ok();
        listed["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }
}
