//! What becomes of blocks: contents that are not their own, proposers that send too many, and an application that cannot say yet.

use arc_malachitebft_core_types::{NilOrVal, Round};

use super::codec::{certificate, framed, named, proposal, vote};
use super::rules::{decided, height, propose, turn, votes, Node, PRECOMMIT, PREVOTE};
use crate::consensus::{Effect, Input, Timer, TimerKind, Verdict};
use crate::error::Code;
use crate::types::{Height, SignedVote};
use crate::wire::{encode_proposal, Entry, Message, PolkaCertificate};

/// As `propose`, but with another rest behind the header.
fn altered(header: &[u8], rest: u8) -> Input {
    let mut block = framed(header);
    block.push(rest);
    Input::Message(encode_proposal(&proposal(turn(1, 0), 1, 0, None, header), &block))
}

fn questions(effects: &[Effect]) -> Vec<(u64, bool, bool)> {
    let asked = effects.iter().filter_map(|effect| match effect {
        Effect::Validate { question, wanted, certified, .. } => Some((*question, *wanted, *certified)),
        _ => None,
    });
    asked.collect()
}

fn question(effects: &[Effect]) -> u64 {
    let asked = questions(effects);
    assert_eq!(asked.len(), 1, "{effects:?}");
    asked[0].0
}

fn answer(node: &mut Node, question: u64, verdict: Verdict) -> Vec<Effect> {
    node.ok(Input::Verdict { question, verdict })
}

fn wants_sync(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::WantSync { .. }))
}

fn voted(effects: &[Effect]) -> Vec<NilOrVal<crate::types::BlockId>> {
    votes(effects).iter().map(|vote: &SignedVote| vote.block).collect()
}

fn remind(node: &mut Node) -> Vec<Effect> {
    node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Remind, round: 0 }))
}

#[test]
fn a_wrong_rest_keeps_nobody_from_the_right_one() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    // The wrong one first, and the right one while it is in question.
    let wrong = question(&node.ok(altered(b"block", 1)));
    assert_eq!(node.ok(altered(b"block", 1)), vec![]);
    let right = question(&node.ok(propose(b"block")));
    assert_ne!(wrong, right);
    assert_eq!(answer(&mut node, wrong, Verdict::Mismatched), vec![]);
    assert_eq!(voted(&answer(&mut node, right, Verdict::Valid)), vec![NilOrVal::Val(named(b"block"))]);
    // Now it is known, and other bytes are not looked at.
    assert_eq!(node.ok(altered(b"block", 2)), vec![]);
    assert_eq!(answer(&mut node, wrong, Verdict::Valid), vec![]);

    // The right one after the wrong one was found out, and after many of them.
    let mut node = Node::new();
    node.ok(Input::Wake);
    let many: Vec<_> = (0..3).map(|rest| question(&node.ok(altered(b"block", rest)))).collect();
    assert_eq!(node.code(propose(b"block")), Code::TooMany);
    for wrong in many {
        assert_eq!(answer(&mut node, wrong, Verdict::Mismatched), vec![]);
    }
    let right = question(&node.ok(propose(b"block")));
    assert_eq!(voted(&answer(&mut node, right, Verdict::Valid)).len(), 1);

    // What is waiting is not woken by it.
    let mut node = Node::new();
    let wrong = question(&node.ok(altered(b"block", 1)));
    assert_eq!(answer(&mut node, wrong, Verdict::Mismatched), vec![]);
    let right = question(&node.ok(propose(b"block")));
    assert_eq!(voted(&answer(&mut node, right, Verdict::Valid)).len(), 1);
}

#[test]
fn a_wrong_rest_with_a_right_certificate_is_asked_for_again() {
    let mut node = Node::new();
    let others = node.others.clone();
    let certificate = certificate(&others, 1, 0, b"block").encode();
    let mut wrong = framed(b"block");
    wrong.push(1);
    let asked = question(&node.ok(Input::Synced { certificate: certificate.clone(), block: wrong }));
    assert!(wants_sync(&answer(&mut node, asked, Verdict::Mismatched)));
    let asked = question(&node.ok(Input::Synced { certificate, block: framed(b"block") }));
    assert!(decided(&answer(&mut node, asked, Verdict::Valid)).is_some());
}

/// One validator is sent three blocks, the others the third alone.
#[test]
fn a_proposer_with_three_blocks_keeps_nobody_from_the_third() {
    for early in [0, 2] {
        let mut node = Node::new();
        node.ok(Input::Wake);
        for block in [b"one", b"two"] {
            let asked = question(&node.ok(propose(block)));
            answer(&mut node, asked, Verdict::Valid);
        }
        // As long as nobody votes for it, it is one too many.
        assert_eq!(node.code(propose(b"three")), Code::TooMany);
        let others = node.others.clone();
        let third = Some(named(b"three"));
        for member in &others[..early] {
            node.hear(&vote(*member, PREVOTE, 1, 0, third));
        }
        if early == 0 {
            for member in &others {
                node.hear(&vote(*member, PREVOTE, 1, 0, third));
            }
        }
        let asked = question(&node.ok(propose(b"three")));
        let mut effects = answer(&mut node, asked, Verdict::Valid);
        for member in &others {
            effects.extend(node.hear(&vote(*member, PREVOTE, 1, 0, third)));
        }
        assert_eq!(voted(&effects), vec![NilOrVal::Val(named(b"three"))], "{early} voted before");
        let mut effects = Vec::new();
        for member in &others[..2] {
            effects.extend(node.hear(&vote(*member, PRECOMMIT, 1, 0, third)));
        }
        assert_eq!(decided(&effects).map(|(_, block, _)| block), third);
    }
}

/// The same, but the third is decided in a later round, where it is proposed again.
#[test]
fn what_was_judged_is_told_again_with_the_next_proposal_of_it() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    for block in [b"one", b"two"] {
        let asked = question(&node.ok(propose(block)));
        answer(&mut node, asked, Verdict::Valid);
    }
    let others = node.others.clone();
    let third = Some(named(b"three"));
    for member in &others[..2] {
        node.hear(&vote(*member, PREVOTE, 1, 0, third));
    }
    let asked = question(&node.ok(propose(b"three")));
    answer(&mut node, asked, Verdict::Valid);
    // Two thirds want none: the round ends.
    for member in &others {
        node.hear(&vote(*member, PRECOMMIT, 1, 0, None));
    }
    node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Precommit, round: 0 }));
    let polka = PolkaCertificate::new(
        Height(1),
        Round::new(0),
        named(b"three"),
        others.iter().map(|member| vote(*member, PREVOTE, 1, 0, third)).collect(),
    );
    let mut effects = node.ok(Input::Message(Message::Polka(polka).encode()));
    let again = proposal(turn(1, 1), 1, 1, Some(0), b"three");
    if turn(1, 1) != node.own {
        effects.extend(node.ok(Input::Message(encode_proposal(&again, &framed(b"three")))));
        assert!(voted(&effects).contains(&NilOrVal::Val(named(b"three"))), "{effects:?}");
    }
}

#[test]
fn what_cannot_be_judged_yet_is_asked_about_again() {
    for waits in [true, false] {
        let mut node = Node::new();
        if !waits {
            node.ok(Input::Wake);
        }
        let asked = question(&node.ok(propose(b"block")));
        let effects = answer(&mut node, asked, Verdict::Undecided);
        let is_reminder = |effect: &&Effect| {
            matches!(effect, Effect::SetTimer { timer: Timer { kind: TimerKind::Remind, .. }, after_ms: 1000 })
        };
        assert_eq!(effects.iter().filter(is_reminder).count(), effects.len(), "{effects:?}");
        assert_eq!(effects.len(), 1);
        // Nobody can have it asked by sending the same again.
        assert_eq!(node.ok(propose(b"block")), vec![]);
        let effects = remind(&mut node);
        assert_eq!(questions(&effects).len(), 1, "{effects:?}");
        assert!(matches!(effects.last(), Some(Effect::SetTimer { after_ms: 2000, .. })), "{effects:?}");
        // As long as the question is open it is not put again.
        assert!(questions(&remind(&mut node)).is_empty());
        let effects = answer(&mut node, question(&effects), Verdict::Valid);
        assert_eq!(voted(&effects), vec![NilOrVal::Val(named(b"block"))]);
        assert!(remind(&mut node).is_empty());
    }
}

#[test]
fn what_a_clock_refused_is_asked_about_again_when_two_thirds_want_it() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    let others = node.others.clone();
    let block = Some(named(b"block"));
    for verdict in [Verdict::Invalid, Verdict::Undecided] {
        let mut node = Node::new();
        node.ok(Input::Wake);
        let asked = question(&node.ok(propose(b"block")));
        answer(&mut node, asked, verdict);
        if verdict == Verdict::Undecided {
            node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Propose, round: 0 }));
        }
        let mut effects = Vec::new();
        for member in &others {
            effects.extend(node.hear(&vote(*member, PREVOTE, 1, 0, block)));
        }
        let [(asked, true, false)] = questions(&effects)[..] else { panic!("{effects:?}") };
        let effects = answer(&mut node, asked, Verdict::Valid);
        assert_eq!(voted(&effects), vec![NilOrVal::Val(named(b"block"))], "{verdict:?}");
        let mut effects = Vec::new();
        for member in &others {
            effects.extend(node.ok(Input::Message(crate::wire::encode_vote(&vote(*member, PRECOMMIT, 1, 0, block)))));
        }
        assert!(decided(&effects).is_some());
    }
    // Refused for good: once for each that two thirds want, and it is not decided by that.
    let asked = question(&node.ok(propose(b"block")));
    answer(&mut node, asked, Verdict::Invalid);
    let mut effects = Vec::new();
    for member in &others {
        effects.extend(node.hear(&vote(*member, PREVOTE, 1, 0, block)));
    }
    let effects = answer(&mut node, question(&effects), Verdict::Invalid);
    assert!(voted(&effects).is_empty() && questions(&effects).is_empty(), "{effects:?}");
    let mut effects = Vec::new();
    for member in &others {
        effects.extend(node.hear(&vote(*member, PRECOMMIT, 1, 0, block)));
    }
    let [(asked, true, true)] = questions(&effects)[..] else { panic!("{effects:?}") };
    let effects = answer(&mut node, asked, Verdict::Invalid);
    assert!(effects.contains(&Effect::CertifiedRefused { height: 1, block: named(b"block") }), "{effects:?}");
    assert_eq!(decided(&effects), None);
}

/// The answer about a proposal is not that about the block with its certificate.
#[test]
fn a_refused_proposal_may_still_be_what_is_decided() {
    let mut node = Node::new();
    let others = node.others.clone();
    let plain = question(&node.ok(propose(b"block")));
    let certificate = certificate(&others, 1, 0, b"block").encode();
    node.ok(Input::Synced { certificate, block: framed(b"block") });
    let effects = answer(&mut node, plain, Verdict::Invalid);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::CertifiedRefused { .. })), "{effects:?}");
    let [(asked, true, true)] = questions(&effects)[..] else { panic!("{effects:?}") };
    assert!(decided(&answer(&mut node, asked, Verdict::Valid)).is_some());
}

#[test]
fn who_contradicts_itself_while_a_height_waits_fills_no_memory() {
    let mut node = Node::new();
    for _ in 0..50 {
        for block in [b"one", b"two", b"333"] {
            let _ = node.step(propose(block));
        }
    }
    assert!(node.consensus.held() <= 2, "{}", node.consensus.held());
    let mut other = Node::new();
    for round in 0..11 {
        for number in 0..3u8 {
            let block = [b'b', number];
            for pol_round in 0..=round {
                let pol_round = (pol_round < round).then_some(pol_round);
                let message = encode_proposal(&proposal(turn(1, round), 1, round, pol_round, &block), &framed(&block));
                let _ = other.step(Input::Message(message));
            }
        }
    }
    assert!(other.consensus.held() <= 64, "{}", other.consensus.held());
}

/// Proposers of rounds to come send more blocks than are kept, again and again.
#[test]
fn blocks_that_come_in_turns_are_logged_once() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    let mut asked = 0;
    for _ in 0..4 {
        for round in 1..11 {
            for number in 0..2u8 {
                if turn(1, round) == node.own {
                    continue;
                }
                let header = [round as u8, number];
                let message = encode_proposal(&proposal(turn(1, round), 1, round, None, &header), &framed(&header));
                for (question, ..) in questions(&node.step(Input::Message(message)).unwrap_or_default()) {
                    asked += 1;
                    answer(&mut node, question, Verdict::Valid);
                }
            }
        }
    }
    let mut logged: Vec<_> = node.log.iter().map(|entry| Entry::decode(entry).expect("an entry")).collect();
    let count = logged.len();
    logged.dedup();
    assert_eq!(logged.len(), count);
    let bytes = logged.iter().filter_map(|entry| match entry {
        Entry::Verdict { block, bytes: Some(_), .. } => Some(*block),
        _ => None,
    });
    let mut bytes: Vec<_> = bytes.collect();
    let count = bytes.len();
    assert!(count > 8, "{count}");
    bytes.sort_unstable();
    bytes.dedup();
    assert_eq!(bytes.len(), count);
    assert!(logged.len() <= 4 * count, "{} entries of {count} blocks", logged.len());
    assert_eq!(asked, count);
}

#[test]
fn a_block_that_was_not_kept_is_found_by_its_certificate() {
    // Two thirds precommit to what this node has never seen; then it comes with a proposal.
    let mut node = Node::new();
    node.ok(Input::Wake);
    let others = node.others.clone();
    let mut effects = Vec::new();
    for member in &others {
        effects.extend(node.hear(&vote(*member, PRECOMMIT, 1, 0, Some(named(b"block")))));
    }
    assert!(wants_sync(&effects), "{effects:?}");
    let effects = node.ok(propose(b"block"));
    let [(asked, true, true)] = questions(&effects)[..] else { panic!("{effects:?}") };
    let (_, block, proof) = decided(&answer(&mut node, asked, Verdict::Valid)).expect("decided");
    assert_eq!(block, named(b"block"));
    let proof = crate::Certificate::decode(&proof).expect("well formed");
    assert_eq!(proof.verify(&super::mesh::FEDERATION, &super::rules::four()), Ok(()));
    node.ok(height(2));
}
