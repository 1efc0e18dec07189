//! Who lags, and that what is missing is said again.

use super::codec::{certificate, framed, named, vote};
use super::mesh::{key_of, FEDERATION};
use super::rules::{decided, height, Node, PRECOMMIT, PREVOTE};
use crate::consensus::{Config, Consensus, Effect, Input, Timeouts, Timer, TimerKind, Verdict};
use crate::wire::encode_vote;

fn reminder(height: u64) -> Input {
    Input::Elapsed(Timer { height, kind: TimerKind::Remind, round: 0 })
}

/// After how long the reminder comes, if it was set.
fn reminded_after(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::SetTimer { timer: Timer { kind: TimerKind::Remind, .. }, after_ms } => Some(*after_ms),
        _ => None,
    })
}

#[test]
fn a_follower_that_missed_the_proposal_fetches_what_was_decided() {
    let config = Config { federation: FEDERATION, seed: None, observe: false, timeouts: Timeouts::default() };
    let mut follower = Consensus::new(config);
    let mut step = |input| -> Vec<Effect> {
        follower.step(input).expect("taken").into_iter().map(|output| output.effect).collect()
    };
    step(height(1));
    let mut effects = Vec::new();
    for kind in [PREVOTE, PRECOMMIT] {
        for member in 0..3 {
            effects.extend(step(Input::Message(encode_vote(&vote(member, kind, 1, 0, Some(named(b"block")))))));
        }
    }
    assert!(effects.contains(&Effect::WantSync { height: 1 }), "{effects:?}");
    assert_eq!(reminded_after(&effects), Some(1000));
    // Nobody answers.
    for after_ms in [2000, 4000, 8000, 16_000, 20_000, 20_000] {
        let effects = step(reminder(1));
        assert!(effects.contains(&Effect::WantSync { height: 1 }), "{effects:?}");
        assert_eq!(reminded_after(&effects), Some(after_ms));
    }
    let certificate = certificate(&[0, 1, 2], 1, 0, b"block").encode();
    let effects = step(Input::Synced { certificate, block: framed(b"block") });
    let [Effect::Validate { question, certified: true, .. }] = effects[..] else { panic!("{effects:?}") };
    let effects = step(Input::Verdict { question, verdict: Verdict::Valid });
    assert!(decided(&effects).is_some());
    assert_eq!(step(reminder(1)), vec![]);
}

#[test]
fn who_is_ahead_is_said_again_while_it_is() {
    let mut node = Node::new();
    let other = node.others[0];
    let ahead = |height| Effect::PeerAhead { validator: key_of(other), height };
    let effects = node.hear(&vote(other, PREVOTE, 5, 0, None));
    assert_eq!(effects[0], ahead(5));
    assert_eq!(reminded_after(&effects), Some(1000));
    assert!(node.hear(&vote(other, PREVOTE, 5, 1, None)).is_empty());
    let effects = node.ok(reminder(1));
    assert_eq!(effects[0], ahead(5));
    assert_eq!(reminded_after(&effects), Some(2000));
    // A reminder of another height is an old one.
    assert!(node.ok(reminder(2)).is_empty());
    let effects = node.ok(height(3));
    assert!(effects.contains(&ahead(5)) && reminded_after(&effects) == Some(1000), "{effects:?}");
    let effects = node.ok(height(5));
    assert!(!effects.contains(&ahead(5)) && reminded_after(&effects).is_none(), "{effects:?}");
    assert!(node.ok(reminder(5)).is_empty());
}

/// The reminder is no timer of the core, which cancels all of its own with every round.
#[test]
fn a_new_round_does_not_take_the_reminder_back() {
    let mut node = Node::new();
    node.hear(&vote(node.others[0], PREVOTE, 5, 0, None));
    let mut effects = node.ok(Input::Wake);
    for member in node.others.clone() {
        effects.extend(node.hear(&vote(member, PRECOMMIT, 1, 0, None)));
    }
    effects.extend(node.ok(Input::Elapsed(Timer { height: 1, kind: TimerKind::Precommit, round: 0 })));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::RoundStarted { round: 1, .. })), "{effects:?}");
    for effect in &effects {
        let is_reminder = matches!(effect, Effect::CancelTimer { timer } if timer.kind == TimerKind::Remind);
        assert!(!is_reminder && *effect != Effect::CancelTimers, "{effect:?}");
    }
    assert!(!node.ok(reminder(1)).is_empty());
}

#[test]
fn old_votes_call_forth_no_more_than_one_help_in_a_while() {
    let mut node = Node::new();
    let (slow, other) = (node.others[1], node.others[0]);
    node.ok(height(2));
    let late = vote(slow, PRECOMMIT, 1, 0, None);
    let behind = |member, height| Effect::PeerBehind { validator: key_of(member), height };
    assert!(node.hear(&late).is_empty());
    let effects = node.hear(&late);
    assert_eq!(effects[0], behind(slow, 1));
    assert_eq!(reminded_after(&effects), Some(1000));
    for _ in 0..20 {
        assert!(node.hear(&late).is_empty());
    }
    // It may not have heard; so it is said again, later and later.
    assert!(node.ok(reminder(2)).is_empty());
    let effects = node.hear(&late);
    assert_eq!(effects[0], behind(slow, 1));
    assert_eq!(reminded_after(&effects), Some(2000));
    // Once it has signed at a later height, what it signed before says nothing.
    node.ok(height(3));
    node.hear(&vote(slow, PREVOTE, 2, 0, None));
    for _ in 0..3 {
        assert!(node.hear(&late).is_empty());
    }
    node.ok(height(9));
    assert_eq!(node.hear(&vote(slow, PREVOTE, 2, 0, None))[0], behind(slow, 2));
    node.hear(&vote(other, PREVOTE, 9, 0, None));
    for kind in [PREVOTE, PRECOMMIT] {
        assert!(node.hear(&vote(other, kind, 1, 0, None)).is_empty());
    }
}
