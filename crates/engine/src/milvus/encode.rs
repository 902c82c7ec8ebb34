//! Writing records: the JSON of a session, byte for byte as Milvus's Go code writes it.

use std::fmt::{self, Display, Write};

use super::{Candidate, Incarnation, IndexVersions, Places, Process, Role};
use crate::store::{LeaseId, Revision, Value};

/// What a candidate says of itself beyond Milvus's fields, in its `ROLE-ID` record only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its last warm-up answered "warm".
    pub warm: bool,
    /// It is primary and `on_primary` has succeeded.
    pub ready: bool,
    /// Who is preferred as the next primary: the highest one; 0: never. Also of a neighbour that knows of no handover.
    pub priority: u32,
    /// The holder of the lock at this revision has written here that it would hand primacy over.
    pub offer: Option<Revision>,
    /// It takes the offer of the holder of the lock at this revision.
    pub accepts: Option<Revision>,
    /// Of a primary: who is to campaign first when its lock is deleted.
    pub line: Places,
}

/// The field of a record that is ours.
pub(super) const OURS: &str = "Primacy";
/// What the facts mean is of this version; those of another are not read.
pub(super) const PROTOCOL: i64 = 1;
pub(super) const OFFER: &str = "Offer";
pub(super) const ACCEPTS: &str = "Accepts";
pub(super) const LINE: &str = "Line";
pub(super) const ASKED: &str = "Asked";
pub(super) const TO: &str = "To";
pub(super) const RESIGN: &str = "Resign";
pub(super) const TAKES: &str = "Takes";
pub(super) const REFUSED: &str = "Refused";
pub(super) const BOOT: &str = "Boot";
pub(super) const NAMESPACE: &str = "Namespace";
pub(super) const PID: &str = "Pid";
pub(super) const START: &str = "Start";
pub(super) const INSTANCE: &str = "Instance";

/// As long as most records are.
const USUAL: usize = 512;

/// The record of a candidate, byte for byte as Milvus's Go code writes it, under a key of role `server_name`.
///
/// `facts` go into the candidate's own `ROLE-ID` record and nowhere else: the lock's record must not change
/// while it is held.
pub fn encode(
    candidate: &Candidate,
    server_name: &Role,
    server_id: i64,
    lease: LeaseId,
    facts: Option<Facts>,
) -> Value {
    let mut fields = Fields(String::with_capacity(USUAL));
    fields.0.push('{');
    fields.number("ServerID", server_id);
    fields.text("ServerName", server_name.as_str());
    fields.text("Address", candidate.address());
    fields.flag("Exclusive", candidate.exclusive);
    fields.flag("Stopping", candidate.stopping);
    if let Some(trigger_kill) = candidate.trigger_kill {
        fields.raw("TriggerKill", trigger_kill);
    }
    fields.raw("Version", Quoted(&candidate.version().to_string()));
    fields.index_versions("IndexEngineVersion", &candidate.index_engine_version);
    fields.index_versions("ScalarIndexEngineVersion", &candidate.scalar_index_engine_version);
    fields.flag("IndexNonEncoding", candidate.index_non_encoding);
    fields.number("LeaseID", lease.0);
    fields.text("HostName", &candidate.host_name);
    if !candidate.server_labels.is_empty() {
        let mut labels = Fields::new();
        for (name, value) in &candidate.server_labels {
            labels.raw(name, Quoted(value));
        }
        fields.raw("ServerLabels", labels.end());
    }
    if let Some(Facts { warm, ready, priority, offer, accepts, line }) = facts {
        let mut ours = Fields::new();
        ours.raw("Protocol", PROTOCOL);
        ours.raw("Warm", warm);
        ours.raw("Ready", ready);
        ours.raw("Priority", priority);
        for (name, lock) in [(OFFER, offer), (ACCEPTS, accepts)] {
            if let Some(Revision(lock)) = lock {
                ours.raw(name, lock);
            }
        }
        if let Some(Incarnation { process, instance }) = &candidate.incarnation {
            if let Some(Process { boot, namespace, pid, start }) = process {
                ours.text(BOOT, boot);
                ours.text(NAMESPACE, namespace);
                ours.raw(PID, pid);
                ours.raw(START, start);
            }
            ours.text(INSTANCE, instance.as_deref().unwrap_or_default());
        }
        if !line.is_empty() {
            ours.raw(LINE, format_args!("[{line}]"));
        }
        fields.raw(OURS, ours.end());
    }
    fields.end().into()
}

/// An object under construction. `number`, `text` and `flag` leave a zero value out, like Go's `omitempty`.
pub(super) struct Fields(String);

impl Fields {
    pub(super) fn new() -> Fields {
        Fields(String::from("{"))
    }

    pub(super) fn raw(&mut self, name: &str, value: impl Display) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a String does not fail.
        let _ = write!(self.0, "{}:{value}", Quoted(name));
    }

    fn number(&mut self, name: &str, value: i64) {
        if value != 0 {
            self.raw(name, value);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.raw(name, Quoted(value));
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.raw(name, value);
        }
    }

    fn index_versions(&mut self, name: &str, versions: &IndexVersions) {
        let mut inner = Fields::new();
        for (name, number) in versions.iter() {
            inner.raw(name, number);
        }
        self.raw(name, inner.end());
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON string as Milvus's encoder escapes it: besides what JSON demands, what HTML and JavaScript would
/// stumble over; and no short form for backspace and form feed.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut rest = self.0;
        // Nearly always there is none.
        while let Some(at) = rest.find(is_escaped) {
            let (plain, from) = rest.split_at(at);
            f.write_str(plain)?;
            let mut chars = from.chars();
            match chars.next() {
                Some('"') => f.write_str("\\\"")?,
                Some('\\') => f.write_str("\\\\")?,
                Some('\n') => f.write_str("\\n")?,
                Some('\r') => f.write_str("\\r")?,
                Some('\t') => f.write_str("\\t")?,
                Some(c) => write!(f, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            rest = chars.as_str();
        }
        f.write_str(rest)?;
        f.write_char('"')
    }
}

fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use semver::Version;

    const FACTS: Facts = Facts {
        warm: true,
        ready: false,
        priority: 3,
        offer: None,
        accepts: Some(Revision(9)),
        line: Places::NOBODY,
    };

    fn record(candidate: &Candidate, lease: i64, facts: Option<Facts>) -> String {
        encode(candidate, &Role::parse("mixcoord").unwrap(), 1, LeaseId(lease), facts).to_string()
    }

    #[test]
    fn a_record_of_milvus_3_0() {
        let candidate =
            Candidate::new("127.0.0.1:53100", "vm", Version::parse("3.0.0-beta").unwrap()).unwrap();
        assert_eq!(
            record(&candidate, 5007617984793799174, None),
            r#"{"ServerID":1,"ServerName":"mixcoord","Address":"127.0.0.1:53100","Exclusive":true,"Version":"3.0.0-beta","IndexEngineVersion":{},"ScalarIndexEngineVersion":{},"LeaseID":5007617984793799174,"HostName":"vm"}"#
        );
    }

    #[test]
    fn a_record_of_milvus_2_6() {
        let mut candidate = Candidate::new("127.0.0.1:53113", "vm", Version::new(2, 6, 7)).unwrap();
        candidate.trigger_kill = Some(true);
        assert_eq!(
            record(&candidate, 5007617984793799419, None),
            r#"{"ServerID":1,"ServerName":"mixcoord","Address":"127.0.0.1:53113","Exclusive":true,"TriggerKill":true,"Version":"2.6.7","IndexEngineVersion":{},"ScalarIndexEngineVersion":{},"LeaseID":5007617984793799419,"HostName":"vm"}"#
        );
        candidate.trigger_kill = Some(false);
        assert!(record(&candidate, 1, None).contains(r#""Exclusive":true,"TriggerKill":false,"Version""#));
    }

    #[test]
    fn the_smallest_record() {
        let mut candidate = Candidate::new("h:1", "", Version::new(0, 0, 0)).unwrap();
        candidate.exclusive = false;
        let role = Role::parse("r").unwrap();
        assert_eq!(
            encode(&candidate, &role, 0, LeaseId::NONE, None).to_string(),
            r#"{"ServerName":"r","Address":"h:1","Version":"0.0.0","IndexEngineVersion":{},"ScalarIndexEngineVersion":{}}"#
        );
    }

    /// What a Go program with Milvus's struct and its encoder (sonic's `ConfigStd`) printed, and our facts.
    #[test]
    fn a_record_with_every_field() {
        let mut candidate =
            Candidate::new("h:1", "\u{8}\u{c}\u{7f}", Version::parse("1.2.3-rc.1+b").unwrap()).unwrap();
        candidate.stopping = true;
        candidate.trigger_kill = Some(false);
        candidate.index_engine_version = IndexVersions::parse(
            r#"{"MinimalIndexVersion":1,"CurrentIndexVersion":2,"MaximumIndexVersion":3}"#,
        )
        .unwrap();
        candidate.scalar_index_engine_version =
            IndexVersions::parse(r#"{"CurrentIndexVersion":-2}"#).unwrap();
        candidate.index_non_encoding = true;
        candidate.server_labels =
            [("b", "2"), ("a", "<"), ("é", ""), ("B", "x"), ("", "e"), ("\u{ffff}", "1"), ("😀", "2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        assert_eq!(
            record(&candidate, 7, Some(FACTS)),
            concat!(
                r#"{"ServerID":1,"ServerName":"mixcoord","Address":"h:1","Exclusive":true,"Stopping":true,"#,
                r#""TriggerKill":false,"Version":"1.2.3-rc.1+b","#,
                r#""IndexEngineVersion":{"MinimalIndexVersion":1,"CurrentIndexVersion":2,"MaximumIndexVersion":3},"#,
                r#""ScalarIndexEngineVersion":{"CurrentIndexVersion":-2},"IndexNonEncoding":true,"LeaseID":7,"#,
                r#""HostName":"\u0008\u000c"#,
                "\u{7f}",
                r#"","ServerLabels":{"":"e","B":"x","a":"\u003c","b":"2","é":"","#,
                "\"\u{ffff}\"",
                r#":"1","😀":"2"},"Primacy":{"Protocol":1,"Warm":true,"Ready":false,"Priority":3,"Accepts":9}}"#
            )
        );
    }

    #[test]
    fn texts_are_escaped_as_milvus_escapes_them() {
        for (text, quoted) in [
            ("\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}", r#""\u0000\u0001\u0008\t\n\u000b\u000c\r\u001f""#),
            (r#"a"b\c/'"#, r#""a\"b\\c/'""#),
            ("a<b>c&d", r#""a\u003cb\u003ec\u0026d""#),
            ("\u{2027}\u{2028}\u{2029}\u{202a}", "\"\u{2027}\\u2028\\u2029\u{202a}\""),
            ("é\u{7f}\u{80}\u{feff}\u{fffd}😀", "\"é\u{7f}\u{80}\u{feff}\u{fffd}😀\""),
        ] {
            assert_eq!(Quoted(text).to_string(), quoted);
        }
    }
}
