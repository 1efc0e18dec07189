//! What is agreed on, and who agrees: ids, votes, proposals, validators. Malachite's traits are implemented on them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use arc_malachitebft_core_types as core;
use core::{NilOrVal, Round, VoteType};
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_zebra::VerificationKey;

use crate::error::{Code, Error, Result};

/// More sign no block: a certificate of them all is 25 KB.
pub const MAX_VALIDATORS: usize = 256;
/// A quarter of what a u64 holds would do; powers of two are easier to say.
pub const MAX_TOTAL_POWER: u64 = 1 << 60;
/// Beyond it a number is a mistake or an attack, and adding to it cannot overflow.
pub const MAX_HEIGHT: u64 = 1 << 60;
pub const MAX_ROUND: u32 = 1 << 30;
/// With its header and the four bytes before it.
pub const MAX_BLOCK_BYTES: usize = 5 << 20;

/// A federation's CID in its binary form: version, codec, hash function, length, SHA-256.
pub type Federation = [u8; 36];
pub type Sig = [u8; 64];

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A validator is its Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 32]);

/// SHA-256 of the block's header: the digest in the CID that the application knows the block by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub [u8; 32]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Address for Key {}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// Malachite decides on ids; the bytes lie beside it (consensus.rs), so that a block is held once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockRef(pub BlockId);

impl core::Value for BlockRef {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub kind: VoteType,
    pub height: u64,
    pub round: u32,
    pub block: NilOrVal<BlockId>,
    pub signer: Key,
}

impl core::Vote<Ctx> for Vote {
    fn height(&self) -> Height {
        Height(self.height)
    }

    fn round(&self) -> Round {
        Round::new(self.round)
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.block
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.block
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Key {
        &self.signer
    }

    fn extension(&self) -> Option<&core::SignedExtension<Ctx>> {
        None
    }

    fn take_extension(&mut self) -> Option<core::SignedExtension<Ctx>> {
        None
    }

    fn extend(self, _: core::SignedExtension<Ctx>) -> Self {
        self
    }
}

/// What a proposer signs of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub height: u64,
    pub round: u32,
    /// The earlier round in which two thirds wanted this block, where there was one.
    pub pol_round: Option<u32>,
    pub block: BlockRef,
    pub proposer: Key,
}

impl core::Proposal<Ctx> for Proposal {
    fn height(&self) -> Height {
        Height(self.height)
    }

    fn round(&self) -> Round {
        Round::new(self.round)
    }

    fn value(&self) -> &BlockRef {
        &self.block
    }

    fn take_value(self) -> BlockRef {
        self.block
    }

    fn pol_round(&self) -> Round {
        Round::from(self.pol_round)
    }

    fn validator_address(&self) -> &Key {
        &self.proposer
    }
}

pub type SignedVote = core::SignedMessage<Ctx, Vote>;
pub type SignedProposal = core::SignedMessage<Ctx, Proposal>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    pub key: Key,
    pub power: u64,
    /// The key as a point: to find it costs as much as half a check of a signature.
    pub(crate) point: VerificationKey,
}

impl core::Validator<Ctx> for Validator {
    fn address(&self) -> &Key {
        &self.key
    }

    fn public_key(&self) -> &Key {
        &self.key
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// Ascending by key, each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet(Arc<(Vec<Validator>, u64)>);

const MAX_SETS: usize = 4;

thread_local! {
    // Of all that a thread runs, the latest first: most heights have the set of the one before, and its keys are dear to read.
    static LATEST: RefCell<Vec<ValidatorSet>> = const { RefCell::new(Vec::new()) };
}

impl ValidatorSet {
    pub fn new(members: &[(Key, u64)]) -> Result<Self> {
        let is_it = |set: &Self| set.members().iter().map(|one| (one.key, one.power)).eq(members.iter().copied());
        if let Some(known) = LATEST.with_borrow(|latest| latest.iter().find(|set| is_it(set)).cloned()) {
            return Ok(known);
        }
        let made = Self::read(members)?;
        LATEST.with_borrow_mut(|latest| {
            latest.truncate(MAX_SETS - 1);
            latest.insert(0, made.clone());
        });
        Ok(made)
    }

    fn read(members: &[(Key, u64)]) -> Result<Self> {
        let refuse = |text: String| Err(Error::new(Code::BadValidators, text));
        if members.is_empty() || members.len() > MAX_VALIDATORS {
            return refuse(format!("{} validators, but it takes 1 to {MAX_VALIDATORS}", members.len()));
        }
        let mut total = 0u64;
        let mut validators: Vec<Validator> = Vec::with_capacity(members.len());
        for (key, power) in members {
            if validators.last().is_some_and(|before| before.key >= *key) {
                return refuse(format!("validator {key} is out of order: keys must ascend, each once"));
            }
            if *power == 0 || *power > MAX_TOTAL_POWER - total {
                return refuse(format!("validator {key} has power {power}: at least 1, and 2^60 in all"));
            }
            // By ZIP-215 a key of small order accepts one signature for every message.
            let large = CompressedEdwardsY(key.0).decompress().is_some_and(|point| !point.is_small_order());
            let Some(point) = VerificationKey::try_from(key.0).ok().filter(|_| large) else {
                return refuse(format!("validator {key} is no Ed25519 key, or one of small order"));
            };
            total += power;
            validators.push(Validator { key: *key, power: *power, point });
        }
        Ok(Self(Arc::new((validators, total))))
    }

    pub fn members(&self) -> &[Validator] {
        &self.0 .0
    }

    pub fn total(&self) -> u64 {
        self.0 .1
    }

    pub fn get(&self, key: &Key) -> Option<&Validator> {
        let members = self.members();
        members.binary_search_by(|member| member.key.cmp(key)).ok().map(|place| &members[place])
    }

    /// In turn, whatever the power: so there is an honest one among any f + 1 rounds in a row.
    pub fn proposer(&self, height: u64, round: u32) -> &Validator {
        let count = self.members().len() as u64;
        &self.members()[((height % count + u64::from(round) % count) % count) as usize]
    }

    /// More than two thirds.
    pub fn is_quorum(&self, power: u64) -> bool {
        3 * power > 2 * self.total()
    }

    /// More than a third: one of them is honest.
    pub fn has_honest(&self, power: u64) -> bool {
        3 * power > self.total()
    }
}

impl core::ValidatorSet<Ctx> for ValidatorSet {
    fn count(&self) -> usize {
        self.members().len()
    }

    fn total_voting_power(&self) -> u64 {
        self.total()
    }

    fn get_by_address(&self, address: &Key) -> Option<&Validator> {
        self.get(address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.members().get(index)
    }
}

/// Signing and checking are done by who handles the effects: Malachite only needs to know the types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme;

impl core::SigningScheme for Scheme {
    type DecodingError = &'static str;
    type Signature = Sig;
    type PublicKey = Key;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> std::result::Result<Sig, &'static str> {
        bytes.try_into().map_err(|_| "a signature has 64 bytes")
    }

    fn encode_signature(signature: &Sig) -> Vec<u8> {
        signature.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> std::result::Result<Key, &'static str> {
        bytes.try_into().map(Key).map_err(|_| "a key has 32 bytes")
    }

    fn encode_public_key(key: &Key) -> Vec<u8> {
        key.0.to_vec()
    }
}

/// Blocks travel whole, with their proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPart;

impl core::ProposalPart<Ctx> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

#[derive(Clone, Debug)]
pub struct Ctx;

impl core::Context for Ctx {
    type Address = Key;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = core::LinearTimeouts;
    type Value = BlockRef;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Scheme;

    fn select_proposer<'a>(&self, set: &'a ValidatorSet, height: Height, round: Round) -> &'a Validator {
        set.proposer(height.0, round.as_u32().unwrap_or(0))
    }

    fn new_proposal(&self, height: Height, round: Round, block: BlockRef, pol_round: Round, proposer: Key) -> Proposal {
        let round = round.as_u32().unwrap_or(0);
        Proposal { height: height.0, round, pol_round: pol_round.as_u32(), block, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, block: NilOrVal<BlockId>, signer: Key) -> Vote {
        Vote { kind: VoteType::Prevote, height: height.0, round: round.as_u32().unwrap_or(0), block, signer }
    }

    fn new_precommit(&self, height: Height, round: Round, block: NilOrVal<BlockId>, signer: Key) -> Vote {
        Vote { kind: VoteType::Precommit, height: height.0, round: round.as_u32().unwrap_or(0), block, signer }
    }
}
