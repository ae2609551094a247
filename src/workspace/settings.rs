//! Settings of the whole workspace.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use phonenumber::country::Id;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::search_indexes;
use crate::api::field::{self, Field, labelled};
use crate::api::resource::{PermissionGroup, Resource, Section, action};
use crate::api::resource_view::{ResourceView, group, label};
use crate::api::{
    ApiResponse, BlockingCtx, Changes, Ctx, Error, IntoResponse, Needs, Ok200, Operation, Query, Request, Result,
    Route, blocking, get, json, put, run,
};
use crate::auth::{Credential, TokenKind};
use crate::storage::File;
use crate::tenancy::ChangeRecorder;
use crate::tenancy::indexing::Pass;
use crate::tenancy::journal::Recorded;
use crate::tenancy::locale_settings::{DEFAULT_COUNTRY, DEFAULT_LOCALE, DEFAULT_ZONE};
use crate::values::{Country, Days, Flag, Locale, TimeZone, UrlTemplate, phone};

pub const RESOURCE: Resource = Resource::new("Settings", "Settings of the whole workspace.", ROUTES)
    .french("Paramètres")
    .section(Section::Workspace)
    .permissions(&PERMISSIONS)
    .recorded(&[RECORDED])
    .fields(LABELS)
    .more_fields(&[FIELDS])
    .view(VIEW);

/// The labels of fields that the entity does not have.
const FIELDS: &[Field] = &[
    labelled("contact_lookup", "Look up callers", "Identifier les appelants"),
    labelled("settings", "Settings after the change", "Paramètres après le changement"),
    labelled("reread_phone_numbers", "Phone numbers that are read again", "Numéros de téléphone relus"),
    labelled("call_logging", "Journal calls and chats", "Journaliser les appels et discussions"),
];

const VIEW: ResourceView = ResourceView {
    groups: &[
        group("Region", "Région", &["default_country", "timezone", "locale"]),
        group("Phone system", "Standard", &["features", "contact_url_template"]),
        group("Security", "Sécurité", &["require_second_factor", "require_single_sign_on", "audit_retention_days"]),
    ],
    help: &[
        (
            "default_country",
            label(
                "Numbers without a country prefix belong to this country. After a change, all stored numbers are read again.",
                "Les numéros sans indicatif sont de ce pays. Après un changement, tous les numéros enregistrés sont relus.",
            ),
        ),
        ("timezone", label("For example Europe/Paris.", "Par exemple Europe/Paris.")),
        (
            "locale",
            label(
                "A language, or a language and a country: fr, fr-FR. The pages use it if a browser asks for neither English nor French.",
                "Une langue, ou une langue et un pays\u{a0}: fr, fr-FR. Les pages l’utilisent si le navigateur ne demande ni le français ni l’anglais.",
            ),
        ),
        (
            "contact_url_template",
            label(
                "The phone system opens this address when somebody calls. It may contain {id}, {phone}, {email} and {display_name}. Leave it empty for the page of the contact here.",
                "Le standard ouvre cette adresse quand quelqu’un appelle. Elle peut contenir {id}, {phone}, {email} et {display_name}. Laissez vide pour la page du contact ici.",
            ),
        ),
        ("audit_retention_days", label("Leave it empty to keep entries forever.", "Laissez vide pour tout conserver.")),
    ],
    singular: label("settings", "des paramètres"),
    ..ResourceView::DERIVED
};

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
    put("/settings", &blocking(update), Needs::Permission("workspace.manage"), "Change the workspace's settings")
        .named("updateSettings"),
];

const RECORDED: &Recorded = &Recorded::new("settings", Some("workspace.manage"));

/// Declares the settings of a workspace: name, type, stored default, English and French label.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $english:literal, $french:literal;)+) => {
        /// The settings of the workspace.
        #[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
        pub struct Settings {
            $($(#[$doc])* pub $name: $type,)+
        }

        /// The settings of the workspace. All of them can change.
        #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[schemars(rename = "Settings")]
        #[serde(default)]
        pub struct SettingsChanges {
            $($(#[$doc])* $name: <$type as SettingValue>::Change,)+
        }

        /// The labels of the settings.
        pub const LABELS: &[Field] = &[$(field::stored(stringify!($name)).label($english, $french)),+];

        impl Settings {
            /// Reads the settings. An unset setting has its default.
            pub fn find(db: &Connection) -> Result<Self> {
                let stored = stored(db)?;
                Ok(Self { $($name: SettingValue::read(&stored, stringify!($name), $default)?),+ })
            }

            fn save(&self, db: &Connection) -> rusqlite::Result<()> {
                $(self.$name.save(db, stringify!($name))?;)+
                Ok(())
            }

            fn changed(&self, changes: &Changes<SettingsChanges>) -> Result<Self> {
                let new = changes.apply(&SettingsChanges { $($name: self.$name.as_change()),+ })?;
                Ok(Self { $($name: self.$name.changed(new.$name)),+ })
            }
        }
    };
}

settings! {
    /// Country (ISO 3166-1) of phone numbers without a prefix. A change reinterprets all stored numbers before the
    /// response is sent. This takes a few seconds for 100,000 numbers. `dry_run=1` counts them before.
    default_country: Country = DEFAULT_COUNTRY, "Default country", "Pays par défaut";
    /// IANA time zone of the workspace, for example `Europe/Paris`.
    timezone: TimeZone = DEFAULT_ZONE, "Time zone", "Fuseau horaire";
    /// Language of the workspace, optionally with a country: `fr`, `fr-FR`. The pages of the workspace use it if
    /// a browser asks for neither English nor French.
    locale: Locale = DEFAULT_LOCALE, "Language", "Langue";
    /// URL that the CRM look-up returns for a contact, with the placeholders `{id}`, `{phone}`, `{email}` and
    /// `{display_name}`. It must be absolute, and placeholders are allowed only after the host. Null: the contact's
    /// page on this server.
    contact_url_template: Option<UrlTemplate> = "", "Link to a contact", "Lien vers un contact";
    /// Features of the CRM look-up.
    features: Features = "1", "Features", "Fonctions";
    /// Days for which audit log entries are kept. Null: forever.
    audit_retention_days: Option<Days> = "365", "Days of the audit log", "Jours du journal d’audit";
    /// Require a second factor of members: those without one get 403 `second_factor_required`. Keys, OAuth clients and
    /// tokens of programs are not affected.
    require_second_factor: bool = "0", "Require a second factor", "Exiger un second facteur";
    /// Require single sign-on of members: those who signed in with a password get 403 `single_sign_on_required`. Keys,
    /// OAuth clients and tokens of programs are not affected.
    require_single_sign_on: bool = "0", "Require single sign-on", "Exiger l’authentification unique";
}

/// Options of a change of the settings.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SettingsUpdateQuery {
    /// Checks the change and reports its effect without changing anything.
    dry_run: Flag,
}

/// The effect that a change of the settings would have.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SettingsEffect {
    /// The settings after the change.
    settings: Settings,
    /// Number of stored phone numbers that depend on the default country, and would be read as other numbers. At most
    /// 100,001, which stands for any larger number too.
    #[schemars(range(min = 0, max = MOST_REREAD_NUMBERS))]
    reread_phone_numbers: usize,
}

/// The largest count of phone numbers that are read again.
pub const MOST_REREAD_NUMBERS: usize = 100_001;

/// 201 with the changed settings, or 200 with the effect after a dry run.
pub enum SettingsUpdate {
    Saved(Settings),
    DryRun(SettingsEffect),
}

impl IntoResponse for SettingsUpdate {
    fn resource() -> Option<TypeId> {
        Some(TypeId::of::<Settings>())
    }

    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        match self {
            Self::Saved(settings) => json(StatusCode::CREATED, &settings),
            Self::DryRun(effect) => json(StatusCode::OK, &effect),
        }
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<Settings>(StatusCode::CREATED);
        operation.response::<SettingsEffect>(StatusCode::OK);
    }
}

/// Features of the CRM look-up. Each is a setting of its own in the file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Features {
    /// Whether callers are looked up.
    pub contact_lookup: bool,
    /// Whether calls and chats are journalled.
    pub call_logging: bool,
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
    Ok(Ok200(Settings::find(ctx.db)?))
}

/// Saves the settings first, so that numbers are written and searched by the new country from then on. If a crash
/// interrupts the reindexing, numbers that are done are found, and the jobs finish the rest.
fn update(
    ctx: &BlockingCtx<'_>,
    Query(options): Query<SettingsUpdateQuery>,
    changes: Changes<SettingsChanges>,
) -> Result<SettingsUpdate> {
    let (recorder, file) = (ctx.recorder()?, Arc::clone(ctx.request.workspace()?.file()));
    if options.dry_run.0 {
        return Ok(SettingsUpdate::DryRun(effect(&file, changes)?));
    }
    let may_require = may_require_single_sign_on(ctx);
    let (settings, pass) = file.write(move |db| {
        let old = Settings::find(db)?;
        let new = old.changed(&changes)?;
        if new.require_single_sign_on && !old.require_single_sign_on && !may_require {
            return Err(Error::rejected(
                "single_sign_on_unused",
                "Sign in with single sign-on first. Otherwise this setting would lock you out.",
            ));
        }
        new.save(db)?;
        recorder.updated(db, RECORDED, &old, &new)?;
        Ok::<_, Error>((new, Pass::begin(db, &search_indexes::NUMBERS)?))
    })?;
    if let Some(pass) = pass {
        search_indexes::run(&file, &pass)?;
    }
    Ok(SettingsUpdate::Saved(settings))
}

/// No longer requires single sign-on. Returns whether it was required.
pub fn allow_passwords(db: &Connection, recorder: &ChangeRecorder) -> Result<bool> {
    let old = Settings::find(db)?;
    let new = Settings { require_single_sign_on: false, ..old.clone() };
    new.save(db)?;
    recorder.updated(db, RECORDED, &old, &new)?;
    Ok(old.require_single_sign_on)
}

/// Whether the caller can go on after single sign-on is required.
fn may_require_single_sign_on(ctx: &BlockingCtx<'_>) -> bool {
    match &ctx.request.credential {
        Credential::Token(token) | Credential::Session(token) => {
            token.kind == TokenKind::PROGRAM || token.method.provider.is_some()
        }
        _ => true,
    }
}

fn effect(file: &Arc<File>, changes: Changes<SettingsChanges>) -> Result<SettingsEffect> {
    let (old, new) = file.read(move |db| {
        let old = Settings::find(db)?;
        let new = old.changed(&changes)?;
        Ok::<_, Error>((old, new))
    })?;
    let countries = (old.country(), new.country());
    let reread_phone_numbers = match countries.0 == countries.1 {
        true => 0,
        false => search_indexes::count_differing_numbers(file, countries, MOST_REREAD_NUMBERS)?,
    };
    Ok(SettingsEffect { settings: new, reread_phone_numbers })
}

impl Settings {
    /// The country of numbers without a prefix.
    pub fn country(&self) -> Id {
        phone::country(&self.default_country).unwrap_or(Id::FR)
    }
}

/// The stored settings by name.
type StoredSettings = HashMap<String, String>;

fn stored(db: &Connection) -> rusqlite::Result<StoredSettings> {
    let mut statement = db.prepare_cached("SELECT name, value FROM settings")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn save(db: &Connection, name: &str, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => db
            .prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")?
            .execute((name, value))
            .map(|_| ()),
        None => db.prepare_cached("DELETE FROM settings WHERE name = ?1")?.execute([name]).map(|_| ()),
    }
}

/// The type of a setting.
trait SettingValue: Sized {
    /// A change of the setting in a request.
    type Change;

    /// Reads the stored value. An invalid value, which someone wrote into the file, counts as unset.
    fn read(stored: &StoredSettings, name: &str, default: &str) -> Result<Self>;
    fn save(&self, db: &Connection, name: &str) -> rusqlite::Result<()>;
    fn as_change(&self) -> Self::Change;
    fn changed(&self, change: Self::Change) -> Self;
}

/// Implements a setting that a request replaces.
macro_rules! replaced {
    () => {
        type Change = Self;

        fn as_change(&self) -> Self {
            self.clone()
        }

        fn changed(&self, change: Self) -> Self {
            change
        }
    };
}

/// Implements a setting that is stored as its own text.
macro_rules! text_settings {
    ($($type:ty),+) => {
        $(impl SettingValue for $type {
            replaced!();

            fn read(stored: &StoredSettings, name: &str, default: &str) -> Result<Self> {
                let valid = stored.get(name).and_then(|value| value.parse().ok());
                valid.map_or_else(|| default.parse().map_err(Error::Internal), Ok)
            }

            fn save(&self, db: &Connection, name: &str) -> rusqlite::Result<()> {
                save(db, name, Some(&**self))
            }
        })+
    };
}
text_settings!(Country, TimeZone, Locale);

impl SettingValue for bool {
    replaced!();

    fn read(stored: &StoredSettings, name: &str, default: &str) -> Result<Self> {
        Ok(stored.get(name).map_or(default, String::as_str) == "1")
    }

    fn save(&self, db: &Connection, name: &str) -> rusqlite::Result<()> {
        save(db, name, Some(if *self { "1" } else { "0" }))
    }
}

impl SettingValue for Option<UrlTemplate> {
    replaced!();

    fn read(stored: &StoredSettings, name: &str, _: &str) -> Result<Self> {
        Ok(stored.get(name).and_then(|template| template.parse().ok()))
    }

    fn save(&self, db: &Connection, name: &str) -> rusqlite::Result<()> {
        save(db, name, self.as_deref())
    }
}

/// Stored value of an unlimited retention.
const FOR_EVER: &str = "forever";

impl SettingValue for Option<Days> {
    replaced!();

    fn read(stored: &StoredSettings, name: &str, default: &str) -> Result<Self> {
        match stored.get(name).map(String::as_str) {
            Some(FOR_EVER) => Ok(None),
            value => {
                let valid = value.and_then(|value| value.parse().ok());
                valid.map_or_else(|| default.parse().map_err(Error::Internal), Ok).map(Some)
            }
        }
    }

    fn save(&self, db: &Connection, name: &str) -> rusqlite::Result<()> {
        save(db, name, Some(&self.map_or_else(|| FOR_EVER.to_owned(), |days| days.to_string())))
    }
}

impl SettingValue for Features {
    type Change = FeatureChanges;

    fn read(stored: &StoredSettings, _: &str, default: &str) -> Result<Self> {
        let flag = |name| bool::read(stored, name, default);
        Ok(Self { contact_lookup: flag("contact_lookup")?, call_logging: flag("call_logging")? })
    }

    fn save(&self, db: &Connection, _: &str) -> rusqlite::Result<()> {
        self.contact_lookup.save(db, "contact_lookup")?;
        self.call_logging.save(db, "call_logging")
    }

    fn as_change(&self) -> FeatureChanges {
        FeatureChanges::default()
    }

    fn changed(&self, change: FeatureChanges) -> Self {
        Self {
            contact_lookup: change.contact_lookup.unwrap_or(self.contact_lookup),
            call_logging: change.call_logging.unwrap_or(self.call_logging),
        }
    }
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

    use crate::tests::TestServer;

    #[test]
    fn a_workspace_begins_with_settings() {
        let server = TestServer::new();
        let begins = json!({
            "default_country": "FR", "timezone": "Europe/Paris", "locale": "fr-FR", "contact_url_template": null,
            "features": {"contact_lookup": true, "call_logging": true}, "audit_retention_days": 365,
            "require_second_factor": false, "require_single_sign_on": false,
        });
        assert_eq!(server.admin().get("/settings").ok(), begins);
        assert_eq!(server.admin().put("/settings", json!({})).created(), begins);
    }

    #[test]
    fn settings_are_answered_whole_and_kept_as_they_were_sent() {
        let server = TestServer::new();
        let sent = json!({
            "default_country": "DE", "timezone": "America/New_York", "locale": "en",
            "contact_url_template": "https://crm.example.com/search?phone={phone}&name={display_name}",
            "features": {"contact_lookup": false, "call_logging": false}, "audit_retention_days": null,
            "require_second_factor": false, "require_single_sign_on": false,
        });
        assert_eq!(server.admin().put("/settings", sent.clone()).created(), sent);
        assert_eq!(server.admin().get("/settings").ok(), sent);
        // The other workspace has its own settings.
        assert_eq!(server.admin_of_other().get("/settings").ok()["locale"], "fr-FR");

        let changed = server.admin().put("/settings", json!({"contact_url_template": null})).created();
        assert_eq!((&changed["contact_url_template"], &changed["locale"]), (&Value::Null, &json!("en")));
        assert_eq!(server.admin().get("/settings").ok(), changed);
    }

    #[test]
    fn a_feature_that_is_not_named_stays() {
        let server = TestServer::new();
        let features =
            |body: Value| server.admin().put("/settings", json!({"features": body})).created()["features"].clone();
        assert_eq!(features(json!({"contact_lookup": false})), json!({"contact_lookup": false, "call_logging": true}));
        assert_eq!(features(json!({"call_logging": false})), json!({"contact_lookup": false, "call_logging": false}));
        assert_eq!(features(json!({"other": 1})), json!({"contact_lookup": false, "call_logging": false}));
        assert_eq!(features(json!({"contact_lookup": true})), json!({"contact_lookup": true, "call_logging": false}));
    }

    #[test]
    fn what_is_no_setting_is_refused_and_changes_nothing() {
        let server = TestServer::new();
        let before = server.admin().get("/settings").ok();
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
            server.admin().put("/settings", sent).invalid(&[says]);
        }
        assert_eq!(server.admin().get("/settings").ok(), before);
    }

    #[test]
    fn a_dry_run_counts_the_numbers_that_another_country_would_change_and_changes_nothing() {
        let server = TestServer::new();
        let admin = server.admin();
        let before = admin.get("/settings").ok();
        let trial = |body: Value| admin.put("/settings?dry_run=1", body).ok();
        let count = |country: &str| trial(json!({"default_country": country}))["reread_phone_numbers"].clone();
        assert_eq!(count("DE"), 0);
        // National numbers, also several in one text and in lists; numbers with a prefix and extensions do not count.
        let numbers = json!({"last_name": "A", "fax": "01 42 00 00 00", "phone_home_1": "+33142000001",
            "phone_mobile_1": "0033142000002", "phone_business_1": "204"});
        admin.post("/contacts", numbers).created();
        admin.post("/customers", json!({"name": "A", "phone": "0142000003 / 0142000004"})).created();
        admin.post("/phone-calls", json!({"direction": "inbound", "number_from": "0142000005"})).created();
        let routed = json!({"last_name": "A", "telecoms": ["0142000006", "+33142000007", "anonymous"]});
        admin.post("/smart-routings/contacts?customer_account=CL000001", routed).created();
        assert_eq!((count("DE"), count("FR")), (json!(5), json!(0)));
        let stored = || {
            server.in_file(|db| {
                let mut index = db.prepare("SELECT resource || field || reversed FROM phone_numbers ORDER BY 1")?;
                Ok(index.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?)
            })
        };
        let indexed = stored();

        let told = trial(json!({"default_country": "BE", "locale": "en"}));
        assert_eq!((&told["settings"]["default_country"], &told["settings"]["locale"]), (&json!("BE"), &json!("en")));
        let answer = admin.put("/settings?dry_run=true", json!({"default_country": "BE"}));
        assert!(answer.status == 200 && answer.headers.get("etag").is_none(), "{answer:?}");
        assert_eq!((admin.get("/settings").ok(), stored()), (before, indexed.clone()));
        assert_eq!(admin.get("/audit-log?filter[resource]=settings").ok()["total"], 0);
        admin
            .put("/settings?dry_run=1", json!({"default_country": "UK"}))
            .invalid(&["The default country must be an ISO 3166 code of two letters, like FR."]);
        admin.put("/settings?dry_run=maybe", json!({})).invalid(&["The dry run must be true or false."]);
        server.with_role("agent").put("/settings?dry_run=1", json!({})).rejected(403, "missing_permission");

        // The numbers that were counted are those that the change reads again.
        let saved = admin.put("/settings?dry_run=0", json!({"default_country": "DE"}));
        assert!(saved.status == 201 && saved.headers.get("etag").is_some(), "{saved:?}");
        let after = stored();
        assert_eq!(after.iter().filter(|key| !indexed.contains(key)).count(), 5);
    }

    #[test]
    fn only_who_manages_the_workspace_sees_and_changes_them() {
        let server = TestServer::new();
        for role in ["manager", "agent"] {
            server.with_role(role).get("/settings").rejected(403, "missing_permission");
            server.with_role(role).put("/settings", json!({})).rejected(403, "missing_permission");
        }
        server.with_only(&["workspace.manage"]).put("/settings", json!({"locale": "en"})).created();
        server.key(&["workspace.manage"], None).get("/settings").ok();
        let customer = server.admin().post("/customers", json!({"name": "Ada"})).created()["id"].as_i64();
        server.key(&["*"], customer).get("/settings").rejected(403, "forbidden");
    }
}
