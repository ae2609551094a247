//! Hostile HTTP/2 clients, with handmade frames (RFC 9113, 4 to 6).

use std::io;

use crate::client::Connection;
use crate::test_server::{TestServer, central, eventually};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const MIB: u64 = 1024 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A `GET` in HPACK: indexed fields by index, others as literals (RFC 7541, 6).
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, path.len() as u8];
    block.extend(path.bytes());
    block.extend([0x01, "localhost".len() as u8]);
    block.extend(b"localhost");
    block
}

/// A field with a name of one letter and a value of so many bytes, below 127.
fn field(name: u8, value: usize) -> Vec<u8> {
    let mut field = vec![0x00, 1, name, value as u8];
    field.extend(vec![b'v'; value]);
    field
}

fn begin(server: &TestServer, settings: &[u8]) -> Connection {
    let mut connection = server.connect();
    connection.send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).unwrap();
    connection
}

/// The next frame: kind, stream and payload.
fn receive(connection: &mut Connection) -> io::Result<(u8, u32, Vec<u8>)> {
    let head = connection.receive_bytes(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok((head[3], stream, connection.receive_bytes(length)?))
}

/// The kinds of the frames until the server closes the connection. It pings once to confirm its shutdown, and sends no
/// keep-alive pings.
fn until_the_end(connection: &mut Connection) -> Vec<u8> {
    let mut kinds = Vec::new();
    loop {
        match receive(connection) {
            Ok((PING, ..)) if kinds.contains(&PING) => panic!("it is still open"),
            Ok((kind, ..)) => kinds.push(kind),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it is still open: {error}"),
            Err(_) => return kinds,
        }
    }
}

fn is_served(server: &TestServer) {
    server.get(&central(), "").ok();
}

#[test]
fn a_request_in_frames_is_answered() {
    let server = TestServer::new();
    let mut connection = begin(&server, &[]);
    connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/api"))).unwrap();
    loop {
        let (kind, stream, payload) = receive(&mut connection).unwrap();
        if kind == DATA && stream == 1 {
            assert!(String::from_utf8_lossy(&payload).contains("central"));
            break;
        }
    }
}

#[test]
fn whoever_asks_and_takes_it_back_without_end_harms_nobody() {
    let server = TestServer::new();
    let memory = server.resident_mib();
    let mut connection = begin(&server, &[]);
    for first in (1..40_000).step_by(2_000) {
        let streams = (first..first + 2_000).step_by(2);
        let asked = |stream| {
            let reset = frame(RESET, 0, stream, &8_u32.to_be_bytes());
            [frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/api/openapi.json")), reset].concat()
        };
        // The server may have closed the connection already.
        if connection.send(streams.flat_map(asked).collect::<Vec<u8>>()).is_err() {
            break;
        }
    }
    is_served(&server);
    let grown = server.resident_mib().saturating_sub(memory);
    assert!(grown < 64, "{grown} MiB");
}

#[test]
fn a_head_that_never_ends_is_given_up() {
    let server = TestServer::new();
    let memory = server.resident_mib();
    let mut connection = begin(&server, &[]);
    let fields = field(b'x', 120).repeat(100);
    let mut sent = 0;
    let mut next = frame(HEADERS, END_STREAM, 1, &get("/api"));
    while connection.send(&next).is_ok() {
        sent += next.len() as u64;
        assert!(sent < 64 * MIB, "it takes all that comes");
        next = frame(CONTINUATION, 0, 1, &fields);
    }
    is_served(&server);
    let grown = server.resident_mib().saturating_sub(memory);
    assert!(grown < 32, "{grown} MiB");
}

#[test]
fn a_head_that_is_too_long_gets_no_answer_but_that() {
    let server = TestServer::new();
    let mut connection = begin(&server, &[]);
    let [first, second, third] = [0; 3].map(|_| field(b'x', 120).repeat(120));
    let head = [get("/api"), first].concat();
    connection.send(frame(HEADERS, END_STREAM, 1, &head)).unwrap();
    connection.send(frame(CONTINUATION, 0, 1, &second)).unwrap();
    connection.send(frame(CONTINUATION, END_HEADERS, 1, &third)).unwrap();
    connection.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, &get("/api"))).unwrap();
    let mut refused = false;
    loop {
        match receive(&mut connection).unwrap() {
            // 200 is the first byte of a head, and has the index 8 (RFC 7541, A).
            (HEADERS, 1, head) => refused = head[0] != 0x88,
            (DATA, 1, data) => assert!(data.is_empty(), "it was answered"),
            (DATA, 3, _) => break,
            _ => {}
        }
    }
    assert!(refused);
}

#[test]
fn no_more_requests_are_open_than_may_be() {
    let server = TestServer::new();
    // Without a window no response can finish.
    let mut connection = begin(&server, &[0, 4, 0, 0, 0, 0]);
    let asked = (0..200).flat_map(|n| frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &get("/api")));
    connection.send(asked.collect::<Vec<u8>>()).unwrap();
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < 200 {
        match receive(&mut connection).unwrap() {
            (HEADERS, ..) => answered += 1,
            (RESET, _, why) => {
                assert_eq!(why, 7_u32.to_be_bytes(), "REFUSED_STREAM");
                refused += 1;
            }
            (GO_AWAY, _, why) => panic!("{why:?}"),
            _ => {}
        }
    }
    assert_eq!(answered, 128);
}

#[test]
fn who_says_nothing_is_let_go() {
    let server = TestServer::with(&["--header-timeout", "0.5", "--write-timeout", "0.5"]);
    let mut silent = begin(&server, &[]);
    until_the_end(&mut silent);
    let mut fell_silent = begin(&server, &[]);
    fell_silent.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/api"))).unwrap();
    let frames = until_the_end(&mut fell_silent);
    assert!(frames.contains(&DATA) && frames.contains(&GO_AWAY), "it was answered, and told: {frames:?}");
}

/// Such a client could answer pings forever and never open a window.
#[test]
fn who_asks_and_has_no_room_for_the_answer_is_let_go() {
    let server = TestServer::with(&["--write-timeout", "1"]);
    let sockets = server.open_sockets();
    let mut deaf = begin(&server, &[0, 4, 0, 0, 0, 0]);
    for stream in [1, 3, 5] {
        deaf.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/api/openapi.json"))).unwrap();
    }
    let mut answered = 0;
    while answered < 3 {
        answered += u32::from(receive(&mut deaf).unwrap().0 == HEADERS);
    }
    assert!(server.open_sockets() > sockets);
    let mut looks = 0;
    eventually("it is let go", || {
        // Now and then the client shows that it is alive, but does nothing else.
        if looks % 40 == 0 {
            let _ = deaf.send(frame(PING, 0, 0, &[0; 8]));
        }
        looks += 1;
        server.open_sockets() <= sockets
    });
    is_served(&server);
}
