//! Forms: a record as texts that a person edits, and the texts as a change of the record.
//!
//! A form keeps the record as it was read. It sends a field only if its text differs from that record. A form without
//! changes therefore changes nothing, and two people can edit different fields at the same time.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::catalog::collection;
use super::choice_matrix::{self, MatrixRow};
use super::display::{at, moment_input, plain};
use super::links::{Names, target};
use super::page::PageCtx;
use super::schema::{FieldSpec, FieldType};
use super::texts::choice_label;
use crate::api::resource_view::Widget;
use crate::api::{Error, InnerRequest, Result};
use crate::auth::secret;
use crate::pages::problem_rules::field_words;
use crate::pages::translations::Translations;

/// What a person typed into a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Typed {
    One(String),
    Many(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// A sentence, and the field to which it belongs.
pub type Problem = (Option<String>, String);

/// A form with its values.
pub struct FormState {
    pub typed: HashMap<String, Typed>,
    /// The record as it was read when the form was opened.
    pub base: Value,
    /// The tag of that state.
    pub state: Option<String>,
    /// Identifies the form: sent twice, it acts once.
    pub once: String,
    pub problems: Vec<Problem>,
}

/// The inputs of a form, in groups.
pub struct InputGroup {
    pub label: Option<String>,
    pub inputs: Vec<FormInput>,
}

/// A field as an input.
pub struct FormInput {
    pub id: String,
    pub name: String,
    pub label: String,
    pub help: Option<String>,
    pub kind: InputKind,
    pub value: String,
    pub is_required: bool,
    pub max_length: Option<u64>,
    /// What the browser may fill in. Only forms about the person have it.
    pub autocomplete: Option<&'static str>,
    pub problem: Option<String>,
    pub options: Vec<InputOption>,
    pub pairs: Vec<(String, String)>,
    pub matrix: Vec<MatrixRow>,
    /// Whether the heading of the group says the same as the label.
    pub is_named_by_group: bool,
    /// The address at which the script looks for records.
    pub lookup: Option<String>,
}

impl FormInput {
    /// Whether a box stands for all choices of a row.
    pub fn has_wildcards(&self) -> bool {
        self.matrix.iter().flat_map(|row| &row.boxes).any(|one| one.name.ends_with('*'))
    }
}

pub struct InputOption {
    pub value: String,
    pub label: String,
    pub is_chosen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    Text,
    Email,
    Tel,
    Url,
    Number,
    Lines,
    Check,
    Choice,
    Day,
    Moment,
    Clock,
    Pairs,
    List,
    Boxes,
    Matrix,
    Secret,
    Link,
    Code,
}

/// The kind of input for a field.
pub fn input_kind(field: &FieldSpec) -> InputKind {
    match (field.widget, &field.kind) {
        (Some(Widget::Lines), _) => InputKind::Lines,
        (Some(Widget::Email), FieldType::Text) => InputKind::Email,
        (Some(Widget::Phone), FieldType::Text) => InputKind::Tel,
        (Some(Widget::Url), FieldType::Text) => InputKind::Url,
        (Some(Widget::Clock), _) => InputKind::Clock,
        (Some(Widget::Secret), _) => InputKind::Secret,
        (Some(Widget::Permissions | Widget::Scopes | Widget::Events), _) => InputKind::Matrix,
        (Some(Widget::Link(_) | Widget::LinkBy(..)), FieldType::Integer) => InputKind::Link,
        (Some(Widget::Pairs), _) => InputKind::Pairs,
        (_, FieldType::List(choices)) if !choices.is_empty() => InputKind::Boxes,
        (_, FieldType::List(_)) => InputKind::List,
        (_, FieldType::Flag) => InputKind::Check,
        (_, FieldType::Choice(_) | FieldType::NumberChoice(_)) => InputKind::Choice,
        (_, FieldType::Integer | FieldType::Number) => InputKind::Number,
        (_, FieldType::Moment) => InputKind::Moment,
        (_, FieldType::Day) => InputKind::Day,
        (_, FieldType::Object | FieldType::Record) => InputKind::Code,
        (_, FieldType::Text) if field.max_length.is_some_and(|most| most > 500) => InputKind::Lines,
        (_, FieldType::Text) => InputKind::Text,
    }
}

/// The value of a field in a record. The id of a linked record may be inside it: `role_id` is `role.id`.
pub fn value_in<'v>(record: &'v Value, name: &str) -> &'v Value {
    let value = at(record, name);
    match name.strip_suffix("_id") {
        Some(object) if value.is_null() && record[object].is_object() => &record[object]["id"],
        _ => value,
    }
}

/// A value as its input shows it.
pub fn typed_of(field: &FieldSpec, record: &Value, zone: &TimeZone, names: &Names) -> Typed {
    let value = value_in(record, &field.name);
    let texts = || value.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
    match input_kind(field) {
        InputKind::Boxes | InputKind::Matrix | InputKind::List => Typed::Many(texts()),
        InputKind::Pairs => {
            let object = value.as_object().into_iter().flatten();
            Typed::Pairs(object.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        InputKind::Check => Typed::One((value == true).to_string()),
        InputKind::Moment => Typed::One(value.as_str().map(|text| moment_input(zone, text)).unwrap_or_default()),
        // No record has the id 0: it stands for a link that is not chosen yet.
        InputKind::Link => Typed::One(match (target(field, record), value.as_i64().filter(|id| *id > 0)) {
            (Some(path), Some(id)) => match names.name(path, id) {
                Some(name) => format!("{name} #{id}"),
                None => format!("#{id}"),
            },
            _ => String::new(),
        }),
        InputKind::Code if value.is_null() => Typed::One(String::new()),
        InputKind::Code => Typed::One(serde_json::to_string_pretty(value).unwrap_or_default()),
        InputKind::Secret => Typed::One(String::new()),
        _ => Typed::One(plain(value)),
    }
}

/// Reads the fields of a form that was sent.
pub fn read(fields: &[FieldSpec], sent: &[(String, String)]) -> HashMap<String, Typed> {
    let all = |name: &str| {
        let found = sent.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.replace("\r\n", "\n")).collect::<Vec<_>>()
    };
    let read = fields.iter().filter_map(|field| {
        let name = &field.name;
        let typed = match input_kind(field) {
            InputKind::Boxes | InputKind::Matrix => {
                // The form names the field also if no box is ticked.
                if all(&format!("{name}[]")).is_empty() && all(&format!("{name}[none]")).is_empty() {
                    return None;
                }
                Typed::Many(all(&format!("{name}[]")))
            }
            InputKind::List => {
                // The lines as they were typed: a rejected form shows them again.
                Typed::Many(all(name).first()?.split('\n').map(str::to_owned).collect())
            }
            InputKind::Pairs => {
                let (names, values) = (all(&format!("{name}[name]")), all(&format!("{name}[value]")));
                if names.is_empty() {
                    return None;
                }
                let pairs = names.into_iter().zip(values);
                Typed::Pairs(pairs.filter(|(name, _)| !name.trim().is_empty()).collect())
            }
            // The hidden input before the box is sent if the box is not ticked.
            _ => Typed::One(all(name).pop()?),
        };
        Some((name.clone(), typed))
    });
    read.collect()
}

impl FormState {
    /// A form that is opened now, with these texts and the record that they come from.
    pub fn opened(typed: HashMap<String, Typed>, base: Value, state: Option<String>) -> Result<Self> {
        Ok(Self { typed, base, state, once: secret::random()?, problems: Vec::new() })
    }

    /// The problems for the summary above the form, each with the id of its input if the form has it.
    pub fn problems_at<'i>(
        &self,
        inputs: impl Iterator<Item = &'i FormInput> + Clone,
    ) -> Vec<(Option<String>, String)> {
        let id = |name: &String| inputs.clone().find(|input| input.name == *name).map(|input| input.id.clone());
        self.problems.iter().map(|(name, sentence)| (name.as_ref().and_then(id), sentence.clone())).collect()
    }

    /// The fields that the person changed: their text differs from the record that was read.
    pub fn changed<'f>(&self, fields: &'f [FieldSpec], zone: &TimeZone, names: &Names) -> Vec<&'f FieldSpec> {
        let differs = |field: &&FieldSpec| {
            let typed = self.typed.get(&field.name);
            typed.is_some_and(|typed| !is_same(field, typed, &typed_of(field, &self.base, zone, names)))
        };
        fields.iter().filter(differs).collect()
    }

    /// The changes as the body of a request. Fields that cannot be read are problems.
    pub fn body(
        &self,
        page: &PageCtx<'_>,
        changed: &[&FieldSpec],
        account: Option<&str>,
    ) -> Result<Result<Value, Vec<Problem>>> {
        let (mut body, mut problems) = (Map::new(), Vec::new());
        for field in changed {
            let Some(typed) = self.typed.get(&field.name) else { continue };
            match self.value(page, field, typed, account)? {
                Ok(value) => insert(&mut body, &field.name, value),
                Err(sentence) => problems.push((Some(field.name.clone()), sentence)),
            }
        }
        Ok(if problems.is_empty() { Ok(Value::Object(body)) } else { Err(problems) })
    }

    /// A text as a value of the API, or a sentence.
    fn value(
        &self,
        page: &PageCtx<'_>,
        field: &FieldSpec,
        typed: &Typed,
        account: Option<&str>,
    ) -> Result<Result<Value, String>> {
        let text = match typed {
            Typed::Many(lines) if input_kind(field) == InputKind::List => return Ok(Ok(json!(items_of(lines)))),
            Typed::Many(items) if matches!(field.kind, FieldType::List(_)) || !items.is_empty() => {
                return Ok(Ok(json!(items)));
            }
            Typed::Many(_) => return Ok(Ok(json!([]))),
            Typed::Pairs(pairs) => {
                // A value that was not touched keeps its type.
                let old = at(&self.base, &field.name);
                let value = |name: &String, text: &String| match &old[name] {
                    Value::Null => json!(text),
                    known if plain(known) == *text => known.clone(),
                    _ => json!(text),
                };
                return Ok(Ok(pairs.iter().map(|(name, text)| (name.trim().to_owned(), value(name, text))).collect()));
            }
            Typed::One(text) => text.as_str(),
        };
        let trimmed = text.trim();
        if trimmed.is_empty() && input_kind(field) != InputKind::Lines {
            let is_text = field.kind == FieldType::Text && !field.is_nullable;
            return Ok(Ok(if is_text { json!("") } else { Value::Null }));
        }
        Ok(Ok(match input_kind(field) {
            InputKind::Check => json!(trimmed == "true"),
            _ if matches!(field.kind, FieldType::NumberChoice(_)) => number(trimmed),
            InputKind::Number => number(trimmed),
            InputKind::Link => return linked_id(page, field, &self.typed_record(field), trimmed, account),
            InputKind::Clock => json!(clock(trimmed)),
            InputKind::Code => match serde_json::from_str(trimmed) {
                Ok(value) => value,
                Err(error) => return Ok(Err(page.words().not_json(&error.to_string()))),
            },
            _ => json!(text),
        }))
    }

    /// The record with the kind that a link depends on, as typed.
    fn typed_record(&self, field: &FieldSpec) -> Value {
        let mut record = self.base.clone();
        if let Some(Widget::LinkBy(kind, _)) = field.widget
            && let (Some(Typed::One(text)), Value::Object(record)) = (self.typed.get(kind), &mut record)
        {
            record.insert(kind.to_owned(), json!(text));
        }
        record
    }
}

/// The items in the lines of a list. Blank lines are none.
fn items_of(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect()
}

/// A whole number, or the text that is none: the API says what is wrong with it.
fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

/// The part of a change that is the body of a request, and the part that is its query.
pub fn split(fields: &[FieldSpec], change: Value) -> (Value, Vec<(String, String)>) {
    let Value::Object(mut body) = change else { return (change, Vec::new()) };
    let options = fields.iter().filter(|field| field.is_query).filter_map(|field| {
        let value = body.remove(&field.name)?;
        Some((field.name.clone(), plain(&value)))
    });
    let options = options.collect();
    (Value::Object(body), options)
}

/// Whether two texts mean the same value.
fn is_same(field: &FieldSpec, typed: &Typed, base: &Typed) -> bool {
    match (typed, base) {
        (Typed::Many(typed), Typed::Many(base)) if input_kind(field) == InputKind::List => {
            items_of(typed) == items_of(base)
        }
        (Typed::Many(typed), Typed::Many(base)) => {
            let sorted = |items: &[String]| {
                let mut items = items.to_vec();
                items.sort_unstable();
                items
            };
            sorted(typed) == sorted(base)
        }
        (Typed::One(typed), Typed::One(base)) => typed == &base.replace("\r\n", "\n"),
        _ => typed == base,
    }
}

/// Inserts a value. A name with a dot is a field of a nested object.
fn insert(body: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        Some((object, inner)) => {
            let nested = body.entry(object).or_insert_with(|| json!({}));
            if let Value::Object(nested) = nested {
                insert(nested, inner, value);
            }
        }
        None => _ = body.insert(name.to_owned(), value),
    }
}

/// A time of day as people type it: 9, 930, 9h30, 9:30.
pub fn clock(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_clock = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | 'h' | 'H' | '.' | ' '));
    let (hours, minutes) = match (text.find([':', 'h', 'H', '.']), digits.len()) {
        _ if !is_clock => return text.to_owned(),
        (Some(at), _) => (text[..at].trim(), text[at + 1..].trim()),
        (None, 1 | 2) => (digits.as_str(), ""),
        (None, 3 | 4) => digits.split_at(digits.len() - 2),
        _ => return text.to_owned(),
    };
    match (hours.parse::<u32>(), if minutes.is_empty() { Ok(0) } else { minutes.parse::<u32>() }) {
        (Ok(hours), Ok(minutes)) => format!("{hours:02}:{minutes:02}"),
        _ => text.to_owned(),
    }
}

/// The id of the record that a person named: `Acme #7`, `7`, or words that find exactly one record.
pub fn linked_id(
    page: &PageCtx<'_>,
    field: &FieldSpec,
    record: &Value,
    text: &str,
    account: Option<&str>,
) -> Result<Result<Value, String>> {
    let number = text.rsplit_once('#').map_or(text, |(_, number)| number);
    if let Ok(id) = number.trim().parse::<i64>() {
        return Ok(Ok(json!(id)));
    }
    let words = page.words();
    let Some(target) = target(field, record).and_then(|path| collection(page.request.layer, path)) else {
        return Ok(Err(words.choose_the_kind_first()));
    };
    let (Some(list), Some(search)) = (target.list, target.search()) else { return Ok(Err(words.no_such_record(text))) };
    let mut sent = vec![(search.parameter.clone(), text.to_owned()), ("per_page".into(), "6".into())];
    if let Some(account) = account.filter(|_| target.names_customer) {
        sent.push(("customer_account".into(), account.to_owned()));
    }
    let found = match page.send(InnerRequest::to(list).with_query(super::query(&sent))) {
        Ok(found) => found.body["data"].as_array().cloned().unwrap_or_default(),
        Err(error) if error.status().is_client_error() => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(match &found[..] {
        [one] => Ok(one["id"].clone()),
        [] => Err(words.no_such_record(text)),
        several => {
            let names = several.iter().map(|record| format!("{} #{}", target.title(record), plain(&record["id"])));
            Err(words.several_records(&names.collect::<Vec<_>>().join(", ")))
        }
    })
}

/// The inputs of the form in the groups of the view.
pub fn groups(
    page: &PageCtx<'_>,
    owner: &super::catalog::Collection,
    fields: &[FieldSpec],
    form: &FormState,
    account: Option<&str>,
) -> Result<Vec<InputGroup>> {
    let words = page.words();
    let shown = |field: &&FieldSpec| !field.is_read_only && field.widget != Some(Widget::Hidden);
    let mut rest: Vec<&FieldSpec> = fields.iter().filter(shown).collect();
    let mut groups = Vec::new();
    for group in owner.resource.view.groups {
        let (inside, others): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|field| group.fields.contains(&field.name.as_str()));
        rest = others;
        let mut inside = inside;
        inside.sort_by_key(|field| group.fields.iter().position(|name| *name == field.name));
        let mut inputs =
            inside.into_iter().map(|field| input(page, field, form, account)).collect::<Result<Vec<_>>>()?;
        let label = words.label(group.label);
        inputs.iter_mut().for_each(|input| input.is_named_by_group = input.label == label);
        if !inputs.is_empty() {
            groups.push(InputGroup { label: Some(label), inputs });
        }
    }
    if !rest.is_empty() {
        let label = (!groups.is_empty()).then(|| words.more_fields());
        let inputs = rest.into_iter().map(|field| input(page, field, form, account)).collect::<Result<Vec<_>>>()?;
        groups.push(InputGroup { label, inputs });
    }
    Ok(groups)
}

/// The names of the secret fields.
pub fn secrets(fields: &[FieldSpec]) -> Vec<String> {
    let secrets = fields.iter().filter(|field| input_kind(field) == InputKind::Secret);
    secrets.map(|field| field.name.clone()).collect()
}

/// The inputs of a form without groups.
pub fn inputs(page: &PageCtx<'_>, fields: &[FieldSpec], form: &FormState) -> Result<Vec<FormInput>> {
    fields.iter().map(|field| input(page, field, form, None)).collect()
}

fn input(page: &PageCtx<'_>, field: &FieldSpec, form: &FormState, account: Option<&str>) -> Result<FormInput> {
    let words = page.words();
    let kind = input_kind(field);
    let typed = form.typed.get(&field.name);
    let many: &[String] = match typed {
        Some(Typed::Many(items)) => items,
        _ => &[],
    };
    let value = match typed {
        Some(Typed::One(text)) => text.clone(),
        Some(Typed::Many(items)) => items.join("\n"),
        _ => String::new(),
    };
    let mut options = match (&field.kind, kind) {
        (FieldType::Choice(choices) | FieldType::NumberChoice(choices), InputKind::Choice)
        | (FieldType::List(choices), InputKind::Boxes) => choices
            .iter()
            .map(|choice| InputOption {
                label: choice_label(words, &field.name, choice),
                is_chosen: *choice == value || many.contains(choice),
                value: choice.clone(),
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut kind = kind;
    let mut lookup = None;
    if kind == InputKind::Link
        && let Some(target) = target(field, &form.typed_record(field))
        && let Some(target) = collection(page.request.layer, target)
    {
        // A list inside a record has no address without that record.
        if target.has_pages && target.parents() == 0 {
            let values: Vec<String> =
                account.filter(|_| target.names_customer).map(str::to_owned).into_iter().collect();
            let filter = target.search().map(|filter| super::encode(&filter.parameter)).unwrap_or_default();
            lookup = Some(format!("{}?part=options&{filter}=", target.page_of(&values)));
        } else if let Some(list) = target.list.filter(|route| target.parents() == 0 && page.may(route)) {
            // A short list is a choice.
            let records = page.send(InnerRequest::to(list))?.body;
            options =
                records.as_array().into_iter().flatten().map(|record| link_option(target, record, &value)).collect();
            kind = InputKind::Choice;
        }
    }
    let mut pairs = match typed {
        Some(Typed::Pairs(pairs)) => pairs.clone(),
        _ => Vec::new(),
    };
    if kind == InputKind::Pairs {
        pairs.extend([(String::new(), String::new()), (String::new(), String::new())]);
    }
    let matrix = match kind {
        InputKind::Matrix => choice_matrix::rows(page, field, many),
        _ => Vec::new(),
    };
    let problem = form.problems.iter().find(|(name, _)| name.as_deref() == Some(&field.name));
    Ok(FormInput {
        id: format!("i-{}", field.name.replace(['.', '_'], "-")),
        name: field.name.clone(),
        label: words.label(field.label),
        help: field.help.map(|help| words.label(help)).or_else(|| kind_help(words, kind)),
        kind,
        value,
        is_required: field.is_required && kind != InputKind::Check,
        max_length: field.max_length,
        autocomplete: (kind == InputKind::Secret).then_some("new-password"),
        problem: problem.map(|(_, sentence)| sentence.clone()),
        options,
        pairs,
        matrix,
        is_named_by_group: false,
        lookup,
    })
}

fn link_option(target: &super::catalog::Collection, record: &Value, chosen: &str) -> InputOption {
    let (id, name) = (plain(&record["id"]), target.title(record));
    let value = format!("{name} #{id}");
    InputOption { is_chosen: value == chosen || format!("#{id}") == chosen, label: name, value }
}

fn kind_help(words: Translations, kind: InputKind) -> Option<String> {
    match kind {
        InputKind::List => Some(words.one_per_line()),
        InputKind::Moment => Some(words.moment_format()),
        InputKind::Link => Some(words.link_help()),
        InputKind::Code => Some(words.json_help()),
        _ => None,
    }
}

/// The problems of an error, each at its field if the form has the field.
pub fn problems(words: Translations, owner: &super::catalog::Collection, error: &Error) -> Vec<Problem> {
    let actions = owner.actions.iter().flat_map(|action| &action.fields);
    let fields: Vec<&FieldSpec> = owner.creation.iter().chain(&owner.change).chain(actions).collect();
    let spoken = |name: &str| name.replace(['_', '.', '[', ']'], " ").trim().to_owned();
    // A problem of an item of a list, or of a field inside an object, is at the field that contains it.
    let find = |named: &str| {
        let named = spoken(named);
        let contains = |field: &&&FieldSpec| {
            named.strip_prefix(&spoken(&field.name)).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        fields.iter().filter(contains).max_by_key(|field| field.name.len()).copied()
    };
    let label = |named: &str| {
        find(named).or_else(|| owner.field(&named.replace(' ', "_"))).map(|field| words.label(field.label))
    };
    let at: Vec<Option<String>> = match error {
        Error::Invalid(problems) => problems
            .iter()
            .map(|problem| problem.field.as_deref().or_else(|| field_words(&problem.sentence)).map(str::to_owned))
            .collect(),
        error => error.messages().iter().map(|sentence| field_words(sentence).map(str::to_owned)).collect(),
    };
    let said = words.labelled_problems(error, &label);
    at.into_iter()
        .zip(said)
        .map(|(named, said)| (named.and_then(|named| find(&named)).map(|field| field.name.clone()), said))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn a_time_of_day_is_read_as_people_type_it() {
        for (typed, read) in [
            ("9", "09:00"),
            ("09", "09:00"),
            ("930", "09:30"),
            ("0930", "09:30"),
            ("9h30", "09:30"),
            ("9 h 30", "09:30"),
            ("9:30", "09:30"),
            ("24:00", "24:00"),
            ("noon", "noon"),
            ("12345", "12345"),
        ] {
            assert_eq!(clock(typed), read, "{typed}");
        }
    }
}
