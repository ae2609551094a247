//! `cx-engine completions` and `cx-engine man`: completion scripts for shells, and manual pages.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap_complete::Shell;

use super::command;
use crate::cli::output::outln;

/// The completion script of a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "cx-engine", &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        // clap_complete writes the hyphen of our name in two ways, so bash would complete only the first word.
        Shell::Bash => script.replace("cx__subcmd__engine", "cx__engine"),
        Shell::Fish => script.into_owned() + &values_of_arguments(&command(), &[]),
        _ => script.into_owned(),
    }
}

/// Completions for positional arguments in fish, which clap_complete supports only for options.
fn values_of_arguments(command: &clap::Command, path: &[&str]) -> String {
    let mut lines = String::new();
    for argument in command.get_positionals() {
        let values = argument.get_possible_values();
        let names: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
        if let [first, rest @ ..] = path
            && !names.is_empty()
        {
            let below: String = rest.iter().map(|name| format!("; and __fish_seen_subcommand_from {name}")).collect();
            let condition = format!("__fish_cx_engine_using_subcommand {first}{below}");
            lines += &format!("complete -c cx-engine -n \"{condition}\" -f -a \"{}\"\n", names.join(" "));
        }
    }
    let below = command.get_subcommands().map(|sub| values_of_arguments(sub, &[path, &[sub.get_name()]].concat()));
    lines + &below.collect::<String>()
}

/// Writes a manual page for each command into a folder.
pub fn write_pages(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // `help` only repeats other pages.
    let command = command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let pages = fs::read_dir(folder)?.count();
    outln!("{pages} manual pages written to {}", folder.display());
    Ok(())
}
