//! The bridge to `mesh_consensus`: plain structs across, panics stopped, errors as a code, its name and a text.
//!
//! The other side is src/adapters/consensus. Everything here is synchronous and reads nothing but its arguments. After a
//! panic the validator is gone: it signs nothing any more, and every call says so.

use std::panic::{catch_unwind, AssertUnwindSafe};

use mesh_consensus::{
    safe_height, Certificate, Code, Config, Consensus, Effect, Error, Evidence, Input, Key, Output, Timeouts, Timer,
    TimerKind, ValidatorSet, Verdict,
};

#[cxx::bridge(namespace = "mesh::engines")]
mod ffi {
    struct ConsensusValidator {
        key: [u8; 32],
        power: u64,
    }

    struct ConsensusConfig {
        federation: [u8; 36],
        /// Without one it follows.
        has_seed: bool,
        seed: [u8; 32],
        observe: bool,
        propose_ms: u64,
        prevote_ms: u64,
        precommit_ms: u64,
        step_ms: u64,
        max_ms: u64,
        rebroadcast_ms: u64,
    }

    struct ConsensusEntry {
        bytes: Vec<u8>,
    }

    /// `ok`, or a code (mesh_consensus::Code), its name and a text.
    struct ConsensusOutcome {
        ok: bool,
        code: u8,
        /// Whether who passed a message on is to blame for it.
        blames: bool,
        name: String,
        text: String,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum ConsensusKind {
        Broadcast,
        Append,
        Forget,
        SetTimer,
        CancelTimer,
        CancelTimers,
        RoundStarted,
        GetBlock,
        Validate,
        Decided,
        Evidence,
        WantSync,
        PeerAhead,
        PeerBehind,
        Amnesia,
        CertifiedRefused,
        Trouble,
    }

    /// One effect of any kind; fields that its kind has no use for are empty.
    struct ConsensusOutput {
        after: u64,
        kind: ConsensusKind,
        height: u64,
        round: u32,
        /// A log position, milliseconds, or a question.
        number: u64,
        timer: u8,
        wanted: bool,
        certified: bool,
        key: [u8; 32],
        block: [u8; 32],
        bytes: Vec<u8>,
        certificate: Vec<u8>,
        text: String,
    }

    struct ConsensusSigners {
        outcome: ConsensusOutcome,
        height: u64,
        round: u32,
        block: [u8; 32],
        signers: Vec<ConsensusKey>,
    }

    struct ConsensusKey {
        key: [u8; 32],
    }

    struct ConsensusOffence {
        outcome: ConsensusOutcome,
        offender: [u8; 32],
        height: u64,
    }

    struct ConsensusShown {
        key: [u8; 32],
        height: u64,
    }

    extern "Rust" {
        type ConsensusNode;

        fn consensus_new(config: &ConsensusConfig) -> Box<ConsensusNode>;
        fn key(self: &ConsensusNode) -> [u8; 32];
        fn is_observing(self: &ConsensusNode) -> bool;
        /// Each of these appends what follows to `out`.
        fn start_height(
            self: &mut ConsensusNode,
            height: u64,
            validators: &[ConsensusValidator],
            log: Vec<ConsensusEntry>,
            out: &mut Vec<ConsensusOutput>,
        ) -> ConsensusOutcome;
        fn wake(self: &mut ConsensusNode, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome;
        fn message(self: &mut ConsensusNode, bytes: &[u8], out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome;
        fn propose(
            self: &mut ConsensusNode,
            height: u64,
            round: u32,
            block: &[u8],
            out: &mut Vec<ConsensusOutput>,
        ) -> ConsensusOutcome;
        fn verdict(
            self: &mut ConsensusNode,
            question: u64,
            verdict: u8,
            out: &mut Vec<ConsensusOutput>,
        ) -> ConsensusOutcome;
        fn elapsed(
            self: &mut ConsensusNode,
            height: u64,
            timer: u8,
            round: u32,
            out: &mut Vec<ConsensusOutput>,
        ) -> ConsensusOutcome;
        fn synced(
            self: &mut ConsensusNode,
            certificate: &[u8],
            block: &[u8],
            out: &mut Vec<ConsensusOutput>,
        ) -> ConsensusOutcome;
        fn safe_from(self: &mut ConsensusNode, height: u64, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome;

        fn consensus_validators(validators: &[ConsensusValidator]) -> ConsensusOutcome;
        fn consensus_certificate(
            federation: &[u8; 36],
            validators: &[ConsensusValidator],
            certificate: &[u8],
        ) -> ConsensusSigners;
        fn consensus_evidence(federation: &[u8; 36], evidence: &[u8]) -> ConsensusOffence;
        /// 0 where it cannot be known.
        fn consensus_safe_height(
            validators: &[ConsensusValidator],
            own: &[u8; 32],
            certified: &[ConsensusShown],
        ) -> u64;
    }
}

use ffi::{
    ConsensusConfig, ConsensusEntry, ConsensusKey, ConsensusKind, ConsensusOffence, ConsensusOutcome, ConsensusOutput,
    ConsensusShown, ConsensusSigners, ConsensusValidator,
};

/// None after a panic.
pub struct ConsensusNode {
    consensus: Option<Consensus>,
    key: [u8; 32],
}

fn outcome(result: Result<(), Error>) -> ConsensusOutcome {
    match result {
        Ok(()) => ConsensusOutcome { ok: true, code: 0, blames: false, name: String::new(), text: String::new() },
        Err(error) => ConsensusOutcome {
            ok: false,
            code: error.code as u8,
            blames: error.code.blames_sender(),
            name: error.code.name().to_string(),
            text: error.text,
        },
    }
}

fn bug() -> Error {
    Error::new(Code::Stopped, "the consensus code panicked; restart the node and report this")
}

fn guarded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(bug()))
}

fn set_of(validators: &[ConsensusValidator]) -> Result<ValidatorSet, Error> {
    let members: Vec<_> = validators.iter().map(|member| (Key(member.key), member.power)).collect();
    ValidatorSet::new(&members)
}

fn consensus_new(config: &ConsensusConfig) -> Box<ConsensusNode> {
    let made = guarded(|| {
        Ok(Consensus::new(Config {
            federation: config.federation,
            seed: config.has_seed.then_some(config.seed),
            observe: config.observe,
            timeouts: Timeouts {
                propose_ms: config.propose_ms,
                prevote_ms: config.prevote_ms,
                precommit_ms: config.precommit_ms,
                step_ms: config.step_ms,
                max_ms: config.max_ms,
                rebroadcast_ms: config.rebroadcast_ms,
            },
        }))
    });
    let consensus = made.ok();
    let key = consensus.as_ref().map_or([0; 32], |consensus| consensus.key().0);
    Box::new(ConsensusNode { consensus, key })
}

impl ConsensusNode {
    fn key(&self) -> [u8; 32] {
        self.key
    }

    fn is_observing(&self) -> bool {
        self.consensus.as_ref().is_none_or(Consensus::is_observing)
    }

    fn step(&mut self, input: Input, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        let Some(consensus) = &mut self.consensus else { return outcome(Err(bug())) };
        match catch_unwind(AssertUnwindSafe(|| consensus.step(input))) {
            Ok(Ok(outputs)) => {
                out.extend(outputs.into_iter().map(convert));
                outcome(Ok(()))
            }
            Ok(Err(error)) => outcome(Err(error)),
            Err(_) => {
                self.consensus = None;
                outcome(Err(bug()))
            }
        }
    }

    fn start_height(
        &mut self,
        height: u64,
        validators: &[ConsensusValidator],
        log: Vec<ConsensusEntry>,
        out: &mut Vec<ConsensusOutput>,
    ) -> ConsensusOutcome {
        match guarded(|| set_of(validators)) {
            Ok(validators) => {
                let log = log.into_iter().map(|entry| entry.bytes).collect();
                self.step(Input::Height { height, validators, log }, out)
            }
            Err(error) => outcome(Err(error)),
        }
    }

    fn wake(&mut self, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        self.step(Input::Wake, out)
    }

    fn message(&mut self, bytes: &[u8], out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        self.step(Input::Message(bytes.to_vec()), out)
    }

    fn propose(&mut self, height: u64, round: u32, block: &[u8], out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        self.step(Input::Propose { height, round, block: block.to_vec() }, out)
    }

    fn verdict(&mut self, question: u64, verdict: u8, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        let verdict = match verdict {
            1 => Verdict::Valid,
            2 => Verdict::Invalid,
            3 => Verdict::Mismatched,
            4 => Verdict::Undecided,
            other => return outcome(Err(Error::new(Code::UnknownKind, format!("verdict of kind {other}: 1 to 4")))),
        };
        self.step(Input::Verdict { question, verdict }, out)
    }

    fn elapsed(&mut self, height: u64, timer: u8, round: u32, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        let kind = match timer {
            1 => TimerKind::Propose,
            2 => TimerKind::Prevote,
            3 => TimerKind::Precommit,
            4 => TimerKind::Rebroadcast,
            5 => TimerKind::Remind,
            other => return outcome(Err(Error::new(Code::UnknownKind, format!("timer of kind {other}: 1 to 5")))),
        };
        self.step(Input::Elapsed(Timer { height, kind, round }), out)
    }

    fn synced(&mut self, certificate: &[u8], block: &[u8], out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        self.step(Input::Synced { certificate: certificate.to_vec(), block: block.to_vec() }, out)
    }

    fn safe_from(&mut self, height: u64, out: &mut Vec<ConsensusOutput>) -> ConsensusOutcome {
        self.step(Input::SafeFrom { height }, out)
    }
}

fn blank(kind: ConsensusKind) -> ConsensusOutput {
    ConsensusOutput {
        after: 0,
        kind,
        height: 0,
        round: 0,
        number: 0,
        timer: 0,
        wanted: false,
        certified: false,
        key: [0; 32],
        block: [0; 32],
        bytes: Vec::new(),
        certificate: Vec::new(),
        text: String::new(),
    }
}

fn timed(kind: ConsensusKind, timer: Timer, number: u64) -> ConsensusOutput {
    ConsensusOutput { height: timer.height, round: timer.round, timer: timer.kind as u8, number, ..blank(kind) }
}

fn about(kind: ConsensusKind, validator: Key, height: u64) -> ConsensusOutput {
    ConsensusOutput { key: validator.0, height, ..blank(kind) }
}

fn convert(output: Output) -> ConsensusOutput {
    let converted = match output.effect {
        Effect::Broadcast { message } => ConsensusOutput { bytes: message, ..blank(ConsensusKind::Broadcast) },
        Effect::Append { position, height, entry } => {
            ConsensusOutput { number: position, height, bytes: entry, ..blank(ConsensusKind::Append) }
        }
        Effect::Forget { below } => ConsensusOutput { height: below, ..blank(ConsensusKind::Forget) },
        Effect::SetTimer { timer, after_ms } => timed(ConsensusKind::SetTimer, timer, after_ms),
        Effect::CancelTimer { timer } => timed(ConsensusKind::CancelTimer, timer, 0),
        Effect::CancelTimers => blank(ConsensusKind::CancelTimers),
        Effect::RoundStarted { height, round, proposer } => {
            ConsensusOutput { round, ..about(ConsensusKind::RoundStarted, proposer, height) }
        }
        Effect::GetBlock { height, round, within_ms } => {
            ConsensusOutput { height, round, number: within_ms, ..blank(ConsensusKind::GetBlock) }
        }
        Effect::Validate { question, height, round, block, bytes, proposer, wanted, certified } => ConsensusOutput {
            round,
            number: question,
            block: block.0,
            bytes: bytes.to_vec(),
            wanted,
            certified,
            ..about(ConsensusKind::Validate, proposer, height)
        },
        Effect::Decided { height, round, block, bytes, certificate } => ConsensusOutput {
            height,
            round,
            block: block.0,
            bytes: bytes.to_vec(),
            certificate,
            ..blank(ConsensusKind::Decided)
        },
        Effect::Evidence { offender, height, evidence } => {
            ConsensusOutput { bytes: evidence, ..about(ConsensusKind::Evidence, offender, height) }
        }
        Effect::WantSync { height } => ConsensusOutput { height, ..blank(ConsensusKind::WantSync) },
        Effect::PeerAhead { validator, height } => about(ConsensusKind::PeerAhead, validator, height),
        Effect::PeerBehind { validator, height } => about(ConsensusKind::PeerBehind, validator, height),
        Effect::Amnesia { height, round } => ConsensusOutput { height, round, ..blank(ConsensusKind::Amnesia) },
        Effect::CertifiedRefused { height, block } => {
            ConsensusOutput { height, block: block.0, ..blank(ConsensusKind::CertifiedRefused) }
        }
        Effect::Trouble { text } => ConsensusOutput { text, ..blank(ConsensusKind::Trouble) },
    };
    ConsensusOutput { after: output.after, ..converted }
}

fn consensus_validators(validators: &[ConsensusValidator]) -> ConsensusOutcome {
    outcome(guarded(|| set_of(validators).map(|_| ())))
}

fn consensus_certificate(
    federation: &[u8; 36],
    validators: &[ConsensusValidator],
    certificate: &[u8],
) -> ConsensusSigners {
    let checked = guarded(|| {
        let certificate = Certificate::decode(certificate)?;
        certificate.verify(federation, &set_of(validators)?)?;
        Ok(certificate)
    });
    match checked {
        Ok(Certificate { height, round, block, signers }) => {
            let signers = signers.into_iter().map(|(key, _)| ConsensusKey { key: key.0 }).collect();
            ConsensusSigners { outcome: outcome(Ok(())), height, round, block: block.0, signers }
        }
        Err(error) => {
            ConsensusSigners { outcome: outcome(Err(error)), height: 0, round: 0, block: [0; 32], signers: Vec::new() }
        }
    }
}

fn consensus_evidence(federation: &[u8; 36], evidence: &[u8]) -> ConsensusOffence {
    match guarded(|| Evidence::check(federation, evidence)) {
        Ok((offender, height)) => ConsensusOffence { outcome: outcome(Ok(())), offender: offender.0, height },
        Err(error) => ConsensusOffence { outcome: outcome(Err(error)), offender: [0; 32], height: 0 },
    }
}

fn consensus_safe_height(validators: &[ConsensusValidator], own: &[u8; 32], certified: &[ConsensusShown]) -> u64 {
    let certified: Vec<_> = certified.iter().map(|shown| (Key(shown.key), shown.height)).collect();
    let safe = guarded(|| Ok(safe_height(&set_of(validators)?, &Key(*own), &certified)));
    safe.ok().flatten().unwrap_or(0)
}
