//! `cx-engine backups --from`: the encrypted backups in a place outside this machine.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::backup::{ListArgs, bytes_bar, counted, table_of};
use super::table::aligned;
use crate::backups::{Fetch, RemoteBackup, RemoteRepository};
use crate::cli::output::{errln, out, outln};
use crate::config::Config;
use crate::offsite::Identities;
use crate::tenancy::InstanceTempDir;

pub fn list(command: &ListArgs, config: &Config) -> anyhow::Result<()> {
    let place = command.remote.place(config)?;
    let identities = command.remote.has_identity().then(|| command.remote.identities()).transpose()?;
    let content = place.list()?;
    let mut problems = content.problems;
    let mut found = content.backups;
    if let Some(name) = &command.name {
        if let Some(problem) = problems.iter().find(|problem| problem.starts_with(&format!("{name}: "))) {
            bail!("{problem}");
        }
        found.retain(|backup| backup.name == *name);
        if found.is_empty() {
            bail!("there is no backup {name} in {}", place.place());
        }
    }
    if command.verify {
        for backup in &found {
            let damages = verify(&place, backup, identities.as_ref())?;
            problems.extend(damages.into_iter().map(|damage| format!("{}: {damage}", backup.name)));
        }
    }
    match (&command.name, found.as_slice(), &identities) {
        (Some(_), [backup], Some(identities)) => show(&place, backup, identities, command.json)?,
        (Some(_), [_], None) if !command.verify => {
            bail!("the contents are encrypted: name the file with the secret key by --identity");
        }
        _ if command.json => {
            let found: Vec<Value> = found.iter().map(summary).collect();
            outln!("{}", serde_json::to_string_pretty(&found)?);
        }
        _ => out!("{}", table(&found)),
    }
    problems.iter().for_each(|problem| errln!("{problem}"));
    if !problems.is_empty() {
        bail!("{} found", counted(problems.len(), "problem"));
    }
    if command.verify && !command.json {
        let how = if identities.is_some() { "decrypted and verified" } else { "compared with their checksums" };
        outln!("{} {how}, no problems found", counted(found.len(), "backup"));
    }
    Ok(())
}

/// Verifies a backup: its files with a key, else the objects. Returns the problems.
fn verify(
    place: &RemoteRepository,
    backup: &RemoteBackup,
    identities: Option<&Identities>,
) -> anyhow::Result<Vec<String>> {
    let temp_dir = InstanceTempDir::temporary()?;
    let bar = bytes_bar(backup.manifest.bytes())?;
    let mut progress = |bytes| bar.set_position(bytes);
    let folder = temp_dir.path();
    let problems = match identities {
        None => place.verify(backup, folder, &mut progress)?,
        Some(identities) => match place.fetch(backup, identities, folder, &|_| Fetch::Everything, &mut progress) {
            Ok(fetched) => fetched.verify(&temp_dir, || {})?,
            Err(error) => vec![format!("{error:#}")],
        },
    };
    bar.finish_and_clear();
    Ok(problems)
}

/// Prints the contents of a backup. Reads no more than its first object.
fn show(place: &RemoteRepository, backup: &RemoteBackup, identities: &Identities, as_json: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let nothing = |_: &_| Fetch::Files(HashSet::new());
    let fetched = place.fetch(backup, identities, Path::new(folder.path()), &nothing, &mut |_| {})?;
    if as_json {
        outln!("{}", serde_json::to_string_pretty(&fetched.manifest)?);
    } else {
        out!("{}", table_of(&fetched));
    }
    Ok(())
}

/// One backup in the JSON list.
fn summary(backup: &RemoteBackup) -> Value {
    let manifest = &backup.manifest;
    json!({
        "name": backup.name, "instance": manifest.instance, "taken_at": manifest.taken_at,
        "everything": manifest.workspace.is_none(), "workspaces": manifest.workspaces,
        "encrypted_bytes": manifest.bytes(), "objects": manifest.parts.len(), "failures": manifest.failures,
        "program": manifest.program, "recipients": manifest.recipients,
    })
}

fn table(all: &[RemoteBackup]) -> String {
    let row = |backup: &RemoteBackup| {
        let manifest = &backup.manifest;
        let lacking = if manifest.failures == 0 { String::new() } else { format!("{} missing", manifest.failures) };
        vec![
            backup.name.clone(),
            manifest.workspace.map_or_else(|| "everything".into(), |id| id.to_string()),
            manifest.workspaces.to_string(),
            HumanBytes(manifest.bytes()).to_string(),
            manifest.program.clone(),
            lacking,
        ]
    };
    let headings = ["NAME", "OF", "WORKSPACES", "SIZE", "VERSION", ""];
    aligned(&headings, &all.iter().map(row).collect::<Vec<_>>())
}
