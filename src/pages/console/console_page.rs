//! What the pages of the console have in common as handlers.

use std::any::TypeId;
use std::sync::Arc;

use rusqlite::Connection;

use super::page::PageCtx;
use crate::api::{ApiResponse, BodyKind, Handler, Inputs, Operation, Request, Result};
use crate::auth::Caller;
use crate::executors::Executor;

/// A page that finds its inputs in the request itself.
pub trait ConsolePage: Sync {
    /// The executor that runs the page.
    fn executor(&self) -> Executor;

    /// Whether the page is a form that was sent.
    fn is_sent(&self) -> bool;

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse>;

    /// Whether the form has a file.
    fn has_file(&self) -> bool {
        false
    }

    /// The names of the secret fields of the form, if it can be shown again as it was typed.
    fn secret_fields(&self) -> Option<Vec<String>>;
}

impl<P: ConsolePage> Handler for P {
    fn executor(&self) -> Executor {
        ConsolePage::executor(self)
    }

    fn read(&self, _: &Request) -> Inputs {
        Ok(Box::new(()))
    }

    fn respond(
        &self,
        request: &Arc<Request>,
        _: Inputs,
        caller: &Caller,
        db: Option<&Connection>,
    ) -> Result<ApiResponse> {
        ConsolePage::respond(self, &PageCtx::new(request, caller, db))
    }

    fn resource(&self) -> Option<TypeId> {
        None
    }

    fn body(&self) -> BodyKind {
        match (self.is_sent(), self.has_file()) {
            (false, _) => BodyKind::None,
            (true, false) => BodyKind::FormOrJson,
            (true, true) => BodyKind::FormWithFile,
        }
    }

    fn describe(&self, _: &mut Operation<'_>) {}

    fn secret_fields(&self) -> Option<Vec<String>> {
        ConsolePage::secret_fields(self)
    }
}
