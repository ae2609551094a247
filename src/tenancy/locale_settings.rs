//! Workspace settings that several modules read.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use phonenumber::country::Id as Country;
use rusqlite::{Connection, OptionalExtension};

use crate::values::{Language, phone};

/// The country, the time zone and the locale of a workspace that has not set its own.
pub const DEFAULT_COUNTRY: &str = "FR";
pub const DEFAULT_ZONE: &str = "Europe/Paris";
pub const DEFAULT_LOCALE: &str = "fr-FR";

/// The text of a setting. `None` if it was never set.
pub fn setting(db: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT value FROM settings WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// The country whose numbers need no prefix. Defaults to France.
pub fn default_country(db: &Connection) -> rusqlite::Result<Country> {
    Ok(phone::default_country(setting(db, "default_country")?.as_deref()))
}

/// The language of the workspace, for visitors who ask for neither English nor French.
pub fn language(db: &Connection) -> rusqlite::Result<Language> {
    let locale = setting(db, "locale")?;
    Ok(Language::of_tag(locale.as_deref().unwrap_or(DEFAULT_LOCALE)).unwrap_or_default())
}

/// The country and time zone of a workspace.
pub struct WorkspaceLocale {
    pub country: Country,
    /// Defaults to Europe/Paris.
    pub zone: TimeZone,
}

impl WorkspaceLocale {
    /// Reads both in one statement, because a look-up does this while a phone rings.
    pub fn of(db: &Connection) -> rusqlite::Result<Self> {
        let (mut country, mut zone) = (phone::default_country(None), None);
        let mut statement =
            db.prepare_cached("SELECT name, value FROM settings WHERE name IN ('default_country', 'timezone')")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let value = row.get_ref(1)?.as_str()?;
            match row.get_ref(0)?.as_str()? {
                "timezone" => zone = TimeZoneDatabase::bundled().get(value).ok(),
                _ => country = phone::default_country(Some(value)),
            }
        }
        let zone = zone.or_else(|| TimeZoneDatabase::bundled().get(DEFAULT_ZONE).ok());
        Ok(Self { country, zone: zone.unwrap_or(TimeZone::UTC) })
    }
}
