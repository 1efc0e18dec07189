//! Heights: how one begins, from its log where there is one, how it ends, and from which on this key signs.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_malachitebft_core_consensus::{Params, ProposedValue};
use arc_malachitebft_core_types::{Round, Timeout, TimeoutKind, Validity, ValueOrigin, ValuePayload};

use super::{slot_of, Consensus, Core, CoreInput, Effect, Heard, Held, Phase, Said, MAX_LOG_ENTRIES};
use crate::certificate::Certificate;
use crate::error::{Code, Error, Result};
use crate::layout::{proposal_body, vote_body, vote_input};
use crate::planted::{planted, Bug};
use crate::types::{BlockRef, Ctx, Height, SignedProposal, SignedVote, ValidatorSet, MAX_HEIGHT};
use crate::wire::{encode_vote, Entry};

/// What a log says, in its order.
enum Logged {
    Input(CoreInput),
    Signs(bool),
}

impl Consensus {
    pub(super) fn on_height(&mut self, height: u64, validators: ValidatorSet, log: Vec<Vec<u8>>) -> Result<()> {
        if height == 0 || height > MAX_HEIGHT || (self.phase != Phase::Empty && height <= self.height) {
            let text = format!("height {height}: it must be above {} and at most 2^60", self.height);
            return Err(Error::new(Code::WrongHeight, text));
        }
        let log = if planted(Bug::LogForgotten) { Vec::new() } else { log };
        // Whoever cannot read what it signed may have signed anything.
        let entries = self.read_log(height, &log).inspect_err(|_| self.signs_from = u64::MAX)?;
        if self.phase != Phase::Empty {
            self.cancel_timers();
        }
        let heard = std::mem::take(&mut self.heard);
        self.heard_before = if height == self.height + 1 { heard } else { Heard::default() };
        let next_held = std::mem::take(&mut self.next_held);
        let next_held = if height == self.height + 1 { next_held } else { Vec::new() };
        self.height = height;
        self.latest.retain(|key, _| validators.get(key).is_some());
        self.validators = Some(validators);
        self.core = None;
        self.signed.clear();
        self.own_proposal = None;
        self.forget_blocks();
        self.held.clear();
        self.precommitted.clear();
        self.certified = None;
        self.logged_signing = true;
        self.told_behind.clear();
        self.remind_ms = self.config.timeouts.rebroadcast_ms;
        self.phase = Phase::Waiting;
        self.emit(Effect::Forget { below: height });
        if !entries.is_empty() {
            self.replay(entries, &log)?;
        }
        for message in next_held {
            // Of a validator that the new set has not, or a round that is not its turn any more.
            let _ = self.on_message(message);
        }
        if self.phase != Phase::Decided {
            self.say_who_is_ahead();
            self.remind();
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
        let params = Params {
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

    pub(super) fn start(&mut self) -> Result<()> {
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
        self.tell_all()
    }

    fn replay(&mut self, entries: Vec<Entry>, log: &[Vec<u8>]) -> Result<()> {
        let own = self.own;
        let proposed: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Proposal(proposal) if proposal.proposer == own => Some(proposal.clone()),
                _ => None,
            })
            .collect();
        let logged: Vec<_> = entries.into_iter().map(|entry| self.recall(entry)).collect();
        self.new_core()?;
        let inputs = logged.iter().filter_map(|one| match one {
            Logged::Input(input) => Some(input),
            Logged::Signs(_) => None,
        });
        if let Some(core) = &mut self.core {
            core.index_wal_entries(inputs);
        }
        self.replayed = Some(log.iter().cloned().collect());
        self.asked_in = None;
        let start = self.start_height(true)?;
        self.drive(start)?;
        for one in logged {
            match one {
                Logged::Signs(signs) => self.logged_signing = signs,
                Logged::Input(input) if self.phase == Phase::Running => self.drive(input)?,
                Logged::Input(_) => (),
            }
        }
        self.replayed = None;
        if let Some(core) = &mut self.core {
            core.reset_entries_index();
        }
        if !self.logged_signing && self.may_sign() {
            // It had stopped, and nobody has said since that it is safe.
            self.signs_from = u64::MAX;
            self.emit(Effect::Amnesia { height: self.height, round: self.round() });
        }
        self.go_on_proposing(&proposed);
        Ok(())
    }

    /// What an entry of the log says beside what the core is given again.
    fn recall(&mut self, entry: Entry) -> Logged {
        Logged::Input(match entry {
            Entry::Signs { signs, .. } => return Logged::Signs(signs),
            Entry::Vote(vote) => {
                let slot = slot_of(vote.kind);
                if vote.signer == self.own {
                    let body = vote_body(vote.kind, vote.height, vote.round, &vote.block).to_vec();
                    self.signed.entry((slot, vote.round)).or_insert((body, vote.signature));
                }
                self.note_precommit(&vote);
                self.heard.said.entry((vote.signer, slot, vote.round)).or_insert(Said::Vote(vote.clone()));
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
                self.restore(block, (round, pol_round, proposer), valid, bytes);
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
        })
    }

    /// After a restart in a round that it is this node's turn in: a proposal that is in the log may not have been sent; where none
    /// is, the block that was asked for before is asked for again.
    fn go_on_proposing(&mut self, proposed: &[SignedProposal]) {
        let round = self.round();
        if self.phase != Phase::Running || !self.may_sign() {
            return;
        }
        if self.signed.contains_key(&(0, round)) {
            let is_sent = self.own_proposal.as_ref().is_some_and(|(sent, _)| *sent == round);
            if let Some(proposal) = proposed.iter().find(|proposal| proposal.round == round && !is_sent) {
                self.publish_proposal(proposal);
            }
        } else if self.asked_in == Some(round) && self.core.as_ref().is_some_and(|core| core.driver.step_is_propose()) {
            self.ask_for_block(round);
        }
    }

    pub(super) fn on_wake(&mut self) -> Result<()> {
        match self.phase {
            Phase::Empty => Err(Error::new(Code::NotStarted, "no height was started yet")),
            Phase::Waiting => self.start(),
            _ => Ok(()),
        }
    }

    pub(super) fn on_safe_from(&mut self, height: u64) -> Result<()> {
        if height < self.unsafe_below {
            let text = format!("this key has signed at height {}: {height} is not above it", self.unsafe_below - 1);
            return Err(Error::new(Code::UnsafeHeight, text));
        }
        let signed = self.may_sign();
        self.signs_from = self.signs_from.min(height);
        if !signed && self.may_sign() && self.phase == Phase::Running {
            return self.begin_signing();
        }
        Ok(())
    }

    /// In the middle of a height: what the core would have said in this round is said now. Its rules held all the while, and nothing
    /// else was signed at this height.
    fn begin_signing(&mut self) -> Result<()> {
        self.log_signing();
        let round = self.round();
        let Some(core) = &self.core else { return Ok(()) };
        let votes: Vec<_> = [core.driver.last_prevote(), core.driver.last_precommit()]
            .into_iter()
            .flatten()
            .filter(|vote| vote.round == round && !self.signed.contains_key(&(slot_of(vote.kind), vote.round)))
            .cloned()
            .collect();
        let in_turn = self.set()?.proposer(self.height, round).key == self.own && core.driver.step_is_propose();
        for vote in votes {
            if self.phase != Phase::Running {
                break;
            }
            let slot = slot_of(vote.kind);
            let body = vote_body(vote.kind, vote.height, vote.round, &vote.block);
            let signature =
                self.sign((slot, round), vote.height, &body, &vote_input(&self.config.federation, &body))?;
            let vote = SignedVote::new(vote, signature);
            self.note_precommit(&vote);
            self.heard.said.insert((self.own, slot, round), Said::Vote(vote.clone()));
            if let Some(core) = &mut self.core {
                core.set_last_vote(vote.clone());
            }
            self.drive(CoreInput::Vote(vote.clone()))?;
            self.broadcast(encode_vote(&vote));
        }
        if in_turn && !self.signed.contains_key(&(0, round)) {
            self.asked_in = Some(round);
            self.ask_for_block(round);
        }
        Ok(())
    }

    /// Writes down from where on this key signs, or does not any more: the same inputs have to lead to the same votes.
    pub(super) fn log_signing(&mut self) {
        let signs = self.may_sign();
        if self.secret.is_some() && signs != self.logged_signing {
            self.logged_signing = signs;
            self.append(&Entry::Signs { height: self.height, signs });
        }
    }

    pub(super) fn end_height(&mut self, certificate: Certificate, bytes: Arc<[u8]>) {
        self.phase = Phase::Decided;
        self.questions.clear();
        self.cancel_timers();
        let encoded = certificate.encode();
        let Certificate { height, round, block, .. } = certificate;
        self.emit(Effect::Decided { height, round, block, bytes, certificate: encoded });
    }

    pub(super) fn cancel_timers(&mut self) {
        self.timers = BTreeSet::new();
        self.reminding = false;
        self.emit(Effect::CancelTimers);
    }
}
