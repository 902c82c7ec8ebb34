//! What was found out so far.

use std::collections::BTreeMap;
use std::time::Duration;

use primacy_engine::store::Key;

use crate::finding::{Finding, Kind};
use crate::term::{End, Ended, Gap, Role, Term};
use crate::when::When;

/// What is known so far.
#[derive(Default)]
pub struct Report {
    terms: BTreeMap<String, Vec<Term>>,
    findings: Vec<Finding>,
}

impl Report {
    /// Notes what should not have been.
    pub fn found(&mut self, kind: Kind, role: &str, key: &Key, when: When, what: impl Into<String>) {
        let (role, key, what) = (role.to_owned(), key.to_string(), what.into());
        self.findings.push(Finding { kind, role, key, when, what });
    }

    /// Who is primary of a role.
    pub fn present(&self, role: &str) -> Option<&Term> {
        self.terms.get(role)?.last().filter(|term| term.ended.is_none())
    }

    /// Somebody became primary.
    pub fn begin(&mut self, role: &str, term: Term) {
        self.terms.entry(role.to_owned()).or_default().push(term);
    }

    /// Whoever was primary is none any more.
    pub fn end_term(&mut self, role: &str, when: When, how: Ended, candidates: usize) {
        let last = self.terms.get_mut(role).and_then(|terms| terms.last_mut());
        if let Some(term) = last.filter(|term| term.ended.is_none()) {
            term.ended = Some(End { when, how, candidates });
        }
    }

    /// All of it. Gaps that are too long are found here.
    pub fn end(mut self, until: When, longest: Option<Duration>) -> (Vec<Role>, Vec<Finding>) {
        let mut roles = Vec::new();
        for (name, terms) in std::mem::take(&mut self.terms) {
            let gaps = gaps(&terms, until);
            for gap in &gaps {
                let ms = gap.ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
                if let (Some(length), Some(longest)) = (ms, longest)
                    && length > longest
                    && gap.since.candidates > 0
                {
                    let what = format!(
                        "had no primary for {:.1} s, and {} that could be",
                        length.as_secs_f64(),
                        gap.since.candidates
                    );
                    self.found(Kind::LongGap, &name, &"".into(), gap.since.when, what);
                }
            }
            roles.push(Role { name, terms, gaps });
        }
        self.findings.sort_by_key(|finding| finding.when.revision);
        (roles, self.findings)
    }
}

fn gaps(terms: &[Term], until: When) -> Vec<Gap> {
    let next = terms.iter().skip(1).map(|term| Some(term.since)).chain([None]);
    let between = terms.iter().zip(next).filter_map(|(term, next)| {
        let since = term.ended?;
        if next.is_some_and(|next| next.revision == since.when.revision) {
            return None;
        }
        let ms = next.unwrap_or(until).at_ms.zip(since.when.at_ms).map(|(end, begin)| end - begin);
        Some(Gap { since, until: next, ms })
    });
    between.collect()
}
