//! Agreement, liveness and memory, under everything that the mesh can do to them.

use super::mesh::{Mesh, Plan};
use crate::planted::{plant, Bug};

fn run(plan: Plan) -> Mesh {
    let mut mesh = Mesh::new(plan);
    if let Err(broken) = mesh.run() {
        panic!("{broken}");
    }
    mesh
}

fn rough(seed: u64, members: usize) -> Plan {
    Plan { loss: 100, repeat: 100, max_delay: 60, partitions: true, heights: 12, ..Plan::new(seed, members) }
}

#[test]
fn one_validator_decides_alone() {
    let mesh = run(Plan::new(1, 1));
    assert_eq!(mesh.accusations, 0);
}

#[test]
fn four_and_seven_agree_in_calm() {
    for members in [2, 3, 4, 7] {
        run(Plan { followers: 1, ..Plan::new(2, members) });
    }
}

#[test]
fn all_agree_through_loss_repetition_disorder_and_partitions() {
    for seed in 0..6 {
        for members in [4, 7] {
            run(rough(seed, members));
        }
    }
}

#[test]
fn a_third_may_be_silent() {
    run(Plan { silent: 1, ..Plan::new(3, 4) });
    run(Plan { silent: 2, ..rough(4, 7) });
}

#[test]
fn crashes_at_random_moments_lose_nothing() {
    for seed in 0..12 {
        run(Plan { crashes: true, ..rough(seed, 4) });
        run(Plan { crashes: true, ..Plan::new(seed, 1) });
    }
}

#[test]
fn liars_change_nothing_and_are_found() {
    let mut accusations = 0;
    for seed in 0..8 {
        accusations += run(Plan { liars: 1, ..rough(seed, 4) }).accusations;
        accusations += run(Plan { liars: 2, crashes: seed % 2 == 0, ..rough(seed, 7) }).accusations;
    }
    assert!(accusations > 0);
}

#[test]
fn clocks_that_differ_stop_nobody() {
    for seed in 0..4 {
        run(Plan { clocks: 300, ..Plan::new(seed, 4) });
        run(Plan { clocks: 300, liars: 1, crashes: true, followers: 1, ..rough(seed, 4) });
    }
}

/// At every entry of one node's log, before and after it is durable: what is signed afterwards never contradicts what was
/// signed before.
#[test]
fn a_crash_at_every_entry_of_the_log_signs_nothing_twice() {
    let calm = Plan { heights: 3, ..Plan::new(5, 4) };
    let entries = run(calm.clone()).entries[2];
    assert!(entries > 15, "{entries} entries");
    for entry in 1..=entries {
        for durable in [false, true] {
            let mesh = run(Plan { crash_at: Some((2, entry, durable)), ..calm.clone() });
            assert_eq!(mesh.restarts, 1, "at entry {entry}");
        }
    }
    // With rounds that end in nothing, locks and late votes in it.
    for entry in (1..60).step_by(3) {
        run(Plan { crash_at: Some((1, entry, false)), heights: 5, ..rough(entry, 4) });
    }
    // Alone, where nobody else remembers.
    let alone = Plan { heights: 3, ..Plan::new(6, 1) };
    for entry in 1..=run(alone.clone()).entries[0] {
        for durable in [false, true] {
            run(Plan { crash_at: Some((0, entry, durable)), ..alone.clone() });
        }
    }
}

#[test]
fn one_that_comes_late_catches_up_by_certificates() {
    for seed in 0..3 {
        run(Plan { late: Some(3), ..rough(seed, 4) });
        run(Plan { late: Some(4), followers: 1, heights: 20, ..Plan::new(seed, 4) });
    }
}

#[test]
fn the_validators_change_between_heights() {
    for seed in 0..4 {
        run(Plan { rotate: true, heights: 16, ..rough(seed, 7) });
        run(Plan { rotate: true, heights: 16, liars: 1, ..rough(seed, 7) });
    }
}

#[test]
fn one_restored_from_an_old_backup_observes_and_comes_back() {
    for seed in 0..6 {
        run(Plan { restored: Some(1), heights: 15, ..Plan::new(seed, 4) });
        run(Plan { restored: Some(2), ..rough(seed, 7) });
    }
}

/// What observing is for: without it a restored validator contradicts what it signed before its disk was put back.
#[test]
fn one_restored_that_does_not_observe_is_found_signing_twice() {
    let found = (0..40).any(|seed| {
        let plan = Plan { restored: Some(1), observe: false, heights: 15, max_delay: 30, ..Plan::new(seed, 4) };
        Mesh::new(plan).run().is_err_and(|broken| broken.contains("signed twice"))
    });
    assert!(found);
}

#[test]
fn the_same_seed_does_the_same() {
    let plan = || Plan { liars: 1, crashes: true, ..rough(11, 4) };
    assert_eq!(run(plan()).digest(), run(plan()).digest());
    assert_ne!(run(plan()).digest(), run(Plan { seed: 12, ..plan() }).digest());
}

#[test]
fn nobody_makes_empty_blocks_or_rounds() {
    let mut mesh = run(Plan::new(13, 4));
    assert_eq!(mesh.idle(60_000), 0, "rounds begun with nothing to decide");
    assert_eq!(mesh.broken, None);
}

fn finds(bug: Bug, what: &str, plans: impl Iterator<Item = Plan>) {
    plant(bug);
    let mut seen = None;
    for plan in plans {
        let seed = plan.seed;
        if let Err(broken) = Mesh::new(plan).run() {
            seen = Some((seed, broken));
            break;
        }
    }
    plant(Bug::None);
    let (seed, broken) = seen.unwrap_or_else(|| panic!("{bug:?} is not found"));
    println!("{bug:?}: found by seed {seed}: {broken}");
    assert!(broken.contains(what), "{bug:?} shows as: {broken}");
}

#[test]
fn a_signer_counted_twice_is_found() {
    finds(Bug::SignerCountedTwice, "proves nothing", (0..40).map(|seed| Plan { liars: 1, ..rough(seed, 4) }));
}

#[test]
fn a_forgotten_log_is_found() {
    let plans = (0..40).map(|seed| Plan { crashes: true, ..rough(seed, 4) });
    finds(Bug::LogForgotten, "signed twice", plans);
}

#[test]
fn a_vote_without_a_verdict_is_found() {
    finds(Bug::VotedUnjudged, "nobody called valid", (0..40).map(|seed| Plan::new(seed, 4)));
}

#[test]
fn a_log_that_is_not_awaited_is_found() {
    let plans = (1..40).map(|entry| Plan { crash_at: Some((2, entry, false)), heights: 4, ..Plan::new(5, 4) });
    finds(Bug::LogNotAwaited, "signed twice", plans);
}

/// Any number of meshes of every kind: `SEEDS=0..1000 cargo test --release -p mesh-consensus -- --ignored many_seeds`.
#[test]
#[ignore = "takes as long as one lets it"]
fn many_seeds() {
    let seeds = std::env::var("SEEDS").unwrap_or("0..20".to_string());
    let (first, last) = seeds.split_once("..").expect("SEEDS=FIRST..LAST");
    for seed in first.parse().expect("a number")..last.parse().expect("a number") {
        let members = [1, 3, 4, 5, 7][seed as usize % 5];
        let liars = if seed % 2 == 0 { (members - 1) / 3 } else { 0 };
        let clocks = if seed % 4 == 0 { 200 } else { 0 };
        let plain =
            Plan { liars, clocks, crashes: seed % 3 == 0, followers: seed as usize % 2, ..rough(seed, members) };
        run(plain.clone());
        if members > 3 && liars == 0 {
            run(Plan { restored: Some(1), crashes: false, ..plain.clone() });
            run(Plan { silent: (members - 1) / 3, ..plain.clone() });
            run(Plan { late: Some(2), ..plain.clone() });
        }
        if members == 7 {
            run(Plan { rotate: true, liars: 1, ..plain });
        }
    }
}
