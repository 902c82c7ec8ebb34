//! Which run of a server a candidate is, so that the next one can tell that this one is over.

use std::fmt;
use std::str::FromStr;

/// What a candidate says of the process that it runs in. An address says nothing: two may have one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incarnation {
    /// As the machine tells it; `None`: it could not be told.
    pub process: Option<Process>,
    /// What its user calls the server; vouches that at most one process at a time has this name.
    pub instance: Option<String>,
}

/// A process, among all that there have been on all machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Of the machine's kernel, since it was started.
    pub boot: String,
    /// Where its number and its start count.
    pub namespace: String,
    /// Its number there.
    pub pid: u32,
    /// When it started, in ticks of the kernel: numbers are used again.
    pub start: u64,
}

impl Process {
    /// Whether both count in the same place, so that who looks there from one of them would see the other.
    pub fn is_beside(&self, other: &Process) -> bool {
        self.boot == other.boot && self.namespace == other.namespace
    }
}

/// As `BOOT/NAMESPACE/PID/START`.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { boot, namespace, pid, start } = self;
        write!(f, "{boot}/{namespace}/{pid}/{start}")
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or(());
        let (boot, namespace) = (next()?.to_owned(), next()?.to_owned());
        let process = Process { boot, namespace, pid: number(next()?)?, start: number(next()?)? };
        if parts.next().is_some() { Err(()) } else { Ok(process) }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, ()> {
    text.parse().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_written_and_read() {
        let process = Process { boot: "b-1".into(), namespace: "7.8".into(), pid: 12, start: 345 };
        assert_eq!(process.to_string(), "b-1/7.8/12/345");
        assert_eq!(process.to_string().parse(), Ok(process));
        for bad in ["", "b/7/12", "b/7/12/345/6", "b//12/345", "b/7/x/345", "b/7/-1/345", "b/7/4294967296/1"]
        {
            assert_eq!(bad.parse::<Process>(), Err(()), "{bad}");
        }
    }
}
