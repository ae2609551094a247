//! `cx-engine mail`: checks that this server can send mail.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::central::outbox::Mail;
use crate::cli::output::outln;
use crate::engine::Engine;
use crate::jobs::mail::{self, Sent};
use crate::values::{Email, Timestamp};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Send a test mail now and print the mail server's response
    Test {
        /// The address to send the test mail to
        address: String,
    },
}

pub fn run(command: &Command, engine: &Arc<Engine>, now: Timestamp) -> anyhow::Result<()> {
    let Command::Test { address } = command;
    let to: Email = address.parse().map_err(|said| anyhow!("The address {said}"))?;
    let url = engine.public_url().central();
    let mail = Mail {
        to,
        subject: format!("Test mail from {url}"),
        text: format!("This is a test mail from cx-engine at {url}.\nIt was sent by `cx-engine mail test`.\n"),
        html: format!(
            "<p>This is a test mail from cx-engine at {url}.</p><p>It was sent by <code>cx-engine mail test</code>.</p>"
        ),
    };
    let from = engine.config.mail_from.to_string();
    match mail::send_now(engine, mail, now).with_context(|| format!("the test mail from {from} was not sent"))? {
        Sent::Taken { server, answer } => {
            outln!("sent to {address}, from {from}");
            outln!("  {server} responded: {answer}");
        }
        Sent::Kept(file) => {
            outln!("no mail server is configured (`smtp_url`): the mail was written to {}", file.display());
        }
    }
    Ok(())
}
