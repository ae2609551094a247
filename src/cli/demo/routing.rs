//! Call routing data of the demo's first customer, with a result for each kind of look-up.

use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::entity::Editable;
use crate::api::{Error, Result, entity_rows};
use crate::routing::call_queues::calendars::{self, Country};
use crate::routing::call_queues::exceptions::RoutingException;
use crate::routing::call_queues::queue_groups::CallQueueGroup;
use crate::routing::call_queues::queues::CallQueue;
use crate::routing::call_queues::time_spans::TimeSpan;
use crate::routing::ctis::Cti;
use crate::routing::ctis::cti_destinations::CtiDestination;
use crate::routing::fields::RoutingField;
use crate::routing::geo::geo_destinations::GeoDestination;
use crate::routing::geo::geo_lists::GeoList;
use crate::routing::options::RoutingOption;
use crate::routing::routing_contacts::RoutingContact;
use crate::routing::survey_records::SurveyRecord;
use crate::routing::surveys::Survey;
use crate::tenancy::ChangeRecorder;

/// The id of the customer that owns the data: the first in an empty workspace.
const CUSTOMER: i64 = 1;

/// Zones of French departments, by the contact in charge of them.
const REGIONS: [(&str, &[&str], &str); 3] = [
    ("Nord", &["59", "62", "80"], "811"),
    ("Paris", &["75", "92", "93", "94"], "812"),
    ("Sud", &["06", "13", "83"], "813"),
];

/// Answers to the survey: of the last month.
const RECORDS: i64 = 40;

struct RoutingDemo<'d> {
    db: &'d Connection,
    recorder: &'d ChangeRecorder,
}

/// Fills a workspace that has customers but no call routing.
pub fn fill(db: &Connection, recorder: &ChangeRecorder) -> Result<()> {
    let routing = RoutingDemo { db, recorder };
    routing.queues()?;
    routing.contacts()?;
    routing.origins()?;
    routing.zones()?;
    routing.survey()
}

impl RoutingDemo<'_> {
    /// Creates a row like a request with this body.
    fn add<T: Editable>(&self, body: Value) -> Result<T> {
        self.add_row(read(body)?)
    }

    fn add_row<T: Editable>(&self, mut row: T) -> Result<T> {
        row.set_customer(Some(CUSTOMER));
        entity_rows::add(self.db, self.recorder, entity_rows::timed(row, self.recorder.at))
    }

    /// Creates a queue that is open on working days and closed on the public holidays of this year and the next.
    fn queues(&self) -> Result<()> {
        let group = self.add::<CallQueueGroup>(json!({"name": "Agences"}))?;
        self.add::<CallQueue>(json!({
            "name": "Standard", "code": "standard", "number": "01 42 00 00 00", "did_number": "+33 1 42 00 00 01",
            "type": "inbound", "call_queue_group_id": group.id, "default_destination_type": "voicemail",
            "default_destination": "899",
        }))?;
        for (name, code, number, opens, closes) in [
            ("Support", "support", "01 42 00 00 02", "08:00", "20:00"),
            ("Ventes", "ventes", "01 42 00 00 03", "09:30", "17:30"),
        ] {
            let queue = self.add::<CallQueue>(json!({
                "name": name, "code": code, "number": number, "type": "inbound",
                "default_destination_type": "voicemail", "default_destination": "899",
            }))?;
            for day in 1..=6 {
                self.add::<TimeSpan>(json!({
                    "time_spanable_type": "call_queue", "time_spanable_id": queue.id, "reference": "Horaires",
                    "destination": "802", "day_of_week": day, "start_time": opens, "end_time": closes,
                }))?;
            }
            let inventory = self.recorder.at.plus(10 * 86_400).date();
            self.add::<RoutingException>(json!({
                "exceptionable_type": "call_queue", "exceptionable_id": queue.id, "label": "Inventaire",
                "destination": "898", "day": inventory.to_string(),
            }))?;
        }
        for (day, (start, end)) in (1..=5).flat_map(|day| [(day, ("09:00", "12:30")), (day, ("14:00", "18:00"))]) {
            self.add::<TimeSpan>(json!({
                "time_spanable_type": "call_queue_group", "time_spanable_id": group.id, "reference": "Horaires",
                "destination": "801", "day_of_week": day, "start_time": start, "end_time": end,
            }))?;
        }
        let this_year = self.recorder.at.date().year();
        for (date, name) in
            [this_year, this_year + 1].iter().flat_map(|year| calendars::in_year(Country::FRANCE, None, *year))
        {
            let day: RoutingException = read(json!({
                "exceptionable_type": "call_queue_group", "exceptionable_id": group.id, "label": name,
                "destination": "898", "day": date.to_string(),
            }))?;
            self.add_row(RoutingException { holiday: true, ..day })?;
        }
        Ok(())
    }

    /// Creates contacts with selectable destinations, and the field for the language that they speak.
    fn contacts(&self) -> Result<()> {
        let field = self.add::<RoutingField>(json!({"name": "Langue", "default_value": "fr"}))?;
        for (name, value) in [("Français", "fr"), ("English", "en"), ("Deutsch", "de")] {
            self.add::<RoutingOption>(json!({"routing_field_id": field.id, "name": name, "value": value}))?;
        }
        for (number, (first, last, language)) in (1..).zip([
            ("Zoé", "Lefèvre", "fr"),
            ("John", "Baker", "en"),
            ("Greta", "Weber", "de"),
            ("Karim", "Benali", "fr"),
        ]) {
            let email = format!("{}@example.com", last.to_lowercase().replace('è', "e"));
            self.add::<RoutingContact>(json!({
                "id_code": format!("VIP{number}"), "language_code": language, "first_name": first, "last_name": last,
                "emails": [email], "telecoms": [format!("06 12 34 56 7{number}")], "field_select_1": language,
                "telecom_destination": format!("80{number}"), "email_destination": "support@example.com",
                "field_boolean_1": true,
            }))?;
        }
        Ok(())
    }

    fn origins(&self) -> Result<()> {
        let cti = self.add::<Cti>(json!({"name": "Standard téléphonique"}))?;
        for (origin, destination) in
            [("*", "800"), ("+33 1*", "801"), ("+33 6*", "806"), ("+49*", "849"), ("204", "204")]
        {
            self.add::<CtiDestination>(json!({"cti_id": cti.id, "origin": origin, "destination": destination}))?;
        }
        Ok(())
    }

    fn zones(&self) -> Result<()> {
        let list = self.add::<GeoList>(json!({
            "list_id": "agences", "list_name": "Agences", "geo_routing_model_id": 1, "fallback_destination_1": "810",
        }))?;
        for (name, zones, destination) in REGIONS {
            self.add::<GeoDestination>(json!({
                "geo_routing_list_id": list.id, "zones": zones, "nickname": name, "destination_1": destination,
                "destination_2": "810",
            }))?;
        }
        Ok(())
    }

    fn survey(&self) -> Result<()> {
        let survey = self.add::<Survey>(json!({"name": "Satisfaction"}))?;
        let answers = [(5, 201), (4, 202), (5, 203), (3, 203), (5, 201), (2, 204), (4, 202), (5, 204)];
        for (number, (score, agent)) in (1_i64..=RECORDS).zip(answers.into_iter().cycle()) {
            self.add::<SurveyRecord>(json!({
                "survey_id": survey.id, "caller": format!("06 12 34 56 {}", 10 + number), "score_1": score,
                "agent_extension": agent.to_string(), "datetime": self.recorder.at.plus(-number * 18 * 3_600),
            }))?;
        }
        Ok(())
    }
}

/// Parses a body; missing fields are blank.
fn read<T: DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(body).map_err(|error| Error::Internal(error.to_string()))
}
