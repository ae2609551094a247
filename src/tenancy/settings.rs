//! Settings of a workspace that every room may need, read out of its file one by one.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use rusqlite::{Connection, OptionalExtension};

/// The text of a setting, where it was ever set.
pub fn setting(db: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM settings WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// The zone by whose clocks the workspace lives: Paris, as for every setting that was never set.
pub fn time_zone(db: &Connection) -> rusqlite::Result<TimeZone> {
    let zones = TimeZoneDatabase::bundled();
    let set = setting(db, "timezone")?.and_then(|name| zones.get(&name).ok());
    Ok(set.or_else(|| zones.get("Europe/Paris").ok()).unwrap_or(TimeZone::UTC))
}
