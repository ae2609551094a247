//! `cx-engine demo`: an account, a workspace full of data, and four commands to start with.

mod data;
mod routing;
mod team;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use rusqlite::Connection;
use uuid::Uuid;

use super::serve;
use crate::api::{Error, entity_rows};
use crate::auth::{Origin, Verified, secret};
use crate::central::accounts;
use crate::central::quotas::Quotas;
use crate::central::workspace_lifecycle::{self, NewWorkspace};
use crate::config::Config;
use crate::instance::{self, Instance};
use crate::server::{self, ConfigSource, Front};
use crate::tenancy::ChangeRecorder;
use crate::tenancy::demo_account::{EMAIL, PASSWORD};
use crate::values::{Email, Name, Password, Timestamp};

const SUBDOMAIN: &str = "acme";

pub fn run(config: Config, source: ConfigSource, now: Timestamp) -> anyhow::Result<()> {
    let _log = server::start_log(&config);
    let front = Front::open(&config)?;
    let instance = Instance::open_or_create_demo(config, now)?;
    let made = prepare(&instance, now)?;
    let password = password(&instance, now)?;
    let serving = Arc::clone(&instance);
    let lock = instance::lock_data_dir(&instance.config.data_dir)?;
    server::run(instance, front, lock, source, crate::router()?, move |listening| {
        let folder = &serving.config.data_dir;
        greet(&serving.public_url().workspace(SUBDOMAIN), folder, password.as_deref(), made);
        serve::announce(listening)
    })
}

/// Creates what is missing; returns whether anything was created.
fn prepare(instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<bool> {
    let account = instance.central.password_by_email(EMAIL)?;
    let account = match account {
        Some((account, _)) => account,
        None => {
            let name = Name::parse("Ada Demo".into()).map_err(|said| anyhow!(said))?;
            let email: Email = EMAIL.parse().map_err(|said: String| anyhow!(said))?;
            let password = Password::parse(PASSWORD.into()).map_err(|said| anyhow!(said))?;
            accounts::create(instance, name, email, &password, false, &Origin::system(now))?
        }
    };
    let id = account.id;
    let mut workspaces = instance.central.workspaces_of(id)?;
    let workspace = match workspaces.pop() {
        Some(workspace) => workspace,
        None => {
            let new = NewWorkspace {
                name: Name::parse("Acme Télécom".into()).map_err(|said| anyhow!(said))?,
                subdomain: SUBDOMAIN.parse().ok(),
            };
            workspace_lifecycle::create_workspace(
                instance,
                Uuid::now_v7(),
                new,
                id,
                Quotas::default(),
                &Origin::system(now),
            )?
        }
    };
    let recorder = instance.system_recorder(workspace.id, now);
    let made = instance.registry.lease(workspace.id).file().write(move |db| fill(db, &recorder))?;
    if made {
        team::fill(instance, crate::router()?, workspace.id, id, now)?;
    }
    Ok(made)
}

/// The password of the demo's account, if it is known. The published password is only allowed on this machine: if
/// others can reach the server, it is replaced by a random one.
fn password(instance: &Arc<Instance>, now: Timestamp) -> anyhow::Result<Option<String>> {
    let found = instance.central.password_by_email(EMAIL)?;
    let (account, hash) = found.context("the demo has no account")?;
    if instance.passwords.verify(PASSWORD, Some(&hash))? == Verified::No {
        return Ok(None);
    }
    if instance.config.listen.ip().is_loopback() {
        return Ok(Some(PASSWORD.to_owned()));
    }
    let random = secret::random()?;
    let hash = instance.passwords.hash(&random)?;
    instance.central.set_demo_password(account.id, hash, now)?;
    Ok(Some(random))
}

/// Rejects serving a demo with its published password if others can reach it. `demo` replaces that password.
pub fn check_password(instance: &Instance) -> anyhow::Result<()> {
    if !instance.record.is_demo || instance.config.listen.ip().is_loopback() {
        return Ok(());
    }
    let found = instance.central.password_by_email(EMAIL)?;
    let Some((_, hash)) = found else { return Ok(()) };
    ensure!(
        instance.passwords.verify(PASSWORD, Some(&hash))? == Verified::No,
        "{} is a demo with a published password, and others can reach {}: run `cx-engine demo` with this folder and \
         address, which sets a new password",
        instance.config.data_dir.display(),
        instance.config.listen
    );
    Ok(())
}

/// Writes all the data if there has never been a customer; returns whether it did.
fn fill(db: &Connection, recorder: &ChangeRecorder) -> Result<bool, Error> {
    if db.prepare("SELECT 1 FROM sqlite_sequence WHERE name = 'customers'")?.exists([])? {
        return Ok(false);
    }
    let data::Data { customers, contacts, phone_calls } = data::generate(recorder.at);
    for customer in customers {
        entity_rows::add(db, recorder, customer)?;
    }
    for contact in contacts {
        entity_rows::add(db, recorder, contact)?;
    }
    for call in phone_calls {
        entity_rows::add(db, recorder, call)?;
    }
    routing::fill(db, recorder)?;
    Ok(true)
}

fn greet(url: &str, folder: &Path, password: Option<&str>, made: bool) {
    let shown = password.unwrap_or("(the one printed at the first start, or the one that you set)");
    let password = password.unwrap_or("PASSWORD");
    let folder = folder.display();
    let what = if made { "created: 200 customers, 1,000 contacts, 300 phone calls" } else { "existing data" };
    serve::notify_systemd(&format!(
        r#"The demo is ready ({what}).

  Console   {url}/ui       (one click signs you in)
  URL       {url}/api      (documentation: {url}/docs)
  Email     {EMAIL}
  Password  {shown}
  Folder    {folder}      (delete it to start over)

Try, in another terminal:

  TOKEN=$(curl -s {url}/api/login -H 'Content-Type: application/json' -d '{{"email":"{EMAIL}","password":"{password}"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -g -s '{url}/api/customers?filter[city]=lyon&sort=-name&per_page=3' -H "Authorization: Bearer $TOKEN"
  curl -g -s '{url}/api/contacts?filter[term]=marie&per_page=3' -H "Authorization: Bearer $TOKEN"
  curl -g -s '{url}/api/smart-routings/call-queues/lookup?customer_account=CL000001&code=standard' -H "Authorization: Bearer $TOKEN"

"#
    ));
}
