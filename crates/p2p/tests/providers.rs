//! Provider records between nodes on loopback, and what a peer that lies about them comes to.

use std::collections::HashSet;
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::{upgrade, Endpoint, Transport};
use libp2p::identity::Keypair;
use libp2p::{noise, tcp, yamux, Multiaddr, PeerId};
use mesh_p2p::{Code, Config, Event, PeerKey};

mod common;

use common::{config, Peer, PATIENCE, STREAM};

/// What these tests ask a node.
trait Seeker {
    fn find(&self, key: &[u8]) -> (HashSet<PeerKey>, u32, Option<Code>);
    /// Asks until the answer is this one.
    fn comes_to_find(&self, key: &[u8], wanted: &[PeerKey]);
}

impl Seeker for Peer {
    fn find(&self, key: &[u8]) -> (HashSet<PeerKey>, u32, Option<Code>) {
        let asked = self.node.find_providers(key).expect("it can be asked");
        self.until("the search ends", |event| match event {
            Event::ProvidersFound { request, peers, asked: answers, error } if *request == asked => {
                Some((peers.iter().copied().collect(), *answers, error.as_ref().map(|error| error.code)))
            }
            _ => None,
        })
    }

    fn comes_to_find(&self, key: &[u8], wanted: &[PeerKey]) {
        let wanted: HashSet<PeerKey> = wanted.iter().copied().collect();
        let end = Instant::now() + PATIENCE;
        let mut found = self.find(key).0;
        while found != wanted {
            assert!(Instant::now() < end, "{found:?} are found, and not {wanted:?}");
            std::thread::yield_now();
            found = self.find(key).0;
        }
    }
}

#[test]
fn a_peer_that_has_gone_is_told_of_to_one_that_never_met_it() {
    let bootstrap = Peer::start(config(1, &[]));
    let others: Vec<Peer> = (2..5).map(|number| Peer::start(config(number, &[&bootstrap]))).collect();
    let provider = Peer::start(config(5, &[&bootstrap]));
    let key = [5; 34];
    provider.node.provide(&key).unwrap();
    provider.node.provide(&key).unwrap();
    provider.until("it is told", |event| matches!(event, Event::Announced { keys: 1 }).then_some(()));
    let provided_by = provider.node.key();
    bootstrap.comes_to_find(&key, &[provided_by]);
    drop(provider);
    bootstrap.until("the provider goes", |event| {
        matches!(event, Event::Disconnected { peer, .. } if *peer == provided_by).then_some(())
    });

    let late = Peer::start(config(6, &[&bootstrap]));
    late.meets(&bootstrap);
    let (found, asked, error) = late.find(&key);
    assert_eq!((found, error), (HashSet::from([provided_by]), None));
    assert!(asked > 0);
    assert_eq!(late.find(&[6; 34]).0, HashSet::new());
    drop(others);
}

#[test]
fn who_is_found_can_be_asked() {
    let bootstrap = Peer::start(config(11, &[]));
    let providers: Vec<Peer> = (12..15).map(|number| Peer::start(config(number, &[&bootstrap]))).collect();
    for provider in &providers {
        provider.node.provide(b"content").unwrap();
    }
    let keys: Vec<PeerKey> = providers.iter().map(|provider| provider.node.key()).collect();
    let seeker = Peer::start(config(15, &[&bootstrap]));
    seeker.meets(&bootstrap);
    seeker.comes_to_find(b"content", &keys);
    for key in keys {
        let asked = seeker.node.open_stream(key, STREAM, "").unwrap();
        let opened = seeker.until("the stream opens", |event| match event {
            Event::StreamOpened { request, .. } if *request == asked => Some(true),
            Event::StreamRefused { request, .. } if *request == asked => Some(false),
            _ => None,
        });
        assert!(opened);
    }
}

#[test]
fn what_is_no_longer_provided_is_forgotten_in_time() {
    let short = |number, bootstrap: &[&Peer]| Config {
        provider_lifetime: Duration::from_secs(2),
        provider_interval: Duration::from_millis(500),
        ..config(number, bootstrap)
    };
    let bootstrap = Peer::start(short(21, &[]));
    let provider = Peer::start(short(22, &[&bootstrap]));
    provider.node.provide(b"kept").unwrap();
    provider.node.provide(b"given up").unwrap();
    provider.until("both are told", |event| matches!(event, Event::Announced { keys: 2 }).then_some(()));
    for key in [&b"kept"[..], b"given up"] {
        bootstrap.comes_to_find(key, &[provider.node.key()]);
    }
    provider.node.stop_providing(b"given up").unwrap();
    provider.node.stop_providing(b"never provided").unwrap();
    bootstrap.comes_to_find(b"given up", &[]);
    // It is as old as the other, and was told again meanwhile.
    bootstrap.comes_to_find(b"kept", &[provider.node.key()]);
}

#[test]
fn keys_and_their_number_are_bounded() {
    let alone = Peer::start(config(31, &[]));
    for bytes in [vec![], vec![1; 67]] {
        for refused in [
            alone.node.provide(&bytes).unwrap_err(),
            alone.node.stop_providing(&bytes).unwrap_err(),
            alone.node.find_providers(&bytes).unwrap_err(),
        ] {
            assert_eq!(refused.code, Code::Invalid);
        }
    }
    for number in 0..8 {
        alone.node.provide(&[number; 34]).unwrap();
    }
    assert_eq!(alone.node.provide(&[8; 34]).unwrap_err().code, Code::Exhausted);
    alone.node.provide(&[7; 34]).unwrap();
    alone.node.stop_providing(&[7; 34]).unwrap();
    alone.node.provide(&[8; 34]).unwrap();
    // Nobody is there who could be asked.
    assert_eq!(alone.find(&[0; 34]), (HashSet::new(), 0, Some(Code::Unavailable)));
}

/// Speaks to a node byte by byte.
struct Liar {
    peer: PeerId,
    muxer: StreamMuxerBox,
}

impl Liar {
    async fn dial(target: &Peer) -> Self {
        let keys = Keypair::generate_ed25519();
        let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
            .upgrade(upgrade::Version::V1)
            .authenticate(noise::Config::new(&keys).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
        let mut address: Multiaddr = target.node.listening()[0].parse().unwrap();
        address.pop();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let (_, muxer) = transport.dial(address, options).unwrap().await.unwrap();
        Self { peer: keys.public().to_peer_id(), muxer }
    }

    /// One message of Kademlia; returns once the node has read it.
    async fn say(&mut self, message: &[u8]) {
        let muxer = &mut self.muxer;
        let mut stream = poll_fn(|context| {
            let _ = muxer.poll_unpin(context);
            muxer.poll_outbound_unpin(context)
        })
        .await
        .unwrap();
        let talk = async move {
            let mut bytes = Vec::new();
            for line in ["/multistream/1.0.0\n", "/meshwork/kad/1.0.0\n"] {
                bytes.extend(length_and(line.as_bytes()));
            }
            let mut answer = vec![0; bytes.len()];
            bytes.extend(length_and(message));
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, bytes[..answer.len()]);
            stream.close().await.unwrap();
            let _ = stream.read_to_end(&mut answer).await;
        };
        let drive = poll_fn(|context| {
            while let Poll::Ready(Ok(_)) = muxer.poll_unpin(context) {}
            Poll::<()>::Pending
        });
        tokio::select! {
            () = talk => {}
            () = drive => {}
        }
    }
}

fn length_and(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[bytes.len() as u8], bytes].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], length_and(bytes)].concat()
}

/// ADD_PROVIDER as the specification of libp2p's Kademlia has it: type 2, key, and a peer with its id.
fn add_provider(key: &[u8], peer: &PeerId) -> Vec<u8> {
    [vec![1 << 3, 2], field(2, key), field(9, &field(1, &peer.to_bytes()))].concat()
}

#[test]
fn a_liar_speaks_for_nobody_else_and_takes_no_more_than_its_places() {
    let node = Peer::start(Config { max_provided: 4, ..config(41, &[]) });
    let victim = Peer::start(config(42, &[&node]));
    node.meets(&victim);
    let victim_id = PeerId::from_bytes(&[&[0, 0x24, 8, 1, 0x12, 0x20], &victim.node.key()[..]].concat()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut liar = runtime.block_on(Liar::dial(&node));
    let own = liar.peer;
    runtime.block_on(async {
        liar.say(&add_provider(b"forged", &victim_id)).await;
        liar.say(&add_provider(&[1; 67], &own)).await;
        for number in 0..20u8 {
            liar.say(&add_provider(&[number; 34], &own)).await;
        }
    });
    let liar_key: PeerKey = own.to_bytes()[6..].try_into().unwrap();
    for number in 0..20u8 {
        let expected = if number < 4 { HashSet::from([liar_key]) } else { HashSet::new() };
        assert_eq!(node.find(&[number; 34]).0, expected, "key {number}");
    }
    assert_eq!(node.find(b"forged").0, HashSet::new());
    // Others have their places all the same.
    victim.node.provide(b"honest").unwrap();
    node.comes_to_find(b"honest", &[victim.node.key()]);
}
