//! Which process this is, and whether another one of this machine has ended, as Linux tells it.
//!
//! That a process has ended is said only where it is sure: of one that stands still, that is hidden or that can not be
//! asked for it is not said.

use std::fs;

use crate::milvus::Process;
use crate::platform;

/// This process; `None`: what is mounted at `/proc` does not tell, or counts otherwise than this process does.
pub fn own() -> Option<Process> {
    let pid = std::process::id();
    // Seen from a namespace further out it has two numbers or more.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    if numbers.trim() != pid.to_string() {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    // Older kernels have no namespace of time.
    let namespace = format!("{}.{}", namespace("pid")?, namespace("time").unwrap_or_default());
    Some(Process { boot, namespace, pid, start: start_of(pid)? })
}

/// Whether there is no process of this number and start in the namespaces of this one.
pub fn is_gone(pid: u32, start: u64) -> bool {
    platform::is_no_process(pid) || start_of(pid).is_some_and(|now| now != start)
}

/// When a process started, in ticks of the kernel since that was started; `None`: it can not be told.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, in brackets, and may have any character.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The number of a namespace of this process, from a link such as `pid:[4026531836]`.
fn namespace(kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    link.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn this_process_is_there_and_no_other_of_its_number() {
        let own = own().unwrap();
        assert_eq!(own.pid, std::process::id());
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        assert!(!is_gone(own.pid, own.start));
        assert!(is_gone(own.pid, own.start + 1), "the number was another one's before");
    }

    #[test]
    fn a_child_is_there_stopped_or_not_until_it_has_been_waited_for() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let (pid, start) = (child.id(), start_of(child.id()).unwrap());
        let stop = Command::new("kill").args(["-STOP", &pid.to_string()]).status().unwrap();
        assert!(stop.success() && !is_gone(pid, start));
        child.kill().unwrap();
        assert!(!is_gone(pid, start), "who has started it has not heard of its end");
        child.wait().unwrap();
        assert!(is_gone(pid, start));
    }

    #[test]
    fn numbers_that_no_process_has_are_gone_and_groups_are_none() {
        assert!(is_gone(u32::MAX, 1), "no number of a process");
        assert!(!is_gone(0, 1), "who asks for it asks for its own group");
    }
}
