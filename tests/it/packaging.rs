//! The files of `packaging/`: `compose.yaml`, the changelog for Debian, and the scripts.

use std::path::Path;
use std::process::Command;

use yaml_rust2::YamlLoader;

use crate::process::{not_run, packaged, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn compose_has_the_server_behind_caddy_on_a_volume() {
    let text = std::fs::read_to_string(packaged("compose.yaml")).unwrap();
    let all = YamlLoader::load_from_str(&text).unwrap();
    let (server, caddy) = (&all[0]["services"]["cx-engine"], &all[0]["services"]["caddy"]);
    let path = |value: &yaml_rust2::Yaml| packaged(value.as_str().unwrap());
    assert!(path(&server["build"]["context"]).join(server["build"]["dockerfile"].as_str().unwrap()).exists());
    assert_eq!(server["volumes"][0].as_str(), Some("data:/var/lib/cx-engine"));
    assert!(!all[0]["volumes"]["data"].is_badvalue());
    // The server trusts the address of Caddy, and both have the same domain.
    let address = caddy["networks"]["inside"]["ipv4_address"].as_str();
    assert!(address.is_some() && server["environment"]["CX_TRUSTED_PROXIES"].as_str() == address);
    for (service, variable) in [(server, "CX_CENTRAL_DOMAIN"), (caddy, "CX_DOMAIN")] {
        assert!(service["environment"][variable].as_str().unwrap().starts_with("${CX_DOMAIN"), "{variable}");
    }
    let file = caddy["volumes"][0].as_str().unwrap().split(':').next().unwrap();
    assert!(packaged(file).exists());
    // Only Caddy is reachable from outside.
    assert!(server["ports"].is_badvalue() && !caddy["ports"].is_badvalue());

    if !Command::new("docker").args(["compose", "version"]).output().is_ok_and(|done| done.status.success()) {
        not_run("there is no docker compose: compose.yaml is read as YAML, and NOT by compose");
        return;
    }
    let mut config = Command::new("docker");
    config.args(["compose", "-f"]).arg(packaged("compose.yaml")).args(["config", "--quiet"]);
    let checked = run(config.env("CX_DOMAIN", "cx.example.com"), "");
    assert_eq!(checked.code, Some(0), "{}", checked.err);
}

#[test]
fn the_changelog_has_versions_and_becomes_one_of_debian() {
    let text = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains("\n## [Unreleased]\n") || text.contains(&format!("\n## [{version}]")), "no {version}");
    let mut convert = Command::new(packaged("debian-changelog"));
    if Command::new("python3").arg("--version").output().is_err() {
        not_run("there is no python3: the changelog is NOT converted");
        return;
    }
    let made = run(&mut convert, &text).ok();
    assert!(made.starts_with("cx-engine ("), "{made}");
    for line in made.lines().filter(|line| !line.is_empty()) {
        let is_known = ["cx-engine (", "  * ", "    ", " -- "].iter().any(|begin| line.starts_with(begin));
        assert!(is_known && line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn the_scripts_of_packaging_are_scripts() {
    for script in ["release", "prepare", "litestream-restore", "backup-sftp"] {
        let mut bash = Command::new("bash");
        let checked = run(bash.arg("-n").arg(packaged(script)), "");
        assert_eq!(checked.code, Some(0), "{script}: {}", checked.err);
    }
}
