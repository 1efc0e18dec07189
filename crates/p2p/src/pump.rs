//! A raw stream as one end of a socket pair, copied in chunks of 256 KiB.
//!
//! On the wire each direction is a sequence of chunks, an unsigned-varint length and that many bytes; length 0 is
//! the end. A stream that ends without one was reset, however plain its end of file looks to a reader. The
//! acceptor's direction starts with one byte: taken up, or refused because of its bounds. Protocols that others defined
//! have none of this (`Wire::Plain`): there an end of file is all that there is to tell an end by.
//!
//! Bounds: two buffers of 256 KiB per stream. A local side that does not read holds back the peer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use crate::event::StreamEnd;
use crate::messages::until_gone;
use crate::streams::OpenStream;

const CHUNK_BYTES: usize = 256 << 10;
/// Room for the length before a chunk: three bytes hold up to 2 MiB.
const HEADER_BYTES: usize = 3;
/// What had already arrived when a connection closed is still delivered for so long.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// How the owner gives up on a stream.
#[derive(Default)]
pub struct Abort {
    asked: AtomicBool,
    notify: Notify,
}

impl Abort {
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    async fn wait(&self) {
        while !self.asked.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
    }
}

/// What the bytes of a stream look like between the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Chunks,
    Plain,
}

#[derive(Debug, PartialEq, Eq)]
enum Broken {
    Here,
    There,
}

async fn upload(
    mut local: impl tokio::io::AsyncRead + Unpin,
    mut remote: impl AsyncWrite + Unpin,
    wire: Wire,
    abort: &Abort,
) -> Result<(), Broken> {
    let mut buffer = vec![0u8; HEADER_BYTES + CHUNK_BYTES];
    loop {
        let read = local.read(&mut buffer[HEADER_BYTES..]).await.map_err(|_| Broken::Here)?;
        if read == 0 {
            // The owner asks before it closes its end, so that giving up is never taken for a clean end.
            if abort.asked.load(Ordering::Acquire) {
                return Err(Broken::Here);
            }
            if wire == Wire::Chunks {
                remote.write_all(&[0]).await.map_err(|_| Broken::There)?;
            }
            remote.flush().await.map_err(|_| Broken::There)?;
            // The peer may be gone already, having got everything: the end chunk is what counts.
            let _ = remote.close().await;
            return Ok(());
        }
        let start = if wire == Wire::Chunks { put_header(&mut buffer, read) } else { HEADER_BYTES };
        remote.write_all(&buffer[start..HEADER_BYTES + read]).await.map_err(|_| Broken::There)?;
        remote.flush().await.map_err(|_| Broken::There)?;
    }
}

/// Writes the length so that it ends where the chunk starts; returns where it starts itself.
fn put_header(buffer: &mut [u8], length: usize) -> usize {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    crate::messages::encode_varint(length as u64, &mut header);
    let start = HEADER_BYTES - header.len();
    buffer[start..HEADER_BYTES].copy_from_slice(&header);
    start
}

/// Reads the chunk structure from bytes that come in any pieces.
#[derive(Default)]
struct Chunks {
    left: u64,
    header: u64,
    shift: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// So many bytes from the front belong to a chunk.
    Data(usize),
    /// So many bytes from the front were a header or part of one.
    Header(usize),
    End,
    Bad,
}

impl Chunks {
    fn next(&mut self, bytes: &[u8]) -> Piece {
        if self.left > 0 {
            let take = self.left.min(bytes.len() as u64);
            self.left -= take;
            return Piece::Data(take as usize);
        }
        for (index, byte) in bytes.iter().enumerate() {
            if self.shift >= 28 {
                return Piece::Bad;
            }
            self.header |= u64::from(byte & 0x7f) << self.shift;
            self.shift += 7;
            if *byte < 0x80 {
                if self.header == 0 {
                    return if self.shift == 7 { Piece::End } else { Piece::Bad };
                }
                self.left = self.header;
                self.header = 0;
                self.shift = 0;
                return Piece::Header(index + 1);
            }
        }
        Piece::Header(bytes.len())
    }
}

/// Reads what there is without waiting, as much as fits, and waits only for the first byte: a transport hands its
/// frames on one by one (16 KiB of Yamux), and to pass each of them on alone would cost two system calls apiece.
struct Gatherer<R> {
    remote: R,
    /// How the other side ended, seen while something was still to be handed on.
    end: Option<std::io::Result<()>>,
}

impl<R: AsyncRead + Unpin> Gatherer<R> {
    /// At least one byte, or 0 at the end.
    async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(end) = self.end.take() {
            return end.map(|()| 0);
        }
        let mut filled = self.remote.read(buffer).await?;
        while filled > 0 && filled < buffer.len() {
            match self.remote.read(&mut buffer[filled..]).now_or_never() {
                Some(Ok(0)) => self.end = Some(Ok(())),
                Some(Ok(count)) => {
                    filled += count;
                    continue;
                }
                Some(Err(error)) => self.end = Some(Err(error)),
                None => {}
            }
            break;
        }
        Ok(filled)
    }
}

async fn download(
    remote: impl AsyncRead + Unpin,
    mut local: impl tokio::io::AsyncWrite + Unpin,
    wire: Wire,
) -> Result<(), Broken> {
    let mut buffer = vec![0u8; CHUNK_BYTES];
    let mut chunks = Chunks::default();
    let mut remote = Gatherer { remote, end: None };
    loop {
        let read = remote.read(&mut buffer).await.map_err(|_| Broken::There)?;
        if read == 0 {
            if wire == Wire::Chunks {
                return Err(Broken::There);
            }
            let _ = local.shutdown().await;
            return Ok(());
        }
        if wire == Wire::Plain {
            local.write_all(&buffer[..read]).await.map_err(|_| Broken::Here)?;
            continue;
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            match chunks.next(rest) {
                Piece::Data(count) => {
                    local.write_all(&rest[..count]).await.map_err(|_| Broken::Here)?;
                    rest = &rest[count..];
                }
                Piece::Header(count) => rest = &rest[count..],
                Piece::End => {
                    let _ = local.shutdown().await;
                    return Ok(());
                }
                Piece::Bad => return Err(Broken::There),
            }
        }
    }
}

/// Copies until both directions have ended, one broke, the owner gave up or the connection went.
pub async fn pump(open: OpenStream, local: UnixStream, wire: Wire, abort: Arc<Abort>) -> StreamEnd {
    let OpenStream { stream, mut link, place, .. } = open;
    let (remote_reader, remote_writer) = stream.split();
    let (local_reader, local_writer) = local.into_split();
    let up = upload(local_reader, remote_writer, wire, &abort);
    let down = download(remote_reader, local_writer, wire);
    let body = async { tokio::try_join!(up, down) };
    let mut watch = link.clone();
    let gone = async {
        until_gone(&mut link).await;
        tokio::time::sleep(AFTER_CLOSE).await;
    };
    let end = tokio::select! {
        biased;
        () = abort.wait() => StreamEnd::Reset,
        end = body => match end {
            Ok(_) => StreamEnd::Clean,
            Err(Broken::Here) => StreamEnd::Reset,
            // A lost connection breaks its streams a moment before it is reported.
            Err(Broken::There) => match tokio::time::timeout(AFTER_CLOSE / 2, until_gone(&mut watch)).await {
                Ok(()) => StreamEnd::PeerGone,
                Err(_) => StreamEnd::Reset,
            },
        },
        () = gone => StreamEnd::PeerGone,
    };
    drop(place);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8], step: usize) -> (Vec<u8>, Option<Piece>) {
        let mut chunks = Chunks::default();
        let mut data = Vec::new();
        for part in bytes.chunks(step) {
            let mut rest = part;
            while !rest.is_empty() {
                match chunks.next(rest) {
                    Piece::Data(count) => {
                        data.extend_from_slice(&rest[..count]);
                        rest = &rest[count..];
                    }
                    Piece::Header(count) => rest = &rest[count..],
                    end => return (data, Some(end)),
                }
            }
        }
        (data, None)
    }

    #[test]
    fn chunks_are_read_in_any_pieces() {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for length in [1usize, 127, 128, 1000, CHUNK_BYTES] {
            let mut buffer = vec![length as u8; HEADER_BYTES + length];
            let start = put_header(&mut buffer, length);
            wire.extend_from_slice(&buffer[start..]);
            expected.extend(std::iter::repeat_n(length as u8, length));
        }
        wire.push(0);
        for step in [1, 2, 3, 129, 4096, wire.len()] {
            assert_eq!(parse(&wire, step), (expected.clone(), Some(Piece::End)));
        }
        assert_eq!(parse(&wire[..wire.len() - 1], 7), (expected, None));
    }

    /// Hands out these pieces, one a read; nothing stands for "not yet", once.
    struct Pieces(std::collections::VecDeque<Option<std::io::Result<Vec<u8>>>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            match self.0.pop_front() {
                None => std::task::Poll::Ready(Ok(0)),
                Some(None) => {
                    context.waker().wake_by_ref();
                    std::task::Poll::Pending
                }
                Some(Some(Err(error))) => std::task::Poll::Ready(Err(error)),
                Some(Some(Ok(mut piece))) => {
                    let count = piece.len().min(buffer.len());
                    let rest = piece.split_off(count);
                    buffer[..count].copy_from_slice(&piece);
                    if !rest.is_empty() {
                        self.0.push_front(Some(Ok(rest)));
                    }
                    std::task::Poll::Ready(Ok(count))
                }
            }
        }
    }

    fn gather(pieces: Vec<Option<std::io::Result<Vec<u8>>>>, room: usize) -> Vec<Result<Vec<u8>, std::io::ErrorKind>> {
        let mut gatherer = Gatherer { remote: Pieces(pieces.into()), end: None };
        let mut buffer = vec![0u8; room];
        let mut reads = Vec::new();
        futures::executor::block_on(async {
            loop {
                match gatherer.read(&mut buffer).await {
                    Ok(0) => return,
                    Ok(count) => reads.push(Ok(buffer[..count].to_vec())),
                    Err(error) => return reads.push(Err(error.kind())),
                }
            }
        });
        reads
    }

    #[test]
    fn what_is_there_is_read_at_once_and_nothing_is_waited_for() {
        let pieces = || vec![Some(Ok(vec![1, 2])), Some(Ok(vec![3])), None, Some(Ok(vec![4, 5, 6]))];
        assert_eq!(gather(pieces(), 10), [Ok(vec![1, 2, 3]), Ok(vec![4, 5, 6])]);
        assert_eq!(gather(pieces(), 2), [Ok(vec![1, 2]), Ok(vec![3]), Ok(vec![4, 5]), Ok(vec![6])]);
    }

    #[test]
    fn what_came_before_an_error_is_not_lost_and_the_error_neither() {
        let broken = || Some(Err(std::io::ErrorKind::ConnectionReset.into()));
        let reset = Err(std::io::ErrorKind::ConnectionReset);
        assert_eq!(gather(vec![Some(Ok(vec![1])), broken()], 10), [Ok(vec![1]), reset.clone()]);
        assert_eq!(gather(vec![broken()], 10), [reset]);
    }

    #[test]
    fn bad_chunk_lengths_are_refused() {
        assert_eq!(parse(&[0x80, 0x00], 1).1, Some(Piece::Bad));
        assert_eq!(parse(&[0xff, 0xff, 0xff, 0xff, 0xff], 2).1, Some(Piece::Bad));
    }
}
