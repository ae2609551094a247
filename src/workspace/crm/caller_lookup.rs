//! The caller look-up, on which a ringing phone waits, and the creation of a contact for an unknown caller.

use phonenumber::country::Id;
use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::CustomerFilter;
use super::pbx_values::{OrBlank, is_variable};
use crate::api::{Ctx, Error, Json, Ok200, Query, Request, Result, Saved, entity_rows};
use crate::storage::Stored;
use crate::tenancy::phones::{self, PhoneText};
use crate::tenancy::{RingTarget, RingingCall};
use crate::values::normalize::normalize;
use crate::values::phone::Dialled;
use crate::values::{CustomFields, Email, Name, Text, Timestamp, UrlTemplate, email, phone};
use crate::workspace::contacts::Contact;
use crate::workspace::phone_calls::Direction;
use crate::workspace::settings::Settings;

/// Maximum number of contacts in a response. A person at a ringing phone reads no more.
const MOST: usize = 50;

/// Number of last digits that identify a number, whatever country prefix is assumed.
const TELLING_DIGITS: usize = 9;

/// The caller to look up.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CallerLookupQuery {
    /// Number of the caller, in any format. Either this or `email` is required.
    #[schemars(example = "+33612345678")]
    phone: OrBlank<Text<255>>,
    /// Email address of the sender.
    email: OrBlank<Text<255>>,
    /// Name that the PBX shows. It names the caller in the response if no contact is found.
    display_name: OrBlank<Text<255>>,
    /// Extension of the agent whose phone rings. The call pops up for that user in the console.
    #[schemars(example = "204")]
    agent_extension: OrBlank<Text<32>>,
    /// Email address of the agent whose phone rings.
    agent_email: OrBlank<Text<255>>,
    /// Name or number of the call queue.
    queue: OrBlank<Text<255>>,
    /// Own number that was called.
    did: OrBlank<Text<255>>,
}

/// The contacts that match a caller.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallerSearch {
    /// At most 50 contacts, best match first: the number as typed, the same number, a number with the same last nine
    /// digits, the email address. If there is no match, or the look-up is disabled, one contact with the id `0`.
    contacts: Vec<PbxCaller>,
}

/// A contact in the form that a PBX shows. All values are text; empty if unknown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Caller")]
pub struct PbxCaller {
    /// Id of the contact. `0` if the caller is unknown.
    #[schemars(example = &"7")]
    id: String,
    /// First name.
    first_name: String,
    /// Last name.
    last_name: String,
    /// Email address.
    email: String,
    /// Business phone number.
    phone_business_1: String,
    /// Mobile phone number.
    phone_mobile_1: String,
    /// Company of the contact.
    company: String,
    /// URL that the PBX opens: the workspace's `contact_url_template` with its placeholders filled in, or the contact's
    /// page on this server.
    entity_url: String,
}

/// A caller to store as a contact.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NewCaller {
    /// Last name.
    #[schemars(example = &"Lefèvre")]
    last_name: Name<255>,
    /// First name.
    first_name: OrBlank<Text<255>>,
    /// Form of address, for example `Mme`.
    civility: OrBlank<Text<32>>,
    /// Email address.
    email: OrBlank<Email>,
    /// Number of the caller. It is stored in the first of `phone_business_1`, `phone_mobile_1` and `phone_business_2`
    /// that is empty.
    #[schemars(example = &"06 12 34 56 78")]
    phone: OrBlank<Text<255>>,
    /// Business phone number, stored in `phone_business_1`.
    phone_business: OrBlank<Text<255>>,
    /// Mobile phone number, stored in `phone_mobile_1`.
    phone_mobile: OrBlank<Text<255>>,
    /// Stored in `custom_fields` as `custom_value`.
    custom_value: OrBlank<Text<1000>>,
    /// Accepted, but not stored.
    call_direction: OrBlank<Direction>,
}

/// The stored contact.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallerCreated {
    /// Always `ok`.
    response: &'static str,
    /// The new contact, or the existing one with the same number and last name.
    contact: KnownCaller,
}

/// A contact in the form that a PBX shows, with all its other fields.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnownCaller {
    #[serde(flatten)]
    shown: PbxCaller,
    /// Id of the customer that the contact belongs to. Null if it belongs to none.
    customer_id: Option<i64>,
    /// Form of address, for example `Mme`.
    civility: Option<Text<32>>,
    /// Website. Free text.
    website: Option<Text<255>>,
    /// Second business phone number.
    phone_business_2: PhoneText,
    /// Second mobile phone number.
    phone_mobile_2: PhoneText,
    /// Private phone number.
    phone_home_1: PhoneText,
    /// Fax number.
    fax: PhoneText,
    /// Position of the contact in the company.
    role: Option<Text<255>>,
    /// Department of the contact in the company.
    service: Option<Text<255>>,
    /// Notes.
    comment: Option<Text<10000>>,
    /// Additional fields as a JSON object. At most 16 KiB as text, nested at most 5 levels deep.
    custom_fields: CustomFields,
    /// Time of creation (UTC).
    created_at: Timestamp,
    /// Time of the last change (UTC).
    updated_at: Timestamp,
}

/// Search criteria for a caller.
#[derive(Debug, Clone, Copy)]
pub struct CallerCriteria<'a> {
    pub phone: Option<&'a str>,
    pub email: Option<&'a str>,
    /// Country of numbers without a prefix.
    pub country: Id,
}

pub fn search(
    ctx: &mut Ctx<'_>,
    Query(asked): Query<CallerLookupQuery>,
    Query(whose): Query<CustomerFilter>,
) -> Result<Ok200<CallerSearch>> {
    let phone = asked.phone.value().map(|number| phone::restore_plus(number));
    let shown = phone.as_deref().map(phone::uri_user);
    let email = asked.email.value().map(|email| email.trim());
    if phone.is_none() && email.is_none() {
        return Err(Error::invalid("The phone field is required when email is not present."));
    }
    let customer = whose.customer(ctx)?;
    let settings = Settings::find(ctx.db)?;
    let by = CallerCriteria { phone: phone.as_deref(), email, country: settings.country() };
    let shown = CallerCriteria { phone: shown.as_deref(), ..by };
    let links = ContactLinks::of(ctx.request, settings.contact_url_template)?;
    let mut contacts = if settings.features.contact_lookup { callers(ctx.db, customer, &by)? } else { Vec::new() };
    if let Some(number) = shown.phone.filter(|number| !phone::is_withheld(number)) {
        asked.ring(ctx, customer, number, contacts.first())?;
    }
    if contacts.is_empty() {
        contacts.push(PbxCaller::unknown(&shown, asked.display_name.value().map(|name| &**name)));
    }
    contacts.iter_mut().for_each(|contact| links.put(contact, &shown));
    Ok(Ok200(CallerSearch { contacts }))
}

impl CallerLookupQuery {
    /// Remembers that a phone rings, and wakes the streams of the workspace.
    fn ring(&self, ctx: &Ctx<'_>, customer: Option<i64>, number: &str, best: Option<&PbxCaller>) -> Result<()> {
        fn text<const N: usize>(value: &OrBlank<Text<N>>) -> Option<String> {
            value.value().map(|value| value.to_string())
        }
        let contact_id = best.and_then(|caller| caller.id.parse().ok());
        let target = RingTarget {
            agent_extension: text(&self.agent_extension),
            agent_email: text(&self.agent_email),
            queue: text(&self.queue),
            did: text(&self.did),
        };
        let (node, workspace) = (&ctx.request.instance.node, ctx.request.workspace()?.id());
        let number = number.to_owned();
        let call = RingingCall { id: 0, at: ctx.now, number, customer_id: customer, contact_id, target };
        if node.ringing_calls.add(workspace, call) {
            node.stream_signals.wake(workspace);
        }
        Ok(())
    }
}

pub fn create(
    ctx: &mut Ctx<'_>,
    Json(new): Json<NewCaller>,
    Query(whose): Query<CustomerFilter>,
) -> Result<Saved<CallerCreated>> {
    if is_variable(&new.last_name) {
        return Err(Error::invalid("The last name field is required."));
    }
    let customer = whose.customer(ctx)?;
    let settings = Settings::find(ctx.db)?;
    let country = settings.country();
    let new = new.contact(customer, country)?;
    let contact = match find_existing(ctx.db, customer, &new, country)? {
        Some(contact) => contact,
        None => {
            entity_rows::add(ctx.db, &ctx.recorder()?, Contact { created_at: ctx.now, updated_at: ctx.now, ..new })?
        }
    };
    let mut shown = PbxCaller::of(&contact);
    let links = ContactLinks::of(ctx.request, settings.contact_url_template)?;
    links.put(&mut shown, &CallerCriteria { phone: None, email: None, country });
    Ok(Saved(CallerCreated { response: "ok", contact: KnownCaller::of(contact, shown) }))
}

/// The target of links to contacts.
enum ContactLinks {
    /// The URL template of the workspace.
    Elsewhere(UrlTemplate),
    /// The contact pages at this address.
    Here(String),
}

impl ContactLinks {
    fn of(request: &Request, template: Option<UrlTemplate>) -> Result<Self> {
        Ok(match template {
            Some(template) => Self::Elsewhere(template),
            None => Self::Here(request.workspace_url()?),
        })
    }

    /// The link contains the calling number, by which another CRM can find the contact too.
    fn put(&self, contact: &mut PbxCaller, by: &CallerCriteria<'_>) {
        let template = match self {
            Self::Elsewhere(template) => template,
            Self::Here(origin) => {
                contact.entity_url = format!("{origin}/ui/contacts/{}", contact.id);
                return;
            }
        };
        let own = [&contact.phone_business_1, &contact.phone_mobile_1].into_iter().find(|number| !number.is_empty());
        let phone = by.phone.or(own.map(String::as_str)).unwrap_or_default();
        let email = if contact.email.is_empty() { by.email.unwrap_or_default() } else { &contact.email };
        let name = format!("{} {}", contact.first_name, contact.last_name);
        contact.entity_url = template.fill(|placeholder| match placeholder {
            "id" => &contact.id,
            "phone" => phone,
            "email" => email,
            _ => name.trim(),
        });
    }
}

/// All matching contacts of one customer or of all, best match first, each once.
pub fn callers(db: &Connection, customer: Option<i64>, by: &CallerCriteria<'_>) -> Result<Vec<PbxCaller>> {
    let mut found: Vec<PbxCaller> = Vec::new();
    let mut take = |caller: PbxCaller| {
        if found.len() < MOST && !found.iter().any(|known| known.id == caller.id) {
            found.push(caller);
        }
    };
    if let Some(range) = by.phone.and_then(|phone| NumberRange::of(phone, by.country)) {
        let mut statement = db.prepare_cached(WITH_NUMBER)?;
        let bound = params![range.from, range.end, customer, by.phone, range.digits];
        statement.query_map(bound, PbxCaller::from_row)?.try_for_each(|row| row.map(&mut take))?;
    }
    if let Some(email) = by.email {
        let mut statement = db.prepare_cached(WITH_EMAIL)?;
        let [typed, ascii, unicode] = email::spellings(email);
        statement
            .query_map(params![customer, typed, ascii, unicode], PbxCaller::from_row)?
            .try_for_each(|row| row.map(&mut take))?;
    }
    Ok(found)
}

/// A range of the number index: numbers with the same last digits. Extensions, and digits that cannot be a number,
/// match only exactly.
struct NumberRange {
    digits: String,
    from: String,
    end: String,
}

impl NumberRange {
    /// None if the text has no number, such as `anonymous`.
    fn of(phone: &str, country: Id) -> Option<Self> {
        let number = phone::read(phone, country).into_iter().next()?;
        let is_number = matches!(number, Dialled::Number(_));
        let digits = number.key();
        let from = digits.get(..TELLING_DIGITS).filter(|_| is_number).unwrap_or(&digits).to_owned();
        // `:` is the character after `9`. For an exact match the range ends at the text followed by the smallest
        // character.
        let end = if digits.len() < TELLING_DIGITS || !is_number { format!("{from}\u{1}") } else { format!("{from}:") };
        Some(Self { digits, from, end })
    }
}

/// Reads a range of the index and the few contacts that it leads to, and sorts only these. A contact has up to six
/// numbers in the index.
const WITH_NUMBER: &str = "
    SELECT c.id, c.first_name, c.last_name, c.email, c.phone_business_1, c.phone_mobile_1, c.company
    FROM phone_numbers n CROSS JOIN contacts c ON c.id = n.resource_id
    WHERE n.resource = 'contacts' AND n.reversed >= ?1 AND n.reversed < ?2 AND (?3 IS NULL OR c.customer_id = ?3)
    ORDER BY (?4 IN (c.phone_business_1, c.phone_business_2, c.phone_mobile_1, c.phone_mobile_2, c.phone_home_1, c.fax))
        IS TRUE DESC, n.reversed = ?5 DESC, c.id
    LIMIT 300";

/// The index is in the order of the ids.
const WITH_EMAIL: &str = "
    SELECT c.id, c.first_name, c.last_name, c.email, c.phone_business_1, c.phone_mobile_1, c.company
    FROM contacts c INDEXED BY contacts_email
    WHERE c.email COLLATE NOCASE IN (?2, ?3, ?4) AND (?1 IS NULL OR c.customer_id = ?1) ORDER BY c.id
    LIMIT 50";

/// The best match.
pub fn best_match(db: &Connection, customer: Option<i64>, by: &CallerCriteria<'_>) -> Result<Option<i64>> {
    let first = callers(db, customer, by)?.into_iter().next();
    Ok(first.and_then(|caller| caller.id.parse().ok()))
}

/// An existing contact with one of the numbers and the same last name, of one customer or of all.
fn find_existing(db: &Connection, customer: Option<i64>, new: &Contact, country: Id) -> Result<Option<Contact>> {
    let numbers = [&new.phone_business_1, &new.phone_mobile_1, &new.phone_business_2];
    for number in numbers.into_iter().flatten() {
        let id = db
            .prepare_cached(
                "SELECT c.id FROM phone_numbers n CROSS JOIN contacts c ON c.id = n.resource_id
                 WHERE n.resource = 'contacts' AND n.reversed = ?1 AND (?2 IS NULL OR c.customer_id = ?2)
                     AND fold(c.last_name) = ?3 ORDER BY c.id LIMIT 1",
            )?
            .query_row((phones::reversed(number, country), customer, normalize(&new.last_name)), |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            return Ok(Contact::find(db, id)?);
        }
    }
    Ok(None)
}

/// A number to store: the user part of a SIP address. None for a withheld number.
fn number(field: &str, said: OrBlank<Text<255>>) -> Result<PhoneText> {
    let number = said.or(None).map(|said| phone::uri_user(&said));
    let number = number.filter(|number| !number.is_empty() && !phone::is_withheld(number));
    number.map(Text::parse).transpose().map_err(|says| Error::invalid(format!("The {field} {says}")))
}

impl NewCaller {
    fn contact(self, customer_id: Option<i64>, country: Id) -> Result<Contact> {
        let mut contact = Contact {
            customer_id,
            last_name: self.last_name,
            first_name: self.first_name.or(None),
            civility: self.civility.or(None),
            email: self.email.or(None),
            phone_business_1: number("phone business", self.phone_business)?,
            phone_mobile_1: number("phone mobile", self.phone_mobile)?,
            ..Contact::default()
        };
        if let Some(phone) = number("phone", self.phone)? {
            let digits = |number: &str| phones::reversed(number, country);
            let said = [&contact.phone_business_1, &contact.phone_mobile_1];
            if !said.into_iter().flatten().any(|number| digits(number) == digits(&phone)) {
                let free = [&mut contact.phone_business_1, &mut contact.phone_mobile_1, &mut contact.phone_business_2];
                *free.into_iter().find(|number| number.is_none()).expect("one more than were said") = Some(phone);
            }
        }
        if let Some(value) = self.custom_value.or(None) {
            let fields = serde_json::from_value(json!({"custom_value": value}));
            contact.custom_fields = fields.map_err(|error| Error::Internal(error.to_string()))?;
        }
        Ok(contact)
    }
}

impl PbxCaller {
    /// The person, or else the company.
    pub fn name(&self) -> String {
        let person = format!("{} {}", self.first_name, self.last_name);
        let name = if person.trim().is_empty() { &self.company } else { &person };
        name.trim().to_owned()
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let text = |column: usize| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
        Ok(Self {
            id: row.get::<_, i64>(0)?.to_string(),
            first_name: text(1)?,
            last_name: text(2)?,
            email: text(3)?,
            phone_business_1: text(4)?,
            phone_mobile_1: text(5)?,
            company: text(6)?,
            entity_url: String::new(),
        })
    }

    fn of(contact: &Contact) -> Self {
        fn text<T: ToString>(value: Option<&T>) -> String {
            value.map(T::to_string).unwrap_or_default()
        }
        Self {
            id: contact.id.to_string(),
            first_name: text(contact.first_name.as_ref()),
            last_name: contact.last_name.to_string(),
            email: text(contact.email.as_ref()),
            phone_business_1: text(contact.phone_business_1.as_ref()),
            phone_mobile_1: text(contact.phone_mobile_1.as_ref()),
            company: text(contact.company.as_ref()),
            entity_url: String::new(),
        }
    }

    /// An unknown caller. With this entry the PBX still journals the call.
    fn unknown(by: &CallerCriteria<'_>, display_name: Option<&str>) -> Self {
        let (phone, email) = (by.phone.unwrap_or_default(), by.email.unwrap_or_default());
        let address = if phone.is_empty() { email } else { phone };
        Self {
            id: "0".into(),
            first_name: String::new(),
            last_name: display_name.unwrap_or(address).into(),
            email: email.into(),
            phone_business_1: phone.into(),
            phone_mobile_1: String::new(),
            company: String::new(),
            entity_url: String::new(),
        }
    }
}

impl KnownCaller {
    fn of(contact: Contact, shown: PbxCaller) -> Self {
        Self {
            shown,
            customer_id: contact.customer_id,
            civility: contact.civility,
            website: contact.website,
            phone_business_2: contact.phone_business_2,
            phone_mobile_2: contact.phone_mobile_2,
            phone_home_1: contact.phone_home_1,
            fax: contact.fax,
            role: contact.role,
            service: contact.service,
            comment: contact.comment,
            custom_fields: contact.custom_fields,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

#[cfg(test)]
mod tests;
