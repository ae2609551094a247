//! The parent of time spans and exceptions: a queue or a group of queues. The query names it when they are created. It
//! never changes.

use rusqlite::Connection;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};

use crate::api::crud;
use crate::api::entity::{Declared, Editable};
use crate::api::field::named;
use crate::api::json_body::{self, ValueReader};
use crate::api::{self, BodyKind, Ctx, Input, Operation, Request, Result, Saved, pairs};
use crate::routing::customer_param::CustomerParam;
use crate::values::choice;

choice! {
    /// The type of a parent.
    #[derive(Default)]
    ParentType { QUEUE = "call_queue", GROUP = "call_queue_group" }
}

/// The list of the parents of each type, for links to them.
pub const PARENTS: &[(&str, &str)] =
    &[("call_queue", "/smart-routings/call-queues/queues"), ("call_queue_group", "/smart-routings/call-queues/groups")];

/// Reads a parent type, or a class name such as `App\Models\CallQueueGroup`.
pub fn by_any_name<'de, D: Deserializer<'de>>(input: D) -> Result<ParentType, D::Error> {
    let text = String::deserialize(input)?;
    let word = named(ParentType::WORDS, &text).unwrap_or(text.trim());
    word.parse().map_err(de::Error::custom)
}

/// A row that belongs to a queue or a group.
pub trait OfParent: Editable + Declared<Scope = CustomerParam> {
    /// The fields, and columns, with the id and the type of the parent.
    const PARENT: [&'static str; 2];

    fn parent(&self) -> (i64, ParentType);
}

/// A new row from the body. The parent in the query takes precedence over that in the body.
#[derive(Debug)]
pub struct NewInParent<T>(pub T);

impl<T: OfParent> Input for NewInParent<T> {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        let mut fields = json_body::parse(&request.body)?;
        // A null parent in the body counts as absent.
        fields.retain(|name, value| !(value.is_null() && T::PARENT.contains(&name.as_str())));
        fields.extend(in_query(request, T::PARENT));
        Ok(Self(ValueReader::of(request).new_value(&fields)?))
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.body::<T>(&required::<T>());
        describe_query(operation, T::PARENT);
    }
}

/// The required fields of a body, without the parent.
pub fn required<T: OfParent>() -> Vec<String> {
    let fields = api::required::<T>().into_iter();
    fields.filter(|field| !T::PARENT.contains(&field.as_str())).collect()
}

pub fn describe_query(operation: &mut Operation<'_>, [id, kind]: [&'static str; 2]) {
    let integer = json!({"type": "integer", "format": "int64", "minimum": 1});
    operation.required_query(id, "Id of the queue or group that it belongs to.", integer);
    let about = "Type of that parent. Class names such as App\\Models\\CallQueue are accepted too.";
    operation.required_query(kind, about, json!({"type": "string", "enum": ParentType::WORDS}));
}

/// The parent fields in a query.
pub fn in_query(request: &Request, names: [&'static str; 2]) -> Map<String, Value> {
    let said = pairs(&request.query).filter(|(name, text)| names.contains(&name.as_str()) && !text.trim().is_empty());
    let value = |name: &str, text: &str| match text.trim().parse::<i64>() {
        Ok(id) if name == names[0] => Value::from(id),
        _ => Value::from(text),
    };
    said.map(|(name, text)| (name.clone(), value(&name, &text))).collect()
}

/// Adds the parent in the query to a body that names none.
pub fn fill_in(fields: &mut Map<String, Value>, request: &Request, names: [&'static str; 2]) {
    for (name, value) in in_query(request, names) {
        let said = fields.entry(name).or_insert(Value::Null);
        if said.is_null() {
            *said = value;
        }
    }
}

pub fn create<T: OfParent>(
    ctx: &mut Ctx<'_>,
    scope: CustomerParam,
    NewInParent(new): NewInParent<T>,
) -> Result<Saved<T>> {
    crud::create_row(ctx, &scope, new).map(Saved)
}

/// The error message if the parent does not exist or belongs to another customer.
pub fn problem<T: OfParent>(db: &Connection, customer: i64, row: &T) -> Result<Option<String>> {
    let (id, kind) = row.parent();
    let sql = match kind {
        ParentType::GROUP => "SELECT 1 FROM call_queue_groups WHERE id = ?1 AND customer_id = ?2",
        _ => "SELECT 1 FROM call_queues WHERE id = ?1 AND customer_id = ?2",
    };
    let is_there = db.prepare_cached(sql)?.exists((id, customer))?;
    Ok((!is_there).then(|| format!("The selected {} is invalid.", T::PARENT[0].replace('_', " "))))
}
