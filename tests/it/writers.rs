//! Clients that write on one connection until the server is gone, for tests of its end.

use std::io::{self, ErrorKind};
use std::sync::mpsc::Sender;

use serde_json::json;

use crate::client::{Answer, Connection, Request};
use crate::test_server::{TestServer, Who};

/// The end of a client's connection.
#[derive(Debug)]
pub enum End {
    /// The connection was closed. The last request may or may not have been executed.
    Closed,
    /// The request for the customer of this name was rejected.
    Refused(String, Answer),
    /// The connection was closed in the middle of a response.
    HalfAnswered(io::Error),
}

/// Creates customers named by `label` until the server is gone. Sends each name that got a 201.
pub fn write_until_gone(server: &TestServer, who: &Who, label: &str, told: &Sender<String>) -> End {
    let mut connection = server.connect();
    for n in 0.. {
        let name = format!("{label}, customer {n}");
        match create(&mut connection, who, &name) {
            Ok(answer) if answer.status == 201 => told.send(name).unwrap(),
            Ok(answer) => return End::Refused(name, answer),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return End::HalfAnswered(error),
            Err(_) => break,
        }
    }
    End::Closed
}

fn create(connection: &mut Connection, who: &Who, name: &str) -> io::Result<Answer> {
    let body = json!({"name": name}).to_string();
    connection.ask(&Request {
        method: "POST",
        path: "/api/customers",
        host: &who.host,
        token: who.token.as_deref(),
        body: Some(&body),
        ..Request::default()
    })
}
