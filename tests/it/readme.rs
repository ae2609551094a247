//! The first run, by the commands of the README and of the chapters in `docs/`, and by the lines that they print.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{Server, document, program, run};
use crate::test_server::{sqlite, text};

/// The documents with shell blocks that use the API, in reading order.
const CHAPTERS: [&str; 4] = ["README.md", "docs/users.md", "docs/pbx.md", "docs/call-routing.md"];

/// Line of the README by which the first commands must end.
const PATIENCE_OF_A_NEWCOMER: usize = 20;

#[test]
fn the_demo_runs_as_the_readme_says_and_its_own_lines_work() {
    let folder = tempfile::tempdir().unwrap();
    let commands = first_commands();
    assert!(commands.contains(&"cargo test".to_owned()), "{commands:?}");

    let mut first = start_demo(&commands, folder.path());
    assert!(first.greeting.contains("created: 200 customers, 1,000 contacts, 300 phone calls"), "{}", first.greeting);
    let (email, password) = (printed(&first, "Email"), printed(&first, "Password"));
    assert!(email.contains('@') && password.len() >= 8, "{}", first.greeting);
    let url = printed(&first, "URL");
    assert!(url.starts_with("http://acme.localhost:") && url.ends_with("/api"), "{url}");
    let made = try_its_lines(&first);
    assert!(first.stop().success());

    let second = start_demo(&commands, folder.path());
    assert!(second.greeting.contains("existing data"), "{}", second.greeting);
    assert_eq!((printed(&second, "Email"), printed(&second, "Password")), (email, password));
    assert_eq!(rows(&try_its_lines(&second)), rows(&made));
}

/// If others can reach the demo, its password is random, even if the demo was created before.
#[test]
fn a_demo_that_others_can_reach_has_a_password_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |listen: &str| {
        let mut command = program(folder.path());
        command.args(["demo", "--listen", listen]);
        Server::start(command, folder.path())
    };
    let mut published = serve("127.0.0.1:0");
    let known = printed(&published, "Password");
    published.stop();
    let mut reachable = serve("0.0.0.0:0");
    let random = printed(&reachable, "Password");
    assert!(random != known && random.len() >= 20, "{}", reachable.greeting);
    try_its_lines(&reachable);
    reachable.stop();
    let again = serve("0.0.0.0:0");
    assert!(!again.greeting.contains(&random) && !again.greeting.contains(&known), "{}", again.greeting);
}

/// A first run that was killed can leave an account without a workspace.
#[test]
fn a_demo_that_was_half_made_is_finished_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    start_demo(&first_commands(), folder.path()).stop();
    let central = sqlite(&folder.path().join("data/demo/central.sqlite"));
    central.execute_batch("PRAGMA foreign_keys = ON; DELETE FROM workspaces").unwrap();
    fs::remove_dir_all(folder.path().join("data/demo/workspaces")).unwrap();
    let demo = start_demo(&first_commands(), folder.path());
    assert!(demo.greeting.contains("created: 200 customers"), "{}", demo.greeting);
}

/// Runs the blocks that use the API, in reading order.
#[test]
fn the_chapters_work_as_they_stand_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    // The first chapter: the demo. It stops before the second chapter.
    let mut demo = start_demo(&first_commands(), folder.path());
    assert!(try_its_lines(&demo).len() >= 2);
    assert!(demo.stop().success());

    let chapters = CHAPTERS.map(document);
    let blocks: Vec<&str> = chapters.iter().flat_map(|chapter| shell_blocks(chapter)).collect();
    let serves = blocks[1].lines().find_map(|line| line.strip_prefix("cx-engine serve")).unwrap();
    let mut command = program(folder.path());
    command.arg("serve").args(serves.split('#').next().unwrap_or_default().split_whitespace());
    command.args(["--listen", "127.0.0.1:0"]);
    let server = Server::start(command, folder.path());
    let typed: Vec<&str> =
        blocks.into_iter().filter(|block| block.lines().any(|line| line.starts_with("api "))).collect();
    assert!(typed.len() >= 2, "{typed:?}");
    let script = typed.concat().replace("localhost:8080", &format!("localhost:{}", server.address.port()));
    let said = run(Command::new("sh").args(["-c", &script]), "").ok();
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&said).into_iter().map(Result::unwrap).collect();
    assert!(answers.len() >= 6, "{said}");
    for answer in &answers {
        assert!(answer.get("error").is_none() && answer.get("hint").is_none(), "{answer}");
    }
    // Keys of a customer see its one contact, and then a new caller. Then a call is routed on a Monday that is a
    // holiday, and Monday's hours are copied to four days.
    let [.., seen, made, found, call, _queue, _span, holidays, goes, copied] = answers.as_slice() else {
        unreachable!("there are six at least")
    };
    assert_eq!(holidays["created"], 11);
    assert_eq!((&goes["reason"], &goes["destination"]), (&Value::from("exception"), &Value::from("898")));
    assert_eq!(copied["created"], 4);
    assert_eq!(seen["data"][0]["last_name"], "Martin");
    assert_eq!(found["contacts"][0]["id"], made["contact"]["id"]);
    assert_eq!(call["phone_call"]["contact_id"].to_string(), text(&made["contact"]["id"]));
}

/// The shell blocks of a document.
fn shell_blocks(document: &str) -> Vec<&str> {
    document.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect()
}

/// The commands in the README's first shell block.
fn first_commands() -> Vec<String> {
    let readme = document("README.md");
    let mut lines = readme.lines();
    let before = lines.by_ref().take_while(|line| *line != "```sh").count();
    let commands: Vec<&str> = lines.take_while(|line| *line != "```").collect();
    let last = before + 1 + commands.len();
    assert!(!commands.is_empty() && last <= PATIENCE_OF_A_NEWCOMER, "the block ends at line {last}");
    let without_comments = commands.iter().map(|line| line.split('#').next().unwrap_or_default().trim());
    without_comments.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Runs the first command with the program that is built already, on a free port.
fn start_demo(commands: &[String], folder: &Path) -> Server {
    let arguments = commands[0].strip_prefix("cargo run --release -- ").unwrap_or_else(|| panic!("{commands:?}"));
    let mut command = program(folder);
    command.args(arguments.split_whitespace()).args(["--listen", "127.0.0.1:0"]);
    Server::start(command, folder)
}

/// The word after a label in the greeting.
fn printed(demo: &Server, what: &str) -> String {
    let line = demo.greeting.lines().find_map(|line| line.trim().strip_prefix(what));
    let value = line.and_then(|rest| rest.split_whitespace().next());
    value.unwrap_or_else(|| panic!("no {what} in {}", demo.greeting)).to_owned()
}

/// Runs the printed example lines unchanged. Returns the responses of the API.
fn try_its_lines(demo: &Server) -> Vec<Value> {
    let lines: Vec<&str> = demo.greeting.lines().filter(|line| line.contains("curl ")).map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{}", demo.greeting);
    assert!(lines[0].starts_with("TOKEN="), "{}", lines[0]);
    let said = run(&mut Command::new("sh"), &lines.join("\n")).ok();
    let mut answers: Vec<Value> = serde_json::Deserializer::from_str(&said).into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 3, "{said}");
    // The destination depends on the time of day.
    let goes = answers.pop().unwrap();
    assert_eq!(goes["queue"]["name"], "Standard");
    assert!(goes["destination"].is_string(), "{said}");
    for answer in &answers {
        assert_eq!(answer["data"].as_array().map(Vec::len), Some(3), "{said}");
    }
    let cities = answers[0]["data"].as_array().unwrap().iter().map(|customer| text(&customer["main_address_city"]));
    assert!(cities.into_iter().all(|city| city == "Lyon"), "{said}");
    answers
}

fn rows(answers: &[Value]) -> Vec<&Value> {
    answers.iter().map(|answer| &answer["data"]).collect()
}
