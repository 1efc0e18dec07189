//! Decisions per second, validators in one process and on one thread, the log on no disk: a figure to look at
//! (`DECISIONS=2000 cargo test --release -p mesh-consensus speed -- --nocapture`), and that many decisions in a row work.

use std::collections::VecDeque;
use std::time::Instant;

use super::codec::framed;
use super::mesh::{key_of, seed_of, set_of, FEDERATION};
use crate::consensus::{Config, Consensus, Effect, Input, Timeouts, Verdict};

fn decide(count: usize, heights: u64, block_bytes: usize) {
    let members: Vec<_> = (0..count).map(|member| (member, 1)).collect();
    let set = set_of(&members);
    let mut nodes: Vec<_> = (0..count)
        .map(|member| {
            let seed = Some(seed_of(member));
            Consensus::new(Config { federation: FEDERATION, seed, observe: false, timeouts: Timeouts::default() })
        })
        .collect();
    let start = |height| Input::Height { height, validators: set.clone(), log: Vec::new() };
    let mut inputs: VecDeque<(usize, Input)> = (0..count).map(|node| (node, start(1))).collect();
    inputs.extend((0..count).map(|node| (node, Input::Wake)));
    let begun = Instant::now();
    let mut last = vec![0; count];
    let mut appended = 0u64;
    while let Some((node, input)) = inputs.pop_front() {
        for output in nodes[node].step(input).expect("taken") {
            match output.effect {
                Effect::Broadcast { message } => {
                    let others = (0..count).filter(|other| *other != node);
                    inputs.extend(others.map(|other| (other, Input::Message(message.clone()))));
                }
                Effect::GetBlock { height, round, .. } => {
                    let mut block = framed(&height.to_be_bytes());
                    block.resize(block_bytes, 7);
                    inputs.push_back((node, Input::Propose { height, round, block }));
                }
                Effect::Validate { question, .. } => {
                    inputs.push_back((node, Input::Verdict { question, verdict: Verdict::Valid }));
                }
                Effect::Append { .. } => appended += 1,
                Effect::Decided { height, .. } => {
                    last[node] = height;
                    if height < heights {
                        inputs.push_back((node, start(height + 1)));
                        inputs.push_back((node, Input::Wake));
                    }
                }
                Effect::Trouble { text } => panic!("{text}"),
                _ => (),
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(last, vec![heights; count]);
    assert_eq!(nodes[0].key(), key_of(0));
    println!(
        "{count} validators, blocks of {block_bytes} bytes: {:.0} decisions/s, {:.1} log entries per node and decision",
        heights as f64 / took,
        appended as f64 / heights as f64 / count as f64
    );
}

#[test]
fn speed() {
    let heights = std::env::var("DECISIONS").map_or(50, |number| number.parse().expect("a number"));
    for count in [1, 4, 7] {
        decide(count, heights, 1000);
    }
    decide(4, heights.min(50), 1 << 20);
}
