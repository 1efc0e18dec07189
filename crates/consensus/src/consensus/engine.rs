//! Malachite's core: what it is given and what it asks for.

use arc_malachitebft_core_consensus as malachite;
use arc_malachitebft_core_types as core;
use core::{Round, Timeout, TimeoutKind, VoteType};
use malachite::{LivenessMsg, Resumable, Resume, SignedConsensusMsg};

use super::{round_of, slot_of, Consensus, CoreEffect, CoreInput, Effect, Phase, Said, Timer, TimerKind};
use crate::certificate::Certificate;
use crate::error::{Code, Error, Result};
use crate::layout::{proposal_body, proposal_input, vote_body, vote_input};
use crate::signatures::{digest, remember_that_it_holds, Signed};
use crate::types::{Ctx, Sig, SignedProposal, SignedVote};
use crate::wire::{encode_polka, encode_proposal, encode_round_certificate, encode_vote, Entry};

impl Consensus {
    /// Gives the core one input and carries out what it asks for.
    pub(super) fn drive(&mut self, input: CoreInput) -> Result<()> {
        let Some(mut core) = self.core.take() else {
            let error = Error::new(Code::Stopped, "the consensus core is gone after a panic");
            self.fatal = Some(error.clone());
            return Err(error);
        };
        // While a log is replayed the core signs where it did before.
        core.params.enabled = self.may_sign() && (self.replayed.is_none() || self.logged_signing);
        if self.replayed.is_none() {
            self.log_signing();
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
                // Not what is no business of the core: the reminder.
                for timer in std::mem::take(&mut self.timers) {
                    self.emit(Effect::CancelTimer { timer });
                }
                resume.resume_with(())
            }
            CoreEffect::CancelTimeout(timeout, resume) => {
                if let Some(timer) = self.timer(timeout).filter(|timer| self.timers.remove(timer)) {
                    self.emit(Effect::CancelTimer { timer });
                }
                resume.resume_with(())
            }
            CoreEffect::ScheduleTimeout(timeout, resume) => {
                if let Some(timer) = self.timer(timeout).filter(|_| self.phase == Phase::Running) {
                    let after_ms = self.duration(timer);
                    self.timers.insert(timer);
                    self.emit(Effect::SetTimer { timer, after_ms });
                }
                resume.resume_with(())
            }
            CoreEffect::StartRound(height, round, proposer, _, resume) => {
                self.forget_offers(round_of(round));
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
                self.note_precommit(&vote);
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

    pub(super) fn on_elapsed(&mut self, timer: Timer) -> Result<()> {
        if timer.height != self.height {
            return Ok(());
        }
        if timer.kind == TimerKind::Remind {
            self.on_remind();
            return Ok(());
        }
        if self.phase != Phase::Running || timer.round != self.round() {
            return Ok(());
        }
        self.timers.remove(&timer);
        let kind = match timer.kind {
            TimerKind::Propose => TimeoutKind::Propose,
            TimerKind::Prevote => TimeoutKind::Prevote,
            TimerKind::Precommit => TimeoutKind::Precommit,
            TimerKind::Rebroadcast => TimeoutKind::Rebroadcast,
            TimerKind::Remind => return Ok(()),
        };
        self.drive(CoreInput::TimeoutElapsed(Timeout::new(Round::new(timer.round), kind)))
    }

    pub(super) fn broadcast(&mut self, message: Vec<u8>) {
        self.emit(Effect::Broadcast { message });
    }

    pub(super) fn publish_proposal(&mut self, proposal: &SignedProposal) {
        let Some(content) = self.content(&proposal.block.0) else {
            return self.trouble(format!("block {} was dropped: its proposal is not sent", proposal.block.0));
        };
        let message = encode_proposal(proposal, content);
        if proposal.proposer == self.own {
            self.own_proposal = Some((proposal.round, message.clone()));
        }
        self.broadcast(message);
    }

    pub(super) fn ask_for_block(&mut self, round: u32) {
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

    pub(super) fn sign(&mut self, slot: (u8, u32), height: u64, body: &[u8], input: &[u8]) -> Result<Sig> {
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
        remember_that_it_holds(digest(&Signed { key: &self.own, message: input, signature: &signature }));
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
        match self.content(&certificate.block).cloned() {
            Some(content) => self.end_height(certificate, content),
            None => {
                self.phase = Phase::Blind;
                self.cancel_timers();
                self.certified = Some(certificate);
                self.want_certified();
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
                // Once at a height: it is large, and may come again after it was dropped.
                let bytes = self.content(&id).cloned().filter(|_| self.logged.insert(id));
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
