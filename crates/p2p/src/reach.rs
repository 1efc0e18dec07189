//! How a node behind a router that translates addresses is reached all the same: settings and choices.
//!
//! AutoNAT asks peers to dial this node and so tells whether others can. AutoNAT version 1 and not 2, whose client in this
//! libp2p never asks again about an address that failed, takes no verdict from a dial that a router swallows, and whose
//! server dials any address it is told, as often as it is told to: version 1 dials the asking peer's own IP address only,
//! at a bounded rate. A node that cannot be dialed reserves slots at relays among its peers (circuit relay v2); one
//! that can relays for others, by RelayPolicy. Over a relayed connection DCUtR tries to make a direct one.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::Endpoint;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{autonat, relay, Multiaddr, PeerId};

use crate::address::{is_circuit, is_local, is_loopback};

/// Relays that a node reserves a slot at.
pub const MAX_RELAYS: usize = 2;
/// Connections that a relay carries at a time.
pub const MAX_CIRCUITS: usize = 32;
/// After a relay refused, or was lost.
pub const RELAY_RETRY: Duration = Duration::from_secs(60);
/// A relayed connection that a direct one has outdone is closed when both have been there for so long.
pub const OUTDONE_AFTER: Duration = Duration::from_secs(5);

fn autonat_config() -> autonat::Config {
    autonat::Config {
        // A dial-back tries one address after another, and a router that swallows it costs the whole time-out of each.
        timeout: Duration::from_secs(90),
        boot_delay: Duration::from_secs(3),
        retry_interval: Duration::from_secs(10),
        refresh_interval: Duration::from_secs(15 * 60),
        throttle_server_period: Duration::from_secs(60),
        max_peer_addresses: 8,
        throttle_clients_global_max: 4,
        throttle_clients_peer_max: 1,
        throttle_clients_period: Duration::from_secs(1),
        // Peers in the same private network prove nothing about a router.
        only_global_ips: true,
        ..Default::default()
    }
}

/// What this node carries for others: enough for two nodes to find each other and to move some megabytes until DCUtR has
/// made a direct connection. A circuit ends at either bound, and both ends see their streams break off.
pub fn relay_config() -> relay::Config {
    relay::Config {
        max_reservations: 64,
        max_reservations_per_peer: 2,
        reservation_duration: Duration::from_secs(3600),
        max_circuits: MAX_CIRCUITS,
        max_circuits_per_peer: 4,
        max_circuit_duration: Duration::from_secs(30 * 60),
        max_circuit_bytes: 16 << 20,
        ..Default::default()
    }
}

/// AutoNAT, which is not told what peers say they observe of this node: it would keep all of it for good, though those
/// that it asks put the IP address that they see themselves in place of whatever they are told.
pub struct Autonat(autonat::Behaviour);

impl Autonat {
    pub fn new(local: PeerId) -> Self {
        Self(autonat::Behaviour::new(local, autonat_config()))
    }
}

impl NetworkBehaviour for Autonat {
    type ConnectionHandler = THandler<autonat::Behaviour>;
    type ToSwarm = autonat::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.0.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.0.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if !matches!(event, FromSwarm::NewExternalAddrCandidate(_)) {
            self.0.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        self.0.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.0.poll(context)
    }
}

/// A connected peer that offers to relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub peer: PeerId,
    pub is_bootstrap: bool,
    pub rtt: Option<Duration>,
}

/// Who is asked for the `wanted` slots that are missing: those that the owner named first, then the nearest.
pub fn choose(mut candidates: Vec<Candidate>, wanted: usize) -> Vec<PeerId> {
    candidates.sort_by_key(|one| (!one.is_bootstrap, one.rtt.unwrap_or(Duration::MAX), one.peer));
    candidates.into_iter().take(wanted).map(|one| one.peer).collect()
}

/// The address of a relay that others are told: where we dialed it, else the best of those that it told.
pub fn relay_address(dialed: Option<&Multiaddr>, told: &[Multiaddr]) -> Option<Multiaddr> {
    let fits = |address: &&Multiaddr| !is_circuit(address) && !is_loopback(address);
    let far = told.iter().filter(fits).find(|address| !is_local(address));
    dialed.or(far).or(told.iter().find(fits)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(is_bootstrap: bool, rtt_ms: Option<u64>) -> Candidate {
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        Candidate { peer, is_bootstrap, rtt: rtt_ms.map(Duration::from_millis) }
    }

    #[test]
    fn named_relays_come_first_and_then_near_ones() {
        let far = candidate(false, Some(90));
        let near = candidate(false, Some(3));
        let unmeasured = candidate(false, None);
        let named = candidate(true, Some(200));
        let all = vec![far.clone(), unmeasured.clone(), near.clone(), named.clone()];
        assert_eq!(choose(all.clone(), 2), [named.peer, near.peer]);
        assert_eq!(choose(all.clone(), 9), [named.peer, near.peer, far.peer, unmeasured.peer]);
        assert!(choose(all, 0).is_empty());
    }

    #[test]
    fn the_address_that_worked_is_told() {
        let parse = |text: &str| -> Multiaddr { text.parse().unwrap() };
        let (loopback, lan, far) =
            (parse("/ip4/127.0.0.1/tcp/1"), parse("/ip4/10.0.0.1/tcp/1"), parse("/ip4/8.8.8.8/tcp/1"));
        let told = [loopback.clone(), lan.clone(), far.clone()];
        assert_eq!(relay_address(Some(&lan), &told), Some(lan.clone()));
        assert_eq!(relay_address(None, &told), Some(far));
        assert_eq!(relay_address(None, &told[..2]), Some(lan));
        assert_eq!(relay_address(None, &[loopback]), None);
    }
}
