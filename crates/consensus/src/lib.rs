//! Byzantine agreement on a chain of blocks, each of a header that names it and opaque bytes: Malachite's core behind one step.
//!
//! No domain rules, no FFI, no I/O, no clock. `Consensus` is one validator or follower, `Certificate` what proves a block to
//! anyone who has the validators of its height, `Evidence` what proves that a validator said two things that exclude each
//! other. docs/design/protocols.md, "Ledger", has the bytes and the rules.

pub mod certificate;
pub mod consensus;
pub mod error;
pub mod layout;
mod planted;
pub mod signatures;
pub mod types;
pub mod wire;

pub use certificate::Certificate;
pub use consensus::{safe_height, Config, Consensus, Effect, Input, Output, Timeouts, Timer, TimerKind, Verdict};
pub use error::{Code, Error};
pub use layout::{block_id, header_of};
pub use types::{BlockId, Federation, Key, ValidatorSet};
pub use wire::Evidence;

#[cfg(test)]
mod tests;
