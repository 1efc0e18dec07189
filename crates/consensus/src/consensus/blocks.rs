//! Blocks: which bytes are held, what the application says of them, and what the core is told.
//!
//! A block is named by its header, so bytes that carry its name need not be its own: until the application has judged them they are
//! one of several contents that are in question. Once it has, the others are dropped. A block of which the application has judged
//! nothing is never voted for.
//!
//! Of the proposals of one round two blocks are taken as they come, and besides those that more than a third of the power votes
//! for: there are few of these, and one of them may be what is decided. So a proposer that sends one block after the other fills
//! neither memory nor log, and cannot keep a validator from the block that the others were sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_malachitebft_core_consensus::{LocallyProposedValue, ProposedValue};
use arc_malachitebft_core_types::{NilOrVal, Round, Validity, ValueOrigin};

use super::{Consensus, CoreInput, Effect, Held, Phase, Said, Verdict};
use crate::certificate::power_of;
use crate::error::{Code, Error, Result};
use crate::layout::block_id;
use crate::planted::{planted, Bug};
use crate::types::{BlockId, BlockRef, Height, Key, SignedProposal};

/// Contents of all blocks of one height. Of those that nobody can want any more the oldest goes first.
const MAX_CONTENTS: usize = 8;
/// Contents of one block that are in question at once.
const MAX_CONTENTS_EACH: usize = 3;
/// Blocks of one round that are taken although nobody votes for them: the core keeps two.
const MAX_OFFERED: usize = 2;
/// Proposals of a block that are remembered, and proposals that are held while a height waits.
const MAX_PROPOSALS_EACH: usize = 16;
const MAX_HELD_PROPOSALS: usize = 64;
/// Proposals of rounds longer ago are not looked at.
const MAX_ROUNDS_BEHIND: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Valid,
    Invalid,
    Undecided,
}

pub(super) struct Block {
    /// Its own alone, once it is judged.
    contents: Vec<Arc<[u8]>>,
    judged: Option<Judged>,
    /// Refused although two thirds have precommitted to it.
    refused: bool,
    round: u32,
    pol_round: Option<u32>,
    proposer: Key,
    /// What was signed of it: the core may have had no room for it.
    proposals: Vec<SignedProposal>,
}

impl Block {
    fn new(round: u32, pol_round: Option<u32>, proposer: Key) -> Self {
        Self { contents: Vec::new(), judged: None, refused: false, round, pol_round, proposer, proposals: Vec::new() }
    }

    fn validity(&self) -> Option<bool> {
        match self.judged {
            Some(Judged::Valid) => Some(true),
            Some(Judged::Invalid) => Some(false),
            Some(Judged::Undecided) | None => None,
        }
    }

    fn has(&self, content: &Arc<[u8]>) -> bool {
        self.judged.is_some() || self.contents.contains(content)
    }

    fn remember(&mut self, proposal: &SignedProposal) {
        if self.proposals.len() >= MAX_PROPOSALS_EACH {
            self.proposals.remove(0);
        }
        self.proposals.push(proposal.clone());
    }
}

/// What the application was asked: about which bytes, and how many were known to want them.
pub(super) struct Question {
    block: BlockId,
    content: Arc<[u8]>,
    wanted: bool,
    certified: bool,
}

impl Consensus {
    /// The bytes of a block, if the application has said that they are its own.
    pub(super) fn content(&self, id: &BlockId) -> Option<&Arc<[u8]>> {
        self.blocks.get(id).filter(|block| block.judged.is_some()).and_then(|block| block.contents.first())
    }

    pub(super) fn is_valid(&self, id: &BlockId) -> bool {
        self.blocks.get(id).is_some_and(|block| block.judged == Some(Judged::Valid))
    }

    /// Of a block that this height's log tells of.
    pub(super) fn restore(
        &mut self,
        id: BlockId,
        said: (u32, Option<u32>, Key),
        valid: bool,
        bytes: Option<Arc<[u8]>>,
    ) {
        let (round, pol_round, proposer) = said;
        if let Some(bytes) = bytes {
            let block = self.blocks.entry(id).or_insert_with(|| Block::new(round, pol_round, proposer));
            block.contents = vec![bytes];
        }
        if let Some(block) = self.blocks.get_mut(&id) {
            block.judged = Some(if valid { Judged::Valid } else { Judged::Invalid });
        }
    }

    pub(super) fn forget_blocks(&mut self) {
        self.blocks.clear();
        self.offered.clear();
        self.dropped.clear();
        self.logged.clear();
        self.questions.clear();
        self.polkas.clear();
    }

    /// Rounds that are over make room.
    pub(super) fn forget_offers(&mut self, round: u32) {
        self.offered.retain(|offered, _| offered.saturating_add(MAX_ROUNDS_BEHIND) >= round);
        let offered: BTreeSet<_> = self.offered.values().flatten().collect();
        self.dropped.retain(|dropped| offered.contains(dropped));
    }

    // What is proposed

    pub(super) fn on_propose(&mut self, height: u64, round: u32, bytes: Vec<u8>) -> Result<()> {
        let id = block_id(&bytes)?;
        if self.phase != Phase::Running || height != self.height || round != self.round() {
            return Ok(());
        }
        // The core proposes the locked block, if there is one, and asks for none. A second answer is not looked at.
        if self.signed.contains_key(&(0, round)) || self.set()?.proposer(height, round).key != self.own {
            return Ok(());
        }
        if !self.blocks.contains_key(&id) {
            self.make_room()?;
        }
        let own = self.own;
        let block = self.blocks.entry(id).or_insert_with(|| Block::new(round, None, own));
        block.contents = vec![bytes.into()];
        block.judged = Some(Judged::Valid);
        self.questions.retain(|_, question| question.block != id);
        self.drive(CoreInput::Propose(LocallyProposedValue::new(Height(height), Round::new(round), BlockRef(id))))
    }

    pub(super) fn on_proposal(&mut self, proposal: SignedProposal, content: Arc<[u8]>) -> Result<()> {
        self.check_round(proposal.round)?;
        if proposal.round.saturating_add(MAX_ROUNDS_BEHIND) < self.round() {
            return Ok(());
        }
        let turn = self.set()?.proposer(proposal.height, proposal.round).key;
        if proposal.proposer != turn {
            let text =
                format!("{} proposes in round {}, which is the turn of {turn}", proposal.proposer, proposal.round);
            return Err(Error::new(Code::NotProposer, text));
        }
        let id = proposal.block.0;
        let is_known = |block: &Block| block.proposals.contains(&proposal) && block.has(&content);
        if self.blocks.get(&id).is_some_and(is_known) {
            return Ok(());
        }
        let signed = self.signed_proposal(&proposal);
        self.check_signed(&[signed])?;
        if block_id(&content)? != id {
            return Err(Error::new(Code::BadBlock, format!("the block that came is not {id}")));
        }
        self.hear(Said::Proposal(proposal.clone()));
        // It is evidence that this key was here before, and nothing else.
        if proposal.proposer == self.own && !self.signed.contains_key(&(0, proposal.round)) {
            return Ok(());
        }
        self.take_content(&proposal, &content)?;
        let is_new = self.give(&proposal)?;
        match self.blocks.get(&id).map(|block| block.judged) {
            Some(None) => {
                if planted(Bug::VotedUnjudged) {
                    let question = Question { block: id, content, wanted: false, certified: false };
                    self.questions.insert(self.last_question + 1, question);
                    self.last_question += 1;
                    return self.on_verdict(self.last_question, Verdict::Valid);
                }
                self.ask(id, &content);
                Ok(())
            }
            Some(Some(Judged::Undecided)) if is_new => {
                self.ask_again(id);
                Ok(())
            }
            Some(Some(_)) => self.tell(id),
            None => Ok(()),
        }
    }

    /// Keeps the bytes that came with a proposal, if they are new and may be the block's.
    fn take_content(&mut self, proposal: &SignedProposal, content: &Arc<[u8]>) -> Result<()> {
        let id = proposal.block.0;
        if let Some(block) = self.blocks.get_mut(&id) {
            if block.has(content) {
                return Ok(());
            }
            if block.contents.len() >= MAX_CONTENTS_EACH {
                let text = format!("{MAX_CONTENTS_EACH} contents of block {id} are in question already");
                return Err(Error::new(Code::TooMany, text));
            }
        }
        let round = proposal.round;
        let offered = self.offered.get(&round).map_or(&[][..], Vec::as_slice);
        let is_new = !offered.contains(&id);
        // What was dropped once would come in turns with others, and the application would judge it each time.
        let is_too_many = (is_new && offered.len() >= MAX_OFFERED)
            || (round != self.round() && self.dropped.contains(&id) && !self.blocks.contains_key(&id));
        if is_too_many && !self.has_voters(&id) {
            let text = format!("of round {round} there are {} blocks, and nobody votes for {id}", offered.len());
            return Err(Error::new(Code::TooMany, text));
        }
        self.make_room()?;
        if is_new {
            self.offered.entry(round).or_default().push(id);
        }
        let block = self.blocks.entry(id).or_insert_with(|| Block::new(round, proposal.pol_round, proposal.proposer));
        block.contents.push(content.clone());
        Ok(())
    }

    /// What others have decided on, with its certificate.
    pub(super) fn take_certified(&mut self, id: BlockId, round: u32, proposer: Key, content: &Arc<[u8]>) -> Result<()> {
        let block = self.blocks.entry(id).or_insert_with(|| Block::new(round, None, proposer));
        block.refused = false;
        if block.judged.is_some() {
            self.ask_again(id);
            return Ok(());
        }
        if block.contents.contains(content) {
            return Ok(());
        }
        if block.contents.len() >= MAX_CONTENTS_EACH {
            let text = format!("{MAX_CONTENTS_EACH} contents of block {id} are in question already");
            return Err(Error::new(Code::TooMany, text));
        }
        block.contents.push(content.clone());
        self.ask(id, content);
        Ok(())
    }

    /// Gives the core a proposal, unless it was given it; says which.
    fn give(&mut self, proposal: &SignedProposal) -> Result<bool> {
        let Some(block) = self.blocks.get_mut(&proposal.block.0) else { return Ok(false) };
        if block.proposals.iter().any(|given| given.message == proposal.message) {
            return Ok(false);
        }
        block.remember(proposal);
        match self.phase {
            Phase::Running => self.drive(CoreInput::Proposal(proposal.clone()))?,
            Phase::Waiting => {
                let held: Vec<_> = self
                    .held
                    .iter()
                    .filter_map(|held| match held {
                        Held::Proposal(held) => Some(&held.message),
                        Held::Vote(_) => None,
                    })
                    .collect();
                if held.len() < MAX_HELD_PROPOSALS && !held.contains(&&proposal.message) {
                    self.held.push(Held::Proposal(proposal.clone()));
                }
            }
            _ => (),
        }
        Ok(true)
    }

    /// Whether more than a third of the power has voted for it, so that an honest validator wants it.
    fn has_voters(&self, id: &BlockId) -> bool {
        let Some(validators) = &self.validators else { return false };
        let voters: BTreeSet<_> = self
            .heard
            .said
            .values()
            .filter_map(|said| match said {
                Said::Vote(vote) if vote.block == NilOrVal::Val(*id) => Some(vote.signer),
                _ => None,
            })
            .collect();
        power_of(validators, voters.iter()).is_ok_and(|power| validators.has_honest(power))
    }

    /// Drops the oldest block that nobody can want: neither locked nor wanted by two thirds nor of the present round. Of the
    /// others those that some vote for stay longer.
    fn make_room(&mut self) -> Result<()> {
        let held: usize = self.blocks.values().map(|block| block.contents.len()).sum();
        if held < MAX_CONTENTS {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        if let Some(core) = &self.core {
            wanted.extend(core.driver.polka_certificates().iter().map(|polka| polka.value_id));
            wanted.extend(core.driver.valid_value().map(|valid| valid.value.0));
        }
        wanted.extend(self.certified.as_ref().map(|certificate| certificate.block));
        let round = self.round();
        let oldest = self
            .blocks
            .iter()
            .filter(|(id, block)| block.round != round && !wanted.contains(*id))
            .min_by_key(|(id, block)| (self.has_voters(id), block.round, **id))
            .map(|(id, _)| *id);
        let Some(oldest) = oldest else {
            return Err(Error::new(
                Code::TooMany,
                format!("{MAX_CONTENTS} blocks are proposed at this height already"),
            ));
        };
        self.blocks.remove(&oldest);
        self.dropped.insert(oldest);
        self.questions.retain(|_, question| question.block != oldest);
        Ok(())
    }

    // What the application says

    /// Whether two thirds have prevoted for it, and whether they have precommitted to it.
    fn standing(&self, id: &BlockId) -> (bool, bool) {
        let certified = self.certified.as_ref().is_some_and(|certificate| certificate.block == *id);
        (certified || self.polkas.iter().any(|(_, wanted)| wanted == id), certified)
    }

    fn ask(&mut self, id: BlockId, content: &Arc<[u8]>) {
        let (wanted, certified) = self.standing(&id);
        let Some(block) = self.blocks.get(&id) else { return };
        let (height, round, proposer) = (self.height, block.round, block.proposer);
        let is_asked = self.questions.values().any(|asked| {
            asked.block == id && (asked.wanted, asked.certified) == (wanted, certified) && asked.content == *content
        });
        if is_asked {
            return;
        }
        self.last_question += 1;
        let (question, bytes) = (self.last_question, content.clone());
        self.questions.insert(question, Question { block: id, content: bytes.clone(), wanted, certified });
        self.emit(Effect::Validate { question, height, round, block: id, bytes, proposer, wanted, certified });
    }

    /// About a block that it could not call valid before: more is known now, or time has passed.
    fn ask_again(&mut self, id: BlockId) {
        if self.is_valid(&id) {
            return;
        }
        if let Some(content) = self.content(&id).cloned() {
            self.ask(id, &content);
        }
    }

    pub(super) fn ask_about_undecided(&mut self) {
        let undecided: Vec<_> = self
            .blocks
            .iter()
            .filter(|(_, block)| block.judged == Some(Judged::Undecided))
            .map(|(id, _)| *id)
            .collect();
        undecided.into_iter().for_each(|id| self.ask_again(id));
    }

    pub(super) fn has_undecided(&self) -> bool {
        self.blocks.values().any(|block| block.judged == Some(Judged::Undecided))
    }

    pub(super) fn on_verdict(&mut self, question: u64, verdict: Verdict) -> Result<()> {
        let Some(Question { block: id, content, wanted, certified }) =
            self.questions.remove(&question).filter(|_| self.phase != Phase::Decided)
        else {
            return Ok(());
        };
        let Some(block) = self.blocks.get_mut(&id) else { return Ok(()) };
        let judged = match verdict {
            Verdict::Valid => Judged::Valid,
            Verdict::Invalid => Judged::Invalid,
            Verdict::Undecided => Judged::Undecided,
            Verdict::Mismatched if block.judged.is_some() => {
                self.trouble(format!(
                    "the application has judged bytes of block {id} and says now that they are not its own"
                ));
                return Ok(());
            }
            Verdict::Mismatched => {
                block.contents.retain(|other| *other != content);
                if block.contents.is_empty() {
                    self.blocks.remove(&id);
                }
                self.questions.retain(|_, other| other.block != id || other.content != content);
                self.want_certified();
                return Ok(());
            }
        };
        // What it called valid stays so: it may have been voted for.
        if block.judged == Some(Judged::Valid) {
            return Ok(());
        }
        block.judged = Some(judged);
        self.questions.retain(|_, other| other.block != id || other.content == content);
        let known = self.standing(&id);
        if let Some(block) = self.blocks.get_mut(&id) {
            block.contents = vec![content];
            block.refused = certified && judged == Judged::Invalid;
            if block.refused {
                self.certified = None;
                self.emit(Effect::CertifiedRefused { height: self.height, block: id });
                return Ok(());
            }
        }
        if judged == Judged::Valid && known.1 {
            return self.end_sync();
        }
        if judged != Judged::Valid && known != (wanted, certified) {
            self.ask_again(id);
        }
        if judged == Judged::Undecided {
            self.remind_soon();
        }
        match self.phase {
            Phase::Running => self.tell(id),
            Phase::Waiting if judged == Judged::Valid => self.start(),
            _ => Ok(()),
        }
    }

    /// Tells the core what the application said of a block, unless it knows.
    fn tell(&mut self, id: BlockId) -> Result<()> {
        let (Some(block), Some(core)) = (self.blocks.get(&id), &self.core) else { return Ok(()) };
        let Some(valid) = block.validity().filter(|_| self.phase == Phase::Running) else { return Ok(()) };
        let height = Height(self.height);
        let known = core.full_proposal_keeper.get_value_by_id(&height, &id).map(|(_, validity)| validity.is_valid());
        let has = |proposal: &SignedProposal| {
            core.full_proposal_at_round_and_value(&height, Round::new(proposal.round), &BlockRef(id)).is_some()
        };
        if known == Some(valid) && block.proposals.iter().all(has) {
            return Ok(());
        }
        let value = ProposedValue {
            height,
            round: Round::new(block.round),
            valid_round: Round::from(block.pol_round),
            proposer: block.proposer,
            value: BlockRef(id),
            validity: Validity::from_bool(valid),
        };
        self.drive(CoreInput::ProposedValue(value, ValueOrigin::Consensus))
    }

    /// All that was judged while the height waited.
    pub(super) fn tell_all(&mut self) -> Result<()> {
        let ids: Vec<_> = self.blocks.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.tell(id))
    }

    // What two thirds want

    /// Of blocks that two thirds have newly prevoted for: the core takes such a proposal though it had no room for it before, and
    /// the application is asked again where it could not call the block valid.
    pub(super) fn settle_wanted(&mut self) -> Result<()> {
        while self.phase == Phase::Running {
            let Some(core) = &self.core else { return Ok(()) };
            let polkas: BTreeSet<_> = core
                .driver
                .polka_certificates()
                .iter()
                .map(|polka| (polka.round.as_u32().unwrap_or(0), polka.value_id))
                .collect();
            self.polkas.retain(|polka| polkas.contains(polka));
            let Some((round, id)) = polkas.into_iter().find(|polka| !self.polkas.contains(polka)) else {
                return Ok(());
            };
            self.polkas.insert((round, id));
            self.ask_again(id);
            let Some(block) = self.blocks.get(&id) else { continue };
            let signed: Vec<_> = block.proposals.iter().filter(|signed| signed.round == round).cloned().collect();
            for proposal in signed {
                let has = self.core.as_ref().is_some_and(|core| {
                    core.full_proposal_at_round_and_value(&Height(self.height), Round::new(round), &BlockRef(id))
                        .is_some()
                });
                if !has && self.phase == Phase::Running {
                    self.drive(CoreInput::Proposal(proposal))?;
                }
            }
            self.tell(id)?;
        }
        Ok(())
    }

    /// Whether the application refused what two thirds have precommitted to.
    pub(super) fn is_refused(&self, id: &BlockId) -> bool {
        self.blocks.get(id).is_some_and(|block| block.refused)
    }

    /// Goes on with a certified block: decides it, or sees to what is missing.
    pub(super) fn pursue_certified(&mut self, id: BlockId) -> Result<()> {
        match self.blocks.get(&id).map(|block| block.judged) {
            Some(Some(Judged::Valid)) => self.end_sync(),
            Some(Some(_)) => {
                self.ask_again(id);
                Ok(())
            }
            // The answer to what was asked brings it on.
            Some(None) => Ok(()),
            None => {
                self.want_certified();
                Ok(())
            }
        }
    }
}
