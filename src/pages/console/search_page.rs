//! Search over everything that the person may see.

use askama::Template;
use http::StatusCode;

use super::catalog::collection;
use super::display::plain;
use super::page::{Frame, PageCtx};
use super::query;
use super::texts::search_kind;
use crate::api::{Ctx, Error, Html, InnerRequest, Layer, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[get("/ui/search", &run(page), Needs::Principal, "Search everything as a page")];

#[derive(Template)]
#[template(path = "console/search.html")]
struct SearchPage<'a> {
    frame: &'a Frame,
    words: Translations,
    query: String,
    groups: Vec<Group>,
    /// A contact to create with the number or name that was not found.
    new: Option<String>,
    problems: Vec<String>,
}

struct Group {
    label: String,
    hits: Vec<Hit>,
}

struct Hit {
    href: String,
    name: String,
    line: String,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let wanted = page.query("q").unwrap_or_default().trim().to_owned();
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let (mut groups, mut problems) = (Vec::new(), Vec::new());
    if !wanted.is_empty() {
        match page.send(InnerRequest::get("/search").with_query(query(&[("q", &wanted)]))) {
            Ok(found) => {
                for (kind, hits) in found.body.as_object().into_iter().flatten() {
                    let hits: Vec<Hit> = hits
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|hit| Hit {
                            href: plain(&hit["url"]),
                            name: plain(&hit["name"]),
                            line: plain(&hit["line"]),
                        })
                        .collect();
                    if !hits.is_empty() {
                        groups.push(Group { label: search_kind(words, kind), hits });
                    }
                }
            }
            Err(error @ Error::Invalid(_)) => problems = words.problems(&error),
            Err(error) => return Err(error),
        }
    }
    let create = collection(Layer::Workspace, "/contacts").and_then(|contacts| contacts.create);
    let is_number = wanted.chars().filter(char::is_ascii_digit).count() > 5;
    let field = if is_number { "phone_mobile_1" } else { "last_name" };
    let new = create.filter(|route| page.may(route) && !wanted.is_empty());
    let new = new.map(|_| format!("/ui/contacts/new?{}", query(&[(field, &wanted)])));
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.html(status, &SearchPage { words, query: wanted, groups, new, problems, frame: &frame })
}
