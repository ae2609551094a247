//! An import in four steps: the file, its columns, a trial, and the run. The state is in the import, so each page can be
//! reloaded and left at any time.

use askama::Template;
use http::StatusCode;
use serde_json::{Value, json};

use super::catalog::Collection;
use super::display::{self, Shown, plain};
use super::form_page::{is_of_form, redirect};
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use super::{query, within_sentence};
use crate::api::{ApiResponse, Error, InnerRequest, IntoResponse, Redirect, Result, RowsFile, form_pairs};
use crate::pages::translations::{Translations, common_label};

#[derive(Template)]
#[template(path = "console/import.html")]
struct ImportPage<'a> {
    frame: &'a Frame,
    words: Translations,
    title: String,
    /// The list of the records, and its name.
    list: (String, String),
    /// The steps, and whether each is the present one.
    steps: Vec<(String, bool)>,
    /// The address of the first step.
    start: String,
    /// The address of the import, to which its forms are sent.
    action: String,
    problems: Vec<String>,
    view: ImportView,
}

enum ImportView {
    File { recent: Vec<RecentImport> },
    Columns(Box<ColumnsView>),
    Working { sentence: String, done: i64, of: i64, progress: String },
    Trial(Box<ResultView>),
    Done(Box<ResultView>),
}

struct RecentImport {
    href: String,
    name: String,
    records: String,
    state: String,
    when: Shown,
}

struct ColumnsView {
    facts: Vec<(String, String)>,
    columns: Vec<ShownColumn>,
    sample: Vec<Vec<String>>,
    unused: String,
    is_upsert: bool,
    may_upsert: bool,
    /// Each with its name in the API, its label, and whether it is chosen.
    keys: Vec<(String, String, bool)>,
}

struct ShownColumn {
    name: String,
    example: String,
    why: Option<String>,
    /// Each with its name in the API, its label, and whether it is chosen.
    fields: Vec<(String, String, bool)>,
}

#[derive(Default)]
struct ResultView {
    heading: String,
    counts: Vec<(String, String)>,
    refused_count: i64,
    refused: Vec<ShownRefused>,
    only_first: Option<String>,
    leave_out: Option<String>,
    run: Option<String>,
    sentence: Option<String>,
    /// Whether the columns may be changed. A part of the records may be in already.
    may_change_columns: bool,
    /// What came in.
    show: String,
}

struct ShownRefused {
    line: String,
    column: String,
    value: String,
    sentence: String,
}

/// The form for a file, and the imports that the person can go on with.
pub fn file(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    show_file(page, collection, place, Vec::new(), StatusCode::OK)
}

fn show_file(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    problems: Vec<String>,
    status: StatusCode,
) -> Result<ApiResponse> {
    let (words, zone) = (page.words(), page.zone()?);
    let all = page.send(InnerRequest::get("/imports"))?.body;
    let own = all.as_array().into_iter().flatten().filter(|import| is_here(import, collection, place));
    let start = start(collection, place);
    let recent = own.map(|import| RecentImport {
        href: format!("{start}/{}", plain(&import["id"])),
        name: import["file"].as_str().map_or_else(|| format!("#{}", plain(&import["id"])), str::to_owned),
        records: display::count(words, import["records"].as_i64().unwrap_or_default()),
        state: super::texts::choice_label(words, "state", &plain(&import["state"])),
        when: display::moment(words, &zone, &plain(&import["created_at"])),
    });
    let view = ImportView::File { recent: recent.collect() };
    respond(page, collection, place, 0, problems, status, view)
}

/// Uploads the file.
pub fn upload(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let words = page.words();
    let sent = RowsFile::of(page.request).and_then(|file| {
        let name: String = file.name.unwrap_or_default().chars().take(255).collect();
        let account = place.account.clone().unwrap_or_default();
        let query = query(&[("resource", resource(collection)), ("customer_account", account), ("file", name)]);
        let inner = InnerRequest::post("/imports", Value::Null).with_query(query).with_file(file.text, file.format);
        page.send(inner)
    });
    let error = match sent {
        Ok(made) => {
            let address = format!("{}/{}", start(collection, place), plain(&made.body["id"]));
            return Redirect::to(address).into_response(page.request);
        }
        Err(error) => error,
    };
    let has_file =
        page.request.form.as_ref().is_some_and(|form| form.file.as_ref().is_some_and(|f| !f.content.is_empty()));
    let problems = match error.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => vec![words.import_wrong_type()],
        StatusCode::PAYLOAD_TOO_LARGE => vec![words.import_too_large()],
        _ if is_of_form(&error) && !has_file => vec![words.import_no_file()],
        _ if is_of_form(&error) => words.problems(&error),
        _ => return Err(error),
    };
    let status =
        if error.status() == StatusCode::BAD_REQUEST { StatusCode::UNPROCESSABLE_ENTITY } else { error.status() };
    show_file(page, collection, place, problems, status)
}

/// The present step of an import.
pub fn show(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let import = read(page, collection, place)?;
    show_import(page, collection, place, &import, Vec::new())
}

fn show_import(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    import: &Value,
    problems: Vec<String>,
) -> Result<ApiResponse> {
    let words = page.words();
    let state = import["state"].as_str().unwrap_or_default();
    let is_begun = state == "interrupted" && import["progress"]["done"].as_i64() > Some(0);
    let wants_columns =
        page.query("columns").is_some() && ["checked", "failed", "interrupted"].contains(&state) && !is_begun;
    let working = |sentence: String| {
        let (done, of) = (import["progress"]["done"].as_i64(), import["progress"]["of"].as_i64());
        let (done, of) = (done.unwrap_or_default(), of.unwrap_or_default());
        let progress = words.import_progress(&display::count(words, done), &display::count(words, of));
        // An element without a maximum has no value.
        ImportView::Working { sentence, done, of: of.max(1), progress }
    };
    let refused = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (step, status, view) = match state {
        "checking" => (2, StatusCode::OK, working(words.import_checking())),
        "running" => (3, StatusCode::OK, working(words.import_running())),
        "interrupted" if !import["counts"].is_null() && !wants_columns => {
            (3, refused, ImportView::Trial(Box::new(interrupted(page, collection, import))))
        }
        "checked" if !wants_columns => (2, refused, ImportView::Trial(Box::new(trial(page, collection, import)))),
        "done" => (3, StatusCode::OK, ImportView::Done(Box::new(done(page, collection, place, import)))),
        "failed" if !wants_columns && problems.is_empty() => {
            let view = ResultView {
                heading: words.import_failed(),
                sentence: Some(sentence(words, collection, &plain(&import["problem"]))),
                may_change_columns: true,
                ..result(page, collection, import)
            };
            (2, StatusCode::OK, ImportView::Trial(Box::new(view)))
        }
        _ => (1, refused, ImportView::Columns(Box::new(columns_view(page, collection, import)))),
    };
    let mut problems = problems;
    if state == "interrupted" && import["counts"].is_null() && problems.is_empty() {
        problems.push(words.import_interrupted());
    }
    respond(page, collection, place, step, problems, status, view)
}

/// Chooses the columns and begins the trial, runs the import, or deletes it.
pub fn step(page: &PageCtx<'_>, collection: &'static Collection, place: &Place) -> Result<ApiResponse> {
    let id = place.id.clone().unwrap_or_default();
    let import = read(page, collection, place)?;
    let sent = form_pairs(page.request)?;
    let value = |name: &str| sent.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let here = format!("{}/{id}", start(collection, place));
    let inner = |route: InnerRequest| page.send(route.at(&id));
    let (result, shown) = match value("step") {
        Some("check") => {
            let fields = sent.iter().filter(|(name, _)| name == "field");
            let fields: Vec<Option<&str>> =
                fields.map(|(_, field)| Some(field.as_str()).filter(|f| !f.is_empty())).collect();
            let key = value("key").filter(|key| !key.is_empty() && value("mode") == Some("upsert"));
            let plan = json!({"fields": fields, "mode": value("mode").unwrap_or("create"), "key": key});
            let saved = inner(InnerRequest::put("/imports/{id}", plan.clone()));
            let begun = saved.and_then(|_| inner(InnerRequest::post("/imports/{id}/check", json!({}))));
            (begun, typed(&import, &plan))
        }
        Some("run") => {
            let options = json!({"leave_out_refused": value("leave_out") == Some("1")});
            (inner(InnerRequest::post("/imports/{id}/run", options)), import)
        }
        Some("delete") => {
            inner(InnerRequest::delete("/imports/{id}"))?;
            return redirect(page, &start(collection, place), "deleted");
        }
        _ => return Err(Error::BadRequest("The form names no step of the import.")),
    };
    match result {
        // A form that was sent twice leads to the same import.
        Err(error) if error.code() != "import_running" => match is_of_form(&error) {
            true => show_import(page, collection, place, &shown, page.words().problems(&error)),
            false => Err(error),
        },
        _ => Redirect::to(here).into_response(page.request),
    }
}

/// The refused rows as a file.
pub fn refused(page: &PageCtx<'_>, place: &Place) -> Result<ApiResponse> {
    page.send_for_stream(InnerRequest::get("/imports/{id}/refused.csv").at(place.id.clone().unwrap_or_default()))
}

/// The import with what the person has chosen.
fn typed(import: &Value, plan: &Value) -> Value {
    let mut typed = import.clone();
    typed["state"] = json!("uploaded");
    typed["mode"] = plan["mode"].clone();
    typed["key"] = plan["key"].clone();
    let fields = plan["fields"].as_array().into_iter().flatten();
    for (column, field) in typed["columns"].as_array_mut().into_iter().flatten().zip(fields) {
        column["field"] = field.clone();
    }
    typed
}

/// The import of the path, if it is one of these records.
fn read(page: &PageCtx<'_>, collection: &Collection, place: &Place) -> Result<Value> {
    let id = place.id.clone().unwrap_or_default();
    let import = page.send(InnerRequest::get("/imports/{id}").at(id))?.body;
    if is_here(&import, collection, place) { Ok(import) } else { Err(Error::not_found()) }
}

/// Whether an import is of these records, and of the customer of the page.
fn is_here(import: &Value, collection: &Collection, place: &Place) -> bool {
    let is_of_customer = place.account.as_ref().is_none_or(|account| import["customer_account"] == json!(account));
    import["resource"] == resource(collection) && is_of_customer
}

/// The name of the records in the API of imports.
fn resource(collection: &Collection) -> String {
    collection.resource.files.map(|files| files.name()).unwrap_or_default()
}

fn start(collection: &Collection, place: &Place) -> String {
    format!("{}/import", collection.page_of(&place.values()))
}

fn respond(
    page: &PageCtx<'_>,
    collection: &'static Collection,
    place: &Place,
    step: usize,
    problems: Vec<String>,
    status: StatusCode,
    view: ImportView,
) -> Result<ApiResponse> {
    let frame = Frame::of(page)?;
    let words = frame.words;
    let plural = collection.plural(words);
    let steps =
        [words.import_step_file(), words.import_step_columns(), words.import_step_trial(), words.import_step_run()];
    let start = start(collection, place);
    let rendered = ImportPage {
        words,
        title: words.import_of(&within_sentence(&plural)),
        list: (collection.page_of(&place.values()), plural),
        steps: steps.into_iter().enumerate().map(|(at, label)| (format!("{}. {label}", at + 1), at == step)).collect(),
        action: place.id.as_ref().map_or_else(|| start.clone(), |id| format!("{start}/{id}")),
        start,
        problems,
        view,
        frame: &frame,
    };
    frame.respond(page, status, &rendered)
}

/// The label of a field.
fn label(words: Translations, collection: &Collection, field: &str) -> String {
    let own = collection.resource.label_of(field).map(|label| words.label(label));
    own.or_else(|| common_label(field, words)).unwrap_or_else(|| field.to_owned())
}

fn text_list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(plain).collect()
}

fn columns_view(page: &PageCtx<'_>, collection: &Collection, import: &Value) -> ColumnsView {
    let words = page.words();
    let targets = text_list(&import["targets"]);
    let shown = |(at, column): (usize, &Value)| {
        let field = column["field"].as_str();
        let why = match column["matched_by"].as_str() {
            Some("name") => Some(words.import_by_name()),
            Some("label") => Some(words.import_by_label()),
            Some("last_time") => Some(words.import_by_last_time()),
            _ => None,
        };
        ShownColumn {
            name: match column["name"].as_str() {
                None | Some("") => words.import_column_number(&(at + 1).to_string()),
                Some(name) => name.to_owned(),
            },
            example: plain(&column["example"]),
            why: why.filter(|_| field.is_some()),
            fields: targets
                .iter()
                .map(|target| (target.clone(), label(words, collection, target), field == Some(target.as_str())))
                .collect(),
        }
    };
    let columns: Vec<ShownColumn> = import["columns"].as_array().into_iter().flatten().enumerate().map(shown).collect();
    let is_unused = |column: &&ShownColumn| !column.fields.iter().any(|(_, _, is_chosen)| *is_chosen);
    let unused: Vec<&str> = columns.iter().filter(is_unused).map(|column| column.name.as_str()).collect();
    let unused = match unused[..] {
        [] => words.import_all_used(),
        _ => words.import_unused(&unused.join(", ")),
    };
    let keys = text_list(&import["keys"]).into_iter().map(|key| {
        let is_chosen = import["key"] == json!(key);
        (key.clone(), label(words, collection, &key), is_chosen)
    });
    let delimiter = match import["delimiter"].as_str() {
        Some("\t") => Some(words.import_tab()),
        other => other.map(str::to_owned),
    };
    let read_as = match import["encoding"].as_str() {
        Some(encoding) => format!("CSV, {encoding}"),
        None => "JSON".to_owned(),
    };
    let mut facts = vec![(words.import_read_as(), read_as)];
    facts.extend(delimiter.map(|delimiter| (words.import_delimiter(), delimiter)));
    let records = import["records"].as_i64().unwrap_or_default();
    facts.push((words.import_records(), display::count(words, records)));
    ColumnsView {
        facts,
        sample: import["sample"].as_array().into_iter().flatten().map(text_list).collect(),
        unused,
        columns,
        is_upsert: import["mode"] == "upsert",
        may_upsert: collection.update.is_some_and(|route| page.may(route)),
        keys: keys.collect(),
    }
}

/// The counts of a check or a run, and the refused records.
fn result(page: &PageCtx<'_>, collection: &Collection, import: &Value) -> ResultView {
    let words = page.words();
    let counts = &import["counts"];
    let number = |name: &str| counts[name].as_i64().unwrap_or_default();
    let shown = |label: String, number: i64| (label, display::count(words, number));
    let counted = match counts.is_null() {
        true => Vec::new(),
        false => vec![
            shown(words.import_created(), number("created")),
            shown(words.import_changed(), number("changed")),
            shown(words.import_unchanged(), number("unchanged")),
            shown(words.import_refused(), number("refused")),
            shown(words.import_sum(), import["records"].as_i64().unwrap_or_default()),
        ],
    };
    let of_record = |record: &Value| {
        let line = plain(&record["line"]);
        let problems = record["problems"].as_array().cloned().unwrap_or_default();
        problems.into_iter().map(move |problem| ShownRefused {
            line: line.clone(),
            column: match problem["column"].as_str() {
                Some(column) => column.to_owned(),
                None => problem["field"].as_str().map(|field| label(words, collection, field)).unwrap_or_default(),
            },
            value: plain(&problem["value"]),
            sentence: sentence(words, collection, &plain(&problem["sentence"])),
        })
    };
    let records = import["refused"].as_array().cloned().unwrap_or_default();
    let refused: Vec<ShownRefused> = records.iter().flat_map(of_record).collect();
    let listed = i64::try_from(records.len()).unwrap_or_default();
    let refused_count = number("refused").max(listed);
    ResultView {
        counts: counted,
        only_first: (refused_count > listed).then(|| words.only_the_first(&listed.to_string())),
        refused_count,
        refused,
        ..ResultView::default()
    }
}

fn trial(page: &PageCtx<'_>, collection: &Collection, import: &Value) -> ResultView {
    let words = page.words();
    let view = result(page, collection, import);
    let number = |name: &str| import["counts"][name].as_i64().unwrap_or_default();
    let writes = number("created") + number("changed");
    let others = writes + number("unchanged");
    let leave_out = (view.refused_count > 0 && others > 0)
        .then(|| words.import_leave_out(&display::count(words, view.refused_count), &display::count(words, others)));
    let sentence = match (view.refused_count, writes) {
        (0, 0) => Some(words.import_nothing_to_do()),
        (0, _) => None,
        _ => Some(words.import_all_or_none()),
    };
    let run = match view.refused_count {
        0 if writes > 0 => Some(words.import_now(&display::count(words, writes))),
        0 => None,
        _ => leave_out.as_ref().map(|_| words.import_run()),
    };
    ResultView { heading: words.import_trial_says(), leave_out, sentence, run, may_change_columns: true, ..view }
}

/// A run that can be continued.
fn interrupted(page: &PageCtx<'_>, collection: &Collection, import: &Value) -> ResultView {
    let words = page.words();
    let number = |name: &str| import["progress"][name].as_i64().unwrap_or_default();
    let (done, of) = (number("done"), number("of"));
    let why = import["problem"].as_str().map(|problem| sentence(words, collection, problem));
    let state = words.import_goes_on(&display::count(words, done), &display::count(words, of));
    ResultView {
        heading: words.import_was_interrupted(),
        sentence: Some(why.into_iter().chain([state]).collect::<Vec<_>>().join(" ")),
        run: Some(words.import_continue()),
        may_change_columns: done == 0,
        ..result(page, collection, import)
    }
}

fn done(page: &PageCtx<'_>, collection: &Collection, place: &Place, import: &Value) -> ResultView {
    let words = page.words();
    let list = collection.page_of(&place.values());
    let has_own_time = import["columns"].as_array().into_iter().flatten().any(|column| column["field"] == "updated_at");
    let ran_at = plain(&import["ran_at"]);
    let filters = query(&[("filter[updated_at][gte]", &ran_at), ("filter[updated_at][lte]", &ran_at)]);
    let sentence = (import["refused_left_out"] == true).then(|| words.import_left_out());
    ResultView {
        heading: words.import_is_done(),
        sentence,
        show: if has_own_time { list } else { format!("{list}?{filters}") },
        ..result(page, collection, import)
    }
}

/// A sentence of the API about a record, for people.
fn sentence(words: Translations, collection: &Collection, sentence: &str) -> String {
    let label = |named: &str| collection.label_of(&named.replace(' ', "_")).map(|label| words.label(label));
    words.labelled_problems(&Error::invalid(sentence), &label).join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{TestBrowser, TestServer};

    /// As the file is after a crash in the middle of a run. The first user owns the workspace.
    const AFTER_CRASH: &str = "UPDATE imports SET owner = 'user 1', state = 'running', process = 'ended', created = 1,
        changed = 0, unchanged = 0, refused = 0, ran_at = created_at";

    #[test]
    fn the_page_of_an_interrupted_run_says_how_many_records_are_done_and_continues() {
        let server = TestServer::new();
        let admin = server.admin();
        let made = admin.post_csv("/imports?resource=contacts", "last_name\nAda\nBo\nCy\n").created();
        let path = format!("/imports/{}", made["id"]);
        admin.post(&format!("{path}/check"), json!({}));
        while admin.get(&path).ok()["state"] == "checking" {}
        server.in_file(|db| Ok(db.execute(AFTER_CRASH, [])?));

        let page = format!("/ui/contacts/import/{}", made["id"]);
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter").go(&page);
        for text in
            ["The import was interrupted", "1 of 3 records are done", "Continue the import", "Delete this import"]
        {
            assert!(browser.page.text.contains(text), "{text}: {}", browser.page.text);
        }
        assert!(!browser.page.text.contains("Change the columns"), "{}", browser.page.text);
        // The columns stay as they are, also with an old link.
        browser.go(&format!("{page}?columns=1"));
        browser.submit(&page, &[("step", "check"), ("mode", "create")]);
        assert!(browser.page.text.contains("A part of the records is imported."), "{}", browser.page.text);

        browser.go(&page).submit(&page, &[("step", "run")]);
        while browser.go(&page).page.text.contains("The import is running") {}
        assert!(browser.page.text.contains("The import is done"), "{}", browser.page.text);
        let names = admin.get("/contacts").ok()["data"].as_array().unwrap().len();
        assert_eq!(names, 2, "the first record is not imported again");
    }
}
