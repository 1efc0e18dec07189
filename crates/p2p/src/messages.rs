//! Direct messages: unsigned-varint length, then that many bytes, over one long-lived stream per peer and protocol.
//!
//! The receiver answers with one byte (taken up, or refused because of its bounds) and then, as unsigned varints,
//! the running count of frames that its owner's queue has taken. A reset looks like a plain end of file to a
//! reader, so only this count tells a sender what arrived; what is not counted when the stream ends has failed.
//!
//! Bounds: a frame's bytes; per peer the messages and bytes that are queued or not yet acknowledged; a receiver
//! whose owner is slow stops reading, which in the end fills the sender's queue and refuses the next send.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::{PeerId, StreamProtocol};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::event::{Code, Error, Event, PeerKey};
use crate::node::{open_error, Opener};
use crate::queue::EventQueue;
use crate::streams::{Link, OpenStream, ACCEPTED, REFUSED};

const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a frame may take once its length has been read.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// What had already arrived when a connection closed is still read for so long.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// How often a stream that should move to another connection looks whether it may.
const MOVE_POLL: Duration = Duration::from_millis(50);

/// LEB128, as multiformats' unsigned-varint has it.
pub fn encode_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[derive(Debug, PartialEq, Eq)]
pub enum Read<T> {
    Value(T),
    End,
    Bad(&'static str),
}

/// `End` only where the stream ends before the first byte.
pub async fn read_varint(reader: &mut (impl AsyncRead + Unpin)) -> Read<u64> {
    let mut value = 0u64;
    for index in 0..9 {
        let mut byte = [0u8; 1];
        if reader.read_exact(&mut byte).await.is_err() {
            return if index == 0 { Read::End } else { Read::Bad("a length is cut off") };
        }
        value |= u64::from(byte[0] & 0x7f) << (7 * index);
        if byte[0] < 0x80 {
            return if byte[0] == 0 && index > 0 { Read::Bad("a length is not minimal") } else { Read::Value(value) };
        }
    }
    Read::Bad("a length has more than nine bytes")
}

/// Memory grows with what arrives, not with what the length promises.
pub async fn read_frame(reader: &mut (impl AsyncRead + Unpin), max: usize) -> Read<Vec<u8>> {
    let length = match read_varint(reader).await {
        Read::Value(length) => length,
        Read::End => return Read::End,
        Read::Bad(why) => return Read::Bad(why),
    };
    if length > max as u64 {
        return Read::Bad("a frame is larger than allowed");
    }
    let mut bytes = Vec::with_capacity((length as usize).min(64 << 10));
    match timeout(FRAME_TIMEOUT, reader.take(length).read_to_end(&mut bytes)).await {
        Ok(Ok(read)) if read as u64 == length => Read::Value(bytes),
        Ok(_) => Read::Bad("a frame is cut off"),
        Err(_) => Read::Bad("a frame did not arrive in time"),
    }
}

struct Outgoing {
    request: u64,
    bytes: Vec<u8>,
    _share: Share,
}

/// What one peer's messages, sent but not acknowledged, may occupy.
#[derive(Default)]
struct Budget {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.messages.fetch_sub(1, Ordering::AcqRel);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

struct Peer {
    budget: Arc<Budget>,
    boxes: HashMap<String, mpsc::UnboundedSender<Outgoing>>,
}

/// All outgoing messages. `send` may be called from any thread.
pub struct Outboxes {
    peers: Mutex<HashMap<PeerKey, Peer>>,
    runtime: tokio::runtime::Handle,
    opener: Opener,
    events: Arc<EventQueue>,
    max_frame_bytes: usize,
    max_messages: usize,
    max_bytes: usize,
}

impl Outboxes {
    pub fn new(
        runtime: tokio::runtime::Handle,
        opener: Opener,
        events: Arc<EventQueue>,
        config: &crate::event::Config,
    ) -> Arc<Self> {
        Arc::new(Self {
            peers: Mutex::default(),
            runtime,
            opener,
            events,
            max_frame_bytes: config.max_message_bytes,
            max_messages: config.max_queued_messages,
            max_bytes: config.max_queued_bytes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerKey, Peer>> {
        self.peers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn send(
        self: &Arc<Self>,
        request: u64,
        key: PeerKey,
        peer: PeerId,
        protocol: &StreamProtocol,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if bytes.len() > self.max_frame_bytes {
            return Err(Error::new(
                Code::Invalid,
                format!("a message of {} bytes is larger than the {} allowed", bytes.len(), self.max_frame_bytes),
            ));
        }
        let mut peers = self.lock();
        let entry = peers.entry(key).or_insert_with(|| Peer { budget: Arc::default(), boxes: HashMap::new() });
        let messages = entry.budget.messages.load(Ordering::Acquire);
        let queued = entry.budget.bytes.load(Ordering::Acquire);
        if messages >= self.max_messages || queued + bytes.len() > self.max_bytes {
            return Err(Error::new(
                Code::Exhausted,
                format!(
                    "{messages} messages ({queued} bytes) for {peer} are still unacknowledged; wait until some are"
                ),
            ));
        }
        entry.budget.messages.fetch_add(1, Ordering::AcqRel);
        entry.budget.bytes.fetch_add(bytes.len(), Ordering::AcqRel);
        let share = Share { budget: entry.budget.clone(), bytes: bytes.len() };
        let outgoing = Outgoing { request, bytes: bytes.to_vec(), _share: share };
        let sender = entry.boxes.entry(protocol.to_string()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let outbox = Outbox { all: self.clone(), key, peer, protocol: protocol.clone(), receiver };
            self.runtime.spawn(outbox.run());
            sender
        });
        sender.send(outgoing).map_err(|_| Error::new(Code::Internal, "the sender of this peer has ended"))
    }
}

struct Outbox {
    all: Arc<Outboxes>,
    key: PeerKey,
    peer: PeerId,
    protocol: StreamProtocol,
    receiver: mpsc::UnboundedReceiver<Outgoing>,
}

struct Broken {
    error: Error,
    maybe_delivered: bool,
}

impl Outbox {
    async fn run(mut self) {
        loop {
            if self.retire() {
                return;
            }
            let Some(first) = self.receiver.recv().await else { return };
            let opened = match timeout(OPEN_TIMEOUT, self.all.opener.open(self.peer, self.protocol.clone())).await {
                Ok(opened) => opened.map_err(|error| open_error(&self.peer, &self.protocol, error)),
                Err(_) => Err(Error::new(Code::Timeout, format!("{} took up no stream in time", self.peer))),
            };
            match opened {
                Ok(open) => self.drive(open, first).await,
                Err(error) => {
                    self.fail(first, &error, false);
                    while let Ok(next) = self.receiver.try_recv() {
                        self.fail(next, &error, false);
                    }
                }
            }
        }
    }

    /// Ends this outbox if nothing waits. `send` holds the same lock while it adds, so nothing is lost.
    fn retire(&mut self) -> bool {
        let mut peers = self.all.lock();
        if !self.receiver.is_empty() {
            return false;
        }
        if let Some(entry) = peers.get_mut(&self.key) {
            // A fresh outbox is not in use yet when its first message is already queued, hence the test above.
            entry.boxes.remove(self.protocol.as_ref());
            if entry.boxes.is_empty() {
                peers.remove(&self.key);
            }
        }
        true
    }

    fn fail(&self, outgoing: Outgoing, error: &Error, maybe_delivered: bool) {
        self.all.events.push(Event::SendFailed {
            request: outgoing.request,
            peer: self.key,
            protocol: self.protocol.to_string(),
            maybe_delivered,
            error: error.clone(),
        });
    }

    /// Writes and counts until the stream ends; what is then unacknowledged has failed, what was not begun stays.
    async fn drive(&mut self, open: OpenStream, first: Outgoing) {
        let OpenStream { stream, mut link, .. } = open;
        let mut rank = link.clone();
        let (mut reader, mut writer) = stream.split();
        let unacknowledged = Mutex::new(VecDeque::new());
        let held = || unacknowledged.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let receiver = &mut self.receiver;
        // Counted as unacknowledged before anything can be cancelled, so that no message ends without a report.
        let begin = |mut outgoing: Outgoing| {
            let mut frame = Vec::with_capacity(outgoing.bytes.len() + 4);
            encode_varint(outgoing.bytes.len() as u64, &mut frame);
            frame.append(&mut outgoing.bytes);
            held().push_back(outgoing);
            frame
        };
        let mut frame = begin(first);
        let write = async {
            loop {
                if let Err(error) = writer.write_all(&frame).await {
                    return error.to_string();
                }
                let next = match receiver.try_recv() {
                    Ok(next) => next,
                    Err(_) => {
                        if let Err(error) = writer.flush().await {
                            return error.to_string();
                        }
                        match receiver.recv().await {
                            Some(next) => next,
                            None => return "the network was stopped".into(),
                        }
                    }
                };
                frame = begin(next);
            }
        };
        let count = async {
            let mut answer = [0u8; 1];
            if reader.read_exact(&mut answer).await.is_err() {
                return Broken { error: ended("the stream ended"), maybe_delivered: true };
            }
            match answer[0] {
                ACCEPTED => {}
                REFUSED => {
                    let error = Error::new(Code::Exhausted, "the peer has too many streams open and refused this one");
                    return Broken { error, maybe_delivered: false };
                }
                _ => return Broken { error: ended("the peer answered in another protocol"), maybe_delivered: false },
            }
            let mut acknowledged = 0u64;
            loop {
                match read_varint(&mut reader).await {
                    Read::Value(total) => {
                        let mut held = held();
                        let fresh = total.wrapping_sub(acknowledged);
                        if total < acknowledged || fresh > held.len() as u64 {
                            let error = ended("the peer acknowledged messages that it was not sent");
                            return Broken { error, maybe_delivered: true };
                        }
                        held.drain(..fresh as usize);
                        acknowledged = total;
                    }
                    _ => return Broken { error: ended("the stream ended"), maybe_delivered: true },
                }
            }
        };
        let gone = async {
            until_gone(&mut link).await;
            // An acknowledgement that had already arrived still counts.
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        // The counting side decides: a write that fails first only means that the answer is about to end too.
        let write = write.then(|why| async move {
            tokio::time::sleep(AFTER_CLOSE).await;
            Broken { error: ended(&why), maybe_delivered: true }
        });
        // A direct connection took over: the next message goes there, once all that went here has arrived.
        let outdone = async {
            let _ = rank.wait_for(|link| *link == Link::Outdone).await;
            while !held().is_empty() || *rank.borrow() != Link::Outdone {
                tokio::time::sleep(MOVE_POLL).await;
            }
        };
        let broken = tokio::select! {
            biased;
            broken = count => broken,
            broken = write => broken,
            () = gone => Broken { error: ended("the connection was lost"), maybe_delivered: true },
            () = outdone => return,
        };
        let held = std::mem::take(&mut *unacknowledged.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for outgoing in held {
            self.fail(outgoing, &broken.error, broken.maybe_delivered);
        }
    }
}

fn ended(why: &str) -> Error {
    Error::new(Code::Unavailable, format!("{why} before the message was acknowledged"))
}

/// Returns once the stream's connection is gone.
pub async fn until_gone(link: &mut watch::Receiver<Link>) {
    // An error means that the behaviour itself is gone.
    let _ = link.wait_for(|link| *link == Link::Gone).await;
}

/// Takes frames from one inbound stream until it ends or misbehaves.
pub async fn receive(open: OpenStream, peer: PeerKey, protocol: String, events: Arc<EventQueue>, max_bytes: usize) {
    let OpenStream { stream, mut link, place, .. } = open;
    let (mut reader, mut writer) = stream.split();
    let body = async {
        // Writes may fail while frames that arrived are still to be read, so their failure ends nothing.
        let _ = writer.write_all(&[ACCEPTED]).await;
        let _ = writer.flush().await;
        let mut count = 0u64;
        while let Read::Value(bytes) = read_frame(&mut reader, max_bytes).await {
            events.wait(Event::Message { peer, protocol: protocol.clone(), bytes }).await;
            count += 1;
            let mut answer = Vec::with_capacity(9);
            encode_varint(count, &mut answer);
            if writer.write_all(&answer).await.is_ok() {
                let _ = writer.flush().await;
            }
        }
    };
    let gone = async {
        until_gone(&mut link).await;
        tokio::time::sleep(AFTER_CLOSE).await;
    };
    tokio::select! {
        () = body => {}
        () = gone => {}
    }
    drop(place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    #[tokio::test]
    async fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), (1 << 63) - 1] {
            let mut bytes = Vec::new();
            encode_varint(value, &mut bytes);
            assert_eq!(read_varint(&mut Cursor::new(bytes)).await, Read::Value(value));
        }
    }

    #[tokio::test]
    async fn bad_varints_are_refused() {
        assert_eq!(read_varint(&mut Cursor::new(vec![])).await, Read::End);
        assert!(matches!(read_varint(&mut Cursor::new(vec![0x80])).await, Read::Bad(_)));
        assert!(matches!(read_varint(&mut Cursor::new(vec![0x80, 0])).await, Read::Bad(_)));
        assert!(matches!(read_varint(&mut Cursor::new(vec![0xff; 10])).await, Read::Bad(_)));
    }

    #[tokio::test]
    async fn frames_are_bounded_and_whole() {
        assert_eq!(read_frame(&mut Cursor::new(vec![2, 7, 8]), 2).await, Read::Value(vec![7, 8]));
        assert_eq!(read_frame(&mut Cursor::new(vec![0]), 2).await, Read::Value(vec![]));
        assert!(matches!(read_frame(&mut Cursor::new(vec![3, 7, 8, 9]), 2).await, Read::Bad(_)));
        assert!(matches!(read_frame(&mut Cursor::new(vec![3, 7]), 8).await, Read::Bad(_)));
        let huge = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(read_frame(&mut Cursor::new(huge), 1 << 20).await, Read::Bad(_)));
    }
}
