//! Requests about one customer's call routing, in one line: `Desk::new(&bench).post("/surveys", json!({"name": "S"}))`.

use serde_json::{Value, json};

use crate::testing::{Answer, Bench, Client};

/// A client for the call routing of one customer.
pub struct Desk<'b> {
    pub client: Client<'b>,
    pub account: String,
    pub customer: i64,
}

impl<'b> Desk<'b> {
    /// Signs in as the owner and creates a customer.
    pub fn new(bench: &'b Bench) -> Self {
        let made = bench.admin().post("/customers", json!({"name": "Entity"})).created();
        Self::of(bench, &made["id"].to_string())
    }

    /// Signs in as the owner, for an existing customer.
    pub fn of(bench: &'b Bench, customer: &str) -> Self {
        let customer = bench.admin().get(&format!("/customers/{customer}")).ok();
        let account = customer["customer_account"].as_str().unwrap().to_owned();
        Self { client: bench.admin(), account, customer: customer["id"].as_i64().unwrap() }
    }

    pub fn path(&self, path: &str) -> String {
        let and = if path.contains('?') { '&' } else { '?' };
        format!("/smart-routings{path}{and}customer_account={}", self.account)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.client.get(&self.path(path))
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.client.post(&self.path(path), body)
    }

    pub fn put(&self, path: &str, body: Value) -> Answer {
        self.client.put(&self.path(path), body)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.client.delete(&self.path(path))
    }

    pub fn delete_with(&self, path: &str, body: Value) -> Answer {
        self.client.delete_with(&self.path(path), body)
    }

    /// Creates a row and returns its id.
    pub fn made(&self, path: &str, body: Value) -> i64 {
        self.post(path, body).created()["id"].as_i64().unwrap()
    }

    /// The ids of the rows in a list.
    pub fn ids(&self, path: &str) -> Vec<i64> {
        let listed = self.get(path).ok();
        listed["data"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
    }
}
