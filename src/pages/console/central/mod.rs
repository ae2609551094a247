//! The pages of the central host: the workspaces and the account of a person, and the instance for its operators.

mod account_page;
mod backups_page;
mod central_texts;
mod figures_chart;
mod findings_page;
mod instance_page;
mod job_view;
mod workspace_page;
mod workspaces_page;

use serde_json::Value;

use super::page::{NavLink, NavSection, PageCtx};
use super::route_form;
#[cfg(test)]
use super::route_form::RouteForm;
use crate::api::field::Label;
use crate::api::{Error, InnerRequest, Resource, Result};
use crate::pages::translations::Translations;

/// The pages that are written by hand.
pub fn by_hand() -> Vec<Resource> {
    vec![
        Resource::pages("Workspaces page", workspaces_page::ROUTES),
        Resource::pages("Workspace page", workspace_page::ROUTES),
        Resource::pages("Account page", account_page::ROUTES),
        Resource::pages("Instance page", instance_page::ROUTES),
        Resource::pages("Backups page", backups_page::ROUTES),
        Resource::pages("Findings page", findings_page::ROUTES),
        route_form::pages("Forms of invitations", workspaces_page::FORMS),
        route_form::pages("Forms of a workspace", workspace_page::FORMS),
        route_form::pages("Forms of the account", account_page::FORMS),
        route_form::pages("Forms of operators", instance_page::FORMS),
        route_form::pages("Forms of backups", backups_page::FORMS),
        route_form::pages("Forms of findings", findings_page::FORMS),
    ]
}

/// The forms of single routes.
#[cfg(test)]
pub fn forms() -> impl Iterator<Item = &'static RouteForm> {
    let operators = [instance_page::FORMS, backups_page::FORMS, findings_page::FORMS].into_iter().flatten();
    [workspaces_page::FORMS, workspace_page::FORMS, account_page::FORMS].into_iter().flatten().chain(operators)
}

/// The sections that the person may open.
pub fn sections(page: &PageCtx<'_>, path: &str) -> Vec<NavSection> {
    let words = page.words();
    let link = |english, french, href: &str, others: &[&str]| {
        let is_in = |href: &str| path == href || path.starts_with(&format!("{href}/"));
        let is_current = if href == "/ui" { path == href } else { is_in(href) };
        NavLink {
            label: words.label(Label { english, french }),
            href: href.to_owned(),
            is_current: is_current || others.iter().any(|other| is_in(other)),
        }
    };
    let own = vec![
        link("Workspaces", "Espaces de travail", "/ui", &["/ui/workspaces", "/ui/user-invites"]),
        link("Account", "Compte", "/ui/account", &["/ui/tokens", "/ui/second-factor"]),
        link("Audit log", "Journal d’audit", "/ui/audit-log", &[]),
    ];
    let mut sections = vec![NavSection { label: None, links: own }];
    if page.request.token().is_ok_and(|token| token.operator) {
        let is_instance = path == "/ui/instance";
        let links = vec![
            NavLink { is_current: is_instance, ..link("Instance", "Instance", "/ui/instance", &[]) },
            link("Accounts", "Comptes", "/ui/accounts", &[]),
            link("All workspaces", "Tous les espaces", "/ui/instance/workspaces", &[]),
            link("Backups", "Sauvegardes", "/ui/instance/backups", &[]),
            link("Findings", "Constats", "/ui/instance/findings", &[]),
            link("Mails", "Mails", "/ui/instance/mails", &[]),
        ];
        let label = Label { english: "Operator", french: "Opérateur" };
        sections.push(NavSection { label: Some(words.label(label)), links });
    }
    sections
}

/// The rows of a list.
fn rows(page: &PageCtx<'_>, inner: InnerRequest) -> Result<Vec<Value>> {
    Ok(page.send(inner)?.body["data"].as_array().cloned().unwrap_or_default())
}

/// The workspaces of the person, by name.
fn workspaces(page: &PageCtx<'_>) -> Result<Vec<Value>> {
    rows(page, InnerRequest::get("/workspaces").with_query("sort=name&per_page=100".into()))
}

/// The workspace in the path of a page.
fn workspace(page: &PageCtx<'_>, values: &[String]) -> Result<Value> {
    let id = values.first().ok_or_else(Error::not_found)?;
    Ok(page.send(InnerRequest::get("/workspaces/{id}").at(id))?.body)
}

/// The account of the person.
fn account(page: &PageCtx<'_>) -> Result<Value> {
    Ok(page.send(InnerRequest::get("/whoami"))?.body["user"].clone())
}

/// The state of a workspace in words, with its tone.
fn state(words: Translations, workspace: &Value) -> (String, &'static str) {
    match workspace["status"].as_str() {
        Some("active") => (words.workspace_active(), "good"),
        Some("suspended") => (words.workspace_suspended(), "care"),
        other => (other.unwrap_or_default().to_owned(), ""),
    }
}

#[cfg(test)]
mod tests;
