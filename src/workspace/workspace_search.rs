//! Search over everything that a caller may see: by phone number, by address or account, and by words.

use std::fmt::Write as _;
use std::ops::Range;

use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::api::field::{Field, labelled, search_words, word_count};
use crate::api::resource::Resource;
use crate::api::{Ctx, Error, Needs, Ok200, Query, Result, Route, get, run};
use crate::auth::Principal;
use crate::tenancy::customer_lookup;
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::tenancy::phones::NumberKeys;
use crate::values::normalize::normalize;
use crate::values::{Name, Timestamp, email, integer, phone};

pub const RESOURCE: Resource = Resource::new("Search", "Search over everything that the caller may see.", ROUTES)
    .french("Recherche")
    .fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("q", "Search", "Recherche"),
    labelled("per", "Results per kind", "Résultats par type"),
    labelled("contacts", "Contacts", "Contacts"),
    labelled("customers", "Customers", "Clients"),
    labelled("phone_calls", "Calls", "Appels"),
    labelled("call_queues", "Call queues", "Files d’attente"),
    labelled("routing_contacts", "Routing contacts", "Contacts de routage"),
    labelled("ctis", "CTIs", "CTI"),
    labelled("users", "Users", "Utilisateurs"),
];

const ROUTES: &[Route] =
    &[get("/search", &run(search), Needs::Principal, "Search everything that the caller may see").named("search")];

/// Maximum words of a search. Each is a search of its own.
const MOST_WORDS: usize = 20;

/// Entries that are read per result. A resource may have several entries with the same number.
const ENTRIES: i64 = 6;

/// A search.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SearchQuery {
    /// A phone number in any format, its last digits (at least 4), an email address, the account of a customer, or
    /// words. At most 20 words.
    #[schemars(example = &"01 42 00 00 00")]
    q: Name<100>,
    /// Maximum results of each kind. Defaults to 5.
    per: PerKind,
}

/// A number of results, in a query, where every value is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PerKind(i64);

impl PerKind {
    const MOST: i64 = 20;
}

impl Default for PerKind {
    fn default() -> Self {
        Self(5)
    }
}

impl Serialize for PerKind {
    fn serialize<S: serde::Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&self.0.to_string())
    }
}

impl<'de> Deserialize<'de> for PerKind {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let number = integer::read(&String::deserialize(input)?).filter(|number| (1..=Self::MOST).contains(number));
        number.map(Self).ok_or_else(|| de::Error::custom(format!("must be between 1 and {}.", Self::MOST)))
    }
}

crate::values::described!(
    PerKind,
    schemars::json_schema!({"type": "integer", "format": "int64", "minimum": 1, "maximum": Self::MOST})
);

/// The results, by kind. A kind that the caller may not view is empty.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct SearchResults {
    /// Contacts.
    contacts: Vec<SearchHit>,
    /// Customers.
    customers: Vec<SearchHit>,
    /// Phone calls, newest first.
    phone_calls: Vec<SearchHit>,
    /// Call queues.
    call_queues: Vec<SearchHit>,
    /// Routing contacts.
    routing_contacts: Vec<SearchHit>,
    /// CTIs.
    ctis: Vec<SearchHit>,
    /// Users. None for callers that are bound to a customer.
    users: Vec<SearchHit>,
}

/// A result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchHit {
    /// Id of the resource.
    id: i64,
    /// Name of the resource.
    name: String,
    /// Further text that tells resources with the same name apart.
    line: String,
    /// Path of the page of the resource in the console.
    #[schemars(example = &"/ui/contacts/7")]
    url: String,
}

/// A kind of result. Every text here becomes SQL unchanged.
struct Kind {
    table: &'static str,
    permission: &'static str,
    /// The column with the customer. `None`: callers that are bound to a customer do not see the rows.
    customer: Option<&'static str>,
    has_numbers: bool,
    /// The column with an email address or a list of them, and the condition that an address of `own` is the text.
    address: Option<(&'static str, &'static str)>,
    /// The id, and the texts from which name, line and address are built.
    row: &'static str,
    show: fn(&Found<'_>, &Row<'_>) -> rusqlite::Result<SearchHit>,
}

const CONTACTS: Kind = Kind {
    table: "contacts",
    permission: "contact.view",
    customer: Some("customer_id"),
    has_numbers: true,
    address: Some(("email", "fold(own.email) = ?")),
    row: "SELECT id, first_name, last_name, company,
              coalesce(phone_mobile_1, phone_business_1, phone_business_2, phone_mobile_2, phone_home_1), email
          FROM contacts WHERE id = ?",
    show: |_, row| {
        let id = row.get(0)?;
        Ok(hit(id, &texts(row, 1..3)?, &texts(row, 3..6)?, format!("/ui/contacts/{id}")))
    },
};

const CUSTOMERS: Kind = Kind {
    table: "customers",
    permission: "customer.view",
    customer: Some("id"),
    has_numbers: true,
    address: Some(("email_address", "fold(own.email_address) = ?")),
    row: "SELECT id, name, customer_account, main_address_city, coalesce(phone, mobile_phone) FROM customers WHERE id = ?",
    show: |_, row| {
        let id = row.get(0)?;
        Ok(hit(id, &texts(row, 1..2)?, &texts(row, 2..5)?, format!("/ui/customers/{id}")))
    },
};

const PHONE_CALLS: Kind = Kind {
    table: "phone_calls",
    permission: "phone-call.view",
    customer: Some("customer_id"),
    has_numbers: true,
    address: None,
    row: "SELECT id, coalesce(subject, number_from, number_to), number_from, number_to, agent_name, started_at
          FROM phone_calls WHERE id = ?",
    show: |found, row| {
        let (id, started): (i64, Option<Timestamp>) = (row.get(0)?, row.get(5)?);
        let mut line = texts(row, 2..5)?;
        line.extend(started.map(|started| found.local(started)));
        Ok(hit(id, &texts(row, 1..2)?, &line, format!("/ui/phone-calls/{id}")))
    },
};

const CALL_QUEUES: Kind = Kind {
    table: "call_queues",
    permission: "routing.view",
    customer: Some("customer_id"),
    has_numbers: true,
    address: None,
    row: "SELECT q.id, c.customer_account, q.name, q.code, q.did_number, c.name
          FROM call_queues q JOIN customers c ON c.id = q.customer_id WHERE q.id = ?",
    show: |_, row| routed(row, 2..3, 3..6, "call-queues/queues"),
};

const ROUTING_CONTACTS: Kind = Kind {
    table: "routing_contacts",
    permission: "routing.view",
    customer: Some("customer_id"),
    has_numbers: true,
    address: Some(("emails", "EXISTS (SELECT 1 FROM json_each(own.emails) WHERE fold(value) = ?)")),
    row: "SELECT r.id, c.customer_account, r.first_name, r.last_name, r.company, r.id_code, r.telecoms ->> 0, c.name
          FROM routing_contacts r JOIN customers c ON c.id = r.customer_id WHERE r.id = ?",
    show: |_, row| routed(row, 2..4, 4..8, "contacts"),
};

const CTIS: Kind = Kind {
    table: "ctis",
    permission: "routing.view",
    customer: Some("customer_id"),
    has_numbers: false,
    address: None,
    row: "SELECT t.id, c.customer_account, t.name, c.name
          FROM ctis t JOIN customers c ON c.id = t.customer_id WHERE t.id = ?",
    show: |_, row| routed(row, 2..3, 3..4, "ctis"),
};

const USERS: Kind = Kind {
    table: "users",
    permission: "user.view",
    customer: None,
    has_numbers: true,
    address: Some(("email", "fold(own.email) = ?")),
    row: "SELECT id, name, email, extension, phone FROM users WHERE id = ?",
    show: |found, row| {
        let (id, email): (i64, String) = (row.get(0)?, row.get(2)?);
        // Only an admin sees the page of another user.
        let url = if found.principal.has_permission("*") || found.principal.user_id() == Some(id) {
            format!("/ui/users/{id}")
        } else {
            format!("/ui/users?filter%5Bemail%5D={}", encoded(&email))
        };
        Ok(hit(id, &texts(row, 1..2)?, &texts(row, 2..5)?, url))
    },
};

fn search(ctx: &mut Ctx<'_>, Query(wanted): Query<SearchQuery>) -> Result<Ok200<SearchResults>> {
    if wanted.q.split_whitespace().count().max(word_count(&wanted.q)) > MOST_WORDS {
        return Err(Error::invalid(format!("The q may not have more than {MOST_WORDS} words.")));
    }
    ctx.request.require_texts(ctx.db)?;
    let locale = WorkspaceLocale::of(ctx.db)?;
    let principal = ctx.principal()?;
    let found = Found {
        db: ctx.db,
        principal,
        wanted: wanted.q.trim(),
        number: is_number(&wanted.q).then(|| NumberKeys::of(&wanted.q, locale.country)).flatten(),
        per: wanted.per.0,
        zone: locale.zone,
    };
    let kinds = [&CONTACTS, &CUSTOMERS, &PHONE_CALLS, &CALL_QUEUES, &ROUTING_CONTACTS, &CTIS, &USERS];
    let [contacts, customers, phone_calls, call_queues, routing_contacts, ctis, users] = found.of(kinds)?;
    Ok(Ok200(SearchResults { contacts, customers, phone_calls, call_queues, routing_contacts, ctis, users }))
}

/// Whether a text is a phone number and nothing else.
fn is_number(text: &str) -> bool {
    let digits = phone::digits(text).chars().count();
    digits > 1 && text.chars().all(|c| c.is_numeric() || c.is_whitespace() || "+()-./*#".contains(c))
}

/// A running search.
struct Found<'a> {
    db: &'a Connection,
    principal: &'a Principal,
    wanted: &'a str,
    number: Option<NumberKeys>,
    per: i64,
    zone: TimeZone,
}

/// A statement that finds ids, best match first.
struct Finder {
    sql: String,
    bound: Vec<Sql>,
}

impl Found<'_> {
    /// The results of each kind: those with the number or the address. If there are none, those with the words. The
    /// customer with the account comes first.
    fn of<const N: usize>(&self, kinds: [&Kind; N]) -> Result<[Vec<SearchHit>; N]> {
        let kinds = kinds.map(|kind| self.may_view(kind).then_some(kind));
        let mut ids = [const { Vec::new() }; N];
        for (kind, ids) in kinds.iter().zip(&mut ids) {
            let finders = kind.iter().flat_map(|kind| self.numbers(kind).into_iter().chain(self.addresses(kind)));
            finders.into_iter().try_for_each(|finder| self.add(ids, &finder))?;
        }
        let is_exact = ids.iter().any(|ids| !ids.is_empty());
        let mut hits = [const { Vec::new() }; N];
        for ((kind, mut ids), hits) in kinds.into_iter().zip(ids).zip(&mut hits) {
            let Some(kind) = kind else { continue };
            if let Some(id) = self.account(kind)? {
                ids.insert(0, id);
            }
            if let Some(finder) = self.words(kind).filter(|_| !is_exact) {
                self.add(&mut ids, &finder)?;
            }
            let mut statement = self.db.prepare_cached(kind.row)?;
            let rows = ids.iter().map(|id| statement.query_row([id], |row| (kind.show)(self, row)).optional());
            *hits = rows.filter_map(rusqlite::Result::transpose).collect::<rusqlite::Result<_>>()?;
        }
        Ok(hits)
    }

    fn may_view(&self, kind: &Kind) -> bool {
        let is_visible = self.principal.customer_id.is_none() || kind.customer.is_some();
        is_visible && self.principal.has_permission(kind.permission)
    }

    fn add(&self, ids: &mut Vec<i64>, finder: &Finder) -> Result<()> {
        let mut statement = self.db.prepare_cached(&finder.sql)?;
        let mut rows = statement.query(params_from_iter(&finder.bound))?;
        while let Some(row) = rows.next()? {
            if i64::try_from(ids.len()).is_ok_and(|count| count >= self.per) {
                break;
            }
            let id = row.get(0)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(())
    }

    /// The customer with the account.
    fn account(&self, kind: &Kind) -> Result<Option<i64>> {
        if kind.table != CUSTOMERS.table {
            return Ok(None);
        }
        let mut found = customer_lookup::with_account(self.db, self.wanted)?;
        if found.is_none() {
            found = customer_lookup::with_account(self.db, &self.wanted.to_uppercase())?;
        }
        Ok(found.filter(|id| self.principal.customer_id.is_none_or(|own| own == *id)))
    }

    /// The same number first, then numbers that end with the digits. The index has the rows with the same number in the
    /// order of their ids.
    fn numbers(&self, kind: &Kind) -> Vec<Finder> {
        let Some(keys) = self.number.as_ref().filter(|_| kind.has_numbers) else { return Vec::new() };
        let of = format!("hits.resource = '{}' AND hits.reversed", kind.table);
        let finder = |condition: String, bound: Vec<Sql>, order: &str| {
            self.finder(kind, "phone_numbers AS hits", "hits.resource_id", &condition, bound, order)
        };
        let same = finder(format!("{of} = ?"), vec![keys.same.clone().into()], " ORDER BY hits.resource_id DESC");
        let ending = keys
            .ending
            .clone()
            .map(|(from, end)| finder(format!("{of} >= ? AND hits.reversed < ?"), vec![from.into(), end.into()], ""));
        [same].into_iter().chain(ending).collect()
    }

    /// The rows with the address. The full-text index finds them, and the comparison leaves out longer addresses.
    fn addresses(&self, kind: &Kind) -> Vec<Finder> {
        let Some((column, compared)) = kind.address.filter(|_| self.wanted.contains('@')) else { return Vec::new() };
        let mut spellings = email::spellings(self.wanted).to_vec();
        spellings.dedup();
        let finder = |spelling: String| {
            let phrase = format!("{column} : \"{}\"", tokens(&spelling).join(" "));
            let (table, fts) = (kind.table, format!("{}_fts", kind.table));
            let source = format!(
                "(SELECT rowid AS hit FROM {fts} WHERE {fts} MATCH ?) AS hits
                 CROSS JOIN {table} AS own ON own.id = hits.hit"
            );
            let bound = vec![phrase.into(), normalize(&spelling).into()];
            self.finder(kind, &source, "hits.hit", compared, bound, "")
        };
        spellings.into_iter().map(|spelling| finder(spelling.to_string())).collect()
    }

    /// The rows with all words, newest first. The index returns its hits in that order.
    fn words(&self, kind: &Kind) -> Option<Finder> {
        let words = search_words(self.wanted)?;
        let fts = format!("{}_fts", kind.table);
        let source = format!("(SELECT rowid AS hit FROM {fts} WHERE {fts} MATCH ? ORDER BY rowid DESC) AS hits");
        Some(self.finder(kind, &source, "hits.hit", "1", vec![words.into()], " ORDER BY hits.hit DESC"))
    }

    /// The statement that reads ids from a source, limited to the customer of the caller.
    fn finder(&self, kind: &Kind, source: &str, id: &str, condition: &str, mut bound: Vec<Sql>, order: &str) -> Finder {
        let mut sql = format!("SELECT {id} FROM {source}");
        let own = self.principal.customer_id.zip(kind.customer);
        match own {
            Some((customer, column)) => {
                let table = kind.table;
                _ = write!(sql, " CROSS JOIN {table} AS listed ON listed.id = {id}");
                _ = write!(sql, " WHERE {condition} AND listed.{column} = ?");
                bound.push(customer.into());
            }
            None => _ = write!(sql, " WHERE {condition}"),
        }
        _ = write!(sql, "{order} LIMIT ?");
        bound.push((self.per * ENTRIES).into());
        Finder { sql, bound }
    }

    /// A time in the zone of the workspace.
    fn local(&self, at: Timestamp) -> String {
        at.local(&self.zone).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// The words of a text as the full-text index has them.
fn tokens(text: &str) -> Vec<String> {
    let folded = normalize(text);
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The texts of these columns that are not empty.
fn texts(row: &Row<'_>, columns: Range<usize>) -> rusqlite::Result<Vec<String>> {
    let texts = columns.map(|column| Ok(row.get::<_, Option<String>>(column)?.filter(|text| !text.is_empty())));
    texts.filter_map(rusqlite::Result::transpose).collect()
}

/// A result. A resource without a name is called by its id.
fn hit(id: i64, name: &[String], line: &[String], url: String) -> SearchHit {
    let name = if name.is_empty() { format!("#{id}") } else { name.join(" ") };
    SearchHit { id, name, line: line.join(" · "), url }
}

/// A result of call routing. Its page names the account of the customer, which is in column 1.
fn routed(row: &Row<'_>, name: Range<usize>, line: Range<usize>, path: &str) -> rusqlite::Result<SearchHit> {
    let (id, account): (i64, String) = (row.get(0)?, row.get(1)?);
    let url = format!("/ui/routing/{}/{path}/{id}", encoded(&account));
    Ok(hit(id, &texts(row, name)?, &texts(row, line)?, url))
}

/// Encodes a segment of a path, or a value of a query.
fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests;
