//! Call routing belongs to customers: a page to choose one, and a page with what a customer has.

use askama::Template;
use http::StatusCode;

use super::catalog::{Collection, collections};
use super::display::plain;
use super::page::{Frame, PageCtx};
use super::query;
use super::resource_page::Place;
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, PathCode, Result, Route, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[
    get(
        "/ui/routing",
        &run(choose),
        Needs::Permission("routing.view"),
        "Show the customers, to choose one for call routing",
    ),
    get("/ui/routing/{account}", &run(page), Needs::Permission("routing.view"), "Show the call routing of a customer"),
];

#[derive(Template)]
#[template(path = "console/routing_customers.html")]
struct CustomersPage<'a> {
    frame: &'a Frame,
    words: Translations,
    search: String,
    may_see: bool,
    customers: Vec<(String, String, String)>,
    problems: Vec<String>,
}

#[derive(Template)]
#[template(path = "console/routing.html")]
struct RoutingPage<'a> {
    frame: &'a Frame,
    words: Translations,
    customer: String,
    account: String,
    links: Vec<(String, String, String)>,
}

fn choose(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let wanted = page.query("q").unwrap_or_default();
    let mut sent = vec![("per_page".to_owned(), "20".to_owned()), ("cursor".to_owned(), String::new())];
    match wanted.trim() {
        "" => sent.push(("sort".into(), "name".into())),
        wanted => sent.push(("filter[term]".into(), wanted.to_owned())),
    }
    let (mut may_see, mut problems) = (true, Vec::new());
    let found = match page.send(InnerRequest::get("/customers").with_query(query(&sent))) {
        Ok(found) => found.body["data"].as_array().cloned().unwrap_or_default(),
        Err(Error::MissingPermission(_)) => {
            may_see = false;
            Vec::new()
        }
        Err(error @ Error::Invalid(_)) => {
            problems = words.problems(&error);
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let customers = found.iter().map(|customer| {
        let account = plain(&customer["customer_account"]);
        (format!("/ui/routing/{}", super::encode(&account)), plain(&customer["name"]), account)
    });
    let customers = customers.collect();
    // Without access to customers, a person names the account.
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    frame.html(status, &CustomersPage { words, search: wanted, may_see, customers, problems, frame: &frame })
}

fn page(ctx: &mut Ctx<'_>, PathCode(account): PathCode) -> Result<Html> {
    let page = PageCtx::of_turn(ctx);
    let customer = name(&page, &account)?;
    let frame = Frame::of(&page)?;
    let words = frame.words;
    let owned = collections(page.request.layer)
        .iter()
        .filter(|collection| collection.names_customer && collection.parents() == 0 && !collection.is_single());
    let links = owned.map(|collection| {
        let address = collection.page_of(std::slice::from_ref(&account));
        (address, collection.plural(words), words.label(collection.resource.view.purpose))
    });
    let tester = (
        format!("/ui/routing/{}/test", super::encode(&account)),
        words.where_would_it_go(),
        words.where_would_it_go_about(),
    );
    let links = links.chain([tester]).collect();
    frame.html(StatusCode::OK, &RoutingPage { words, customer, account, links, frame: &frame })
}

/// The name of the customer with this account. The account itself, if the person may not see customers.
fn name(page: &PageCtx<'_>, account: &str) -> Result<String> {
    let resolved =
        page.send(InnerRequest::get("/customers/resolve").with_query(query(&[("customer_account", account)])));
    let id = match resolved {
        Ok(found) => plain(&found.body["id"]),
        Err(Error::MissingPermission(_)) => return Ok(account.to_owned()),
        Err(error) => return Err(error),
    };
    let shown = page.send(InnerRequest::get("/customers/{id}").at(id))?;
    Ok(plain(&shown.body["name"]))
}

impl Place {
    /// What contains the records of a page: its name and its address.
    pub fn context(&self, page: &PageCtx<'_>, collection: &Collection) -> Result<Option<(String, String)>> {
        if let Some((parent, address)) = self.parent(page, collection)? {
            return Ok(Some((parent, address)));
        }
        let Some(account) = self.account.as_ref() else { return Ok(None) };
        Ok(Some((name(page, account)?, format!("/ui/routing/{}", super::encode(account)))))
    }

    /// The record inside which the collection is.
    fn parent(&self, page: &PageCtx<'_>, collection: &Collection) -> Result<Option<(String, String)>> {
        let Some((path, _)) = collection.path.rsplit_once("/{id}") else { return Ok(None) };
        let owner = collections(page.request.layer).iter().find(|owner| owner.path == path);
        let (Some(owner), Some(id)) = (owner, self.parents.last()) else { return Ok(None) };
        let at = Self { account: self.account.clone(), parents: Vec::new(), id: Some(id.clone()) };
        let record = super::detail_page::read(page, owner, &at)?.body;
        Ok(Some((owner.title(&record), at.page(owner))))
    }
}
