//! An example for each command, shown at the end of its `--help` and its man page.

use clap::Command;

/// The example command lines, by command.
const EXAMPLES: &[(&str, &str)] = &[
    ("", "cx-engine serve --listen 127.0.0.1:8080"),
    ("account", "cx-engine account list"),
    ("account create", "cx-engine account create --name Ada --email ada@example.com"),
    ("account delete", "cx-engine account delete ada@example.com --confirm ada@example.com"),
    ("account disable", "cx-engine account disable ada@example.com"),
    ("account list", "cx-engine account list --json"),
    ("account rename", "cx-engine account rename ada@example.com --email ada.l@example.com"),
    ("account reset-second-factor", "cx-engine account reset-second-factor ada@example.com"),
    ("account set-password", "cx-engine account set-password ada@example.com"),
    ("account unlock", "cx-engine account unlock ada@example.com"),
    ("backup", "cx-engine backup --backup-dir /mnt/backups --keep-daily 7 --keep-weekly 4"),
    ("backup-key", "cx-engine backup-key"),
    ("backups", "cx-engine backups --backup-dir /mnt/backups --verify"),
    ("cluster", "cx-engine cluster check"),
    ("cluster check", "cx-engine cluster check --json"),
    ("cluster drain", "cx-engine cluster drain paris-1"),
    ("cluster leave", "cx-engine cluster leave"),
    ("cluster move", "cx-engine cluster move 0c paris-2"),
    ("cluster restore", "cx-engine cluster restore --into /srv/cx --at 2027-03-28T10:00:00Z"),
    ("cluster status", "cx-engine cluster status --json"),
    ("completions", "cx-engine completions bash"),
    ("demo", "cx-engine demo --listen 127.0.0.1:8081"),
    ("docs", "cx-engine docs routes"),
    ("doctor", "cx-engine doctor --fix"),
    ("health", "cx-engine health"),
    ("mail", "cx-engine mail test ada@example.com"),
    ("mail test", "cx-engine mail test ada@example.com"),
    ("man", "cx-engine man /usr/local/share/man/man1"),
    ("openapi", "cx-engine openapi workspace"),
    ("restore", "cx-engine restore acme --at 2027-03-28 --backup-dir /mnt/backups"),
    ("routes", "cx-engine routes --json"),
    ("serve", "cx-engine serve --central-domain cx.example.com --trusted-proxies 127.0.0.1"),
    ("status", "cx-engine status"),
    ("token", "cx-engine token list ada@example.com"),
    ("token list", "cx-engine token list ada@example.com --json"),
    ("token revoke", "cx-engine token revoke --account ada@example.com"),
    ("token rotate-keys", "cx-engine token rotate-keys"),
    ("upgrade", "cx-engine upgrade check"),
    ("upgrade check", "cx-engine upgrade check --json"),
    ("upgrade revert", "cx-engine upgrade revert"),
    ("user", "cx-engine user list --workspace acme"),
    ("user add", "cx-engine user add bob@example.com --workspace acme --role manager"),
    ("user list", "cx-engine user list --workspace acme --json"),
    ("user remove", "cx-engine user remove bob@example.com --workspace acme"),
    ("user set-role", "cx-engine user set-role bob@example.com --workspace acme --role admin"),
    ("workspace", "cx-engine workspace list"),
    ("workspace create", "cx-engine workspace create --name Acme --subdomain acme --owner ada@example.com"),
    ("workspace delete", "cx-engine workspace delete acme --confirm acme"),
    ("workspace export", "cx-engine workspace export acme customers --output customers.csv"),
    ("workspace export-file", "cx-engine workspace export-file acme acme.sqlite"),
    ("workspace import", "cx-engine workspace import acme contacts contacts.csv --mode upsert --dry-run"),
    ("workspace import-file", "cx-engine workspace import-file acme.sqlite --owner ada@example.com"),
    ("workspace list", "cx-engine workspace list --json"),
    ("workspace rename", "cx-engine workspace rename acme --name 'Acme Telecom' --subdomain acme-telecom"),
    ("workspace restore", "cx-engine workspace restore acme"),
    ("workspace restore-file", "cx-engine workspace restore-file acme acme.sqlite"),
    ("workspace resume", "cx-engine workspace resume acme"),
    ("workspace allow-passwords", "cx-engine workspace allow-passwords acme"),
    ("workspace suspend", "cx-engine workspace suspend acme"),
];

/// Adds the examples to the command and its subcommands.
pub fn add_to(command: Command) -> Command {
    below(command, "")
}

fn below(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}").trim_start().to_owned();
        command = command.mut_subcommand(name, |sub| below(sub, &path));
    }
    let Some((_, example)) = EXAMPLES.iter().find(|(known, _)| *known == path) else { return command };
    let after = command.get_after_help().map(|help| format!("\n\n{help}")).unwrap_or_default();
    command.after_help(format!("Example:\n  {example}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    /// Each command of the tree, with its path.
    fn all(command: &Command, path: &str) -> Vec<(String, Command)> {
        let subs = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        let below = subs.flat_map(|sub| all(sub, format!("{path} {}", sub.get_name()).trim_start()));
        [(path.to_owned(), command.clone())].into_iter().chain(below).collect()
    }

    #[test]
    fn every_command_has_an_example_that_can_be_typed() {
        for (path, command) in all(&command(), "") {
            let (_, example) = EXAMPLES.iter().find(|(known, _)| *known == path).unwrap_or_else(|| panic!("{path}"));
            assert!(command.get_after_help().unwrap().to_string().contains(example), "{path}");
            let words = example.replace("'Acme Telecom'", "Acme");
            let parsed = crate::cli::command().try_get_matches_from(words.split(' '));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            assert!(words.starts_with(format!("cx-engine {path}").trim_end()) || path.is_empty(), "{example}");
        }
    }

    #[test]
    fn every_command_and_every_argument_is_explained_in_one_sentence_without_a_period() {
        for (path, command) in all(&command(), "") {
            assert!(command.get_about().is_some(), "{path}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.len() > 3, "{path} {}", argument.get_id());
                assert!(path.is_empty() || !help.ends_with('.'), "{path} {}: {help}", argument.get_id());
            }
        }
    }

    #[test]
    fn global_options_and_tuning_are_under_headings_of_their_own() {
        let heading = |path: &str, name: &str| {
            let mut command = command();
            command.build();
            let (_, found) = all(&command, "").into_iter().find(|(known, _)| known == path).unwrap();
            let argument = found.get_arguments().find(|argument| argument.get_id() == name).unwrap();
            argument.get_help_heading().map(str::to_owned)
        };
        for name in ["config", "data_dir"] {
            assert_eq!(heading("workspace import", name).as_deref(), Some("Global options"));
        }
        assert_eq!(heading("serve", "listen").as_deref(), Some("Settings"));
        assert_eq!(heading("serve", "mails_per_hour").as_deref(), Some("Limits and quotas"));
        assert_eq!(heading("demo", "read_turns").as_deref(), Some("Tuning"));
        assert_eq!(heading("workspace import", "dry_run"), None);
    }
}
