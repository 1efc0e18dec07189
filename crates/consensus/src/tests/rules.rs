//! Single rules, by hand: what wakes a node, what it votes for, what it tells, what it refuses.

use std::collections::BTreeMap;

use arc_malachitebft_core_types::{NilOrVal, RoundCertificateType, VoteType};

use super::codec::{certificate, framed, named, proposal, vote};
use super::mesh::{key_of, seed_of, set_of, Rng, FEDERATION};
use crate::consensus::{safe_height, Config, Consensus, Effect, Input, Output, Timeouts, Timer, TimerKind, Verdict};
use crate::error::{Code, Error};
use crate::types::{BlockId, Key, SignedVote, ValidatorSet, MAX_BLOCK_BYTES};
use crate::wire::{encode_proposal, encode_vote, Evidence, Message};

pub const PREVOTE: VoteType = VoteType::Prevote;
pub const PRECOMMIT: VoteType = VoteType::Precommit;

pub fn four() -> ValidatorSet {
    set_of(&[(0, 1), (1, 1), (2, 1), (3, 1)])
}

pub fn fresh(member: usize, observe: bool) -> Consensus {
    let seed = Some(seed_of(member));
    Consensus::new(Config { federation: FEDERATION, seed, observe, timeouts: Timeouts::default() })
}

pub fn height(height: u64) -> Input {
    Input::Height { height, validators: four(), log: Vec::new() }
}

/// Who proposes, as a member's number.
pub fn turn(height: u64, round: u32) -> usize {
    let key = four().proposer(height, round).key;
    (0..4).find(|member| key_of(*member) == key).expect("one of the four")
}

pub struct Node {
    pub consensus: Consensus,
    pub own: usize,
    pub others: Vec<usize>,
    pub log: Vec<Vec<u8>>,
    /// The latest question about each block.
    questions: BTreeMap<BlockId, u64>,
}

impl Node {
    /// Not the proposer of height 1, round 0, and waiting at it.
    pub fn new() -> Self {
        let own = (turn(1, 0) + 1) % 4;
        let mut node = Self::of(own, false);
        node.ok(height(1));
        node
    }

    pub fn of(own: usize, observe: bool) -> Self {
        let others = (0..4).filter(|member| *member != own).collect();
        Self { consensus: fresh(own, observe), own, others, log: Vec::new(), questions: BTreeMap::new() }
    }

    pub fn step(&mut self, input: Input) -> Result<Vec<Effect>, Error> {
        let outputs = self.consensus.step(input)?;
        let mut appended: Option<u64> = None;
        for Output { after, effect } in &outputs {
            if let Effect::Append { position, entry, .. } = effect {
                assert_eq!(*after, position - 1);
                self.log.push(entry.clone());
                appended = Some(*position);
            } else if let Some(position) = appended {
                assert_eq!(*after, position, "{effect:?}");
            }
            if let Effect::Validate { question, block, .. } = effect {
                self.questions.insert(*block, *question);
            }
        }
        Ok(outputs.into_iter().map(|output| output.effect).collect())
    }

    pub fn ok(&mut self, input: Input) -> Vec<Effect> {
        self.step(input).expect("taken")
    }

    pub fn code(&mut self, input: Input) -> Code {
        self.step(input).expect_err("refused").code
    }

    pub fn judge(&mut self, header: &[u8], verdict: Verdict) -> Vec<Effect> {
        let question = self.questions.get(&named(header)).copied().unwrap_or(0);
        self.ok(Input::Verdict { question, verdict })
    }

    pub fn hear(&mut self, vote: &SignedVote) -> Vec<Effect> {
        self.ok(Input::Message(encode_vote(vote)))
    }
}

pub fn votes(effects: &[Effect]) -> Vec<SignedVote> {
    let decoded = effects.iter().filter_map(|effect| match effect {
        Effect::Broadcast { message } => Message::decode(message).ok(),
        _ => None,
    });
    decoded
        .filter_map(|message| match message {
            Message::Vote(vote) => Some(vote),
            _ => None,
        })
        .collect()
}

pub fn signed_anything(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Broadcast { .. }))
}

pub fn started(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::RoundStarted { .. }))
}

pub fn decided(effects: &[Effect]) -> Option<(u64, BlockId, Vec<u8>)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Decided { height, block, certificate, .. } => Some((*height, *block, certificate.clone())),
        _ => None,
    })
}

pub fn propose(header: &[u8]) -> Input {
    Input::Message(encode_proposal(&proposal(turn(1, 0), 1, 0, None, header), &framed(header)))
}

#[test]
fn nothing_is_done_before_the_first_height() {
    let mut node = Node::of(0, false);
    let synced = Input::Synced { certificate: certificate(&[0, 1, 2], 1, 0, b"b").encode(), block: framed(b"b") };
    for input in [Input::Wake, propose(b"b"), synced] {
        assert_eq!(node.code(input), Code::NotStarted);
    }
    for input in [
        Input::Verdict { question: 1, verdict: Verdict::Valid },
        Input::Propose { height: 1, round: 0, block: framed(b"b") },
    ] {
        assert_eq!(node.ok(input), vec![]);
    }
    assert_eq!(node.code(height(0)), Code::WrongHeight);
    assert_eq!(node.code(height(u64::MAX)), Code::WrongHeight);
    node.ok(height(5));
    assert_eq!(node.code(height(5)), Code::WrongHeight);
    assert_eq!(node.code(height(4)), Code::WrongHeight);
}

#[test]
fn one_validator_decides_in_one_step() {
    let mut node = Node { consensus: fresh(0, false), own: 0, others: vec![], log: vec![], questions: BTreeMap::new() };
    let validators = set_of(&[(0, 9)]);
    let start = |height| Input::Height { height, validators: validators.clone(), log: vec![] };
    assert!(!started(&node.ok(start(1))));
    for at in 1..4 {
        let effects = node.ok(Input::Wake);
        assert!(matches!(effects.last(), Some(Effect::SetTimer { .. } | Effect::GetBlock { .. })), "{effects:?}");
        let effects = node.ok(Input::Propose { height: at, round: 0, block: framed(&[at as u8]) });
        let (height, block, bytes) = decided(&effects).expect("decided");
        assert_eq!((height, block), (at, named(&[at as u8])));
        let certificate = crate::Certificate::decode(&bytes).expect("well formed");
        assert_eq!(certificate.verify(&FEDERATION, &validators), Ok(()));
        assert_eq!(certificate.signers.len(), 1);
        node.ok(start(at + 1));
    }
}

#[test]
fn one_voice_wakes_nobody_and_two_of_four_do() {
    let mut node = Node::new();
    let (first, second) = (node.others[0], node.others[1]);
    assert!(!started(&node.hear(&vote(first, PREVOTE, 1, 0, None))));
    assert!(!started(&node.hear(&vote(first, PRECOMMIT, 1, 0, None))));
    assert!(!started(&node.hear(&vote(first, PREVOTE, 1, 3, None))));
    assert!(started(&node.hear(&vote(second, PREVOTE, 1, 0, None))));
}

#[test]
fn a_proposal_wakes_when_the_application_finds_it_valid() {
    let mut node = Node::new();
    let effects = node.ok(propose(b"block"));
    assert!(matches!(effects.as_slice(), [Effect::Validate { certified: false, .. }]), "{effects:?}");
    // Again: it is known.
    assert_eq!(node.ok(propose(b"block")), vec![]);
    let effects = node.judge(b"block", Verdict::Valid);
    assert!(started(&effects));
    let votes = votes(&effects);
    assert_eq!(votes.len(), 1);
    assert_eq!((votes[0].kind, &votes[0].block), (PREVOTE, &NilOrVal::Val(named(b"block"))));

    let mut node = Node::new();
    node.ok(propose(b"block"));
    assert_eq!(node.judge(b"block", Verdict::Invalid), vec![]);
}

#[test]
fn nothing_is_voted_for_before_the_verdict_and_the_refused_gets_a_vote_for_none() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    assert!(!signed_anything(&node.ok(propose(b"block"))));
    for member in node.others.clone() {
        assert!(votes(&node.hear(&vote(member, PREVOTE, 1, 0, Some(named(b"block"))))).is_empty());
    }
    let effects = node.judge(b"block", Verdict::Invalid);
    assert_eq!(votes(&effects).first().map(|vote| vote.block), Some(NilOrVal::Nil));
    // No second opinion, but on what is asked again.
    assert_eq!(node.ok(Input::Verdict { question: 1, verdict: Verdict::Valid }), vec![]);
    assert_eq!(node.judge(b"unknown", Verdict::Valid), vec![]);
}

#[test]
fn bad_proposals_are_refused_by_name() {
    let mut node = Node::new();
    let stranger = (turn(1, 0) + 2) % 4;
    let send = |proposal, header: &[u8]| Input::Message(encode_proposal(&proposal, &framed(header)));
    assert_eq!(node.code(send(proposal(stranger, 1, 0, None, b"b"), b"b")), Code::NotProposer);
    assert_eq!(node.code(send(proposal(turn(1, 0), 1, 0, None, b"b"), b"c")), Code::BadBlock);
    let mut forged = proposal(turn(1, 0), 1, 0, None, b"b");
    forged.signature[5] ^= 1;
    assert_eq!(node.code(send(forged, b"b")), Code::BadSignature);
    assert_eq!(node.code(send(proposal(turn(1, 11), 1, 11, None, b"b"), b"b")), Code::TooFar);
    assert_eq!(node.code(Input::Propose { height: 1, round: 0, block: vec![] }), Code::BadBlock);
    let large = vec![0; MAX_BLOCK_BYTES + 1];
    assert_eq!(node.code(Input::Propose { height: 1, round: 0, block: large }), Code::TooLarge);
    let foreign = encode_vote(&vote(9, PREVOTE, 1, 0, None));
    assert_eq!(node.code(Input::Message(foreign)), Code::UnknownValidator);
    assert!(!Code::UnknownValidator.blames_sender() && Code::BadSignature.blames_sender());
    let mut forged = vote(node.others[0], PREVOTE, 1, 0, None);
    forged.signature[0] ^= 1;
    assert_eq!(node.code(Input::Message(encode_vote(&forged))), Code::BadSignature);
}

#[test]
fn blocks_of_a_height_are_bounded() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    // The proposer of one round sends one after the other: two are taken.
    let mut refused = 0;
    for number in 0..20u8 {
        let block = [number; 3];
        let message = encode_proposal(&proposal(turn(1, 0), 1, 0, None, &block), &framed(&block));
        refused += u8::from(node.step(Input::Message(message)).is_err_and(|error| error.code == Code::TooMany));
    }
    assert_eq!(refused, 18);
}

#[test]
fn contradictions_are_told_once_and_prove_themselves() {
    let mut node = Node::new();
    let liar = node.others[1];
    let pair = [vote(liar, PREVOTE, 1, 0, None), vote(liar, PREVOTE, 1, 0, Some(BlockId([4; 32])))];
    assert_eq!(node.hear(&pair[0]), vec![]);
    let effects = node.hear(&pair[1]);
    let [Effect::Evidence { offender, height: 1, evidence }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(*offender, key_of(liar));
    assert_eq!(Evidence::check(&FEDERATION, evidence), Ok((key_of(liar), 1)));
    assert_eq!(node.hear(&pair[1]), vec![]);
    assert_eq!(node.hear(&vote(liar, PREVOTE, 1, 0, Some(BlockId([5; 32])))), vec![]);
    // Of proposals, too; and of votes that come with a certificate.
    let mut node = Node::new();
    node.ok(propose(b"one"));
    let effects = node.ok(propose(b"other"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Evidence { .. })), "{effects:?}");
    let mut node = Node::new();
    let others = node.others.clone();
    node.hear(&vote(others[0], PRECOMMIT, 1, 0, Some(BlockId([4; 32]))));
    let nil = others.iter().map(|member| vote(*member, PRECOMMIT, 1, 0, None)).collect();
    let certificate = crate::wire::RoundCertificate::new_from_votes(
        crate::types::Height(1),
        arc_malachitebft_core_types::Round::new(0),
        RoundCertificateType::Precommit,
        nil,
    );
    let effects = node.ok(Input::Message(Message::Round(certificate).encode()));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Evidence { .. })), "{effects:?}");
}

#[test]
fn who_is_ahead_or_behind_is_told() {
    let mut node = Node::new();
    let other = node.others[0];
    let effects = node.hear(&vote(other, PREVOTE, 2, 0, None));
    assert_eq!(effects.first(), Some(&Effect::PeerAhead { validator: key_of(other), height: 2 }));
    assert_eq!(node.hear(&vote(other, PREVOTE, 2, 1, None)), vec![]);
    let effects = node.hear(&vote(other, PREVOTE, 900, 0, None));
    assert_eq!(effects, vec![Effect::PeerAhead { validator: key_of(other), height: 900 }]);
    node.ok(height(2));
    // For the first time it is slow, after that it lags.
    let late = vote(node.others[1], PRECOMMIT, 1, 0, None);
    assert_eq!(node.hear(&late), vec![]);
    let behind = vec![Effect::PeerBehind { validator: key_of(node.others[1]), height: 1 }];
    assert_eq!(node.hear(&late), behind);
    node.ok(height(3));
    assert_eq!(node.hear(&late), behind);
}

#[test]
fn what_came_early_is_used() {
    let mut node = Node::new();
    let others = node.others.clone();
    for member in &others[..2] {
        node.hear(&vote(*member, PREVOTE, 2, 0, None));
    }
    assert!(started(&node.ok(height(2))));
    // What is two heights early is not held.
    let mut node = Node::new();
    for member in &others[..2] {
        node.hear(&vote(*member, PREVOTE, 3, 0, None));
    }
    node.ok(height(2));
    assert!(!started(&node.ok(height(3))));
}

#[test]
fn a_synced_block_needs_its_certificate_and_the_applications_word() {
    let mut node = Node::new();
    let good = certificate(&[0, 1, 2], 1, 0, b"block").encode();
    let synced =
        |certificate: &[u8], block: &[u8]| Input::Synced { certificate: certificate.to_vec(), block: block.to_vec() };
    assert_eq!(node.code(synced(&good, &framed(b"other"))), Code::BadBlock);
    assert_eq!(node.code(synced(&good, b"")), Code::BadBlock);
    assert_eq!(node.code(synced(&[], &framed(b"block"))), Code::Malformed);
    let few = certificate(&[0, 1], 1, 0, b"block").encode();
    assert_eq!(node.code(synced(&few, &framed(b"block"))), Code::TooLittlePower);
    let next = certificate(&[0, 1, 2], 2, 0, b"block").encode();
    assert_eq!(node.code(synced(&next, &framed(b"block"))), Code::WrongHeight);

    let own = node.own;
    let without: Vec<_> = (0..4).filter(|member| *member != own).collect();
    let good = certificate(&without, 1, 0, b"block").encode();
    let effects = node.ok(synced(&good, &framed(b"block")));
    assert!(matches!(effects.as_slice(), [Effect::Validate { certified: true, .. }]), "{effects:?}");
    assert_eq!(node.ok(synced(&good, &framed(b"block"))), vec![]);
    let effects = node.judge(b"block", Verdict::Invalid);
    assert_eq!(effects, vec![Effect::CertifiedRefused { height: 1, block: named(b"block") }]);
    // It may be asked again.
    node.ok(synced(&good, &framed(b"block")));
    let effects = node.judge(b"block", Verdict::Valid);
    assert_eq!(decided(&effects), Some((1, named(b"block"), good.clone())));
    assert_eq!(node.code(synced(&good, &framed(b"block"))), Code::WrongHeight);
    // Also in the middle of a height, and of a block that the application knows.
    let mut node = Node::new();
    node.ok(propose(b"block"));
    node.judge(b"block", Verdict::Valid);
    assert!(decided(&node.ok(synced(&good, &framed(b"block")))).is_some());
}

#[test]
fn an_observer_follows_and_signs_nothing_until_it_is_safe() {
    let own = (turn(1, 0) + 1) % 4;
    let mut node = Node::of(own, true);
    node.ok(height(1));
    assert!(node.consensus.is_observing());
    let mut all = node.ok(Input::Wake);
    all.extend(node.ok(propose(b"block")));
    all.extend(node.judge(b"block", Verdict::Valid));
    for kind in [PREVOTE, PRECOMMIT] {
        for member in node.others.clone() {
            all.extend(node.hear(&vote(member, kind, 1, 0, Some(named(b"block")))));
        }
    }
    assert!(!signed_anything(&all));
    assert!(decided(&all).is_some());
    node.ok(Input::SafeFrom { height: 3 });
    for at in 2..4 {
        node.ok(height(at));
        node.ok(Input::Wake);
        let effects = node.ok(Input::Elapsed(Timer { height: at, kind: TimerKind::Propose, round: 0 }));
        let proposes = turn(at, 0) == own;
        assert_eq!(signed_anything(&effects), at == 3 && !proposes, "height {at}");
    }
}

#[test]
fn who_has_forgotten_what_it_signed_stops_signing() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    let effects = node.hear(&vote(node.own, PREVOTE, 1, 4, None));
    assert!(effects.contains(&Effect::Amnesia { height: 1, round: 4 }), "{effects:?}");
    assert!(node.consensus.is_observing());
    let effects = node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Propose, round: 0 }));
    assert!(!signed_anything(&effects));
    assert_eq!(node.code(Input::SafeFrom { height: 1 }), Code::UnsafeHeight);
    let effects = node.hear(&vote(node.own, PREVOTE, 8, 0, None));
    assert_eq!(effects, vec![Effect::Amnesia { height: 8, round: 0 }]);
    assert_eq!(node.code(Input::SafeFrom { height: 8 }), Code::UnsafeHeight);
    node.ok(Input::SafeFrom { height: 9 });
    node.ok(height(9));
    assert!(!node.consensus.is_observing());
    // By a certificate with its own signature in it.
    let mut node = Node::new();
    let members = [node.own, node.others[0], node.others[1]];
    let certificate = certificate(&members, 1, 0, b"block").encode();
    let effects = node.ok(Input::Synced { certificate, block: framed(b"block") });
    assert!(effects.contains(&Effect::Amnesia { height: 1, round: 0 }), "{effects:?}");
}

#[test]
fn its_own_echo_is_no_amnesia_also_after_a_restart() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    let effects = node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Propose, round: 0 }));
    let own = votes(&effects);
    assert_eq!(own.len(), 1);
    assert_eq!(node.hear(&own[0]), vec![]);
    let mut again = Node::of(node.own, false);
    let effects = again.ok(Input::Height { height: 1, validators: four(), log: node.log.clone() });
    // It says the same again, with the same signature, and writes nothing that is written.
    assert_eq!(votes(&effects), own);
    assert!(again.log.is_empty());
    assert_eq!(again.hear(&own[0]), vec![]);
    // A proposal that comes now changes nothing of it.
    let effects = again.ok(propose(b"block"));
    assert!(votes(&effects).is_empty());
    assert!(votes(&again.judge(b"block", Verdict::Valid)).is_empty());
}

#[test]
fn a_log_that_cannot_be_read_is_refused_and_nothing_is_signed_after_it() {
    let own = (turn(1, 0) + 1) % 4;
    for log in [vec![vec![]], vec![vec![77; 20]], vec![encode_vote(&vote(0, PREVOTE, 2, 0, None))]] {
        let mut node = Node::of(own, false);
        assert_eq!(node.code(Input::Height { height: 1, validators: four(), log }), Code::CorruptLog);
        assert!(node.consensus.is_observing());
        node.ok(height(1));
        node.ok(Input::Wake);
        assert!(!signed_anything(&node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Propose, round: 0 }))));
    }
    // Entries of heights that are over are left out.
    let mut node = Node::of(own, false);
    let log = vec![encode_vote(&vote(0, PREVOTE, 1, 0, None))];
    assert!(!started(&node.ok(Input::Height { height: 2, validators: four(), log })));
}

#[test]
fn what_comes_too_late_changes_nothing() {
    let mut node = Node::new();
    for timer in [TimerKind::Propose, TimerKind::Prevote, TimerKind::Precommit, TimerKind::Rebroadcast] {
        assert_eq!(node.ok(Input::Elapsed(Timer { height: 1, kind: timer, round: 0 })), vec![]);
    }
    node.ok(Input::Wake);
    assert_eq!(node.ok(Input::Wake), vec![]);
    for (height, round) in [(1, 5), (2, 0), (1, u32::MAX)] {
        assert_eq!(node.ok(Input::Elapsed(Timer { height, kind: TimerKind::Propose, round })), vec![]);
        assert_eq!(node.ok(Input::Propose { height, round, block: framed(b"b") }), vec![]);
    }
    // Asked or not, it is not its turn.
    assert_eq!(node.ok(Input::Propose { height: 1, round: 0, block: framed(b"b") }), vec![]);
}

#[test]
fn a_repeated_vote_brings_the_proposal_again() {
    let own = turn(1, 0);
    let mut node = Node::of(own, false);
    node.ok(height(1));
    node.ok(Input::Wake);
    node.ok(Input::Propose { height: 1, round: 0, block: framed(b"block") });
    let effects = node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Rebroadcast, round: 0 }));
    let again = effects.iter().filter(|effect| {
        matches!(effect, Effect::Broadcast { message } if matches!(Message::decode(message), Ok(Message::Proposal(..))))
    });
    assert_eq!(again.count(), 1);
    assert_eq!(votes(&effects).len(), 1);
}

#[test]
fn the_safe_height_is_three_above_what_a_quorum_of_others_shows() {
    let set = set_of(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let own = key_of(0);
    let shown = |heights: &[(usize, u64)]| {
        let certified: Vec<(Key, u64)> = heights.iter().map(|(member, height)| (key_of(*member), *height)).collect();
        safe_height(&set, &own, &certified)
    };
    assert_eq!(shown(&[]), None);
    assert_eq!(shown(&[(1, 5), (2, 9)]), None);
    assert_eq!(shown(&[(0, 50), (1, 5), (2, 9)]), None);
    assert_eq!(shown(&[(1, 5), (1, 6), (1, 7), (2, 9)]), None);
    assert_eq!(shown(&[(1, 5), (2, 9), (9, 99)]), None);
    assert_eq!(shown(&[(1, 5), (2, 9), (3, 7), (0, 70)]), Some(12));
    assert_eq!(safe_height(&set_of(&[(0, 1)]), &own, &[]), None);
}

#[test]
fn noise_changes_nothing() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    let mut rng = Rng(99);
    let other = node.others[0];
    let templates = [
        encode_vote(&vote(other, PREVOTE, 1, 0, None)),
        encode_proposal(&proposal(turn(1, 0), 1, 0, None, b"block"), &framed(b"block")),
        certificate(&[0, 1, 2], 1, 0, b"block").encode(),
    ];
    for _ in 0..3000 {
        let mut bytes = templates[rng.below(3) as usize].clone();
        for _ in 0..=rng.below(4) {
            let place = rng.below(bytes.len() as u64) as usize;
            bytes[place] = rng.next() as u8;
        }
        let input = match rng.below(3) {
            0 => Input::Synced { certificate: bytes, block: framed(b"block") },
            _ => Input::Message(bytes),
        };
        assert!(!node.step(input).is_ok_and(|effects| signed_anything(&effects)));
    }
    node.ok(propose(b"block"));
    assert!(signed_anything(&node.judge(b"block", Verdict::Valid)));
}

#[test]
fn an_elsewhere_signed_message_is_refused() {
    let mut node = Node::new();
    let mut config = Config { federation: FEDERATION, seed: None, observe: false, timeouts: Timeouts::default() };
    config.federation[30] ^= 1;
    let mut elsewhere = Consensus::new(config);
    elsewhere.step(height(1)).expect("started");
    let message = encode_vote(&vote(node.others[0], PREVOTE, 1, 0, None));
    assert_eq!(elsewhere.step(Input::Message(message.clone())).expect_err("refused").code, Code::BadSignature);
    assert!(node.step(Input::Message(message)).is_ok());
}
