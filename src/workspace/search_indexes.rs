//! The derived indexes of a workspace's file: normalized phone numbers and folded texts. Their rules can change with an
//! update of the program; then the jobs rebuild them. A change of the default country rebuilds the numbers at once.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use phonenumber::country::Id as Country;
use rusqlite::Connection;

use super::resources;
use crate::api::field::FilterKind;
use crate::api::resource::EntityTable;
use crate::api::{Error, Result};
use crate::storage::File;
use crate::tenancy::indexing::{Index, Pass, Reindexing, Step};
use crate::tenancy::phones::{self, PhoneColumns};
use crate::tenancy::row_counts;
use crate::tenancy::text_indexes::{self, Missing};

/// The normalized phone numbers. They also depend on the default country.
pub static NUMBERS: Index = Index::of_numbers(|| {
    let step = |table: &'static EntityTable| Step {
        table: table.name,
        work: Reindexing::Numbers(&table.numbers, computing(table, is_number).collect()),
    };
    tables().filter(|table| has_numbers(&table.numbers)).map(step).collect()
});

/// The folded texts for search and sort.
pub static TEXTS: Index = Index::of_texts(|| {
    let step = |table: &'static EntityTable| {
        let statements = folding(table);
        let work = match table.fold {
            Some(function) => Reindexing::Function(function),
            None if statements.is_empty() => return None,
            None => Reindexing::Statements(statements),
        };
        Some(Step { table: table.name, work })
    };
    tables().filter_map(step).collect()
});

/// The tables of all resources.
fn tables() -> impl Iterator<Item = &'static EntityTable> {
    resources().filter_map(|resource| resource.table.as_ref())
}

/// The columns with phone numbers, of each table that has any.
fn numbered() -> impl Iterator<Item = &'static PhoneColumns> {
    tables().map(|table| &table.numbers).filter(|numbers| has_numbers(numbers))
}

fn has_numbers(numbers: &PhoneColumns) -> bool {
    !numbers.columns.is_empty() || !numbers.lists.is_empty()
}

/// Whether the expression of a computed column reads a phone number, and not a text.
fn is_number(expression: &str) -> bool {
    expression.contains("phone_key(")
}

/// The statements that fold the texts of the rows with ids above `?1` and up to `?2`: the computed columns, and the full-text
/// index.
fn folding(table: &EntityTable) -> Vec<String> {
    computing(table, |expression| !is_number(expression)).chain(text_index(table)).collect()
}

/// The statements that compute some columns of these rows again.
fn computing(table: &EntityTable, is_chosen: fn(&str) -> bool) -> impl Iterator<Item = String> {
    let chosen = table.computed.iter().filter(move |(_, expression)| is_chosen(expression));
    chosen.map(|(column, parameters)| {
        let (name, expression) = (table.name, parameters.replace(':', ""));
        format!("UPDATE {name} SET {column} = {expression} WHERE id > ?1 AND id <= ?2 AND {column} IS NOT {expression}")
    })
}

/// The statement that writes the full-text index of these rows.
fn text_index(table: &EntityTable) -> Option<String> {
    let name = table.name;
    let index = table.fields.iter().find_map(|field| match field.filter {
        Some(FilterKind::Term(index)) => Some(index),
        _ => None,
    })?;
    let searched: Vec<&str> = table.fields.iter().filter(|field| field.is_searched).map(|field| field.column).collect();
    let folded: Vec<String> = searched.iter().map(|column| format!("fold({column})")).collect();
    let (columns, folded) = (searched.join(", "), folded.join(", "));
    Some(format!(
        "INSERT OR REPLACE INTO {index} (rowid, {columns})
         SELECT id, {folded} FROM {name} WHERE id > ?1 AND id <= ?2"
    ))
}

/// The statement of each table with a full-text index.
static TEXT_INDEXES: LazyLock<Vec<(&str, String)>> =
    LazyLock::new(|| tables().filter_map(|table| Some((table.name, text_index(table)?))).collect());

/// Indexes the next rows of `missing`. Returns whether it may have more. Counts new rows too, as the turn writes anyway.
pub fn index_texts(db: &Connection, missing: &Missing) -> rusqlite::Result<bool> {
    row_counts::count_new(db, ROWS_COUNTED_IN_A_TURN)?;
    missing.index(db, TEXTS_IN_A_TURN, |table| {
        TEXT_INDEXES.iter().find(|(name, _)| *name == table).map(|(_, statement)| statement.as_str())
    })
}

/// Counts the stored phone numbers that mean another number if the default country changes. Stops at `most`. Takes many
/// short turns, so that others can read in between.
pub fn count_differing_numbers(file: &Arc<File>, countries: (Country, Country), most: usize) -> Result<usize> {
    let mut all = 0;
    for columns in numbered() {
        let mut after = 0;
        loop {
            let (count, last) = file.read(move |db| {
                Ok::<_, Error>(phones::count_differing(db, columns, after, ROWS_IN_A_READ_TURN, countries)?)
            })?;
            all += count;
            match last {
                _ if all >= most => return Ok(most),
                Some(last) => after = last,
                None => break,
            }
        }
    }
    Ok(all)
}

/// Rows per read turn of a count.
const ROWS_IN_A_READ_TURN: usize = 1000;

/// Rows per write turn: a few milliseconds, during which other writers wait.
const ROWS_IN_A_TURN: usize = 200;

/// Number of retries, and pause between them, while the file is overloaded.
const TRIES: usize = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Whether all indexes follow the current rules.
pub fn are_current(db: &Connection) -> rusqlite::Result<bool> {
    Ok(NUMBERS.is_current(db)? && TEXTS.is_current(db)?)
}

/// Rebuilds all indexes by the current rules in at most `turns` turns, and counts them down. Does nothing if they are
/// current. Returns whether they are current now.
pub fn bring_up_to_date(file: &Arc<File>, turns: &mut usize) -> Result<bool> {
    if file.read(|db| Ok::<_, Error>(are_current(db)?))? {
        return Ok(true);
    }
    for index in [&NUMBERS, &TEXTS] {
        if let Some(pass) = file.write(|db| Ok::<_, Error>(Pass::begin(db, index)?))?
            && !run_for(file, &pass, turns)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A write turn indexes the texts of this many rows. It takes a few milliseconds.
const TEXTS_IN_A_TURN: usize = 100;

/// Indexes the texts that are missing now, in at most `turns` turns. Returns whether all of these are indexed.
pub fn index_missing_texts(file: &Arc<File>, turns: &mut usize) -> Result<bool> {
    let Some(missing) = file.read(|db| Ok::<_, Error>(text_indexes::missing(db)?))? else { return Ok(true) };
    while *turns > 0 {
        *turns -= 1;
        let missing = missing.clone();
        if !file.write(move |db| Ok::<_, Error>(index_texts(db, &missing)?))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A write turn counts this many rows of a table. It takes less than a millisecond.
const ROWS_COUNTED_IN_A_TURN: usize = 2000;

/// Counts new rows until few are left, in at most `turns` turns. Returns whether few are left.
pub fn count_new_rows(file: &Arc<File>, turns: &mut usize) -> Result<bool> {
    while file.read(|db| Ok::<_, Error>(row_counts::are_many_new(db)?))? {
        if *turns == 0 {
            return Ok(false);
        }
        *turns -= 1;
        file.write(|db| Ok::<_, Error>(row_counts::count_new(db, ROWS_COUNTED_IN_A_TURN)?))?;
    }
    Ok(true)
}

/// Runs a pass to its end.
pub fn run(file: &Arc<File>, pass: &Pass) -> Result<()> {
    run_for(file, pass, &mut { usize::MAX }).map(|_| ())
}

/// Runs a pass for at most `turns` turns. Returns whether the pass is complete. Waits while the file is overloaded.
fn run_for(file: &Arc<File>, pass: &Pass, turns: &mut usize) -> Result<bool> {
    let mut tries = TRIES;
    while *turns > 0 {
        *turns -= 1;
        let pass = pass.clone();
        match file.write(move |db| Ok::<_, Error>(pass.index_next(db, ROWS_IN_A_TURN)?)) {
            Ok(true) => tries = TRIES,
            Ok(false) => return Ok(true),
            Err(Error::Overloaded | Error::TooSlow) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(PAUSE);
            }
            Err(Error::Overloaded | Error::TooSlow) => {
                return Err(Error::Internal("the indexes are not completely rebuilt; the jobs continue".into()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::*;
    use proptest::test_runner::Config;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::entity_rows;
    use crate::jobs;
    use crate::tests::{TestClient, TestServer};
    use crate::values::Text;
    use crate::workspace::contacts::Contact;

    /// The fields with numbers of a table.
    fn columns(table: &str) -> &'static [&'static str] {
        numbered().find(|numbered| numbered.table == table).unwrap().columns
    }

    fn setting(server: &TestServer, name: &'static str) -> String {
        server.in_file(move |db| {
            Ok(db.query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))?)
        })
    }

    fn is_current(server: &TestServer) -> bool {
        server.in_file(|db| Ok(are_current(db)?))
    }

    fn found(client: &TestClient<'_>, number: &str) -> Vec<bool> {
        let any = |table: &str| {
            let path = match table {
                "routing_contacts" => format!("/smart-routings/contacts?customer_account=CL000001&telecoms={number}"),
                "call_queues" => {
                    format!("/smart-routings/call-queues/queues?customer_account=CL000001&did_number={number}")
                }
                table => format!("/{}?filter[phone]={number}", table.replace('_', "-")),
            };
            client.get(&path).ok()["total"] != 0
        };
        numbered().map(|numbered| any(numbered.table)).collect()
    }

    /// Stores the number in every phone field of every resource.
    fn everybody_has(server: &TestServer, number: &str) {
        let body = |fields: &[&str], mut body: Value| {
            fields.iter().for_each(|field| body[field] = json!(number));
            body
        };
        let admin = server.admin();
        admin.post("/customers", body(columns("customers"), json!({"name": "Weiß"}))).created();
        admin.post("/contacts", body(columns("contacts"), json!({"last_name": "Weiß"}))).created();
        let call = json!({"direction": "inbound", "subject": "Weiß"});
        admin.post("/phone-calls", body(columns("phone_calls"), call)).created();
        admin.put("/users/1", body(columns("users"), json!({"name": "Weiß"}))).created();
        let routed = json!({"telecoms": [number, "nobody"], "last_name": "Weiß"});
        admin.post("/smart-routings/contacts?customer_account=CL000001", routed).created();
        let queue = body(columns("call_queues"), json!({"name": "Sales"}));
        admin.post("/smart-routings/call-queues/queues?customer_account=CL000001", queue).created();
        admin.post("/smart-routings/ctis?customer_account=CL000001", json!({"name": "A"})).created();
        let origin = json!({"origin": "Weiß", "destination": "1"});
        admin.post("/smart-routings/ctis/1/destinations?customer_account=CL000001", origin).created();
    }

    const SEARCHED: [&str; 5] = [
        "/customers?filter[term]=weiss",
        "/contacts?filter[term]=weiss",
        "/phone-calls?filter[term]=weiss",
        "/users?filter[term]=weiss",
        "/smart-routings/contacts?customer_account=CL000001&term=weiss",
    ];

    fn totals(server: &TestServer) -> Vec<i64> {
        SEARCHED.iter().map(|path| server.admin().get(path).ok()["total"].as_i64().unwrap()).collect()
    }

    /// Sets the indexes back to the state in which an earlier version left them.
    fn age(server: &TestServer) {
        server.in_file(|db| {
            db.execute_batch(
                "UPDATE settings SET value = 'FR' WHERE name = 'phones_indexed_for';
                 DELETE FROM settings WHERE name = 'texts_indexed_by';
                 UPDATE phone_numbers SET reversed = '1';
                 UPDATE customers SET folded_name = NULL;
                 UPDATE contacts SET folded_last_name = NULL, folded_identity = NULL;
                 UPDATE cti_destinations SET dialled = 'weiß';
                 UPDATE text_indexes SET last_id = 1000;
                 DELETE FROM changed_texts;
                 DELETE FROM customers_fts;
                 DELETE FROM contacts_fts;
                 DELETE FROM users_fts;
                 DELETE FROM phone_calls_fts;
                 DELETE FROM routing_contacts_fts;",
            )?;
            Ok(())
        });
    }

    #[test]
    fn a_new_workspace_is_up_to_date() {
        let server = TestServer::new();
        assert!(is_current(&server));
        assert_eq!(setting(&server, "phones_indexed_for"), "FR 2");
    }

    #[test]
    fn after_an_update_everything_answers_and_the_jobs_make_it_whole() {
        let server = TestServer::new();
        everybody_has(&server, "01 42 00 02 01");
        server.admin().post("/contacts", json!({"last_name": "Étienne"})).created();
        server.admin().post("/contacts", json!({"last_name": "Zola"})).created();
        age(&server);
        assert!(!is_current(&server));
        assert_eq!(totals(&server), [0; 5]);
        // Rows that are not indexed yet are still sorted, and can be changed and deleted.
        let names = |path: &str| {
            let data = server.admin().get(path).ok()["data"].clone();
            data.as_array().unwrap().iter().map(|row| row["last_name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("/contacts?sort=last_name"), ["Étienne", "Weiß", "Zola"]);
        assert_eq!(names("/contacts?sort=last_name&cursor="), ["Étienne", "Weiß", "Zola"]);
        assert_eq!(server.admin().get("/contacts?filter[last_name]=weiss").ok()["total"], 1);
        server.admin().put("/contacts/3", json!({"last_name": "Zweiss"})).created();
        server.admin().delete("/contacts/2").ok();

        let mut indexer = jobs::index_maintenance::Indexer::new(Arc::clone(&server.instance));
        for _ in 0..3 {
            indexer.round(0).unwrap();
        }
        assert!(is_current(&server));
        assert_eq!(totals(&server), [1; 5]);
        assert_eq!(found(&server.admin(), "0142000201"), vec![true; numbered().count()]);
        assert_eq!(names("/contacts?sort=last_name"), ["Weiß", "Zweiss"]);
        let cti = server.admin().get("/smart-routings/ctis/lookup?customer_account=CL000001&cti_id=1&origin=WEISS");
        assert_eq!(cti.ok()["destination"], "1");
        server.in_file(|db| {
            let unfolded = "SELECT count(*) FROM contacts WHERE folded_last_name IS NULL OR folded_identity IS NULL";
            assert_eq!(db.query_row(unfolded, [], |row| row.get::<_, i64>(0))?, 0);
            Ok(())
        });
    }

    #[test]
    fn a_workspace_in_which_nobody_works_has_its_turn() {
        let server = TestServer::new();
        age(&server);
        server.instance.registry.close_all(Duration::from_secs(5)).unwrap();
        let mut indexer = jobs::index_maintenance::Indexer::new(Arc::clone(&server.instance));
        for n in 300..308 {
            indexer.round(n).unwrap();
        }
        assert!(is_current(&server));
    }

    #[test]
    fn another_country_reads_the_numbers_that_are_there_anew() {
        let server = TestServer::new();
        everybody_has(&server, "030 123456");
        let german = "%2B4930123456";
        let (all, none) = (vec![true; numbered().count()], vec![false; numbered().count()]);
        assert_eq!(found(&server.admin(), german), none);
        server.admin().put("/settings", json!({"default_country": "DE"})).created();
        assert_eq!(found(&server.admin(), german), all);
        assert_eq!(
            (found(&server.admin(), "030%20123456"), setting(&server, "phones_indexed_for").as_str()),
            (all, "DE 2")
        );

        // The result equals a fresh index: nothing is missing, nothing is left over.
        let index = |db: &Connection| {
            let sql = "SELECT resource || field || reversed FROM phone_numbers ORDER BY resource, field";
            Ok(db.prepare(sql)?.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?)
        };
        let indexed = server.in_file(index);
        assert_eq!(
            indexed.len(),
            numbered().map(|numbered| numbered.columns.len() + numbered.lists.len()).sum::<usize>()
        );
        assert!(indexed.iter().all(|row| row.ends_with("6543210394")), "{indexed:?}");
    }

    #[test]
    fn a_pass_takes_many_turns_and_leaves_no_row_out() {
        let server = TestServer::new();
        let rows = i64::try_from(2 * ROWS_IN_A_TURN + 1).unwrap();
        let recorder = server.recorder();
        server.in_file(move |db| {
            for n in 0..rows {
                let number = Text::parse(format!("030 {n:06}")).ok();
                entity_rows::add(db, &recorder, Contact { phone_home_1: number, ..Contact::default() })?;
            }
            Ok(())
        });
        server.admin().put("/settings", json!({"default_country": "DE"})).created();
        let german = "SELECT count(*) FROM phone_numbers WHERE reversed LIKE '%0394'";
        let indexed: i64 = server.in_file(move |db| Ok(db.query_row(german, [], |row| row.get(0))?));
        assert_eq!(indexed, rows);
    }

    #[test]
    fn what_a_crash_left_of_a_pass_the_next_one_goes_on_with() {
        let server = TestServer::new();
        everybody_has(&server, "030 123456");
        server.admin().post("/contacts", json!({"last_name": "B", "fax": "030 123457"})).created();
        server.in_file(|db| {
            db.execute("UPDATE settings SET value = 'DE' WHERE name = 'default_country'", [])?;
            let pass = Pass::begin(db, &NUMBERS)?.expect("there is work to do");
            // The user, the end of the users, the customer, the end of the customers, and the first contact.
            for _ in 0..5 {
                assert!(pass.index_next(db, 1)?);
            }
            Ok(())
        });
        let state = setting(&server, "phones_indexed_for");
        assert!(state.starts_with("pass ") && state.ends_with(" contacts 1 DE 2"), "{state}");
        assert!(bring_up_to_date(bench_file(&server).file(), &mut 1000).unwrap());
        assert_eq!(setting(&server, "phones_indexed_for"), "DE 2");
        assert_eq!(found(&server.admin(), "%2B4930123456"), vec![true; numbered().count()]);
        assert_eq!(server.admin().get("/contacts?filter[phone]=%2B4930123457").ok()["total"], 1);
    }

    fn bench_file(server: &TestServer) -> crate::tenancy::Lease {
        server.instance.registry.lease(server.acme.id)
    }

    #[test]
    fn of_two_passes_the_later_one_says_when_all_is_done() {
        let server = TestServer::new();
        everybody_has(&server, "030 123456");
        server.in_file(|db| {
            let begin = |country: &str| {
                db.execute("UPDATE settings SET value = ?1 WHERE name = 'default_country'", [country])?;
                Pass::begin(db, &NUMBERS)
            };
            let (Some(first), Some(second)) = (begin("DE")?, begin("BE")?) else { panic!("both have work to do") };
            assert!(!first.index_next(db, 10)?);
            assert!(second.index_next(db, 10)?);
            Ok(())
        });
        assert!(setting(&server, "phones_indexed_for").ends_with(" users 1 BE 2"));
    }

    /// A step of somebody who works in a workspace, or of the jobs.
    #[derive(Debug, Clone, Copy)]
    enum Work {
        Add(usize),
        Rename(usize, usize),
        Delete(usize),
        Import(usize, usize),
        /// An import of the row that was deleted last, with its id.
        Return(usize),
        Index,
        /// A search between the other steps, which indexes too.
        Search(usize),
    }

    fn work() -> impl Strategy<Value = Work> {
        let (word, place) = (0..WORDS.len(), 0..8_usize);
        prop_oneof![
            4 => word.clone().prop_map(Work::Add),
            3 => (place.clone(), word.clone()).prop_map(|(place, word)| Work::Rename(place, word)),
            2 => place.prop_map(Work::Delete),
            1 => (word.clone(), word.clone()).prop_map(|(one, other)| Work::Import(one, other)),
            2 => word.clone().prop_map(Work::Return),
            2 => Just(Work::Index),
            1 => word.prop_map(Work::Search),
        ]
    }

    const WORDS: [&str; 4] = ["amber", "birch", "cedar", "daisy"];

    proptest! {
        #![proptest_config(Config { cases: 40, ..Config::default() })]

        /// Whatever is indexed and counted already: a search finds what was answered before it, and nothing else.
        #[test]
        fn a_search_finds_every_answered_write(steps in collection::vec(work(), 1..24)) {
            let server = TestServer::new();
            let admin = server.admin();
            let mut indexer = jobs::index_maintenance::Indexer::new(Arc::clone(&server.instance));
            let (mut people, mut gone): (Vec<(i64, usize)>, Vec<i64>) = Default::default();
            let found = |word: usize| {
                let total = |path: String| admin.get(&path).ok()["total"].as_u64().unwrap();
                let searched = admin.get(&format!("/search?q={}&per=20", WORDS[word])).ok()["contacts"].clone();
                let searched = searched.as_array().unwrap().len() as u64;
                (total(format!("/contacts?filter[term]={}", WORDS[word])), searched)
            };
            for step in steps {
                match step {
                    Work::Add(word) => {
                        let id = admin.post("/contacts", json!({"last_name": WORDS[word]})).created()["id"].as_i64();
                        people.push((id.unwrap(), word));
                    }
                    Work::Rename(place, word) => {
                        if let Some((id, known)) = people.get_mut(place) {
                            admin.put(&format!("/contacts/{id}"), json!({"last_name": WORDS[word]})).created();
                            *known = word;
                        }
                    }
                    Work::Delete(place) => {
                        if place < people.len() {
                            let (id, _) = people.remove(place);
                            admin.delete(&format!("/contacts/{id}")).ok();
                            gone.push(id);
                        }
                    }
                    Work::Import(one, other) => {
                        let rows = json!([{"last_name": WORDS[one]}, {"last_name": WORDS[other]}]);
                        admin.post("/contacts/import", rows).created();
                        let all = admin.get("/contacts?sort=-id&per_page=2").ok()["data"].clone();
                        people.push((all[1]["id"].as_i64().unwrap(), one));
                        people.push((all[0]["id"].as_i64().unwrap(), other));
                    }
                    Work::Return(word) => {
                        if let Some(id) = gone.pop() {
                            admin.post("/contacts/import", json!([{"id": id, "last_name": WORDS[word]}])).created();
                            people.push((id, word));
                        }
                    }
                    Work::Index => indexer.round(0).unwrap(),
                    Work::Search(word) => {
                        found(word);
                    }
                }
            }
            prop_assert_eq!(admin.get("/contacts?per_page=1").ok()["total"].as_u64().unwrap(), people.len() as u64);
            for (place, word) in WORDS.iter().enumerate() {
                let wanted = people.iter().filter(|(_, known)| *known == place).count() as u64;
                prop_assert_eq!(found(place), (wanted, wanted.min(20)), "{}", word);
            }
        }
    }
}
