//! The queues of the workspace on its first page: open or closed, until when, and where calls go now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;

use super::display::{self, Shown, plain};
use super::links::record_page;
use super::page::PageCtx;
use super::query;
use crate::api::{Error, InnerRequest, Result};

const QUEUES: &str = "/smart-routings/call-queues/queues";

/// Queues on the page.
const MOST: &str = "20";

/// A queue at this time.
pub struct QueueNow {
    pub name: String,
    pub href: Option<String>,
    /// The customer, by name.
    pub customer: String,
    pub state: String,
    pub is_open: bool,
    pub destination: String,
    pub until: Option<Shown>,
}

/// The first queues, and how many there are. Empty, if the person may not see them.
pub fn read(page: &PageCtx<'_>) -> Result<(Vec<QueueNow>, i64)> {
    let states = InnerRequest::get("/smart-routings/call-queues/queues/states");
    let states = match page.send(states.with_query(query(&[("per_page", MOST), ("sort", "name")]))) {
        Ok(found) => found.body,
        Err(Error::MissingPermission(_)) => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    // Many queues have the same customer.
    let mut customers: HashMap<String, Option<Value>> = HashMap::new();
    let mut queues = Vec::new();
    for state in states["data"].as_array().into_iter().flatten() {
        let customer = match customers.entry(plain(&state["queue"]["customer_id"])) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let customer = customer(page, new.key())?;
                new.insert(customer)
            }
        };
        queues.push(queue_now(page, state, customer.as_ref())?);
    }
    Ok((queues, states["total"].as_i64().unwrap_or_default()))
}

/// A customer. `None` if the person may not see customers.
fn customer(page: &PageCtx<'_>, id: &str) -> Result<Option<Value>> {
    match page.send(InnerRequest::get("/customers/{id}").at(id)) {
        Ok(found) => Ok(Some(found.body)),
        Err(Error::MissingPermission(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn queue_now(page: &PageCtx<'_>, state: &Value, customer: Option<&Value>) -> Result<QueueNow> {
    let (words, queue) = (page.words(), &state["queue"]);
    let queues = page.collection(QUEUES)?;
    let href = customer.map(|customer| {
        let account = plain(&customer["customer_account"]);
        format!("{}/week", record_page(queues, Some(&account), &[], &plain(&queue["id"])))
    });
    let label = plain(&state["matched"]["label"]);
    let until = state["until"].as_str();
    Ok(QueueNow {
        name: plain(&queue["name"]),
        href,
        customer: customer.map(|customer| plain(&customer["name"])).unwrap_or_default(),
        state: if label.is_empty() { words.decided_by(&plain(&state["reason"])) } else { label },
        is_open: state["open"] == true,
        destination: plain(&state["destination"]),
        until: until.map(|until| Ok::<_, Error>(display::moment(words, &page.zone()?, until))).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{RoutingClient, TestBrowser, TestServer};

    #[test]
    fn the_first_page_says_where_the_calls_of_each_queue_go_now() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        let queue = json!({"name": "Support", "number": "801", "default_destination": "899"});
        routing.create("/call-queues/queues", queue);
        let mut owner = TestBrowser::signed_in(&server, "owner@example.com");
        owner.go("http://acme.localhost/ui/enter");
        owner.go("/ui");
        for shown in ["Queues now", "Support", "Routed", "Closed", "899", "/call-queues/queues/1/week"] {
            assert!(owner.page.text.contains(shown), "{shown}: {owner:?}");
        }
        let of = "time_spanable_id=1&time_spanable_type=call_queue";
        for day in 0..7 {
            let all_day = json!({"day_of_week": day, "start_time": "00:00", "end_time": "24:00", "destination": "802"});
            routing.create(&format!("/call-queues/time-spans?{of}"), all_day);
        }
        owner.go("/ui");
        assert!(owner.page.text.contains("state good\">Open") && owner.page.text.contains("802"), "{owner:?}");
    }
}
