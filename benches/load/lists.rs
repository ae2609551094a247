//! Lists of many rows, one request at a time: page numbers near both ends and in the middle, cursors at the beginning
//! and the end, filters, and full-text search.

use std::fmt::Arguments;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use serde_json::Value;

use crate::client::Connection;
use crate::report::{Measurement, Name};
use crate::{Bench, announce, customer_phone};

const FIRST: Name = Name { key: "list-first", label: "first page, by number" };
const MIDDLE: Name = Name { key: "list-middle", label: "page in the middle, by number" };
const GAP: Name = Name { key: "list-middle-gap", label: "page in the middle, if ids are missing" };
const LAST: Name = Name { key: "list-last", label: "last page, by number" };
const EARLY: Name = Name { key: "list-cursor-early", label: "500 by cursor, first tenth of the way" };
const LATE: Name = Name { key: "list-cursor-late", label: "500 by cursor, last tenth of the way" };
const NUMBER: Name = Name { key: "list-number", label: "filter: a phone number" };
const RARE_TEXT: [Name; 2] = [
    Name { key: "list-account", label: "filter: an account, in the middle of it" },
    Name { key: "list-account-estimate", label: "the same, total=estimate" },
];
const COMMON_TEXT: [Name; 2] = [
    Name { key: "list-name", label: "filter: a part of every name" },
    Name { key: "list-name-estimate", label: "the same, total=estimate" },
];
const TWO_WORDS: [Name; 2] = [
    Name { key: "list-term", label: "term: two words, one of them of one row" },
    Name { key: "list-term-estimate", label: "the same, total=estimate" },
];
const COMMON_WORD: [Name; 2] = [
    Name { key: "list-common", label: "term: a word of every row" },
    Name { key: "list-common-estimate", label: "the same, total=estimate" },
];

/// A filter for a list of this many rows.
type Filter = fn(&mut Rng, usize) -> String;

/// Filters that visit every row for an exact total. Each is measured with both kinds of total.
const FILTERS: [([Name; 2], Filter); 4] = [
    (RARE_TEXT, |random, rows| format!("filter[customer_account]=L{:06}", random.usize(1..=rows))),
    (COMMON_TEXT, |_, _| "filter[name]=elier".into()),
    (TWO_WORDS, |random, rows| format!("filter[term]=atelier+{}", random.usize(rows / 10..rows))),
    (COMMON_WORD, |_, _| "filter[term]=atelier".into()),
];

/// Rows per page by default.
const PER_PAGE: usize = 20;

impl Bench {
    pub async fn lists(&self, rows: usize) -> Result<Vec<Measurement>> {
        let pages = rows.div_ceil(PER_PAGE);
        let mut measured = Vec::new();
        measured.push(self.ask(FIRST, 1, |_, write| write(format_args!("/api/customers"))).await?);
        let middle = move |_: &mut Rng, write: &mut dyn FnMut(Arguments<'_>)| {
            write(format_args!("/api/customers?page={}", pages / 2));
        };
        measured.push(self.ask(MIDDLE, 1, middle).await?);
        let last = move |_: &mut Rng, write: &mut dyn FnMut(Arguments<'_>)| {
            write(format_args!("/api/customers?page={pages}"));
        };
        measured.push(self.ask(LAST, 1, last).await?);
        measured.extend(self.walk().await?);
        let number = move |random: &mut Rng, write: &mut dyn FnMut(Arguments<'_>)| {
            let phone = customer_phone(random.usize(0..rows)).replace(' ', "").replace('+', "%2B");
            write(format_args!("/api/customers?filter[phone]={phone}"));
        };
        measured.push(self.ask(NUMBER, 1, number).await?);
        for (names, filter) in FILTERS {
            for (name, total) in names.into_iter().zip(["exact", "estimate"]) {
                let filtered = move |random: &mut Rng, write: &mut dyn FnMut(Arguments<'_>)| {
                    write(format_args!("/api/customers?{}&total={total}", filter(random, rows)));
                };
                measured.push(self.ask(name, 1, filtered).await?);
            }
        }
        self.leave_gap().await?;
        measured.push(self.ask(GAP, 1, middle).await?);
        Ok(measured)
    }

    /// Adds a customer with a high id, so that the ids are no longer consecutive.
    async fn leave_gap(&self) -> Result<()> {
        let mut connection = Connection::open(self.engine.address()).await?;
        let mut request = Vec::new();
        self.workspace.write_post(&mut request, "/api/customers/import", r#"[{"id":1000000000,"name":"Far"}]"#);
        let answer = connection.exchange(&request).await?;
        ensure!(answer.is_good(), "an import: {answer}");
        Ok(())
    }

    /// All pages by cursor, from the first to the last.
    async fn walk(&self) -> Result<[Measurement; 2]> {
        announce(&EARLY, 1);
        let mut connection = Connection::open(self.engine.address()).await?;
        let mut cursor = String::new();
        let mut pages = Vec::new();
        loop {
            let mut request = Vec::new();
            self.workspace.write_get(&mut request, format_args!("/api/customers?per_page=500&cursor={cursor}"));
            let asked = Instant::now();
            let answer = connection.exchange(&request).await?;
            ensure!(answer.is_good(), "a page by cursor: {answer}");
            pages.push(asked.elapsed());
            let page: Value = serde_json::from_slice(answer.body).context("reading a page")?;
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        let tenth = pages.len().div_ceil(10);
        let (early, late) = (&pages[..tenth], &pages[pages.len() - tenth..]);
        let held = self.engine.held();
        Ok([Measurement::one_by_one(EARLY, early, held), Measurement::one_by_one(LATE, late, held)])
    }
}
