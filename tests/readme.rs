//! What the README repeats from elsewhere stands there to the letter, and all code on all pages is compiled or run by some
//! test. `PRIMACY_BLESS=1` writes anew what is repeated.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write;
use std::path::Path;

use primacy::config::Config;

/// What stands between `from` and `to` in the README is `expected`.
fn holds(from: &str, to: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find(from).unwrap() + from.len();
    let end = start + text[start..].find(to).unwrap();
    if &text[start..end] == expected {
        return;
    }
    assert!(std::env::var_os("PRIMACY_BLESS").is_some(), "the README differs; expected:\n{expected}");
    std::fs::write(path, format!("{}{expected}{}", &text[..start], &text[end..])).unwrap();
}

#[test]
fn the_readme_shows_the_quick_start_and_every_name_of_the_configuration() {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("bindings/c/examples/quickstart.c");
    holds("```c\n", "```\n", &std::fs::read_to_string(quickstart).unwrap());

    let mut table = String::new();
    for name in Config::names() {
        let default = if name.default.is_empty() { String::new() } else { format!("`{}`", name.default) };
        writeln!(table, "| `{}` | {default} | {} | {} |", name.name, name.takes, name.about).unwrap();
    }
    holds("| name | default | takes | |\n|---|---|---|---|\n", "\n## Platforms", &table);
}

/// Each row names a test, a transcript or a function, that is there.
#[test]
fn each_mistake_in_the_changes_names_the_test_that_would_find_it_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, changes) = text.split_once("\n## Changes\n").unwrap();
    let rows: Vec<_> =
        changes.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).collect();
    assert!(rows.len() > 10);
    for row in rows {
        let links: Vec<_> = row.split("[`").skip(1).filter_map(|link| link.split_once("`](")).collect();
        assert!(!links.is_empty(), "{row}");
        for (name, rest) in links {
            let (file, _) = rest.split_once(')').unwrap();
            let found = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            let declared =
                ["fn ", "def ", "func "].iter().any(|word| found.contains(&format!("{word}{name}(")));
            assert!(
                declared || file.ends_with(&format!("/{name}.txt")) && !found.is_empty(),
                "{name} in {file}"
            );
        }
    }
}

/// Code of a page, by its language; and what compiles or runs every piece of it.
const COVERED: [(&str, &str, &str); 13] = [
    ("README.md", "c", "tests/readme.rs"),
    ("README.md", "mermaid", "tests/transcripts.rs"),
    ("README.md", "sh", "tools/check-library"),
    ("c.md", "c", "bindings/c/tests/guide.rs"),
    ("c.md", "sh", "tools/check-library"),
    ("etcd.md", "sh", "tests/troubles.rs"),
    ("go.md", "go", "go/guide_test.go"),
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let makefile = read(&root.join("Makefile"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    // A report on etcd, with etcd's code.
    pages.retain(|page| !page.ends_with("etcd-stalled-leader.md"));
    for path in pages {
        let page = path.file_name().unwrap().to_str().unwrap();
        let (text, mut inside) = (read(&path), None);
        for line in text.lines().map(str::trim_start) {
            let fence = line.strip_prefix("```");
            match (inside, fence) {
                (None, Some(language)) => {
                    let by = COVERED.iter().find(|(on, of, _)| (*on, *of) == (page, language));
                    let (.., by) = by.unwrap_or_else(|| panic!("{page}: what runs its {language}?"));
                    assert!(
                        language.is_empty() || read(&root.join(by)).contains(page),
                        "{by} says nothing of {page}"
                    );
                    inside = Some(language);
                }
                (Some(_), Some(_)) => inside = None,
                (Some("sh"), None) if line.starts_with("make ") => {
                    let target = line.split_whitespace().nth(1).unwrap();
                    assert!(makefile.contains(&format!("\n{target}:")), "{page}: make {target}");
                }
                _ => {}
            }
        }
        assert_eq!(inside, None, "{page}: a piece of code does not end");
    }
}
