//! Nodes on loopback for the tests of this folder.

use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

use mesh_p2p::{Config, Event, Node, RelayPolicy};

/// Ends a test that hangs; nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const STREAM: &str = "/meshwork/blocks/1";

pub fn config(number: u8, bootstrap: &[&Peer]) -> Config {
    Config {
        secret: [number; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        bootstrap: bootstrap.iter().map(|peer| peer.node.listening()[0].clone()).collect(),
        mdns: false,
        relay: RelayPolicy::Off,
        topics: vec![],
        message_protocols: vec![],
        stream_protocols: vec![STREAM.into()],
        agent: "meshwork/test".into(),
        ping_interval: Duration::from_secs(5),
        ping_timeout: Duration::from_secs(60),
        max_gossip_bytes: 65536,
        gossip_per_peer_per_s: 100,
        max_message_bytes: 65536,
        max_queued_messages: 16,
        max_queued_bytes: 65536,
        max_streams_per_peer: 16,
        max_streams: 64,
        max_inbound_connections: 64,
        max_outbound_connections: 64,
        max_connections_per_peer: 4,
        spare_idle: Duration::from_secs(30),
        max_pending_connections: 64,
        max_dials_per_s: 16,
        max_provided: 8,
        announcements_per_s: 100,
        max_stored_providers: 64,
        provider_lifetime: Duration::from_secs(3600),
        provider_interval: Duration::from_secs(600),
        max_events: 1024,
        max_event_bytes: 1 << 20,
    }
}

pub struct Peer {
    pub node: Node,
    bell: Receiver<()>,
}

impl Peer {
    pub fn start(config: Config) -> Self {
        let (ring, bell) = channel();
        let wake = move || {
            let _ = ring.send(());
        };
        let node = Node::start(config, Box::new(wake)).expect("it starts");
        Self { node, bell }
    }

    /// The first thing that `wanted` makes of an event from now on.
    pub fn until<T>(&self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let (events, more) = self.node.drain(1);
            if let Some(found) = events.iter().find_map(&mut wanted) {
                return found;
            }
            if events.is_empty() && !more {
                let left = end.checked_duration_since(Instant::now()).unwrap_or_else(|| panic!("{what}"));
                let _ = self.bell.recv_timeout(left);
            }
        }
    }

    pub fn meets(&self, other: &Peer) {
        let key = other.node.key();
        self.until("they meet", |event| matches!(event, Event::Identified { peer, .. } if *peer == key).then_some(()));
    }
}
