//! `cx-engine docs`: the pages of `docs/` that are generated from tables in the code.

use super::setting_flags::heading;
use crate::api::{Layer, Resource, Router};
use crate::cli::output::out;
use crate::config::{SETTINGS, SettingGroup};

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum GeneratedPage {
    Routes,
    Configuration,
}

const ROUTES: &str = "\
# Routes

<!-- Printed by `cx-engine docs routes`. Do not edit this page: run `just docs`. -->

Every route of the API. The prefix `/api` is optional. `/docs` on each host has parameters, schemas and examples;
`/api/openapi.json` has the same for programs; `cx-engine routes` prints this table. The column \"needs\" names the
permission of the caller's role or key, or says who else may call. A dash means that no token is required. Pages
(`/ui/…`) accept the session of a browser instead of a token.
";

const CONFIGURATION: &str = "\
# Configuration

<!-- Printed by `cx-engine docs configuration`. Do not edit this page: run `just docs`. -->

Each setting has a name in the settings file (`max_waiting = 100`), an environment variable (`CX_MAX_WAITING=100`) and a flag
of `serve` and `demo` (`--max-waiting 100`). A flag takes precedence over the environment, the environment over the file, the
file over the default.

- The settings file is the one that `--config FILE` names; else `cx-engine.toml` in the working directory; else
  `/etc/cx-engine/cx-engine.toml`. Only one file is read.
- A misspelled name or variable is an error: exit code 2. So is a value that is not allowed.
- `cx-engine serve --print-config` prints the settings in force and the origin of each.
- `systemctl reload cx-engine` (SIGHUP) applies the settings that are marked \"yes\" under \"reload\". The others need a restart.
- Put a password, such as the one in `smtp_url`, into the environment. Other users of the machine can see flags.
";

pub fn run(page: GeneratedPage) -> anyhow::Result<()> {
    match page {
        GeneratedPage::Routes => out!("{}", routes(&crate::router()?)),
        GeneratedPage::Configuration => out!("{}", configuration()),
    }
    Ok(())
}

fn routes(router: &Router) -> String {
    let mut page = ROUTES.to_owned();
    for layer in [Layer::Central, Layer::Workspace] {
        page += &format!("\n## The {} API\n", layer.name());
        page.extend(router.resources(layer).iter().map(resource));
    }
    page += "\n## Every host\n\nThese paths have no prefix. See [operation](operation.md#health-checks).\n";
    page.extend(router.root_resources().iter().map(resource));
    page
}

fn resource(resource: &Resource) -> String {
    let mut rows = format!("\n### {}\n\n| route | needs | summary |\n|---|---|---|\n", resource.name);
    for route in resource.routes {
        rows += &format!("| {} `{}` | {} | {} |\n", route.method, route.path, route.needs, route.summary);
    }
    rows
}

fn configuration() -> String {
    let mut page = CONFIGURATION.to_owned();
    for group in [SettingGroup::Main, SettingGroup::Limit, SettingGroup::Tuning] {
        page +=
            &format!("\n## {}\n\n| setting | default | description | reload |\n|---|---|---|---|\n", heading(group));
        for setting in SETTINGS.iter().filter(|setting| setting.group == group) {
            let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
            let reload = if setting.reloads { "yes" } else { "restart" };
            // An angle bracket would begin an HTML tag.
            let description = format!("{}. Allowed: {}.", setting.about, setting.allowed).replace('<', "\\<");
            page += &format!("| `{}` | {default} | {description} | {reload} |\n", setting.name);
        }
    }
    page
}
