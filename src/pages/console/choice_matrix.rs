//! Permissions and events as a matrix: a row for each resource, with a box for each action and one for all of them.

use super::page::PageCtx;
use super::schema::{FieldSpec, FieldType};
use super::texts::{action_label, choice_label, verb_label};
use super::within_sentence;
use crate::api::resource::Resource;
use crate::api::resource_view::Widget;
use crate::auth::{Caller, Permissions};
use crate::pages::translations::Translations;
use crate::workspace;

/// A resource with its actions.
pub struct MatrixRow {
    pub label: String,
    pub boxes: Vec<MatrixBox>,
}

/// A permission or an event.
pub struct MatrixBox {
    pub name: String,
    pub label: String,
    pub is_ticked: bool,
    /// The wildcard that covers it, if there is one.
    pub granted_by: Option<String>,
    /// Whether the person lacks the permission and may not grant it.
    pub is_denied: bool,
}

/// The label of a row, and the name and label of each of its choices.
type Choices = (String, Vec<(String, String)>);

/// The matrix of a field.
pub fn rows(page: &PageCtx<'_>, field: &FieldSpec, ticked: &[String]) -> Vec<MatrixRow> {
    let words = page.words();
    let own = |name: &str| match page.caller {
        Caller::Principal(principal) => principal.has_permission(name),
        Caller::Anonymous => false,
    };
    let granted = Permissions::of(ticked.iter().map(String::as_str));
    let rows = choices(words, field, &[]).into_iter().map(|(label, choices)| {
        let boxes = choices.into_iter().map(|(name, label)| {
            let is_ticked = ticked.contains(&name);
            let wildcards = ["*".to_owned(), format!("{}.*", name.split('.').next().unwrap_or_default())];
            let wildcard = wildcards.into_iter().find(|wildcard| *wildcard != name && ticked.contains(wildcard));
            let granted_by = wildcard.filter(|_| granted.grants(&name) || name.ends_with('*'));
            let is_permission = field.widget != Some(Widget::Events) && (name == "*" || name.contains('.'));
            let is_denied = is_permission && !own(&name);
            MatrixBox { is_denied, is_ticked: is_ticked || granted_by.is_some(), granted_by, name, label }
        });
        MatrixRow { label, boxes: boxes.collect() }
    });
    rows.collect()
}

/// The choices of a field: for each resource its name, and each choice with its label within the row. The schema of a
/// response does not list them: the values themselves are then the choices.
fn choices(words: Translations, field: &FieldSpec, values: &[String]) -> Vec<Choices> {
    let mut rows: Vec<Choices> = Vec::new();
    if field.widget == Some(Widget::Permissions) {
        rows.push((words.everything(), vec![("*".into(), words.all())]));
    }
    let known = match &field.kind {
        FieldType::List(known) if !known.is_empty() => known,
        _ => values,
    };
    if field.widget == Some(Widget::Events) {
        for name in known {
            let (kind, verb) = name.split_once('.').unwrap_or((name, "*"));
            let label = if verb == "*" { words.all() } else { verb_label(words, verb) };
            let row = words.record_kind(kind).unwrap_or_else(|| words.everything());
            match rows.iter_mut().find(|(label, _)| *label == row) {
                Some((_, boxes)) if verb == "*" => boxes.insert(0, (name.clone(), label)),
                Some((_, boxes)) => boxes.push((name.clone(), label)),
                None => rows.push((row, vec![(name.clone(), label)])),
            }
        }
        return rows;
    }
    let mut resources: Vec<&Resource> =
        workspace::resources().filter(|resource| resource.permissions.is_some()).collect();
    resources.sort_by_key(|resource| resource.section);
    for resource in resources {
        let Some(group) = resource.permissions else { continue };
        let named = group
            .actions
            .iter()
            .map(|action| (format!("{}.{}", group.resource, action.name), action_label(words, action)));
        let all = (field.widget == Some(Widget::Permissions)).then(|| (format!("{}.*", group.resource), words.all()));
        let label = words.label(crate::api::field::Label { english: resource.name, french: resource.french_name });
        rows.push((label, all.into_iter().chain(named).collect()));
    }
    if field.widget == Some(Widget::Scopes) {
        // Scopes that are not permissions of a resource.
        let is_known = |name: &str| rows.iter().any(|(_, boxes)| boxes.iter().any(|(known, _)| known == name));
        let others: Vec<_> = known.iter().filter(|name| !is_known(name)).collect();
        let boxes = others.into_iter().map(|name| (name.clone(), choice_label(words, &field.name, name)));
        let boxes: Vec<_> = boxes.collect();
        if !boxes.is_empty() {
            rows.push((words.other_scopes(), boxes));
        }
    }
    rows
}

/// The ticked choices in words: each resource with its actions.
pub fn in_words(words: Translations, field: &FieldSpec, ticked: &[String]) -> Vec<(String, String)> {
    let rows = choices(words, field, ticked).into_iter().filter_map(|(label, boxes)| {
        let actions: Vec<String> = boxes
            .into_iter()
            .filter(|(name, _)| ticked.contains(name))
            .map(|(_, action)| within_sentence(&action))
            .collect();
        (!actions.is_empty()).then(|| (label, actions.join(", ")))
    });
    rows.collect()
}
