//! Completions as a person gets them: each shell on a pseudo-terminal, with tabs typed. And the manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::process::{Process, not_run, program, run};
use crate::test_server::eventually;

/// A shell on a terminal, started by util-linux' `script`.
struct Terminal {
    stdin: ChildStdin,
    printed: Arc<Mutex<String>>,
    _script: Process,
}

impl Terminal {
    /// Starts a shell in a folder with a `bin/cx-engine` that prints its arguments. Returns `None` without that shell.
    fn start(folder: &Path, shell: &str, arguments: &str) -> Option<Self> {
        if Command::new(shell).arg("--version").output().is_err() {
            not_run(&format!("there is no {shell} here: its completions are NOT tested"));
            return None;
        }
        let bin = folder.join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("cx-engine"), "#!/bin/sh\nprintf '<%s' \"$@\"; echo '>'\n").unwrap();
        fs::set_permissions(bin.join("cx-engine"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut script = Command::new("script");
        script.args(["--quiet", "--command", &format!("{shell} {arguments}"), "/dev/null"]);
        script.current_dir(folder).env_clear().env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        script.envs([("TERM", "xterm"), ("HOME", folder.to_str().unwrap()), ("LC_ALL", "C.UTF-8")]);
        script.env("XDG_CONFIG_HOME", folder.join("config"));
        let mut script = Process(script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let (stdin, mut stdout) = (script.0.stdin.take().unwrap(), script.0.stdout.take().unwrap());
        let printed = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&printed);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                *heard.lock() += &String::from_utf8_lossy(&piece[..length]);
            }
        });
        Some(Self { stdin, printed, _script: script })
    }

    fn type_in(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
    }

    /// Types a line and waits for the expected output.
    #[track_caller]
    fn gives(&mut self, keys: &str, expected: &str) {
        for part in keys.split_inclusive('\t') {
            self.type_in(part);
            // Types at human speed, because fish drops input while it completes.
            thread::sleep(Duration::from_millis(150));
        }
        self.type_in("\n");
        eventually(&format!("{keys:?} gives {expected}: {:?}", self.printed.lock()), || {
            self.printed.lock().contains(expected)
        });
    }
}

fn script(folder: &Path, shell: &str) -> String {
    run(program(folder).args(["completions", shell]), "").ok()
}

/// Completes words, option names and values; `equals` is the separator that the shell puts before a value.
fn completes(terminal: &mut Terminal, equals: &str) {
    let name = if equals == "=" { "<--name=Ada>" } else { "<--name<Ada>" };
    terminal.gives("cx-engine acc\tcr\t--na\tAda", &format!("<account<create{name}"));
    terminal.gives("cx-engine workspace restore-f\tacme x", "<workspace<restore-file<acme<x>");
    terminal.gives("cx-engine workspace import acme phone\t", "<workspace<import<acme<phone-calls");
    terminal.gives("cx-engine serve --registration cl\t", "<serve<--registration<closed");
    terminal.gives("cx-engine user set\t--rol\tadmin", &format!("<user<set-role<--role{equals}admin>"));
    terminal.gives("cx-engine workspace export a customers --format cs\t", "<customers<--format<csv");
    terminal.gives("cx-engine serve --tls-key secret.p\t", "<--tls-key<secret.pem");
    terminal.gives("cx-engine openapi cen\t", "<openapi<central");
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret.pem"), "").unwrap();
    folder
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = folder();
    let Some(mut terminal) = Terminal::start(folder.path(), "bash", "--norc --noprofile -i") else { return };
    fs::write(folder.path().join("completions"), script(folder.path(), "bash")).unwrap();
    terminal.gives("source ./completions; echo ready\"\"y", "readyy");
    completes(&mut terminal, "<");
}

#[test]
fn zsh_completes_commands_options_and_values() {
    let folder = folder();
    let Some(mut terminal) = Terminal::start(folder.path(), "zsh", "-f -i") else { return };
    fs::write(folder.path().join("_cx-engine"), script(folder.path(), "zsh")).unwrap();
    let begin = "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; echo ready\"\"y";
    terminal.gives(begin, "readyy");
    completes(&mut terminal, "=");
}

#[test]
fn fish_completes_commands_options_and_values() {
    let folder = folder();
    let completions = folder.path().join("config/fish/completions");
    fs::create_dir_all(&completions).unwrap();
    fs::write(completions.join("cx-engine.fish"), script(folder.path(), "fish")).unwrap();
    let Some(mut terminal) = Terminal::start(folder.path(), "fish", "-i") else { return };
    terminal.gives("echo ready\"\"y", "readyy");
    completes(&mut terminal, "<");
}

#[test]
fn every_command_has_a_manual_page_that_man_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(program(folder.path()).args(["man", "man1"]), "").ok();
    let pages: BTreeSet<String> = fs::read_dir(folder.path().join("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(said.starts_with(&format!("{} manual pages", pages.len())), "{said}");
    let commands = crate::instances::commands(folder.path(), &[]);
    for command in &commands {
        let page = format!("cx-engine-{}.1", command.replace(' ', "-"));
        assert!(pages.contains(&page), "no {page} in {pages:?}");
    }
    assert!(pages.contains("cx-engine.1") && pages.len() > commands.len());
    let serve = fs::read_to_string(folder.path().join("man1/cx-engine-serve.1")).unwrap();
    assert!(serve.contains("CX_LISTEN") && serve.contains("Example:"), "{serve}");
    if Command::new("mandoc").arg("-V").output().is_err() {
        not_run("there is no mandoc here: manual pages are NOT checked");
        return;
    }
    let mut mandoc = Command::new("mandoc");
    mandoc.args(["-T", "lint", "-W", "error"]).args(pages.iter().map(|page| folder.path().join("man1").join(page)));
    let checked = run(&mut mandoc, "");
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
}
