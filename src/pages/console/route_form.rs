//! The form of one route of the central API that is neither the creation nor the change of a record: a password, a
//! transfer, a deletion that is confirmed.

use http::StatusCode;
use serde_json::Value;

use super::catalog::{Collection, central_form, fill};
use super::console_page::ConsolePage;
use super::form::{self, FormState, InputKind, InputOption, Problem, Typed, input_kind};
use super::form_page::{FormPage, IDEMPOTENCY_KEY, is_of_form, problems_of, redirect, sent_form};
use super::leak;
use super::links::Names;
use super::page::{Frame, PageCtx};
use super::schema::FieldSpec;
use crate::api::{ApiResponse, Error, InnerRequest, Resource, Result, Route, get, post};
use crate::executors::Executor;
use crate::pages::translations::Translations;
use crate::pages::{interrupted_form, refused_status};

/// A page with a form.
pub struct RouteForm {
    /// The path of the page.
    pub page: &'static str,
    pub method: &'static str,
    /// The path of the route of the API. Its values are those of the page.
    pub route: &'static str,
    /// The query of the request.
    pub query: &'static str,
    /// The fields of the form, in order.
    pub fields: &'static [&'static str],
    /// The fields that must not be blank.
    pub required: &'static [&'static str],
    pub texts: fn(Translations, &Value) -> FormTexts,
    pub is_danger: bool,
    /// The record that the form is about. It fills in the fields.
    pub record: fn(&PageCtx<'_>, &[String]) -> Result<Value>,
    /// The values of a field that is a choice, with their labels.
    pub choices: fn(&PageCtx<'_>, &[String], &str) -> Result<Option<Choices>>,
    /// The page to which "Cancel" leads.
    pub back: &'static str,
    /// The response after the change.
    pub done: fn(&PageCtx<'_>, &RouteForm, &Value) -> Result<ApiResponse>,
}

/// The values of a choice, with their labels.
pub type Choices = Vec<(String, String)>;

pub struct FormTexts {
    pub title: String,
    pub about: Option<String>,
    pub button: String,
}

impl RouteForm {
    /// A form with these fields and nothing else.
    pub const fn new(
        page: &'static str,
        method: &'static str,
        route: &'static str,
        fields: &'static [&'static str],
        texts: fn(Translations, &Value) -> FormTexts,
        back: &'static str,
    ) -> Self {
        Self {
            page,
            method,
            route,
            query: "",
            fields,
            required: fields,
            texts,
            is_danger: false,
            record: |_, _| Ok(Value::Null),
            choices: |_, _, _| Ok(None),
            back,
            done: |page, form, _| redirect(page, &form.back_of(page), "changed"),
        }
    }

    /// The page to which the form leads back.
    pub fn back_of(&self, page: &PageCtx<'_>) -> String {
        fill(self.back, &page.request.path_values)
    }

    fn collection(&self) -> Result<&'static Collection> {
        let known = central_form(self.method, self.route);
        known.ok_or_else(|| Error::Internal(format!("no route {} {}", self.method, self.route)))
    }

    /// The fields of the form. A field that must not be blank has no null.
    fn specs(&self, collection: &Collection) -> Vec<FieldSpec> {
        let spec = |name: &&str| {
            let mut field = collection.creation.iter().find(|field| field.name == **name)?.clone();
            field.is_required = self.required.contains(name);
            field.is_nullable &= !field.is_required;
            Some(field)
        };
        self.fields.iter().filter_map(spec).collect()
    }

    /// The form before anything is typed.
    fn blank(&self, page: &PageCtx<'_>, fields: &[FieldSpec]) -> Result<FormState> {
        let record = (self.record)(page, &page.request.path_values)?;
        let (zone, names) = (page.zone()?, Names::default());
        let typed = fields.iter().map(|field| (field.name.clone(), form::typed_of(field, &record, &zone, &names)));
        FormState::opened(typed.collect(), record, None)
    }

    fn show(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        let collection = self.collection()?;
        let fields = self.specs(collection);
        let form = self.blank(page, &fields)?;
        self.page(page, &fields, &form, StatusCode::OK)
    }

    fn send(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        let collection = self.collection()?;
        let fields = self.specs(collection);
        let mut form = sent_form(page, &fields)?;
        if interrupted_form::is_shown_again(page.request)? {
            return self.refuse(page, &fields, form, Vec::new(), StatusCode::OK);
        }
        let all: Vec<&FieldSpec> = fields.iter().collect();
        let result = match form.body(page, &all, None)? {
            Ok(body) if let Some(missing) = self.missing(&body) => Err(missing),
            Ok(body) => {
                let mut route = InnerRequest::to(self.api()?).with_query(self.query.to_owned()).with_body(body);
                if self.method == "POST" && !form.once.is_empty() {
                    route = route.with_header(IDEMPOTENCY_KEY, &form.once);
                }
                let inner = page.request.path_values.iter().fold(route, |inner, value| inner.at(value));
                page.send(inner).map(|made| made.body)
            }
            Err(problems) => return self.refuse(page, &fields, form, problems, StatusCode::UNPROCESSABLE_ENTITY),
        };
        let error = match result {
            Ok(made) => return (self.done)(page, self, &made),
            Err(error) => error,
        };
        let words = page.words();
        let problems = match &error {
            Error::InvalidCredentials => vec![(Some("current_password".to_owned()), words.wrong_password())],
            Error::WrongCode => vec![(Some("code".to_owned()), words.problems(&error).join(" "))],
            error if is_of_form(error) => problems_of(page, collection, error),
            _ => return Err(error),
        };
        // A secret is typed again.
        for field in fields.iter().filter(|field| input_kind(field) == InputKind::Secret) {
            form.typed.insert(field.name.clone(), Typed::One(String::new()));
        }
        self.refuse(page, &fields, form, problems, refused_status(&error))
    }

    /// The error about required fields that are blank. The API takes a blank field of a change as no change.
    fn missing(&self, body: &Value) -> Option<Error> {
        let is_blank = |name: &&&str| body[**name].is_null() || body[**name] == "";
        let missing = self.required.iter().find(is_blank)?;
        Some(Error::invalid(format!("The {} field is required.", missing.replace('_', " "))))
    }

    fn refuse(
        &self,
        page: &PageCtx<'_>,
        fields: &[FieldSpec],
        form: FormState,
        problems: Vec<Problem>,
        status: StatusCode,
    ) -> Result<ApiResponse> {
        let record = (self.record)(page, &page.request.path_values)?;
        self.page(page, fields, &FormState { problems, base: record, ..form }, status)
    }

    fn page(
        &self,
        page: &PageCtx<'_>,
        fields: &[FieldSpec],
        form: &FormState,
        status: StatusCode,
    ) -> Result<ApiResponse> {
        let frame = Frame::of(page)?;
        let words = frame.words;
        let mut inputs = form::inputs(page, fields, form)?;
        for input in &mut inputs {
            if let Some(choices) = (self.choices)(page, &page.request.path_values, &input.name)? {
                input.kind = InputKind::Choice;
                let option = |(value, label)| InputOption { is_chosen: value == input.value, value, label };
                input.options = choices.into_iter().map(option).collect();
            }
            // The help is about a value that is chosen, not about one that confirms.
            input.help = input.help.take().filter(|_| !self.is_danger);
            input.autocomplete = match input.name.as_str() {
                "name" => Some("name"),
                "email" => Some("email"),
                "current_password" => Some("current-password"),
                "password" => Some("new-password"),
                "code" => Some("one-time-code"),
                _ => Some("off"),
            };
        }
        let problems = form.problems_at(inputs.iter());
        let texts = (self.texts)(words, &form.base);
        let rendered = FormPage {
            words,
            title: texts.title,
            about: texts.about,
            action: fill(self.page, &page.request.path_values),
            button: texts.button,
            is_danger: self.is_danger,
            cancel: self.back_of(page),
            groups: if inputs.is_empty() { Vec::new() } else { vec![form::InputGroup { label: None, inputs }] },
            hidden: vec![("once", form.once.clone())],
            problems,
            affected: Vec::new(),
            frame: &frame,
        };
        frame.respond(page, status, &rendered)
    }

    fn api(&self) -> Result<&'static Route> {
        self.collection()?.create.ok_or_else(Error::not_found)
    }
}

/// The pages of these forms.
pub fn pages(name: &'static str, forms: &'static [RouteForm]) -> Resource {
    let mut routes = Vec::new();
    for form in forms {
        let Ok(route) = form.api() else { continue };
        let page = |sends| -> &'static RouteFormPage { Box::leak(Box::new(RouteFormPage { form, sends })) };
        let summary = route.summary;
        routes.push(get(form.page, page(false), route.needs, leak(format!("{summary}: show the form"))));
        routes.push(post(form.page, page(true), route.needs, leak(format!("{summary}, from a form"))));
    }
    Resource::pages(name, Vec::leak(routes))
}

/// A page of a form: to show it, or to send it.
struct RouteFormPage {
    form: &'static RouteForm,
    sends: bool,
}

impl ConsolePage for RouteFormPage {
    fn executor(&self) -> Executor {
        let own = self.form.api().map(|route| route.handler.executor());
        match (self.sends, own) {
            (true, Ok(executor)) if executor != Executor::Transaction => executor,
            _ => Executor::Blocking,
        }
    }

    fn is_sent(&self) -> bool {
        self.sends
    }

    fn respond(&self, page: &PageCtx<'_>) -> Result<ApiResponse> {
        if self.sends { self.form.send(page) } else { self.form.show(page) }
    }

    fn secret_fields(&self) -> Option<Vec<String>> {
        let form = self.form;
        let collection = form.collection().ok().filter(|_| self.sends)?;
        Some(form::secrets(&form.specs(collection)))
    }
}
