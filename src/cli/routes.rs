//! `cx-engine routes`

use serde_json::{Value, json};

use super::table::aligned;
use crate::api::{Layer, Route};
use crate::cli::output::{out, outln};

pub fn run(as_json: bool) -> anyhow::Result<()> {
    let router = crate::router()?;
    let layers = [Layer::Central, Layer::Workspace];
    let rows = layers.iter().flat_map(|layer| router.routes(*layer).map(move |route| (layer.name(), route)));
    let rows = rows.chain(router.root_routes().map(|route| ("any", route)));
    if as_json {
        let rows: Vec<Value> = rows.map(|(layer, route)| shown(layer, route)).collect();
        outln!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = rows
        .map(|(layer, route)| {
            vec![
                layer.into(),
                route.method.to_string(),
                route.path.into(),
                route.needs.to_string(),
                route.summary.into(),
            ]
        })
        .collect();
    out!("{}", aligned(&["LAYER", "METHOD", "PATH", "NEEDS", "SUMMARY"], &rows));
    Ok(())
}

fn shown(layer: &str, route: &Route) -> Value {
    json!({
        "layer": layer, "method": route.method.as_str(), "path": route.path,
        "needs": route.needs.to_string(), "summary": route.summary,
    })
}
