//! The bridge to `mesh_p2p`: plain structs across, panics stopped, errors as a code and a text.
//!
//! The other side is src/adapters/p2p. An eventfd given at the start turns readable when events wait; `drain`
//! takes them on the caller's own thread, so that no C++ runs on Tokio's threads.

use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use mesh_p2p::{Code, Config, Error, Event, Node, RelayPolicy, Verdict};

#[cxx::bridge(namespace = "mesh::engines")]
mod ffi {
    struct P2pTopic {
        name: String,
        subscribe: bool,
    }

    struct P2pConfig {
        secret: [u8; 32],
        listen: Vec<String>,
        bootstrap: Vec<String>,
        mdns: bool,
        /// 0: while publicly reachable; 1: always; 2: never.
        relay: u8,
        topics: Vec<P2pTopic>,
        message_protocols: Vec<String>,
        stream_protocols: Vec<String>,
        agent: String,
        ping_interval_ms: u64,
        ping_timeout_ms: u64,
        max_gossip_bytes: usize,
        gossip_per_peer_per_s: u32,
        max_message_bytes: usize,
        max_queued_messages: usize,
        max_queued_bytes: usize,
        max_streams_per_peer: usize,
        max_streams: usize,
        max_inbound_connections: u32,
        max_outbound_connections: u32,
        max_connections_per_peer: u32,
        spare_idle_ms: u64,
        max_pending_connections: u32,
        max_dials_per_s: u32,
        max_provided: usize,
        announcements_per_s: u32,
        max_stored_providers: usize,
        provider_lifetime_ms: u64,
        provider_interval_ms: u64,
        max_events: usize,
        max_event_bytes: usize,
    }

    /// `ok`, or a code (mesh_p2p::Code) and a text. `request` is the number that the answering event carries.
    struct P2pOutcome {
        ok: bool,
        code: u8,
        text: String,
        request: u64,
    }

    struct P2pAttempt {
        address: String,
        outcome: u8,
        text: String,
    }

    struct P2pPeer {
        key: [u8; 32],
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum P2pKind {
        Gossip,
        NotPublished,
        Message,
        SendFailed,
        StreamOpened,
        StreamRefused,
        InboundStream,
        StreamClosed,
        Connected,
        Disconnected,
        PathChanged,
        ReachabilityChanged,
        RelayChanged,
        HolePunched,
        Identified,
        Rtt,
        Subscribed,
        DialDone,
        PingDone,
        DoctorDone,
        Announced,
        ProvidersFound,
        Stopped,
    }

    /// One event of any kind; fields that its kind has no use for are empty. Whoever takes it owns `fd` (or -1).
    struct P2pEvent {
        kind: P2pKind,
        request: u64,
        stream: u64,
        has_peer: bool,
        peer: [u8; 32],
        author: [u8; 32],
        id: [u8; 32],
        topic: u16,
        name: String,
        text: String,
        names: Vec<String>,
        more_names: Vec<String>,
        bytes: Vec<u8>,
        ok: bool,
        code: u8,
        flag: bool,
        number: u8,
        fd: i32,
        rtt_us: u64,
        smoothed_us: u64,
        jitter_us: u64,
        count: u64,
        peers: Vec<P2pPeer>,
        attempts: Vec<P2pAttempt>,
    }

    extern "Rust" {
        type P2pNode;

        /// Starts a network; on failure the node is there but dead, and `outcome` says why.
        /// `wake_fd` is a non-blocking eventfd that the node owns from here on, whatever the outcome.
        fn p2p_start(config: P2pConfig, wake_fd: i32, outcome: &mut P2pOutcome) -> Box<P2pNode>;
        fn key(self: &P2pNode) -> [u8; 32];
        fn listening(self: &P2pNode) -> Vec<String>;
        /// Appends up to `max` events, oldest first; true when more are left.
        fn drain(self: &P2pNode, max: usize, out: &mut Vec<P2pEvent>) -> bool;
        fn publish(self: &P2pNode, topic: u16, bytes: &[u8]) -> P2pOutcome;
        fn judge(self: &P2pNode, id: &[u8; 32], verdict: u8) -> P2pOutcome;
        fn send(self: &P2pNode, peer: &[u8; 32], protocol: &str, bytes: &[u8]) -> P2pOutcome;
        fn open_stream(self: &P2pNode, peer: &[u8; 32], protocol: &str, preferred: &str) -> P2pOutcome;
        fn reset_stream(self: &P2pNode, stream: u64);
        fn dial(self: &P2pNode, address: &str) -> P2pOutcome;
        fn connect_by(self: &P2pNode, peer: &[u8; 32], transport: &str) -> P2pOutcome;
        fn disconnect(self: &P2pNode, peer: &[u8; 32]) -> P2pOutcome;
        fn ping(self: &P2pNode, peer: &[u8; 32]) -> P2pOutcome;
        fn doctor(self: &P2pNode, target: &str) -> P2pOutcome;
        fn provide(self: &P2pNode, key: &[u8]) -> P2pOutcome;
        fn stop_providing(self: &P2pNode, key: &[u8]) -> P2pOutcome;
        fn find_providers(self: &P2pNode, key: &[u8]) -> P2pOutcome;
        fn stop(self: &mut P2pNode);
    }
}

use ffi::{P2pAttempt, P2pConfig, P2pEvent, P2pKind, P2pOutcome, P2pPeer};

/// None once it was stopped or where it never started.
pub struct P2pNode(Option<Node>);

fn failed(error: Error) -> P2pOutcome {
    P2pOutcome { ok: false, code: error.code as u8, text: error.text, request: 0 }
}

fn bug() -> Error {
    Error::new(Code::Internal, "the network code panicked; restart the node and report this")
}

fn guarded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(bug()))
}

impl P2pNode {
    fn ask(&self, call: impl FnOnce(&Node) -> Result<u64, Error>) -> P2pOutcome {
        let stopped = || Error::new(Code::Unavailable, "the network was stopped");
        match guarded(|| self.0.as_ref().ok_or_else(stopped).and_then(call)) {
            Ok(request) => P2pOutcome { ok: true, code: 0, text: String::new(), request },
            Err(error) => failed(error),
        }
    }

    fn key(&self) -> [u8; 32] {
        self.0.as_ref().map_or([0; 32], Node::key)
    }

    fn listening(&self) -> Vec<String> {
        self.0.as_ref().map_or_else(Vec::new, |node| node.listening().to_vec())
    }

    fn drain(&self, max: usize, out: &mut Vec<P2pEvent>) -> bool {
        let drained = guarded(|| Ok(self.0.as_ref().map(|node| node.drain(max))));
        let Ok(Some((events, more))) = drained else { return false };
        out.extend(events.into_iter().map(convert));
        more
    }

    fn publish(&self, topic: u16, bytes: &[u8]) -> P2pOutcome {
        self.ask(|node| node.publish(topic, bytes))
    }

    fn judge(&self, id: &[u8; 32], verdict: u8) -> P2pOutcome {
        let verdict = match verdict {
            0 => Verdict::Accept,
            1 => Verdict::Reject,
            _ => Verdict::Ignore,
        };
        self.ask(|node| node.judge(*id, verdict).map(|()| 0))
    }

    fn send(&self, peer: &[u8; 32], protocol: &str, bytes: &[u8]) -> P2pOutcome {
        self.ask(|node| node.send(*peer, protocol, bytes))
    }

    fn open_stream(&self, peer: &[u8; 32], protocol: &str, preferred: &str) -> P2pOutcome {
        self.ask(|node| node.open_stream(*peer, protocol, preferred))
    }

    fn reset_stream(&self, stream: u64) {
        let _ = self.ask(|node| {
            node.reset_stream(stream);
            Ok(0)
        });
    }

    fn dial(&self, address: &str) -> P2pOutcome {
        self.ask(|node| node.dial(address))
    }

    fn connect_by(&self, peer: &[u8; 32], transport: &str) -> P2pOutcome {
        self.ask(|node| node.connect_by(*peer, transport))
    }

    fn disconnect(&self, peer: &[u8; 32]) -> P2pOutcome {
        self.ask(|node| node.disconnect(*peer).map(|()| 0))
    }

    fn ping(&self, peer: &[u8; 32]) -> P2pOutcome {
        self.ask(|node| node.ping(*peer))
    }

    fn doctor(&self, target: &str) -> P2pOutcome {
        self.ask(|node| node.doctor(target))
    }

    fn provide(&self, key: &[u8]) -> P2pOutcome {
        self.ask(|node| node.provide(key).map(|()| 0))
    }

    fn stop_providing(&self, key: &[u8]) -> P2pOutcome {
        self.ask(|node| node.stop_providing(key).map(|()| 0))
    }

    fn find_providers(&self, key: &[u8]) -> P2pOutcome {
        self.ask(|node| node.find_providers(key))
    }

    fn stop(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0 = None));
    }
}

fn p2p_start(config: P2pConfig, wake_fd: i32, outcome: &mut P2pOutcome) -> Box<P2pNode> {
    // SAFETY: the caller gives the descriptor away.
    let wake = File::from(unsafe { OwnedFd::from_raw_fd(wake_fd) });
    let config = Config {
        secret: config.secret,
        listen: config.listen,
        bootstrap: config.bootstrap,
        mdns: config.mdns,
        relay: match config.relay {
            0 => RelayPolicy::Auto,
            1 => RelayPolicy::On,
            _ => RelayPolicy::Off,
        },
        topics: config.topics.into_iter().map(|topic| (topic.name, topic.subscribe)).collect(),
        message_protocols: config.message_protocols,
        stream_protocols: config.stream_protocols,
        agent: config.agent,
        ping_interval: Duration::from_millis(config.ping_interval_ms),
        ping_timeout: Duration::from_millis(config.ping_timeout_ms),
        max_gossip_bytes: config.max_gossip_bytes,
        gossip_per_peer_per_s: config.gossip_per_peer_per_s,
        max_message_bytes: config.max_message_bytes,
        max_queued_messages: config.max_queued_messages,
        max_queued_bytes: config.max_queued_bytes,
        max_streams_per_peer: config.max_streams_per_peer,
        max_streams: config.max_streams,
        max_inbound_connections: config.max_inbound_connections,
        max_outbound_connections: config.max_outbound_connections,
        max_connections_per_peer: config.max_connections_per_peer,
        spare_idle: Duration::from_millis(config.spare_idle_ms),
        max_pending_connections: config.max_pending_connections,
        max_dials_per_s: config.max_dials_per_s,
        max_provided: config.max_provided,
        announcements_per_s: config.announcements_per_s,
        max_stored_providers: config.max_stored_providers,
        provider_lifetime: Duration::from_millis(config.provider_lifetime_ms),
        provider_interval: Duration::from_millis(config.provider_interval_ms),
        max_events: config.max_events,
        max_event_bytes: config.max_event_bytes,
    };
    let ring = Box::new(move || {
        // An eventfd refuses only when its count is about to overflow: then it is readable anyway.
        let _ = (&wake).write(&1u64.to_ne_bytes());
    });
    match guarded(|| Node::start(config, ring)) {
        Ok(node) => {
            *outcome = P2pOutcome { ok: true, code: 0, text: String::new(), request: 0 };
            Box::new(P2pNode(Some(node)))
        }
        Err(error) => {
            *outcome = failed(error);
            Box::new(P2pNode(None))
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn blank(kind: P2pKind) -> P2pEvent {
    P2pEvent {
        kind,
        request: 0,
        stream: 0,
        has_peer: true,
        peer: [0; 32],
        author: [0; 32],
        id: [0; 32],
        topic: 0,
        name: String::new(),
        text: String::new(),
        names: Vec::new(),
        more_names: Vec::new(),
        bytes: Vec::new(),
        ok: true,
        code: 0,
        flag: false,
        number: 0,
        fd: -1,
        rtt_us: 0,
        smoothed_us: 0,
        jitter_us: 0,
        count: 0,
        peers: Vec::new(),
        attempts: Vec::new(),
    }
}

fn with_error(mut event: P2pEvent, error: Error) -> P2pEvent {
    event.ok = false;
    event.code = error.code as u8;
    event.text = error.text;
    event
}

fn convert(event: Event) -> P2pEvent {
    match event {
        Event::Gossip { id, topic, author, from, bytes } => {
            P2pEvent { id, topic, author, peer: from, bytes, ..blank(P2pKind::Gossip) }
        }
        Event::NotPublished { request, topic, no_peers, error } => {
            let event = P2pEvent { request, topic, flag: no_peers, has_peer: false, ..blank(P2pKind::NotPublished) };
            with_error(event, error)
        }
        Event::Message { peer, protocol, bytes } => P2pEvent { peer, name: protocol, bytes, ..blank(P2pKind::Message) },
        Event::SendFailed { request, peer, protocol, maybe_delivered, error } => {
            let event = P2pEvent { request, peer, name: protocol, flag: maybe_delivered, ..blank(P2pKind::SendFailed) };
            with_error(event, error)
        }
        Event::StreamOpened { request, stream, peer, protocol, transport, fd } => {
            let (fd, text) = (fd.into_raw_fd(), transport.to_string());
            P2pEvent { request, stream, peer, name: protocol, text, fd, ..blank(P2pKind::StreamOpened) }
        }
        Event::StreamRefused { request, peer, protocol, error } => {
            with_error(P2pEvent { request, peer, name: protocol, ..blank(P2pKind::StreamRefused) }, error)
        }
        Event::InboundStream { stream, peer, protocol, fd } => {
            let fd = fd.into_raw_fd();
            P2pEvent { stream, peer, name: protocol, fd, ..blank(P2pKind::InboundStream) }
        }
        Event::StreamClosed { stream, peer, end } => {
            P2pEvent { stream, peer, number: end as u8, ..blank(P2pKind::StreamClosed) }
        }
        Event::Connected { peer, address, transport, outbound, found } => P2pEvent {
            peer,
            text: address,
            name: transport.to_string(),
            flag: outbound,
            number: found as u8,
            ..blank(P2pKind::Connected)
        },
        Event::Disconnected { peer, reason } => P2pEvent { peer, text: reason, ..blank(P2pKind::Disconnected) },
        Event::PathChanged { peer, address, transport, outbound } => {
            P2pEvent { peer, text: address, name: transport.to_string(), flag: outbound, ..blank(P2pKind::PathChanged) }
        }
        Event::ReachabilityChanged { reachability, address, relaying, text } => P2pEvent {
            has_peer: false,
            number: reachability as u8,
            name: address,
            flag: relaying,
            text,
            ..blank(P2pKind::ReachabilityChanged)
        },
        Event::RelayChanged { peer, address, held, text } => {
            P2pEvent { peer, name: address, flag: held, text, ..blank(P2pKind::RelayChanged) }
        }
        Event::HolePunched { peer, done, text } => P2pEvent { peer, flag: done, text, ..blank(P2pKind::HolePunched) },
        Event::Identified { peer, agent, addresses, protocols } => {
            P2pEvent { peer, text: agent, names: addresses, more_names: protocols, ..blank(P2pKind::Identified) }
        }
        Event::Rtt { peer, rtt, smoothed, jitter } => P2pEvent {
            peer,
            rtt_us: micros(rtt),
            smoothed_us: micros(smoothed),
            jitter_us: micros(jitter),
            ..blank(P2pKind::Rtt)
        },
        Event::Subscribed { peer, topic, on } => P2pEvent { peer, topic, flag: on, ..blank(P2pKind::Subscribed) },
        Event::DialDone { request, peer, error } => {
            let has_peer = peer.is_some();
            let event = P2pEvent { request, has_peer, peer: peer.unwrap_or_default(), ..blank(P2pKind::DialDone) };
            match error {
                Some(error) => with_error(event, error),
                None => event,
            }
        }
        Event::PingDone { request, peer, result } => {
            let event = P2pEvent { request, peer, ..blank(P2pKind::PingDone) };
            match result {
                Ok(rtt) => P2pEvent { rtt_us: micros(rtt), ..event },
                Err(error) => with_error(event, error),
            }
        }
        Event::DoctorDone { request, peer, already_connected, attempts } => P2pEvent {
            request,
            has_peer: peer.is_some(),
            peer: peer.unwrap_or_default(),
            flag: already_connected,
            attempts: attempts
                .into_iter()
                .map(|attempt| P2pAttempt {
                    address: attempt.address,
                    outcome: attempt.outcome as u8,
                    text: attempt.text,
                })
                .collect(),
            ..blank(P2pKind::DoctorDone)
        },
        Event::Announced { keys } => P2pEvent { has_peer: false, count: keys as u64, ..blank(P2pKind::Announced) },
        Event::ProvidersFound { request, peers, asked, error } => {
            let event = P2pEvent {
                request,
                has_peer: false,
                count: u64::from(asked),
                peers: peers.into_iter().map(|key| P2pPeer { key }).collect(),
                ..blank(P2pKind::ProvidersFound)
            };
            match error {
                Some(error) => with_error(event, error),
                None => event,
            }
        }
        Event::Stopped { error } => with_error(P2pEvent { has_peer: false, ..blank(P2pKind::Stopped) }, error),
    }
}
