//! What was found out, as a page that needs nothing else: a timeline, each primary, each finding.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use primacy_audit::{Audit, Finding, Role, Term, When};

use super::text;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 160.0;
const ROW: f64 = 34.0;

const STYLE: &str = "
body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}
svg{max-width:100%}svg text{font:12px system-ui,sans-serif;fill:#222}.gap{fill:#eee}.found{fill:#c22}.wrong{color:#c22}
";

/// Colours of holders, which those who confuse some can tell apart.
const COLOURS: [&str; 8] =
    ["#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee9977", "#aa3377", "#999933", "#bbbbbb"];

/// The page.
pub fn of(told: &Audit) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "primacy audit" } style { (PreEscaped(STYLE)) } }
            body {
                h1 { "Who was primary" }
                p { "Revisions " (told.from) " to " (told.until) "; " (told.findings.len()) " found." }
                (timeline(told))
                h2 { "What should not have been" }
                @if told.findings.is_empty() { p { "Nothing." } } @else { (findings(&told.findings)) }
                @for role in &told.roles { (of_role(role)) }
            }
        }
    };
    page.into_string()
}

fn findings(findings: &[Finding]) -> Markup {
    html! {
        table {
            tr { th { "revision" } th { "role" } th { "key" } th { "what" } th { "what to do" } }
            @for found in findings {
                tr id={ "r" (found.when.revision) } {
                    td { (found.when.revision) }
                    td { (found.role) }
                    td { (found.key) }
                    td.wrong { (found.what) }
                    td { (found.kind.advice()) }
                }
            }
        }
    }
}

fn of_role(role: &Role) -> Markup {
    html! {
        h2 { (role.name) }
        ul {
            @for term in &role.terms { li { (text::term(term)) } }
            @for gap in &role.gaps { li { (text::gap(gap)) } }
        }
    }
}

/// Where a revision is. By time, if that is known of all; else by their order, so that none hides another.
struct Axis {
    marks: Vec<i64>,
    is_time: bool,
}

impl Axis {
    fn of(told: &Audit) -> Axis {
        let terms = || told.roles.iter().flat_map(|role| &role.terms);
        let all = || terms().flat_map(|term| [Some(term.since), term.ended.map(|end| end.when)]).flatten();
        let all = || all().chain(told.findings.iter().map(|found| found.when));
        let is_time = all().all(|when| when.at_ms.is_some()) && all().next().is_some();
        let mut marks: BTreeSet<i64> = all().map(|when| mark(when, is_time)).collect();
        if !is_time {
            marks.extend([told.from, told.until]);
        }
        Axis { marks: marks.into_iter().collect(), is_time }
    }

    #[allow(clippy::cast_precision_loss, reason = "to draw it")]
    fn x(&self, when: When) -> f64 {
        let at = mark(when, self.is_time);
        let share =
            if let (true, Some(first), Some(last)) = (self.is_time, self.marks.first(), self.marks.last()) {
                (at - first) as f64 / (last - first).max(1) as f64
            } else {
                self.marks.partition_point(|mark| *mark < at) as f64 / (self.marks.len().max(2) - 1) as f64
            };
        LEFT + share * (WIDTH - LEFT - 20.0)
    }
}

fn mark(when: When, is_time: bool) -> i64 {
    when.at_ms.filter(|_| is_time).unwrap_or(when.revision)
}

#[allow(clippy::cast_precision_loss, reason = "to draw it")]
fn timeline(told: &Audit) -> Markup {
    let axis = Axis::of(told);
    let height = told.roles.len() as f64 * ROW + 30.0;
    let holders: BTreeSet<&str> =
        told.roles.iter().flat_map(|role| &role.terms).map(|term| term.holder.as_str()).collect();
    let holders: Vec<&str> = holders.into_iter().collect();
    let colour = |term: &Term| {
        let at = holders.iter().position(|holder| *holder == term.holder).unwrap_or_default();
        COLOURS.get(at % COLOURS.len()).copied().unwrap_or_default()
    };
    let end = |term: &Term| term.ended.map_or(WIDTH - 20.0, |end| axis.x(end.when));
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="timeline" {
            @for (row, role) in told.roles.iter().enumerate() {
                @let y = row as f64 * ROW + 4.0;
                text x="0" y=(y + 18.0) { (role.name) }
                rect.gap x=(LEFT) y=(y) width=(WIDTH - LEFT - 20.0) height="26" {}
                @for term in &role.terms {
                    rect x=(axis.x(term.since)) y=(y) width=((end(term) - axis.x(term.since)).max(1.5)) height="26"
                        fill=(colour(term)) stroke="#fff" { title { (text::term(term)) } }
                }
                @for found in told.findings.iter().filter(|found| found.role == role.name) {
                    a href={ "#r" (found.when.revision) } {
                        circle.found cx=(axis.x(found.when)) cy=(y + 13.0) r="6" { title { (found.what) } }
                    }
                }
            }
            text x=(LEFT) y=(height - 8.0) {
                @if axis.is_time { "by time" } @else { "by etcd's revisions, in their order" }
            }
        }
    }
}
