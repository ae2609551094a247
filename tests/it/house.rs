//! House rules that no lint can check: words that must not be in some parts of the source. ARCHITECTURE.md states them.

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file, with its path below `src/`, without its tests and comments.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut tests) = (Vec::new(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the source can be read") {
            let path: PathBuf = entry.expect("the source can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below src").display().to_string();
                let text = fs::read_to_string(&path).expect("the source can be read");
                let (code, modules) = without_tests(&text);
                let folder = name.trim_end_matches("lib.rs").trim_end_matches("mod.rs").trim_end_matches(".rs");
                let folder =
                    if folder.is_empty() { String::new() } else { format!("{}/", folder.trim_end_matches('/')) };
                tests.extend(modules.iter().map(|module| format!("{folder}{module}")));
                found.push((name, code));
            }
        }
    }
    found.retain(|(name, _)| {
        let is_of = |test: &String| name.strip_prefix(test.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']));
        !tests.iter().any(is_of)
    });
    found
}

/// The lines of a file without comments and without the items under `#[cfg(test)]`, and the names of those modules
/// among the items that have their own file. Relies on `rustfmt`: an item ends at its own indent.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut modules) = (Vec::new(), Vec::new());
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line.trim_start() != "#[cfg(test)]" {
            code.push(line);
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some(item) = lines.find(|line| !line.trim_start().starts_with("#[")) else { break };
        let module = item.trim_start().trim_start_matches("pub ").strip_prefix("mod ");
        modules.extend(module.and_then(|rest| rest.strip_suffix(';')).map(str::to_owned));
        if !item.ends_with([';', ',', '}']) {
            let ends = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}'));
            lines.find(ends).expect("an item ends");
        }
    }
    (code.join("\n"), modules)
}

#[test]
fn code_behind_tests_is_looked_at_and_tests_are_not() {
    let text = "fn one() {}\n\n#[cfg(test)]\nmod testing;\n#[cfg(test)]\nmod tests {\n    fn two() {\n    }\n}\n\nfn three() {}\n";
    assert_eq!(without_tests(text), ("fn one() {}\n\n\nfn three() {}".to_owned(), vec!["testing".to_owned()]));
}

/// Fails if a file outside `rooms` contains one of the words.
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
fn only_the_central_modules_take_turns_in_the_central_file_by_closures_of_their_own() {
    let own = ["central/", "tenancy/central.rs", "instance.rs"];
    for (name, code) in sources() {
        let code: String = code.split_whitespace().collect();
        for turn in ["central.read(", "central.write(", "central.file().read(", "central.file().write("] {
            let is_own = own.iter().any(|room| name.starts_with(room));
            assert!(is_own || !code.contains(turn), "src/{name} has a turn in the central file: name it in central/");
        }
    }
}

#[test]
fn only_the_settings_read_the_environment_and_only_the_edge_the_clock() {
    only_in(&["config.rs"], &["std::env::", "env::var"]);
    only_in(
        &["values/timestamp.rs", "server/service.rs", "server/event_streams.rs", "cli/mod.rs", "jobs/mod.rs"],
        &["Timestamp::now()"],
    );
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

/// The modules. A module may use only those before it.
const LAYERS: [&str; 27] = [
    "values",
    "durable_fs",
    "outgoing",
    "object_store",
    "offsite",
    "openid",
    "storage",
    "auth",
    "tenancy",
    "config",
    "cluster",
    "tls_certificate",
    "certificates",
    "metrics",
    "executors",
    "node_state",
    "instance",
    "api",
    "central",
    "backups",
    "routing",
    "workspace",
    "findings",
    "pages",
    "jobs",
    "server",
    "cli",
];

#[test]
fn no_module_uses_one_above_it() {
    let layer = |module: &str| LAYERS.iter().position(|known| *known == module);
    for (name, code) in sources() {
        if ["lib.rs", "main.rs"].contains(&name.as_str()) {
            continue;
        }
        let module = name.split(['/', '.']).next().unwrap_or_default();
        let own = layer(module).unwrap_or_else(|| panic!("src/{name} is in a module that LAYERS does not know"));
        for used in code.split("crate::").skip(1) {
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            // The instance returns the errors of the API.
            let is_known = (module, used) == ("instance", "api");
            assert!(is_known || layer(used).is_none_or(|used| used <= own), "src/{name} uses {used}");
        }
    }
}

#[test]
fn no_two_files_have_the_same_name() {
    let mut names = std::collections::HashSet::new();
    for (path, _) in sources() {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(
            ["mod.rs", "tests.rs"].contains(&name.as_str()) || names.insert(name),
            "src/{path} has the name of another file"
        );
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
