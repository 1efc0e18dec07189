//! A second connection over another transport: made, chosen for a stream, and closed.

use std::time::Duration;

use mesh_p2p::{Code, Config, Event};

mod common;

use common::{config, Peer, STREAM};

const BOTH: [&str; 2] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];

fn listening(number: u8, listen: &[&str], bootstrap: &[&Peer]) -> Config {
    Config { listen: listen.iter().map(|address| address.to_string()).collect(), ..config(number, bootstrap) }
}

/// Two that are connected over TCP and know what each other listens at.
fn pair(first: Config, second: impl FnOnce(&Peer) -> Config) -> (Peer, Peer) {
    let first = Peer::start(first);
    let second = Peer::start(second(&first));
    second.meets(&first);
    first.meets(&second);
    (first, second)
}

/// Opens a stream: its number and transport.
fn open(from: &Peer, to: &Peer, preferred: &str) -> (u64, &'static str) {
    let asked = from.node.open_stream(to.node.key(), STREAM, preferred).unwrap();
    from.until("the stream opens", |event| match event {
        Event::StreamOpened { request, stream, transport, .. } if *request == asked => Some((*stream, *transport)),
        Event::StreamRefused { request, error, .. } if *request == asked => panic!("{error:?}"),
        _ => None,
    })
}

fn transport(from: &Peer, to: &Peer, preferred: &str) -> &'static str {
    let (stream, transport) = open(from, to, preferred);
    from.node.reset_stream(stream);
    transport
}

fn outcome(of: &Peer, asked: u64) -> Option<Code> {
    of.until("the dial ends", |event| match event {
        Event::DialDone { request, error, .. } if *request == asked => Some(error.as_ref().map(|error| error.code)),
        _ => None,
    })
}

fn connect(from: &Peer, to: &Peer, transport: &str) -> Option<Code> {
    outcome(from, from.node.connect_by(to.node.key(), transport).unwrap())
}

#[test]
fn a_stream_takes_the_transport_that_it_prefers_where_there_is_one() {
    let (first, second) = pair(listening(1, &BOTH, &[]), |first| listening(2, &BOTH, &[first]));
    // None is made for it.
    assert_eq!(transport(&second, &first, "quic"), "tcp");
    assert_eq!(connect(&second, &first, "quic"), None);
    for (from, to) in [(&second, &first), (&first, &second)] {
        assert_eq!(transport(from, to, "quic"), "quic");
        assert_eq!(transport(from, to, "tcp"), "tcp");
        // What prefers none stays where it was.
        assert_eq!(transport(from, to, ""), "tcp");
    }
    // Once more is no second one, from neither side.
    assert_eq!(connect(&second, &first, "quic"), None);
    assert_eq!(connect(&first, &second, "quic"), None);
    assert_eq!(connect(&first, &second, "tcp"), None);
}

#[test]
fn both_may_dial_at_once() {
    let (first, second) = pair(listening(11, &BOTH, &[]), |first| listening(12, &BOTH, &[first]));
    let asked = [&first, &second].map(|peer| {
        let other = if std::ptr::eq(peer, &first) { &second } else { &first };
        peer.node.connect_by(other.node.key(), "quic").unwrap()
    });
    assert_eq!((outcome(&first, asked[0]), outcome(&second, asked[1])), (None, None));
    assert_eq!((transport(&first, &second, "quic"), transport(&second, &first, "quic")), ("quic", "quic"));
    assert_eq!((transport(&first, &second, ""), transport(&second, &first, "")), ("tcp", "tcp"));
}

#[test]
fn what_idles_is_closed_and_what_is_used_is_not() {
    let quick = |config: Config| Config {
        spare_idle: Duration::from_millis(400),
        ping_interval: Duration::from_millis(100),
        ..config
    };
    let (first, second) = pair(quick(listening(21, &BOTH, &[])), |first| quick(listening(22, &BOTH, &[first])));
    assert_eq!(connect(&second, &first, "quic"), None);
    let (used, by) = open(&second, &first, "quic");
    assert_eq!(by, "quic");
    // Much longer than it may idle: each connection is pinged ten times a second.
    let mut pings = 0;
    second.until("time passes", |event| {
        pings += usize::from(matches!(event, Event::Rtt { .. }));
        (pings == 40).then_some(())
    });
    assert_eq!(transport(&second, &first, "quic"), "quic");
    second.node.reset_stream(used);
    // Looking for it would use it.
    let mut pings = 0;
    second.until("time passes", |event| {
        assert!(!matches!(event, Event::Disconnected { .. }));
        pings += usize::from(matches!(event, Event::Rtt { .. }));
        (pings == 40).then_some(())
    });
    assert_eq!(transport(&second, &first, "quic"), "tcp");
    assert_eq!(connect(&second, &first, "quic"), None);
    assert_eq!(transport(&second, &first, "quic"), "quic");
}

#[test]
fn what_cannot_be_dialed_is_said_by_name() {
    let (first, second) = pair(listening(31, &BOTH[..1], &[]), |first| listening(32, &BOTH, &[first]));
    assert_eq!(connect(&second, &first, "quic"), Some(Code::Unsupported));
    assert_eq!(connect(&first, &second, "quic"), None);
    let stranger = Peer::start(listening(33, &BOTH, &[]));
    assert_eq!(connect(&first, &stranger, "quic"), Some(Code::Unsupported));
    for wrong in ["", "ws", "relay", "QUIC"] {
        let error = first.node.connect_by(second.node.key(), wrong).unwrap_err();
        assert_eq!(error.code, Code::Invalid, "{wrong}");
    }
    assert_eq!(first.node.connect_by(first.node.key(), "tcp").unwrap_err().code, Code::Invalid);
    assert_eq!(first.node.open_stream(second.node.key(), STREAM, "ws").unwrap_err().code, Code::Invalid);
}

#[test]
fn a_peer_may_have_no_more_connections_than_the_bound() {
    let one = |config: Config| Config { max_connections_per_peer: 1, ..config };
    let (first, second) = pair(one(listening(41, &BOTH, &[])), |first| listening(42, &BOTH, &[first]));
    assert!(connect(&first, &second, "quic").is_some());
    assert_eq!(transport(&first, &second, "quic"), "tcp");
    assert_eq!(transport(&second, &first, ""), "tcp");
}
