//! The behaviour that opens and accepts streams of our own protocols.
//!
//! It differs from `libp2p-stream` in what that one leaves out: inbound streams are never dropped because an
//! acceptor is slow (past a bound they are refused with a byte that says so), every stream knows when its
//! connection is gone, and a peer without a connection is an error instead of a wait. Dialing is the caller's.
//!
//! Bounds: `limit` inbound streams alive per peer; libp2p bounds those that still negotiate.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{ready, Ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::AsyncWriteExt;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::Endpoint;
use libp2p::swarm::behaviour::{ConnectionClosed, FromSwarm};
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, NetworkBehaviour, NotifyHandler, Stream,
    StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{oneshot, watch};

use crate::address::transport_of;

/// First byte of every inbound stream's answer: it was taken up, or the bound of streams is reached.
pub const ACCEPTED: u8 = 1;
pub const REFUSED: u8 = 2;

/// What `transport_of` calls a connection through a relay.
const RELAY: &str = "relay";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    NotConnected(String),
    Unsupported,
    Timeout,
    Refused,
    Broken(String),
}

/// A place among a peer's bounded streams; free again when dropped.
pub struct Place(Arc<AtomicUsize>);

impl Place {
    pub fn take(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        counter
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < limit).then_some(count + 1))
            .ok()
            .map(|_| Self(counter.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How a connection stands among those to the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Usable,
    /// It is relayed, and there is a direct one by now: what need not stay on it leaves.
    Outdone,
    Gone,
}

/// An open stream; `link` says when its connection is gone, which a reader alone would not learn.
pub struct OpenStream {
    pub stream: Stream,
    /// Of the connection that it is on.
    pub transport: &'static str,
    pub link: watch::Receiver<Link>,
    pub place: Option<Place>,
}

pub type OpenReply = oneshot::Sender<Result<OpenStream, OpenError>>;

#[derive(Debug)]
pub struct Inbound {
    pub peer: PeerId,
    pub protocol: StreamProtocol,
    pub open: OpenStream,
}

struct Connection {
    id: ConnectionId,
    transport: &'static str,
    link: watch::Sender<Link>,
}

impl Connection {
    fn relayed(&self) -> bool {
        self.transport == RELAY
    }

    /// None of our streams is on it. The handler itself watches too.
    fn is_idle(&self) -> bool {
        self.link.receiver_count() <= 1
    }
}

#[derive(Default)]
struct Peer {
    connections: Vec<Connection>,
    inbound: Arc<AtomicUsize>,
}

impl Peer {
    /// The oldest direct connection; without one, the oldest relayed one.
    fn best(&self) -> Option<&Connection> {
        self.connections.iter().find(|connection| !connection.relayed()).or(self.connections.first())
    }

    /// The oldest connection of that transport; without one, the best.
    fn of_transport(&self, wanted: Option<&str>) -> Option<&Connection> {
        let fits = |connection: &&Connection| wanted == Some(connection.transport);
        self.connections.iter().find(fits).or_else(|| self.best())
    }

    fn compare(&self) {
        let direct = self.connections.iter().any(|connection| !connection.relayed());
        for connection in self.connections.iter().filter(|connection| connection.relayed()) {
            let link = if direct { Link::Outdone } else { Link::Usable };
            connection.link.send_if_modified(|now| std::mem::replace(now, link) != link);
        }
    }
}

pub struct Behaviour {
    protocols: Arc<[StreamProtocol]>,
    limit: usize,
    peers: HashMap<PeerId, Peer>,
    queue: VecDeque<ToSwarm<Inbound, Request>>,
    waker: Option<Waker>,
}

impl Behaviour {
    pub fn new(protocols: Vec<StreamProtocol>, limit: usize) -> Self {
        Self { protocols: protocols.into(), limit, peers: HashMap::new(), queue: VecDeque::new(), waker: None }
    }

    /// Opens a stream over the oldest connection, so that streams opened in order reach the peer in order; a relayed one
    /// only while there is no direct one. If a transport is preferred and a connection has it, it goes there.
    pub fn open(&mut self, peer: PeerId, protocol: StreamProtocol, preferred: Option<&str>, reply: OpenReply) {
        let Some(connection) = self.peers.get(&peer).and_then(|known| known.of_transport(preferred)) else {
            let _ = reply.send(Err(OpenError::NotConnected("there is no connection to the peer".into())));
            return;
        };
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection.id),
            event: Request { protocol, reply },
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Relayed connections that a direct one has outdone and that none of our streams is on.
    pub fn outdone(&self) -> Vec<(PeerId, ConnectionId)> {
        let idle = |connection: &&Connection| {
            connection.relayed() && *connection.link.borrow() == Link::Outdone && connection.is_idle()
        };
        let of_peer = |(id, peer): (&PeerId, &Peer)| {
            peer.connections.iter().filter(idle).map(|connection| (*id, connection.id)).collect::<Vec<_>>()
        };
        self.peers.iter().flat_map(of_peer).collect()
    }

    /// Whether none of our streams is on a connection.
    pub fn is_idle(&self, peer: &PeerId, id: ConnectionId) -> bool {
        let connections = self.peers.get(peer).map_or(&[][..], |peer| &peer.connections);
        connections.iter().find(|connection| connection.id == id).is_none_or(Connection::is_idle)
    }

    fn admit(&mut self, peer: PeerId, id: ConnectionId, transport: &'static str) -> Handler {
        let (link, watch) = watch::channel(Link::Usable);
        let entry = self.peers.entry(peer).or_default();
        entry.connections.push(Connection { id, transport, link });
        entry.compare();
        Handler {
            transport,
            protocols: self.protocols.clone(),
            inbound: entry.inbound.clone(),
            limit: self.limit,
            link: watch,
            requests: VecDeque::new(),
            accepted: VecDeque::new(),
        }
    }

    fn forget(&mut self, peer: PeerId, id: ConnectionId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.connections.retain(|connection| {
                if connection.id == id {
                    let _ = connection.link.send(Link::Gone);
                }
                connection.id != id
            });
            entry.compare();
            if entry.connections.is_empty() {
                self.peers.remove(&peer);
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Of a relayed connection that the peer opened, only our own address says so.
        Ok(self.admit(peer, id, if transport_of(local) == RELAY { RELAY } else { transport_of(remote) }))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.admit(peer, id, transport_of(remote)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.forget(peer_id, connection_id);
            }
            // A connection that another behaviour denied after ours had admitted it ends here.
            FromSwarm::DialFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.forget(peer, failure.connection_id);
                }
            }
            FromSwarm::ListenFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.forget(peer, failure.connection_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        let (protocol, open) = event;
        self.queue.push_back(ToSwarm::GenerateEvent(Inbound { peer, protocol, open }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

pub struct Request {
    protocol: StreamProtocol,
    reply: OpenReply,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({})", self.protocol)
    }
}

pub struct Handler {
    transport: &'static str,
    protocols: Arc<[StreamProtocol]>,
    inbound: Arc<AtomicUsize>,
    limit: usize,
    link: watch::Receiver<Link>,
    requests: VecDeque<Request>,
    accepted: VecDeque<(StreamProtocol, OpenStream)>,
}

impl std::fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenStream")
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Request;
    type ToBehaviour = (StreamProtocol, OpenStream);
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Upgrade(self.protocols.to_vec()), ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        if let Some(accepted) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(accepted));
        }
        if let Some(request) = self.requests.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Upgrade(vec![request.protocol]), request.reply),
            });
        }
        // The swarm polls again after each of the two callbacks that could add something.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), OpenReply>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (mut stream, protocol),
                ..
            }) => match Place::take(&self.inbound, self.limit) {
                Some(place) => {
                    let (transport, link) = (self.transport, self.link.clone());
                    let open = OpenStream { stream, transport, link, place: Some(place) };
                    self.accepted.push_back((protocol, open));
                }
                None => {
                    // One byte fits every send window, so this does not wait; the deadline is for a dead peer.
                    tokio::spawn(tokio::time::timeout(std::time::Duration::from_secs(1), async move {
                        let _ = stream.write_all(&[REFUSED]).await;
                        let _ = stream.close().await;
                    }));
                }
            },
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => {
                let (transport, link) = (self.transport, self.link.clone());
                let _ = reply.send(Ok(OpenStream { stream, transport, link, place: None }));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info: reply }) => {
                let error = match error {
                    StreamUpgradeError::Timeout => OpenError::Timeout,
                    StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    StreamUpgradeError::Io(error) => OpenError::Broken(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = reply.send(Err(error));
            }
            _ => {}
        }
    }
}

/// Negotiates the name and hands over the bare stream.
pub struct Upgrade(Vec<StreamProtocol>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_connection_outdoes_a_relayed_one() {
        let mut behaviour = Behaviour::new(vec![], 1);
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let (relayed, direct) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        let by_relay = behaviour.admit(peer, relayed, RELAY);
        let best = |behaviour: &Behaviour| behaviour.peers[&peer].best().map(|connection| connection.id);
        assert_eq!(best(&behaviour), Some(relayed));
        assert_eq!(*by_relay.link.borrow(), Link::Usable);
        assert_eq!(behaviour.outdone(), []);

        let directly = behaviour.admit(peer, direct, "tcp");
        assert_eq!(best(&behaviour), Some(direct));
        assert_eq!((*by_relay.link.borrow(), *directly.link.borrow()), (Link::Outdone, Link::Usable));
        assert_eq!(behaviour.outdone(), [(peer, relayed)]);
        // A stream on it keeps it.
        let stream = by_relay.link.clone();
        assert_eq!(behaviour.outdone(), []);
        drop(stream);

        behaviour.forget(peer, direct);
        assert_eq!(best(&behaviour), Some(relayed));
        assert_eq!((*by_relay.link.borrow(), *directly.link.borrow()), (Link::Usable, Link::Gone));
        assert_eq!(behaviour.outdone(), []);
    }

    #[test]
    fn a_preferred_transport_is_taken_where_there_is_one() {
        let mut behaviour = Behaviour::new(vec![], 1);
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let ids: Vec<_> = (1..=4).map(ConnectionId::new_unchecked).collect();
        let handlers: Vec<_> = [(ids[0], RELAY), (ids[1], "tcp"), (ids[2], "quic"), (ids[3], "tcp")]
            .into_iter()
            .map(|(id, transport)| behaviour.admit(peer, id, transport))
            .collect();
        let taken = |behaviour: &Behaviour, wanted| {
            behaviour.peers[&peer].of_transport(wanted).map(|connection| (connection.id, connection.transport))
        };
        assert_eq!(taken(&behaviour, None), Some((ids[1], "tcp")));
        assert_eq!(taken(&behaviour, Some("quic")), Some((ids[2], "quic")));
        assert_eq!(taken(&behaviour, Some("ws")), Some((ids[1], "tcp")));
        behaviour.forget(peer, ids[1]);
        assert_eq!(taken(&behaviour, Some("tcp")), Some((ids[3], "tcp")));
        assert_eq!(taken(&behaviour, None), Some((ids[2], "quic")));
        behaviour.forget(peer, ids[2]);
        assert_eq!(taken(&behaviour, Some("quic")), Some((ids[3], "tcp")));

        assert!(behaviour.is_idle(&peer, ids[3]));
        let stream = handlers[3].link.clone();
        assert!(!behaviour.is_idle(&peer, ids[3]));
        drop(stream);
        assert!(behaviour.is_idle(&peer, ids[3]));
    }
}
