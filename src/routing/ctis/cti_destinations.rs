//! Destinations of a CTI, and the look-up of the destination of a call by its origin.

use rusqlite::{Connection, OptionalExtension};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cti, TABLE as CTIS};
use crate::api::crud::{create_nested, list_nested, remove_nested, show_nested, update_nested};
use crate::api::entity::{Editable, Entity, Nested, entity};
use crate::api::resource::{Resource, Section};
use crate::api::resource_view::{ResourceView, Widget, group, label};
use crate::api::{Ctx, Error, Needs, Ok200, Query, Result, Route, delete, get, post, put, run};
use crate::routing::customer_param::CustomerParam;
use crate::routing::routing_tokens;
use crate::routing::step::Step;
use crate::storage::Stored;
use crate::tenancy::journal::Recorded;
use crate::tenancy::phones;
use crate::values::normalize::normalize;
use crate::values::{Flag, Name, RowId, Text, choice, id_in_query, phone};

pub const RESOURCE: Resource = Resource::new("CTI destinations", "Destinations of a CTI's calls, by caller.", ROUTES)
    .french("Destinations CTI")
    .section(Section::Routing)
    .entity::<CtiDestination>()
    .folded(reindex_numbers)
    .view(VIEW);

const VIEW: ResourceView = ResourceView {
    title: &["origin"],
    columns: &["origin", "destination", "updated_at"],
    groups: &[group("Destination", "Destination", &["origin", "destination"])],
    widgets: &[("customer_id", Widget::Hidden), ("cti_id", Widget::Hidden)],
    help: &[(
        "origin",
        label(
            "A number, an extension or a name. A * at the end stands for any continuation: +33 1*.",
            "Un numéro, un poste ou un nom. Un * à la fin remplace toute suite\u{a0}: +33 1*.",
        ),
    )],
    purpose: label("Where calls go, by their caller.", "Où vont les appels, selon l’appelant."),
    singular: label("destination", "une destination"),
    ..ResourceView::DERIVED
};

const ROUTES: &[Route] = &[
    get(
        "/smart-routings/ctis/{id}/destinations",
        &run(list_nested::<CtiDestination>),
        Needs::Scoped("routing.view"),
        "List a CTI's destinations",
    ),
    get(
        "/smart-routings/ctis/{id}/destinations/{destination_id}",
        &run(show_nested::<CtiDestination>),
        Needs::Scoped("routing.view"),
        "Show a destination of a CTI",
    ),
    post(
        "/smart-routings/ctis/{id}/destinations",
        &run(create_nested::<CtiDestination>),
        Needs::Scoped("routing.create"),
        "Create a destination of a CTI",
    ),
    put(
        "/smart-routings/ctis/{id}/destinations/{destination_id}",
        &run(update_nested::<CtiDestination>),
        Needs::Scoped("routing.update"),
        "Change a destination of a CTI",
    ),
    delete(
        "/smart-routings/ctis/{id}/destinations/{destination_id}",
        &run(remove_nested::<CtiDestination>),
        Needs::Scoped("routing.delete"),
        "Delete a destination of a CTI",
    ),
];

entity! {
    /// The destination of calls from one origin, or from all origins with one prefix.
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct CtiDestination in "cti_destinations" {
        /// Id of the customer that owns the destination.
        #[schemars(extend("readOnly" = true))]
        pub customer_id: i64 => integer, "Customer", "Client";
        /// Id of the CTI in the path. A value in the body is ignored.
        pub cti_id: i64 => integer, "CTI", "CTI";
        /// A number, an extension or a name. A `*` at the end makes it a prefix, for example `+33 1*`; a `*` alone matches
        /// every origin. Unique within the CTI, in whichever format it is written.
        #[schemars(example = &"+33 1*")]
        pub origin: Name<64> => text.sorted_by("fold(origin)"), "Origin", "Origine";
        /// Where these calls go, for example an extension or a number.
        #[schemars(example = &"801")]
        pub destination: Option<Text<255>> => text.sorted_by("fold(destination)"), "Destination", "Destination";
        #[serde(skip)]
        pub dialled: String => stored;
        #[serde(skip)]
        pub is_prefix: bool => stored;
    }
    recorded: &Recorded::announced("cti-destination", "routing.view"), permissions: "routing", scope: CustomerParam;
    customer: customer_id;
    also: [words(&["origin", "destination"])];
}

/// The call to route.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CtiLookupQuery {
    /// Id of the CTI. Either this or `token` is required.
    #[serde(deserialize_with = "id_in_query")]
    #[schemars(with = "Option<RowId>")]
    #[schemars(example = 1)]
    cti_id: Option<i64>,
    /// Token of the CTI.
    token: Text<255>,
    /// Caller: a number in any format, an extension or a name.
    #[schemars(example = "+33142000000")]
    origin: Name<255>,
    /// Whether the answer says what was tried.
    explain: Flag,
}

choice! {
    /// What the look-up tries: the whole origin, then the longest prefix.
    OriginAttempt { EXACT = "exact", PREFIX = "prefix" }
}

/// The destination of a call.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CtiRoute {
    /// The CTI that was asked for.
    cti: Cti,
    /// The origin that matched, as it is stored. An exact match comes before the longest prefix.
    origin: Name<64>,
    /// Where the call goes.
    destination: Option<Text<255>>,
    /// Only with `explain=1`: what was tried, with the origin that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Step<OriginAttempt, Name<64>>>")]
    steps: Option<Vec<Step<OriginAttempt, Name<64>>>>,
}

pub fn lookup(ctx: &mut Ctx<'_>, scope: CustomerParam, Query(asked): Query<CtiLookupQuery>) -> Result<Ok200<CtiRoute>> {
    let cti = match (asked.cti_id, asked.token.trim()) {
        (None, "") => return Err(Error::invalid("The cti id field is required when token is not present.")),
        (None, token) => routing_tokens::owner(ctx.db, CTIS, token)?,
        (id, _) => id,
    };
    let cti = cti.map(|id| Cti::find(ctx.db, id)).transpose()?.flatten();
    let customer = scope.id(ctx)?;
    let cti = cti.filter(|cti| cti.customer_id == customer).ok_or_else(Error::not_found)?;
    let found = best(ctx.db, cti.id, &phone::restore_plus(&asked.origin))?.ok_or_else(Error::no_route)?;
    let exact = Step::of(OriginAttempt::EXACT, (!found.is_prefix).then(|| found.origin.clone()));
    let prefix = found.is_prefix.then(|| Step::of(OriginAttempt::PREFIX, Some(found.origin.clone())));
    let steps = asked.explain.0.then(|| [exact].into_iter().chain(prefix).collect());
    let (origin, destination) = (found.origin, found.destination);
    Ok(Ok200(CtiRoute { cti, origin, destination, steps }))
}

pub const CTI: &str = "cti_id";

impl Entity for CtiDestination {
    fn check(&mut self, db: &Connection, _: Option<&Self>) -> Result<()> {
        let (begins, is_prefix) = match self.origin.trim().strip_suffix('*') {
            Some(begins) => (begins, true),
            None => (self.origin.trim(), false),
        };
        if begins.contains('*') {
            return Err(Error::invalid("The origin may have a * at its end only."));
        }
        (self.dialled, self.is_prefix) = (dialled(begins), is_prefix);
        let same = "SELECT 1 FROM cti_destinations WHERE cti_id = ?1 AND is_prefix = ?2 AND dialled = ?3 AND id <> ?4";
        let is_taken = db.prepare_cached(same)?.exists((self.cti_id, is_prefix, &self.dialled, self.id))?;
        if is_taken { Err(Error::taken("origin")) } else { Ok(()) }
    }
}

impl Editable for CtiDestination {}

impl Nested for CtiDestination {
    type Parent = Cti;

    const PARENT: &'static str = CTI;

    fn parent(&mut self) -> &mut i64 {
        &mut self.cti_id
    }
}

/// The compared form of an origin: the digits of a number, with `+` before a country code, or the folded letters of a
/// name.
fn dialled(text: &str) -> String {
    if text.chars().any(char::is_alphabetic) {
        return normalize(text.trim());
    }
    let (text, digits) = (text.trim(), phone::digits(text));
    match digits.strip_prefix("00") {
        _ if text.starts_with('+') => format!("+{digits}"),
        Some(abroad) => format!("+{abroad}"),
        None => digits,
    }
}

/// Recomputes the compared form of the origins with ids after `after` up to `last`. If two origins of a CTI become
/// equal, the second update is ignored, and that row keeps its old form.
pub fn reindex_numbers(db: &Connection, after: i64, last: i64) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("SELECT id, origin FROM cti_destinations WHERE id > ?1 AND id <= ?2")?;
    let rows = statement.query_map((after, last), |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, origin) in rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()? {
        let begins = origin.trim().strip_suffix('*').unwrap_or(origin.trim());
        db.prepare_cached("UPDATE OR IGNORE cti_destinations SET dialled = ?2 WHERE id = ?1 AND dialled <> ?2")?
            .execute((id, dialled(begins)))?;
    }
    Ok(())
}

/// The best destination for an origin: an exact match, else the prefix that leaves the fewest characters of the origin
/// unmatched, over all spellings of it. Of equal prefixes the older one wins.
fn best(db: &Connection, cti: i64, origin: &str) -> Result<Option<CtiDestination>> {
    let country = phones::default_country(db)?;
    let mut spellings = phone::spellings(origin, country);
    let user = phone::uri_user(origin);
    let typed = match phone::read(origin, country).first() {
        // A number followed by words is still a number, not a name.
        Some(number) if user.chars().any(char::is_alphabetic) => number.as_str().to_owned(),
        Some(_) => dialled(&user),
        None => dialled(origin),
    };
    // A withheld number appears as a name in the SIP address, such as `anonymous`.
    if let Some(id) = at(db, cti, false, &dialled(&user))? {
        return Ok(CtiDestination::find(db, id)?);
    }
    if !spellings.contains(&typed) {
        spellings.push(typed);
    }
    let mut best = None;
    for spelling in &spellings {
        if let Some(id) = at(db, cti, false, spelling)? {
            return Ok(CtiDestination::find(db, id)?);
        }
        if let Some((id, length)) = longest_prefix(db, cti, spelling)? {
            let open = spelling.len() - length;
            best = best.into_iter().chain([(open, id)]).min();
        }
    }
    Ok(best.map(|(_, id)| CtiDestination::find(db, id)).transpose()?.flatten())
}

fn at(db: &Connection, cti: i64, is_prefix: bool, dialled: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM cti_destinations WHERE cti_id = ?1 AND is_prefix = ?2 AND dialled = ?3";
    db.prepare_cached(sql)?.query_row((cti, is_prefix, dialled), |row| row.get(0)).optional()
}

/// The longest stored prefix of a text, and its length. In sort order, prefixes of a text come before it. So the last
/// stored prefix before the text either matches, or shows how much of the text a longer match can share. A few seeks
/// are enough.
fn longest_prefix(db: &Connection, cti: i64, text: &str) -> rusqlite::Result<Option<(i64, usize)>> {
    let sql = "SELECT id, dialled FROM cti_destinations
               WHERE cti_id = ?1 AND is_prefix = 1 AND dialled <= ?2 ORDER BY dialled DESC LIMIT 1";
    let mut statement = db.prepare_cached(sql)?;
    let mut rest = text;
    loop {
        let before = statement.query_row((cti, rest), |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
        let Some((id, before)) = before else { return Ok(None) };
        if rest.starts_with(&before) {
            return Ok(Some((id, before.len())));
        }
        rest = &rest[..shared(rest, &before)];
    }
}

/// Length in bytes of the common beginning of both texts, in whole characters.
fn shared(one: &str, other: &str) -> usize {
    let pairs = one.chars().zip(other.chars());
    pairs.take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::tests::{RoutingClient, TestServer};

    #[test]
    fn the_origin_that_says_most_decides_in_whichever_way_it_is_written() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/ctis", json!({"name": "A"}));
        for (origin, destination) in [
            ("*", "any"),
            ("+33*", "France"),
            ("01*", "Paris"),
            ("+33 1 42*", "1 42"),
            ("00 33 6*", "mobile"),
            ("01 42 00 00 00", "one"),
            ("2*", "extensions"),
            ("204", "204"),
            ("+49 30*", "Berlin"),
            ("Anonymous", "nobody"),
            ("sip:a*", "a"),
        ] {
            routing.create("/ctis/1/destinations", json!({"origin": origin, "destination": destination}));
        }
        for (origin, destination, matched) in [
            ("0142000000", "one", "01 42 00 00 00"),
            ("%2B33142000000", "one", "01 42 00 00 00"),
            ("+33142000000", "one", "01 42 00 00 00"),
            ("0033%201%2042%2000%2000%2001", "1 42", "+33 1 42*"),
            ("01.42.00.00.01", "1 42", "+33 1 42*"),
            ("0143000000", "Paris", "01*"),
            ("%2B33143000000", "Paris", "01*"),
            ("0612345678", "mobile", "00 33 6*"),
            ("0450000000", "France", "+33*"),
            ("004930123456", "Berlin", "+49 30*"),
            ("%2B441234567890", "any", "*"),
            ("204", "204", "204"),
            ("205", "extensions", "2*"),
            ("2", "extensions", "2*"),
            ("anonymous", "nobody", "Anonymous"),
            ("ANONYMOUS%20", "nobody", "Anonymous"),
            ("sip:ada@example.com", "a", "sip:a*"),
            ("sip:zoe@example.com", "any", "*"),
            ("%C3%A9", "any", "*"),
            ("sip:anonymous@192.168.1.20", "nobody", "Anonymous"),
            ("sip:%2B33142000000@10.0.0.1", "one", "01 42 00 00 00"),
            ("0142000000%20bureau", "one", "01 42 00 00 00"),
            ("4930123456", "Berlin", "+49 30*"),
            ("1234567890123456", "any", "*"),
        ] {
            let found = routing.get(&format!("/ctis/lookup?cti_id=1&origin={origin}")).ok();
            assert_eq!((&found["destination"], &found["origin"]), (&json!(destination), &json!(matched)), "{origin}");
            assert_eq!(found["cti"]["name"], "A");
        }
    }

    #[test]
    fn an_origin_is_there_once_and_nothing_else_is_found() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/ctis", json!({"name": "A"}));
        routing.create("/ctis", json!({"name": "B"}));
        let id = routing.create("/ctis/1/destinations", json!({"origin": "+33 1*"}));
        for same in ["+33 1*", "00331*", " +331 *"] {
            routing.post("/ctis/1/destinations", json!({"origin": same})).rejected(422, "origin_taken");
        }
        routing.put(&format!("/ctis/1/destinations/{id}"), json!({"origin": "+331*", "destination": "x"})).created();
        let other = routing.create("/ctis/1/destinations", json!({"origin": "+33 1"}));
        let taken = routing.put(&format!("/ctis/1/destinations/{other}"), json!({"origin": "+33 1 *"}));
        taken.rejected(422, "origin_taken");
        routing.create("/ctis/2/destinations", json!({"origin": "+33 1*"}));
        for bad in ["0*1", "**"] {
            let refused = routing.post("/ctis/1/destinations", json!({"origin": bad}));
            refused.invalid(&["The origin may have a * at its end only."]);
        }
        routing.get("/ctis/lookup?cti_id=1&origin=0299999999").rejected(404, "no_route");
        routing.get("/ctis/lookup?cti_id=3&origin=1").rejected(404, "not_found");
        routing.get("/ctis/lookup?token=x&origin=1").rejected(404, "not_found");
        routing.get("/ctis/lookup?cti_id=x&origin=1").invalid(&["The cti id must be an integer."]);
        routing.get("/ctis/lookup?cti_id=1").invalid(&["The origin field is required."]);
        routing.get("/ctis/lookup?origin=1").invalid(&["The cti id field is required when token is not present."]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The seeks find the same prefix as a scan of all prefixes.
        #[test]
        fn the_longest_prefix_is_found(prefixes in prop::collection::btree_set("[0-2é]{0,5}", 0..25), asked in prop::collection::vec("[0-2é]{1,7}", 1..20)) {
            let server = TestServer::new();
            let kept = prefixes.clone();
            let found = server.in_file(move |db| {
                db.execute("INSERT INTO customers (customer_account, name, active, vip, custom_fields, created_at, updated_at) VALUES ('A', 'A', 1, 0, '{}', 0, 0)", [])?;
                db.execute("INSERT INTO ctis (customer_id, name, created_at, updated_at) VALUES (1, 'A', 0, 0)", [])?;
                for prefix in &kept {
                    let sql = "INSERT INTO cti_destinations (customer_id, cti_id, origin, dialled, is_prefix, created_at, updated_at)
                               VALUES (1, 1, ?1 || '*', ?1, 1, 0, 0)";
                    db.execute(sql, [prefix])?;
                }
                let lengths = asked.iter().map(|text| Ok((text.clone(), longest_prefix(db, 1, text)?.map(|(_, length)| length))));
                Ok(lengths.collect::<rusqlite::Result<Vec<_>>>()?)
            });
            for (text, length) in found {
                let slow = prefixes.iter().filter(|prefix| text.starts_with(prefix.as_str())).map(String::len).max();
                prop_assert_eq!(length, slow, "{}", text);
            }
        }
    }
}
