//! Cables between candidates and the server.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use primacy::embedded::Server;
use primacy::etcd::Dialler;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex,
    split,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::STEP;

/// The cable between one candidate and the server.
#[derive(Clone, Default)]
pub struct Cable(Arc<Mutex<Plug>>);

#[derive(Default)]
struct Plug {
    /// Nothing gets through, nobody is told; what is under way arrives later.
    silent: bool,
    /// What the server says does not get through; what it is told does.
    deaf: bool,
    /// How long everything takes to the other end, on connections that are made from now on.
    length: Duration,
    /// Counts cuts: connections made before the last one are reset.
    cuts: u64,
    waiting: Vec<Waker>,
}

impl Cable {
    pub fn silence(&self, silent: bool) {
        let mut plug = self.plug();
        plug.silent = silent;
        plug.waiting.drain(..).for_each(Waker::wake);
    }

    pub fn deafen(&self, deaf: bool) {
        let mut plug = self.plug();
        plug.deaf = deaf;
        plug.waiting.drain(..).for_each(Waker::wake);
    }

    pub fn lengthen(&self, length: Duration) {
        self.plug().length = length;
    }

    pub fn cut(&self) {
        let mut plug = self.plug();
        plug.cuts += 1;
        plug.waiting.drain(..).for_each(Waker::wake);
    }

    pub fn dialler(&self, server: &Server) -> Dialler {
        let (cable, server) = (self.clone(), server.clone());
        Dialler::of("virtual:1", move || {
            let (cable, server) = (cable.clone(), server.clone());
            async move {
                while cable.plug().silent {
                    sleep(STEP).await;
                }
                let Plug { cuts: made, length, .. } = *cable.plug();
                Wire { stream: over(server.connect(), length), cable, made }
            }
        })
    }

    fn plug(&self) -> MutexGuard<'_, Plug> {
        self.0.lock().unwrap()
    }
}

/// The end of a stream that is so far away.
fn over(near: DuplexStream, length: Duration) -> DuplexStream {
    if length.is_zero() {
        return near;
    }
    let (far, end) = duplex(1 << 20);
    let ((far_in, far_out), (near_in, near_out)) = (split(far), split(near));
    carry(far_in, near_out, length);
    carry(near_in, far_out, length);
    end
}

fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, length: Duration) {
    let (sent, mut under_way) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut part = vec![0; 1 << 16];
        while let Ok(size @ 1..) = from.read(&mut part).await {
            let _ = sent.send((Instant::now() + length, part[..size].to_vec()));
        }
    });
    tokio::spawn(async move {
        while let Some((arrives, part)) = under_way.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&part).await.is_err() {
                break;
            }
        }
    });
}

/// One connection over a cable.
struct Wire {
    stream: DuplexStream,
    cable: Cable,
    made: u64,
}

impl Wire {
    /// Whether bytes pass now, to the server or from it.
    fn pass(&self, cx: &Context<'_>, from_server: bool) -> Poll<io::Result<()>> {
        let mut plug = self.cable.plug();
        if plug.cuts > self.made {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        plug.waiting.push(cx.waker().clone());
        if plug.silent || plug.deaf && from_server { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.pass(cx, true))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.pass(cx, false))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
