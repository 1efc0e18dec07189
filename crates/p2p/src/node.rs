//! The swarm and the loop that owns it.
//!
//! Bounds: libp2p's connection limits; dials through a router (budget.rs); relays (reach.rs); provider records
//! (providers.rs); addresses per peer and peers in the address book; commands in flight; per peer a rate of gossip;
//! opens that wait for a dial; searches for providers. What outlives its bound gets an error by name.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::transport::ListenerId;
use libp2p::core::ConnectedPoint;
use libp2p::kad::store::RecordStore;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, StreamProtocol, Swarm, SwarmEvent};
use libp2p::{
    autonat, connection_limits, dcutr, gossipsub, identify, kad, mdns, noise, ping, relay, tcp, tls, yamux, Multiaddr,
    PeerId, SwarmBuilder,
};
use sha2::{Digest, Sha256};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::address::{self, key_of, peer_in, peer_of, transport_of, without_peer};
use crate::budget::{self, ADDRESSES_AT_ONCE};
use crate::event::{Attempt, Code, Config, Error, Event, Found, Outcome, PeerKey, Reachability, RelayPolicy, Verdict};
use crate::messages::{self, Outboxes};
use crate::providers::{self, Announcer, MAX_KEY_BYTES};
use crate::pump::{self, Abort, Wire};
use crate::queue::EventQueue;
use crate::rate::Rate;
use crate::reach::{self, Autonat, MAX_RELAYS, OUTDONE_AFTER, RELAY_RETRY};
use crate::streams::{self, OpenError, OpenReply, OpenStream, Place, ACCEPTED, REFUSED};

const KADEMLIA: StreamProtocol = StreamProtocol::new("/meshwork/kad/1.0.0");
const PING: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const TICK: Duration = Duration::from_millis(250);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
const LOOKUP_LAST: Duration = Duration::from_secs(60);
const MAX_COMMANDS: usize = 16_384;
const MAX_PUBLISH_BYTES: usize = 16 << 20;
const MAX_BOOK_PEERS: usize = 4096;
const MAX_BOOK_ADDRESSES: usize = 12;
const MAX_WAITING_OPENS: usize = 4096;
const MAX_UNJUDGED: usize = 8192;
/// Beyond so many connected peers, a peer that Kademlia names is not dialed without need.
const WANTED_PEERS: usize = 64;
/// Searches for providers under way; each asks up to twenty peers.
const MAX_SEARCHES: usize = 32;
/// Providers after which a search ends, and those that one answer may add: who answers may be lying.
const ENOUGH_PROVIDERS: usize = 16;
const PROVIDERS_OF_ANSWER: usize = 8;
const SEARCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a search goes on after it has found the first.
const SEARCH_SETTLES: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
struct Behaviour {
    // Those that deny connections come first: the others count what was admitted.
    limits: connection_limits::Behaviour,
    budget: budget::Behaviour,
    gossip: gossipsub::Behaviour,
    kad: kad::Behaviour<providers::Store>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    streams: streams::Behaviour,
    autonat: Autonat,
    relay_client: relay::client::Behaviour,
    relay_server: relay::Behaviour,
    dcutr: dcutr::Behaviour,
}

enum Command {
    Open { peer: PeerId, protocol: StreamProtocol, preferred: Option<&'static str>, reply: OpenReply },
    Publish { request: u64, topic: u16, bytes: Vec<u8> },
    Judge { id: [u8; 32], verdict: Verdict },
    Dial { request: u64, address: Multiaddr },
    ConnectBy { request: u64, peer: PeerId, transport: &'static str },
    Disconnect { peer: PeerId },
    Doctor { request: u64, peer: Option<PeerId>, addresses: Vec<Multiaddr> },
    Provide { key: kad::RecordKey },
    StopProviding { key: kad::RecordKey },
    FindProviders { request: u64, key: kad::RecordKey },
    Stop,
}

/// Asks the loop for streams.
#[derive(Clone)]
pub struct Opener(mpsc::UnboundedSender<Command>);

impl Opener {
    pub async fn open(&self, peer: PeerId, protocol: StreamProtocol) -> Result<OpenStream, OpenError> {
        self.open_by(peer, protocol, None).await
    }

    /// Over a connection of that transport, if there is one.
    pub async fn open_by(
        &self,
        peer: PeerId,
        protocol: StreamProtocol,
        preferred: Option<&'static str>,
    ) -> Result<OpenStream, OpenError> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Command::Open { peer, protocol, preferred, reply });
        answer.await.unwrap_or_else(|_| Err(OpenError::Broken("the connection was lost".into())))
    }
}

pub fn open_error(peer: &PeerId, protocol: &StreamProtocol, error: OpenError) -> Error {
    match error {
        OpenError::NotConnected(why) => Error::new(Code::Unavailable, why),
        OpenError::Unsupported => Error::new(Code::Unsupported, format!("{peer} does not speak {protocol}")),
        OpenError::Timeout => Error::new(Code::Timeout, format!("{peer} did not take up {protocol} in time")),
        OpenError::Refused => {
            Error::new(Code::Exhausted, format!("{peer} has too many streams open and refused this one"))
        }
        OpenError::Broken(why) => Error::new(Code::Unavailable, format!("{peer} broke the stream off: {why}")),
    }
}

/// The raw streams that are open: their bounds and the way to give one up.
struct Streams {
    next: AtomicU64,
    total: Arc<AtomicUsize>,
    max_total: usize,
    max_per_peer: usize,
    open: Mutex<HashMap<u64, Arc<Abort>>>,
    outbound: Mutex<HashMap<PeerKey, Arc<AtomicUsize>>>,
}

impl Streams {
    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn place_for(&self, peer: PeerKey) -> Option<Place> {
        let mut outbound = Self::lock(&self.outbound);
        if outbound.len() > MAX_BOOK_PEERS {
            outbound.retain(|_, count| count.load(Ordering::Acquire) > 0);
        }
        Place::take(outbound.entry(peer).or_default(), self.max_per_peer)
    }

    /// Makes the socket pair, starts the pump, and reports its end. `report` tells of the new stream first.
    fn start(
        self: &Arc<Self>,
        open: OpenStream,
        wire: Wire,
        peer: PeerKey,
        places: [Option<Place>; 2],
        events: &Arc<EventQueue>,
        report: impl FnOnce(u64, OwnedFd) -> Event,
    ) -> Result<(), Error> {
        let pair = || -> std::io::Result<_> {
            let (ours, theirs) = StdUnixStream::pair()?;
            ours.set_nonblocking(true)?;
            theirs.set_nonblocking(true)?;
            Ok((UnixStream::from_std(ours)?, theirs))
        };
        let (ours, theirs) = pair().map_err(|error| {
            Error::new(
                Code::Exhausted,
                format!("no socket pair for the stream: {error}; raise the limit of open files"),
            )
        })?;
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let abort = Arc::new(Abort::default());
        Self::lock(&self.open).insert(id, abort.clone());
        events.push(report(id, theirs.into()));
        let (all, events) = (self.clone(), events.clone());
        tokio::spawn(async move {
            let end = pump::pump(open, ours, wire, abort).await;
            drop(places);
            Self::lock(&all.open).remove(&id);
            events.push(Event::StreamClosed { stream: id, peer, end });
        });
        Ok(())
    }
}

/// A running network. Dropping it stops it.
pub struct Node {
    runtime: Option<Runtime>,
    commands: mpsc::UnboundedSender<Command>,
    in_flight: Arc<AtomicUsize>,
    publishing: Arc<AtomicUsize>,
    next_request: AtomicU64,
    outboxes: Arc<Outboxes>,
    streams: Arc<Streams>,
    events: Arc<EventQueue>,
    message_protocols: Vec<StreamProtocol>,
    stream_protocols: Vec<StreamProtocol>,
    topics: usize,
    max_gossip_bytes: usize,
    max_provided: usize,
    provided: Mutex<HashSet<kad::RecordKey>>,
    key: PeerKey,
    listening: Vec<String>,
    ended: std::sync::mpsc::Receiver<()>,
}

/// libp2p's TCP listeners share their port with whoever asks for it, so that two nodes on one port would each get
/// some of the connections. Listening without that option first finds out.
fn refuse_taken_port(address: &Multiaddr) -> std::io::Result<()> {
    if address::is_circuit(address) {
        return Ok(());
    }
    let port = address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) if port != 0 => Some(port),
        _ => None,
    });
    match (address::ip_of(address), port) {
        (Some(ip), Some(port)) => std::net::TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn parse_protocol(name: &str) -> Result<StreamProtocol, Error> {
    StreamProtocol::try_from_owned(name.to_string())
        .map_err(|_| Error::new(Code::Invalid, format!("the protocol name {name:?} does not start with a slash")))
}

pub fn parse_address(text: &str) -> Result<Multiaddr, Error> {
    text.parse().map_err(|error| {
        let hint = "write it like /ip4/192.0.2.1/tcp/4001 or /ip4/192.0.2.1/udp/4001/quic-v1";
        Error::new(Code::Invalid, format!("{text:?} is not a multiaddress ({error}); {hint}"))
    })
}

impl Node {
    /// Starts listening; an error names the address that failed. `wake` is called when events wait (EventQueue).
    pub fn start(config: Config, wake: Box<dyn Fn() + Send + Sync>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mesh-p2p")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::Internal, format!("no thread for the network: {error}")))?;
        let events = EventQueue::new(config.max_events, config.max_event_bytes, wake);
        let (commands, inbox) = mpsc::unbounded_channel();
        let message_protocols: Vec<_> =
            config.message_protocols.iter().map(|name| parse_protocol(name)).collect::<Result<_, _>>()?;
        let stream_protocols: Vec<_> =
            config.stream_protocols.iter().map(|name| parse_protocol(name)).collect::<Result<_, _>>()?;
        let streams = Arc::new(Streams {
            next: AtomicU64::new(0),
            total: Arc::default(),
            max_total: config.max_streams,
            max_per_peer: config.max_streams_per_peer,
            open: Mutex::default(),
            outbound: Mutex::default(),
        });
        let in_flight = Arc::new(AtomicUsize::new(0));
        let publishing = Arc::new(AtomicUsize::new(0));
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes(config.secret)
            .map_err(|error| Error::new(Code::Invalid, format!("the node's secret is not an Ed25519 seed: {error}")))?;
        let peer = keypair.public().to_peer_id();
        let Some(key) = key_of(&peer) else {
            return Err(Error::new(Code::Internal, "an Ed25519 key gave a PeerId of another kind"));
        };
        let outboxes = Outboxes::new(runtime.handle().clone(), Opener(commands.clone()), events.clone(), &config);
        // Some transports look for the runtime when they are made.
        let guard = runtime.enter();
        let swarm = build(&config, keypair, &message_protocols, &stream_protocols)?;
        drop(guard);
        let mut main = Main::new(
            swarm,
            &config,
            events.clone(),
            streams.clone(),
            (in_flight.clone(), publishing.clone()),
            (message_protocols.clone(), stream_protocols.clone()),
        )?;
        let listening = runtime.block_on(main.listen(&config.listen))?;
        let ending = events.clone();
        let (end, ended) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            // A panic of the loop arrives here as an error instead of silence.
            if let Err(error) = tokio::spawn(main.run(inbox)).await {
                if error.is_panic() {
                    let text = "the network's loop ended by a bug; restart the node and report this";
                    ending.push(Event::Stopped { error: Error::new(Code::Internal, text) });
                }
            }
            let _ = end.send(());
        });
        Ok(Self {
            runtime: Some(runtime),
            commands,
            in_flight,
            publishing,
            next_request: AtomicU64::new(0),
            outboxes,
            streams,
            events,
            message_protocols,
            stream_protocols,
            topics: config.topics.len(),
            max_gossip_bytes: config.max_gossip_bytes,
            max_provided: config.max_provided,
            provided: Mutex::default(),
            key,
            listening,
            ended,
        })
    }

    pub fn key(&self) -> PeerKey {
        self.key
    }

    /// Where it listens, with `/p2p/` and the own PeerId at the end.
    pub fn listening(&self) -> &[String] {
        &self.listening
    }

    /// Events since the last call, oldest first, and whether more are left.
    pub fn drain(&self, max: usize) -> (Vec<Event>, bool) {
        self.events.drain(max)
    }

    fn request(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        if self.in_flight.fetch_add(1, Ordering::AcqRel) >= MAX_COMMANDS {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            return Err(Error::new(Code::Exhausted, "the network has too many commands waiting; try again later"));
        }
        self.commands.send(command).map_err(|_| Error::new(Code::Internal, "the network has stopped"))
    }

    pub fn publish(&self, topic: u16, bytes: &[u8]) -> Result<u64, Error> {
        if usize::from(topic) >= self.topics {
            return Err(Error::new(Code::NotFound, "there is no such topic"));
        }
        // The envelope around the content (author, sequence, signature, topic) fits the rest.
        if bytes.len() + 512 > self.max_gossip_bytes {
            let max = self.max_gossip_bytes.saturating_sub(512);
            let text = format!("a gossip message of {} bytes is larger than the {max} allowed", bytes.len());
            return Err(Error::new(Code::Invalid, text));
        }
        if self.publishing.load(Ordering::Acquire) + bytes.len() > MAX_PUBLISH_BYTES {
            return Err(Error::new(Code::Exhausted, "too many publications are waiting; try again later"));
        }
        let request = self.request();
        self.publishing.fetch_add(bytes.len(), Ordering::AcqRel);
        self.command(Command::Publish { request, topic, bytes: bytes.to_vec() }).inspect_err(|_| {
            self.publishing.fetch_sub(bytes.len(), Ordering::AcqRel);
        })?;
        Ok(request)
    }

    pub fn judge(&self, id: [u8; 32], verdict: Verdict) -> Result<(), Error> {
        self.command(Command::Judge { id, verdict })
    }

    fn peer(&self, key: PeerKey) -> Result<PeerId, Error> {
        if key == self.key {
            return Err(Error::new(Code::Invalid, "a node has no connection to itself"));
        }
        peer_of(&key).ok_or_else(|| Error::new(Code::Invalid, "the key is not a peer's"))
    }

    pub fn send(&self, key: PeerKey, protocol: &str, bytes: &[u8]) -> Result<u64, Error> {
        let Some(protocol) = self.message_protocols.iter().find(|known| known.as_ref() == protocol) else {
            return Err(Error::new(Code::NotFound, format!("{protocol} is not among the message protocols")));
        };
        let request = self.request();
        self.outboxes.send(request, key, self.peer(key)?, protocol, bytes)?;
        Ok(request)
    }

    /// Answered by StreamOpened or StreamRefused with the returned number. It goes over a connection of the preferred
    /// transport, if there is one; no other is made for it. An empty text prefers none.
    pub fn open_stream(&self, key: PeerKey, protocol: &str, preferred: &str) -> Result<u64, Error> {
        let preferred = named_transport(preferred)?;
        let Some(protocol) = self.stream_protocols.iter().find(|known| known.as_ref() == protocol).cloned() else {
            return Err(Error::new(Code::NotFound, format!("{protocol} is not among the stream protocols")));
        };
        let peer = self.peer(key)?;
        let Some(of_all) = Place::take(&self.streams.total, self.streams.max_total) else {
            let text = format!("{} streams are open, which is the most allowed", self.streams.max_total);
            return Err(Error::new(Code::Exhausted, text));
        };
        let Some(of_peer) = self.streams.place_for(key) else {
            let text = format!("{} streams to {peer} are open, which is the most allowed", self.streams.max_per_peer);
            return Err(Error::new(Code::Exhausted, text));
        };
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::new(Code::Internal, "the network has stopped"))?;
        let request = self.request();
        let (opener, streams, events) = (Opener(self.commands.clone()), self.streams.clone(), self.events.clone());
        let wire = wire_of(&protocol);
        runtime.spawn(async move {
            let opened = match timeout(OPEN_TIMEOUT, open_accepted(&opener, peer, &protocol, preferred)).await {
                Ok(opened) => opened,
                Err(_) => Err(OpenError::Timeout),
            };
            let name = protocol.to_string();
            let started = match opened {
                Ok(open) => {
                    let (transport, protocol) = (open.transport, name.clone());
                    let report =
                        |stream, fd| Event::StreamOpened { request, stream, peer: key, protocol, transport, fd };
                    streams.start(open, wire, key, [Some(of_all), Some(of_peer)], &events, report)
                }
                Err(error) => Err(open_error(&peer, &protocol, error)),
            };
            if let Err(error) = started {
                events.push(Event::StreamRefused { request, peer: key, protocol: name, error });
            }
        });
        Ok(request)
    }

    /// Ends a raw stream so that the peer learns it was not a clean end. Unknown numbers are streams that ended.
    pub fn reset_stream(&self, stream: u64) {
        if let Some(abort) = Streams::lock(&self.streams.open).get(&stream) {
            abort.ask();
        }
    }

    pub fn dial(&self, address: &str) -> Result<u64, Error> {
        let address = parse_address(address)?;
        let request = self.request();
        self.command(Command::Dial { request, address })?;
        Ok(request)
    }

    /// Makes a direct connection over that transport beside those that a peer has, at an address that it has told;
    /// answered by DialDone, at once if there is such a connection. Unsupported: nothing is known that could be dialed,
    /// or the peer is not connected directly; Exhausted: a bound of ours, both to be asked again soon.
    pub fn connect_by(&self, key: PeerKey, transport: &str) -> Result<u64, Error> {
        let peer = self.peer(key)?;
        let Some(transport) = named_transport(transport)? else {
            return Err(Error::new(Code::Invalid, "no transport is named"));
        };
        let request = self.request();
        self.command(Command::ConnectBy { request, peer, transport })?;
        Ok(request)
    }

    pub fn disconnect(&self, key: PeerKey) -> Result<(), Error> {
        self.command(Command::Disconnect { peer: self.peer(key)? })
    }

    /// Measures one round trip now; answered by PingDone.
    pub fn ping(&self, key: PeerKey) -> Result<u64, Error> {
        let peer = self.peer(key)?;
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::new(Code::Internal, "the network has stopped"))?;
        let request = self.request();
        let (opener, events) = (Opener(self.commands.clone()), self.events.clone());
        runtime.spawn(async move {
            let result = match timeout(OPEN_TIMEOUT, ping_once(&opener, peer, request)).await {
                Ok(result) => result.map_err(|error| open_error(&peer, &PING, error)),
                Err(_) => Err(Error::new(Code::Timeout, format!("{peer} did not answer in time"))),
            };
            events.push(Event::PingDone { request, peer: key, result });
        });
        Ok(request)
    }

    /// `target` is a multiaddress or a PeerId; answered by DoctorDone.
    pub fn doctor(&self, target: &str) -> Result<u64, Error> {
        let (peer, addresses) = match target.parse::<PeerId>() {
            Ok(peer) => (Some(peer), vec![]),
            Err(_) => {
                let address = parse_address(target)?;
                (peer_in(&address), vec![without_peer(&address)])
            }
        };
        let request = self.request();
        self.command(Command::Doctor { request, peer, addresses })?;
        Ok(request)
    }

    /// Tells the DHT from now on that this node has the content of a key: the bytes of a multihash, for example.
    /// Twice is once.
    pub fn provide(&self, key: &[u8]) -> Result<(), Error> {
        let key = record_key(key)?;
        let mut provided = Streams::lock(&self.provided);
        if provided.contains(&key) {
            return Ok(());
        }
        if provided.len() >= self.max_provided {
            let text = format!("{} keys are provided, which is the most allowed", self.max_provided);
            return Err(Error::new(Code::Exhausted, text));
        }
        self.command(Command::Provide { key: key.clone() })?;
        provided.insert(key);
        Ok(())
    }

    /// Tells it no more. What others have been told they may tell until its lifetime has passed.
    pub fn stop_providing(&self, key: &[u8]) -> Result<(), Error> {
        let key = record_key(key)?;
        let mut provided = Streams::lock(&self.provided);
        if provided.contains(&key) {
            self.command(Command::StopProviding { key: key.clone() })?;
            provided.remove(&key);
        }
        Ok(())
    }

    /// Who says that it has the content of a key; answered by ProvidersFound. Those that are found are dialed.
    pub fn find_providers(&self, key: &[u8]) -> Result<u64, Error> {
        let key = record_key(key)?;
        let request = self.request();
        self.command(Command::FindProviders { request, key })?;
        Ok(request)
    }

    /// Closes every connection and ends the thread.
    pub fn stop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(runtime) = self.runtime.take() {
            // Shutting down cancels what runs, so the goodbyes are waited for first.
            let _ = self.ended.recv_timeout(Duration::from_secs(1));
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn record_key(bytes: &[u8]) -> Result<kad::RecordKey, Error> {
    if bytes.is_empty() || bytes.len() > MAX_KEY_BYTES {
        let text = format!("a key of the DHT has 1 to {MAX_KEY_BYTES} bytes");
        return Err(Error::new(Code::Invalid, text));
    }
    Ok(kad::RecordKey::new(&bytes))
}

/// Streams of our own protocols are chunked, and begin with the byte that says whether they were taken up. Those of
/// protocols that others defined are as they defined them.
fn wire_of(protocol: &StreamProtocol) -> Wire {
    if protocol.as_ref().starts_with("/meshwork/") {
        Wire::Chunks
    } else {
        Wire::Plain
    }
}

/// The transports that a connection may be asked for by; none for an empty name.
fn named_transport(name: &str) -> Result<Option<&'static str>, Error> {
    match name {
        "" => Ok(None),
        "tcp" => Ok(Some("tcp")),
        "quic" => Ok(Some("quic")),
        _ => Err(Error::new(Code::Invalid, format!("{name:?} is not tcp or quic"))),
    }
}

/// Opens a stream and waits until the peer has said that it took it up.
async fn open_accepted(
    opener: &Opener,
    peer: PeerId,
    protocol: &StreamProtocol,
    preferred: Option<&'static str>,
) -> Result<OpenStream, OpenError> {
    let mut open = opener.open_by(peer, protocol.clone(), preferred).await?;
    if wire_of(protocol) == Wire::Plain {
        // Else the peer would hear of the stream only with the first byte that is written.
        open.stream.flush().await.map_err(|error| OpenError::Broken(error.to_string()))?;
        return Ok(open);
    }
    let mut answer = [0u8; 1];
    let mut link = open.link.clone();
    tokio::select! {
        read = open.stream.read_exact(&mut answer) => match (read, answer[0]) {
            (Ok(()), ACCEPTED) => {}
            (Ok(()), REFUSED) => return Err(OpenError::Refused),
            (Ok(()), _) => return Err(OpenError::Broken("it answered in another protocol".into())),
            (Err(error), _) => return Err(OpenError::Broken(error.to_string())),
        },
        () = messages::until_gone(&mut link) => return Err(OpenError::Broken("the connection was lost".into())),
    }
    Ok(open)
}

/// One exchange of the standard ping protocol.
async fn ping_once(opener: &Opener, peer: PeerId, request: u64) -> Result<Duration, OpenError> {
    let OpenStream { mut stream, mut link, .. } = opener.open(peer, PING).await?;
    // The protocol asks for 32 bytes that the peer cannot know beforehand; these bind to nothing else.
    let payload: [u8; 32] = Sha256::digest([request.to_le_bytes(), rtt_salt()].concat()).into();
    let exchange = async {
        let start = Instant::now();
        stream.write_all(&payload).await?;
        stream.flush().await?;
        let mut answer = [0u8; 32];
        stream.read_exact(&mut answer).await?;
        let rtt = start.elapsed();
        let _ = stream.close().await;
        Ok::<_, std::io::Error>((answer, rtt))
    };
    tokio::select! {
        result = exchange => match result {
            Ok((answer, rtt)) if answer == payload => Ok(rtt),
            Ok(_) => Err(OpenError::Broken("it answered another ping".into())),
            Err(error) => Err(OpenError::Broken(error.to_string())),
        },
        () = messages::until_gone(&mut link) => Err(OpenError::Broken("the connection was lost".into())),
    }
}

fn rtt_salt() -> [u8; 8] {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes()
}

type BuildError = Box<dyn std::error::Error + Send + Sync>;

fn gossip(config: &Config, keypair: &libp2p::identity::Keypair) -> Result<gossipsub::Behaviour, BuildError> {
    let settings = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(|message| gossipsub::MessageId::from(Sha256::digest(&message.data).to_vec()))
        .max_transmit_size(config.max_gossip_bytes)
        .flood_publish(true)
        .heartbeat_initial_delay(Duration::from_millis(100))
        .heartbeat_interval(Duration::from_millis(700))
        .build()?;
    let authenticity = gossipsub::MessageAuthenticity::Signed(keypair.clone());
    let mut gossip = gossipsub::Behaviour::new(authenticity, settings)?;
    let mut scores = gossipsub::PeerScoreParams {
        // As many as one relay carries have its address.
        ip_colocation_factor_threshold: reach::MAX_CIRCUITS as f64,
        ..Default::default()
    };
    // Many nodes on one machine are usual; on one address elsewhere they are a sign of a Sybil.
    scores.ip_colocation_factor_whitelist.extend([
        std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    ]);
    // A topic may be quiet for hours, so that delivering little is no fault; delivering what is invalid is one:
    // ten rejected messages within some minutes silence a peer.
    let topic_scores = gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 300.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: gossipsub::score_parameter_decay(Duration::from_secs(60)),
        first_message_deliveries_cap: 50.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: gossipsub::score_parameter_decay(Duration::from_secs(600)),
        ..Default::default()
    };
    for (name, _) in &config.topics {
        scores.topics.insert(gossipsub::IdentTopic::new(name).hash(), topic_scores.clone());
    }
    gossip.with_peer_score(scores, gossipsub::PeerScoreThresholds::default())?;
    for (name, subscribe) in &config.topics {
        if *subscribe {
            gossip.subscribe(&gossipsub::IdentTopic::new(name))?;
        }
    }
    Ok(gossip)
}

fn build(
    config: &Config,
    keypair: libp2p::identity::Keypair,
    messages: &[StreamProtocol],
    streams: &[StreamProtocol],
) -> Result<Swarm<Behaviour>, Error> {
    let internal = |error: BuildError| Error::new(Code::Internal, format!("the network cannot start: {error}"));
    let no_dns = |error: &dyn std::fmt::Display| {
        Error::new(Code::Unavailable, format!("the system's name server settings cannot be read: {error}"))
    };
    let behaviour = |keypair: &libp2p::identity::Keypair,
                     relay_client: relay::client::Behaviour|
     -> Result<Behaviour, BuildError> {
        let peer = keypair.public().to_peer_id();
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(config.max_pending_connections))
            .with_max_pending_outgoing(Some(config.max_pending_connections))
            .with_max_established_incoming(Some(config.max_inbound_connections))
            .with_max_established_outgoing(Some(config.max_outbound_connections))
            .with_max_established_per_peer(Some(config.max_connections_per_peer));
        let mut table = kad::Config::new(KADEMLIA);
        // What peers say is looked at before it is kept, and values are not; what we provide we tell at our own pace.
        table.set_record_filtering(kad::StoreInserts::FilterBoth);
        table.set_provider_record_ttl(Some(config.provider_lifetime));
        table.set_provider_publication_interval(None);
        table.set_periodic_bootstrap_interval(None);
        table.set_query_timeout(Duration::from_secs(20));
        let records = providers::Store::new(peer, config.max_provided, config.max_stored_providers);
        let mut kad = kad::Behaviour::with_config(peer, records, table);
        kad.set_mode(Some(kad::Mode::Server));
        let mdns = if config.mdns { Some(mdns::tokio::Behaviour::new(mdns::Config::default(), peer)?) } else { None };
        let identify = identify::Config::new("/meshwork/1".into(), keypair.public())
            .with_agent_version(config.agent.clone())
            .with_push_listen_addr_updates(true)
            // Its own book of addresses would keep those that are of no use here; ours does not.
            .with_cache_size(0);
        let ping = ping::Config::new().with_interval(config.ping_interval).with_timeout(config.ping_timeout);
        let mut relay_server = relay::Behaviour::new(peer, reach::relay_config());
        let serving = config.relay == RelayPolicy::On;
        relay_server.set_status(Some(if serving { relay::Status::Enable } else { relay::Status::Disable }));
        Ok(Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            budget: budget::Behaviour::new(config.max_dials_per_s, Instant::now()),
            gossip: gossip(config, keypair)?,
            kad,
            mdns: mdns.into(),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            streams: streams::Behaviour::new([messages, streams].concat(), config.max_streams_per_peer),
            autonat: Autonat::new(peer),
            relay_client,
            relay_server,
            dcutr: dcutr::Behaviour::new(peer),
        })
    };
    let security = || (noise::Config::new, tls::Config::new);
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), security(), yamux::Config::default)
        .map_err(|error| internal(error.into()))?
        .with_quic()
        .with_dns()
        .map_err(|error| no_dns(&error))?;
    // The WebSocket phase is asynchronous in its signature only.
    let swarm = futures::executor::block_on(swarm.with_websocket(security(), yamux::Config::default))
        .map_err(|error| no_dns(&error))?;
    let at_once = std::num::NonZeroU8::new(ADDRESSES_AT_ONCE).unwrap_or(std::num::NonZeroU8::MIN);
    Ok(swarm
        .with_relay_client(security(), yamux::Config::default)
        .map_err(|error| internal(error.into()))?
        .with_behaviour(behaviour)
        .map_err(|error| internal(error.into()))?
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(IDLE_TIMEOUT).with_dial_concurrency_factor(at_once)
        })
        .build())
}

struct Link {
    /// Of the peer, without its PeerId; of a relayed connection that the peer opened, our own at the relay.
    address: Multiaddr,
    relayed: bool,
    outbound: bool,
    since: Instant,
    /// `connect_by` made it; and since when none of our streams was seen on it.
    spare: bool,
    idle_since: Option<Instant>,
}

impl Link {
    fn new(endpoint: &ConnectedPoint) -> Self {
        let relayed = endpoint.is_relayed();
        let address = match endpoint {
            ConnectedPoint::Listener { local_addr, .. } if relayed => local_addr,
            _ => endpoint.get_remote_address(),
        };
        Self {
            address: without_peer(address),
            relayed,
            outbound: endpoint.is_dialer(),
            since: Instant::now(),
            spare: false,
            idle_since: None,
        }
    }
}

#[derive(Default)]
struct PeerState {
    connections: HashMap<ConnectionId, Link>,
    speaks_meshwork: Option<bool>,
    rtt: Option<(Duration, Duration)>,
    reason: Option<String>,
    /// It says that it relays.
    relays: bool,
    /// Why the last dial of a direct connection failed, while there was none.
    direct_error: Option<String>,
}

impl PeerState {
    /// The connection that new streams take.
    fn best(&self) -> Option<(&ConnectionId, &Link)> {
        self.connections.iter().min_by_key(|(id, link)| (link.relayed, **id))
    }

    fn is_direct(&self) -> bool {
        self.connections.values().any(|link| !link.relayed)
    }
}

/// A reservation at a relay, or the request for one.
struct Slot {
    listener: ListenerId,
    address: Multiaddr,
    held: bool,
}

struct Bootstrap {
    address: Multiaddr,
    peer: Option<PeerId>,
    dialing: Option<ConnectionId>,
    next: Instant,
    delay: Duration,
    own: bool,
}

/// A search for the providers of a key.
struct Search {
    request: u64,
    found: Vec<PeerId>,
    /// Peers that have answered.
    asked: u32,
    until: Instant,
}

struct Doctor {
    request: u64,
    peer: Option<PeerId>,
    already_connected: bool,
    attempts: Vec<Attempt>,
    dialing: HashMap<ConnectionId, Multiaddr>,
    /// Connected, but not yet known to speak our protocols.
    unidentified: Vec<(PeerId, ConnectionId, Multiaddr, Instant)>,
}

struct Main {
    swarm: Swarm<Behaviour>,
    events: Arc<EventQueue>,
    streams: Arc<Streams>,
    in_flight: Arc<AtomicUsize>,
    publishing: Arc<AtomicUsize>,
    message_protocols: Vec<StreamProtocol>,
    stream_protocols: Vec<StreamProtocol>,
    topics: Vec<gossipsub::IdentTopic>,
    max_message_bytes: usize,
    gossip_per_peer_per_s: u32,
    peers: HashMap<PeerId, PeerState>,
    rates: HashMap<PeerId, Rate>,
    book: HashMap<PeerId, Vec<Multiaddr>>,
    found: HashMap<PeerId, Found>,
    found_by_connection: HashMap<ConnectionId, Found>,
    bootstrap: Vec<Bootstrap>,
    waiting: HashMap<PeerId, Vec<(StreamProtocol, OpenReply)>>,
    searched: HashMap<kad::QueryId, PeerId>,
    announcer: Announcer,
    /// What was last told of it.
    announced: usize,
    searches: HashMap<kad::QueryId, Search>,
    sweep_at: Instant,
    unjudged: HashMap<[u8; 32], PeerId>,
    unjudged_order: VecDeque<[u8; 32]>,
    dials: HashMap<ConnectionId, u64>,
    /// Those of them that `connect_by` wants, and for how long their connections may idle.
    spare_dials: HashSet<ConnectionId>,
    spare_idle: Duration,
    /// The dials under way that try what the book has of a peer.
    known_dials: HashMap<PeerId, ConnectionId>,
    doctors: Vec<Doctor>,
    lookup_at: Instant,
    lookup_delay: Duration,
    relay_policy: RelayPolicy,
    reachability: Reachability,
    relaying: bool,
    slots: HashMap<PeerId, Slot>,
    /// Relays that are not asked again before that time.
    refused: HashMap<PeerId, Instant>,
}

impl Main {
    fn new(
        swarm: Swarm<Behaviour>,
        config: &Config,
        events: Arc<EventQueue>,
        streams: Arc<Streams>,
        (in_flight, publishing): (Arc<AtomicUsize>, Arc<AtomicUsize>),
        (message_protocols, stream_protocols): (Vec<StreamProtocol>, Vec<StreamProtocol>),
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let bootstrap = config
            .bootstrap
            .iter()
            .map(|text| {
                let address = parse_address(text)?;
                let peer = peer_in(&address);
                let own = peer == Some(*swarm.local_peer_id());
                Ok(Bootstrap {
                    address: without_peer(&address),
                    peer,
                    dialing: None,
                    next: now,
                    delay: RETRY_FIRST,
                    own,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            swarm,
            events,
            streams,
            in_flight,
            publishing,
            message_protocols,
            stream_protocols,
            topics: config.topics.iter().map(|(name, _)| gossipsub::IdentTopic::new(name)).collect(),
            max_message_bytes: config.max_message_bytes,
            gossip_per_peer_per_s: config.gossip_per_peer_per_s,
            peers: HashMap::new(),
            rates: HashMap::new(),
            book: HashMap::new(),
            found: HashMap::new(),
            found_by_connection: HashMap::new(),
            bootstrap,
            waiting: HashMap::new(),
            searched: HashMap::new(),
            announcer: Announcer::new(config.announcements_per_s, config.provider_interval, now),
            announced: 0,
            searches: HashMap::new(),
            sweep_at: now + SWEEP,
            unjudged: HashMap::new(),
            unjudged_order: VecDeque::new(),
            dials: HashMap::new(),
            spare_dials: HashSet::new(),
            spare_idle: config.spare_idle,
            known_dials: HashMap::new(),
            doctors: Vec::new(),
            lookup_at: now + RETRY_FIRST,
            lookup_delay: RETRY_FIRST,
            relay_policy: config.relay,
            reachability: Reachability::Unknown,
            relaying: config.relay == RelayPolicy::On,
            slots: HashMap::new(),
            refused: HashMap::new(),
        })
    }

    async fn listen(&mut self, addresses: &[String]) -> Result<Vec<String>, Error> {
        let mut waiting = HashMap::new();
        for text in addresses {
            let failed = |why: String| {
                let way_out = "choose another port, or stop the program that holds it";
                Error::new(Code::Unavailable, format!("cannot listen at {text}: {why}; {way_out}"))
            };
            let address = parse_address(text)?;
            refuse_taken_port(&address).map_err(|error| failed(error.to_string()))?;
            let id = self.swarm.listen_on(address).map_err(|error| match error {
                libp2p::TransportError::MultiaddrNotSupported(_) => {
                    Error::new(Code::Unsupported, format!("no transport of this program can listen at {text}"))
                }
                libp2p::TransportError::Other(error) => failed(address::chain(&error)),
            })?;
            waiting.insert(id, text.clone());
        }
        let all = async {
            while !waiting.is_empty() {
                match self.swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { listener_id, .. } => {
                        waiting.remove(&listener_id);
                    }
                    SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. }
                    | SwarmEvent::ListenerError { listener_id, error } => {
                        if let Some(text) = waiting.get(&listener_id) {
                            let text = format!("cannot listen at {text}: {}", address::chain(&error));
                            return Err(Error::new(Code::Unavailable, text));
                        }
                    }
                    event => self.on_swarm(event),
                }
            }
            Ok(())
        };
        match timeout(LISTEN_TIMEOUT, all).await {
            Ok(result) => result?,
            Err(_) => return Err(Error::new(Code::Timeout, "the system gave no address to listen at in time")),
        }
        let own = *self.swarm.local_peer_id();
        let mut listening: Vec<String> = self
            .swarm
            .listeners()
            .filter_map(|address| address.clone().with_p2p(own).ok())
            .map(|a| a.to_string())
            .collect();
        listening.sort();
        if self.relaying {
            // The owner's word that peers can dial this node: a relay has to tell its own addresses.
            for address in self.swarm.listeners().cloned().collect::<Vec<_>>() {
                self.swarm.add_external_address(address);
            }
            let text = "no peer outside of the private networks was there to try";
            self.tell_reachability(String::new(), text.into());
        }
        Ok(listening)
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // An owner that does not drain holds up the network instead of filling the memory; commands still pass.
            if !self.events.is_roomy() {
                let events = self.events.clone();
                tokio::select! {
                    command = commands.recv() => match command {
                        None | Some(Command::Stop) => return self.close().await,
                        Some(command) => self.on_command(command),
                    },
                    () = events.wait_for_room() => {}
                }
                continue;
            }
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => return self.close().await,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_swarm(event),
                _ = tick.tick() => self.on_tick(Instant::now()),
            }
        }
    }

    /// Says goodbye, so that the peers learn at once and not by a timeout.
    async fn close(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let all = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = timeout(Duration::from_millis(500), all).await;
        // QUIC's last packets leave after its connections are gone from the list.
        let flush = async {
            loop {
                self.swarm.select_next_some().await;
            }
        };
        let _ = timeout(Duration::from_millis(20), flush).await;
    }

    fn remember(&mut self, peer: PeerId, address: &Multiaddr, found: Option<Found>) {
        if peer == *self.swarm.local_peer_id() || key_of(&peer).is_none() {
            return;
        }
        if !self.book.contains_key(&peer) && self.book.len() >= MAX_BOOK_PEERS {
            let victim = self.book.keys().find(|known| !self.peers.contains_key(known)).copied();
            let Some(victim) = victim else { return };
            self.book.remove(&victim);
            self.found.remove(&victim);
        }
        let address = without_peer(address);
        let known = self.book.entry(peer).or_default();
        if let Some(found) = found {
            self.found.entry(peer).or_insert(found);
        }
        if !known.contains(&address) {
            if known.len() >= MAX_BOOK_ADDRESSES {
                known.remove(0);
            }
            known.push(address.clone());
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
        }
    }

    /// Forgets an address that is another's. True if it was known, and others are left.
    fn forget(&mut self, peer: PeerId, address: &Multiaddr) -> bool {
        let address = without_peer(address);
        self.swarm.behaviour_mut().kad.remove_address(&peer, &address);
        let Some(known) = self.book.get_mut(&peer) else { return false };
        let before = known.len();
        known.retain(|other| *other != address);
        known.len() < before && !known.is_empty()
    }

    fn dial_known(&mut self, peer: PeerId) -> Result<(), DialError> {
        let addresses = address::dial_order(self.book.get(&peer).map_or(&[], Vec::as_slice));
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            .build();
        let id = options.connection_id();
        self.swarm.dial(options)?;
        self.known_dials.insert(peer, id);
        Ok(())
    }

    fn on_command(&mut self, command: Command) {
        if !matches!(command, Command::Open { .. }) {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
        match command {
            Command::Open { peer, protocol, preferred, reply } => self.open(peer, protocol, preferred, reply),
            Command::Publish { request, topic, bytes } => self.publish(request, topic, bytes),
            Command::Judge { id, verdict } => self.judge(id, verdict),
            Command::Dial { request, address } => self.dial(request, address),
            Command::ConnectBy { request, peer, transport } => self.connect_by(request, peer, transport),
            Command::Disconnect { peer } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.reason = Some("we closed the connection".into());
                }
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Doctor { request, peer, addresses } => self.doctor(request, peer, addresses),
            Command::Provide { key } => {
                self.announcer.add(key.clone(), Instant::now());
                // Who asks this node hears of it at once. There is room: the owner's side has the same bound.
                let own = kad::ProviderRecord::new(key, *self.swarm.local_peer_id(), vec![]);
                let _ = self.swarm.behaviour_mut().kad.store_mut().add_provider(own);
                self.announce(Instant::now());
            }
            Command::StopProviding { key } => {
                self.announcer.remove(&key);
                self.swarm.behaviour_mut().kad.stop_providing(&key);
                self.tell_announced();
            }
            Command::FindProviders { request, key } => self.find_providers(request, key),
            Command::Stop => {}
        }
    }

    // ---- Providers.

    /// Tells of the keys that are due, as fast as it may.
    fn announce(&mut self, now: Instant) {
        if !self.peers.values().any(|state| state.speaks_meshwork == Some(true)) {
            return;
        }
        while let Some(key) = self.announcer.next(now) {
            if self.swarm.behaviour_mut().kad.start_providing(key.clone()).is_err() {
                self.announcer.ended(&key, false, now);
            }
        }
    }

    fn tell_announced(&mut self) {
        let announced = self.announcer.told();
        if std::mem::replace(&mut self.announced, announced) != announced {
            self.events.push(Event::Announced { keys: announced });
        }
    }

    /// Those of the own keys that a peer is now among the nearest of are told again: nobody else would tell it.
    fn tell_newcomer(&mut self, peer: PeerId, now: Instant) {
        for key in self.announcer.keys() {
            let target = kad::KBucketKey::new(key.clone());
            let mut nearest = self.swarm.behaviour_mut().kad.get_closest_local_peers(&target).take(kad::K_VALUE.get());
            if nearest.any(|near| *near.preimage() == peer) {
                self.announcer.renew(&key, now);
            }
        }
    }

    /// A peer says that it has the content of a key. That it speaks for itself the behaviour has seen to.
    fn on_provider(&mut self, mut record: kad::ProviderRecord) {
        let Some(state) = self.peers.get(&record.provider).filter(|_| key_of(&record.provider).is_some()) else {
            return;
        };
        // Most tell no address with it: then those that identify told are as good.
        if let Some((_, link)) = state.best() {
            record.addresses.retain(|told| address::is_of_use(told, &link.address));
        }
        record.addresses.extend(self.book.get(&record.provider).into_iter().flatten().cloned());
        let mut known = HashSet::new();
        record.addresses = record.addresses.iter().map(without_peer).filter(|one| known.insert(one.clone())).collect();
        record.addresses.truncate(providers::MAX_ADDRESSES);
        // What is past a bound is not kept, and need not be: others have it, or the peer is greedy.
        let _ = self.swarm.behaviour_mut().kad.store_mut().add_provider(record);
    }

    fn find_providers(&mut self, request: u64, key: kad::RecordKey) {
        let refusal = if self.searches.len() >= MAX_SEARCHES {
            Some(Error::new(Code::Exhausted, format!("{MAX_SEARCHES} searches of the DHT are under way already")))
        } else if !self.peers.values().any(|state| state.speaks_meshwork == Some(true)) {
            Some(Error::new(Code::Unavailable, "no peer is connected that could be asked"))
        } else {
            None
        };
        if refusal.is_some() {
            self.events.push(Event::ProvidersFound { request, peers: vec![], asked: 0, error: refusal });
            return;
        }
        let query = self.swarm.behaviour_mut().kad.get_providers(key);
        let search = Search { request, found: vec![], asked: 0, until: Instant::now() + SEARCH_TIMEOUT };
        self.searches.insert(query, search);
    }

    fn on_providers(
        &mut self,
        query: kad::QueryId,
        result: kad::GetProvidersResult,
        (asked, is_last): (u32, bool),
        now: Instant,
    ) {
        let own = *self.swarm.local_peer_id();
        let Some(search) = self.searches.get_mut(&query) else { return };
        search.asked = search.asked.max(asked);
        let mut added = vec![];
        let mut of_key = None;
        if let Ok(kad::GetProvidersOk::FoundProviders { key, providers }) = result {
            let room = PROVIDERS_OF_ANSWER.min(ENOUGH_PROVIDERS.saturating_sub(search.found.len()));
            let new = |peer: &PeerId| *peer != own && key_of(peer).is_some() && !search.found.contains(peer);
            added = providers.into_iter().filter(new).take(room).collect();
            of_key = Some(key);
        }
        search.found.extend(&added);
        if !search.found.is_empty() {
            search.until = search.until.min(now + SEARCH_SETTLES);
        }
        let is_enough = search.found.len() >= ENOUGH_PROVIDERS;
        // What this node keeps itself comes without addresses.
        for record in of_key.map_or_else(Vec::new, |key| self.swarm.behaviour_mut().kad.store_mut().providers(&key)) {
            if added.contains(&record.provider) {
                for address in &record.addresses {
                    self.remember(record.provider, address, Some(Found::Kademlia));
                }
            }
        }
        // At once: while the query lasts, its addresses are known.
        for peer in added {
            if !self.swarm.is_connected(&peer) {
                let _ = self.dial_known(peer);
            }
        }
        if is_last {
            self.end_search(query);
        } else if is_enough {
            self.finish_search(query);
        }
    }

    /// Asks nobody else.
    fn finish_search(&mut self, query: kad::QueryId) {
        if let Some(mut running) = self.swarm.behaviour_mut().kad.query_mut(&query) {
            running.finish();
        }
        self.end_search(query);
    }

    fn end_search(&mut self, query: kad::QueryId) {
        if let Some(search) = self.searches.remove(&query) {
            let peers = search.found.iter().filter_map(key_of).collect();
            let (request, asked) = (search.request, search.asked);
            self.events.push(Event::ProvidersFound { request, peers, asked, error: None });
        }
    }

    fn open(&mut self, peer: PeerId, protocol: StreamProtocol, preferred: Option<&'static str>, reply: OpenReply) {
        if self.swarm.is_connected(&peer) {
            return self.swarm.behaviour_mut().streams.open(peer, protocol, preferred, reply);
        }
        for waiting in self.waiting.values_mut() {
            waiting.retain(|(_, reply)| !reply.is_closed());
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        if self.waiting.values().map(Vec::len).sum::<usize>() >= MAX_WAITING_OPENS {
            let _ = reply.send(Err(OpenError::NotConnected("too many streams wait for a connection".into())));
            return;
        }
        self.waiting.entry(peer).or_default().push((protocol, reply));
        match self.dial_known(peer) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(DialError::NoAddresses) => {
                if self.peers.is_empty() {
                    self.refuse_waiting(peer, &address::sentence(&DialError::NoAddresses, &peer.to_string()));
                } else if !self.searched.values().any(|sought| *sought == peer) {
                    let query = self.swarm.behaviour_mut().kad.get_closest_peers(peer);
                    self.searched.insert(query, peer);
                }
            }
            Err(error) => self.refuse_waiting(peer, &address::sentence(&error, &peer.to_string())),
        }
    }

    fn refuse_waiting(&mut self, peer: PeerId, why: &str) {
        for (_, reply) in self.waiting.remove(&peer).unwrap_or_default() {
            let _ = reply.send(Err(OpenError::NotConnected(why.to_string())));
        }
    }

    fn publish(&mut self, request: u64, topic: u16, bytes: Vec<u8>) {
        self.publishing.fetch_sub(bytes.len(), Ordering::AcqRel);
        let Some(name) = self.topics.get(usize::from(topic)) else { return };
        let name = name.clone();
        let (no_peers, error) = match self.swarm.behaviour_mut().gossip.publish(name, bytes) {
            Ok(_) => return,
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => {
                (true, Error::new(Code::Unavailable, "no connected peer listens to this topic"))
            }
            Err(gossipsub::PublishError::Duplicate) => {
                (false, Error::new(Code::Invalid, "the same bytes were published or received a short while ago"))
            }
            Err(gossipsub::PublishError::AllQueuesFull(peers)) => (
                false,
                Error::new(Code::Exhausted, format!("the queues of all {peers} peers are full; publish slower")),
            ),
            Err(error) => (false, Error::new(Code::Internal, format!("publishing failed: {error}"))),
        };
        self.events.push(Event::NotPublished { request, topic, no_peers, error });
    }

    fn judge(&mut self, id: [u8; 32], verdict: Verdict) {
        let Some(source) = self.unjudged.remove(&id) else { return };
        let acceptance = match verdict {
            Verdict::Accept => gossipsub::MessageAcceptance::Accept,
            Verdict::Reject => gossipsub::MessageAcceptance::Reject,
            Verdict::Ignore => gossipsub::MessageAcceptance::Ignore,
        };
        let id = gossipsub::MessageId::from(id.to_vec());
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&id, &source, acceptance);
    }

    fn dial(&mut self, request: u64, address: Multiaddr) {
        let peer = peer_in(&address);
        if let Some(peer) = peer.filter(|peer| self.swarm.is_connected(peer)) {
            self.events.push(Event::DialDone { request, peer: key_of(&peer), error: None });
            return;
        }
        let bare = without_peer(&address);
        let options = match peer {
            Some(peer) => DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![bare]).build(),
            None => DialOpts::unknown_peer_id().address(bare).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(id, request);
                self.found_by_connection.insert(id, Found::Dialed);
            }
            Err(error) => self.dial_failed(request, peer, &error, &address.to_string()),
        }
    }

    fn dial_failed(&self, request: u64, peer: Option<PeerId>, error: &DialError, asked: &str) {
        let error = Error::new(Code::Unavailable, address::sentence(error, asked));
        self.events.push(Event::DialDone { request, peer: peer.as_ref().and_then(key_of), error: Some(error) });
    }

    /// See Node::connect_by.
    fn connect_by(&mut self, request: u64, peer: PeerId, transport: &'static str) {
        let answer = |code, text: String| {
            let error = Some(Error::new(code, text));
            Event::DialDone { request, peer: key_of(&peer), error }
        };
        let direct = |state: &&PeerState| state.is_direct();
        let Some(state) = self.peers.get(&peer).filter(direct) else {
            let text = format!("{peer} is not connected directly, so that there is nothing to choose from");
            return self.events.push(answer(Code::Unsupported, text));
        };
        if state.connections.values().any(|link| transport_of(&link.address) == transport) {
            return self.events.push(Event::DialDone { request, peer: key_of(&peer), error: None });
        }
        let remote = state.best().map_or_else(Multiaddr::empty, |(_, link)| link.address.clone());
        let known = self.book.get(&peer).map_or(&[][..], Vec::as_slice);
        let addresses = address::beside(&remote, known, transport, usize::from(ADDRESSES_AT_ONCE));
        if addresses.is_empty() {
            let text = format!("{peer} has told of no address over {transport} that could be dialed from here");
            return self.events.push(answer(Code::Unsupported, text));
        }
        let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(addresses).build();
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(id, request);
                self.spare_dials.insert(id);
            }
            Err(error) => {
                let ours = matches!(error, DialError::Denied { .. });
                let code = if ours { Code::Exhausted } else { Code::Unavailable };
                self.events.push(answer(code, address::sentence(&error, &peer.to_string())));
            }
        }
    }

    /// Closes what `connect_by` made and nobody uses, unless the peer would have no better connection left.
    fn close_spare(&mut self, now: Instant) {
        let streams = &self.swarm.behaviour().streams;
        let mut over = Vec::new();
        for (peer, state) in &mut self.peers {
            let best = state.best().map(|(id, _)| *id);
            for (id, link) in state.connections.iter_mut().filter(|(id, link)| link.spare && best != Some(**id)) {
                if !streams.is_idle(peer, *id) {
                    link.idle_since = None;
                } else if now.saturating_duration_since(*link.idle_since.get_or_insert(now)) >= self.spare_idle {
                    over.push(*id);
                }
            }
        }
        for id in over {
            self.swarm.close_connection(id);
        }
    }

    fn doctor(&mut self, request: u64, peer: Option<PeerId>, mut addresses: Vec<Multiaddr>) {
        let asked = peer.map_or_else(String::new, |peer| peer.to_string());
        let mut doctor = Doctor {
            request,
            peer,
            already_connected: peer.is_some_and(|peer| self.swarm.is_connected(&peer)),
            attempts: Vec::new(),
            dialing: HashMap::new(),
            unidentified: Vec::new(),
        };
        if let (Some(peer), true) = (peer, addresses.is_empty()) {
            addresses = self.book.get(&peer).cloned().unwrap_or_default();
        }
        if peer == Some(*self.swarm.local_peer_id()) {
            let text = "this is the node itself".to_string();
            doctor.attempts.push(Attempt { address: String::new(), outcome: Outcome::WrongPeer, text });
            addresses.clear();
        } else if addresses.is_empty() {
            doctor.attempts.extend(address::explain(&DialError::NoAddresses, ""));
        }
        for address in addresses {
            let options = match peer {
                Some(peer) => {
                    DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address.clone()]).build()
                }
                None => DialOpts::unknown_peer_id().address(address.clone()).build(),
            };
            let id = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    self.found_by_connection.insert(id, Found::Dialed);
                    doctor.dialing.insert(id, address);
                }
                Err(DialError::NoAddresses) => {
                    let text = format!("{address} is where this node itself listens");
                    doctor.attempts.push(Attempt { address: address.to_string(), outcome: Outcome::WrongPeer, text });
                }
                Err(error) => {
                    let mut attempts = address::explain(&error, &asked);
                    for attempt in &mut attempts {
                        attempt.address = address.to_string();
                    }
                    doctor.attempts.extend(attempts);
                }
            }
        }
        self.doctors.push(doctor);
        self.end_doctors(Instant::now());
    }

    /// Completes what the last event or the clock decided.
    fn end_doctors(&mut self, now: Instant) {
        let mut superfluous = Vec::new();
        for doctor in &mut self.doctors {
            let peers = &self.peers;
            let attempts = &mut doctor.attempts;
            doctor.unidentified.retain(|(peer, id, address, deadline)| {
                let state = peers.get(peer);
                let (outcome, text) = match state.and_then(|state| state.speaks_meshwork) {
                    Some(true) => (Outcome::Connected, format!("{address} answers")),
                    Some(false) => (
                        Outcome::NotMeshwork,
                        format!("{address} speaks libp2p but not Meshwork: it does not know {KADEMLIA}"),
                    ),
                    None if state.is_none_or(|state| !state.connections.contains_key(id)) => {
                        (Outcome::Failed, format!("{address} took the connection and closed it at once"))
                    }
                    None if *deadline <= now => {
                        (Outcome::NotMeshwork, format!("{address} speaks libp2p but does not say which protocols"))
                    }
                    None => return true,
                };
                if state.is_some_and(|state| state.connections.len() > 1) {
                    superfluous.push(*id);
                }
                attempts.push(Attempt { address: address.to_string(), outcome, text });
                false
            });
        }
        for id in superfluous {
            self.swarm.close_connection(id);
        }
        let (done, open) = std::mem::take(&mut self.doctors)
            .into_iter()
            .partition(|doctor: &Doctor| doctor.dialing.is_empty() && doctor.unidentified.is_empty());
        self.doctors = open;
        for mut doctor in Vec::from_iter::<Vec<Doctor>>(done) {
            doctor.attempts.sort_by(|a, b| a.address.cmp(&b.address));
            self.events.push(Event::DoctorDone {
                request: doctor.request,
                peer: doctor.peer.as_ref().and_then(key_of),
                already_connected: doctor.already_connected,
                attempts: doctor.attempts,
            });
        }
    }

    fn on_tick(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (index, entry) in self.bootstrap.iter_mut().enumerate() {
            let connected = entry.peer.is_some_and(|peer| self.swarm.is_connected(&peer));
            if entry.own || connected || entry.dialing.is_some() || entry.next > now {
                continue;
            }
            let options = match entry.peer {
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(vec![entry.address.clone()])
                    .build(),
                None => DialOpts::unknown_peer_id().address(entry.address.clone()).build(),
            };
            let id = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    entry.dialing = Some(id);
                    self.found_by_connection.insert(id, Found::Bootstrap);
                }
                Err(_) => failed.push(index),
            }
        }
        for index in failed {
            self.bootstrap[index].back_off(now);
        }
        if self.lookup_at <= now {
            // Fails only while the table is empty; identify fills it.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
            if !self.peers.is_empty() {
                self.lookup_delay = (self.lookup_delay * 2).min(LOOKUP_LAST);
            }
            self.lookup_at = now + self.lookup_delay;
        }
        if self.sweep_at <= now {
            self.swarm.behaviour_mut().kad.store_mut().sweep(now);
            self.sweep_at = now + SWEEP;
        }
        self.announce(now);
        let over: Vec<_> = self.searches.iter().filter(|(_, search)| search.until <= now).map(|(id, _)| *id).collect();
        for query in over {
            self.finish_search(query);
        }
        self.rates.retain(|peer, _| self.peers.contains_key(peer));
        self.refused.retain(|_, until| *until > now);
        self.seek_relays();
        self.close_outdone(now);
        self.close_spare(now);
        self.end_doctors(now);
    }

    fn tell_reachability(&self, address: String, text: String) {
        let (reachability, relaying) = (self.reachability, self.relaying);
        self.events.push(Event::ReachabilityChanged { reachability, address, relaying, text });
    }

    fn on_autonat(&mut self, event: autonat::Event) {
        match event {
            autonat::Event::StatusChanged { new, .. } => {
                let (reachability, address, text) = match new {
                    autonat::NatStatus::Public(address) => {
                        (Reachability::Public, without_peer(&address).to_string(), "a peer dialed this node")
                    }
                    autonat::NatStatus::Private => (
                        Reachability::Private,
                        String::new(),
                        "peers that were asked to dial this node could not, so it is behind a NAT or a firewall",
                    ),
                    autonat::NatStatus::Unknown => {
                        (Reachability::Unknown, String::new(), "no peer is left that could try to dial this node")
                    }
                };
                self.reachability = reachability;
                if self.relay_policy == RelayPolicy::Auto {
                    self.relaying = reachability == Reachability::Public;
                    let status = if self.relaying { relay::Status::Enable } else { relay::Status::Disable };
                    self.swarm.behaviour_mut().relay_server.set_status(Some(status));
                }
                self.tell_reachability(address, text.into());
                self.seek_relays();
            }
            // The connection that the dial-back made has done its work.
            autonat::Event::InboundProbe(autonat::InboundProbeEvent::Response { peer, address, .. }) => {
                let dialed = without_peer(&address);
                let superfluous = self.peers.get(&peer).filter(|state| state.connections.len() > 1).and_then(|state| {
                    let newest = state.connections.iter().max_by_key(|(id, _)| **id)?;
                    (newest.1.outbound && newest.1.address == dialed).then_some(*newest.0)
                });
                if let Some(id) = superfluous {
                    self.swarm.close_connection(id);
                }
            }
            _ => {}
        }
    }

    /// Asks for slots at relays while peers cannot dial this node. Slots that are held stay for as long as the relay does.
    fn seek_relays(&mut self) {
        if self.reachability != Reachability::Private || self.slots.len() >= MAX_RELAYS {
            return;
        }
        let candidates = self.peers.iter().filter(|(peer, state)| {
            state.relays && state.is_direct() && !self.slots.contains_key(peer) && !self.refused.contains_key(peer)
        });
        let candidates = candidates.map(|(peer, state)| reach::Candidate {
            peer: *peer,
            is_bootstrap: self.bootstrap.iter().any(|entry| entry.peer == Some(*peer)),
            rtt: state.rtt.map(|(smoothed, _)| smoothed),
        });
        for peer in reach::choose(candidates.collect(), MAX_RELAYS - self.slots.len()) {
            let links = self.peers.get(&peer).into_iter().flat_map(|state| state.connections.values());
            let dialed = links.filter(|link| link.outbound && !link.relayed).min_by_key(|link| link.since);
            let told = self.book.get(&peer).map_or(&[][..], Vec::as_slice);
            let address = reach::relay_address(dialed.map(|link| &link.address), told);
            let asked = address.ok_or_else(|| "no address of it is known that others could use".to_string()).and_then(
                |address| {
                    let circuit = address.clone().with(Protocol::P2p(peer)).with(Protocol::P2pCircuit);
                    let listener = self.swarm.listen_on(circuit).map_err(|error| error.to_string())?;
                    Ok(Slot { listener, address, held: false })
                },
            );
            match asked {
                Ok(slot) => {
                    self.slots.insert(peer, slot);
                }
                Err(why) => self.slot_lost(peer, String::new(), why),
            }
        }
    }

    fn slot_lost(&mut self, peer: PeerId, address: String, text: String) {
        self.refused.insert(peer, Instant::now() + RELAY_RETRY);
        if let Some(key) = key_of(&peer) {
            self.events.push(Event::RelayChanged { peer: key, address, held: false, text });
        }
    }

    fn on_relay_client(&mut self, event: relay::client::Event) {
        let relay::client::Event::ReservationReqAccepted { relay_peer_id, .. } = event else { return };
        let Some(slot) = self.slots.get_mut(&relay_peer_id) else { return };
        if std::mem::replace(&mut slot.held, true) {
            return;
        }
        if let Some(key) = key_of(&relay_peer_id) {
            let (address, text) = (slot.address.to_string(), "it took our reservation".to_string());
            self.events.push(Event::RelayChanged { peer: key, address, held: true, text });
        }
        // Those that wait for the same may be there already, and are known at the relay.
        self.lookup_delay = RETRY_FIRST;
        self.lookup_at = self.lookup_at.min(Instant::now() + RETRY_FIRST);
    }

    fn on_listener_closed(&mut self, listener: ListenerId, why: Option<String>) {
        let Some(peer) = self.slots.iter().find(|(_, slot)| slot.listener == listener).map(|(peer, _)| *peer) else {
            return;
        };
        if let Some(slot) = self.slots.remove(&peer) {
            let gone = if slot.held { "the connection to it ended" } else { "it gave no answer" };
            self.slot_lost(peer, slot.address.to_string(), why.unwrap_or_else(|| gone.to_string()));
        }
    }

    fn on_dcutr(&mut self, event: dcutr::Event) {
        let Some(key) = key_of(&event.remote_peer_id) else { return };
        let last = self.peers.get_mut(&event.remote_peer_id).and_then(|state| state.direct_error.take());
        let (done, text) = match event.result {
            Ok(_) => (true, "a direct connection was made".to_string()),
            Err(error) => {
                (false, [Some(address::chain(&error)), last].into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
        };
        self.events.push(Event::HolePunched { peer: key, done, text: text.chars().take(1024).collect() });
    }

    /// Closes relayed connections whose peers have direct ones by now, so that relays are not held for nothing.
    fn close_outdone(&mut self, now: Instant) {
        for (peer, id) in self.swarm.behaviour().streams.outdone() {
            let settled = self.peers.get(&peer).is_some_and(|state| {
                let old = |link: &Link| now.saturating_duration_since(link.since) >= OUTDONE_AFTER;
                state.connections.values().any(|link| !link.relayed && old(link))
                    && state.connections.get(&id).is_some_and(old)
            });
            if settled {
                self.swarm.close_connection(id);
            }
        }
    }

    /// Says where new streams to a peer go, if that is not where they went before.
    fn tell_path(&self, peer: PeerId, before: Option<ConnectionId>) {
        let (Some(key), Some(best)) = (key_of(&peer), self.peers.get(&peer).and_then(PeerState::best)) else { return };
        if before.is_some_and(|before| before != *best.0) {
            self.events.push(Event::PathChanged {
                peer: key,
                address: best.1.address.to_string(),
                transport: transport_of(&best.1.address),
                outbound: best.1.outbound,
            });
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                let cause = cause.map(|cause| address::chain(&cause));
                self.on_closed(peer_id, connection_id, num_established, cause);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_error(connection_id, peer_id, &error);
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                self.on_listener_closed(listener_id, reason.err().map(|error| address::chain(&error)));
            }
            SwarmEvent::NewListenAddr { address, .. }
                if self.relay_policy == RelayPolicy::On && !address::is_circuit(&address) =>
            {
                self.swarm.add_external_address(address);
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(key) = key_of(&peer) else {
            // Every identity in the mesh is Ed25519; see the module of keys.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        };
        let remote = endpoint.get_remote_address().clone();
        let link = Link { spare: self.spare_dials.remove(&id), ..Link::new(endpoint) };
        let (address, outbound) = (link.address.clone(), link.outbound);
        let now = Instant::now();
        self.known_dials.remove(&peer);
        let mut by = self.found_by_connection.remove(&id);
        for entry in &mut self.bootstrap {
            if entry.dialing == Some(id) {
                entry.dialing = None;
                entry.peer = Some(peer);
                by = Some(Found::Bootstrap);
            }
            if entry.peer == Some(peer) {
                entry.delay = RETRY_FIRST;
                entry.next = now + RETRY_FIRST;
            }
        }
        if outbound {
            self.remember(peer, &remote, by);
        }
        let first = !self.peers.contains_key(&peer);
        let state = self.peers.entry(peer).or_default();
        let before = state.best().map(|(id, _)| *id);
        state.connections.insert(id, link);
        self.tell_path(peer, before);
        if first {
            let found = if outbound {
                by.or_else(|| self.found.get(&peer).copied()).unwrap_or(Found::Kademlia)
            } else {
                Found::Inbound
            };
            self.events.push(Event::Connected {
                peer: key,
                address: address.to_string(),
                transport: transport_of(&address),
                outbound,
                found,
            });
            // Someone new may know someone new.
            self.lookup_delay = RETRY_FIRST;
            self.lookup_at = self.lookup_at.min(now + RETRY_FIRST);
        }
        if let Some(request) = self.dials.remove(&id) {
            self.events.push(Event::DialDone { request, peer: Some(key), error: None });
        }
        for doctor in &mut self.doctors {
            if let Some(address) = doctor.dialing.remove(&id) {
                doctor.peer = Some(peer);
                doctor.unidentified.push((peer, id, address, now + IDENTIFY_TIMEOUT));
            }
        }
        for (protocol, reply) in self.waiting.remove(&peer).unwrap_or_default() {
            self.swarm.behaviour_mut().streams.open(peer, protocol, None, reply);
        }
        self.end_doctors(now);
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId, left: u32, cause: Option<String>) {
        if let Some(state) = self.peers.get_mut(&peer) {
            let before = state.best().map(|(id, _)| *id);
            let link = state.connections.remove(&id);
            if left > 0 {
                self.tell_path(peer, before);
            } else {
                let state = self.peers.remove(&peer).unwrap_or_default();
                let wanted = state.reason.is_none();
                let relayed = link.filter(|link| link.relayed);
                if let Some(key) = key_of(&peer) {
                    let limits =
                        if relayed.is_some() { ", which a relay carried within bounds of bytes and time" } else { "" };
                    let ended =
                        || format!("{}{limits}", cause.unwrap_or_else(|| "the peer closed the connection".into()));
                    let reason = state.reason.unwrap_or_else(ended);
                    self.events.push(Event::Disconnected { peer: key, reason });
                }
                // The relay may have ended it at its bound: whoever dialed then does so again.
                if wanted && relayed.is_some_and(|link| link.outbound) {
                    let _ = self.dial_known(peer);
                }
            }
        }
        self.end_doctors(Instant::now());
    }

    fn on_dial_error(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let now = Instant::now();
        self.found_by_connection.remove(&id);
        self.spare_dials.remove(&id);
        let tried_book = peer.is_some_and(|peer| self.known_dials.get(&peer) == Some(&id));
        if let (Some(peer), true) = (peer, tried_book) {
            self.known_dials.remove(&peer);
        }
        let asked = peer.map_or_else(|| "the address".to_string(), |peer| peer.to_string());
        if let Some(request) = self.dials.remove(&id) {
            self.dial_failed(request, peer, error, &asked);
        }
        for entry in &mut self.bootstrap {
            if entry.dialing == Some(id) {
                entry.dialing = None;
                entry.own = matches!(error, DialError::LocalPeerId { .. });
                entry.back_off(now);
            }
        }
        for doctor in &mut self.doctors {
            if let Some(address) = doctor.dialing.remove(&id) {
                let mut attempts = address::explain(error, &asked);
                for attempt in &mut attempts {
                    attempt.address = address.to_string();
                }
                doctor.attempts.extend(attempts);
            }
        }
        if let Some(state) = peer.and_then(|peer| self.peers.get_mut(&peer)).filter(|state| !state.is_direct()) {
            state.direct_error = Some(address::sentence(error, &asked));
        }
        if let Some(peer) = peer.filter(|peer| !self.swarm.is_connected(peer)) {
            if let DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } = error {
                // Somebody else answered first, so the other addresses were not tried to the end.
                if self.forget(peer, address) && self.dial_known(peer).is_ok() {
                    return self.end_doctors(now);
                }
            }
            // Another's dial, such as DCUtR's, says nothing of the addresses in the book.
            let another = |error: &DialError| matches!(error, DialError::DialPeerConditionFalse(_));
            let goes_on = |tried: Result<(), DialError>| tried.as_ref().err().is_none_or(another);
            if self.waiting.contains_key(&peer) && (tried_book || !goes_on(self.dial_known(peer))) {
                self.refuse_waiting(peer, &address::sentence(error, &peer.to_string()));
            }
        }
        self.end_doctors(now);
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.remember(peer, &address, Some(Found::Mdns));
                    let _ = self.dial_known(peer);
                }
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, connection_id }) => {
                self.on_identified(peer_id, connection_id, info);
            }
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Streams(inbound) => self.on_stream(inbound),
            BehaviourEvent::Autonat(event) => self.on_autonat(event),
            BehaviourEvent::RelayClient(event) => self.on_relay_client(event),
            BehaviourEvent::Dcutr(event) => self.on_dcutr(event),
            _ => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let index = self.topics.iter().position(|topic| topic.hash() == message.topic);
                let author = message.source.as_ref().and_then(key_of);
                let id: Result<[u8; 32], _> = message_id.0.as_slice().try_into();
                let rate = self
                    .rates
                    .entry(propagation_source)
                    .or_insert_with(|| Rate::new(self.gossip_per_peer_per_s, Instant::now()));
                let within = rate.take(Instant::now());
                let (Some(index), Some(author), Some(from), Ok(id), true) =
                    (index, author, key_of(&propagation_source), id, within)
                else {
                    self.ignore(&message_id, &propagation_source);
                    return;
                };
                let event = Event::Gossip { id, topic: index as u16, author, from, bytes: message.data };
                if !self.events.offer(event) {
                    self.ignore(&message_id, &propagation_source);
                    return;
                }
                if self.unjudged_order.len() >= MAX_UNJUDGED {
                    if let Some(oldest) = self.unjudged_order.pop_front() {
                        if let Some(source) = self.unjudged.remove(&oldest) {
                            self.ignore(&gossipsub::MessageId::from(oldest.to_vec()), &source);
                        }
                    }
                }
                self.unjudged.insert(id, propagation_source);
                self.unjudged_order.push_back(id);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => self.on_subscription(&peer_id, &topic, true),
            gossipsub::Event::Unsubscribed { peer_id, topic } => self.on_subscription(&peer_id, &topic, false),
            _ => {}
        }
    }

    fn on_subscription(&self, peer: &PeerId, topic: &gossipsub::TopicHash, on: bool) {
        let index = self.topics.iter().position(|known| known.hash() == *topic);
        if let (Some(peer), Some(index)) = (key_of(peer), index) {
            self.events.push(Event::Subscribed { peer, topic: index as u16, on });
        }
    }

    fn ignore(&mut self, id: &gossipsub::MessageId, source: &PeerId) {
        let ignore = gossipsub::MessageAcceptance::Ignore;
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, source, ignore);
    }

    fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::RoutingUpdated { peer, addresses, .. } => {
                for address in addresses.iter() {
                    self.remember(peer, address, None);
                }
                if !self.swarm.is_connected(&peer) && self.peers.len() < WANTED_PEERS {
                    let _ = self.dial_known(peer);
                }
            }
            kad::Event::InboundRequest { request: kad::InboundRequest::AddProvider { record: Some(record) } } => {
                self.on_provider(record);
            }
            kad::Event::OutboundQueryProgressed { id, result, step, stats } => {
                let found = match result {
                    kad::QueryResult::GetProviders(result) => {
                        return self.on_providers(id, result, (stats.num_successes(), step.last), Instant::now());
                    }
                    kad::QueryResult::StartProviding(result) => {
                        let key = match &result {
                            Ok(done) => &done.key,
                            Err(error) => error.key(),
                        };
                        let taken = result.is_ok() && stats.num_successes() > 0;
                        self.announcer.ended(key, taken, Instant::now());
                        return self.tell_announced();
                    }
                    kad::QueryResult::GetClosestPeers(Ok(found)) => found.peers,
                    kad::QueryResult::GetClosestPeers(Err(kad::GetClosestPeersError::Timeout { peers, .. })) => peers,
                    _ => return,
                };
                for info in found {
                    for address in &info.addrs {
                        self.remember(info.peer_id, address, Some(Found::Kademlia));
                    }
                    if !self.swarm.is_connected(&info.peer_id) && self.peers.len() < WANTED_PEERS {
                        let _ = self.dial_known(info.peer_id);
                    }
                }
                if step.last {
                    if let Some(sought) = self.searched.remove(&id) {
                        match self.dial_known(sought) {
                            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
                            Err(error) => {
                                self.refuse_waiting(sought, &address::sentence(&error, &sought.to_string()));
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn on_identified(&mut self, peer: PeerId, connection: ConnectionId, info: identify::Info) {
        let (Some(key), Some(state)) = (key_of(&peer), self.peers.get_mut(&peer)) else { return };
        let speaks = info.protocols.contains(&KADEMLIA);
        let is_new = state.speaks_meshwork.replace(speaks) != Some(true);
        let remote = state.connections.get(&connection).map_or_else(Multiaddr::empty, |link| link.address.clone());
        state.relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        // Those through relays first: they are what a peer behind a NAT cannot do without.
        let (mut addresses, direct): (Vec<Multiaddr>, Vec<Multiaddr>) =
            info.listen_addrs.into_iter().partition(address::is_circuit);
        addresses.truncate(MAX_RELAYS);
        addresses.extend(direct.into_iter().filter(|address| address::is_of_use(address, &remote)));
        addresses.truncate(MAX_BOOK_ADDRESSES);
        if speaks {
            for address in &addresses {
                self.remember(peer, address, None);
            }
            if is_new {
                self.tell_newcomer(peer, Instant::now());
            }
        }
        let bounded = |text: String| text.chars().take(256).collect::<String>();
        self.events.push(Event::Identified {
            peer: key,
            agent: bounded(info.agent_version),
            addresses: addresses.iter().map(|address| address.to_string()).collect(),
            protocols: info.protocols.iter().take(64).map(|name| bounded(name.to_string())).collect(),
        });
        self.end_doctors(Instant::now());
    }

    fn on_ping(&mut self, event: ping::Event) {
        let (Some(key), Some(state)) = (key_of(&event.peer), self.peers.get_mut(&event.peer)) else { return };
        match event.result {
            Ok(rtt) => {
                // Smoothed as RFC 6298 has it; jitter is its mean deviation.
                let (smoothed, jitter) = match state.rtt {
                    None => (rtt, rtt / 2),
                    Some((smoothed, jitter)) => ((smoothed * 7 + rtt) / 8, (jitter * 3 + smoothed.abs_diff(rtt)) / 4),
                };
                state.rtt = Some((smoothed, jitter));
                self.events.push(Event::Rtt { peer: key, rtt, smoothed, jitter });
            }
            Err(ping::Failure::Unsupported) => {}
            Err(failure) => {
                // With another connection left the peer is not gone.
                if state.connections.len() == 1 {
                    state.reason = Some(format!("it stopped answering pings: {failure}"));
                }
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn on_stream(&mut self, inbound: streams::Inbound) {
        let Some(peer) = key_of(&inbound.peer) else { return };
        let name = inbound.protocol.to_string();
        if self.message_protocols.contains(&inbound.protocol) {
            tokio::spawn(messages::receive(inbound.open, peer, name, self.events.clone(), self.max_message_bytes));
            return;
        }
        if !self.stream_protocols.contains(&inbound.protocol) {
            return;
        }
        let place = Place::take(&self.streams.total, self.streams.max_total);
        let (streams, events) = (self.streams.clone(), self.events.clone());
        let wire = wire_of(&inbound.protocol);
        tokio::spawn(async move {
            let mut open = inbound.open;
            let answer = if place.is_some() { ACCEPTED } else { REFUSED };
            let answer = async {
                if wire == Wire::Chunks {
                    open.stream.write_all(&[answer]).await?;
                }
                open.stream.flush().await
            };
            if !matches!(timeout(Duration::from_secs(5), answer).await, Ok(Ok(()))) || place.is_none() {
                return;
            }
            // No descriptors left: the stream is dropped, which the opener sees as a reset.
            let _ = streams.start(open, wire, peer, [place, None], &events, |stream, fd| Event::InboundStream {
                stream,
                peer,
                protocol: name,
                fd,
            });
        });
    }
}

impl Bootstrap {
    fn back_off(&mut self, now: Instant) {
        self.next = now + self.delay;
        self.delay = (self.delay * 2).min(RETRY_LAST);
    }
}
