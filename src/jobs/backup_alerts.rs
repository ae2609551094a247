//! Alerts operators if backups fail or do not come. The mails are rows of the outbox; the message to the webhook of the
//! settings is posted here (Standard Webhooks 1.0).

use std::fs;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, ensure};
use ureq::{Agent, http};

use super::webhook_sender;
use crate::api::Result;
use crate::auth::SigningSecret;
use crate::central::backup_status::{BackupWatch, DueMessage};
use crate::config::{AlertWebhook, Config};
use crate::instance::Instance;
use crate::values::{Timestamp, web_url};

pub struct BackupAlerts {
    instance: Arc<Instance>,
    /// Created with the first message, since that reads the system's certificates.
    agent: OnceLock<Agent>,
}

/// Checks the settings of the webhook. Reaches nothing.
pub fn check(config: &Config) -> anyhow::Result<()> {
    config.alert_webhook.as_ref().map_or(Ok(()), |webhook| secret(webhook).map(drop))
}

/// Reads the secret that signs messages.
fn secret(webhook: &AlertWebhook) -> anyhow::Result<SigningSecret> {
    let path = &webhook.secret_file;
    let text = fs::read_to_string(path)
        .with_context(|| format!("alert_webhook_secret_file: cannot read {}", path.display()))?;
    let secret = text.trim().parse().map_err(anyhow::Error::msg);
    secret.with_context(|| format!("alert_webhook_secret_file: the content of {}", path.display()))
}

impl BackupAlerts {
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, agent: OnceLock::new() }
    }

    /// One round: alerts if there is news, and posts the message that is due.
    pub fn round(&self, now: Timestamp) -> Result<()> {
        let (config, central) = (&self.instance.config, &self.instance.central);
        if !self.instance.is_central_node() {
            return Ok(());
        }
        let webhook = config.alert_webhook.as_ref();
        let watch = BackupWatch {
            expect: config.backup_expect,
            server: self.instance.public_url().central(),
            has_webhook: webhook.is_some(),
        };
        central.watch_backups(watch, now)?;
        let Some(webhook) = webhook else { return Ok(()) };
        let Some(message) = central.due_backup_message(now)? else { return Ok(()) };
        let posted = self.post(webhook, &message, now);
        self.instance.metrics.posted(if posted.is_ok() { "delivered" } else { "failed" });
        let Err(error) = posted else { return central.note_backup_message_delivered(&message) };
        let is_retried = central.note_backup_message_failed(&message, now)?;
        let error = format!("{error:#}");
        tracing::warn!(error, is_retried, "the alert_webhook did not take the message about backups");
        Ok(())
    }

    fn post(&self, webhook: &AlertWebhook, message: &DueMessage, now: Timestamp) -> anyhow::Result<()> {
        let seconds = now.seconds();
        let signature = secret(webhook)?.sign(&message.id, seconds, &message.body)?;
        // The operator chose the address, so it may be in the server's own network.
        let agent = self.agent.get_or_init(|| webhook_sender::agent(true));
        let answer = agent
            .post(web_url::request_form(&webhook.url).context("a request cannot be sent to this address")?)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .send(&message.body)?;
        ensure!(answer.status().is_success(), "the receiver responded {}", answer.status().as_u16());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::central::backup_status::BackupOutcome;
    use crate::tests::TestServer;

    fn subjects(server: &TestServer) -> Vec<String> {
        server.mails().into_iter().map(|mail| mail.subject).collect()
    }

    fn complete(taken_at: Timestamp) -> BackupOutcome {
        BackupOutcome::Complete { name: "20270329T020007Z".into(), taken_at, place: None }
    }

    #[test]
    fn operators_learn_once_that_no_backup_came_and_once_that_one_came_again() {
        let server = TestServer::with(&[("backup_expect", "1d")]);
        let (alerts, central) = (BackupAlerts::new(Arc::clone(&server.instance)), &server.instance.central);
        let begin = Timestamp::now();
        let after = |seconds: i64| {
            alerts.round(begin.plus(seconds)).unwrap();
            subjects(&server)
        };
        let day = 86_400;
        assert_eq!((after(0), after(day)), (vec![], vec![]), "a new server has a day for its first backup");
        assert_eq!(after(day + 1), ["No backup came"]);
        let text = &server.mails()[0].text;
        assert!(text.contains("no complete backup came within 1 day: there was none so far"), "{text}");
        // It fails as well: the operators know that there is none.
        let failed = BackupOutcome::Failed { problem: "the disk is full".into() };
        central.record_backup(failed.clone(), begin.plus(day + 2)).unwrap();
        assert_eq!(after(3 * day).len(), 1);
        central.record_backup(complete(begin.plus(3 * day)), begin.plus(3 * day + 5)).unwrap();
        assert_eq!(after(3 * day + 6), ["No backup came", "Backups work again"]);
        assert_eq!(after(4 * day).len(), 2);
        assert_eq!(after(4 * day + 1).last().unwrap(), "No backup came");
        central.record_backup(complete(begin.plus(5 * day)), begin.plus(5 * day)).unwrap();
        assert_eq!(after(5 * day).len(), 4);
        // Failures are told at once, and only the first of them.
        central.record_backup(failed.clone(), begin.plus(5 * day + 1)).unwrap();
        assert_eq!(after(5 * day + 1).last().unwrap(), "The backup failed");
        central.record_backup(failed, begin.plus(5 * day + 60)).unwrap();
        assert_eq!(after(9 * day).len(), 5);
        let status = central.backup_status().unwrap();
        assert_eq!(status.failing_since, Some(begin.plus(5 * day + 1)));
    }

    #[test]
    fn without_a_period_only_failures_are_told() {
        let server = TestServer::new();
        let (alerts, central) = (BackupAlerts::new(Arc::clone(&server.instance)), &server.instance.central);
        let begin = Timestamp::now();
        for day in [0, 1, 400] {
            alerts.round(begin.plus(day * 86_400)).unwrap();
        }
        assert_eq!(subjects(&server), [""; 0]);
        central.record_backup(BackupOutcome::Failed { problem: "no room".into() }, begin).unwrap();
        alerts.round(begin).unwrap();
        assert_eq!(subjects(&server), ["The backup failed"]);
    }

    #[test]
    fn a_message_that_is_not_taken_is_posted_again_four_times() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        // Nobody listens any more.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let server =
            TestServer::with(&[("alert_webhook", &url), ("alert_webhook_secret_file", secret.to_str().unwrap())]);
        let (alerts, central) = (BackupAlerts::new(Arc::clone(&server.instance)), &server.instance.central);
        let mut now = Timestamp::now();
        central.record_backup(BackupOutcome::Failed { problem: "no room".into() }, now).unwrap();
        alerts.round(now).unwrap();
        let mut ids = Vec::new();
        for wait in [10, 60, 900, 7200] {
            assert!(central.due_backup_message(now.plus(wait - 1)).unwrap().is_none());
            now = now.plus(wait);
            ids.push(central.due_backup_message(now).unwrap().unwrap().id);
            alerts.round(now).unwrap();
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert!(central.due_backup_message(now.plus(86_400)).unwrap().is_none());
    }
}
