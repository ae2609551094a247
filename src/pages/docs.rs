//! The description of a layer as one page, readable without a network: its style is in it, and nothing else.

use askama::Template;
use serde_json::Value;

use crate::api::{Layer, Result, rendered};

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs<'a> {
    title: &'a str,
    version: &'a str,
    layer: &'static str,
    groups: Vec<Group<'a>>,
    shapes: Vec<Shape<'a>>,
}

/// A shape that answers refer to by its name.
struct Shape<'a> {
    name: &'a str,
    about: Prose<'a>,
    fields: Vec<Field<'a>>,
}

/// The operations of one resource.
struct Group<'a> {
    name: &'a str,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    summary: &'a str,
    /// The permission it needs, or what else stands for it.
    needs: Prose<'a>,
    parameters: Vec<Field<'a>>,
    body: Vec<Field<'a>>,
    replies: Vec<Answer<'a>>,
}

struct Field<'a> {
    name: &'a str,
    shape: String,
    /// The named shape that its own is made of.
    named: Option<&'a str>,
    required: bool,
    about: Prose<'a>,
}

/// Words, every other piece of which stood between backticks and is code.
type Prose<'a> = Vec<&'a str>;

struct Answer<'a> {
    status: &'a str,
    about: &'a str,
    fields: Vec<Field<'a>>,
}

pub fn page(document: &Value, layer: Layer) -> Result<String> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let name = text(&operation["tags"][0]);
            let described = describe(document, path, method, operation);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.operations.push(described),
                None => groups.push(Group { name, operations: vec![described] }),
            }
        }
    }
    let docs = Docs {
        title: text(&document["info"]["title"]),
        version: text(&document["info"]["version"]),
        layer: layer.name(),
        groups,
        shapes: shapes(document),
    };
    rendered(&docs)
}

fn shapes(document: &Value) -> Vec<Shape<'_>> {
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let mut shapes: Vec<Shape<'_>> = schemas
        .map(|(name, schema)| Shape { name, about: prose(&schema["description"]), fields: fields(document, schema) })
        .collect();
    shapes.sort_by_key(|shape| shape.name);
    shapes
}

fn describe<'a>(document: &'a Value, path: &'a str, method: &str, operation: &'a Value) -> Operation<'a> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let replies = operation["responses"].as_object().into_iter().flatten();
    let needs = match (operation.get("description"), operation.get("security")) {
        (Some(permission), _) => prose(permission),
        (None, Some(_)) => vec!["Needs a token."],
        (None, None) => vec!["Needs no token."],
    };
    Operation {
        id: text(&operation["operationId"]),
        method: method.to_ascii_uppercase(),
        path,
        summary: text(&operation["summary"]),
        needs,
        parameters: parameters
            .map(|parameter| Field {
                name: text(&parameter["name"]),
                shape: shape(&parameter["schema"]),
                named: named(&parameter["schema"]),
                required: parameter["required"] == true,
                about: prose(&parameter["description"]),
            })
            .collect(),
        body: fields(document, &operation["requestBody"]["content"]["application/json"]["schema"]),
        replies: replies
            .map(|(status, reply)| Answer {
                status,
                about: text(&reply["description"]),
                fields: match status.starts_with('2') {
                    true => fields(document, &reply["content"]["application/json"]["schema"]),
                    false => Vec::new(),
                },
            })
            .collect(),
    }
}

fn fields<'a>(document: &'a Value, schema: &'a Value) -> Vec<Field<'a>> {
    let schema = resolve(document, schema);
    let required = schema["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.map(text).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, schema)| Field {
            name,
            shape: shape(schema),
            named: named(schema),
            required: required.contains(&name.as_str()),
            about: prose(&schema["description"]),
        })
        .collect()
}

/// The shape behind references, and the first of several.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let path = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    let inside = schema.get("anyOf").and_then(|choices| choices.get(0)).or_else(|| document.pointer(path?));
    inside.map_or(schema, |inside| resolve(document, inside))
}

/// The named shape that a schema is, lists, or may be.
fn named(schema: &Value) -> Option<&str> {
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let mut inside = [schema, &schema["items"]].into_iter().chain(choices);
    inside.find_map(|schema| schema["$ref"].as_str()).and_then(|path| path.rsplit('/').next())
}

/// Text of no length: what is left blank.
fn is_blank(schema: &&Value) -> bool {
    schema["maxLength"] == 0
}

/// A schema in a few words: `string, at most 255`, `list of Customer`, `integer or null`.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .filter(|value| !value.is_empty())
            .collect::<Vec<_>>()
            .join(" | ");
    }
    if let Some(value) = schema["const"].as_str() {
        return value.to_owned();
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().filter(|choice| !is_blank(choice)).map(shape).collect::<Vec<_>>().join(" or ");
    }
    let mut words = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(name) if name == "array" => format!("list of {}", shape(&schema["items"])),
        name => text(name).to_owned(),
    };
    if let Some(format) =
        schema["format"].as_str().filter(|format| !format.starts_with("int") && !format.starts_with("uint"))
    {
        words += &format!(" ({format})");
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        words += &format!(", at most {most} characters");
    }
    words
}

fn prose(value: &Value) -> Prose<'_> {
    text(value).split('`').collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::testing::Bench;

    #[test]
    fn the_description_is_sent_packed_and_not_again_to_whoever_has_it() {
        let bench = Bench::new();
        for (host, path) in [("localhost", "/docs"), ("acme.localhost", "/docs"), ("acme.localhost", "/openapi.json")] {
            let anybody = bench.nobody().at(host);
            let plain = anybody.get(path);
            let mut tags = vec![plain.headers[header::ETAG].clone()];
            for coding in ["gzip", "br"] {
                let packing = anybody.with_header("accept-encoding", coding);
                let packed = packing.get(path);
                assert_eq!(packed.headers[header::CONTENT_ENCODING], coding);
                assert!(packed.headers.get_all(header::VARY).iter().any(|vary| vary == "Accept-Encoding"));
                let length = packed.headers.get(header::CONTENT_TYPE).map(|_| packed.text.len()).unwrap();
                assert!(length * 3 < plain.text.len(), "{coding}: {length} of {}", plain.text.len());
                let tag = packed.headers[header::ETAG].clone();
                let known = packing.with_header("if-none-match", tag.to_str().unwrap()).get(path);
                assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
                tags.push(tag);
            }
            assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
            assert_eq!(plain.headers[header::CACHE_CONTROL], "no-cache");
            assert!(plain.headers.get(header::CONTENT_ENCODING).is_none());
        }
    }

    #[test]
    fn what_an_operation_takes_and_answers_is_shown_through_all_its_names() {
        let bench = Bench::new();
        let page = bench.nobody().at("acme.localhost").get("/docs").text;
        let shown = |id: &str| {
            let (_, operation) = page.split_once(&format!("<details id=\"{id}\"")).unwrap();
            operation.split_once("</details>").unwrap().0
        };
        assert!(shown("get-contacts").contains("<code>last_page</code>"), "{}", shown("get-contacts"));
        assert!(shown("get-customers").contains("<code>last_page</code>"), "{}", shown("get-customers"));
        let change = shown("put-contacts-id");
        assert!(change.contains("<code>If-Match</code></td><td>* or string</td>"), "{change}");
        assert!(change.contains("<code>last_name</code>"), "{change}");
    }
}
