//! Safe Rust over rust-libp2p: discovery, provider records, reach through NATs, gossip, direct messages and raw
//! streams, as commands in and events out.
//!
//! No domain rules and no FFI. One Tokio worker runs everything (two were slower); the owner's thread only puts
//! commands into bounded queues and drains the event queue. Every key is Ed25519, so that a peer is 32 bytes.

pub mod address;
mod budget;
pub mod event;
mod messages;
mod node;
mod providers;
mod pump;
mod queue;
mod rate;
mod reach;
mod streams;

pub use event::{
    Attempt, Code, Config, Error, Event, Found, Outcome, PeerKey, Reachability, RelayPolicy, StreamEnd, Verdict,
};
pub use node::Node;
