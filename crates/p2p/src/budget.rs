//! How much this node dials through a router: a home router's table of translated addresses has a few thousand entries,
//! each kept for minutes, and every address that is tried beyond the private networks takes one.
//!
//! Bounds: `max_dials_per_s` groups of ADDRESSES_AT_ONCE addresses, twice as many at once; MAX_ADDRESSES of one peer. Those
//! of private networks are free. A dial past the bound is denied with `TooManyDials`, whoever wanted it.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::transport::PortUse;
use libp2p::core::Endpoint;
use libp2p::swarm::{
    dummy, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use crate::address::is_local;
use crate::rate::Rate;

/// How many addresses of one peer are tried at the same time (the swarm's dial concurrency).
pub const ADDRESSES_AT_ONCE: u8 = 4;
/// Of one dial; DCUtR sends up to twenty.
const MAX_ADDRESSES: usize = 32;

#[derive(Debug)]
pub struct TooManyDials;

impl std::fmt::Display for TooManyDials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many dials in a short time, which a home router may not bear; try again in a moment")
    }
}

impl std::error::Error for TooManyDials {}

pub struct Behaviour {
    rate: Rate,
}

impl Behaviour {
    pub fn new(max_dials_per_s: u32, now: Instant) -> Self {
        Self { rate: Rate::new(max_dials_per_s, now) }
    }

    /// Counts a dial of these addresses, or refuses it. Without addresses it is of those that other behaviours know.
    fn admit(&mut self, addresses: &[Multiaddr], now: Instant) -> Result<(), TooManyDials> {
        let far = addresses.iter().filter(|address| !is_local(address)).count();
        if addresses.len() > MAX_ADDRESSES {
            return Err(TooManyDials);
        }
        if far == 0 && !addresses.is_empty() {
            return Ok(());
        }
        let cost = far.div_ceil(usize::from(ADDRESSES_AT_ONCE)).max(1) as u32;
        if self.rate.take_many(cost, now) {
            Ok(())
        } else {
            Err(TooManyDials)
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.admit(addresses, Instant::now()).map_err(ConnectionDenied::new)?;
        Ok(vec![])
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn addresses(network: &str, count: usize) -> Vec<Multiaddr> {
        (1..=count).map(|port| format!("/ip4/{network}/tcp/{port}").parse().unwrap()).collect()
    }

    #[test]
    fn far_dials_are_counted_by_their_addresses() {
        let now = Instant::now();
        let mut budget = Behaviour::new(2, now);
        assert!(budget.admit(&addresses("8.8.8.8", 4), now).is_ok());
        assert!(budget.admit(&addresses("8.8.8.8", 5), now).is_ok());
        assert!(budget.admit(&[], now).is_ok());
        assert!(budget.admit(&addresses("8.8.8.8", 1), now).is_err());
        let later = now + Duration::from_millis(500);
        assert!(budget.admit(&addresses("8.8.8.8", 1), later).is_ok());
        assert!(budget.admit(&addresses("8.8.8.8", 1), later).is_err());
    }

    #[test]
    fn private_networks_are_free() {
        let now = Instant::now();
        let mut budget = Behaviour::new(1, now);
        for _ in 0..100 {
            assert!(budget.admit(&addresses("192.168.1.7", 12), now).is_ok());
        }
        assert!(budget.admit(&addresses("8.8.8.8", 1), now).is_ok());
    }

    #[test]
    fn one_dial_tries_no_more_than_its_bound() {
        let now = Instant::now();
        let mut budget = Behaviour::new(1000, now);
        assert!(budget.admit(&addresses("8.8.8.8", MAX_ADDRESSES), now).is_ok());
        assert!(budget.admit(&addresses("8.8.8.8", MAX_ADDRESSES + 1), now).is_err());
        assert!(budget.admit(&addresses("192.168.1.7", MAX_ADDRESSES + 1), now).is_err());
    }
}
