//! Sockets that carry whole messages, and descriptors with them. Nothing here blocks, and no SIGPIPE comes of it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::Message;

/// The longest message.
const LONGEST: usize = 64 << 10;
/// One descriptor.
const SPACE: usize = rustix::cmsg_space!(ScmRights(1));

/// A message and the descriptor that came with it, or the end.
pub type Received = io::Result<Option<(Message, Option<OwnedFd>)>>;

/// Two that are connected. Both are closed by an exec.
///
/// # Errors
/// No descriptor or memory left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Whether it is one of the kind that [`pair`] makes.
pub fn is_one(socket: impl AsFd) -> bool {
    sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET)
}

/// Sends a message, with a descriptor if there is one.
///
/// # Errors
/// The other end is closed (`BrokenPipe`), or takes nothing more for now (`WouldBlock`): then it was not sent.
pub fn send(socket: impl AsFd, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > LONGEST {
        return Err(io::Error::other(format!("a message of {} bytes", bytes.len())));
    }
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        with.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    match sendmsg(socket, &[IoSlice::new(&bytes)], &mut with, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) => Ok(()),
        // Closed with something unread in it.
        Err(Errno::CONNRESET) => Err(io::ErrorKind::BrokenPipe.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends it for both: the other end finds it closed. What has arrived here can still be taken.
pub fn hang_up(socket: impl AsFd) {
    // It can fail only if the other end is closed already.
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

/// Takes the next message, and the descriptor that came with it; `None`: the other end is closed, and all was taken.
///
/// # Errors
/// `WouldBlock`: there is none for now. `InvalidData`: it is none of ours.
pub fn receive(socket: &OwnedFd) -> Received {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut with, flags) {
        Ok(received) => received,
        // Closed with something unread in it.
        Err(Errno::CONNRESET) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let descriptor = with.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let bytes = bytes.get(..received.bytes).unwrap_or_default();
    match serde_json::from_slice(bytes) {
        Ok(message) => Ok(Some((message, descriptor))),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// The same, and waits for it.
///
/// # Errors
/// As [`receive`], but for `WouldBlock`.
pub async fn received(socket: &AsyncFd<Arc<OwnedFd>>) -> Received {
    socket.async_io(Interest::READABLE, |socket| receive(socket)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANTED: Message = Message::Granted { lease: i64::MAX, ttl_ms: 10_000 };

    #[test]
    fn messages_arrive_whole_and_in_order_with_their_descriptors_and_then_the_end() {
        let (ours, theirs) = pair().unwrap();
        let (carried, other) = pair().unwrap();
        send(&ours, &Message::Hello { version: 1 }, Some(carried.as_fd())).unwrap();
        send(&ours, &GRANTED, None).unwrap();
        drop((ours, carried));
        let (hello, descriptor) = receive(&theirs).unwrap().unwrap();
        assert!(hello == Message::Hello { version: 1 });
        send(descriptor.unwrap(), &GRANTED, None).unwrap();
        assert!(receive(&other).unwrap().unwrap().0 == GRANTED);
        assert!(receive(&theirs).unwrap().unwrap().0 == GRANTED);
        assert!(receive(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_closed_or_full_end_and_what_is_no_message_are_errors() {
        let (ours, theirs) = pair().unwrap();
        assert_eq!(receive(&ours).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        for none in ["{\"sing\":1}", "{"] {
            rustix::net::send(&theirs, none.as_bytes(), SendFlags::empty()).unwrap();
            assert_eq!(receive(&ours).err().unwrap().kind(), io::ErrorKind::InvalidData, "{none}");
        }
        while send(&ours, &GRANTED, None).is_ok() {}
        assert_eq!(send(&ours, &GRANTED, None).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        assert_eq!(send(&ours, &GRANTED, None).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn another_kind_of_descriptor_is_none() {
        assert!(is_one(pair().unwrap().0));
        assert!(!is_one(std::os::unix::net::UnixStream::pair().unwrap().0));
        assert!(!is_one(std::fs::File::open("/dev/null").unwrap()));
    }
}
