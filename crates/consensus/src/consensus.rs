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
//! Bounds: 256 validators, blocks of 5 MiB and eight of them at a height, messages at most ten rounds ahead and one height
//! ahead, 64 votes of each validator held or remembered, 16,384 signatures remembered as checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_malachitebft_core_consensus as malachite;
use arc_malachitebft_core_types as core;
use core::{
    NilOrVal, Round, RoundCertificateType, Timeout, TimeoutKind, Validity, ValueOrigin, ValuePayload, VoteType,
};
use ed25519_zebra::{Signature, SigningKey, VerificationKey};
use malachite::{LivenessMsg, LocallyProposedValue, ProposedValue, Resumable, Resume, SignedConsensusMsg};

use crate::certificate::{power_of, Certificate};
use crate::error::{Code, Error, Result};
use crate::planted::{planted, Bug};
use crate::signatures::{all_hold, Known, Signed};
use crate::types::{
    BlockId, BlockRef, Ctx, Federation, Height, Key, Sig, SignedProposal, SignedVote, ValidatorSet, Vote, MAX_HEIGHT,
};
use crate::wire::{
    block_id, encode_polka, encode_proposal, encode_round_certificate, encode_vote, proposal_body, proposal_input,
    vote_body, vote_input, Entry, Evidence, Message, PolkaCertificate, RoundCertificate,
};

type Core = malachite::State<Ctx>;
type CoreInput = malachite::Input<Ctx>;
type CoreEffect = malachite::Effect<Ctx>;

const MAX_ROUNDS_AHEAD: u32 = malachite::MAX_FUTURE_ROUND_LOOKAHEAD;
/// Votes of one validator that are remembered or held: two kinds, and more rounds than any message may be ahead.
const MAX_VOTES_EACH: usize = 64;
/// Blocks of one height. Of those that nobody can want any more the oldest goes first.
const MAX_BLOCKS: usize = 8;
/// A proposal of the next height is held for its first rounds alone: it may be 4 MiB.
const MAX_HELD_PROPOSAL_ROUND: u32 = 1;
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

struct Block {
    bytes: Arc<[u8]>,
    round: u32,
    pol_round: Option<u32>,
    proposer: Key,
    /// None until the application has said.
    valid: Option<bool>,
    logged: bool,
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
    own_proposal: Option<(u32, Vec<u8>)>,
    blocks: BTreeMap<BlockId, Block>,
    heard: Heard,
    heard_before: Heard,
    held: Vec<Held>,
    next_held: Vec<Message>,
    certified: Option<(Certificate, BlockId)>,
    ahead: BTreeMap<Key, u64>,
    known: Known,
    position: u64,
    /// While a log is replayed: what is in it, and the round that a block was asked for in.
    replayed: Option<BTreeSet<Vec<u8>>>,
    asked_in: Option<u32>,
    /// Of all since this was made; those that wait for an answer.
    last_question: u64,
    questions: BTreeMap<u64, BlockId>,
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
            own_proposal: None,
            blocks: BTreeMap::new(),
            heard: Heard::default(),
            heard_before: Heard::default(),
            held: Vec::new(),
            next_held: Vec::new(),
            certified: None,
            ahead: BTreeMap::new(),
            known: Known::default(),
            position: 0,
            replayed: None,
            asked_in: None,
            last_question: 0,
            questions: BTreeMap::new(),
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

    // Heights

    fn on_height(&mut self, height: u64, validators: ValidatorSet, log: Vec<Vec<u8>>) -> Result<()> {
        if height == 0 || height > MAX_HEIGHT || (self.phase != Phase::Empty && height <= self.height) {
            let text = format!("height {height}: it must be above {} and at most 2^60", self.height);
            return Err(Error::new(Code::WrongHeight, text));
        }
        let log = if planted(Bug::LogForgotten) { Vec::new() } else { log };
        // Whoever cannot read what it signed may have signed anything.
        let entries = self.read_log(height, &log).inspect_err(|_| self.signs_from = u64::MAX)?;
        if self.phase != Phase::Empty {
            self.emit(Effect::CancelTimers);
        }
        let heard = std::mem::take(&mut self.heard);
        self.heard_before = if height == self.height + 1 { heard } else { Heard::default() };
        let next_held = std::mem::take(&mut self.next_held);
        let next_held = if height == self.height + 1 { next_held } else { Vec::new() };
        self.height = height;
        self.ahead.retain(|key, _| validators.get(key).is_some());
        self.validators = Some(validators);
        self.core = None;
        self.signed.clear();
        self.own_proposal = None;
        self.blocks.clear();
        self.held.clear();
        self.certified = None;
        self.questions.clear();
        self.phase = Phase::Waiting;
        self.emit(Effect::Forget { below: height });
        if !entries.is_empty() {
            self.replay(entries, &log)?;
        }
        for message in next_held {
            // Of a validator that the new set has not, or a round that is not its turn any more.
            let _ = self.on_message(message);
        }
        Ok(())
    }

    fn read_log(&self, height: u64, log: &[Vec<u8>]) -> Result<Vec<Entry>> {
        let corrupt = |text: String| Error::new(Code::CorruptLog, text);
        if log.len() > MAX_LOG_ENTRIES {
            return Err(corrupt(format!("{} entries: at most {MAX_LOG_ENTRIES}", log.len())));
        }
        let mut entries = Vec::new();
        for (place, bytes) in log.iter().enumerate() {
            let entry = Entry::decode(bytes).map_err(|error| corrupt(format!("entry {place}: {error}")))?;
            if entry.height() > height {
                return Err(corrupt(format!("entry {place} is of height {}, after {height}", entry.height())));
            }
            if entry.height() == height {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn new_core(&mut self) -> Result<()> {
        let params = malachite::Params {
            address: self.own,
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: self.may_sign(),
        };
        // It holds nothing for later heights: this does, and only what was checked.
        self.core = Some(Core::new(Ctx, Height(self.height), self.set()?, params, 1, 1));
        self.phase = Phase::Running;
        Ok(())
    }

    fn start_height(&self, replay: bool) -> Result<CoreInput> {
        Ok(CoreInput::StartHeight(Height(self.height), self.set()?, replay, None, Default::default()))
    }

    fn start(&mut self) -> Result<()> {
        self.new_core()?;
        let input = self.start_height(false)?;
        self.drive(input)?;
        for held in std::mem::take(&mut self.held) {
            if self.phase != Phase::Running {
                break;
            }
            match held {
                Held::Vote(vote) => self.drive(CoreInput::Vote(vote))?,
                Held::Proposal(proposal) => self.drive(CoreInput::Proposal(proposal))?,
            }
        }
        let judged: Vec<_> =
            self.blocks.iter().filter_map(|(id, block)| block.valid.map(|valid| (*id, valid))).collect();
        for (id, valid) in judged {
            if self.phase == Phase::Running {
                self.judge(id, valid)?;
            }
        }
        Ok(())
    }

    fn replay(&mut self, entries: Vec<Entry>, log: &[Vec<u8>]) -> Result<()> {
        let mut inputs = Vec::with_capacity(entries.len());
        for entry in entries {
            inputs.push(match entry {
                Entry::Vote(vote) => {
                    if vote.signer == self.own {
                        let body = vote_body(vote.kind, vote.height, vote.round, &vote.block).to_vec();
                        self.signed.entry((slot_of(vote.kind), vote.round)).or_insert((body, vote.signature));
                    }
                    self.heard
                        .said
                        .entry((vote.signer, slot_of(vote.kind), vote.round))
                        .or_insert(Said::Vote(vote.clone()));
                    CoreInput::Vote(vote)
                }
                Entry::Proposal(proposal) => {
                    if proposal.proposer == self.own {
                        let body = proposal_body(&proposal).to_vec();
                        self.signed.entry((0, proposal.round)).or_insert((body, proposal.signature));
                    }
                    let slot = (proposal.proposer, 0, proposal.round);
                    self.heard.said.entry(slot).or_insert(Said::Proposal(proposal.clone()));
                    CoreInput::Proposal(proposal)
                }
                Entry::Polka(polka) => CoreInput::PolkaCertificate(polka),
                Entry::Verdict { height, round, pol_round, proposer, block, valid, bytes } => {
                    if let Some(bytes) = bytes {
                        let fresh = Block { bytes, round, pol_round, proposer, valid: None, logged: true };
                        self.blocks.entry(block).or_insert(fresh).valid = Some(valid);
                    }
                    let valid_round = Round::from(pol_round);
                    let (height, round, value) = (Height(height), Round::new(round), BlockRef(block));
                    let validity = Validity::from_bool(valid);
                    let value = ProposedValue { height, round, valid_round, proposer, value, validity };
                    CoreInput::ProposedValue(value, ValueOrigin::Consensus)
                }
                Entry::Timeout { kind, round, .. } => {
                    let kind = match kind {
                        1 => TimeoutKind::Propose,
                        2 => TimeoutKind::Prevote,
                        _ => TimeoutKind::Precommit,
                    };
                    CoreInput::TimeoutElapsed(Timeout::new(Round::new(round), kind))
                }
            });
        }
        self.new_core()?;
        if let Some(core) = &mut self.core {
            core.index_wal_entries(inputs.iter());
        }
        self.replayed = Some(log.iter().cloned().collect());
        self.asked_in = None;
        let start = self.start_height(true)?;
        self.drive(start)?;
        for input in inputs {
            if self.phase == Phase::Running {
                self.drive(input)?;
            }
        }
        self.replayed = None;
        if let Some(core) = &mut self.core {
            core.reset_entries_index();
        }
        // The block that was asked for before the crash, unless the proposal got as far as the log.
        let open = self.core.as_ref().is_some_and(|core| core.driver.step_is_propose());
        let round = self.round();
        if self.phase == Phase::Running
            && open
            && self.asked_in == Some(round)
            && !self.signed.contains_key(&(0, round))
        {
            self.ask_for_block(round);
        }
        Ok(())
    }

    fn round(&self) -> u32 {
        self.core.as_ref().map_or(0, |core| round_of(core.round()))
    }

    fn on_wake(&mut self) -> Result<()> {
        match self.phase {
            Phase::Empty => Err(Error::new(Code::NotStarted, "no height was started yet")),
            Phase::Waiting => self.start(),
            _ => Ok(()),
        }
    }

    fn on_safe_from(&mut self, height: u64) -> Result<()> {
        if height < self.unsafe_below {
            let text = format!("this key has signed at height {}: {height} is not above it", self.unsafe_below - 1);
            return Err(Error::new(Code::UnsafeHeight, text));
        }
        if self.signs_from > height {
            self.signs_from = height;
        }
        Ok(())
    }

    // Answers of the application

    fn on_propose(&mut self, height: u64, round: u32, block: Vec<u8>) -> Result<()> {
        let id = block_id(&block)?;
        if self.phase != Phase::Running || height != self.height || round != self.round() {
            return Ok(());
        }
        // The core proposes the locked block, if there is one, and asks for none. A second answer is not looked at.
        if self.signed.contains_key(&(0, round)) || self.set()?.proposer(height, round).key != self.own {
            return Ok(());
        }
        self.make_room()?;
        let fresh =
            Block { bytes: block.into(), round, pol_round: None, proposer: self.own, valid: Some(true), logged: false };
        self.blocks.entry(id).or_insert(fresh).valid = Some(true);
        self.drive(CoreInput::Propose(LocallyProposedValue::new(Height(height), Round::new(round), BlockRef(id))))
    }

    fn ask(&mut self, id: BlockId, certified: bool) {
        let Some(block) = self.blocks.get(&id) else { return };
        let (round, bytes, proposer) = (block.round, block.bytes.clone(), block.proposer);
        self.last_question += 1;
        let (question, height) = (self.last_question, self.height);
        self.questions.insert(question, id);
        let wanted = certified;
        self.emit(Effect::Validate { question, height, round, block: id, bytes, proposer, wanted, certified });
    }

    fn on_verdict(&mut self, question: u64, verdict: Verdict) -> Result<()> {
        let Some(id) = self.questions.remove(&question).filter(|_| self.phase != Phase::Decided) else {
            return Ok(());
        };
        let valid = match verdict {
            Verdict::Valid => true,
            Verdict::Invalid => false,
            Verdict::Mismatched => {
                self.blocks.remove(&id);
                return Ok(());
            }
            Verdict::Undecided => return Ok(()),
        };
        let certified = self.certified.as_ref().is_some_and(|(_, block)| *block == id);
        let Some(block) = self.blocks.get_mut(&id) else { return Ok(()) };
        if block.valid.is_some() {
            return Ok(());
        }
        block.valid = Some(valid);
        if certified {
            return self.end_sync();
        }
        match self.phase {
            Phase::Running => self.judge(id, valid),
            Phase::Waiting if valid => self.start(),
            _ => Ok(()),
        }
    }

    /// Tells the core.
    fn judge(&mut self, id: BlockId, valid: bool) -> Result<()> {
        let Some(block) = self.blocks.get(&id) else { return Ok(()) };
        let value = ProposedValue {
            height: Height(self.height),
            round: Round::new(block.round),
            valid_round: Round::from(block.pol_round),
            proposer: block.proposer,
            value: BlockRef(id),
            validity: Validity::from_bool(valid),
        };
        self.drive(CoreInput::ProposedValue(value, ValueOrigin::Consensus))
    }

    fn on_elapsed(&mut self, timer: Timer) -> Result<()> {
        if self.phase != Phase::Running || timer.height != self.height || timer.round != self.round() {
            return Ok(());
        }
        let kind = match timer.kind {
            TimerKind::Propose => TimeoutKind::Propose,
            TimerKind::Prevote => TimeoutKind::Prevote,
            TimerKind::Precommit => TimeoutKind::Precommit,
            TimerKind::Rebroadcast => TimeoutKind::Rebroadcast,
            TimerKind::Remind => return Ok(()),
        };
        self.drive(CoreInput::TimeoutElapsed(Timeout::new(Round::new(timer.round), kind)))
    }

    fn on_synced(&mut self, certificate: &[u8], block: Vec<u8>) -> Result<()> {
        let validators = self.set()?;
        let certificate = Certificate::decode(certificate)?;
        if certificate.height != self.height || self.phase == Phase::Decided {
            let text = format!("a certificate of height {} while {} is being decided", certificate.height, self.height);
            return Err(Error::new(Code::WrongHeight, text));
        }
        if block_id(&block)? != certificate.block {
            return Err(Error::new(Code::BadBlock, format!("not the block {} of the certificate", certificate.block)));
        }
        certificate.verify(&self.config.federation, &validators)?;
        for (signer, signature) in &certificate.signers {
            let block = NilOrVal::Val(certificate.block);
            let (height, round, signer) = (certificate.height, certificate.round, *signer);
            let vote = Vote { kind: VoteType::Precommit, height, round, block, signer };
            self.hear(Said::Vote(SignedVote::new(vote, *signature)));
        }
        let id = certificate.block;
        let proposer = validators.proposer(certificate.height, certificate.round).key;
        let round = certificate.round;
        let fresh = Block { bytes: block.into(), round, pol_round: None, proposer, valid: None, logged: false };
        let judged = self.blocks.entry(id).or_insert(fresh).valid;
        let asked = self.certified.replace((certificate, id)).is_some_and(|(_, before)| before == id);
        match judged {
            Some(true) => self.end_sync(),
            _ if asked => Ok(()),
            _ => {
                // The application may have refused it before it knew what the others know: it is asked again.
                if let Some(block) = self.blocks.get_mut(&id) {
                    block.valid = None;
                }
                self.ask(id, true);
                Ok(())
            }
        }
    }

    fn end_sync(&mut self) -> Result<()> {
        let Some((certificate, id)) = self.certified.take() else { return Ok(()) };
        let Some(block) = self.blocks.get(&id) else { return Ok(()) };
        if block.valid == Some(true) {
            let bytes = block.bytes.clone();
            self.end_height(certificate, bytes);
        } else {
            self.emit(Effect::CertifiedRefused { height: self.height, block: id });
        }
        Ok(())
    }

    fn end_height(&mut self, certificate: Certificate, bytes: Arc<[u8]>) {
        self.phase = Phase::Decided;
        self.emit(Effect::CancelTimers);
        let encoded = certificate.encode();
        let Certificate { height, round, block, .. } = certificate;
        self.emit(Effect::Decided { height, round, block, bytes, certificate: encoded });
    }

    // Messages of peers

    fn on_message(&mut self, message: Message) -> Result<()> {
        if self.phase == Phase::Empty {
            return Err(Error::new(Code::NotStarted, "no height was started yet"));
        }
        if message.height() > self.height {
            return self.on_early(message);
        }
        if message.height() < self.height || self.phase == Phase::Decided {
            return self.on_late(message);
        }
        match message {
            Message::Vote(vote) => self.on_vote(vote),
            Message::Proposal(proposal, block) => self.on_proposal(proposal, block),
            Message::Polka(polka) => self.on_polka(polka),
            Message::Round(certificate) => self.on_round_certificate(certificate),
        }
    }

    fn check_round(&self, round: u32) -> Result<()> {
        if round > self.round().saturating_add(MAX_ROUNDS_AHEAD) {
            let text = format!("round {round}: at most {MAX_ROUNDS_AHEAD} after {}", self.round());
            return Err(Error::new(Code::TooFar, text));
        }
        Ok(())
    }

    /// That members of the present set have signed; remembers what held.
    fn check_signed(&mut self, signed: &[(Key, Vec<u8>, Sig)]) -> Result<()> {
        let validators = self.set()?;
        let mut unknown = Vec::new();
        for (key, message, signature) in signed {
            if validators.get(key).is_none() {
                return Err(Error::new(Code::UnknownValidator, format!("{key} is no validator at {}", self.height)));
            }
            let one = Signed { key, message, signature };
            let digest = Known::digest(&one);
            if !self.known.holds(&digest) {
                unknown.push((one, digest));
            }
        }
        let held = match unknown.as_slice() {
            [] => true,
            [(one, _)] => validators
                .get(one.key)
                .is_some_and(|member| member.point.verify(&Signature::from(*one.signature), one.message).is_ok()),
            _ => {
                let all: Vec<_> = unknown
                    .iter()
                    .map(|(one, _)| Signed { key: one.key, message: one.message, signature: one.signature })
                    .collect();
                all_hold(&all)
            }
        };
        if !held {
            return Err(Error::new(Code::BadSignature, "a signature does not hold"));
        }
        for (_, digest) in unknown {
            self.known.add(digest);
        }
        Ok(())
    }

    fn signed_vote(&self, vote: &SignedVote) -> (Key, Vec<u8>, Sig) {
        let body = vote_body(vote.kind, vote.height, vote.round, &vote.block);
        (vote.signer, vote_input(&self.config.federation, &body), vote.signature)
    }

    fn signed_proposal(&self, proposal: &SignedProposal) -> (Key, Vec<u8>, Sig) {
        let input = proposal_input(&self.config.federation, &proposal_body(proposal));
        (proposal.proposer, input, proposal.signature)
    }

    /// Takes what was checked to be signed, and tells of what contradicts it.
    fn hear(&mut self, said: Said) -> News {
        let (height, slot) = match &said {
            Said::Vote(vote) => (vote.height, (vote.signer, slot_of(vote.kind), vote.round)),
            Said::Proposal(proposal) => (proposal.height, (proposal.proposer, 0, proposal.round)),
        };
        if slot.0 == self.own && height >= self.height {
            let body = match &said {
                Said::Vote(vote) => vote_body(vote.kind, vote.height, vote.round, &vote.block).to_vec(),
                Said::Proposal(proposal) => proposal_body(proposal).to_vec(),
            };
            let recorded =
                height == self.height && self.signed.get(&(slot.1, slot.2)).is_some_and(|(own, _)| *own == body);
            if !recorded {
                self.forgot(height, slot.2);
            }
        }
        let heard = if height == self.height { &mut self.heard } else { &mut self.heard_before };
        let Some(before) = heard.said.get(&slot) else {
            // Votes of rounds long gone make room: their contradictions were found or will not be.
            let of_signer = (slot.0, 0, 0)..=(slot.0, u8::MAX, u32::MAX);
            if heard.said.range(of_signer.clone()).count() >= MAX_VOTES_EACH {
                let oldest = heard.said.range(of_signer).map(|(slot, _)| *slot).min_by_key(|slot| slot.2);
                oldest.map(|oldest| heard.said.remove(&oldest));
            }
            heard.said.insert(slot, said);
            return News::First;
        };
        let evidence = match (before, &said) {
            (Said::Vote(one), Said::Vote(other)) if one.message != other.message => {
                Evidence::of_votes(one.clone(), other.clone())
            }
            (Said::Proposal(one), Said::Proposal(other)) if one.message != other.message => {
                Evidence::of_proposals(one.clone(), other.clone())
            }
            _ => return News::Repeated,
        };
        if heard.accused.insert(slot.0) {
            let evidence = evidence.encode();
            self.emit(Effect::Evidence { offender: slot.0, height, evidence });
        }
        News::Contradiction
    }

    /// Somebody holds what this key has signed and this node has not: its log is not its own last one.
    fn forgot(&mut self, height: u64, round: u32) {
        if height >= self.unsafe_below {
            self.unsafe_below = height + 1;
            self.signs_from = u64::MAX;
            self.emit(Effect::Amnesia { height, round });
        }
    }

    fn was_heard(&self, vote: &SignedVote) -> bool {
        let heard = self.heard.said.get(&(vote.signer, slot_of(vote.kind), vote.round));
        matches!(heard, Some(Said::Vote(before)) if before == vote)
    }

    fn on_vote(&mut self, vote: SignedVote) -> Result<()> {
        self.check_round(vote.round)?;
        if self.was_heard(&vote) {
            return Ok(());
        }
        let signed = self.signed_vote(&vote);
        self.check_signed(&[signed])?;
        self.take_vote(vote)
    }

    /// Its signature was checked.
    fn take_vote(&mut self, vote: SignedVote) -> Result<()> {
        // The core counts a validator's first vote alone, too.
        if self.hear(Said::Vote(vote.clone())) != News::First {
            return Ok(());
        }
        match self.phase {
            Phase::Running => self.drive(CoreInput::Vote(vote)),
            Phase::Waiting => {
                self.held.push(Held::Vote(vote));
                self.wake_by_votes()
            }
            _ => Ok(()),
        }
    }

    fn wake_by_votes(&mut self) -> Result<()> {
        let validators = self.set()?;
        let voters: BTreeSet<_> = self
            .held
            .iter()
            .filter_map(|held| match held {
                Held::Vote(vote) => Some(vote.signer),
                Held::Proposal(_) => None,
            })
            .collect();
        if validators.has_honest(power_of(&validators, voters.iter())?) {
            return self.start();
        }
        Ok(())
    }

    fn on_proposal(&mut self, proposal: SignedProposal, bytes: Arc<[u8]>) -> Result<()> {
        self.check_round(proposal.round)?;
        let turn = self.set()?.proposer(proposal.height, proposal.round).key;
        if proposal.proposer != turn {
            let text =
                format!("{} proposes in round {}, which is the turn of {turn}", proposal.proposer, proposal.round);
            return Err(Error::new(Code::NotProposer, text));
        }
        let id = proposal.block.0;
        let slot = (proposal.proposer, 0, proposal.round);
        let heard = matches!(self.heard.said.get(&slot), Some(Said::Proposal(before)) if *before == proposal);
        if heard && self.blocks.contains_key(&id) {
            return Ok(());
        }
        let signed = self.signed_proposal(&proposal);
        self.check_signed(&[signed])?;
        if block_id(&bytes)? != id {
            return Err(Error::new(Code::BadBlock, format!("the block that came is not {id}")));
        }
        let fresh = !self.blocks.contains_key(&id);
        if fresh {
            self.make_room()?;
        }
        let news = self.hear(Said::Proposal(proposal.clone()));
        // It is evidence that this key was here before, and nothing else.
        if proposal.proposer == self.own && !self.signed.contains_key(&(0, proposal.round)) {
            return Ok(());
        }
        if fresh {
            let (round, pol_round, proposer) = (proposal.round, proposal.pol_round, proposal.proposer);
            let block = Block { bytes, round, pol_round, proposer, valid: None, logged: false };
            self.blocks.insert(id, block);
        }
        // Of two that contradict each other either may be what two thirds want.
        if news != News::Repeated {
            match self.phase {
                Phase::Running => self.drive(CoreInput::Proposal(proposal.clone()))?,
                Phase::Waiting => self.held.push(Held::Proposal(proposal.clone())),
                _ => return Ok(()),
            }
        }
        if fresh && self.phase != Phase::Decided {
            if planted(Bug::VotedUnjudged) {
                self.last_question += 1;
                self.questions.insert(self.last_question, id);
                return self.on_verdict(self.last_question, Verdict::Valid);
            }
            self.ask(id, false);
        }
        Ok(())
    }

    /// Drops the oldest block that nobody can want: neither locked nor wanted by two thirds nor of the present round.
    fn make_room(&mut self) -> Result<()> {
        if self.blocks.len() < MAX_BLOCKS {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        if let Some(core) = &self.core {
            wanted.extend(core.driver.polka_certificates().iter().map(|polka| polka.value_id));
            wanted.extend(core.driver.valid_value().map(|valid| valid.value.0));
        }
        wanted.extend(self.certified.as_ref().map(|(_, id)| *id));
        let round = self.round();
        let oldest = self
            .blocks
            .iter()
            .filter(|(id, block)| block.round != round && !wanted.contains(*id))
            .min_by_key(|(id, block)| (block.round, **id))
            .map(|(id, _)| *id);
        match oldest {
            Some(id) => {
                self.blocks.remove(&id);
                Ok(())
            }
            None => Err(Error::new(Code::TooMany, format!("{MAX_BLOCKS} blocks are proposed at this height already"))),
        }
    }

    fn check_polka(&mut self, polka: &PolkaCertificate) -> Result<Vec<SignedVote>> {
        let validators = self.set()?;
        let power = power_of(&validators, polka.polka_signatures.iter().map(|one| &one.address))?;
        if !validators.is_quorum(power) {
            return Err(Error::new(Code::TooLittlePower, "a polka certificate of less than two thirds"));
        }
        let votes: Vec<_> = polka.votes(&Ctx).collect();
        let signed: Vec<_> = votes.iter().map(|vote| self.signed_vote(vote)).collect();
        self.check_signed(&signed)?;
        Ok(votes)
    }

    fn on_polka(&mut self, polka: PolkaCertificate) -> Result<()> {
        let known =
            self.core.as_ref().is_some_and(|core| core.polka_certificate(polka.round, &polka.value_id).is_some());
        if known {
            return Ok(());
        }
        let votes = self.check_polka(&polka)?;
        self.drive_if_running(CoreInput::PolkaCertificate(polka))?;
        self.take_votes(votes)
    }

    /// The votes of a certificate, which the core may have had no use for as a whole. Those of rounds too far ahead it would
    /// drop: they must not count as heard.
    fn take_votes(&mut self, votes: Vec<SignedVote>) -> Result<()> {
        for vote in votes {
            if self.check_round(vote.round).is_ok() {
                self.take_vote(vote)?;
            }
        }
        Ok(())
    }

    fn check_round_certificate(&mut self, certificate: &RoundCertificate) -> Result<Vec<SignedVote>> {
        let validators = self.set()?;
        let power = power_of(&validators, certificate.round_signatures.iter().map(|one| &one.address))?;
        let enough = match certificate.cert_type {
            RoundCertificateType::Skip => validators.has_honest(power),
            RoundCertificateType::Precommit => validators.is_quorum(power),
        };
        if !enough {
            return Err(Error::new(Code::TooLittlePower, "a round certificate of too little power"));
        }
        let votes: Vec<_> = certificate.votes(&Ctx).collect();
        let signed: Vec<_> = votes.iter().map(|vote| self.signed_vote(vote)).collect();
        self.check_signed(&signed)?;
        Ok(votes)
    }

    fn on_round_certificate(&mut self, certificate: RoundCertificate) -> Result<()> {
        let all_heard = certificate.votes(&Ctx).all(|vote| self.was_heard(&vote));
        if all_heard && round_of(certificate.round) <= self.round() {
            return Ok(());
        }
        let votes = self.check_round_certificate(&certificate)?;
        self.drive_if_running(CoreInput::RoundCertificate(certificate))?;
        self.take_votes(votes)
    }

    fn drive_if_running(&mut self, input: CoreInput) -> Result<()> {
        match self.phase {
            Phase::Running => self.drive(input),
            _ => Ok(()),
        }
    }

    /// Of a height that is not begun here. Checked against the present set, which mostly is the next one, too; a validator
    /// that only the next set has is heard again by the others' repetition.
    fn on_early(&mut self, message: Message) -> Result<()> {
        let (signed, signer, said) = match &message {
            Message::Vote(vote) => (self.signed_vote(vote), vote.signer, Said::Vote(vote.clone())),
            Message::Proposal(proposal, _) => {
                (self.signed_proposal(proposal), proposal.proposer, Said::Proposal(proposal.clone()))
            }
            // Their votes come by themselves.
            _ => return Ok(()),
        };
        let height = message.height();
        self.check_signed(&[signed])?;
        if signer == self.own {
            self.hear_own_early(&said);
            return Ok(());
        }
        let known = self.ahead.entry(signer).or_insert(self.height);
        if *known < height {
            *known = height;
            self.emit(Effect::PeerAhead { validator: signer, height });
        }
        if height != self.height + 1 {
            return Ok(());
        }
        match &message {
            Message::Vote(vote) => {
                let of_signer = |held: &&Message| matches!(held, Message::Vote(other) if other.signer == signer);
                let repeated = self.next_held.contains(&message);
                if repeated || vote.round > MAX_ROUNDS_AHEAD || self.next_held.iter().filter(of_signer).count() >= 8 {
                    return Ok(());
                }
            }
            Message::Proposal(proposal, bytes) => {
                let turn = self.set()?.proposer(height, proposal.round).key;
                let taken = self
                    .next_held
                    .iter()
                    .any(|held| matches!(held, Message::Proposal(other, _) if other.round == proposal.round));
                if taken || proposal.round > MAX_HELD_PROPOSAL_ROUND || signer != turn {
                    return Ok(());
                }
                if block_id(bytes)? != proposal.block.0 {
                    return Err(Error::new(Code::BadBlock, "the block that came is not the one proposed"));
                }
            }
            _ => return Ok(()),
        }
        self.next_held.push(message);
        Ok(())
    }

    fn hear_own_early(&mut self, said: &Said) {
        match said {
            Said::Vote(vote) => self.forgot(vote.height, vote.round),
            Said::Proposal(proposal) => self.forgot(proposal.height, proposal.round),
        }
    }

    /// Of a height that is decided here. A vote that comes for the first time is merely slow; one that is repeated, or of
    /// long ago, is of a validator that did not hear of the decision.
    fn on_late(&mut self, message: Message) -> Result<()> {
        let Message::Vote(vote) = message else { return Ok(()) };
        if vote.signer == self.own {
            return Ok(());
        }
        let signed = self.signed_vote(&vote);
        self.check_signed(&[signed])?;
        let (validator, height) = (vote.signer, vote.height);
        let recent = height == self.height || height + 1 == self.height;
        if !recent || self.hear(Said::Vote(vote)) == News::Repeated {
            self.emit(Effect::PeerBehind { validator, height });
        }
        Ok(())
    }

    // Malachite

    /// Gives the core one input and carries out what it asks for.
    fn drive(&mut self, input: CoreInput) -> Result<()> {
        let Some(mut core) = self.core.take() else {
            let error = Error::new(Code::Stopped, "the consensus core is gone after a panic");
            self.fatal = Some(error.clone());
            return Err(error);
        };
        if !self.may_sign() {
            core.params.enabled = false;
        }
        let done: std::result::Result<(), malachite::Error<Ctx>> = malachite::process!(
            input: input, state: &mut core, metrics: &(), with: effect => self.on_effect(effect));
        self.core = Some(core);
        if let Some(fatal) = &self.fatal {
            return Err(fatal.clone());
        }
        match done {
            Ok(()) => Ok(()),
            Err(error @ malachite::Error::ReplayDivergence(..)) => {
                let error = Error::new(Code::DoubleSign, error.to_string());
                self.fatal = Some(error.clone());
                Err(error)
            }
            Err(error) => {
                self.trouble(format!("consensus: {error}"));
                Ok(())
            }
        }
    }

    fn fail<T>(&mut self, error: Error) -> Result<T> {
        self.fatal.get_or_insert(error.clone());
        Err(error)
    }

    fn on_effect(&mut self, effect: CoreEffect) -> Result<Resume<Ctx>> {
        Ok(match effect {
            CoreEffect::CancelAllTimeouts(resume) => {
                self.emit(Effect::CancelTimers);
                resume.resume_with(())
            }
            CoreEffect::CancelTimeout(timeout, resume) => {
                if let Some(timer) = self.timer(timeout) {
                    self.emit(Effect::CancelTimer { timer });
                }
                resume.resume_with(())
            }
            CoreEffect::ScheduleTimeout(timeout, resume) => {
                if let Some(timer) = self.timer(timeout).filter(|_| self.phase == Phase::Running) {
                    let after_ms = self.duration(timer);
                    self.emit(Effect::SetTimer { timer, after_ms });
                }
                resume.resume_with(())
            }
            CoreEffect::StartRound(height, round, proposer, _, resume) => {
                self.emit(Effect::RoundStarted { height: height.0, round: round_of(round), proposer });
                resume.resume_with(())
            }
            CoreEffect::PublishConsensusMsg(message, resume) => {
                match message {
                    SignedConsensusMsg::Vote(vote) => self.broadcast(encode_vote(&vote)),
                    SignedConsensusMsg::Proposal(proposal) => self.publish_proposal(&proposal),
                }
                resume.resume_with(())
            }
            CoreEffect::PublishLivenessMsg(message, resume) => {
                self.broadcast(match message {
                    LivenessMsg::Vote(vote) => encode_vote(&vote),
                    LivenessMsg::PolkaCertificate(polka) => encode_polka(&polka),
                    LivenessMsg::SkipRoundCertificate(certificate) => encode_round_certificate(&certificate),
                });
                resume.resume_with(())
            }
            CoreEffect::RepublishVote(vote, resume) => {
                // Whoever missed the proposal can do nothing with votes for it.
                let own = self.own_proposal.as_ref().filter(|(round, _)| *round == vote.round);
                if let Some((_, message)) = own.filter(|_| vote.kind == VoteType::Prevote) {
                    let message = message.clone();
                    self.broadcast(message);
                }
                self.broadcast(encode_vote(&vote));
                resume.resume_with(())
            }
            CoreEffect::RepublishRoundCertificate(certificate, resume) => {
                self.broadcast(encode_round_certificate(&certificate));
                resume.resume_with(())
            }
            CoreEffect::GetValue(_, round, _, resume) => {
                self.asked_in = Some(round_of(round));
                if self.replayed.is_none() {
                    self.ask_for_block(round_of(round));
                }
                resume.resume_with(())
            }
            // A proposal carries its block, and the core publishes the proposal by itself.
            CoreEffect::RestreamProposal(.., resume) => resume.resume_with(()),
            CoreEffect::CertVerifiedSyncValue(.., resume) => resume.resume_with(()),
            CoreEffect::CertRejectedSyncValue(.., resume) => resume.resume_with(()),
            CoreEffect::Decide(certificate, _, resume) => {
                self.on_decide(certificate);
                resume.resume_with(())
            }
            CoreEffect::Finalize(.., resume) => resume.resume_with(()),
            CoreEffect::SignVote(vote, resume) => {
                let body = vote_body(vote.kind, vote.height, vote.round, &vote.block);
                let input = vote_input(&self.config.federation, &body);
                let signature = self.sign((slot_of(vote.kind), vote.round), vote.height, &body, &input)?;
                let vote = SignedVote::new(vote, signature);
                self.heard.said.insert((vote.signer, slot_of(vote.kind), vote.round), Said::Vote(vote.clone()));
                resume.resume_with(vote)
            }
            CoreEffect::SignProposal(proposal, resume) => {
                let body = proposal_body(&proposal);
                let input = proposal_input(&self.config.federation, &body);
                let signature = self.sign((0, proposal.round), proposal.height, &body, &input)?;
                let proposal = SignedProposal::new(proposal, signature);
                self.heard.said.insert((self.own, 0, proposal.round), Said::Proposal(proposal.clone()));
                resume.resume_with(proposal)
            }
            CoreEffect::VerifySignature(message, _, resume) => {
                let signed = match message.message {
                    malachite::ConsensusMsg::Vote(vote) => self.signed_vote(&SignedVote::new(vote, message.signature)),
                    malachite::ConsensusMsg::Proposal(proposal) => {
                        self.signed_proposal(&SignedProposal::new(proposal, message.signature))
                    }
                };
                let held = self.check_signed(&[signed]).is_ok();
                resume.resume_with(held)
            }
            CoreEffect::VerifyCommitCertificate(certificate, _, _, resume) => {
                let held = self.check_commit(&certificate);
                resume.resume_with(held.map_err(refusal))
            }
            CoreEffect::VerifyExtendedCommitCertificate(.., resume) => {
                // Synced blocks do not pass through the core.
                resume.resume_with(Err(core::CertificateError::VerificationError(None)))
            }
            CoreEffect::VerifyPolkaCertificate(polka, _, _, resume) => {
                let held = self.check_polka(&polka).map(|_| ());
                resume.resume_with(held.map_err(refusal))
            }
            CoreEffect::VerifyRoundCertificate(certificate, _, _, resume) => {
                let held = self.check_round_certificate(&certificate).map(|_| ());
                resume.resume_with(held.map_err(refusal))
            }
            CoreEffect::WalAppend(_, input, resume) => {
                self.log(input);
                resume.resume_with(())
            }
            // Votes carry nothing else.
            CoreEffect::ExtendVote(.., resume) => resume.resume_with(None),
            CoreEffect::VerifyVoteExtension(.., resume) => {
                resume.resume_with(Err(malachite::VoteExtensionError::InvalidVoteExtension))
            }
        })
    }

    fn broadcast(&mut self, message: Vec<u8>) {
        self.emit(Effect::Broadcast { message });
    }

    fn publish_proposal(&mut self, proposal: &SignedProposal) {
        let Some(block) = self.blocks.get(&proposal.block.0) else {
            return self.trouble(format!("block {} was dropped: its proposal is not sent", proposal.block.0));
        };
        let message = encode_proposal(proposal, &block.bytes);
        if proposal.proposer == self.own {
            self.own_proposal = Some((proposal.round, message.clone()));
        }
        self.broadcast(message);
    }

    fn ask_for_block(&mut self, round: u32) {
        let within_ms = self.duration(Timer { height: self.height, kind: TimerKind::Propose, round });
        self.emit(Effect::GetBlock { height: self.height, round, within_ms });
    }

    fn timer(&self, timeout: Timeout) -> Option<Timer> {
        let kind = match timeout.kind {
            TimeoutKind::Propose => TimerKind::Propose,
            TimeoutKind::Prevote => TimerKind::Prevote,
            TimeoutKind::Precommit => TimerKind::Precommit,
            TimeoutKind::Rebroadcast => TimerKind::Rebroadcast,
            // Of heights with a target time, which none here has.
            TimeoutKind::FinalizeHeight(_) => return None,
        };
        Some(Timer { height: self.height, kind, round: round_of(timeout.round) })
    }

    fn duration(&self, timer: Timer) -> u64 {
        let timeouts = &self.config.timeouts;
        let first = match timer.kind {
            TimerKind::Propose => timeouts.propose_ms,
            TimerKind::Prevote => timeouts.prevote_ms,
            TimerKind::Precommit => timeouts.precommit_ms,
            TimerKind::Rebroadcast | TimerKind::Remind => return timeouts.rebroadcast_ms,
        };
        first.saturating_add(timeouts.step_ms.saturating_mul(u64::from(timer.round))).min(timeouts.max_ms)
    }

    fn sign(&mut self, slot: (u8, u32), height: u64, body: &[u8], input: &[u8]) -> Result<Sig> {
        if let Some((before, signature)) = self.signed.get(&slot) {
            if before == body {
                return Ok(*signature);
            }
            let text = format!("asked to sign otherwise than before at height {height}, round {}", slot.1);
            return self.fail(Error::new(Code::DoubleSign, text));
        }
        let Some(secret) = self.secret.as_ref().filter(|_| height == self.height && self.may_sign()) else {
            return self
                .fail(Error::new(Code::DoubleSign, format!("asked to sign at height {height} while observing")));
        };
        let signature: Sig = secret.sign(input).to_bytes();
        self.known.add(Known::digest(&Signed { key: &self.own, message: input, signature: &signature }));
        self.signed.insert(slot, (body.to_vec(), signature));
        Ok(signature)
    }

    fn check_commit(&mut self, certificate: &core::CommitCertificate<Ctx>) -> Result<()> {
        let certificate = own_certificate(certificate);
        certificate.check_power(&self.set()?)?;
        let message = certificate.input(&self.config.federation);
        let signed: Vec<_> =
            certificate.signers.iter().map(|(key, signature)| (*key, message.clone(), *signature)).collect();
        self.check_signed(&signed)
    }

    fn on_decide(&mut self, certificate: core::CommitCertificate<Ctx>) {
        let certificate = own_certificate(&certificate);
        match self.blocks.get(&certificate.block) {
            Some(block) => {
                let bytes = block.bytes.clone();
                self.end_height(certificate, bytes);
            }
            None => {
                self.phase = Phase::Blind;
                self.emit(Effect::CancelTimers);
                self.emit(Effect::WantSync { height: self.height });
            }
        }
    }

    fn log(&mut self, input: CoreInput) {
        let entry = match input {
            CoreInput::Vote(vote) => Entry::Vote(vote),
            CoreInput::Proposal(proposal) => Entry::Proposal(proposal),
            CoreInput::PolkaCertificate(polka) => Entry::Polka(polka),
            CoreInput::ProposedValue(value, _) => {
                let id = value.value.0;
                let bytes = self.blocks.get_mut(&id).filter(|block| !block.logged).map(|block| {
                    block.logged = true;
                    block.bytes.clone()
                });
                Entry::Verdict {
                    height: value.height.0,
                    round: round_of(value.round),
                    pol_round: value.valid_round.as_u32(),
                    proposer: value.proposer,
                    block: id,
                    valid: value.validity.is_valid(),
                    bytes,
                }
            }
            CoreInput::TimeoutElapsed(timeout) => {
                let kind = match timeout.kind {
                    TimeoutKind::Propose => 1,
                    TimeoutKind::Prevote => 2,
                    TimeoutKind::Precommit => 3,
                    _ => return,
                };
                Entry::Timeout { height: self.height, kind, round: round_of(timeout.round) }
            }
            _ => return self.trouble("the core wants to log what cannot be replayed".to_string()),
        };
        self.append(&entry);
    }
}

fn refusal(error: Error) -> core::CertificateError<Ctx> {
    core::CertificateError::VerificationError(Some(core::BoxError(Box::new(error))))
}

fn own_certificate(certificate: &core::CommitCertificate<Ctx>) -> Certificate {
    let mut signers: Vec<_> = certificate.commit_signatures.iter().map(|one| (one.address, one.signature)).collect();
    signers.sort_unstable();
    Certificate {
        height: certificate.height.0,
        round: round_of(certificate.round),
        block: certificate.value_id,
        signers,
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
