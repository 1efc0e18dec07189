//! Heights: how one begins, from its log where there is one, and ends.

use super::*;

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
        if self.signs_from > height {
            self.signs_from = height;
        }
        Ok(())
    }

    pub(super) fn end_height(&mut self, certificate: Certificate, bytes: Arc<[u8]>) {
        self.phase = Phase::Decided;
        self.emit(Effect::CancelTimers);
        let encoded = certificate.encode();
        let Certificate { height, round, block, .. } = certificate;
        self.emit(Effect::Decided { height, round, block, bytes, certificate: encoded });
    }
}
