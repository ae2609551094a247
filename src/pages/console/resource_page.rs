//! The generic pages: each runs routes of the API for one collection.

use super::catalog::Collection;
use super::console_page::ConsolePage;
use super::form;
use super::links::record_page;
use super::page::PageCtx;
use super::{action_page, delete_page, detail_page, form_page, import_page, list_page};
use crate::api::{ApiResponse, Error, InnerRequest, Request, Result, Route};
use crate::executors::Executor;
use crate::pages::interrupted_form;

/// A page of a collection.
pub struct ResourcePage {
    pub collection: &'static Collection,
    pub kind: PageKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    List,
    Export,
    /// The form to upload a file.
    ImportFile,
    UploadFile,
    /// The state of an import.
    Import,
    /// The next step of an import.
    ImportStep,
    RefusedRows,
    Show,
    New,
    Create,
    Edit,
    Update,
    AskDelete,
    Delete,
    AskDeleteMany,
    DeleteMany,
    /// The action with this index.
    AskAction(usize),
    Act(usize),
    /// The action with this index, for all records of a filter.
    AskActionMany(usize),
    ActMany(usize),
}

/// The values in the path of a page.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The account of the customer.
    pub account: Option<String>,
    /// The ids of the records that contain the collection.
    pub parents: Vec<String>,
    /// The id of the record.
    pub id: Option<String>,
}

impl Place {
    pub fn of(collection: &Collection, request: &Request) -> Self {
        let mut values = request.path_values.iter().cloned();
        let account = if collection.names_customer { values.next() } else { None };
        let parents = values.by_ref().take(collection.parents()).collect();
        Self { account, parents, id: values.next() }
    }

    /// The values of the path of the list.
    pub fn values(&self) -> Vec<String> {
        self.account.iter().chain(&self.parents).cloned().collect()
    }

    /// The request with the ids of the path.
    pub fn address(&self, inner: InnerRequest) -> InnerRequest {
        self.parents.iter().chain(&self.id).fold(inner, |inner, value| inner.at(value))
    }

    /// The address of the page of the record.
    pub fn page(&self, collection: &Collection) -> String {
        match &self.id {
            Some(id) => record_page(collection, self.account.as_deref(), &self.parents, id),
            None => collection.page_of(&self.values()),
        }
    }
}

impl ResourcePage {
    /// The route of the API that the page runs.
    fn route(&self) -> Option<&'static Route> {
        let collection = self.collection;
        match self.kind {
            PageKind::List => collection.list,
            PageKind::Export => collection.export,
            PageKind::ImportFile
            | PageKind::UploadFile
            | PageKind::Import
            | PageKind::ImportStep
            | PageKind::RefusedRows => collection.import,
            PageKind::Show | PageKind::Edit => collection.show,
            PageKind::New | PageKind::Create => collection.create,
            PageKind::Update => collection.update,
            PageKind::AskDelete | PageKind::Delete | PageKind::AskDeleteMany | PageKind::DeleteMany => {
                collection.remove
            }
            PageKind::AskAction(at) | PageKind::Act(at) | PageKind::AskActionMany(at) | PageKind::ActMany(at) => {
                collection.actions.get(at).map(|action| action.route)
            }
        }
    }

    /// The form as it was typed before the session ended. A deletion is asked again.
    fn show_again(&self, page: &PageCtx<'_>, place: &Place) -> Result<ApiResponse> {
        let collection = self.collection;
        match self.kind {
            PageKind::Create => form_page::create_again(page, collection, place),
            PageKind::Update => form_page::update_again(page, collection, place),
            PageKind::Act(at) => action_page::act_again(page, collection, place, action_at(collection, at)?),
            PageKind::Delete => delete_page::ask(page, collection, place),
            PageKind::DeleteMany => delete_page::delete_many(page, collection, place),
            _ => Err(Error::not_found()),
        }
    }
}

impl ConsolePage for ResourcePage {
    /// A page that shows something runs in a read turn. A page that changes something opens its own turns: if the API
    /// rejects the change, the page is read in another turn.
    fn executor(&self) -> Executor {
        let reads = [self.collection.list, self.collection.show].into_iter().flatten();
        let own = self.route().map_or(Executor::Transaction, |route| route.handler.executor());
        // The import itself goes on after the request.
        if matches!(self.kind, PageKind::ImportStep | PageKind::RefusedRows) {
            return Executor::Blocking;
        }
        match (self.is_sent(), own) {
            (true, Executor::Transaction) => Executor::Blocking,
            (true, other) => other,
            (false, _) => {
                let outside = reads.map(|route| route.handler.executor()).find(|place| *place != Executor::Transaction);
                outside.unwrap_or(Executor::Transaction)
            }
        }
    }

    fn is_sent(&self) -> bool {
        matches!(
            self.kind,
            PageKind::Create
                | PageKind::UploadFile
                | PageKind::ImportStep
                | PageKind::Update
                | PageKind::Delete
                | PageKind::DeleteMany
                | PageKind::Act(_)
                | PageKind::ActMany(_)
        )
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        let (collection, place) = (self.collection, Place::of(self.collection, page.request));
        if self.is_sent() && interrupted_form::is_shown_again(page.request)? {
            return self.show_again(page, &place);
        }
        match self.kind {
            PageKind::List => list_page::page(page, collection, &place),
            PageKind::Export => list_page::export(page, collection, &place),
            PageKind::ImportFile => import_page::file(page, collection, &place),
            PageKind::UploadFile => import_page::upload(page, collection, &place),
            PageKind::Import => import_page::show(page, collection, &place),
            PageKind::ImportStep => import_page::step(page, collection, &place),
            PageKind::RefusedRows => import_page::refused(page, &place),
            PageKind::Show => detail_page::page(page, collection, &place),
            PageKind::New => form_page::new(page, collection, &place),
            PageKind::Create => form_page::create(page, collection, &place),
            PageKind::Edit => form_page::edit(page, collection, &place),
            PageKind::Update => form_page::update(page, collection, &place),
            PageKind::AskDelete => delete_page::ask(page, collection, &place),
            PageKind::Delete => delete_page::delete(page, collection, &place),
            PageKind::AskDeleteMany => delete_page::ask_many(page, collection, &place),
            PageKind::DeleteMany => delete_page::delete_many(page, collection, &place),
            PageKind::AskAction(at) => action_page::ask(page, collection, &place, action_at(collection, at)?),
            PageKind::Act(at) => action_page::act(page, collection, &place, action_at(collection, at)?),
            PageKind::AskActionMany(at) => action_page::ask_many(page, collection, &place, action_at(collection, at)?),
            PageKind::ActMany(at) => action_page::act_many(page, collection, &place, action_at(collection, at)?),
        }
    }

    fn has_file(&self) -> bool {
        self.kind == PageKind::UploadFile
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        let fields = match self.kind {
            PageKind::Create => &self.collection.creation,
            PageKind::Update => &self.collection.change,
            PageKind::Act(at) => &self.collection.actions.get(at)?.fields,
            PageKind::Delete | PageKind::DeleteMany => return Some(Vec::new()),
            _ => return None,
        };
        Some(form::secrets(fields))
    }
}

fn action_at(collection: &'static Collection, at: usize) -> Result<&'static super::catalog::Action> {
    collection.actions.get(at).ok_or_else(Error::not_found)
}
