//! A byte stream that tells whether the other end still speaks, and that can be cut from outside.
//!
//! HTTP/2 alone has neither: a connection to a stopped process stays open until a ping fails, seconds later,
//! and it lives on tasks of its own that outlast whoever wanted it. Cut here, all of it ends by itself.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// As much of the first words is kept as it takes to know HTTP/2 from others, and what it allows at first.
const FIRST_WORDS: usize = 128;
/// The kind of a frame of settings.
const SETTINGS: u8 = 4;
/// What comes before the settings in their frame: length, kind, flags, stream.
const HEADER: usize = 9;
/// The setting of how many streams may be open at a time.
const MOST_STREAMS: [u8; 2] = [0, 3];
/// The kind of a TLS record that says what is wrong.
const TLS_ALERT: u8 = 21;

/// What a connection runs over: TCP, TLS, or a pipe in memory.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// The outside view of a [`Wire`].
#[derive(Default)]
pub(super) struct Line {
    words: AtomicU64,
    first_word: Notify,
    end: Mutex<End>,
}

#[derive(Default)]
struct End {
    cut: bool,
    /// The first bytes that the other end said, up to [`FIRST_WORDS`].
    first: Vec<u8>,
    reader: Option<Waker>,
    error: Option<io::Error>,
}

/// The stream itself, for HTTP/2 to run on.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    line: Arc<Line>,
}

impl Line {
    /// Puts a line on `stream`.
    pub(super) fn on(stream: Box<dyn Stream>) -> (Arc<Line>, Wire) {
        let line = Arc::new(Line::default());
        (line.clone(), Wire { stream, line })
    }

    /// Returns once the other end has said anything at all.
    pub(super) async fn first_word(&self) {
        self.first_word.notified().await;
    }

    /// Whether the first word was not HTTP/2's: what it was.
    pub(super) fn is_no_http2(&self) -> Option<&'static str> {
        match &*self.end().first {
            [b'H', b'T', b'T', b'P', b'/', ..] => Some("it answers in HTTP/1"),
            [TLS_ALERT, 3, ..] => Some("it wants TLS"),
            // A frame's length, then its kind: each side begins with its settings.
            [_, _, _, kind, ..] if *kind != SETTINGS => Some("it answers in something else"),
            _ => None,
        }
    }

    /// How many streams an HTTP/2 server allowed at a time when it first spoke; `None`: as many as one likes.
    pub(super) fn most_streams(&self) -> Option<u32> {
        let end = self.end();
        let [high, middle, low, SETTINGS, ..] = end.first[..] else { return None };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let settings = end.first.get(HEADER..)?;
        let settings = settings.get(..length).unwrap_or(settings).chunks_exact(6);
        settings
            .filter_map(|setting| match *setting {
                [a, b, c, d, e, f] if [a, b] == MOST_STREAMS => Some(u32::from_be_bytes([c, d, e, f])),
                _ => None,
            })
            .next_back()
    }

    /// How often the other end was heard so far.
    pub(super) fn words(&self) -> u64 {
        self.words.load(Ordering::Relaxed)
    }

    /// Ends the stream, for both directions, at once.
    pub(super) fn cut(&self) {
        let reader = {
            let mut end = self.end();
            end.cut = true;
            end.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// What the stream failed of, if it did; once. HTTP/2 keeps the text alone, which cannot tell a refused
    /// certificate from a broken network.
    pub(super) fn error(&self) -> Option<io::Error> {
        self.end().error.take()
    }

    /// Keeps an error and returns one like it.
    fn keep(&self, error: io::Error) -> io::Error {
        let told = io::Error::new(error.kind(), error.to_string());
        self.end().error.get_or_insert(error);
        told
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cut(&self) -> bool {
        self.end().cut
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "connection given up")
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            // Registered before the read, so that a cut in between is not missed.
            let mut end = self.line.end();
            if end.cut {
                return Poll::Ready(Err(cut()));
            }
            if !end.reader.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                end.reader = Some(cx.waker().clone());
            }
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(word) = buffer.filled().get(before..).filter(|word| !word.is_empty()) {
            let words = self.line.words.fetch_add(1, Ordering::Relaxed);
            if words < FIRST_WORDS as u64 {
                let first = &mut self.line.end().first;
                first.extend(word.iter().take(FIRST_WORDS - first.len()));
            }
            if words == 0 {
                self.line.first_word.notify_one();
            }
        }
        read.map_err(|error| self.line.keep(error))
    }
}

impl Wire {
    /// A write that failed. A server that refuses our certificate says why and hangs up, and whether we read
    /// that before we write again is chance: so before it has ever spoken, its last words are waited for.
    fn unwritten<T>(&mut self, cx: &mut Context<'_>, error: io::Error) -> Poll<io::Result<T>> {
        if self.line.words() > 0 {
            return Poll::Ready(Err(self.line.keep(error)));
        }
        let mut scratch = [0; 256];
        match Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut scratch)) {
            Poll::Ready(Err(reason)) => Poll::Ready(Err(self.line.keep(reason))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(self.line.keep(error))),
            // The socket is broken, so that there will be something to read: at least its end. Asked again,
            // it fails to write again.
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.line.is_cut() {
            return Poll::Ready(Err(cut()));
        }
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(Err(error)) => self.unwritten(cx, error),
            written => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_cut() {
            return Poll::Ready(Err(cut()));
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => self.unwritten(cx, error),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_cut() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_cut_line_wakes_its_reader_and_takes_no_more() {
        let (near, _far) = tokio::io::duplex(64);
        let (line, mut wire) = Line::on(Box::new(near));
        let reading = tokio::spawn(async move {
            let error = wire.read_u8().await.unwrap_err();
            (error.kind(), wire.write_all(b"x").await.is_err())
        });
        tokio::task::yield_now().await;
        line.cut();
        assert_eq!(reading.await.unwrap(), (io::ErrorKind::ConnectionAborted, true));
    }

    #[tokio::test]
    async fn a_first_word_that_is_not_http2_is_told() {
        for (said, what) in [
            (&b"\0\0\x12\x04\0\0\0\0\0"[..], None),
            (b"HTTP/1.1 400 Bad Request\r\n", Some("it answers in HTTP/1")),
            (b"\x15\x03\x01\0\x02\x02\x16", Some("it wants TLS")),
            (b"220 mail ready", Some("it answers in something else")),
        ] {
            let (near, mut far) = tokio::io::duplex(64);
            let (line, mut wire) = Line::on(Box::new(near));
            far.write_all(said).await.unwrap();
            assert!(wire.read(&mut [0; 32]).await.unwrap() > 0);
            assert_eq!(line.is_no_http2(), what);
        }
    }

    #[tokio::test]
    async fn how_many_streams_an_etcd_allows_is_read_from_its_first_words() {
        for (said, allowed) in [
            (&b"\0\0\x0c\x04\0\0\0\0\0\0\x05\0\0\x40\0\0\x03\0\0\0\x01"[..], Some(1)),
            (b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0\0\x03\0\0\0\x01", None),
            (b"\0\0\0\x04\0\0\0\0\0", None),
            (b"HTTP/1.1 400 Bad Request\r\n", None),
        ] {
            let (near, mut far) = tokio::io::duplex(64);
            let (line, mut wire) = Line::on(Box::new(near));
            for part in said.chunks(5) {
                far.write_all(part).await.unwrap();
                wire.read_exact(&mut vec![0; part.len()]).await.unwrap();
            }
            assert_eq!(line.most_streams(), allowed);
        }
    }

    #[tokio::test]
    async fn the_first_word_is_the_other_ends_not_its_hanging_up() {
        let (near, far) = tokio::io::duplex(64);
        let (line, mut wire) = Line::on(Box::new(near));
        drop(far);
        assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(line.words(), 0);

        let (near, mut far) = tokio::io::duplex(64);
        let (line, mut wire) = Line::on(Box::new(near));
        far.write_all(b"hello").await.unwrap();
        assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 5);
        line.first_word().await;
        assert_eq!(line.words(), 1);
    }
}
