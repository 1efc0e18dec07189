//! When this key signs: after what it has forgotten, in the middle of a height, and after a restart.

use arc_malachitebft_core_types::{NilOrVal, Round};

use super::codec::{framed, named, vote};
use super::rules::{decided, four, height, propose, signed_anything, turn, votes, Node, PRECOMMIT, PREVOTE};
use crate::consensus::{Effect, Input, Timer, TimerKind, Verdict};
use crate::types::Height;
use crate::wire::{Entry, Message, PolkaCertificate};

fn propose_is_late() -> Input {
    Input::Elapsed(Timer { height: 1, kind: TimerKind::Propose, round: 0 })
}

fn polka(members: &[usize], header: &[u8]) -> Input {
    let votes = members.iter().map(|member| vote(*member, PREVOTE, 1, 0, Some(named(header)))).collect();
    Input::Message(Message::Polka(PolkaCertificate::new(Height(1), Round::new(0), named(header), votes)).encode())
}

fn proposals(effects: &[Effect]) -> usize {
    let decoded = effects.iter().filter_map(|effect| match effect {
        Effect::Broadcast { message } => Message::decode(message).ok(),
        _ => None,
    });
    decoded.filter(|message| matches!(message, Message::Proposal(..))).count()
}

/// Restarted by what the other wrote.
fn again(node: &Node) -> (Node, Vec<Effect>) {
    let mut again = Node::of(node.own, false);
    let effects = again.ok(Input::Height { height: 1, validators: four(), log: node.log.clone() });
    (again, effects)
}

/// It has voted for none in this round, and is shown its own vote for a block: the certificate that it is in would make it precommit.
#[test]
fn an_own_vote_in_a_certificate_is_seen_before_the_certificate_is_acted_on() {
    let mut node = Node::new();
    node.ok(Input::Wake);
    node.ok(propose_is_late());
    node.ok(propose(b"block"));
    node.judge(b"block", Verdict::Valid);
    let members = [node.own, node.others[0], node.others[1]];
    let effects = node.ok(polka(&members, b"block"));
    assert!(effects.contains(&Effect::Amnesia { height: 1, round: 0 }), "{effects:?}");
    assert!(!signed_anything(&effects), "{effects:?}");
    // Without it the same certificate does make it precommit.
    let mut node = Node::new();
    node.ok(Input::Wake);
    node.ok(propose_is_late());
    node.ok(propose(b"block"));
    node.judge(b"block", Verdict::Valid);
    let others = node.others.clone();
    assert!(signed_anything(&node.ok(polka(&others, b"block"))));
}

#[test]
fn what_is_safe_is_not_taken_back_by_what_was_signed_before_it() {
    let mut node = Node::of(0, true);
    node.ok(height(1));
    node.ok(Input::SafeFrom { height: 6 });
    for at in [2, 5] {
        let effects = node.hear(&vote(0, PREVOTE, at, 0, None));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Amnesia { .. })), "{effects:?}");
    }
    node.ok(height(6));
    assert!(!node.consensus.is_observing());
    // What contradicts it takes it back.
    let mut node = Node::of(0, true);
    node.ok(height(1));
    node.ok(Input::SafeFrom { height: 6 });
    let effects = node.hear(&vote(0, PREVOTE, 6, 0, None));
    assert!(effects.contains(&Effect::Amnesia { height: 6, round: 0 }), "{effects:?}");
    node.ok(height(6));
    assert!(node.consensus.is_observing());
}

/// Three are up, and one of them observes: without it nothing is decided.
#[test]
fn an_observer_that_may_sign_joins_the_height_that_runs() {
    let own = (turn(1, 0) + 1) % 4;
    let block = Some(named(b"block"));
    for prevoted in [1, 2] {
        let mut node = Node::of(own, true);
        node.ok(height(1));
        let others = node.others.clone();
        let mut before = node.ok(Input::Wake);
        before.extend(node.ok(propose(b"block")));
        before.extend(node.judge(b"block", Verdict::Valid));
        for member in &others[..prevoted] {
            before.extend(node.hear(&vote(*member, PREVOTE, 1, 0, block)));
        }
        assert!(!signed_anything(&before));
        let effects = node.ok(Input::SafeFrom { height: 1 });
        let mut said = votes(&effects);
        if prevoted == 1 {
            assert_eq!(said.len(), 1, "{said:?}");
            said.extend(votes(&node.hear(&vote(others[1], PREVOTE, 1, 0, block))));
        }
        said.sort_by_key(|vote| vote.kind == PRECOMMIT);
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!((said[0].kind, said[0].block), (PREVOTE, NilOrVal::Val(named(b"block"))));
        assert_eq!((said[1].kind, said[1].block), (PRECOMMIT, NilOrVal::Val(named(b"block"))));
        // The log brings it to the same, wherever it ends.
        for length in 0..=node.log.len() {
            let mut restarted = Node::of(own, false);
            let log = node.log[..length].to_vec();
            let signs = log.iter().rev().find_map(|entry| match Entry::decode(entry) {
                Ok(Entry::Signs { signs, .. }) => Some(signs),
                _ => None,
            });
            let effects = restarted.ok(Input::Height { height: 1, validators: four(), log });
            assert_eq!(restarted.consensus.is_observing(), signs == Some(false));
            assert_eq!(effects.contains(&Effect::Amnesia { height: 1, round: 0 }), signs == Some(false));
            for vote in votes(&effects) {
                assert!(said.iter().any(|before| before.message == vote.message), "{vote:?} after {length} entries");
            }
            restarted.ok(propose_is_late());
        }
        let mut effects = Vec::new();
        for member in &others[..2] {
            effects.extend(node.hear(&vote(*member, PRECOMMIT, 1, 0, block)));
        }
        assert!(decided(&effects).is_some());
    }
    // Its turn: it is asked for a block.
    let mut node = Node::of(turn(1, 0), true);
    node.ok(height(1));
    let effects = node.ok(Input::Wake);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::GetBlock { .. })), "{effects:?}");
    let effects = node.ok(Input::SafeFrom { height: 1 });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::GetBlock { .. })), "{effects:?}");
    assert_eq!(proposals(&node.ok(Input::Propose { height: 1, round: 0, block: framed(b"block") })), 1);
}

#[test]
fn whether_a_key_signed_is_in_the_log() {
    let own = (turn(1, 0) + 1) % 4;
    let mut node = Node::of(own, true);
    node.ok(height(1));
    node.ok(Input::Wake);
    node.ok(propose_is_late());
    let entries: Vec<_> = node.log.iter().map(|entry| Entry::decode(entry).expect("an entry")).collect();
    assert_eq!(entries.first(), Some(&Entry::Signs { height: 1, signs: false }));
    node.ok(Input::SafeFrom { height: 1 });
    let entries: Vec<_> = node.log.iter().map(|entry| Entry::decode(entry).expect("an entry")).collect();
    assert!(entries.contains(&Entry::Signs { height: 1, signs: true }));
    assert!(matches!(entries.last(), Some(Entry::Vote(_))), "{entries:?}");
}

#[test]
fn an_own_proposal_that_is_in_the_log_is_sent_after_a_restart() {
    let own = turn(1, 0);
    let mut node = Node::of(own, false);
    node.ok(height(1));
    node.ok(Input::Wake);
    let sent = node.ok(Input::Propose { height: 1, round: 0, block: framed(b"block") });
    assert_eq!(proposals(&sent), 1);
    let (mut restarted, effects) = again(&node);
    assert_eq!(proposals(&effects), 1, "{effects:?}");
    assert!(restarted.log.is_empty());
    let first = sent.iter().find(|effect| matches!(effect, Effect::Broadcast { .. }));
    assert!(first.is_some_and(|first| effects.contains(first)), "{effects:?}");
    // And with the repetition of its vote, as before.
    let effects = restarted.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Rebroadcast, round: 0 }));
    assert_eq!(proposals(&effects), 1);
    // One that another has made is not.
    let mut other = Node::new();
    other.ok(propose(b"block"));
    other.judge(b"block", Verdict::Valid);
    assert_eq!(proposals(&again(&other).1), 0);
}
