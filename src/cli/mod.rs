//! The command line: one file per command. All commands except `serve` and `demo` also work while a server runs.

mod account;
mod backup;
mod backup_key;
mod cluster;
mod demo;
mod docs;
mod doctor;
mod examples;
mod health;
mod import_export;
mod mail;
mod manuals;
mod offsite_args;
mod openapi;
mod output;
mod owner;
mod remote_list;
mod restore_backup;
mod routes;
mod serve;
mod setting_flags;
mod status;
mod table;
mod token;
mod upgrade;
mod user;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::config::{Config, RawSettings, Setting};
use crate::instance::{self, Instance};
use crate::server::ConfigSource;
use crate::values::Timestamp;
use output::{errln, out};
use setting_flags::SettingArgs;

/// Customer-experience platform API in one program: a central host for accounts and workspaces, and a subdomain and a
/// SQLite file for each workspace.
#[derive(Parser)]
#[command(name = "cx-engine", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    /// TOML file of settings [default: cx-engine.toml in this folder, else /etc/cx-engine/cx-engine.toml]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = GLOBAL)]
    config: Option<PathBuf>,

    /// Data directory [default: data] [env: CX_DATA_DIR]
    #[arg(long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath, help_heading = GLOBAL)]
    data_dir: Option<String>,

    #[command(subcommand)]
    command: Command,
}

/// The heading of the options that all commands share.
const GLOBAL: &str = "Global options";

/// The default settings files: the first that exists is read.
const SETTINGS_FILES: [&str; 2] = ["cx-engine.toml", "/etc/cx-engine/cx-engine.toml"];

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage or settings, 3 doctor, status or upgrade check found problems.";

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or SIGINT
    Serve {
        /// Print the settings in force as a cx-engine.toml, with the origin of each, and exit
        #[arg(long)]
        print_config: bool,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// Serve a demo: an account and a workspace full of sample data, in a separate data directory
    Demo {
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// Manage accounts: people, who can be members of many workspaces
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Manage workspaces: each has its own subdomain and database file
    #[command(subcommand)]
    Workspace(workspace::WorkspaceCommand),
    /// Manage users: the accounts that are members of a workspace
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage tokens and the keys that encrypt them
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Check that mail can be sent
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// List every route of the API with the permission that it requires
    Routes {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a page of the documentation that follows from the code
    #[command(hide = true)]
    Docs {
        /// The page
        page: docs::GeneratedPage,
    },
    /// Print the OpenAPI 3.1 description of the API
    Openapi {
        /// Which API to describe
        layer: openapi::DescriptionLayer,
    },
    /// Back up everything or one workspace; also works while a server runs
    Backup(backup::TakeArgs),
    /// Create a pair of keys for off-site backups, and print the secret one; keep it away from the server
    BackupKey,
    /// List backups or the contents of one
    Backups(backup::ListArgs),
    /// Restore one workspace, even while a server runs, or everything into a new folder
    Restore(restore_backup::RestoreArgs),
    /// Inspect the object store that keeps the data, restore from it, or leave it
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Check for damage, interrupted operations and undeliverable mail
    Doctor {
        /// Complete interrupted operations and retry failed mail; damage is only reported
        #[arg(long)]
        fix: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show how the instance and its server are: version, requests, backup, certificate, mail, findings, object store
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the versions of the files before an upgrade of the program, or go back after one
    #[command(subcommand)]
    Upgrade(upgrade::UpgradeCommand),
    /// Ask the server whether it is ready; exit code 0 if it is
    Health,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command
    Man {
        /// The folder to write to; it is created if it does not exist
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// The exit code for an invalid command line or invalid settings.
const WRONG_USE: u8 = 2;

/// Invalid settings, from any source.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadSettings(String);

impl BadSettings {
    fn from(error: anyhow::Error) -> anyhow::Error {
        Self(format!("{error:#}")).into()
    }
}

/// Runs the command line and reports errors.
pub fn main() -> ExitCode {
    // Files that a command creates are accessible to their user only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let done = match parsed {
        Ok(cli) => run(&cli).unwrap_or_else(|error| {
            errln!("cx-engine: {error:#}");
            if error.is::<BadSettings>() { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
        }),
        // Usage errors go to stderr; `--help` and `--version` go to stdout.
        Err(error) if error.use_stderr() => {
            let _ = error.print();
            ExitCode::from(WRONG_USE)
        }
        Err(error) => {
            output::print_help(&error);
            ExitCode::SUCCESS
        }
    };
    output::finish(done)
}

/// All commands, each with an example.
fn command() -> clap::Command {
    examples::add_to(Cli::command())
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let open = |config: Config| -> anyhow::Result<Arc<Instance>> {
        instance::require_instance(&config.data_dir)?;
        Instance::open(config.clone(), now)
            .with_context(|| format!("cannot use the data directory {}", config.data_dir.display()))
    };
    let to_read = || -> anyhow::Result<Arc<Instance>> {
        let config = cli.config(&SettingArgs::default())?;
        let data = config.data_dir.clone();
        Instance::open_to_read(config, now).with_context(|| format!("cannot use the data directory {}", data.display()))
    };
    let create = |config: Config| -> anyhow::Result<Arc<Instance>> {
        Instance::open_or_create(config.clone(), now)
            .with_context(|| format!("cannot use the data directory {}", config.data_dir.display()))
    };
    let instance = || open(cli.config(&SettingArgs::default())?);
    match &cli.command {
        Command::Serve { print_config, settings } if *print_config => {
            let typed = cli.typed(settings)?;
            Config::new(&typed).map_err(BadSettings::from)?;
            out!("{}", crate::config::print(&typed));
        }
        Command::Serve { settings, .. } => serve::run(cli.config(settings)?, cli.source(settings)?, now)?,
        Command::Demo { settings } => demo::run(cli.demo_config(settings)?, cli.source(settings)?, now)?,
        Command::Account(account::AccountCommand::Create { name, email, operator }) => {
            let config = cli.config(&SettingArgs::default())?;
            let new = account::NewAccount::ask(name, email, *operator)?;
            beside_server(&create(config)?, |instance| new.create(instance, now))?;
        }
        Command::Account(command) => beside_server(&instance()?, |instance| account::run(command, instance, now))?,
        Command::Workspace(command) => beside_server(&instance()?, |instance| workspace::run(command, instance, now))?,
        Command::User(command) => beside_server(&instance()?, |instance| user::run(command, instance, now))?,
        Command::Token(command @ token::TokenCommand::RotateKeys { lost: true, .. }) => {
            let config = cli.config(&SettingArgs::default())?;
            instance::require_instance(&config.data_dir)?;
            token::replace_lost(&config.data_dir.join("keys"), now)?;
            beside_server(&open(config)?, |instance| token::run(command, instance, now))?;
        }
        Command::Token(command) => beside_server(&instance()?, |instance| token::run(command, instance, now))?,
        Command::Mail(command) => beside_server(&instance()?, |instance| mail::run(command, instance, now))?,
        Command::Routes { json } => routes::run(*json)?,
        Command::Docs { page } => docs::run(*page)?,
        Command::Openapi { layer } => openapi::run(*layer, &cli.settings(&SettingArgs::default())?)?,
        Command::Backup(command) => backup::take(command, &cli.config(&command.settings())?, now)?,
        Command::BackupKey => backup_key::run(now),
        // They need no data directory.
        Command::Backups(command) if command.all || command.remote.is_set() => {
            backup::list(command, &cli.settings(&command.settings())?, now)?
        }
        Command::Backups(command) => backup::list(command, &cli.config(&command.settings())?, now)?,
        Command::Restore(command) => match command.target() {
            (Some(into), _) => {
                owner::check(into)?;
                restore_backup::restore_all(command, into, &cli.settings(&command.settings())?, now)?;
            }
            (None, which) => {
                let instance = open(cli.config(&command.settings())?)?;
                beside_server(&instance, |instance| restore_backup::restore_one(command, which, instance, now))?;
            }
        },
        Command::Doctor { fix, json } => {
            return beside_server(&instance()?, |instance| doctor::run(instance, *fix, *json, now));
        }
        Command::Status { json } => return status::run(&to_read()?, *json, now),
        Command::Cluster(command) => return cluster::run(command, &cli.settings(&SettingArgs::default())?, now),
        Command::Upgrade(command) => return upgrade::run(command, &cli.config(&SettingArgs::default())?, now),
        Command::Health => health::run(&cli.settings(&SettingArgs::default())?)?,
        Command::Completions { shell } => out!("{}", manuals::completions(*shell)),
        Command::Man { folder } => manuals::write_pages(folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command, and announces its pending webhook deliveries to a server that runs on the same data.
fn beside_server<T>(
    instance: &Arc<Instance>,
    work: impl FnOnce(&Arc<Instance>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let done = work(instance);
    for workspace in instance.node.pending.take() {
        instance.central.announce_deliveries(workspace)?;
    }
    done
}

impl Cli {
    /// The settings of a command that uses the data directory. Checks the directory's owner.
    fn config(&self, flags: &SettingArgs) -> anyhow::Result<Config> {
        let config = self.settings(flags)?;
        owner::check(&config.data_dir)?;
        Ok(config)
    }

    /// The settings of the demo. Its data directory is `demo` in the default one, or the one given by `--data-dir`.
    fn demo_config(&self, flags: &SettingArgs) -> anyhow::Result<Config> {
        let mut config = self.settings(flags)?;
        if self.data_dir.is_none() {
            config.data_dir.push("demo");
        }
        owner::check(&config.data_dir)?;
        Ok(config)
    }

    fn settings(&self, flags: &SettingArgs) -> anyhow::Result<Config> {
        Config::new(&self.typed(flags)?).map_err(BadSettings::from)
    }

    /// All raw settings: flags override the environment, which overrides the file.
    fn typed(&self, flags: &SettingArgs) -> anyhow::Result<RawSettings> {
        self.origins(flags).read().map_err(BadSettings::from)
    }

    /// The source from which a server reloads its settings.
    fn source(&self, flags: &SettingArgs) -> anyhow::Result<ConfigSource> {
        let (typed, origins) = (self.typed(flags)?, self.origins(flags));
        Ok(ConfigSource { typed, read: Box::new(move || origins.read()) })
    }

    fn origins(&self, flags: &SettingArgs) -> Origins {
        Origins { file: self.config.clone(), data_dir: self.data_dir.clone(), flags: flags.clone() }
    }
}

/// Where settings are read from.
struct Origins {
    /// The file given by `--config`.
    file: Option<PathBuf>,
    data_dir: Option<String>,
    flags: SettingArgs,
}

impl Origins {
    fn read(&self) -> anyhow::Result<RawSettings> {
        let mut typed = RawSettings::default();
        match &self.file {
            Some(path) => typed.add_file(path)?,
            None => {
                if let Some(path) = SETTINGS_FILES.iter().map(Path::new).find(|path| path.exists()) {
                    typed.add_file(path)?;
                }
            }
        }
        typed.add_environment()?;
        typed.override_with(self.flags.0.clone());
        if let (Some(folder), Some(setting)) = (&self.data_dir, Setting::named("data_dir")) {
            typed.insert(setting, folder.clone(), "the flag --data-dir".into());
        }
        Ok(typed)
    }
}

/// Asks for a new password: twice at a terminal, without echo; otherwise reads the first line of stdin.
fn ask_new_password() -> anyhow::Result<String> {
    use std::io::IsTerminal;
    if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("New password: ")?;
        let again = rpassword::prompt_password("Repeat the password: ")?;
        anyhow::ensure!(password == again, "the two passwords differ; nothing was changed");
        return Ok(password);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the password from stdin")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
