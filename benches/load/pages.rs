//! Pages of the console, each next to the request of the API that shows the same: one after the other, and by many at the
//! same time.

use std::fmt::Arguments;
use std::sync::Arc;

use anyhow::Result;
use fastrand::Rng;

use crate::Bench;
use crate::report::{Measurement, Name};
use crate::server::Workspace;

/// A page, and the time to its last byte. The pages have no length of their own to wait for: the first byte comes with
/// the last.
const PAGES: [(Name, &str); 5] = [
    (Name { key: "page-sign-in", label: "page: sign-in" }, "/ui/sign-in"),
    (Name { key: "page-home", label: "page: home" }, "/ui"),
    (Name { key: "page-list", label: "page: list of 25 customers" }, "/ui/customers"),
    (Name { key: "page-detail", label: "page: a customer" }, "/ui/customers/{id}"),
    (Name { key: "page-form", label: "page: form of a customer" }, "/ui/customers/{id}/edit"),
];

const LIST: Name = Name { key: "api-list", label: "API: list of 25 customers, counted" };
const DETAIL: Name = Name { key: "api-detail", label: "API: a customer" };
const OF_THE_API: [(Name, &str); 2] =
    [(LIST, "/api/customers?cursor=&per_page=25&count_to=1000"), (DETAIL, "/api/customers/{id}")];

impl Bench {
    pub async fn pages(&self, many: usize) -> Result<Vec<Measurement>> {
        let person = self.workspace.signed_in().await?;
        let mut measured = Vec::new();
        for (name, path) in PAGES {
            measured.extend(self.page(&person, name, path, many).await?);
        }
        for (name, path) in OF_THE_API {
            measured.extend(self.page(&self.workspace, name, path, many).await?);
        }
        Ok(measured)
    }

    async fn page(&self, who: &Workspace, name: Name, path: &'static str, many: usize) -> Result<[Measurement; 2]> {
        let id = &self.ids[self.ids.len() / 2];
        let address = path.replace("{id}", id);
        eprintln!("{}: {} bytes", name.label, who.answer_bytes(format_args!("{address}")).await?);
        let (ids, is_of_record) = (Arc::clone(&self.ids), path.contains("{id}"));
        let asked = move |random: &mut Rng, write: &mut dyn FnMut(Arguments<'_>)| {
            if is_of_record {
                let id = &ids[random.usize(0..ids.len())];
                write(format_args!("{}", path.replace("{id}", id)));
            } else {
                write(format_args!("{path}"));
            }
        };
        let alone = self.ask_as(who, name, 1, asked.clone()).await?;
        Ok([alone, self.ask_as(who, name, many, asked).await?])
    }
}
