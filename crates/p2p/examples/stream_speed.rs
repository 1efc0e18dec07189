//! How fast bytes go over one encrypted stream of rust-libp2p between two processes, TCP on loopback, from memory to memory:
//! what `make bench` puts beside a transfer of ours. It uses nothing of this crate.
//!
//! `stream_speed serve` prints its address and serves until it is ended; `stream_speed send ADDRESS BYTES` prints the seconds
//! from the first byte until the other side has said that it has them all.

use std::time::Instant;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{multiaddr::Protocol, noise, swarm::SwarmEvent, tcp, yamux, Multiaddr, Stream, StreamProtocol, Swarm};
use libp2p_stream as stream;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/stream-speed/1");
const BUFFER_BYTES: usize = 256 << 10;

type Failure = Box<dyn std::error::Error>;

fn swarm() -> Result<Swarm<stream::Behaviour>, Failure> {
    Ok(libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| stream::Behaviour::new())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(std::time::Duration::from_secs(60)))
        .build())
}

async fn take(mut stream: Stream) -> Result<(), Failure> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    let mut left = u64::from_be_bytes(head);
    let mut buffer = vec![0; BUFFER_BYTES];
    while left > 0 {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err("the stream ended early".into());
        }
        left = left.saturating_sub(count as u64);
    }
    stream.write_all(&head).await?;
    stream.close().await?;
    Ok(())
}

async fn serve() -> Result<(), Failure> {
    let mut swarm = swarm()?;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let mut incoming = swarm.behaviour().new_control().accept(PROTOCOL)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(async move {
                if let Err(error) = take(stream).await {
                    eprintln!("{error}");
                }
            });
        }
    });
    let own = *swarm.local_peer_id();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            println!("{}", address.with(Protocol::P2p(own)));
        }
    }
}

async fn send(address: Multiaddr, bytes: u64) -> Result<(), Failure> {
    let mut swarm = swarm()?;
    swarm.dial(address)?;
    let peer = loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => break peer_id,
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    };
    let mut control = swarm.behaviour().new_control();
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let mut stream = control.open_stream(peer, PROTOCOL).await?;
    let buffer = vec![0x5a; BUFFER_BYTES];
    let began = Instant::now();
    let head = bytes.to_be_bytes();
    stream.write_all(&head).await?;
    let mut left = bytes;
    while left > 0 {
        let count = left.min(BUFFER_BYTES as u64);
        stream.write_all(buffer.get(..usize::try_from(count)?).ok_or("no buffer")?).await?;
        left -= count;
    }
    stream.flush().await?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await?;
    println!("{:.6}", began.elapsed().as_secs_f64());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve"] => serve().await,
        ["send", address, bytes] => send(address.parse()?, bytes.parse()?).await,
        _ => Err("usage: stream_speed serve | send ADDRESS BYTES".into()),
    }
}
