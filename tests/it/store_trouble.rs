//! An object store that does not respond, or that another server writes to, as operators see it.

use serde_json::{Value, json};

use crate::cli_cluster::Kept;
use crate::client::Request;
use crate::metrics::{figure, figures, page};
use crate::process::document;
use crate::s3_stub::Fault;
use crate::test_server::{TestServer, Who, eventually};

/// Checks the instance, and returns the kind, problem and remedy of each finding.
fn findings(server: &TestServer, operator: &Who) -> Vec<(String, String, String)> {
    let begun = server.post(operator, "/instance/findings/check", json!({}));
    assert_eq!(begun.status, 202, "{begun:?}");
    let mut listed = Value::Null;
    eventually("the check has ended", || {
        listed = server.get(operator, "/instance/findings").ok();
        listed["job"]["state"] == "done"
    });
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let all = listed["findings"].as_array().unwrap().iter();
    all.map(|finding| (text(finding, "kind"), text(finding, "problem"), text(finding, "remedy"))).collect()
}

#[test]
fn a_store_that_does_not_respond_is_in_the_metrics_and_the_server_stays_ready() {
    let kept = Kept::with(&["--metrics", "true", "--turn-timeout", "1"]);
    let server = &kept.server;
    let acme = server.team("acme").inside;
    server.customer(&acme, "Renault");
    let before = figures(server);
    assert!(figure(&before, "store_segment_duration_seconds_count") >= 4.0, "{before:?}");
    assert!(figure(&before, "store_segment_duration_seconds_sum") > 0.0);
    assert!(figure(&before, "store_segment_bytes_total") > 500.0 && figure(&before, "store_snapshots_total") == 2.0);
    assert!(figure(&before, "store_snapshot_bytes_total") > 5000.0 && figure(&before, "store_trouble") == 0.0);
    let page = page(server).text;
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE cx_engine_store_")?.split(' ').next());
    let chapter = document("docs/metrics.md");
    for family in families {
        assert!(chapter.contains(&format!("`store_{family}")), "docs/metrics.md does not say what {family} is");
    }

    kept.stub.fault(Fault::CutOff);
    server.post(&acme, "/customers", json!({"name": "Peugeot"})).refused(504, "outcome_unknown");
    let now = figures(server);
    assert!(figure(&now, "store_trouble") == 1.0 && figure(&now, "store_waiting_files") >= 1.0, "{now:?}");
    let ready = server.ask(&Request { method: "GET", path: "/readyz", host: "localhost", ..Request::default() });
    assert_eq!(ready.status, 200, "reads of files without an unstored commit are served");
    let said = kept.command(&["doctor"]);
    assert!(
        said.code == Some(3) && said.out.contains("commits cannot be stored: cannot read from the store"),
        "{said:?}"
    );

    kept.stub.heal();
    eventually("all is stored", || {
        let now = figures(server);
        figure(&now, "store_trouble") == 0.0 && figure(&now, "store_waiting_files") == 0.0
    });
    assert_eq!(server.customers(&acme), ["Renault", "Peugeot"]);
    assert_eq!(kept.command(&["doctor"]).code, Some(0));
}

#[test]
fn operators_find_that_commits_follow_no_more() {
    let kept = Kept::with(&["--acknowledge", "local"]);
    let server = &kept.server;
    let team = server.team("acme");
    assert_eq!(findings(server, &team.owner), []);
    kept.stub.fault(Fault::CutOff);
    server.customer(&team.inside, "Renault");
    eventually("the server has tried to store it", || !findings(server, &team.owner).is_empty());
    let found = findings(server, &team.owner);
    assert_eq!((found.len(), found[0].0.as_str(), found[0].2.as_str()), (1, "commits_not_stored", "check_store"));
    assert!(found[0].1.starts_with("commits cannot be stored: "), "{found:?}");
    kept.stub.heal();
    eventually("the server has stored it", || findings(server, &team.owner).is_empty());
}
