//! Figures of the last hour, for operators: one reading a minute, in memory. They begin again with each start.

use schemars::JsonSchema;
use serde::Serialize;

use super::server_status::HourFigures;
use crate::api::field::{Field, labelled};
use crate::api::resource::Resource;
use crate::api::{BlockingCtx, Needs, Ok200, Result, Route, blocking, get};
use crate::instance::Instance;
use crate::metrics::{MetricTotals, resident_memory};
use crate::node_state::FiguresReading;
use crate::values::Timestamp;

pub const RESOURCE: Resource =
    Resource::new("Figures", "Figures of the last hour, for operators.", ROUTES).french("Chiffres").fields(FIELDS);

/// The fields, with their labels.
const FIELDS: &[Field] = &[
    labelled("minutes", "Minutes", "Minutes"),
    labelled("from", "From", "De"),
    labelled("to", "To", "À"),
    labelled("requests", "Requests", "Requêtes"),
    labelled("server_errors", "Errors of the server", "Erreurs du serveur"),
    labelled("mean_wait_ms", "Mean wait (ms)", "Attente moyenne (ms)"),
    labelled("open_workspaces", "Open workspaces", "Espaces de travail ouverts"),
    labelled("resident_bytes", "Memory", "Mémoire"),
];

const ROUTES: &[Route] = &[get(
    "/instance/figures",
    &blocking(show),
    Needs::Operator,
    "Show requests, waits, open workspaces and memory of each minute of the last hour (operators only)",
)
.named("getFigures")];

/// Minutes that are kept.
pub const MINUTES: usize = 60;

/// The minutes of the last hour.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InstanceFigures {
    /// The minutes since the start, at most 60, oldest first.
    minutes: Vec<MinuteFigures>,
}

/// The figures of a minute.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MinuteFigures {
    /// Begin of the minute (UTC).
    from: Timestamp,
    /// End of the minute (UTC).
    to: Timestamp,
    /// Number of requests. Null while the setting `metrics` is off.
    requests: Option<u64>,
    /// Number of responses with a status of 500 or more. Null while the setting `metrics` is off.
    server_errors: Option<u64>,
    /// Mean wait of a request for its turn, in milliseconds. Null if no request waited, and while the setting `metrics`
    /// is off.
    mean_wait_ms: Option<f64>,
    /// Number of open workspaces at the end of the minute.
    open_workspaces: usize,
    /// Resident memory of the process at the end of the minute, in bytes. Null where the system does not tell it.
    resident_bytes: Option<u64>,
}

fn show(ctx: &BlockingCtx<'_>) -> Result<Ok200<InstanceFigures>> {
    let readings = ctx.instance.node.figures.lock();
    let minutes = readings.iter().zip(readings.iter().skip(1));
    Ok(Ok200(InstanceFigures {
        minutes: minutes.map(|(before, after)| MinuteFigures::between(before, after)).collect(),
    }))
}

/// Reads the figures of this moment. The jobs do so once a minute.
pub fn read(instance: &Instance, now: Timestamp) {
    let reading = FiguresReading {
        at: now,
        totals: instance.metrics.totals(),
        open_workspaces: instance.registry.count(),
        resident_bytes: resident_memory(),
    };
    let mut readings = instance.node.figures.lock();
    readings.push_back(reading);
    if readings.len() > MINUTES + 1 {
        readings.pop_front();
    }
}

/// The figures of the last hour together. `None` in the first minute.
pub fn last_hour(instance: &Instance) -> Option<HourFigures> {
    let readings = instance.node.figures.lock();
    let whole = MinuteFigures::between(readings.front()?, readings.back().filter(|_| readings.len() > 1)?);
    let minutes = readings.iter().zip(readings.iter().skip(1));
    let waits = minutes.filter_map(|(before, after)| MinuteFigures::between(before, after).mean_wait_ms);
    Some(HourFigures {
        minutes: readings.len() - 1,
        requests: whole.requests,
        server_errors: whole.server_errors,
        mean_wait_ms: whole.mean_wait_ms,
        longest_mean_wait_ms: waits.max_by(f64::total_cmp),
    })
}

impl MinuteFigures {
    fn between(before: &FiguresReading, after: &FiguresReading) -> Self {
        let totals = before.totals.zip(after.totals);
        let since = |of: fn(&MetricTotals) -> u64| totals.map(|(before, after)| of(&after) - of(&before));
        let (waits, waited) = (since(|totals| totals.waits), since(|totals| totals.waited_micros));
        Self {
            from: before.at,
            to: after.at,
            requests: since(|totals| totals.requests),
            server_errors: since(|totals| totals.server_errors),
            mean_wait_ms: waits.zip(waited).filter(|(waits, _)| *waits > 0).map(|(waits, waited)| {
                // To the microsecond.
                (waited as f64 / waits as f64).round() / 1_000.0
            }),
            open_workspaces: after.open_workspaces,
            resident_bytes: after.resident_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use serde_json::{Value, json};

    use crate::metrics::RouteLabels;
    use crate::tests::TestServer;
    use crate::values::Timestamp;

    fn minutes(server: &TestServer) -> Vec<Value> {
        server.central().get("/instance/figures").ok()["minutes"].as_array().unwrap().clone()
    }

    #[test]
    fn each_minute_has_the_difference_of_two_readings() {
        let server = TestServer::with(&[("metrics", "true")]);
        let (instance, start) = (&server.instance, Timestamp::now());
        let minute = |n: i64| super::read(instance, start.plus(60 * n));
        let asked = |status| {
            let labels = RouteLabels { layer: "central", method: "GET", route: "/" };
            instance.metrics.request_ended(labels, status, Duration::ZERO);
        };
        minute(0);
        assert_eq!(minutes(&server), [Value::Null; 0]);
        asked(StatusCode::OK);
        asked(StatusCode::SERVICE_UNAVAILABLE);
        instance.metrics.request_waited("read", Duration::from_millis(3));
        minute(1);
        minute(2);
        let found = minutes(&server);
        let figures = |n: usize| ["requests", "server_errors", "mean_wait_ms"].map(|name| found[n][name].clone());
        // The requests of this test wait, too.
        assert_eq!((&figures(0)[1], figures(1)[1].clone()), (&json!(1), json!(0)));
        assert!(figures(0)[0].as_u64() >= Some(2) && figures(0)[2].as_f64() > Some(0.0), "{found:?}");
        assert_eq!((&found[0]["to"], &found[1]["from"]), (&json!(start.plus(60)), &json!(start.plus(60))));
        (3..100).for_each(minute);
        let found = minutes(&server);
        assert_eq!((found.len(), &found[59]["to"]), (60, &json!(start.plus(60 * 99))));
    }

    #[test]
    fn without_metrics_requests_are_not_counted() {
        let server = TestServer::with(&[("metrics", "false")]);
        (0..2).for_each(|n| super::read(&server.instance, Timestamp::now().plus(60 * n)));
        let minute = minutes(&server).pop().unwrap();
        assert_eq!((&minute["requests"], &minute["mean_wait_ms"]), (&Value::Null, &Value::Null));
        assert!(minute["open_workspaces"].is_u64() && minute["resident_bytes"].as_u64() > Some(1_000_000), "{minute}");
    }
}
