//! A crash guard beside this process, where none has started it and the host asks for one.
//!
//! One serves all sessions of the process. It is a process group of its own, so that what is typed at the terminal does not
//! reach it. It inherits one end of a pair of sockets, as its standard input, and stderr; nothing else, and of the
//! environment only where programs and certificates are. It ends once no session has its other end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use super::socket;
use crate::host::lock;

/// What of our environment it has: by these the trusted authorities are found, and itself.
const ENVIRONMENT: [&str; 3] = ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"];

static RUNNING: Mutex<Weak<Helper>> = Mutex::new(Weak::new());

/// See the module. It is told to end when the last session has dropped it.
pub(super) struct Helper {
    socket: Option<OwnedFd>,
    child: Mutex<Option<Child>>,
}

impl Helper {
    /// The one that runs, or a new one.
    pub(super) fn running(program: &str) -> io::Result<Arc<Helper>> {
        let mut running = lock(&RUNNING);
        if let Some(helper) = running.upgrade().filter(|helper| helper.is_running()) {
            return Ok(helper);
        }
        let helper = Arc::new(Helper::start(program)?);
        *running = Arc::downgrade(&helper);
        Ok(helper)
    }

    fn start(program: &str) -> io::Result<Helper> {
        let (ours, theirs) = socket::pair()?;
        let kept = ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(program)
            .args(["guard", "--beside"])
            .env_clear()
            .envs(kept)
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Helper { socket: Some(ours), child: Mutex::new(Some(child)) })
    }

    /// Also reaps it. A host that reaps all its children may have been faster.
    fn is_running(&self) -> bool {
        lock(&self.child).as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Where sessions are introduced.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // By this it ends; who has copies of our descriptors, such as a forked child, may delay that.
        self.socket = None;
        if let Some(mut child) = lock(&self.child).take() {
            // Without a thread it stays a zombie until this process ends.
            let reap = move || _ = child.wait();
            let _ = thread::Builder::new().name("primacy-guard".into()).spawn(reap);
        }
    }
}
