//! The zones of a geo list: which are free, and where the calls of the others go. Ticked free zones get one destination
//! at once, in the form for a new destination.

use askama::Template;
use http::StatusCode;

use super::display::plain;
use super::links::{customer_query, record_page};
use super::page::{Frame, PageCtx};
use super::resource_page::Place;
use super::{detail_page, query};
use crate::api::{Ctx, Error, Html, InnerRequest, Needs, Result, Route, get, run};
use crate::pages::translations::Translations;

pub const ROUTES: &[Route] = &[get(
    "/ui/routing/{account}/geo/lists/{id}/zones",
    &run(page),
    Needs::Permission("routing.view"),
    "Show the zones of a geo list as a page",
)];

const LISTS: &str = "/smart-routings/geo/lists";
const DESTINATIONS: &str = "/smart-routings/geo/lists/{id}/destinations";

#[derive(Template)]
#[template(path = "console/zones.html")]
struct ZonesPage<'a> {
    frame: &'a Frame,
    words: Translations,
    name: String,
    list: String,
    /// Label, address, and whether it is the current one.
    shown: Vec<(String, String, bool)>,
    zones: Vec<Zone>,
    /// The form for a new destination, if the person may create one.
    new: Option<String>,
}

struct Zone {
    code: String,
    label: String,
    /// The page of the destination and its name. `None` for a free zone.
    owner: Option<(String, String)>,
    destination: String,
}

fn page(ctx: &mut Ctx<'_>) -> Result<Html> {
    let page = &PageCtx::of_turn(ctx);
    let [account, id] = page.request.path_values.as_slice() else { return Err(Error::not_found()) };
    let (lists, destinations) = (page.collection(LISTS)?, page.collection(DESTINATIONS)?);
    let place = Place::of(lists, page.request);
    let list = detail_page::read(page, lists, &place)?.body;
    let zones = place.address(InnerRequest::get("/smart-routings/geo/lists/{id}/zones"));
    let zones = page.send(zones.with_query(customer_query(lists, Some(account))))?.body;
    let frame = Frame::of(page)?;
    let words = frame.words;
    let wanted = page.query("show").unwrap_or_default();
    let parents = std::slice::from_ref(id);
    let row = |zone: &serde_json::Value| {
        let owner = zone["destination_id"].as_i64().map(|owner| {
            let name = Some(plain(&zone["nickname"])).filter(|name| !name.is_empty());
            let href = record_page(destinations, Some(account), parents, &owner.to_string());
            (href, name.unwrap_or_else(|| format!("#{owner}")))
        });
        let (code, label) = (plain(&zone["code"]), plain(&zone["label"]));
        Zone { code, label, owner, destination: plain(&zone["destination"]) }
    };
    let all = zones["zones"].as_array().into_iter().flatten().map(row);
    let is_wanted = |zone: &Zone| match wanted.as_str() {
        "free" => zone.owner.is_none(),
        "taken" => zone.owner.is_some(),
        _ => true,
    };
    let (free, taken) = (plain(&zones["free"]), plain(&zones["taken"]));
    let address = format!("{}/zones", place.page(lists));
    let shown = [
        (words.all(), address.clone(), ""),
        (words.free_zones(&free), format!("{address}?{}", query(&[("show", "free")])), "free"),
        (words.taken_zones(&taken), format!("{address}?{}", query(&[("show", "taken")])), "taken"),
    ];
    let new = destinations.create.filter(|route| page.may(route));
    let rendered = ZonesPage {
        words,
        name: lists.title(&list),
        list: place.page(lists),
        shown: shown.into_iter().map(|(label, href, value)| (label, href, value == wanted)).collect(),
        zones: all.filter(is_wanted).collect(),
        new: new.map(|_| format!("{}/new", destinations.page_of(&[account.clone(), id.clone()]))),
        frame: &frame,
    };
    frame.html(StatusCode::OK, &rendered)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::{RoutingClient, TestBrowser, TestServer};

    #[test]
    fn zones_are_free_or_lead_to_their_destination() {
        let server = TestServer::new();
        let routing = RoutingClient::new(&server);
        routing.create("/geo/lists", json!({"list_id": "A", "list_name": "North", "geo_routing_model_id": 1}));
        let paris = json!({"zones": ["75"], "nickname": "Paris office", "destination_1": "801"});
        routing.create("/geo/lists/1/destinations", paris);
        let mut browser = TestBrowser::signed_in(&server, "owner@example.com");
        browser.go("http://acme.localhost/ui/enter");
        let page = format!("http://acme.localhost/ui/routing/{}/geo/lists/1", routing.account);
        browser.go(&format!("{page}/zones"));
        for shown in ["Free: 108", "Taken: 1", "Paris office", "value=\"01\"", "/geo/lists/1/destinations/1"] {
            assert!(browser.page.text.contains(shown), "{shown}: {browser:?}");
        }
        assert!(!browser.page.text.contains("value=\"75\""));
        browser.go(&format!("{page}/zones?show=taken"));
        assert!(browser.page.text.contains("Paris office") && !browser.page.text.contains("value=\"01\""));
        // What the ticked boxes send.
        browser.go(&format!("{page}/destinations/new?zones=01&zones=02"));
        assert!(browser.page.text.contains("01\n02"), "{browser:?}");
    }
}
