//! What was found out, for a terminal.

use std::fmt::Write;

use primacy::engine::plain::{BRIEF, plain};
use primacy_audit::{Audit, Ended, Finding, Gap, How, Role, Term, When};

use crate::{finding, screen};

/// All of it.
pub fn of(told: &Audit) -> String {
    let mut text = String::new();
    let mut line = |line: &str| _ = writeln!(text, "{line}");
    line(&format!("revisions {} to {}", told.from, told.until));
    for role in &told.roles {
        line(&format!("\n{}", plain(&role.name, BRIEF)));
        of_role(role).iter().for_each(|told| line(&format!("  {told}")));
    }
    line("");
    if told.findings.is_empty() {
        line(&screen::well("nothing that should not have been"));
    }
    told.findings.iter().for_each(|finding| line(&screen::finding(&shown(finding))));
    text
}

/// As all findings are shown.
pub fn shown(found: &Finding) -> finding::Finding {
    let about = if found.key.is_empty() { &found.role } else { &found.key };
    let what = format!("(revision {}) {}", found.when.revision, found.what);
    finding::Finding::wrong(about, what, found.kind.advice())
}

fn of_role(role: &Role) -> Vec<String> {
    let mut lines: Vec<(i64, String)> = role.terms.iter().map(|t| (t.since.revision, term(t))).collect();
    lines.extend(role.gaps.iter().map(|g| (g.since.when.revision, gap(g))));
    lines.sort_by_key(|(revision, _)| *revision);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// One primary.
pub fn term(term: &Term) -> String {
    let Term { token, holder, address, since, how, .. } = term;
    let holder = plain(holder, BRIEF);
    let at = address.as_ref().map(|at| format!(" at {}", plain(at, BRIEF))).unwrap_or_default();
    let end = term
        .ended
        .map_or_else(|| "still is".to_owned(), |end| format!("until {}: {}", when(end.when), ended(end.how)));
    format!("token {token}: {holder}{at}, {} {}; {end}", began(*how), when(*since))
}

/// A time without one.
pub fn gap(gap: &Gap) -> String {
    let until = gap.until.map_or_else(|| "now".to_owned(), when);
    let length = gap.ms.map(|ms| format!(", {ms} ms")).unwrap_or_default();
    let since = when(gap.since.when);
    format!("no primary from {since} to {until}{length}; other candidates: {}", gap.since.candidates)
}

fn began(how: How) -> &'static str {
    match how {
        How::Before => "primary already at",
        How::Won => "won at",
        How::HandedOver => "was handed it at",
        How::Again => "put its lock anew at",
        How::Taken => "took it at",
    }
}

fn ended(how: Ended) -> &'static str {
    match how {
        Ended::LeaseEnded => "its lease ended, or was revoked",
        Ended::LockDeleted => "it resigned, or its lock was deleted by hand",
        Ended::HandedOver => "it handed over",
        Ended::Again => "it put its lock anew",
        Ended::Taken => "another one took it",
        Ended::Released => "it released it",
    }
}

fn when(when: When) -> String {
    let at = when.at_ms.and_then(crate::screen::utc_of_ms).map(|at| format!(" ({at})")).unwrap_or_default();
    format!("{}{at}", when.revision)
}
