//! The settings of `config/setting_table.rs` as flags of a command.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use crate::config::{RawSettings, SETTINGS, Setting, SettingGroup, SettingKind};

/// The raw values of the flags.
#[derive(Clone, Default)]
pub struct SettingArgs(pub RawSettings);

/// All settings except the data directory, which is a global option.
fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.name != "data_dir")
}

pub fn heading(group: SettingGroup) -> &'static str {
    match group {
        SettingGroup::Main => "Settings",
        SettingGroup::Limit => "Limits and quotas",
        SettingGroup::Tuning => "Tuning",
    }
}

fn value_name(setting: &Setting) -> &'static str {
    match (setting.name, setting.kind) {
        ("listen" | "redirect_listen", _) => "ADDRESS",
        (
            "tls_certificate"
            | "tls_key"
            | "acme_root"
            | "acme_dns_hook"
            | "node_root"
            | "store_key_file"
            | "store_secret_file"
            | "backup_key_file"
            | "backup_secret_file"
            | "alert_webhook_secret_file",
            _,
        ) => "FILE",
        ("backup_dir", _) => "FOLDER",
        ("public_url" | "smtp_url" | "store_url" | "backup_to" | "alert_webhook" | "acme_directory", _) => "URL",
        (_, SettingKind::Number) => "NUMBER",
        (_, SettingKind::Seconds) => "SECONDS",
        (_, SettingKind::Flag) => "BOOL",
        (_, SettingKind::List) => "LIST",
        (_, SettingKind::Choice(_) | SettingKind::Text) => "VALUE",
    }
}

/// Accepts any text, but offers choices to shells. Values are validated together with all other settings.
#[derive(Clone)]
struct Choices(&'static [&'static str]);

impl TypedValueParser for Choices {
    type Value = String;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        Ok(value.to_string_lossy().into_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(|setting| {
            let shown = if setting.default.is_empty() { "none" } else { setting.default };
            let (about, allowed, variable) = (setting.about, setting.allowed, setting.variable());
            let arg = Arg::new(setting.name)
                .long(setting.flag())
                .value_name(value_name(setting))
                .help(format!("{about}: {allowed} [default: {shown}] [env: {variable}]"))
                .help_heading(heading(setting.group))
                // `-h` shows only the settings that most servers need.
                .hide_short_help(setting.group != SettingGroup::Main);
            // Offered as completions. Validation happens later, together with all settings.
            match setting.kind {
                SettingKind::Choice(choices) => arg.value_parser(Choices(choices)).hide_possible_values(true),
                SettingKind::Flag => arg.value_parser(Choices(&["true", "false"])).hide_possible_values(true),
                SettingKind::Text if value_name(setting) == "FILE" => arg.value_hint(ValueHint::FilePath),
                SettingKind::Text if setting.name.ends_with("_dir") => arg.value_hint(ValueHint::DirPath),
                _ => arg,
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut typed = RawSettings::default();
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
