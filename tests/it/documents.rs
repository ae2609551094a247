//! Tests of the documents: links have targets, named files exist, generated pages are current, and short pages stay
//! short.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{document, program, run};

const README_LINES: usize = 200;
const ARCHITECTURE_WORDS: usize = 1_200;

/// Top-level folders by which a path in a document is recognized.
const FOLDERS: &[&str] =
    &["src/", "tests/", "migrations/", "packaging/", "templates/", "benches/", "docs/", ".ci/", ".github/", ".cargo/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page of `docs/`, and the other documents.
fn documents() -> Vec<PathBuf> {
    let elsewhere =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benches/README.md"];
    let mut found: Vec<PathBuf> = elsewhere.iter().map(|name| root().join(name)).collect();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The text without fenced blocks.
fn prose(document: &str) -> String {
    let mut fenced = false;
    let lines = document.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The code between backticks, and the text around it.
fn code_and_rest(prose: &str) -> (Vec<&str>, String) {
    let parts: Vec<&str> = prose.split('`').collect();
    let code = parts.iter().skip(1).step_by(2).copied().collect();
    let rest = parts.iter().step_by(2).copied().collect();
    (code, rest)
}

/// The targets of inline links, `[text](target)`, and of definitions, `[text]: target`.
fn links(document: &str) -> Vec<String> {
    let (_, rest) = code_and_rest(&prose(document));
    let inline = rest.split("](").skip(1).filter_map(|part| part.split_once(')')).map(|(target, _)| target.to_owned());
    let definition = |line: &str| line.strip_prefix('[')?.split_once("]: ").map(|(_, target)| target.trim().to_owned());
    inline.chain(rest.lines().filter_map(definition)).collect()
}

/// The anchors of the headings, as GitHub and mdBook write them.
fn anchors(document: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    for line in prose(document).lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let anchor = kept.collect::<String>().replace(' ', "-");
        let again = (1..).map(|n| format!("{anchor}-{n}")).find(|name| !found.contains(name));
        if !found.insert(anchor) {
            found.extend(again);
        }
    }
    found
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = document.parent().unwrap();
        let text = text(&document);
        // Pages that the book inserts are links too.
        let includes = text.split("{{#include ").skip(1).filter_map(|part| part.split_once("}}"));
        for (target, _) in includes {
            let (path, anchor) = target.split_once(':').unwrap();
            let included = self::text(&folder.join(path));
            assert!(included.contains(&format!("ANCHOR: {anchor} ")), "{target}");
            assert!(included.contains(&format!("ANCHOR_END: {anchor} ")), "{target}");
        }
        for link in links(&text) {
            if link.starts_with("http://") || link.starts_with("https://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.clone() } else { folder.join(path) };
            let leads = target.exists() && (heading.is_empty() || anchors(&self::text(&target)).contains(heading));
            if !leads {
                broken.push(format!("{}: {link}", document.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        if name == "CHANGELOG.md" {
            continue;
        }
        let prose = prose(&text(&document));
        for code in code_and_rest(&prose).0 {
            let is_path = code.chars().all(|c| c.is_ascii_alphanumeric() || ['_', '-', '.', '/'].contains(&c));
            let is_module = name == "ARCHITECTURE.md" && code.ends_with('/') && !code.starts_with('/');
            let is_ours = code.ends_with(".rs") || FOLDERS.iter().any(|folder| code.starts_with(folder)) || is_module;
            if is_path && is_ours && !root().join(code).exists() && !root().join("src").join(code).exists() {
                missing.push(format!("{name}: {code}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_summary_lists_every_page() {
    let docs = root().join("docs");
    let listed: HashSet<PathBuf> = links(&text(&docs.join("SUMMARY.md"))).iter().map(|link| docs.join(link)).collect();
    for page in documents().into_iter().filter(|path| path.starts_with(&docs) && !path.ends_with("SUMMARY.md")) {
        assert!(listed.contains(&page), "docs/SUMMARY.md does not list {}", page.display());
    }
}

#[test]
fn the_readme_and_the_architecture_are_short() {
    let lines = document("README.md").lines().count();
    assert!(lines < README_LINES, "README.md has {lines} lines; move a chapter to docs/");
    let words = document("ARCHITECTURE.md").split_whitespace().count();
    assert!(words <= ARCHITECTURE_WORDS, "ARCHITECTURE.md has {words} words; move details to docs/design.md");
}

#[test]
fn the_generated_pages_are_current() {
    let folder = tempfile::tempdir().unwrap();
    for page in ["routes", "configuration"] {
        let printed = run(program(folder.path()).args(["docs", page]), "").ok();
        let path = format!("docs/{page}.md");
        assert!(document(&path) == printed, "{path} is out of date. Print it again: cargo run -- docs {page} >{path}");
    }
}

#[test]
fn the_page_on_the_command_line_has_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(program(folder.path()).arg("help"), "").ok();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // The second line of a description has a deeper indent.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty());
    let commands: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(commands.len() > 10, "{help}");
    let page = document("docs/command-line.md");
    for command in commands {
        let has_it = page.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{command}")));
        assert!(has_it, "docs/command-line.md does not have `{command}`");
    }
}

/// The figures of the performance page are a selection of those that were measured.
#[test]
fn the_performance_page_has_figures_of_the_benchmarks() {
    let measured = document("benches/README.md");
    let page = document("docs/performance.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.contains("0.")).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        assert!(measured.lines().any(|line| line.starts_with(row)), "benches/README.md does not have: {row}");
    }
}
