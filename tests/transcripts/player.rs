//! Plays a transcript through the engine: see `tests/transcripts.rs` for what one looks like.
//!
//! The library's own tests play what the flight recorder hands out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::contract_of_the_driver::{Broken, Contract};
use primacy_engine::Level;
use primacy_engine::milvus::{Candidate, Incarnation, Root};
use primacy_engine::store::{Answer, KeyValue, LeaseId, Op, Range, Request, TxnAnswer};
use primacy_engine::time::Time;
use primacy_engine::{Action, CallId, ElectionId, Engine, Event, ParseError, RequestId, Setup, Token};

/// Replays one transcript.
pub struct Player {
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    engine: Option<Engine>,
    now: Time,
    /// Those that are not answered yet.
    requests: HashMap<RequestId, Request>,
    contract: Contract,
    bless: bool,
    /// What is shown of the log.
    least: Level,
    /// Where each election stands.
    states: BTreeMap<ElectionId, &'static str>,
    /// From which state to which elections went; `[*]`: before the first and after the last.
    pub ways: BTreeSet<(&'static str, &'static str)>,
}

impl Player {
    /// For transcripts of `folder`. With `bless` the actions are not compared, but written anew.
    pub fn new(folder: &Path, bless: bool) -> Player {
        Player {
            folder: folder.to_owned(),
            settings: BTreeMap::new(),
            engine: None,
            now: Time::ZERO,
            requests: HashMap::new(),
            contract: Contract::default(),
            bless,
            least: Level::Error,
            states: BTreeMap::new(),
            ways: BTreeSet::new(),
        }
    }

    /// Runs the lines of `text`; returns them as they should be.
    pub fn play(&mut self, name: &str, text: &str) -> String {
        let mut out = String::new();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let here = format!("{name}:{}", number + 1);
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if !matches!(word, "at" | "look" | "guard") {
                writeln!(out, "{line}").unwrap();
            }
            match word {
                "" | "#" => {}
                "setup" => {
                    assert!(self.engine.is_none(), "{here}: setup comes before the first event");
                    let pairs = rest.split_whitespace().map(|s| s.split_once('='));
                    self.settings
                        .extend(pairs.map(|pair| own(pair.unwrap_or_else(|| panic!("{here}: {rest}")))));
                }
                "log" if rest == "info" => self.least = Level::Info,
                "log" if rest == "warn" => self.least = Level::Warn,
                "given" => {
                    let path = self.folder.join("given").join(format!("{rest}.txt"));
                    let text =
                        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{here}: {path:?}: {e}"));
                    let blessed = self.play(&format!("given/{rest}.txt"), &text);
                    self.keep(&path, &text, &blessed);
                }
                "at" | "look" | "guard" => {
                    let mut expected = Vec::new();
                    while let Some((_, next)) = lines.next_if(|(_, l)| l.trim_start().starts_with("->")) {
                        expected.push(self.short(next.trim_start().trim_start_matches("->").trim()));
                    }
                    if expected.is_empty() {
                        expected.push("(nothing)".into());
                    }
                    let (rest, actual) = match word {
                        "at" => self.step(&here, rest),
                        "look" => (rest.to_owned(), self.look(&here, rest)),
                        _ => (rest.to_owned(), self.guard(&here, rest)),
                    };
                    if !self.bless {
                        assert_eq!(actual, expected, "{here}: {word} {rest}\nactual:\n{}", shown(&actual));
                    }
                    writeln!(out, "{word} {rest}\n{}", shown(&actual).trim_end()).unwrap();
                }
                _ => panic!("{here}: a line begins with #, setup, given, log, at, look or guard: {line}"),
            }
        }
        out
    }

    /// Takes one step; returns its line, as it should be, and the actions.
    fn step(&mut self, here: &str, line: &str) -> (String, Vec<String>) {
        let (at, text) = line.trim().split_once(' ').unwrap_or_else(|| panic!("{here}: at TIME EVENT"));
        let mut now: Time = at.parse().unwrap_or_else(|e| panic!("{here}: {at}: {e}"));
        assert!(self.now <= now, "{here}: time goes back");
        let event = self.event(text.trim()).unwrap_or_else(|e| panic!("{here}: {e}"));
        self.check(&event).unwrap_or_else(|e| panic!("{here}: {e}"));
        let engine = self.engine.get_or_insert_with(|| Engine::new(setup(&self.settings)));
        if event == Event::Tick && text.trim() != "tick" {
            let next = engine.next_timer();
            if let Some((due, _)) = next.filter(|(_, name)| self.bless && *name == text.trim()) {
                now = due;
            }
            let next = next.map(|(at, name)| format!("{at} {name}"));
            assert_eq!(next, Some(format!("{now} {}", text.trim())), "{here}: another timer is due next");
        }
        self.now = now;
        let kept = |broken: Result<(), Broken>| {
            broken.unwrap_or_else(|(rule, how)| panic!("{here}: {rule}: {how}"));
        };
        let mut actions = engine.step(now, event.clone());
        kept(self.contract.step(&event, &actions));
        if get(&self.settings, "taken", "at once") != "told" {
            let called: Vec<CallId> = actions.iter().filter_map(called).collect();
            for event in called.into_iter().map(|call| Event::Taken { call }) {
                let more = engine.step(now, event.clone());
                kept(self.contract.step(&event, &more));
                actions.extend(more);
            }
        }
        let states = engine.snapshot(now).elections.iter().map(|e| (e.id, e.state.name())).collect();
        self.went(states);
        actions.iter().for_each(|action| self.note(action));
        let shown = |a: &&Action| !matches!(a, Action::Log { level, .. } if *level > self.least);
        let lines: Vec<String> = actions.iter().filter(shown).map(|a| self.short(&a.to_string())).collect();
        (format!("{now} {}", text.trim()), if lines.is_empty() { vec!["(nothing)".into()] } else { lines })
    }

    /// What status shows of the election of a role.
    fn look(&self, here: &str, role: &str) -> Vec<String> {
        let engine = self.engine.as_ref().unwrap_or_else(|| panic!("{here}: nothing has happened yet"));
        let snapshot = engine.snapshot(self.now);
        let election = snapshot.elections.iter().find(|election| election.role == role);
        let election = election.unwrap_or_else(|| panic!("{here}: there is no election of {role}"));
        let mut line = election.state.to_string();
        if election.token != 0 {
            write!(line, " token={}", election.token).unwrap();
        }
        if election.warm {
            line.push_str(" warm");
        }
        if !election.running.is_empty() {
            let running: Vec<&str> = election.running.iter().map(|callback| callback.name()).collect();
            write!(line, " running {}", running.join(", ")).unwrap();
        }
        if let (Some(obstacle), Some(trouble)) = (election.obstacle, &election.trouble) {
            write!(line, " obstacle={obstacle} '{}'", self.short(trouble)).unwrap();
        }
        vec![line]
    }

    /// What a guarded write under a token compares.
    fn guard(&self, here: &str, win: &str) -> Vec<String> {
        let parsed = win.split_once(" token=").and_then(|(election, token)| {
            Some((election.strip_prefix('e')?.parse().ok()?, token.parse().ok()?))
        });
        let (election, token) = parsed.unwrap_or_else(|| panic!("{here}: guard e1 token=6"));
        let engine = self.engine.as_ref().unwrap_or_else(|| panic!("{here}: nothing has happened yet"));
        match engine.guard(ElectionId(election), Token(token)) {
            None => vec!["(refused)".into()],
            Some(guard) => {
                let guard: Vec<String> =
                    guard.iter().map(|compare| self.short(&compare.to_string())).collect();
                vec![format!("if {}", guard.join(", "))]
            }
        }
    }

    fn event(&self, text: &str) -> Result<Event, String> {
        let Some((answer, seen)) = text.split_once(" sees ") else {
            let mut event = self.parse(text)?;
            match &mut event {
                Event::Answered { request, result: Ok(Answer::Txn(answer)) } if answer.reads.is_empty() => {
                    answer.reads = self.reads(*request, answer.succeeded, Vec::new())?;
                }
                _ => {}
            }
            return Ok(event);
        };
        let keys = match self.parse(&format!("w0 saw put {}", seen.replace(", ", ", put ")))? {
            Event::Watched { events, .. } => events.into_iter().filter_map(|event| event.now).collect(),
            _ => Vec::new(),
        };
        match self.parse(answer)? {
            Event::Answered { request, result: Ok(Answer::Txn(answer)) } => {
                let reads = self.reads(request, answer.succeeded, keys)?;
                Ok(Event::Answered { request, result: Ok(Answer::Txn(TxnAnswer { reads, ..answer })) })
            }
            _ => Err("only the answer to a transaction sees keys".into()),
        }
    }

    /// What each read of a transaction finds, if `keys` are all there are.
    fn reads(
        &self,
        request: RequestId,
        succeeded: bool,
        mut keys: Vec<KeyValue>,
    ) -> Result<Vec<Vec<KeyValue>>, String> {
        let Some(Request::Txn(txn)) = self.requests.get(&request) else {
            return Err(format!("{request} is no transaction under way"));
        };
        keys.sort_by(|a, b| a.key.cmp(&b.key));
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        let gets = ops.iter().filter_map(|op| if let Op::Get(range) = op { Some(range) } else { None });
        let found = |range: &Range| keys.iter().filter(|kv| range.contains(&kv.key)).cloned().collect();
        let reads = gets.clone().map(found).collect();
        match keys.iter().find(|kv| !gets.clone().any(|range| range.contains(&kv.key))) {
            Some(stray) => Err(format!("{request} does not read {}", stray.key)),
            None => Ok(reads),
        }
    }

    /// Each request is answered by an answer of its kind.
    fn check(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Answered { request, result } => match (self.requests.remove(request), result) {
                (None, _) => Ok(()),
                (Some(Request::Grant { .. }), Ok(Answer::Granted { .. }))
                | (Some(Request::KeepAlive { .. }), Ok(Answer::Renewed { .. }))
                | (Some(Request::Revoke { .. }), Ok(Answer::Revoked))
                | (Some(Request::Txn(_)), Ok(Answer::Txn(_)))
                | (Some(_), Err(_)) => Ok(()),
                (Some(sent), Ok(_)) => Err(format!("{request} was {sent:?}")),
            },
            _ => Ok(()),
        }
    }

    fn note(&mut self, action: &Action) {
        if let Action::Send { request, what, .. } = action {
            self.requests.insert(*request, what.clone());
        }
    }

    fn went(&mut self, states: BTreeMap<ElectionId, &'static str>) {
        const NOWHERE: &str = "[*]";
        let before = std::mem::replace(&mut self.states, states);
        for election in before.keys().chain(self.states.keys()) {
            let at = |states: &BTreeMap<ElectionId, &'static str>| {
                states.get(election).map_or(NOWHERE, |state| *state)
            };
            let (from, to) = (at(&before), at(&self.states));
            if from != to {
                self.ways.insert((from, to));
            }
        }
    }

    fn parse(&self, text: &str) -> Result<Event, String> {
        self.long(text).parse().map_err(|e: ParseError| e.to_string())
    }

    /// With the root before each key.
    fn long(&self, text: &str) -> String {
        let root = root(&self.settings);
        let mut long = self.short(text);
        for folder in ["session/", "election/"] {
            long = long.replace(folder, &format!("{root}/{folder}"));
        }
        long
    }

    /// Without it.
    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", root(&self.settings)), "")
    }

    /// Writes a file anew, if what was blessed differs.
    pub fn keep(&self, path: &Path, before: &str, blessed: &str) {
        if self.bless && before != blessed {
            std::fs::write(path, blessed).unwrap();
        }
    }
}

fn called(action: &Action) -> Option<CallId> {
    if let Action::Call { call, .. } = action { Some(*call) } else { None }
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.into(), value.into())
}

fn shown(actions: &[String]) -> String {
    actions.iter().map(|a| format!("    -> {a}\n")).collect()
}

fn get(settings: &BTreeMap<String, String>, name: &str, default: &str) -> String {
    settings.get(name).map_or(default, String::as_str).to_owned()
}

fn root(settings: &BTreeMap<String, String>) -> String {
    get(settings, "root", "by-dev/meta")
}

fn setup(settings: &BTreeMap<String, String>) -> Setup {
    const NAMES: [&str; 18] = [
        "root",
        "layout",
        "address",
        "version",
        "ttl",
        "margin",
        "priority",
        "warmup",
        "activation",
        "liveness",
        "drain",
        "request",
        "lease",
        "seed",
        "taken",
        "server_id",
        "process",
        "instance",
    ];
    for name in settings.keys() {
        assert!(NAMES.contains(&name.as_str()), "setup knows {NAMES:?}, not {name}");
    }
    let get = |name, default| get(settings, name, default);
    let seconds = |name, default| Duration::from_secs_f64(get(name, default).parse().unwrap());
    let root = root(settings);
    let (path, sub) = root.rsplit_once('/').unwrap();
    let version = get("version", "3.0.0").parse().unwrap();
    let mut candidate = Candidate::new(&get("address", "a:1"), "host", version).unwrap();
    let process = settings.get("process").map(|process| process.parse().unwrap());
    let instance = settings.get("instance").cloned();
    candidate.incarnation =
        (process.is_some() || instance.is_some()).then_some(Incarnation { process, instance });
    candidate.server_id = settings.get("server_id").map(|id| id.parse().unwrap());
    Setup {
        root: Root::join(path, sub).unwrap(),
        layout: get("layout", "milvus").parse().unwrap(),
        candidate,
        ttl: seconds("ttl", "10"),
        margin: settings.get("margin").map(|_| seconds("margin", "")),
        priority: get("priority", "1").parse().unwrap(),
        warmup_interval: seconds("warmup", "1"),
        activation_timeout: seconds("activation", "10"),
        liveness_timeout: settings.get("liveness").map(|_| seconds("liveness", "")),
        drain_timeout: seconds("drain", "30"),
        request_timeout: seconds("request", "10"),
        first_lease: LeaseId(get("lease", "7").parse().unwrap()),
        seed: get("seed", "0").parse().unwrap(),
    }
}
