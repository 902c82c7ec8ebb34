//! What pages repeat from elsewhere stands there to the letter, what they lead to is there, and all code on them is
//! compiled or run by some test. `PRIMACY_BLESS=1` writes anew what is repeated: `make pages`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use primacy::config::Config;
use primacy::engine::{ElectionState, LostReason, Obstacle, SessionState};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

/// All of this repository; by the name that it has there.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "tests"] {
        let found = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        pages.extend(
            found
                .map(|name| Path::new(folder).join(name))
                .filter(|page| page.extension().is_some_and(|e| e == "md")),
        );
    }
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// What stands between `from` and `to` on a page is `expected`.
fn holds(page: &str, from: &str, to: &str, expected: &str) {
    let text = read(page);
    let start = text.find(from).unwrap() + from.len();
    let end = start + text[start..].find(to).unwrap();
    if &text[start..end] == expected {
        return;
    }
    assert!(
        std::env::var_os("PRIMACY_BLESS").is_some(),
        "{page} differs, run `make pages`; expected:\n{expected}"
    );
    fs::write(root().join(page), format!("{}{expected}{}", &text[..start], &text[end..])).unwrap();
}

#[test]
fn the_readme_shows_the_quick_start() {
    holds("README.md", "```c\n", "```\n", &read("bindings/c/examples/quickstart.c"));
}

#[test]
fn the_page_of_the_settings_is_made_from_their_table() {
    let mut table = String::new();
    for name in Config::names() {
        let default = if name.default.is_empty() { String::new() } else { format!("`{}`", name.default) };
        writeln!(table, "| `{}` | {default} | {} | {} |", name.name, name.takes, name.about).unwrap();
    }
    holds("docs/settings.md", "| name | default | takes | |\n|---|---|---|---|\n", "\n## ", &table);
}

/// Each row names a test, a transcript or a function, that is there.
#[test]
fn each_mistake_in_the_changes_names_the_test_that_would_find_it_again() {
    let changes = read("CHANGELOG.md");
    let rows: Vec<_> =
        changes.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    assert!(rows.len() > 10);
    for row in rows {
        let links: Vec<_> = row.split("[`").skip(1).filter_map(|link| link.split_once("`](")).collect();
        assert!(!links.is_empty(), "{row}");
        for (name, rest) in links {
            let (file, _) = rest.split_once(')').unwrap();
            let found = read(file);
            let declared = ["fn ", "def ", "func ", "void "]
                .iter()
                .any(|word| found.contains(&format!("{word}{name}(")));
            assert!(declared || file.ends_with(&format!("/{name}.txt")), "{name} in {file}");
        }
    }
}

/// The name by which a link leads to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn each_link_leads_to_a_file_and_a_heading_that_are_there() {
    for page in pages() {
        let (text, folder) = (read(&page), root().join(page.parent().unwrap()));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&page) } else { folder.join(file) };
            assert!(target.exists(), "{page:?}: {link}");
            let is_there =
                |text: &str| text.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(heading.is_empty() || is_there(&read(target)), "{page:?}: {link}");
        }
    }
}

#[test]
fn the_runbook_has_each_state_reason_and_obstacle_by_its_name() {
    let page = read("docs/runbook.md");
    let part = |heading: &str| {
        let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
        rest.split("\n## ").next().unwrap().to_owned()
    };
    let has = |heading: &str, names: &[&str]| {
        let part = part(heading);
        names.iter().for_each(|name| assert!(part.contains(&format!("`{name}`")), "{heading}: {name}"));
    };
    has("Where an election stands", &ElectionState::ALL.map(ElectionState::name));
    has("Where an election stands", &SessionState::ALL.map(SessionState::name));
    has("Why primacy was lost", &LostReason::ALL.map(LostReason::name));
    has("What keeps an election from getting on", &Obstacle::ALL.map(Obstacle::name));
}

#[test]
fn each_line_of_the_log_in_the_runbook_is_one_that_the_code_says() {
    let mut sources = Vec::new();
    ["src", "crates/engine/src"].iter().for_each(|folder| files(&root().join(folder), &mut sources));
    // A text goes on in the next line of the code after a backslash.
    let code: String = sources.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let code = code.split("\\\n").map(str::trim_start).collect::<String>();
    let page = read("docs/runbook.md");
    let (_, lines) = page.split_once("| line | what to do |\n|---|---|\n").unwrap();
    let rows: Vec<_> = lines.lines().take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 15, "{}", rows.len());
    for row in rows {
        let column = row.split(" | ").next().unwrap();
        let said: Vec<_> = column.split('`').skip(1).step_by(2).collect();
        assert!(!said.is_empty(), "{row}");
        for part in said.iter().flat_map(|line| line.split("...")).filter(|part| part.len() > 2) {
            assert!(code.contains(part.trim()), "nothing says: {part}");
        }
    }
}

/// All files below a folder, but what was built there.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true if entry.ends_with("target") || entry.ends_with(".git") => {}
            true => files(&entry, found),
            false => found.push(entry),
        }
    }
}

#[test]
fn each_file_that_the_pages_for_newcomers_name_is_there() {
    let mut there = Vec::new();
    files(root(), &mut there);
    for page in pages().iter().filter(|page| !page.starts_with("docs")) {
        let text = read(page);
        for name in text.split('`').skip(1).step_by(2) {
            let is_file =
                [".rs", ".go", ".py", ".pyi", ".c", ".h", ".toml"].iter().any(|end| name.ends_with(end))
                    && !name.contains([' ', '*']);
            assert!(
                !is_file || there.iter().any(|file| file.ends_with(name)),
                "{page:?}: there is no {name}"
            );
        }
    }
}

/// Code of a page, by its language; and what compiles or runs every piece of it.
const COVERED: [(&str, &str, &str); 18] = [
    ("README.md", "c", "tests/contract/test_quickstart.py"),
    ("README.md", "go", "go/guide_test.go"),
    ("README.md", "python", "python/tests/test_guide.py"),
    ("README.md", "sh", "tools/check-library"),
    ("ARCHITECTURE.md", "mermaid", "tests/transcripts.rs"),
    ("CONTRIBUTING.md", "sh", "tests/pages.rs"),
    ("c.md", "c", "bindings/c/tests/guide.rs"),
    ("c.md", "sh", "tools/check-library"),
    ("command.md", "sh", "command/tests/page.rs"),
    ("etcd.md", "sh", "tests/troubles.rs"),
    ("go.md", "go", "go/guide_test.go"),
    ("guard.md", "sh", "tests/failover/test_guard.py"),
    ("python.md", "python", "python/tests/test_guide.py"),
    ("python.md", "sh", "tools/check-wheel"),
    ("testing.md", "go", "tests/adapter/conftest.py"),
    ("testing.md", "python", "tests/contract/test_plugin.py"),
    ("testing.md", "sh", "tests/contract/test_plugin.py"),
    // What a coordinator is started with, for people.
    ("testing.md", "", "python/primacy/testing/candidate.py"),
];

#[test]
fn all_code_on_all_pages_is_compiled_or_run_and_every_make_target_is_there() {
    let makefile = read("Makefile");
    let targets: HashSet<_> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    for path in pages() {
        // A report on etcd, with etcd's code.
        if path.ends_with("etcd-stalled-leader.md") {
            continue;
        }
        let (page, text) = (path.file_name().unwrap().to_str().unwrap(), read(&path));
        for said in text.split("`make ").skip(1).filter_map(|rest| rest.split_once('`')) {
            let named = said.0.split_whitespace().filter(|word| !word.contains('='));
            named.for_each(|target| assert!(targets.contains(target), "{page}: make {target}"));
        }
        let mut inside = None;
        for line in text.lines().map(str::trim_start) {
            let fence = line.strip_prefix("```");
            match (inside, fence) {
                (None, Some(language)) => {
                    let by = COVERED.iter().find(|(on, of, _)| (*on, *of) == (page, language));
                    let (.., by) = by.unwrap_or_else(|| panic!("{page}: what runs its {language}?"));
                    assert!(language.is_empty() || read(by).contains(page), "{by} says nothing of {page}");
                    inside = Some(language);
                }
                (Some(_), Some(_)) => inside = None,
                (Some("sh"), None) if line.starts_with("make ") => {
                    let target = line.split_whitespace().nth(1).unwrap();
                    assert!(targets.contains(target), "{page}: make {target}");
                }
                _ => {}
            }
        }
        assert_eq!(inside, None, "{page}: a piece of code does not end");
    }
}
