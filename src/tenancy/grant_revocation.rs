//! OAuth grants as the central API needs them: a password change ends the grants of the account. The rest is in
//! `workspace/oauth/grants.rs`.

use rusqlite::Connection;
use serde::Serialize;

use super::ChangeRecorder;
use super::journal::Recorded;
use crate::auth::Scopes;

pub const RECORDED: &Recorded = &Recorded::new("oauth-grant", Some("oauth-client.update"));

/// An ended grant, as the audit log shows it.
#[derive(Debug, Serialize)]
struct EndedGrant {
    id: i64,
    client_id: i64,
    user_id: i64,
    scopes: Scopes,
    access_scopes: Scopes,
}

/// Ends every grant that the user of an account has approved. The codes and tokens of these grants become invalid.
pub fn end_all_of(db: &Connection, recorder: &ChangeRecorder, account_id: i64) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "UPDATE oauth_grants SET revoked_at = ?2
         WHERE user_id = (SELECT id FROM users WHERE account_id = ?1) AND revoked_at IS NULL
         RETURNING id, client_id, user_id, scopes, access_scopes",
    )?;
    let ended = statement.query_map((account_id, recorder.at), |row| {
        Ok(EndedGrant {
            id: row.get(0)?,
            client_id: row.get(1)?,
            user_id: row.get(2)?,
            scopes: row.get(3)?,
            access_scopes: row.get(4)?,
        })
    })?;
    let ended = ended.collect::<rusqlite::Result<Vec<_>>>()?;
    ended.iter().try_for_each(|grant| recorder.deleted(db, RECORDED, grant))
}
