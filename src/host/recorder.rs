//! The flight recorder: what happened in a session, in the text that transcript tests are written in.
//!
//! As long as it holds every step since the session's beginning, it hands out a transcript, from which the engine takes
//! the same steps again: its first line says how the engine was set up, and all else that an engine knows comes from its
//! events. When these get too many, the oldest are let go of; what is left is to be read, and says so.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use crate::clock::Time;
use crate::engine::{Action, ElectionId, Event, Outcome, Setup};
use crate::log::Level;
use crate::store::{Answer, Failure, Key, KeyValue, Value};

/// What is kept, in bytes of text: of a session with one election the first hour, or the last one.
const KEPT: usize = 1 << 20;
/// The longest key, value or text that is kept whole; records are shorter.
const WHOLE: usize = 8 << 10;
/// The longest that is shown to a reader.
const SHOWN: usize = 200;
/// How many actions of one step are kept: a session may lose ten thousand elections with its lease.
const ACTIONS: usize = 1024;

/// See the module. A clone is cheap, and of what was kept until then.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    setup: Arc<Setup>,
    steps: VecDeque<Arc<Step>>,
    bytes: usize,
    /// Steps that were let go of.
    gone: u64,
    /// Something was too long to be kept whole.
    cut: bool,
}

#[derive(Debug)]
struct Step {
    at: Time,
    event: Event,
    /// With the election that each is about.
    actions: Vec<(Option<ElectionId>, String)>,
    bytes: usize,
}

impl Recorder {
    pub fn new(setup: &Setup) -> Recorder {
        let setup = Arc::new(setup.clone());
        Recorder { setup, steps: VecDeque::new(), bytes: 0, gone: 0, cut: false }
    }

    pub fn keep(&mut self, at: Time, mut event: Event, actions: &[Action]) {
        let long = shorten(&mut event, WHOLE);
        let told = |action: &&Action| !matches!(action, Action::Log { level, .. } if *level != Level::Error);
        let text = |action: &Action| {
            let mut text = action.to_string();
            let long = shorten_text(&mut text, WHOLE);
            ((action.election(), text), long)
        };
        let mut told = actions.iter().filter(told).map(text);
        let mut step = Step { at, bytes: size_of::<Step>() + long.bytes, event, actions: Vec::new() };
        for (action, long) in told.by_ref().take(ACTIONS) {
            step.bytes += size_of_val(&action) + action.1.len();
            self.cut |= long;
            step.actions.push(action);
        }
        self.cut |= long.cut || told.next().is_some();
        self.bytes += step.bytes;
        self.steps.push_back(Arc::new(step));
        while self.bytes > KEPT && self.steps.len() > 1 {
            self.bytes -= self.steps.pop_front().map_or(0, |gone| gone.bytes);
            self.gone += 1;
        }
    }

    /// The whole session as a transcript, if there is one and it is not longer than `most` bytes; else the last steps
    /// that an election had a part in.
    pub fn text(&self, election: ElectionId, most: usize) -> String {
        let whole = if self.bytes <= most { self.transcript() } else { None };
        whole.unwrap_or_else(|| self.excerpt(election, most))
    }

    /// `None`: it would not replay.
    fn transcript(&self) -> Option<String> {
        let setup = format!("{} taken=told", *self.setup);
        // What stands between spaces there can not have any.
        let readable = setup.split_whitespace().skip(1).all(|pair| pair.contains('='));
        if self.gone > 0 || self.cut || !readable {
            return None;
        }
        let mut text =
            format!("# Every step of a session since its beginning: a transcript, which replays.\n{setup}\n");
        for Step { at, event, actions, .. } in self.steps.iter().map(|step| &**step) {
            let line = event.to_string();
            if line.parse().as_ref() != Ok(event) {
                return None;
            }
            write_step(&mut text, *at, &line, actions.iter().map(|(_, action)| action.as_str()));
        }
        Some(text)
    }

    fn excerpt(&self, election: ElectionId, most: usize) -> String {
        let (mut shown, mut length) = (VecDeque::new(), 0);
        for Step { at, event, actions, .. } in self.steps.iter().rev().map(|step| &**step) {
            let own = actions.iter().filter(|(of, _)| of.is_none_or(|of| of == election));
            let mut own = own.map(|(_, action)| action.as_str()).peekable();
            if own.peek().is_none() && !actions.is_empty() {
                continue;
            }
            let (mut event, mut step) = (event.clone(), String::new());
            shorten(&mut event, SHOWN);
            write_step(&mut step, *at, &event.to_string(), own);
            length += step.len();
            if length > most {
                break;
            }
            shown.push_front(step);
        }
        let all = self.gone + self.steps.len() as u64;
        let count = shown.len();
        let head = format!(
            "# The last {count} of {all} steps of a session that {election} had a part in: to be read.\n"
        );
        std::iter::once(head).chain(shown).collect()
    }
}

fn write_step<'a>(text: &mut String, at: Time, event: &str, actions: impl Iterator<Item = &'a str>) {
    let _ = writeln!(text, "at {at} {event}");
    for action in actions {
        let _ = writeln!(text, "    -> {action}");
    }
}

/// What was found when an event was made to fit.
#[derive(Default)]
struct Long {
    /// Of text, about.
    bytes: usize,
    cut: bool,
}

/// Cuts what is longer than `most` bytes.
fn shorten(event: &mut Event, most: usize) -> Long {
    let mut long = Long::default();
    let mut text = |text: &mut String| {
        long.cut |= shorten_text(text, most);
        long.bytes += text.len();
    };
    match event {
        Event::Completed { outcome: Outcome::Failed(why), .. } | Event::WatchEnded { why, .. } => text(why),
        Event::Answered { result: Err(failure), .. } => match failure {
            Failure::Indefinite(why)
            | Failure::Unreachable(why)
            | Failure::Denied(why)
            | Failure::NoSpace(why)
            | Failure::Refused(why) => {
                text(why);
            }
            Failure::LeaseNotFound | Failure::LeaseExists => {}
        },
        Event::Answered { result: Ok(Answer::Txn(answer)), .. } => {
            answer.reads.iter_mut().flatten().for_each(|kv| shorten_pair(kv, most, &mut long));
        }
        Event::Watched { events, .. } => {
            for event in events {
                shorten_key(&mut event.key, most, &mut long);
                event.now.iter_mut().for_each(|kv| shorten_pair(kv, most, &mut long));
            }
        }
        _ => {}
    }
    long
}

/// Whether it was longer.
fn shorten_text(text: &mut String, most: usize) -> bool {
    let long = text.len() > most;
    if long {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str("...");
    }
    long
}

fn shorten_pair(kv: &mut KeyValue, most: usize, long: &mut Long) {
    shorten_key(&mut kv.key, most, long);
    if let Some(start) =
        kv.value.as_bytes().get(..most).filter(|start| start.len() < kv.value.as_bytes().len())
    {
        (kv.value, long.cut) = (Value::from([start, b"..."].concat().as_slice()), true);
    }
    long.bytes += size_of::<KeyValue>() + kv.value.as_bytes().len();
}

fn shorten_key(key: &mut Key, most: usize, long: &mut Long) {
    if let Some(start) = key.as_bytes().get(..most).filter(|start| start.len() < key.as_bytes().len()) {
        (*key, long.cut) = (Key::from([start, b"..."].concat().as_slice()), true);
    }
    long.bytes += key.as_bytes().len();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{CallId, Engine, RequestId, Token, WatchId};
    use crate::milvus::{Candidate, Layout, Root};
    use crate::store::{KeyEvent, LeaseId, Revision};

    fn setup() -> Setup {
        let second = Duration::from_secs(1);
        Setup {
            root: Root::join("r", "m").unwrap(),
            layout: Layout::Milvus,
            candidate: Candidate::new("a:1", "host", "3.0.0".parse().unwrap()).unwrap(),
            ttl: second * 10,
            margin: Some(second),
            priority: 1,
            warmup_interval: second,
            activation_timeout: second,
            liveness_timeout: None,
            drain_timeout: second,
            request_timeout: second,
            first_lease: LeaseId(1),
            seed: 7,
        }
    }

    fn failed(call: u64, why: &str) -> Event {
        Event::Completed { call: CallId(call), outcome: Outcome::Failed(why.into()) }
    }

    fn watched(value: &[u8]) -> Event {
        let now = KeyValue {
            key: "r/m/session/rootcoord".into(),
            value: value.into(),
            create_revision: Revision(1),
            mod_revision: Revision(1),
            version: 1,
            lease: LeaseId(1),
        };
        let events = vec![KeyEvent { key: now.key.clone(), revision: Revision(1), now: Some(now) }];
        Event::Watched { watch: WatchId(1), events }
    }

    #[test]
    fn it_keeps_no_more_than_a_bound_however_much_happens_and_however_large_values_are() {
        let mut recorder = Recorder::new(&setup());
        for step in 0..2000 {
            recorder.keep(Time::from_nanos(step), watched(&vec![b'v'; 1 << 20]), &[]);
            recorder.keep(Time::from_nanos(step), failed(step, &"w".repeat(1 << 20)), &[]);
        }
        assert!(recorder.bytes <= KEPT && recorder.steps.len() < 200, "{}", recorder.bytes);
        let text = recorder.text(ElectionId(1), usize::MAX);
        assert!(text.len() < 200 * 400, "{}", text.len());
        for step in 0..100_000 {
            recorder.keep(Time::from_nanos(step), Event::Tick, &[]);
        }
        assert!(recorder.bytes <= KEPT);
        let calls = (1..100_000).map(|call| Action::Cancel { election: ElectionId(1), call: CallId(call) });
        recorder.keep(Time::ZERO, Event::Tick, &calls.collect::<Vec<_>>());
        assert!(recorder.steps.back().unwrap().actions.len() == ACTIONS);
    }

    #[test]
    fn it_says_whether_it_replays() {
        let mut recorder = Recorder::new(&setup());
        let mut engine = Engine::new(setup());
        let mut step = |recorder: &mut Recorder, event: Event| {
            let actions = engine.step(Time::ZERO, event.clone());
            recorder.keep(Time::ZERO, event, &actions);
        };
        step(&mut recorder, Event::Open);
        let whole = recorder.text(ElectionId(1), usize::MAX);
        assert!(whole.starts_with("# Every step of a session"), "{whole}");
        assert!(
            whole.contains(
                "\nsetup root=r/m layout=milvus address=a:1 version=3.0.0 ttl=10.000 margin=1.000 "
            )
        );
        assert!(
            whole.contains("seed=7 taken=told\nat 0.000 open\n    -> #1 grant lease=1 ttl=10.000 in "),
            "{whole}"
        );
        assert!(recorder.text(ElectionId(1), 100).starts_with("# The last 0 of 1 steps"));

        let mut strange = recorder.clone();
        step(
            &mut strange,
            Event::Register { election: ElectionId(1), role: crate::milvus::Role::parse("a b").unwrap() },
        );
        let read = strange.text(ElectionId(1), usize::MAX);
        assert!(read.starts_with("# The last 2 of 2 steps") && read.contains("register e1 a b"), "{read}");

        let mut long = recorder.clone();
        step(&mut long, failed(1, &"w".repeat(WHOLE + 1)));
        assert!(long.text(ElectionId(1), usize::MAX).starts_with("# The last 2 of 2 steps"));

        while recorder.gone == 0 {
            recorder.keep(Time::ZERO, Event::Tick, &[]);
        }
        assert!(recorder.text(ElectionId(1), usize::MAX).starts_with("# The last "));
    }

    #[test]
    fn what_is_read_is_of_one_election_and_its_session() {
        let mut recorder = Recorder::new(&setup());
        let lost = |election| Action::Primacy { election: ElectionId(election), win: None };
        recorder.cut = true;
        recorder.keep(Time::ZERO, failed(1, "of another"), &[lost(2)]);
        let deadline = Action::Deadline { lease: LeaseId(1), until: Time::NEVER };
        recorder.keep(Time::ZERO, failed(2, "a\u{1b}[2Jb\n"), &[lost(1), lost(2), deadline]);
        recorder.keep(Time::ZERO, watched(b"\x00\xff'"), &[]);
        let text = recorder.text(ElectionId(1), usize::MAX);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            [
                r"at 0.000 completed c2 failed 'a\x1b[2Jb\n'",
                "    -> not primary e1",
                "    -> deadline lease=1 18446744073.709551615",
                r"at 0.000 w1 saw put r/m/session/rootcoord@1 lease=1 '\x00\xff\''",
            ]
        );
    }

    #[test]
    fn lines_of_the_log_are_left_out_but_for_errors() {
        let mut recorder = Recorder::new(&setup());
        let line = |level| Action::Log { level, election: None, text: level.name().to_owned() };
        let asked = Action::Primacy { election: ElectionId(1), win: Some((Token(1), LeaseId(1))) };
        recorder.keep(Time::ZERO, Event::Tick, &[line(Level::Info), line(Level::Error), asked]);
        let denied = Event::Answered { request: RequestId(1), result: Err(Failure::Denied("no".into())) };
        recorder.keep(Time::ZERO, denied, &[]);
        let text = recorder.text(ElectionId(1), usize::MAX);
        assert!(!text.contains("log info") && text.contains("    -> log error 'error'\n"), "{text}");
    }
}
