//! What must never be in the source, room by room: the absences that ARCHITECTURE.md states and no lint can hold.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file, with its path below `src/`, less its tests and comments.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source can be read") {
            let path: PathBuf = entry.expect("the source can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below src").display().to_string();
                let text = fs::read_to_string(&path).expect("the source can be read");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                found.push((name, lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    let tests = ["testing.rs", "walk.rs", "walk/", "fuzz/", "storage/tests.rs"];
    found.retain(|(name, _)| !tests.iter().any(|room| name.starts_with(room)));
    found
}

/// No file but those below `rooms` has any of the words.
fn only_in(rooms: &[&str], words: &[&str]) {
    for (name, code) in sources() {
        if rooms.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        for word in words {
            assert!(!code.contains(word), "src/{name} has {word:?}, which belongs into {rooms:?} alone");
        }
    }
}

#[test]
fn only_the_server_waits() {
    only_in(&["server/"], &["async fn", "async move", ".await", "tokio::", "hyper::", "hyper_util::"]);
}

#[test]
fn only_storage_begins_and_ends_transactions() {
    only_in(
        &["storage/"],
        &["\"BEGIN", "\"COMMIT", "\"ROLLBACK", "SAVEPOINT", ".transaction(", "unchecked_transaction"],
    );
}

#[test]
fn only_the_settings_read_the_environment_and_only_the_edge_the_clock() {
    only_in(&["config.rs"], &["std::env::", "env::var"]);
    only_in(&["values/timestamp.rs", "server/service.rs", "cli/mod.rs", "jobs/mod.rs"], &["Timestamp::now()"]);
}

#[test]
fn only_one_place_prints_for_commands_and_one_writes_the_log() {
    let rooms = ["cli/output.rs", "server/log_writer.rs", "server/log.rs"];
    only_in(&rooms, &["print!(", "println!(", "io::stdout()", "io::stderr()"]);
}

#[test]
fn only_one_place_starts_threads_that_live_as_long_as_the_process() {
    only_in(&["storage/threads.rs", "server/log_writer.rs"], &["thread::Builder", "thread::spawn"]);
}

#[test]
fn the_language_of_endpoints_knows_no_resource() {
    let resources =
        ["crate::central", "crate::workspace", "crate::pages", "crate::server", "crate::cli", "crate::jobs"];
    for (name, code) in sources() {
        let below = ["api/", "auth/", "storage/", "tenancy/", "values/", "config.rs", "engine.rs"];
        if below.iter().any(|room| name.starts_with(room)) {
            for resource in resources {
                assert!(!code.contains(resource), "src/{name} knows {resource}");
            }
        }
    }
}

#[test]
fn no_room_is_for_odds_and_ends() {
    for (name, _) in sources() {
        for part in name.trim_end_matches(".rs").split('/') {
            assert!(
                !["utils", "util", "helpers", "common", "manager", "service_layer", "misc"].contains(&part),
                "src/{name}"
            );
        }
    }
}
