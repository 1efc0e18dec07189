//! Who lags, and what is missing here: certificates and blocks of others, who is ahead and who is behind.
//!
//! What is missing is said at once and then again, at first after `rebroadcast_ms` and each time after twice as long, while it stays
//! true. So nothing is lost with one message, and what cannot be had costs little for ever.

use std::sync::Arc;

use arc_malachitebft_core_types::{NilOrVal, VoteType};

use super::{
    Consensus, Effect, News, Phase, Said, Timer, TimerKind, MAX_EARLY_VOTES_EACH, MAX_HELD_PROPOSAL_ROUND,
    MAX_ROUNDS_AHEAD,
};
use crate::certificate::Certificate;
use crate::error::{Code, Error, Result};
use crate::layout::block_id;
use crate::types::{BlockId, Key, SignedVote, Vote};
use crate::wire::Message;

impl Consensus {
    // What others have decided

    pub(super) fn on_synced(&mut self, certificate: &[u8], content: Vec<u8>) -> Result<()> {
        let validators = self.set()?;
        let certificate = Certificate::decode(certificate)?;
        if certificate.height != self.height || self.phase == Phase::Decided {
            let text = format!("a certificate of height {} while {} is being decided", certificate.height, self.height);
            return Err(Error::new(Code::WrongHeight, text));
        }
        let id = certificate.block;
        if block_id(&content)? != id {
            return Err(Error::new(Code::BadBlock, format!("not the block {id} of the certificate")));
        }
        certificate.verify(&self.config.federation, &validators)?;
        for (signer, signature) in &certificate.signers {
            let (height, round, signer) = (certificate.height, certificate.round, *signer);
            let vote = Vote { kind: VoteType::Precommit, height, round, block: NilOrVal::Val(id), signer };
            self.hear(Said::Vote(SignedVote::new(vote, *signature)));
        }
        let round = certificate.round;
        let proposer = validators.proposer(certificate.height, round).key;
        self.certified = Some(certificate);
        if self.is_valid(&id) {
            return self.end_sync();
        }
        let content: Arc<[u8]> = content.into();
        self.take_certified(id, round, proposer, &content)
    }

    /// Decides the block that is certified and valid.
    pub(super) fn end_sync(&mut self) -> Result<()> {
        let Some(certificate) = self.certified.take() else { return Ok(()) };
        if let Some(content) = self.content(&certificate.block).cloned() {
            self.end_height(certificate, content);
        }
        Ok(())
    }

    /// Two thirds have precommitted to a block, and the core has not decided it: this node has not got it, or could not call it
    /// valid, or had no room for its proposal. The votes are its certificate.
    pub(super) fn settle_certified(&mut self) -> Result<()> {
        if self.phase != Phase::Running {
            return Ok(());
        }
        for (round, id) in std::mem::take(&mut self.precommitted) {
            if self.phase != Phase::Running || self.is_certified(&id) || self.is_refused(&id) {
                continue;
            }
            let validators = self.set()?;
            let signers =
                validators.members().iter().filter_map(|member| match self.heard.said.get(&(member.key, 2, round)) {
                    Some(Said::Vote(vote)) if vote.block == NilOrVal::Val(id) => Some((member.key, vote.signature)),
                    _ => None,
                });
            let certificate = Certificate { height: self.height, round, block: id, signers: signers.collect() };
            if certificate.check_power(&validators).is_ok() {
                self.certified = Some(certificate);
                self.pursue_certified(id)?;
            }
        }
        Ok(())
    }

    pub(super) fn is_certified(&self, id: &BlockId) -> bool {
        self.certified.as_ref().is_some_and(|certificate| certificate.block == *id)
    }

    fn is_certified_missing(&self) -> bool {
        self.certified.as_ref().is_some_and(|certificate| !self.blocks.contains_key(&certificate.block))
    }

    /// A certified block that is not here has to be fetched.
    pub(super) fn want_certified(&mut self) {
        if self.is_certified_missing() {
            self.emit(Effect::WantSync { height: self.height });
            self.remind_soon();
        }
    }

    // Later heights

    /// Of a height that is not begun here. Checked against the present set, which mostly is the next one, too; a validator
    /// that only the next set has is heard again by the others' repetition.
    pub(super) fn on_early(&mut self, message: Message) -> Result<()> {
        let (signed, signer, round) = match &message {
            Message::Vote(vote) => (self.signed_vote(vote), vote.signer, vote.round),
            Message::Proposal(proposal, _) => (self.signed_proposal(proposal), proposal.proposer, proposal.round),
            // Their votes come by themselves.
            _ => return Ok(()),
        };
        let height = message.height();
        self.check_signed(&[signed])?;
        if signer == self.own {
            self.forgot(height, round);
            return Ok(());
        }
        let known = self.latest.entry(signer).or_insert(0);
        if *known < height {
            *known = height;
            self.emit(Effect::PeerAhead { validator: signer, height });
            self.remind();
        }
        if height != self.height + 1 {
            return Ok(());
        }
        match &message {
            Message::Vote(vote) => {
                let of_signer = |held: &&Message| matches!(held, Message::Vote(other) if other.signer == signer);
                let repeated = self.next_held.contains(&message);
                let many = self.next_held.iter().filter(of_signer).count() >= MAX_EARLY_VOTES_EACH;
                if repeated || vote.round > MAX_ROUNDS_AHEAD || many {
                    return Ok(());
                }
            }
            Message::Proposal(proposal, content) => {
                let turn = self.set()?.proposer(height, proposal.round).key;
                let taken = self
                    .next_held
                    .iter()
                    .any(|held| matches!(held, Message::Proposal(other, _) if other.round == proposal.round));
                if taken || proposal.round > MAX_HELD_PROPOSAL_ROUND || signer != turn {
                    return Ok(());
                }
                if block_id(content)? != proposal.block.0 {
                    return Err(Error::new(Code::BadBlock, "the block that came is not the one proposed"));
                }
            }
            _ => return Ok(()),
        }
        self.next_held.push(message);
        Ok(())
    }

    /// The validators that have signed at later heights.
    fn ahead(&self) -> impl Iterator<Item = (Key, u64)> + '_ {
        self.latest.iter().filter(|(_, height)| **height > self.height).map(|(key, height)| (*key, *height))
    }

    pub(super) fn say_who_is_ahead(&mut self) {
        let ahead: Vec<_> = self.ahead().collect();
        for (validator, height) in ahead {
            self.emit(Effect::PeerAhead { validator, height });
        }
    }

    // Earlier heights

    /// Of a height that is decided here. A vote that comes for the first time is merely slow; one that is repeated, or of
    /// long ago, is of a validator that did not hear of the decision. But not one of before its signer's latest height: that
    /// was repeated by somebody else. Nobody can have more said of a validator than once until the next reminder.
    pub(super) fn on_late(&mut self, message: Message) -> Result<()> {
        let Message::Vote(vote) = message else { return Ok(()) };
        if vote.signer == self.own {
            return Ok(());
        }
        let signed = self.signed_vote(&vote);
        self.check_signed(&[signed])?;
        let (validator, height) = (vote.signer, vote.height);
        if self.latest.get(&validator).is_some_and(|latest| height < *latest) {
            return Ok(());
        }
        let recent = height == self.height || height + 1 == self.height;
        if recent && self.hear(Said::Vote(vote)) != News::Repeated {
            return Ok(());
        }
        if self.told_behind.insert(validator) {
            self.emit(Effect::PeerBehind { validator, height });
            self.remind();
        }
        Ok(())
    }

    // Reminders

    fn is_anything_missing(&self) -> bool {
        let deciding = !matches!(self.phase, Phase::Empty | Phase::Decided);
        !self.told_behind.is_empty()
            || deciding && (self.certified.is_some() || self.has_undecided() || self.ahead().next().is_some())
    }

    /// Sees to it that what is missing is said again.
    pub(super) fn remind(&mut self) {
        if !self.reminding && self.is_anything_missing() {
            self.reminding = true;
            let timer = Timer { height: self.height, kind: TimerKind::Remind, round: 0 };
            self.emit(Effect::SetTimer { timer, after_ms: self.remind_ms });
        }
    }

    /// The same, of what is missing since now.
    pub(super) fn remind_soon(&mut self) {
        if self.remind_ms != self.config.timeouts.rebroadcast_ms {
            self.remind_ms = self.config.timeouts.rebroadcast_ms;
            self.reminding = false;
        }
        self.remind();
    }

    pub(super) fn on_remind(&mut self) {
        self.reminding = false;
        self.told_behind.clear();
        if !matches!(self.phase, Phase::Empty | Phase::Decided) {
            if self.is_certified_missing() {
                self.emit(Effect::WantSync { height: self.height });
            }
            self.ask_about_undecided();
            self.say_who_is_ahead();
        }
        self.remind_ms = self.remind_ms.saturating_mul(2).min(self.config.timeouts.max_ms.max(self.remind_ms));
        self.remind();
    }
}
