//! Call routing: the rows for each look-up, and the requests of a call flow.

use anyhow::Result;

use super::report::{Measurement, Name};
use super::{Bench, Row, fill};

/// Paths of the customer whose calls are routed: the first in the workspace.
macro_rules! path {
    ($path:literal) => {
        concat!("/api/smart-routings", $path, "customer_account=CL000001")
    };
}

const CONTACT: Name = Name { key: "route-contact", label: "where a contact's call goes" };
const ORIGIN: Name = Name { key: "route-origin", label: "where a call from an origin goes" };
const ZONE: Name = Name { key: "route-zone", label: "where a postcode's call goes" };
const QUEUE: Name = Name { key: "route-queue", label: "where a queue's call goes now" };

/// Departments of mainland France without Corsica: the zones of the lists' model.
const ZONES: usize = 94;
const WITHOUT_ZONE: usize = 20;

impl Bench {
    /// Measures each look-up, with this number of rows behind it.
    pub async fn routes(&self, rows: usize, connections: usize) -> Result<[Measurement; 4]> {
        let model = self.workspace.departements().await?;
        let lists = rows.div_ceil(ZONES);
        eprintln!("creating {rows} each of contacts, origins, zones and queues with a time span …");
        let workspace = &self.workspace;
        fill(workspace, contact, rows, connections).await?;
        fill(workspace, |_| (path!("/ctis?").into(), r#"{"name":"PBX"}"#.into()), 1, 1).await?;
        fill(workspace, origin, rows, connections).await?;
        let list =
            move |n| (path!("/geo/lists?").into(), format!(r#"{{"list_id":"L{n}","geo_routing_model_id":{model}}}"#));
        // One at a time, so that their ids are known.
        fill(workspace, list, lists, 1).await?;
        fill(workspace, zone, lists * ZONES, connections).await?;
        fill(workspace, queue, rows, 1).await?;
        fill(workspace, time_span, rows, connections).await?;

        let contact = self.ask(CONTACT, connections, move |random, write| {
            let number = random.usize(0..rows);
            write(format_args!("{}&telecom=061{number:07}", path!("/contacts/lookup?")));
        });
        let contact = contact.await?;
        let origin = self.ask(ORIGIN, connections, move |random, write| {
            let (prefix, rest) = (random.usize(0..rows), random.u32(0..10));
            write(format_args!("{}&cti_id=1&origin=%2B49{prefix:07}{rest}", path!("/ctis/lookup?")));
        });
        let origin = origin.await?;
        let zone = self.ask(ZONE, connections, move |random, write| {
            let (list, zone) = (random.usize(0..lists), departement(random.usize(0..ZONES)));
            write(format_args!("{}&list_id=L{list}&value={zone:02}011", path!("/geo/destinations/lookup?")));
        });
        let zone = zone.await?;
        let queue = self.ask(QUEUE, connections, move |random, write| {
            let number = random.usize(0..rows);
            write(format_args!("{}&number=061{number:07}", path!("/call-queues/lookup?")));
        });
        Ok([contact, origin, zone, queue.await?])
    }
}

fn contact(number: usize) -> Row {
    let body =
        format!(r#"{{"id_code":"C{number}","telecoms":["+3361{number:07}"],"telecom_destination":"8{number}"}}"#);
    (path!("/contacts?").into(), body)
}

fn origin(number: usize) -> Row {
    let body = format!(r#"{{"origin":"+49{number:07}*","destination":"8{number}"}}"#);
    (path!("/ctis/1/destinations?").into(), body)
}

fn zone(number: usize) -> Row {
    let (list, zone) = (number / ZONES + 1, departement(number % ZONES));
    let body = format!(r#"{{"zones":["{zone:02}"],"destination_1":"8{number}"}}"#);
    (format!("/api/smart-routings/geo/lists/{list}/destinations?customer_account=CL000001"), body)
}

fn departement(number: usize) -> usize {
    // There is no department 20: it was divided.
    if number + 1 < WITHOUT_ZONE { number + 1 } else { number + 2 }
}

fn queue(number: usize) -> Row {
    let body = format!(
        r#"{{"name":"Queue {number}","code":"Q{number}","number":"+3361{number:07}","default_destination":"899"}}"#
    );
    (path!("/call-queues/queues?").into(), body)
}

fn time_span(number: usize) -> Row {
    let (queue, day) = (number + 1, number % 7);
    let body = format!(r#"{{"day_of_week":{day},"start_time":"00:00","end_time":"24:00","destination":"8{number}"}}"#);
    let parent = format!("time_spanable_type=call_queue&time_spanable_id={queue}");
    (format!("/api/smart-routings/call-queues/time-spans?{parent}&customer_account=CL000001"), body)
}
