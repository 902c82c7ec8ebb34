//! Real etcd processes: on free loopback ports, in a folder of their own, ended with the test.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::Client;

pub struct Etcd {
    child: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

/// The servers to compare with.
pub fn binaries() -> Vec<PathBuf> {
    if let Ok(list) = std::env::var("PRIMACY_ETCDS") {
        return list.split(',').map(str::trim).filter(|s| !s.is_empty()).map(PathBuf::from).collect();
    }
    if let Ok(one) = std::env::var("PRIMACY_ETCD") {
        return vec![one.into()];
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let mut found: Vec<PathBuf> = std::fs::read_dir(tools)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("etcd-")))
        .map(|path| if path.is_dir() { path.join("etcd") } else { path })
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|p| p.is_file())
    });
    found.extend(on_path);
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Etcd {
    pub fn start(binary: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let endpoint = format!("http://127.0.0.1:{}", free_port());
        let peer = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new(binary);
        command
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // SAFETY: between fork and exec only this system call is made.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        Etcd { child, endpoint, folder }
    }

    /// A client, once the server answers.
    pub async fn client(&self) -> Client {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let mut client = Client::connect([&self.endpoint], None).await.unwrap();
            match tokio::time::timeout(Duration::from_secs(1), client.get("a", None)).await {
                Ok(Ok(_)) => return client,
                other if Instant::now() > give_up => {
                    let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                    panic!("etcd does not answer: {other:?}\n{log}");
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
