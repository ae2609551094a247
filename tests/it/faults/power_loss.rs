//! Power loss: everything is synced before it is acknowledged, and a WAL before its database file. The tests check the
//! order of system calls.

use serde_json::json;

use super::traces::{Event, Moment, Tracer};
use crate::test_server::TestServer;

/// A trace that the tests search.
struct Seen(Vec<Event>);

impl Seen {
    /// The last matching event before a position.
    #[track_caller]
    fn last(&self, what: &str, before: usize, is_so: impl Fn(&Event) -> bool) -> usize {
        let found = self.0[..before].iter().rposition(is_so);
        found.unwrap_or_else(|| panic!("{what} does not come before: {:#?}", &self.0[..before]))
    }

    /// The position where the response with this status starts to be sent.
    #[track_caller]
    fn answer(&self, status: u16) -> usize {
        let head = format!("HTTP/1.1 {status}");
        self.last("the answer", self.0.len(), |event| event.moment == Moment::Begun && event.with.contains(&head))
    }

    #[track_caller]
    fn none(&self, what: &str, from: usize, to: usize, is_so: impl Fn(&Event) -> bool) {
        let between = &self.0[from..to];
        assert!(!between.iter().any(is_so), "{what} comes between: {between:#?}");
    }
}

fn begins(event: &Event, calls: &[&str], file: &str) -> bool {
    event.moment == Moment::Begun && calls.contains(&event.call.as_str()) && event.with.contains(file)
}

fn ended(event: &Event, calls: &[&str], file: &str) -> bool {
    event.moment == Moment::Ended && calls.contains(&event.call.as_str()) && event.with.contains(file)
}

const WRITES: [&str; 1] = ["pwrite64"];
const SYNCS: [&str; 2] = ["fsync", "fdatasync"];
const RENAMES: [&str; 3] = ["rename", "renameat", "renameat2"];

#[test]
fn a_write_is_answered_once_its_log_is_on_the_disk() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "the first");
    let log = format!("{}.sqlite-wal>", acme.workspace);
    let Some(tracer) = Tracer::of(&server) else { return };
    server.customer(&acme.inside, "Renault");
    let seen = Seen(tracer.until_now());
    let answered = seen.answer(201);
    let synced = seen.last("the sync of the log", answered, |event| ended(event, &SYNCS, &log));
    seen.last("the write into the log", synced, |event| ended(event, &WRITES, &log));
    seen.none("a write into the log", synced, answered, |event| begins(event, &WRITES, &log));
}

#[test]
fn a_workspace_is_answered_once_its_file_its_name_and_its_row_are_on_the_disk() {
    let server = TestServer::new();
    let owner = server.register("ada");
    server.workspace(&owner, "first");
    let Some(tracer) = Tracer::of(&server) else { return };
    let id = server.workspace(&owner, "second");
    let seen = Seen(tracer.until_now());
    let (new, folder) = (format!("{id}.new>"), format!("/workspaces/{}>", &id[id.len() - 2..]));
    let answered = seen.answer(201);
    let row = seen.last("the sync of the row", answered, |event| ended(event, &SYNCS, "central.sqlite-wal>"));
    let name = seen.last("the sync of the folder", row, |event| ended(event, &SYNCS, &folder));
    let parent = |event: &Event| ended(event, &SYNCS, "/workspaces>");
    let renamed = seen.last("the rename", name, |event| ended(event, &RENAMES, &id));
    let file = seen.last("the sync of the file", renamed, |event| ended(event, &SYNCS, &new));
    seen.none("a write into the file", file, renamed, |event| begins(event, &WRITES, &new));
    // The folder is as new as the file in it, so its parent folder must be synced too.
    seen.last("the sync of the folder's folder", file, parent);
}

#[test]
fn what_is_in_the_trash_or_out_of_it_is_there_on_the_disk_before_its_row_says_so() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.stop();
    server.cli(&["workspace", "delete", "acme", "--confirm", "acme"]).ok();
    let Some(seen) = super::traces::of_command(&server, &["workspace", "restore", "acme"]) else { return };
    let seen = Seen(seen);
    let end = seen.0.len();
    let row = seen.last("the sync of the row", end, |event| ended(event, &SYNCS, "central.sqlite-wal>"));
    let name = seen.last("the sync of the folder", row, |event| {
        ended(event, &SYNCS, &format!("/workspaces/{}>", &acme.workspace[acme.workspace.len() - 2..]))
    });
    seen.last("the rename", name, |event| ended(event, &RENAMES, &acme.workspace));
}

/// A checkpoint syncs the WAL, then writes and syncs the file, and only then resets the WAL.
#[test]
fn a_log_is_on_the_disk_before_its_file_is_written_and_kept_until_that_is() {
    let mut server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    let Some(tracer) = Tracer::of(&server) else { return };
    server.stop();
    let seen = Seen(tracer.until_the_end());
    for name in ["central.sqlite".to_owned(), format!("{}.sqlite", acme.workspace)] {
        let (file, log) = (format!("{name}>"), format!("{name}-wal"));
        let gone = seen.0.iter().position(|event| begins(event, &["ftruncate", "unlink"], &log));
        let gone = gone.unwrap_or_else(|| panic!("{log} is brought into its file: {:#?}", seen.0));
        let synced = seen.last("the sync of the file", gone, |event| ended(event, &SYNCS, &file));
        seen.none("a write into the file", synced, gone, |event| begins(event, &WRITES, &file));
        let first = seen.0.iter().position(|event| begins(event, &WRITES, &file));
        let first = first.unwrap_or_else(|| panic!("{file} is written"));
        assert!(first < synced);
        let logged = seen.last("the sync of the log", first, |event| ended(event, &SYNCS, &format!("{log}>")));
        seen.none("a write into the log", logged, gone, |event| begins(event, &WRITES, &format!("{log}>")));
    }
}

/// Shows that the syncs in the other tests are not there by chance.
#[test]
fn a_read_is_answered_without_the_disk() {
    let server = TestServer::new();
    let acme = server.team("acme");
    server.customer(&acme.inside, "Renault");
    // Indexes the text of the customer, which the server would do a moment later.
    server.get(&acme.inside, "/customers?filter[term]=renault").ok();
    let file = format!("{}.sqlite", acme.workspace);
    let Some(tracer) = Tracer::of(&server) else { return };
    server.get(&acme.inside, "/customers").ok();
    server.post(&acme.inside, "/customers", json!({})).invalid(&["The name field is required."]);
    let seen = Seen(tracer.until_now());
    let end = seen.answer(400);
    seen.none("a write", 0, end, |event| begins(event, &[WRITES[0], SYNCS[0], SYNCS[1]], &file));
}
