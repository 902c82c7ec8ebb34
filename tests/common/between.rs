//! What stands between a client and its etcd.
#![allow(dead_code, clippy::indexing_slicing, reason = "each test program uses its own part")]
#![allow(unsafe_code, reason = "a proxy that dies with its test")]

use super::etcd::{EtcdServer, free_port, new_folder, program};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, sleep_until, timeout};

/// A grpc-proxy of etcd's own. Start it on the test's own thread: it dies with the thread that started it.
pub struct GrpcProxy {
    port: u16,
    process: Child,
}

impl GrpcProxy {
    /// Starts one in front of `etcd` and waits until it takes connections.
    pub fn start(etcd: &EtcdServer, flags: &[&str]) -> GrpcProxy {
        let port = free_port();
        let folder = new_folder();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new(program("etcd", "PRIMACY_ETCD"));
        command
            .args(["grpc-proxy", "start", "--endpoints", &etcd.endpoint()])
            .args(["--listen-addr", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(folder.join("data"))
            .args(flags)
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
        let process = command.spawn().unwrap();
        let proxy = GrpcProxy { port, process };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "the proxy does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for GrpcProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It goes to the etcd.
    Served,
    /// It is taken, and nothing is ever said.
    Silent,
    /// It goes to the etcd, and ends after so long.
    EndsAfter(Duration),
    /// It goes to the etcd; what is said takes so long each way.
    Slow(Duration),
}

/// A TCP proxy that decides by the number of a connection what becomes of it.
pub struct Balancer {
    port: u16,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Balancer {
    pub fn start(etcd: &EtcdServer, fate: impl Fn(u64) -> Fate + Send + 'static) -> Balancer {
        let to = etcd.port();
        Balancer::run(async move |listener: TcpListener| {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(carry(stream, to, fate(number)));
            }
        })
    }

    /// An HTTP/2 proxy that tells each connection to go away after `after`, and ends it when its calls have ended.
    pub fn that_says_goaway(etcd: &EtcdServer, after: Duration) -> Balancer {
        let to = etcd.port();
        Balancer::run(async move |listener: TcpListener| {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(goes_away(stream, to, after));
            }
        })
    }

    fn run<F, R>(serve: F) -> Balancer
    where
        F: FnOnce(TcpListener) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(serve(listener));
        Balancer { port, runtime: Some(runtime) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn carry(mut near: TcpStream, to: u16, fate: Fate) {
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    match fate {
        Fate::Served => _ = tokio::io::copy_bidirectional(&mut near, &mut far).await,
        Fate::EndsAfter(after) => {
            let _ = timeout(after, tokio::io::copy_bidirectional(&mut near, &mut far)).await;
        }
        Fate::Silent => while near.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {},
        Fate::Slow(delay) => {
            // The handshake, which the kernel has done already.
            sleep(delay * 2).await;
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::join!(slowly(from_near, to_far, delay), slowly(from_far, to_near, delay));
        }
    }
}

async fn slowly(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
) {
    let (hold, mut held) = tokio::sync::mpsc::unbounded_channel();
    let reading = async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let _ = hold.send((tokio::time::Instant::now() + delay, bytes[..read].to_vec()));
        }
    };
    let writing = async move {
        while let Some((at, bytes)) = held.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}

async fn goes_away(near: TcpStream, to: u16, after: Duration) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(far)).await;
    let Ok((sender, connection)) = handshake else { return };
    tokio::spawn(connection);
    let pass = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(near), pass);
    let mut serving = std::pin::pin!(serving);
    if timeout(after, serving.as_mut()).await.is_err() {
        serving.as_mut().graceful_shutdown();
        let _ = serving.await;
    }
}
