//! The ids of a bulk request.

use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use super::input::{Input, pairs};
use super::json_body;
use super::media_type::BodyKind;
use super::openapi::Operation;
use super::request::Request;
use crate::values::integer;

const MOST: usize = 10_000;

/// `{"ids":[1,2,3]}` in the body. Clients whose DELETE has no body send them in the query: `ids=1,2`, `ids[]=1&ids[]=2`
/// or `ids[0]=1&ids[1]=2`. At least one, at most 10,000. A repeated id counts once.
#[derive(Debug)]
pub struct Ids(pub Vec<i64>);

impl Ids {
    /// An id does not exist. Then the whole request is rejected.
    pub fn unknown_id() -> Error {
        let sentence = "The selected ids is invalid.";
        Error::Rejected { code: "unknown_ids".into(), message: sentence.into(), hint: vec![sentence.into()] }
    }
}

impl Input for Ids {
    const BODY: BodyKind = BodyKind::Json;

    fn read(request: &Request) -> Result<Self> {
        let mut fields = json_body::parse(&request.body)?;
        if !fields.contains_key("ids") {
            fields = in_query(&request.query);
        }
        let with_gaps = fields.get("ids").and_then(Value::as_object).and_then(json_body::list_with_gaps);
        let ids = match with_gaps.as_ref().or(fields.get("ids")) {
            None | Some(Value::Null) => return Err(Error::invalid("The ids field is required.")),
            Some(Value::Array(ids)) if ids.is_empty() => return Err(Error::invalid("The ids field is required.")),
            Some(Value::Array(ids)) if ids.len() > MOST => {
                return Err(Error::invalid(format!("The ids may not be more than {MOST}.")));
            }
            Some(Value::Array(ids)) => ids.iter().map(id).collect::<Option<Vec<i64>>>(),
            Some(_) => return Err(Error::invalid("The ids must be a list.")),
        };
        let mut ids = ids.ok_or_else(|| Error::invalid("The ids must be a list of integers."))?;
        ids.sort_unstable();
        ids.dedup();
        Ok(Self(ids))
    }

    fn describe(operation: &mut Operation<'_>) {
        let id = json!({"type": "integer", "format": "int64"});
        operation.body_of("IdList", json!({
            "type": "object", "required": ["ids"],
            "properties": {"ids": {
                "type": "array", "items": id, "minItems": 1, "maxItems": MOST,
                "description": "Ids of the rows. A repeated id counts once. The query may name the ids instead: `ids=1,2`.",
                "examples": [[1, 2]],
            }},
        }));
    }
}

fn id(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| integer::read(value.as_str()?))
}

fn in_query(query: &str) -> Map<String, Value> {
    let mut ids = Vec::new();
    for (name, values) in pairs(query) {
        if name == "ids" || (name.starts_with("ids[") && name.ends_with(']')) {
            let numbers = values.split(',').map(str::trim).filter(|value| !value.is_empty());
            ids.extend(numbers.map(|value| value.parse::<i64>().map_or_else(|_| json!(value), |id| json!(id))));
        }
    }
    if ids.is_empty() { Map::new() } else { Map::from_iter([("ids".into(), Value::Array(ids))]) }
}
