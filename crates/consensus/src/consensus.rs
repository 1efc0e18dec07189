//! One validator, or one follower: inputs in, effects out, and nothing else. No clock, no thread, no randomness, no I/O.
//!
//! A height goes from *waiting* (its validators are known, messages for it are heard and held) over *running* to *decided*.
//! It runs once there is something to decide: the application has something to propose (`Wake`), or said that a proposal
//! of this height's proposer is valid, or more than a third of the power votes at it, so that an honest validator was woken.
//! So nobody makes empty blocks, and one liar wakes nobody. The application owes that whoever holds a transaction hands it
//! to all validators until it is in a block: each that gets it wakes by itself.
//!
//! Effects have an order: those that come after an `Append` may be released only when that entry is durable. `after` says
//! so for each: how many entries, of all since this was made, must be on the disk before.
//!
//! Bounds: 256 validators, blocks of 5 MiB and eight of them at a height, two of one round that nobody votes for, messages at most
//! ten rounds ahead and one height ahead, 64 votes of each validator held or remembered, 16,384 signatures remembered as checked.

mod blocks;
mod engine;
mod heights;
mod lagging;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_malachitebft_core_consensus as malachite;
use arc_malachitebft_core_types as core;
use core::{Round, VoteType};
use ed25519_zebra::{SigningKey, VerificationKey};

use self::blocks::{Block, Question};
use crate::certificate::Certificate;
use crate::error::{Code, Error, Result};
use crate::planted::{planted, Bug};
use crate::types::{BlockId, Ctx, Federation, Key, Sig, SignedProposal, SignedVote, ValidatorSet};
use crate::wire::{Entry, Message};

type Core = malachite::State<Ctx>;
type CoreInput = malachite::Input<Ctx>;
type CoreEffect = malachite::Effect<Ctx>;

const MAX_ROUNDS_AHEAD: u32 = malachite::MAX_FUTURE_ROUND_LOOKAHEAD;
/// Votes of one validator that are remembered or held: two kinds, and more rounds than any message may be ahead.
const MAX_VOTES_EACH: usize = 64;
/// A proposal of the next height is held for its first rounds alone: it may be 4 MiB.
const MAX_HELD_PROPOSAL_ROUND: u32 = 1;
/// Votes of the next height that are held of each validator.
const MAX_EARLY_VOTES_EACH: usize = 8;
const MAX_LOG_ENTRIES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub propose_ms: u64,
    pub prevote_ms: u64,
    pub precommit_ms: u64,
    /// Each of the three grows by this with every round.
    pub step_ms: u64,
    pub max_ms: u64,
    /// How often what this validator said last is said again while nothing is decided.
    pub rebroadcast_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose_ms: 1000,
            prevote_ms: 300,
            precommit_ms: 300,
            step_ms: 300,
            max_ms: 20_000,
            rebroadcast_ms: 1000,
        }
    }
}

#[derive(Clone)]
pub struct Config {
    pub federation: Federation,
    /// A validator's secret; a follower has none.
    pub seed: Option<[u8; 32]>,
    /// Sign nothing until `SafeFrom`.
    pub observe: bool,
    pub timeouts: Timeouts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TimerKind {
    Propose = 1,
    Prevote,
    Precommit,
    Rebroadcast,
    /// What is missing is said again.
    Remind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    pub height: u64,
    pub kind: TimerKind,
    pub round: u32,
}

/// What the application says of bytes that it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    Valid = 1,
    Invalid,
    /// These bytes are not the block that their header names. It says nothing about that block.
    Mismatched,
    /// It cannot say yet, because the block's time is ahead of its clock: it is asked again.
    Undecided,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The height to be decided next, by whom, and what the log has of it. With a log it runs at once, without one it waits.
    Height {
        height: u64,
        validators: ValidatorSet,
        log: Vec<Vec<u8>>,
    },
    /// The application has something to propose at the present height.
    Wake,
    /// From a peer.
    Message(Vec<u8>),
    /// The answer to `GetBlock`; none, or one that comes too late, is a round without a decision.
    Propose {
        height: u64,
        round: u32,
        block: Vec<u8>,
    },
    /// The answer to `Validate`.
    Verdict {
        question: u64,
        verdict: Verdict,
    },
    Elapsed(Timer),
    /// What others have decided at the present height.
    Synced {
        certificate: Vec<u8>,
        block: Vec<u8>,
    },
    /// From this height on it is certain that this key has not signed anything that this node does not know of.
    SafeFrom {
        height: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To all validators and followers.
    Broadcast {
        message: Vec<u8>,
    },
    /// The `position`-th entry since this was made (the first is 1).
    Append {
        position: u64,
        height: u64,
        entry: Vec<u8>,
    },
    /// Entries of lower heights are not needed any more.
    Forget {
        below: u64,
    },
    /// Replaces the timer of the same name.
    SetTimer {
        timer: Timer,
        after_ms: u64,
    },
    CancelTimer {
        timer: Timer,
    },
    CancelTimers,
    /// A new round; `proposer` may be this node.
    RoundStarted {
        height: u64,
        round: u32,
        proposer: Key,
    },
    GetBlock {
        height: u64,
        round: u32,
        within_ms: u64,
    },
    /// Whether these bytes are the block that their header names, and whether it may follow on the last decided one. Of one block
    /// it may be asked more than once: for other bytes, or because more is known. `wanted`: two thirds have prevoted for it, so
    /// that an honest validator found its time right. `certified`: two thirds have precommitted, so that it is final.
    Validate {
        question: u64,
        height: u64,
        round: u32,
        block: BlockId,
        bytes: Arc<[u8]>,
        proposer: Key,
        wanted: bool,
        certified: bool,
    },
    Decided {
        height: u64,
        round: u32,
        block: BlockId,
        bytes: Arc<[u8]>,
        certificate: Vec<u8>,
    },
    Evidence {
        offender: Key,
        height: u64,
        evidence: Vec<u8>,
    },
    /// Decided, but the block is not here: fetch it with its certificate.
    WantSync {
        height: u64,
    },
    /// A validator is at a later height: what lies between can be fetched.
    PeerAhead {
        validator: Key,
        height: u64,
    },
    /// A validator still votes at a height that this node has decided: it lacks the block and the certificate.
    PeerBehind {
        validator: Key,
        height: u64,
    },
    /// This key has signed something that this node does not know of. It observes until `SafeFrom`.
    Amnesia {
        height: u64,
        round: u32,
    },
    /// The application refused what two thirds have certified.
    CertifiedRefused {
        height: u64,
        block: BlockId,
    },
    /// For the log of the operator.
    Trouble {
        text: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// To be released when this many entries are durable.
    pub after: u64,
    pub effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    Waiting,
    Running,
    /// The core has decided on a block that was dropped.
    Blind,
    Decided,
}

#[derive(Clone)]
enum Said {
    Vote(SignedVote),
    Proposal(SignedProposal),
}

/// 0 proposal, 1 prevote, 2 precommit.
type Slot = (Key, u8, u32);

/// What was heard at a height: to tell what contradicts it.
#[derive(Default)]
struct Heard {
    said: BTreeMap<Slot, Said>,
    accused: BTreeSet<Key>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    First,
    Repeated,
    Contradiction,
}

enum Held {
    Vote(SignedVote),
    Proposal(SignedProposal),
}

pub struct Consensus {
    config: Config,
    secret: Option<SigningKey>,
    /// Of zeros for a follower, which is nobody's key: such a set is refused.
    own: Key,
    phase: Phase,
    height: u64,
    validators: Option<ValidatorSet>,
    core: Option<Core>,
    signs_from: u64,
    /// Above what this key was seen to have signed.
    unsafe_below: u64,
    /// Everything signed at this height, by slot: none is signed otherwise, whatever the core wants.
    signed: BTreeMap<(u8, u32), (Vec<u8>, Sig)>,
    /// Whether the log says that from here on this key signs.
    logged_signing: bool,
    own_proposal: Option<(u32, Vec<u8>)>,
    blocks: BTreeMap<BlockId, Block>,
    heard: Heard,
    heard_before: Heard,
    held: Vec<Held>,
    next_held: Vec<Message>,
    /// The names proposed in each round.
    offered: BTreeMap<u32, Vec<BlockId>>,
    /// Those of them that had to make room.
    dropped: BTreeSet<BlockId>,
    /// Those of which the log has the bytes.
    logged: BTreeSet<BlockId>,
    /// Of all since this was made; those that wait for an answer.
    last_question: u64,
    questions: BTreeMap<u64, Question>,
    /// What two thirds were seen to prevote for, and what is to be counted whether they precommit to it.
    polkas: BTreeSet<(u32, BlockId)>,
    precommitted: BTreeSet<(u32, BlockId)>,
    /// Of a block of this height that is not decided here only because it is not here, or not called valid.
    certified: Option<Certificate>,
    /// The latest height that each validator was seen to sign at.
    latest: BTreeMap<Key, u64>,
    /// Of whom it was said since the last reminder.
    told_behind: BTreeSet<Key>,
    reminding: bool,
    remind_ms: u64,
    /// Those that the core has set.
    timers: BTreeSet<Timer>,
    position: u64,
    /// While a log is replayed: what is in it, and the round that a block was asked for in.
    replayed: Option<BTreeSet<Vec<u8>>>,
    asked_in: Option<u32>,
    fatal: Option<Error>,
    out: Vec<Output>,
}

fn slot_of(kind: VoteType) -> u8 {
    match kind {
        VoteType::Prevote => 1,
        VoteType::Precommit => 2,
    }
}

fn round_of(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

impl Consensus {
    pub fn new(config: Config) -> Self {
        let secret = config.seed.map(SigningKey::from);
        let own = Key(secret.as_ref().map_or([0; 32], |secret| VerificationKey::from(secret).into()));
        let signs_from = if config.observe { u64::MAX } else { 0 };
        Self {
            config,
            secret,
            own,
            phase: Phase::Empty,
            height: 0,
            validators: None,
            core: None,
            signs_from,
            unsafe_below: 0,
            signed: BTreeMap::new(),
            logged_signing: true,
            own_proposal: None,
            blocks: BTreeMap::new(),
            heard: Heard::default(),
            heard_before: Heard::default(),
            held: Vec::new(),
            next_held: Vec::new(),
            offered: BTreeMap::new(),
            dropped: BTreeSet::new(),
            logged: BTreeSet::new(),
            last_question: 0,
            questions: BTreeMap::new(),
            polkas: BTreeSet::new(),
            precommitted: BTreeSet::new(),
            certified: None,
            latest: BTreeMap::new(),
            told_behind: BTreeSet::new(),
            reminding: false,
            remind_ms: 0,
            timers: BTreeSet::new(),
            position: 0,
            replayed: None,
            asked_in: None,
            fatal: None,
            out: Vec::new(),
        }
    }

    /// Zeros for a follower.
    pub fn key(&self) -> Key {
        self.own
    }

    pub fn height(&self) -> u64 {
        self.height
    }

    pub fn is_observing(&self) -> bool {
        !self.may_sign()
    }

    /// What follows from one input. An error says what was wrong with it and that it changed nothing, but for `corrupt-log`,
    /// after which nothing is signed until `SafeFrom`, and `would-sign-twice` and `stopped`, after which nothing is done.
    pub fn step(&mut self, input: Input) -> Result<Vec<Output>> {
        if let Some(fatal) = &self.fatal {
            return Err(Error::new(Code::Stopped, format!("stopped by an earlier error: {fatal}")));
        }
        let done = match input {
            Input::Height { height, validators, log } => self.on_height(height, validators, log),
            Input::Wake => self.on_wake(),
            Input::Message(bytes) => Message::decode(&bytes).and_then(|message| self.on_message(message)),
            Input::Propose { height, round, block } => self.on_propose(height, round, block),
            Input::Verdict { question, verdict } => self.on_verdict(question, verdict),
            Input::Elapsed(timer) => self.on_elapsed(timer),
            Input::Synced { certificate, block } => self.on_synced(&certificate, block),
            Input::SafeFrom { height } => self.on_safe_from(height),
        };
        let done = done.and_then(|()| self.settle_wanted()).and_then(|()| self.settle_certified());
        let out = std::mem::take(&mut self.out);
        if let Some(fatal) = &self.fatal {
            // What was about to be released is dropped with the entries that it rests on.
            return Err(fatal.clone());
        }
        match done {
            Ok(()) => Ok(out),
            // Something was learned before the refusal: of evidence, or that somebody lags.
            Err(_) if !out.is_empty() => Ok(out),
            Err(error) => Err(error),
        }
    }

    /// Proposals that are held while a height waits.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held.iter().filter(|held| matches!(held, Held::Proposal(_))).count()
    }

    fn emit(&mut self, effect: Effect) {
        let after = if planted(Bug::LogNotAwaited) { 0 } else { self.position };
        self.out.push(Output { after, effect });
    }

    fn append(&mut self, entry: &Entry) {
        let bytes = entry.encode();
        if self.replayed.as_ref().is_some_and(|replayed| replayed.contains(&bytes)) {
            return;
        }
        self.emit(Effect::Append { position: self.position + 1, height: self.height, entry: bytes });
        self.position += 1;
    }

    fn trouble(&mut self, text: String) {
        self.emit(Effect::Trouble { text });
    }

    fn may_sign(&self) -> bool {
        self.secret.is_some() && self.height >= self.signs_from
    }

    fn set(&self) -> Result<ValidatorSet> {
        self.validators.clone().ok_or_else(|| Error::new(Code::NotStarted, "no height was started yet"))
    }

    fn round(&self) -> u32 {
        self.core.as_ref().map_or(0, |core| round_of(core.round()))
    }
}

/// From which height on a validator that may have forgotten what it signed can sign again, by what the others can show.
///
/// `certified` has, for each validator that answered, the height of the latest block that it showed a certificate of. If
/// this key signed at height X, it had seen X - 1 decided; then more than two thirds precommitted X - 1, having seen X - 2
/// decided. Where the others that answered have more than two thirds of the power themselves, an honest one of these is
/// among them. So the highest certificate is of X - 2 or later, and what comes three after it was never signed. None where
/// too few answered, or where the others are too few for it anyway: then only the operator can know.
pub fn safe_height(validators: &ValidatorSet, own: &Key, certified: &[(Key, u64)]) -> Option<u64> {
    let answered: BTreeSet<_> = certified.iter().map(|(key, _)| *key).filter(|key| key != own).collect();
    let power: u64 = answered.iter().filter_map(|key| validators.get(key)).map(|member| member.power).sum();
    let members = certified.iter().filter(|(key, _)| key != own && validators.get(key).is_some());
    let highest = members.map(|(_, height)| *height).max()?;
    validators.is_quorum(power).then(|| highest.saturating_add(3))
}
