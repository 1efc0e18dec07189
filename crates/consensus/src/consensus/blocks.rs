//! Blocks: what is proposed and what the application says of it.

use super::*;

impl Consensus {
    pub(super) fn on_propose(&mut self, height: u64, round: u32, block: Vec<u8>) -> Result<()> {
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

    pub(super) fn ask(&mut self, id: BlockId, certified: bool) {
        let Some(block) = self.blocks.get(&id) else { return };
        let (round, bytes, proposer) = (block.round, block.bytes.clone(), block.proposer);
        self.last_question += 1;
        let (question, height) = (self.last_question, self.height);
        self.questions.insert(question, id);
        let wanted = certified;
        self.emit(Effect::Validate { question, height, round, block: id, bytes, proposer, wanted, certified });
    }

    pub(super) fn on_verdict(&mut self, question: u64, verdict: Verdict) -> Result<()> {
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
    pub(super) fn judge(&mut self, id: BlockId, valid: bool) -> Result<()> {
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

    pub(super) fn on_proposal(&mut self, proposal: SignedProposal, bytes: Arc<[u8]>) -> Result<()> {
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
}
