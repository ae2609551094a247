//! Permissions as a matrix: a row for each resource, with a box for each action and one for all of them.

use super::page::PageCtx;
use crate::api::resource::Resource;
use crate::auth::{Caller, Permissions};
use crate::workspace;

/// A resource with its actions.
pub struct MatrixRow {
    pub label: String,
    pub boxes: Vec<MatrixBox>,
}

/// A permission.
pub struct MatrixBox {
    pub name: String,
    pub label: String,
    pub is_ticked: bool,
    /// The wildcard that grants the permission, if there is one.
    pub granted_by: Option<String>,
    /// Whether the person lacks the permission and may not grant it.
    pub is_denied: bool,
}

/// The matrix for these permissions. Scopes have no wildcards.
pub fn rows(page: &PageCtx<'_>, ticked: &[String], has_wildcards: bool) -> Vec<MatrixRow> {
    let words = page.words();
    let own = |name: &str| match page.caller {
        Caller::Principal(principal) => principal.has_permission(name),
        Caller::Anonymous => false,
    };
    let granted = Permissions::of(ticked.iter().map(String::as_str));
    let make = |name: String, label: String| {
        let is_ticked = ticked.contains(&name);
        let wildcards = ["*".to_owned(), format!("{}.*", name.split('.').next().unwrap_or_default())];
        let wildcard = wildcards.into_iter().find(|wildcard| *wildcard != name && ticked.contains(wildcard));
        let granted_by = wildcard.filter(|_| granted.grants(&name) || name.ends_with('*'));
        MatrixBox { is_denied: !own(&name), is_ticked: is_ticked || granted_by.is_some(), granted_by, name, label }
    };
    let mut rows = Vec::new();
    if has_wildcards {
        rows.push(MatrixRow { label: words.everything(), boxes: vec![make("*".into(), words.all_and_later())] });
    }
    let mut resources: Vec<&Resource> =
        workspace::resources().filter(|resource| resource.permissions.is_some()).collect();
    resources.sort_by_key(|resource| resource.section);
    for resource in resources {
        let Some(group) = resource.permissions else { continue };
        let mut boxes = Vec::new();
        if has_wildcards {
            boxes.push(make(format!("{}.*", group.resource), words.all_and_later()));
        }
        boxes.extend(group.actions.iter().map(|action| {
            make(format!("{}.{}", group.resource, action.name), super::texts::action_label(words, action))
        }));
        let label = words.label(crate::api::field::Label { english: resource.name, french: resource.french_name });
        rows.push(MatrixRow { label, boxes });
    }
    rows
}
