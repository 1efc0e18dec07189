//! Messages of peers: signatures, votes, what contradicts them, and certificates among validators.

use std::collections::BTreeSet;

use arc_malachitebft_core_types::{NilOrVal, RoundCertificateType, VoteType};

use super::{
    round_of, slot_of, Consensus, CoreInput, Effect, Held, News, Phase, Said, MAX_ROUNDS_AHEAD, MAX_VOTES_EACH,
};
use crate::certificate::power_of;
use crate::error::{Code, Error, Result};
use crate::layout::{proposal_body, proposal_input, vote_body, vote_input};
use crate::signatures::{all_hold, holds, Signed};
use crate::types::{Ctx, Key, Sig, SignedProposal, SignedVote};
use crate::wire::{Evidence, Message, PolkaCertificate, RoundCertificate};

impl Consensus {
    pub(super) fn on_message(&mut self, message: Message) -> Result<()> {
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

    pub(super) fn check_round(&self, round: u32) -> Result<()> {
        if round > self.round().saturating_add(MAX_ROUNDS_AHEAD) {
            let text = format!("round {round}: at most {MAX_ROUNDS_AHEAD} after {}", self.round());
            return Err(Error::new(Code::TooFar, text));
        }
        Ok(())
    }

    /// That members of the present set have signed; remembers what held.
    pub(super) fn check_signed(&self, signed: &[(Key, Vec<u8>, Sig)]) -> Result<()> {
        let validators = self.set()?;
        let mut all = Vec::with_capacity(signed.len());
        let mut point = None;
        for (key, message, signature) in signed {
            let Some(member) = validators.get(key) else {
                return Err(Error::new(Code::UnknownValidator, format!("{key} is no validator at {}", self.height)));
            };
            point = Some(&member.point);
            all.push(Signed { key, message, signature });
        }
        let held = match (all.as_slice(), point) {
            ([one], Some(point)) => holds(one, point),
            _ => all_hold(&all),
        };
        if !held {
            return Err(Error::new(Code::BadSignature, "a signature does not hold"));
        }
        Ok(())
    }

    pub(super) fn signed_vote(&self, vote: &SignedVote) -> (Key, Vec<u8>, Sig) {
        let body = vote_body(vote.kind, vote.height, vote.round, &vote.block);
        (vote.signer, vote_input(&self.config.federation, &body), vote.signature)
    }

    pub(super) fn signed_proposal(&self, proposal: &SignedProposal) -> (Key, Vec<u8>, Sig) {
        let input = proposal_input(&self.config.federation, &proposal_body(proposal));
        (proposal.proposer, input, proposal.signature)
    }

    /// Takes what was checked to be signed, and tells of what contradicts it.
    pub(super) fn hear(&mut self, said: Said) -> News {
        let (height, slot) = match &said {
            Said::Vote(vote) => (vote.height, (vote.signer, slot_of(vote.kind), vote.round)),
            Said::Proposal(proposal) => (proposal.height, (proposal.proposer, 0, proposal.round)),
        };
        self.check_own(&said);
        let latest = self.latest.entry(slot.0).or_insert(0);
        *latest = height.max(*latest);
        if let Said::Vote(vote) = &said {
            self.note_precommit(vote);
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

    /// Whether this node knows of what its own key has signed.
    fn check_own(&mut self, said: &Said) {
        let (signer, height, slot, body) = match said {
            Said::Vote(vote) => {
                let body = vote_body(vote.kind, vote.height, vote.round, &vote.block).to_vec();
                (vote.signer, vote.height, (slot_of(vote.kind), vote.round), body)
            }
            Said::Proposal(proposal) => {
                (proposal.proposer, proposal.height, (0, proposal.round), proposal_body(proposal).to_vec())
            }
        };
        let known = || height == self.height && self.signed.get(&slot).is_some_and(|(own, _)| *own == body);
        if signer == self.own && height >= self.height && !known() {
            self.forgot(height, slot.1);
        }
    }

    /// The votes of a certificate, before the core acts on it.
    fn check_own_votes(&mut self, votes: &[SignedVote]) {
        for vote in votes {
            self.check_own(&Said::Vote(vote.clone()));
        }
    }

    /// That there may be two thirds for a block.
    pub(super) fn note_precommit(&mut self, vote: &SignedVote) {
        if let (VoteType::Precommit, NilOrVal::Val(id), true) = (vote.kind, vote.block, vote.height == self.height) {
            self.precommitted.insert((vote.round, id));
        }
    }

    /// Somebody holds what this key has signed and this node has not: its log is not its own last one.
    pub(super) fn forgot(&mut self, height: u64, round: u32) {
        if height < self.unsafe_below {
            return;
        }
        self.unsafe_below = height + 1;
        // It does not contradict that from a later height on all is known.
        if self.signs_from <= height || self.signs_from == u64::MAX {
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

    pub(super) fn check_polka(&mut self, polka: &PolkaCertificate) -> Result<Vec<SignedVote>> {
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
        self.check_own_votes(&votes);
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

    pub(super) fn check_round_certificate(&mut self, certificate: &RoundCertificate) -> Result<Vec<SignedVote>> {
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
        self.check_own_votes(&votes);
        self.drive_if_running(CoreInput::RoundCertificate(certificate))?;
        self.take_votes(votes)
    }

    fn drive_if_running(&mut self, input: CoreInput) -> Result<()> {
        match self.phase {
            Phase::Running => self.drive(input),
            _ => Ok(()),
        }
    }
}
