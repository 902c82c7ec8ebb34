//! A real etcd for one test: on free ports, in a folder of its own, dead when the test ends.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(unsafe_code, reason = "signals, and servers that die with their test")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// One etcd process. Start it on the test's own thread: it dies with the thread that started it.
pub struct EtcdServer {
    program: PathBuf,
    folder: PathBuf,
    client_port: u16,
    peer_port: u16,
    /// Health and metrics, without TLS in any case.
    health_port: u16,
    flags: Vec<String>,
    scheme: &'static str,
    process: Option<Child>,
}

/// How long a server may take to answer after its start, on a machine that runs other tests as well.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

impl EtcdServer {
    /// Starts one and waits until it serves.
    pub fn start() -> EtcdServer {
        EtcdServer::start_with(&[])
    }

    /// The same, with further flags, such as `--auth-token-ttl=1`.
    pub fn start_with(flags: &[&str]) -> EtcdServer {
        EtcdServer::start_program(&program("etcd", "PRIMACY_ETCD"), flags)
    }

    /// The same, of this program.
    pub fn start_program(program: &Path, flags: &[&str]) -> EtcdServer {
        let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
        let scheme = if flags.iter().any(|f| f.starts_with("--cert-file")) { "https" } else { "http" };
        // Ports are free when they are picked, but not held: somebody else may be faster.
        for _ in 0..5 {
            let mut server = EtcdServer {
                program: program.to_owned(),
                folder: new_folder(),
                client_port: free_port(),
                peer_port: free_port(),
                health_port: free_port(),
                flags: flags.clone(),
                scheme,
                process: None,
            };
            if server.try_restart() {
                return server;
            }
            eprintln!("etcd did not start:\n{}", server.log());
        }
        panic!("etcd does not start");
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.client_port)
    }

    /// The port of clients.
    pub fn port(&self) -> u16 {
        self.client_port
    }

    /// The port that other members use.
    pub fn peer_port(&self) -> u16 {
        self.peer_port
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What it counts, one figure a line.
    pub fn metrics(&self) -> String {
        self.ask("/metrics").expect("etcd tells its metrics")
    }

    /// Stops the process where it is; the kernel still takes connections for it. Returns when it stands: a
    /// signal is sent sooner than all threads have heard of it.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: waits for a child of ours and writes to a local; WUNTRACED does not reap it.
        let pid = unsafe { libc::waitpid(self.pid(), &raw mut status, libc::WUNTRACED) };
        assert!(pid == self.pid() && libc::WIFSTOPPED(status), "etcd stands");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Kills it at once. Its data stay.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same ports and data, killing it first if it runs.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.try_restart(), "etcd does not start again:\n{}", self.log());
    }

    /// Its process.
    pub fn pid(&self) -> libc::pid_t {
        self.process.as_ref().expect("etcd runs").id() as libc::pid_t
    }

    fn signal(&self, signal: i32) {
        // SAFETY: plain system call, on a child of ours that has not been reaped.
        let sent = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(sent, 0, "signal {signal} to etcd");
    }

    fn try_restart(&mut self) -> bool {
        let client = self.endpoint();
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let health = format!("http://127.0.0.1:{}", self.health_port);
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(["--name", "one", "--logger", "zap", "--log-level", "info"])
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("one={peer}")])
            .args(["--listen-metrics-urls", &health])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        self.process = Some(command.spawn().expect("etcd can be run"));
        let started = Instant::now();
        while started.elapsed() < STARTS_WITHIN {
            if self.process.as_mut().is_some_and(|p| p.try_wait().unwrap().is_some()) {
                self.process = None;
                return false;
            }
            if self.is_healthy() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        false
    }

    fn is_healthy(&self) -> bool {
        self.ask("/health").is_ok_and(|answer| answer.contains("\"health\":\"true\""))
    }

    fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.health_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("etcd's data and log stay in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A port that refuses connections for as long as this lives: that of an outgoing connection.
pub struct RefusedPort {
    port: u16,
    _connection: (TcpListener, TcpStream),
}

impl RefusedPort {
    /// Picks one.
    pub fn new() -> RefusedPort {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        RefusedPort { port: stream.local_addr().unwrap().port(), _connection: (listener, stream) }
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A new empty folder.
pub fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("primacy-etcd-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A program of etcd's: what the variable names, what `make NAME` has built, or the one on the PATH.
pub fn program(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // The crates of this workspace lie at its root or below it.
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("target/tools"));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    built
        .chain(std::env::split_paths(&on_path))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("no {name} to test with: run `make {name}`, or set {variable}"))
}
