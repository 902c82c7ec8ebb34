//! What the README repeats from elsewhere stands there to the letter. `PRIMACY_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used)]

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
