//! Who is ahead or behind, and what others have decided.

use super::*;

impl Consensus {
    pub(super) fn on_synced(&mut self, certificate: &[u8], block: Vec<u8>) -> Result<()> {
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

    pub(super) fn end_sync(&mut self) -> Result<()> {
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

    /// Of a height that is not begun here. Checked against the present set, which mostly is the next one, too; a validator
    /// that only the next set has is heard again by the others' repetition.
    pub(super) fn on_early(&mut self, message: Message) -> Result<()> {
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
    pub(super) fn on_late(&mut self, message: Message) -> Result<()> {
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
}
