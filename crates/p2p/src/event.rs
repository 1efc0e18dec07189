//! What the network tells its owner, and the settings that it starts with.

use std::os::fd::OwnedFd;
use std::time::Duration;

/// An Ed25519 public key: the other spelling of a PeerId. Peers with keys of another kind are not admitted.
pub type PeerKey = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Invalid = 0,
    NotFound = 1,
    Exhausted = 2,
    Timeout = 3,
    Unavailable = 4,
    Unsupported = 5,
    Internal = 6,
    Denied = 7,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub text: String,
}

impl Error {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Found {
    Inbound = 0,
    Dialed = 1,
    Bootstrap = 2,
    Mdns = 3,
    Kademlia = 4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamEnd {
    Clean = 0,
    Reset = 1,
    PeerGone = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    Accept = 0,
    Reject = 1,
    Ignore = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    Connected = 0,
    Refused = 1,
    TimedOut = 2,
    WrongPeer = 3,
    NotMeshwork = 4,
    NoAddresses = 5,
    Failed = 6,
}

/// Whether peers can dial this node, as those say who were asked to (AutoNAT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reachability {
    /// Nobody outside of the private networks was there to be asked.
    Unknown = 0,
    Public = 1,
    Private = 2,
}

/// Whether this node carries connections of peers that cannot be dialed (circuit relay v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayPolicy {
    /// While it is publicly reachable.
    Auto,
    On,
    Off,
}

/// What trying one address came to. `address` is empty where no address is known at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub address: String,
    pub outcome: Outcome,
    pub text: String,
}

#[derive(Debug)]
pub enum Event {
    Gossip {
        id: [u8; 32],
        topic: u16,
        author: PeerKey,
        from: PeerKey,
        bytes: Vec<u8>,
    },
    /// A publication that reached nobody at once.
    NotPublished {
        request: u64,
        topic: u16,
        no_peers: bool,
        error: Error,
    },
    Message {
        peer: PeerKey,
        protocol: String,
        bytes: Vec<u8>,
    },
    SendFailed {
        request: u64,
        peer: PeerKey,
        protocol: String,
        maybe_delivered: bool,
        error: Error,
    },
    StreamOpened {
        request: u64,
        stream: u64,
        peer: PeerKey,
        protocol: String,
        /// Of the connection that it is on: tcp, quic, ws, wss, relay or other.
        transport: &'static str,
        fd: OwnedFd,
    },
    StreamRefused {
        request: u64,
        peer: PeerKey,
        protocol: String,
        error: Error,
    },
    InboundStream {
        stream: u64,
        peer: PeerKey,
        protocol: String,
        fd: OwnedFd,
    },
    StreamClosed {
        stream: u64,
        peer: PeerKey,
        end: StreamEnd,
    },
    Connected {
        peer: PeerKey,
        address: String,
        transport: &'static str,
        outbound: bool,
        found: Found,
    },
    Disconnected {
        peer: PeerKey,
        reason: String,
    },
    /// New streams to a connected peer take another connection than before.
    PathChanged {
        peer: PeerKey,
        address: String,
        transport: &'static str,
        outbound: bool,
    },
    /// `address` is where peers reached this node, empty unless it is public; `relaying`: it carries others' connections.
    ReachabilityChanged {
        reachability: Reachability,
        address: String,
        relaying: bool,
        text: String,
    },
    /// A relay took a reservation of ours (`held`), or it is gone or was refused, for the reason in `text`.
    RelayChanged {
        peer: PeerKey,
        address: String,
        held: bool,
        text: String,
    },
    /// DCUtR tried to replace a relayed connection by a direct one; `text` says how that went.
    HolePunched {
        peer: PeerKey,
        done: bool,
        text: String,
    },
    Identified {
        peer: PeerKey,
        agent: String,
        addresses: Vec<String>,
        protocols: Vec<String>,
    },
    Rtt {
        peer: PeerKey,
        rtt: Duration,
        smoothed: Duration,
        jitter: Duration,
    },
    Subscribed {
        peer: PeerKey,
        topic: u16,
        on: bool,
    },
    DialDone {
        request: u64,
        peer: Option<PeerKey>,
        error: Option<Error>,
    },
    PingDone {
        request: u64,
        peer: PeerKey,
        result: Result<Duration, Error>,
    },
    DoctorDone {
        request: u64,
        peer: Option<PeerKey>,
        already_connected: bool,
        attempts: Vec<Attempt>,
    },
    /// Of so many of the keys that this node provides somebody has been told.
    Announced {
        keys: usize,
    },
    /// Who says that it has the content of a key. `asked`: peers that answered; with an error none was asked.
    ProvidersFound {
        request: u64,
        peers: Vec<PeerKey>,
        asked: u32,
        error: Option<Error>,
    },
    /// The network ended by itself: a bug of ours.
    Stopped {
        error: Error,
    },
}

impl Event {
    pub fn payload_bytes(&self) -> usize {
        match self {
            Event::Gossip { bytes, .. } | Event::Message { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    pub secret: [u8; 32],
    pub listen: Vec<String>,
    pub bootstrap: Vec<String>,
    pub mdns: bool,
    pub relay: RelayPolicy,
    /// Every topic that may be published on, by index, and whether to subscribe.
    pub topics: Vec<(String, bool)>,
    pub message_protocols: Vec<String>,
    pub stream_protocols: Vec<String>,
    pub agent: String,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub max_gossip_bytes: usize,
    pub gossip_per_peer_per_s: u32,
    pub max_message_bytes: usize,
    pub max_queued_messages: usize,
    pub max_queued_bytes: usize,
    pub max_streams_per_peer: usize,
    pub max_streams: usize,
    pub max_inbound_connections: u32,
    pub max_outbound_connections: u32,
    pub max_connections_per_peer: u32,
    /// A connection that `connect_by` made beside another is closed when none of our streams was on it for so long.
    pub spare_idle: Duration,
    pub max_pending_connections: u32,
    /// Beyond the private networks; twice as many at once.
    pub max_dials_per_s: u32,
    /// Keys that this node provides; and those that are kept of one other peer.
    pub max_provided: usize,
    /// Of own keys; twice as many at once.
    pub announcements_per_s: u32,
    /// Of other peers, in all.
    pub max_stored_providers: usize,
    /// How long what a peer says is kept; it says it again every `provider_interval`.
    pub provider_lifetime: Duration,
    pub provider_interval: Duration,
    pub max_events: usize,
    pub max_event_bytes: usize,
}
