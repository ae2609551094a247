//! Settings of the whole workspace.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use phonenumber::country::Id;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::indexes;
use crate::api::resource::{PermissionGroup, Resource, Section, action};
use crate::api::{Changes, Created, Ctx, Error, Needs, Ok200, Result, Route, Steps, get, put, run, steps};
use crate::tenancy::indexing::Pass;
use crate::tenancy::journal::Recorded;
use crate::values::{Country, Days, Locale, TimeZone, UrlTemplate, phone};

pub const RESOURCE: Resource = Resource::new("Settings", "Settings of the whole workspace.", ROUTES)
    .french("Paramètres")
    .section(Section::Workspace)
    .permissions(&PERMISSIONS)
    .recorded(&[RECORDED]);

const PERMISSIONS: PermissionGroup = PermissionGroup {
    resource: "workspace",
    actions: &[action(
        "manage",
        "change the workspace's settings",
        "modifier les paramètres de l’espace de travail",
        &[],
    )],
};

const ROUTES: &[Route] = &[
    get("/settings", &run(show), Needs::Permission("workspace.manage"), "Show the workspace's settings")
        .named("getSettings"),
    put("/settings", &steps(update), Needs::Permission("workspace.manage"), "Change the workspace's settings")
        .named("updateSettings"),
];

const RECORDED: &Recorded = &Recorded::new("settings", Some("workspace.manage"));

/// Stored value of an unlimited retention.
const FOR_EVER: &str = "forever";

/// The settings of the workspace.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Settings {
    /// Country (ISO 3166-1) of phone numbers without a prefix.
    default_country: Country,
    /// IANA time zone of the workspace, for example `Europe/Paris`.
    timezone: TimeZone,
    /// Language of the workspace, optionally with a country: `fr`, `fr-FR`.
    locale: Locale,
    /// URL that the CRM look-up returns for a contact, with the placeholders `{id}`, `{phone}`, `{email}` and
    /// `{display_name}`. Null: the contact's page on this server.
    contact_url_template: Option<UrlTemplate>,
    /// Features of the CRM look-up.
    features: Features,
    /// Days for which audit log entries are kept. Null: forever.
    audit_retention_days: Option<Days>,
    /// Whether members must have a second factor.
    require_second_factor: bool,
}

/// Features of the CRM look-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Features {
    /// Whether callers are looked up.
    contact_lookup: bool,
    /// Whether calls and chats are journalled.
    call_logging: bool,
}

/// The settings of the workspace. All of them can change.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Settings")]
#[serde(default)]
pub struct SettingsChanges {
    /// Country (ISO 3166-1) of phone numbers without a prefix. A change reinterprets all stored numbers before the
    /// response is sent. This takes a few seconds for 100,000 numbers.
    default_country: Country,
    /// IANA time zone of the workspace, for example `Europe/Paris`.
    timezone: TimeZone,
    /// Language of the workspace, optionally with a country: `fr`, `fr-FR`.
    locale: Locale,
    /// URL that the CRM look-up returns for a contact, with the placeholders `{id}`, `{phone}`, `{email}` and
    /// `{display_name}`. It must be absolute, and placeholders are allowed only after the host. Null: the contact's
    /// page on this server.
    contact_url_template: Option<UrlTemplate>,
    /// Features of the CRM look-up.
    features: FeatureChanges,
    /// Days for which audit log entries are kept. Null: forever.
    audit_retention_days: Option<Days>,
    /// Require a second factor of members: those without one get 403 `second_factor_required`. Keys, OAuth clients and
    /// tokens of programs are not affected.
    require_second_factor: bool,
}

/// Features of the CRM look-up. Absent features do not change.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, try_from = "Map<String, Value>")]
#[schemars(!try_from)]
pub struct FeatureChanges {
    /// Whether callers are looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    contact_lookup: Option<bool>,
    /// Whether calls and chats are journalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    call_logging: Option<bool>,
}

fn show(ctx: &mut Ctx<'_>) -> Result<Ok200<Settings>> {
    Ok(Ok200(find(ctx.db)?))
}

/// Saves the settings first, so that numbers are written and searched by the new country from then on. If a crash
/// interrupts the reindexing, numbers that are done are found, and the jobs finish the rest.
fn update(steps: &Steps<'_>, changes: Changes<SettingsChanges>) -> Result<Created<Settings>> {
    let (author, file) = (steps.author()?, Arc::clone(steps.call.workspace()?.file()));
    let (settings, pass) = file.write(move |db| {
        let old = find(db)?;
        let new = old.changed(&changes)?;
        new.save(db)?;
        author.updated(db, RECORDED, &old, &new)?;
        Ok::<_, Error>((new, Pass::begin(db, &indexes::NUMBERS)?))
    })?;
    if let Some(pass) = pass {
        indexes::run(&file, &pass)?;
    }
    Ok(Created(settings))
}

impl Settings {
    fn changed(&self, changes: &Changes<SettingsChanges>) -> Result<Self> {
        let new = changes.apply(&SettingsChanges {
            default_country: self.default_country.clone(),
            timezone: self.timezone.clone(),
            locale: self.locale.clone(),
            contact_url_template: self.contact_url_template.clone(),
            features: FeatureChanges::default(),
            audit_retention_days: self.audit_retention_days,
            require_second_factor: self.require_second_factor,
        })?;
        let old = self.features;
        Ok(Self {
            default_country: new.default_country,
            timezone: new.timezone,
            locale: new.locale,
            contact_url_template: new.contact_url_template,
            features: Features {
                contact_lookup: new.features.contact_lookup.unwrap_or(old.contact_lookup),
                call_logging: new.features.call_logging.unwrap_or(old.call_logging),
            },
            audit_retention_days: new.audit_retention_days,
            require_second_factor: new.require_second_factor,
        })
    }

    fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        let flag = |on: bool| Some(if on { "1" } else { "0" });
        let retention = self.audit_retention_days.map_or_else(|| FOR_EVER.to_owned(), |days| days.to_string());
        for (name, value) in [
            ("default_country", Some(&*self.default_country)),
            ("timezone", Some(&*self.timezone)),
            ("locale", Some(&*self.locale)),
            ("contact_url_template", self.contact_url_template.as_deref()),
            ("contact_lookup", flag(self.features.contact_lookup)),
            ("call_logging", flag(self.features.call_logging)),
            ("audit_retention_days", Some(&retention)),
            ("require_second_factor", flag(self.require_second_factor)),
        ] {
            match value {
                Some(_) => db
                    .prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")?
                    .execute((name, value))?,
                None => db.prepare_cached("DELETE FROM settings WHERE name = ?1")?.execute([name])?,
            };
        }
        Ok(())
    }
}

/// The settings that a PBX request depends on, read in one query because a phone is ringing.
pub struct ForPbx {
    /// Country of numbers without a prefix.
    pub country: Id,
    pub contact_url_template: Option<UrlTemplate>,
    pub contact_lookup: bool,
    pub call_logging: bool,
}

impl ForPbx {
    pub fn find(db: &Connection) -> rusqlite::Result<Self> {
        let mut found = Self { country: Id::FR, contact_url_template: None, contact_lookup: true, call_logging: true };
        let mut statement = db.prepare_cached("SELECT name, value FROM settings")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let value = row.get_ref(1)?.as_str()?;
            match row.get_ref(0)?.as_str()? {
                "default_country" => found.country = phone::country(value).unwrap_or(found.country),
                "contact_url_template" => found.contact_url_template = value.parse().ok(),
                "contact_lookup" => found.contact_lookup = value == "1",
                "call_logging" => found.call_logging = value == "1",
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Retention of the audit log. None: unlimited.
pub fn audit_retention(db: &Connection) -> Result<Option<Days>> {
    Ok(find(db)?.audit_retention_days)
}

/// The settings, with defaults for those that were never set.
fn find(db: &Connection) -> Result<Settings> {
    let mut statement = db.prepare_cached("SELECT name, value FROM settings")?;
    let kept = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let kept: HashMap<String, String> = kept.collect::<rusqlite::Result<_>>()?;
    let on = |name: &str| kept.get(name).is_none_or(|value| value == "1");
    Ok(Settings {
        default_country: value(&kept, "default_country", "FR")?,
        timezone: value(&kept, "timezone", "Europe/Paris")?,
        locale: value(&kept, "locale", "fr-FR")?,
        contact_url_template: kept.get("contact_url_template").and_then(|template| template.parse().ok()),
        features: Features { contact_lookup: on("contact_lookup"), call_logging: on("call_logging") },
        audit_retention_days: match kept.get("audit_retention_days").map(String::as_str) {
            Some(FOR_EVER) => None,
            _ => Some(value(&kept, "audit_retention_days", "365")?),
        },
        require_second_factor: kept.get("require_second_factor").is_some_and(|value| value == "1"),
    })
}

/// An invalid value, written into the file by hand, counts as never set.
fn value<T: FromStr<Err = String>>(kept: &HashMap<String, String>, name: &str, default: &str) -> Result<T> {
    let kept = kept.get(name).and_then(|value| value.parse().ok());
    kept.map_or_else(|| default.parse().map_err(Error::Internal), Ok)
}

/// Written by hand: the derived code would accept a list of values as an object, and `null` for a missing field.
impl TryFrom<Map<String, Value>> for FeatureChanges {
    type Error = String;

    fn try_from(named: Map<String, Value>) -> Result<Self, String> {
        let flag = |name: &str| match named.get(name) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(_) => Err(format!("{} must be true or false.", name.replace('_', " "))),
        };
        Ok(Self { contact_lookup: flag("contact_lookup")?, call_logging: flag("call_logging")? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::Bench;

    #[test]
    fn a_workspace_begins_with_settings() {
        let bench = Bench::new();
        let begins = json!({
            "default_country": "FR", "timezone": "Europe/Paris", "locale": "fr-FR", "contact_url_template": null,
            "features": {"contact_lookup": true, "call_logging": true}, "audit_retention_days": 365,
            "require_second_factor": false,
        });
        assert_eq!(bench.admin().get("/settings").ok(), begins);
        assert_eq!(bench.admin().put("/settings", json!({})).created(), begins);
    }

    #[test]
    fn settings_are_answered_whole_and_kept_as_they_were_sent() {
        let bench = Bench::new();
        let sent = json!({
            "default_country": "DE", "timezone": "America/New_York", "locale": "en",
            "contact_url_template": "https://crm.example.com/search?phone={phone}&name={display_name}",
            "features": {"contact_lookup": false, "call_logging": false}, "audit_retention_days": null,
            "require_second_factor": false,
        });
        assert_eq!(bench.admin().put("/settings", sent.clone()).created(), sent);
        assert_eq!(bench.admin().get("/settings").ok(), sent);
        // The other workspace has its own settings.
        assert_eq!(bench.admin_of_other().get("/settings").ok()["locale"], "fr-FR");

        let changed = bench.admin().put("/settings", json!({"contact_url_template": null})).created();
        assert_eq!((&changed["contact_url_template"], &changed["locale"]), (&Value::Null, &json!("en")));
        assert_eq!(bench.admin().get("/settings").ok(), changed);
    }

    #[test]
    fn a_feature_that_is_not_named_stays() {
        let bench = Bench::new();
        let features =
            |body: Value| bench.admin().put("/settings", json!({"features": body})).created()["features"].clone();
        assert_eq!(features(json!({"contact_lookup": false})), json!({"contact_lookup": false, "call_logging": true}));
        assert_eq!(features(json!({"call_logging": false})), json!({"contact_lookup": false, "call_logging": false}));
        assert_eq!(features(json!({"other": 1})), json!({"contact_lookup": false, "call_logging": false}));
        assert_eq!(features(json!({"contact_lookup": true})), json!({"contact_lookup": true, "call_logging": false}));
    }

    #[test]
    fn what_is_no_setting_is_refused_and_changes_nothing() {
        let bench = Bench::new();
        let before = bench.admin().get("/settings").ok();
        for (body, says) in [
            (json!({"default_country": "UK"}), "The default country must be an ISO 3166 code of two letters, like FR."),
            (json!({"default_country": null}), "The default country field is required."),
            (
                json!({"timezone": "Europe/Nowhere"}),
                "The timezone must be a time zone of the IANA database, like Europe/Paris.",
            ),
            (json!({"locale": "french"}), "The locale must be a locale, like fr or fr-FR."),
            (
                json!({"contact_url_template": "/search?phone={phone}"}),
                "The contact url template may have placeholders only after its host.",
            ),
            (
                json!({"contact_url_template": "https://crm.example.com/{fax}"}),
                "The contact url template may only contain the placeholders {id}, {phone}, {email}, {display_name}.",
            ),
            (
                json!({"contact_url_template": "https://crm.example.com/{id"}),
                "The contact url template has an unmatched brace.",
            ),
            (
                json!({"contact_url_template": "ftp://crm.example.com/{id}"}),
                "The contact url template must be an absolute http or https URL.",
            ),
            (json!({"features": [true, false]}), "The features must be an object."),
            (json!({"features": null}), "The features field is required."),
            (json!({"features": {"call_logging": null}}), "The features call logging must be true or false."),
            (json!({"features": {"contact_lookup": "1"}}), "The features contact lookup must be true or false."),
        ] {
            let mut sent = json!({"locale": "en"});
            sent.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            bench.admin().put("/settings", sent).invalid(&[says]);
        }
        assert_eq!(bench.admin().get("/settings").ok(), before);
    }

    #[test]
    fn only_who_manages_the_workspace_sees_and_changes_them() {
        let bench = Bench::new();
        for role in ["manager", "agent"] {
            bench.with_role(role).get("/settings").refused(403, "missing_permission");
            bench.with_role(role).put("/settings", json!({})).refused(403, "missing_permission");
        }
        bench.with_only(&["workspace.manage"]).put("/settings", json!({"locale": "en"})).created();
        bench.key(&["workspace.manage"], None).get("/settings").ok();
        let customer = bench.admin().post("/customers", json!({"name": "Ada"})).created()["id"].as_i64();
        bench.key(&["*"], customer).get("/settings").refused(403, "forbidden");
    }
}
