//! `cx-engine mail`: checks that this server can send mail.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::central::outbox::Mail;
use crate::cli::output::outln;
use crate::instance::Instance;
use crate::jobs::mail_sender::{self, MailSent};
use crate::values::{Email, Timestamp};

#[derive(clap::Subcommand)]
pub enum MailCommand {
    /// Send a test mail now and print the mail server's response
    Test {
        /// The address to send the test mail to
        address: String,
    },
}

pub fn run(command: &MailCommand, instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<()> {
    let MailCommand::Test { address } = command;
    let to: Email = address.parse().map_err(|said| anyhow!("The address {said}"))?;
    let url = instance.public_url().central();
    let mail = Mail {
        to,
        subject: format!("Test mail from {url}"),
        text: format!("This is a test mail from cx-engine at {url}.\nIt was sent by `cx-engine mail test`.\n"),
        html: format!(
            "<p>This is a test mail from cx-engine at {url}.</p><p>It was sent by <code>cx-engine mail test</code>.</p>"
        ),
    };
    let from = instance.config.mail_from.to_string();
    match mail_sender::send_now(instance, mail, now)
        .with_context(|| format!("the test mail from {from} was not sent"))?
    {
        MailSent::Taken { server, answer } => {
            outln!("sent to {address}, from {from}");
            outln!("  {server} responded: {answer}");
        }
        MailSent::Kept(file) => {
            outln!("no mail server is configured (`smtp_url`): the mail was written to {}", file.display());
        }
    }
    Ok(())
}
