//! The settings of `config.rs` as flags of a command.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{SETTINGS, Setting, Typed};

/// What was typed of them.
#[derive(Clone, Default)]
pub struct Settings(pub Typed);

/// All but the data directory, which every command has.
fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.name != "data_dir")
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(|setting| {
            let shown = if setting.default.is_empty() { "none" } else { setting.default };
            Arg::new(setting.name)
                .long(setting.flag())
                .value_name("VALUE")
                .help(format!(
                    "{}: {} [default: {shown}] [env: {}]",
                    setting.about,
                    setting.allowed,
                    setting.variable()
                ))
                .help_heading("Settings")
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut typed = Typed::default();
        for setting in flags() {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                typed.insert(setting, value.clone(), format!("the flag --{}", setting.flag()));
            }
        }
        Ok(Self(typed))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
