//! Keys, addresses, and what a failed dial is called.

use std::net::IpAddr;

use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};

use crate::event::{Attempt, Outcome, PeerKey};

/// An identity multihash of a protobuf with key type Ed25519 and 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// None for a key that is not Ed25519.
pub fn key_of(peer: &PeerId) -> Option<PeerKey> {
    peer.to_bytes().strip_prefix(&PREFIX)?.try_into().ok()
}

pub fn peer_of(key: &PeerKey) -> Option<PeerId> {
    PeerId::from_bytes(&[PREFIX.as_slice(), key].concat()).ok()
}

/// The peer that an address ends with.
pub fn peer_in(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// Without the peer that it ends with. The relay that a circuit address names stays.
pub fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut bare = address.clone();
    if peer_in(address).is_some() {
        bare.pop();
    }
    bare
}

/// Whether the address leads through a relay.
pub fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether packets to the address stay on this machine or its private networks (RFC 1918, RFC 3927, RFC 4193, RFC 4291)
/// and so need no entry in the table of a router that translates addresses. Names count as far away.
pub fn is_local(address: &Multiaddr) -> bool {
    !is_circuit(address)
        && ip_of(address).is_some_and(|ip| match ip {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
            }
        })
}

/// Whether an address that a peer tells over a connection at `remote` can be of use. A loopback address is one of this
/// machine, and a private address one of this network, only if the peer is there too: elsewhere the same address is
/// somebody else's. Whoever is reached through a relay may be anywhere.
pub fn is_of_use(told: &Multiaddr, remote: &Multiaddr) -> bool {
    if is_loopback(told) && !is_circuit(told) {
        return is_loopback(remote) && !is_circuit(remote);
    }
    !is_local(told) || is_local(remote)
}

/// In which order to try a peer's addresses, few at a time: as they are known, but
/// one through a relay never later than third, so that a peer behind a NAT is not kept for last.
pub fn dial_order(known: &[Multiaddr]) -> Vec<Multiaddr> {
    let (mut circuits, mut order): (Vec<_>, Vec<_>) = known.iter().cloned().partition(is_circuit);
    if !circuits.is_empty() {
        order.insert(order.len().min(2), circuits.remove(0));
    }
    order.append(&mut circuits);
    order
}

/// Where a peer that is connected at `remote` may be dialed directly over another transport: of the addresses that are
/// known, at most so many, those with the IP address that it is connected at first.
pub fn beside(remote: &Multiaddr, known: &[Multiaddr], transport: &str, most: usize) -> Vec<Multiaddr> {
    let fits = |told: &&Multiaddr| transport_of(told) == transport && is_of_use(told, remote);
    let mut fitting: Vec<Multiaddr> = known.iter().filter(fits).cloned().collect();
    fitting.sort_by_key(|told| ip_of(told) != ip_of(remote));
    fitting.truncate(most);
    fitting
}

pub fn transport_of(address: &Multiaddr) -> &'static str {
    if is_circuit(address) {
        return "relay";
    }
    let mut name = "other";
    for part in address.iter() {
        name = match part {
            Protocol::Tcp(_) => "tcp",
            Protocol::QuicV1 | Protocol::Quic => "quic",
            Protocol::Ws(_) => "ws",
            Protocol::Wss(_) => "wss",
            _ => continue,
        };
    }
    name
}

pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    })
}

pub fn is_loopback(address: &Multiaddr) -> bool {
    ip_of(address).is_some_and(|ip| ip.is_loopback())
}

/// An error and all its causes, without repetitions.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn attempt(address: &Multiaddr, outcome: Outcome, text: String) -> Attempt {
    Attempt { address: address.to_string(), outcome, text }
}

fn of_transport(address: &Multiaddr, error: &TransportError<std::io::Error>) -> Attempt {
    let error = match error {
        TransportError::MultiaddrNotSupported(_) => {
            let text = format!("no transport of this program can reach {address}");
            return attempt(address, Outcome::Failed, text);
        }
        TransportError::Other(error) => error,
    };
    let mut text = chain(error);
    if let Some(inner) = error.get_ref() {
        if inner.source().is_some() {
            text = chain(inner);
        }
    }
    let lower = text.to_lowercase();
    if error.kind() == std::io::ErrorKind::ConnectionRefused || lower.contains("refused") {
        return attempt(address, Outcome::Refused, format!("nothing listens at {address}: connection refused"));
    }
    if error.kind() == std::io::ErrorKind::TimedOut || lower.contains("timed out") || lower.contains("timeout") {
        let text = format!("no answer from {address} in time; a firewall or a wrong address are the usual causes");
        return attempt(address, Outcome::TimedOut, text);
    }
    for sign in ["negotiat", "handshake", "protocol", "unexpected", "invalid", "multistream", "eof"] {
        if lower.contains(sign) {
            let text = format!("something listens at {address}, but it does not speak libp2p as we do: {text}");
            return attempt(address, Outcome::NotMeshwork, text);
        }
    }
    attempt(address, Outcome::Failed, format!("{address} failed: {text}"))
}

/// Why a dial failed, one attempt per address. `asked` names what was dialed where the error does not.
pub fn explain(error: &DialError, asked: &str) -> Vec<Attempt> {
    let plain = |outcome, text: String| vec![Attempt { address: asked.to_string(), outcome, text }];
    match error {
        DialError::Transport(errors) => errors.iter().map(|(address, error)| of_transport(address, error)).collect(),
        DialError::WrongPeerId { obtained, address } => {
            let text =
                format!("{address} answers as another peer, {obtained}; its key was changed or the address reused");
            vec![attempt(address, Outcome::WrongPeer, text)]
        }
        DialError::LocalPeerId { address } => {
            vec![attempt(address, Outcome::WrongPeer, format!("{address} is this node itself"))]
        }
        DialError::NoAddresses => plain(
            Outcome::NoAddresses,
            "no address of the peer is known; name one, or a bootstrap peer that knows it".into(),
        ),
        DialError::Denied { cause } => {
            plain(Outcome::Failed, format!("our own limits forbid the connection: {}", chain(cause)))
        }
        DialError::Aborted => plain(Outcome::Failed, "the attempt was given up".into()),
        DialError::DialPeerConditionFalse(_) => plain(Outcome::Failed, "another attempt is already under way".into()),
    }
}

/// One sentence for a failed dial.
pub fn sentence(error: &DialError, asked: &str) -> String {
    let texts: Vec<String> = explain(error, asked).into_iter().map(|attempt| attempt.text).collect();
    format!("cannot reach {asked}: {}", texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const RELAY: &str = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";

    #[test]
    fn keys_and_peer_ids_are_two_spellings() {
        let keypair = libp2p::identity::Keypair::generate_ed25519();
        let peer = keypair.public().to_peer_id();
        let key = key_of(&peer).unwrap();
        assert_eq!(key, keypair.public().try_into_ed25519().unwrap().to_bytes());
        assert_eq!(peer_of(&key), Some(peer));
        let rsa_like: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().unwrap();
        assert_eq!(key_of(&rsa_like), None);
    }

    #[test]
    fn transports_are_named() {
        let name = |text: &str| transport_of(&text.parse().unwrap());
        assert_eq!(name("/ip4/127.0.0.1/tcp/1"), "tcp");
        assert_eq!(name("/ip4/127.0.0.1/tcp/1/ws"), "ws");
        assert_eq!(name("/ip6/::1/udp/1/quic-v1"), "quic");
        assert_eq!(name("/memory/1"), "other");
        assert_eq!(name(&format!("/ip4/192.0.2.1/tcp/1/p2p/{RELAY}/p2p-circuit")), "relay");
    }

    #[test]
    fn only_the_last_peer_is_taken_off() {
        let circuit = format!("/ip4/192.0.2.1/tcp/1/p2p/{RELAY}/p2p-circuit");
        let whole: Multiaddr = format!("{circuit}/p2p/{RELAY}").parse().unwrap();
        assert_eq!(without_peer(&whole).to_string(), circuit);
        assert_eq!(without_peer(&without_peer(&whole)).to_string(), circuit);
        assert!(is_circuit(&whole) && !is_circuit(&"/ip4/192.0.2.1/tcp/1".parse().unwrap()));
    }

    #[test]
    fn private_networks_need_no_router() {
        let local = |text: &str| is_local(&text.parse().unwrap());
        for text in
            ["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/udp/1/quic-v1", "/ip4/169.254.1.1/tcp/1", "/ip6/fd00::1/tcp/1"]
        {
            assert!(local(text), "{text}");
        }
        for text in ["/ip4/8.8.8.8/tcp/1", "/ip6/2001:db8::1/tcp/1", "/dns4/example.org/tcp/1"] {
            assert!(!local(text), "{text}");
        }
        assert!(!local(&format!("/ip4/10.0.0.1/tcp/1/p2p/{RELAY}/p2p-circuit")));
    }

    #[test]
    fn private_addresses_are_of_use_to_neighbours() {
        let of_use = |told: &str, remote: &str| is_of_use(&told.parse().unwrap(), &remote.parse().unwrap());
        let circuit = format!("/ip4/127.0.0.1/tcp/1/p2p/{RELAY}/p2p-circuit");
        let (loopback, lan, far) = ("/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1");
        for (told, remote) in
            [(loopback, loopback), (lan, loopback), (lan, lan), (far, lan), (far, far), (far, &circuit)]
        {
            assert!(of_use(told, remote), "{told} told at {remote}");
        }
        for (told, remote) in [(loopback, lan), (loopback, far), (lan, far), (loopback, &circuit), (lan, &circuit)] {
            assert!(!of_use(told, remote), "{told} told at {remote}");
        }
        assert!(of_use(&circuit, far) && of_use(&circuit, &circuit));
    }

    #[test]
    fn another_transport_is_dialed_where_the_peer_is() {
        let parse = |text: &str| -> Multiaddr { text.parse().unwrap() };
        let (near, far) = (parse("/ip4/10.0.0.2/udp/1/quic-v1"), parse("/ip4/8.8.8.8/udp/1/quic-v1"));
        let circuit = parse(&format!("/ip4/10.0.0.2/udp/1/quic-v1/p2p/{RELAY}/p2p-circuit"));
        let known = [
            parse("/ip4/127.0.0.1/udp/1/quic-v1"),
            circuit,
            far.clone(),
            parse("/ip4/10.0.0.2/tcp/1"),
            parse("/ip4/10.0.0.2/tcp/2/ws"),
            near.clone(),
        ];
        let at = |remote: &str, transport, most| beside(&parse(remote), &known, transport, most);
        assert_eq!(at("/ip4/10.0.0.2/tcp/999", "quic", 4), [near.clone(), far.clone()]);
        assert_eq!(at("/ip4/10.0.0.2/tcp/999", "quic", 1), [near]);
        assert_eq!(at("/ip4/10.0.0.2/udp/999/quic-v1", "tcp", 4), [parse("/ip4/10.0.0.2/tcp/1")]);
        assert_eq!(at("/ip4/8.8.8.8/tcp/999", "quic", 4), [far]);
        assert!(at("/ip4/8.8.8.8/tcp/999", "tcp", 4).is_empty());
    }

    #[test]
    fn a_relay_is_tried_early() {
        let direct = |port: u16| -> Multiaddr { format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap() };
        let circuit =
            |port: u16| -> Multiaddr { format!("/ip4/192.0.2.9/tcp/{port}/p2p/{RELAY}/p2p-circuit").parse().unwrap() };
        let known = [direct(1), direct(2), direct(3), circuit(1), direct(4), circuit(2)];
        let expected = [direct(1), direct(2), circuit(1), direct(3), direct(4), circuit(2)];
        assert_eq!(dial_order(&known), expected);
        assert_eq!(dial_order(&[circuit(1), direct(1)]), [direct(1), circuit(1)]);
        assert_eq!(dial_order(&[]), []);
    }

    #[test]
    fn failures_are_classified() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let of = |error: io::Error| {
            let error = DialError::Transport(vec![(address.clone(), TransportError::Other(error))]);
            explain(&error, "x")[0].outcome
        };
        assert_eq!(of(io::ErrorKind::ConnectionRefused.into()), Outcome::Refused);
        assert_eq!(of(io::ErrorKind::TimedOut.into()), Outcome::TimedOut);
        assert_eq!(of(io::Error::other("Handshake failed")), Outcome::NotMeshwork);
        assert_eq!(of(io::Error::other("no route to host")), Outcome::Failed);
        assert_eq!(explain(&DialError::NoAddresses, "x")[0].outcome, Outcome::NoAddresses);
    }
}
