//! Elections of etcd's `clientv3/concurrency`: below a prefix each candidate has a key that is named after its lease, and
//! whose key was created first leads. Its token is the revision of that creation.

use primacy_engine::store::{Key, KeyValue, LeaseId};

use crate::finding::Kind;
use crate::history::Moment;
use crate::judge;
use crate::report::Report;
use crate::term::{Ended, How, Term, lease};
use crate::when::When;

/// See the module.
pub struct Judge<'a> {
    prefixes: &'a [String],
}

impl<'a> Judge<'a> {
    pub fn new(prefixes: &'a [String]) -> Judge<'a> {
        Judge { prefixes }
    }
}

impl judge::Judge for Judge<'_> {
    fn look(&mut self, moment: &Moment<'_>, report: &mut Report) {
        for prefix in self.prefixes {
            let name = |kv: &KeyValue| name_in(prefix, &kv.key);
            for kv in moment.events.iter().filter_map(|event| event.now.as_ref()) {
                let Some(name) = name(kv) else { continue };
                if kv.lease == LeaseId::NONE {
                    let what = "hangs on no lease: when it is the first, nobody else leads, ever";
                    report.found(Kind::NoLease, prefix, &kv.key, moment.when, what);
                } else if i64::from_str_radix(&name, 16) != Ok(kv.lease.0) {
                    let what = format!("hangs on lease {:x}, after which it is not named", kv.lease.0);
                    report.found(Kind::OtherRecord, prefix, &kv.key, moment.when, what);
                }
            }
            if !moment.is_first && !moment.events.iter().any(|event| name_in(prefix, &event.key).is_some()) {
                continue;
            }
            let mut queue: Vec<&KeyValue> = moment.all().filter(|kv| name(kv).is_some()).collect();
            queue.sort_by_key(|kv| kv.create_revision);
            let first = queue.first().map(|kv| kv.create_revision.0);
            let present = report.present(prefix).map(|term| term.token);
            if present == first {
                continue;
            }
            report.end_term(prefix, moment.when, Ended::LeaseEnded, queue.len());
            if let Some(kv) = queue.first() {
                let since = When { revision: kv.create_revision.0, at_ms: None };
                report.begin(
                    prefix,
                    Term {
                        token: kv.create_revision.0,
                        holder: name(kv).unwrap_or_default(),
                        address: None,
                        lease: lease(kv.lease),
                        since: if moment.is_first { since } else { moment.when },
                        how: if moment.is_first { How::Before } else { How::Won },
                        ended: None,
                    },
                );
            }
        }
    }
}

/// What a candidate's key is called below the prefix.
fn name_in(prefix: &str, key: &Key) -> Option<String> {
    let name = key.as_bytes().strip_prefix(prefix.as_bytes())?.strip_prefix(b"/")?;
    Some(String::from_utf8_lossy(name).into_owned())
}
