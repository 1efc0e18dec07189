//! A mesh of validators in virtual time, with everything that can go wrong drawn from one seed: loss, repetition, order,
//! partitions, crashes at any entry of the log, liars. What must hold is checked as it happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::certificate::Certificate;
use crate::consensus::{safe_height, Config, Consensus, Effect, Input, Output, Timeouts, Timer, Verdict};
use crate::error::Code;
use crate::layout::{block_id, proposal_body, proposal_input, vote_body, vote_input};
use crate::types::{BlockId, Federation, Key, ValidatorSet};
use crate::wire::{encode_proposal, encode_vote, Evidence, Message};

pub const FEDERATION: Federation = *b"\x01\x71\x12\x20a federation of thirty-two bytes";

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

pub fn seed_of(member: usize) -> [u8; 32] {
    Sha256::digest([b"validator".as_slice(), &(member as u64).to_be_bytes()].concat()).into()
}

pub fn key_of(member: usize) -> Key {
    Key(ed25519_zebra::VerificationKey::from(&ed25519_zebra::SigningKey::from(seed_of(member))).into())
}

pub fn set_of(members: &[(usize, u64)]) -> ValidatorSet {
    let mut all: Vec<_> = members.iter().map(|(member, power)| (key_of(*member), *power)).collect();
    all.sort_unstable();
    ValidatorSet::new(&all).expect("a proper set")
}

pub fn sign(member: usize, input: &[u8]) -> [u8; 64] {
    ed25519_zebra::SigningKey::from(seed_of(member)).sign(input).to_bytes()
}

#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub members: usize,
    /// The first so many of them lie.
    pub liars: usize,
    pub followers: usize,
    pub heights: u64,
    pub loss: u64,
    pub repeat: u64,
    pub max_delay: u64,
    pub partitions: bool,
    pub crashes: bool,
    /// This node, at this entry of its log, before or after the entry is durable.
    pub crash_at: Option<(usize, u64, bool)>,
    /// The set changes every third height.
    pub rotate: bool,
    /// This member starts when the others have half of the heights.
    pub late: Option<usize>,
    /// This member loses what it wrote since a third of the heights, when the others have two thirds.
    pub restored: Option<usize>,
    /// Whether it observes then.
    pub observe: bool,
    /// Members that are never there.
    pub silent: usize,
    /// Of how many in a thousand blocks a node cannot say yet what it thinks, or calls them invalid by its clock.
    pub clocks: u64,
}

impl Plan {
    pub fn new(seed: u64, members: usize) -> Self {
        Self {
            seed,
            members,
            liars: 0,
            followers: 0,
            heights: 8,
            loss: 0,
            repeat: 0,
            max_delay: 5,
            partitions: false,
            crashes: false,
            crash_at: None,
            rotate: false,
            late: None,
            restored: None,
            observe: true,
            silent: 0,
            clocks: 0,
        }
    }
}

#[derive(Clone)]
struct Link {
    id: BlockId,
    bytes: Vec<u8>,
    certificate: Vec<u8>,
}

#[derive(Clone, Default)]
struct Disk {
    chain: Vec<Link>,
    log: Vec<(u64, Vec<u8>)>,
}

struct Live {
    consensus: Consensus,
    inbox: VecDeque<Input>,
    queue: VecDeque<Output>,
    unsynced: VecDeque<(u64, u64, Vec<u8>)>,
    durable: u64,
    timers: BTreeMap<Timer, u64>,
    pool: BTreeSet<u64>,
    asked: Option<(u64, u32)>,
    certified: BTreeMap<Key, u64>,
    observing: bool,
}

struct Node {
    member: usize,
    liar: bool,
    /// A liar lives twice, and each of its lives tells half of the others.
    reaches: Option<BTreeSet<usize>>,
    disk: Disk,
    backup: Option<Disk>,
    live: Option<Live>,
    life: u64,
    synced_entries: u64,
}

#[derive(Clone)]
enum Packet {
    Consensus(Vec<u8>),
    /// What a real node says when it connects and now and then: its height, its latest certificate, its transactions.
    Status {
        height: u64,
        certificate: Option<Vec<u8>>,
        pool: Vec<u64>,
    },
    Sync {
        certificate: Vec<u8>,
        block: Vec<u8>,
    },
}

enum Event {
    Deliver { from: usize, to: usize, packet: Packet },
    Timer { node: usize, life: u64, timer: Timer, token: u64 },
    Synced { node: usize, life: u64, position: u64 },
    Input { node: usize, life: u64, input: Input },
    Status { node: usize },
    Restart { node: usize },
    Crash { node: usize },
    Partition,
    Transaction { number: u64 },
}

pub struct Mesh {
    plan: Plan,
    rng: Rng,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    nodes: Vec<Node>,
    sides: Vec<u64>,
    heal_at: u64,
    token: u64,
    digest: Sha256,
    decided: BTreeMap<u64, BlockId>,
    signed: BTreeMap<(Key, u8, u64, u32), Vec<u8>>,
    said_valid: BTreeSet<(usize, BlockId)>,
    accused: BTreeSet<(usize, u64, Key, u64)>,
    pub accusations: u64,
    pub amnesias: u64,
    pub restarts: u64,
    stale: Vec<Vec<u8>>,
    transactions: u64,
    pub broken: Option<String>,
    pub rounds: u64,
    restored_once: bool,
    pub entries: Vec<u64>,
}

const HEAL_MS: u64 = 30_000;
const LIMIT_MS: u64 = 600_000;

impl Mesh {
    pub fn new(plan: Plan) -> Self {
        let mut nodes = Vec::new();
        let total = plan.members + plan.followers;
        for member in 0..total {
            if member >= plan.members - plan.silent && member < plan.members {
                continue;
            }
            let liar = member < plan.liars;
            for life in 0..if liar { 2 } else { 1 } {
                let half = (0..total).filter(|other| (other + life) % 2 == 0).collect();
                nodes.push(Node {
                    member,
                    liar,
                    reaches: liar.then_some(half),
                    disk: Disk::default(),
                    backup: None,
                    live: None,
                    life: 0,
                    synced_entries: 0,
                });
            }
        }
        let count = nodes.len();
        let faulty = plan.loss > 0 || plan.partitions || plan.crashes || plan.liars > 0;
        let rng = Rng(plan.seed ^ 0x6d65_7368);
        let mut mesh = Self {
            rng,
            now: 0,
            sequence: 0,
            events: BTreeMap::new(),
            nodes,
            sides: vec![0; count],
            heal_at: if faulty { HEAL_MS } else { 0 },
            token: 0,
            digest: Sha256::new(),
            decided: BTreeMap::new(),
            signed: BTreeMap::new(),
            said_valid: BTreeSet::new(),
            accused: BTreeSet::new(),
            accusations: 0,
            amnesias: 0,
            restarts: 0,
            stale: Vec::new(),
            transactions: 0,
            broken: None,
            rounds: 0,
            restored_once: false,
            entries: vec![0; count],
            plan,
        };
        for node in 0..count {
            if Some(mesh.nodes[node].member) != mesh.plan.late {
                mesh.boot(node, false);
            }
            let offset = mesh.rng.below(500);
            mesh.at(offset, Event::Status { node });
        }
        mesh.at(1, Event::Transaction { number: 1 });
        if mesh.plan.partitions {
            mesh.at(300, Event::Partition);
        }
        if mesh.plan.crashes {
            for _ in 0..6 {
                let node = mesh.rng.below(count as u64) as usize;
                let when = mesh.rng.below(HEAL_MS - 5000);
                mesh.at(when, Event::Crash { node });
            }
        }
        mesh
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn fail(&mut self, text: String) {
        self.broken.get_or_insert(format!("seed {} at {} ms: {text}", self.plan.seed, self.now));
    }

    pub fn set(&self, height: u64) -> ValidatorSet {
        let count = self.plan.members;
        let out = (height / 3) as usize % count;
        let powers = |member: usize| if self.plan.rotate { 1 + (height / 5 + member as u64) % 2 } else { 1 };
        let members: Vec<_> = (0..count)
            .filter(|member| !self.plan.rotate || *member != out)
            .map(|member| (member, powers(member)))
            .collect();
        set_of(&members)
    }

    fn boot(&mut self, node: usize, observe: bool) {
        let one = &mut self.nodes[node];
        one.life += 1;
        let seed = (one.member < self.plan.members).then(|| seed_of(one.member));
        let timeouts = Timeouts {
            propose_ms: 100,
            prevote_ms: 40,
            precommit_ms: 40,
            step_ms: 30,
            max_ms: 2000,
            rebroadcast_ms: 150,
        };
        let config = Config { federation: FEDERATION, seed, observe, timeouts };
        let height = one.disk.chain.len() as u64 + 1;
        let log = one.disk.log.iter().map(|(_, entry)| entry.clone()).collect();
        let validators = self.set(height);
        let inbox = VecDeque::from([Input::Height { height, validators, log }]);
        self.nodes[node].live = Some(Live {
            consensus: Consensus::new(config),
            inbox,
            queue: VecDeque::new(),
            unsynced: VecDeque::new(),
            durable: 0,
            timers: BTreeMap::new(),
            pool: BTreeSet::new(),
            asked: None,
            certified: BTreeMap::new(),
            observing: observe,
        });
        self.pump(node);
    }

    /// Runs until every honest node has all heights; or says what broke.
    pub fn run(&mut self) -> Result<(), String> {
        while self.broken.is_none() && !self.is_done() {
            let Some(((time, _), event)) = self.events.pop_first() else {
                self.fail("nothing left to happen".to_string());
                break;
            };
            self.now = time;
            if self.now > LIMIT_MS {
                let heights: Vec<_> = self.nodes.iter().map(|node| node.disk.chain.len()).collect();
                self.fail(format!("not live: heights {heights:?}"));
                break;
            }
            self.happen(event);
        }
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn is_done(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.liar || (node.live.is_some() && node.disk.chain.len() as u64 >= self.plan.heights))
            && (self.plan.restored.is_none() || self.restored_once)
    }

    pub fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    /// Goes on without new transactions for so long; says how many rounds were begun in the second half of it.
    pub fn idle(&mut self, for_ms: u64) -> u64 {
        let end = self.now + for_ms;
        let mut rounds = 0;
        self.transactions = u64::MAX;
        while let Some(((time, _), event)) = self.events.pop_first() {
            if time > end {
                break;
            }
            if time < end - for_ms / 2 {
                rounds = self.rounds;
            }
            self.now = time;
            self.happen(event);
        }
        self.rounds - rounds
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, packet } => self.receive(from, to, packet),
            Event::Timer { node, life, timer, token } => {
                if let Some(live) = self.live(node, life) {
                    if live.timers.get(&timer) == Some(&token) {
                        live.timers.remove(&timer);
                        live.inbox.push_back(Input::Elapsed(timer));
                        self.pump(node);
                    }
                }
            }
            Event::Synced { node, life, position } => self.synced(node, life, position),
            Event::Input { node, life, input } => {
                if let Some(live) = self.live(node, life) {
                    live.inbox.push_back(input);
                    self.pump(node);
                }
            }
            Event::Status { node } => self.tell_status(node),
            Event::Restart { node } => {
                if self.nodes[node].live.is_none() {
                    self.restarts += 1;
                    self.boot(node, false);
                }
            }
            Event::Crash { node } => self.crash(node),
            Event::Partition => {
                let healed = self.now >= self.heal_at;
                for node in 0..self.nodes.len() {
                    self.sides[node] = if healed { 0 } else { self.rng.below(2) };
                }
                if !healed {
                    let next = 200 + self.rng.below(2500);
                    self.at(next, Event::Partition);
                }
            }
            Event::Transaction { number } => {
                let node = self.rng.below(self.nodes.len() as u64) as usize;
                if number > self.transactions {
                    self.transactions = number;
                }
                self.add_transactions(node, &[number]);
                if self.transactions != u64::MAX {
                    let next = 1 + self.rng.below(200);
                    self.at(next, Event::Transaction { number: number + 1 });
                }
            }
        }
        self.maybe_restore();
    }

    fn live(&mut self, node: usize, life: u64) -> Option<&mut Live> {
        let one = &mut self.nodes[node];
        one.live.as_mut().filter(|_| one.life == life)
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].live.take().is_some() {
            let delay = 20 + self.rng.below(3000);
            self.at(delay, Event::Restart { node });
        }
    }

    /// The late one, and the one that is restored from its old backup.
    fn maybe_restore(&mut self) {
        let highest = self.nodes.iter().map(|node| node.disk.chain.len() as u64).max().unwrap_or(0);
        for node in 0..self.nodes.len() {
            let member = self.nodes[node].member;
            if Some(member) == self.plan.late && self.nodes[node].life == 0 && highest * 2 >= self.plan.heights {
                self.boot(node, false);
            }
            if Some(member) == self.plan.restored && !self.restored_once {
                if self.nodes[node].backup.is_none() && highest * 3 >= self.plan.heights {
                    self.nodes[node].backup = Some(self.nodes[node].disk.clone());
                }
                // In the middle of a height that it takes part in.
                let own = self.nodes[node].disk.chain.len() as u64;
                let voted = self.nodes[node].disk.log.iter().any(|(height, _)| *height == own + 1);
                if highest * 3 >= self.plan.heights * 2 && own == highest && voted {
                    self.restored_once = true;
                    self.nodes[node].live = None;
                    self.nodes[node].disk = self.nodes[node].backup.clone().unwrap_or_default();
                    let observe = self.plan.observe;
                    self.boot(node, observe);
                }
            }
        }
    }

    fn add_transactions(&mut self, node: usize, numbers: &[u64]) {
        let one = &mut self.nodes[node];
        let Some(live) = &mut one.live else { return };
        let settled: BTreeSet<u64> = one.disk.chain.iter().flat_map(|link| transactions_of(&link.bytes)).collect();
        let before = live.pool.len();
        live.pool.extend(numbers.iter().filter(|number| !settled.contains(*number)));
        if live.pool.len() > before {
            live.inbox.push_back(Input::Wake);
            self.answer(node);
            self.pump(node);
        }
    }

    /// Proposes, if a block was asked for and there is something to put in.
    fn answer(&mut self, node: usize) {
        let salt = self.rng.next();
        let think = self.rng.below(4);
        let liar_spoils = self.nodes[node].liar && self.rng.chance(200);
        let one = &mut self.nodes[node];
        let Some(live) = &mut one.live else { return };
        let Some((height, round)) = live.asked.filter(|_| !live.pool.is_empty()) else { return };
        if height != one.disk.chain.len() as u64 + 1 {
            return;
        }
        live.asked = None;
        let parent = one.disk.chain.last().map_or([0; 32], |link| link.id.0);
        let pool: Vec<u64> = live.pool.iter().copied().take(20).collect();
        let block = make_block(!liar_spoils, height, &parent, salt, &pool);
        let life = one.life;
        self.said_valid.insert((node, name_of(&block)));
        self.at(think, Event::Input { node, life, input: Input::Propose { height, round, block } });
    }

    fn pump(&mut self, node: usize) {
        loop {
            let Some(live) = &mut self.nodes[node].live else { return };
            let ready = live.queue.front().is_some_and(|output| output.after <= live.durable);
            if ready {
                let output = live.queue.pop_front().expect("there is one");
                self.perform(node, output.effect);
            } else if let Some(input) = live.inbox.pop_front() {
                match live.consensus.step(input) {
                    Ok(outputs) => {
                        self.digest.update(format!("{node} {} {outputs:?}", self.now));
                        live.queue.extend(outputs);
                    }
                    Err(error) => {
                        self.digest.update(format!("{node} {} {error}", self.now));
                        let grave = matches!(error.code, Code::DoubleSign | Code::CorruptLog | Code::Stopped);
                        if grave && !self.nodes[node].liar {
                            return self.fail(format!("node {node} stopped: {error}"));
                        }
                    }
                }
            } else {
                return;
            }
        }
    }

    fn synced(&mut self, node: usize, life: u64, position: u64) {
        loop {
            let crash_at = self.plan.crash_at;
            let one = &mut self.nodes[node];
            let Some(live) = one.live.as_mut().filter(|_| one.life == life) else { return };
            let Some((place, height, entry)) = live.unsynced.front().cloned().filter(|(place, ..)| *place <= position)
            else {
                break;
            };
            one.synced_entries += 1;
            self.entries[node] = one.synced_entries;
            let here = crash_at.filter(|(at, entry, _)| *at == node && *entry == one.synced_entries);
            if matches!(here, Some((_, _, false))) {
                return self.crash(node);
            }
            live.unsynced.pop_front();
            live.durable = place;
            one.disk.log.push((height, entry));
            if here.is_some() {
                return self.crash(node);
            }
            self.pump(node);
        }
        self.pump(node);
    }

    fn perform(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        let liar = self.nodes[node].liar;
        match effect {
            Effect::Broadcast { message } => {
                self.check_signed(node, &message);
                self.spread(node, Packet::Consensus(message));
            }
            Effect::Append { position, height, entry } => {
                let delay = 1 + self.rng.below(3);
                if let Some(live) = &mut self.nodes[node].live {
                    live.unsynced.push_back((position, height, entry));
                }
                self.at(delay, Event::Synced { node, life, position });
            }
            Effect::Forget { below } => self.nodes[node].disk.log.retain(|(height, _)| *height >= below),
            Effect::SetTimer { timer, after_ms } => {
                self.token += 1;
                let token = self.token;
                if let Some(live) = &mut self.nodes[node].live {
                    live.timers.insert(timer, token);
                }
                self.at(after_ms, Event::Timer { node, life, timer, token });
            }
            Effect::CancelTimer { timer } => {
                if let Some(live) = &mut self.nodes[node].live {
                    live.timers.remove(&timer);
                }
            }
            Effect::CancelTimers => {
                if let Some(live) = &mut self.nodes[node].live {
                    live.timers.clear();
                }
            }
            Effect::RoundStarted { .. } => self.rounds += 1,
            Effect::GetBlock { height, round, .. } => {
                if let Some(live) = &mut self.nodes[node].live {
                    live.asked = Some((height, round));
                }
                self.answer(node);
            }
            Effect::Validate { question, height, block, bytes, wanted, .. } => {
                let by_clock = !liar && !wanted && self.rng.chance(self.plan.clocks);
                let verdict = if !liar && !is_whole(&bytes) {
                    Verdict::Mismatched
                } else if by_clock {
                    [Verdict::Undecided, Verdict::Invalid][self.rng.below(2) as usize]
                } else if liar || self.is_valid(node, height, &bytes) {
                    self.said_valid.insert((node, block));
                    Verdict::Valid
                } else {
                    Verdict::Invalid
                };
                let think = self.rng.below(4);
                self.at(think, Event::Input { node, life, input: Input::Verdict { question, verdict } });
            }
            Effect::Decided { height, block, bytes, certificate, .. } => {
                self.on_decided(node, height, block, &bytes, certificate);
            }
            Effect::Evidence { offender, height, evidence } => {
                self.accusations += 1;
                if !self.accused.insert((node, life, offender, height)) {
                    self.fail(format!("node {node} accused {offender} twice at height {height}"));
                }
                if Evidence::check(&FEDERATION, &evidence) != Ok((offender, height)) {
                    self.fail(format!("node {node} accuses {offender} without proof"));
                }
                if !(0..self.plan.liars).any(|member| key_of(member) == offender) {
                    self.fail(format!("node {node} proves that honest {offender} signed twice"));
                }
            }
            Effect::PeerAhead { .. } | Effect::WantSync { .. } => self.tell_status(node),
            Effect::PeerBehind { height, .. } => {
                if let Some(link) = self.nodes[node].disk.chain.get(height as usize - 1) {
                    let packet = Packet::Sync { certificate: link.certificate.clone(), block: link.bytes.clone() };
                    self.spread(node, packet);
                }
            }
            Effect::Amnesia { .. } => {
                self.amnesias += 1;
                if let Some(live) = &mut self.nodes[node].live {
                    live.observing = true;
                }
            }
            Effect::CertifiedRefused { height, .. } => {
                if !liar {
                    self.fail(format!("node {node} refuses what was certified at {height}"));
                }
            }
            Effect::Trouble { text } => {
                if !liar {
                    self.fail(format!("node {node} is in trouble: {text}"));
                }
            }
        }
    }

    /// Nothing is signed twice, and nothing is voted for that the application has not called valid.
    fn check_signed(&mut self, node: usize, bytes: &[u8]) {
        if self.nodes[node].liar {
            return;
        }
        let own = key_of(self.nodes[node].member);
        let (slot, body) = match Message::decode(bytes) {
            Ok(Message::Vote(vote)) if vote.signer == own => {
                if let core_types::NilOrVal::Val(id) = vote.block {
                    if !self.said_valid.contains(&(node, id)) {
                        self.fail(format!("node {node} votes for {id}, which nobody called valid"));
                    }
                }
                let body = vote_body(vote.kind, vote.height, vote.round, &vote.block).to_vec();
                ((own, body[0], vote.height, vote.round), body)
            }
            Ok(Message::Proposal(proposal, _)) if proposal.proposer == own => {
                ((own, 0, proposal.height, proposal.round), proposal_body(&proposal).to_vec())
            }
            Ok(_) => return,
            Err(error) => return self.fail(format!("node {node} sends what cannot be read: {error}")),
        };
        let before = self.signed.entry(slot).or_insert_with(|| body.clone());
        if *before != body {
            self.fail(format!("node {node} signed twice at height {}, round {}", slot.2, slot.3));
        }
    }

    fn is_valid(&self, node: usize, height: u64, bytes: &[u8]) -> bool {
        let chain = &self.nodes[node].disk.chain;
        let parent = chain.last().map_or([0; 32], |link| link.id.0);
        let numbers = transactions_of(bytes);
        is_whole(bytes)
            && chain.len() as u64 + 1 == height
            && bytes[4] == 1
            && bytes[5..13] == height.to_be_bytes()
            && bytes[13..45] == parent
            && !numbers.is_empty()
            && chain.iter().flat_map(|link| transactions_of(&link.bytes)).all(|number| !numbers.contains(&number))
    }

    fn on_decided(&mut self, node: usize, height: u64, block: BlockId, bytes: &[u8], certificate: Vec<u8>) {
        let chain = self.nodes[node].disk.chain.len() as u64;
        if height != chain + 1 {
            return self.fail(format!("node {node} decides {height} after {chain}"));
        }
        if !self.nodes[node].liar {
            self.check_certificate(node, height, block, &certificate);
            let decided = *self.decided.entry(height).or_insert(block);
            if decided != block {
                return self.fail(format!("fork at height {height}: {decided} and {block}"));
            }
            if !self.is_valid(node, height, bytes) {
                return self.fail(format!("node {node} decided an invalid block at {height}"));
            }
        }
        let validators = self.set(height + 1);
        let one = &mut self.nodes[node];
        one.disk.chain.push(Link { id: block, bytes: bytes.to_vec(), certificate });
        let Some(live) = &mut one.live else { return };
        for number in transactions_of(bytes) {
            live.pool.remove(&number);
        }
        live.asked = None;
        live.inbox.push_back(Input::Height { height: height + 1, validators, log: Vec::new() });
        if !live.pool.is_empty() {
            live.inbox.push_back(Input::Wake);
        }
        self.regain(node);
    }

    /// Without the crate's own verifier: members by name, each once, and their sum.
    fn check_certificate(&mut self, node: usize, height: u64, block: BlockId, bytes: &[u8]) {
        let Ok(certificate) = Certificate::decode(bytes) else {
            return self.fail(format!("node {node} has a certificate at {height} that cannot be read"));
        };
        let set = self.set(height);
        let signers: BTreeSet<_> = certificate.signers.iter().map(|(key, _)| *key).collect();
        let power: u64 = signers.iter().filter_map(|key| set.get(key)).map(|member| member.power).sum();
        let input = certificate.input(&FEDERATION);
        let hold = certificate.signers.iter().all(|(key, signature)| {
            let key = ed25519_zebra::VerificationKey::try_from(key.0);
            key.is_ok_and(|key| key.verify(&(*signature).into(), &input).is_ok())
        });
        if certificate.height != height || certificate.block != block || power * 3 <= set.total() * 2 || !hold {
            self.fail(format!("node {node} takes a certificate at {height} that proves nothing"));
        }
    }

    fn spread(&mut self, node: usize, packet: Packet) {
        if let Packet::Consensus(bytes) = &packet {
            if self.plan.liars > 0 && self.rng.chance(50) {
                self.stale.push(bytes.clone());
            }
        }
        for to in 0..self.nodes.len() {
            if to != node {
                self.send(node, to, packet.clone());
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, packet: Packet) {
        let faulty = self.now < self.heal_at;
        let member = self.nodes[to].member;
        // Once healed a liar still tells half of the others.
        if self.nodes[from].reaches.as_ref().is_some_and(|reaches| !reaches.contains(&member)) {
            return;
        }
        if faulty && (self.sides[from] != self.sides[to] || self.rng.chance(self.plan.loss)) {
            return;
        }
        let times = if faulty && self.rng.chance(self.plan.repeat) { 2 } else { 1 };
        for _ in 0..times {
            let delay = 1 + self.rng.below(self.plan.max_delay);
            self.at(delay, Event::Deliver { from, to, packet: packet.clone() });
        }
    }

    fn receive(&mut self, from: usize, to: usize, packet: Packet) {
        if self.nodes[to].liar {
            self.lie(to, &packet);
        }
        let sender = key_of(self.nodes[from].member);
        let chain = self.nodes[to].disk.chain.len() as u64;
        let Some(live) = &mut self.nodes[to].live else { return };
        match packet {
            Packet::Consensus(bytes) => live.inbox.push_back(Input::Message(bytes)),
            Packet::Sync { certificate, block } => {
                let next = Certificate::decode(&certificate).is_ok_and(|one| one.height == chain + 1);
                if next {
                    live.inbox.push_back(Input::Synced { certificate, block });
                }
            }
            Packet::Status { height, certificate, pool } => {
                let proven =
                    certificate.is_none_or(|bytes| Certificate::decode(&bytes).is_ok_and(|one| one.height == height));
                if proven {
                    live.certified.insert(sender, height);
                }
                for place in (height..chain).take(3) {
                    let link = self.nodes[to].disk.chain[place as usize].clone();
                    self.send(to, from, Packet::Sync { certificate: link.certificate, block: link.bytes });
                }
                self.regain(to);
                return self.add_transactions(to, &pool);
            }
        }
        self.pump(to);
    }

    /// An observer asks the others how far they are, and signs again three heights later.
    fn regain(&mut self, node: usize) {
        let own = key_of(self.nodes[node].member);
        let height = self.nodes[node].disk.chain.len() as u64 + 1;
        let set = self.set(height);
        let Some(live) = self.nodes[node].live.as_mut().filter(|live| live.observing) else { return };
        let certified: Vec<_> = live.certified.iter().map(|(key, height)| (*key, *height)).collect();
        if let Some(height) = safe_height(&set, &own, &certified) {
            live.observing = false;
            live.inbox.push_back(Input::SafeFrom { height });
        }
    }

    fn tell_status(&mut self, node: usize) {
        if let Some(live) = &self.nodes[node].live {
            let height = self.nodes[node].disk.chain.len() as u64;
            let certificate = self.nodes[node].disk.chain.last().map(|link| link.certificate.clone());
            let pool = live.pool.iter().copied().take(40).collect();
            self.spread(node, Packet::Status { height, certificate, pool });
        }
        let again = self.events.values().any(|event| matches!(event, Event::Status { node: other } if *other == node));
        if !again {
            self.at(400, Event::Status { node });
        }
    }

    /// What a liar does besides living twice: votes at random, old messages, forged blocks and certificates.
    fn lie(&mut self, node: usize, packet: &Packet) {
        if !self.rng.chance(150) {
            return;
        }
        let member = self.nodes[node].member;
        let to = self.rng.below(self.nodes.len() as u64) as usize;
        // What others made, passed on with another rest.
        let by = self.rng.next();
        let altered = match packet {
            Packet::Consensus(bytes) => match Message::decode(bytes) {
                Ok(Message::Proposal(proposal, block)) => {
                    Some(Packet::Consensus(encode_proposal(&proposal, &alter(&block, by))))
                }
                _ => None,
            },
            Packet::Sync { certificate, block } => {
                Some(Packet::Sync { certificate: certificate.clone(), block: alter(block, by) })
            }
            Packet::Status { .. } => None,
        };
        if let Some(altered) = altered.filter(|_| by.is_multiple_of(2)) {
            for other in 0..self.nodes.len() {
                self.send(node, other, altered.clone());
            }
        }
        let (height, round, seen) = match packet {
            Packet::Consensus(bytes) => match Message::decode(bytes) {
                Ok(Message::Vote(vote)) => {
                    let seen = match vote.block {
                        core_types::NilOrVal::Val(id) => id,
                        core_types::NilOrVal::Nil => BlockId([7; 32]),
                    };
                    (vote.height, vote.round, seen)
                }
                Ok(Message::Proposal(proposal, _)) => (proposal.height, proposal.round, proposal.block.0),
                _ => return,
            },
            Packet::Status { height, .. } => (height + 1, 0, BlockId([9; 32])),
            Packet::Sync { .. } => return,
        };
        let height = height + u64::from(self.rng.chance(50));
        let round = round + self.rng.below(2) as u32 + if self.rng.chance(30) { 1000 } else { 0 };
        let own = key_of(member);
        let packet = match self.rng.below(5) {
            0 | 1 => {
                let kind = [core_types::VoteType::Prevote, core_types::VoteType::Precommit][self.rng.below(2) as usize];
                let block = match self.rng.below(3) {
                    0 => core_types::NilOrVal::Nil,
                    1 => core_types::NilOrVal::Val(seen),
                    _ => core_types::NilOrVal::Val(BlockId([3; 32])),
                };
                let signature = sign(member, &vote_input(&FEDERATION, &vote_body(kind, height, round, &block)));
                let vote = crate::types::Vote { kind, height, round, block, signer: own };
                Packet::Consensus(encode_vote(&crate::types::SignedVote::new(vote, signature)))
            }
            2 => {
                let parent = self.nodes[node].disk.chain.last().map_or([0; 32], |link| link.id.0);
                let valid = self.rng.chance(500);
                let block = make_block(valid, height, &parent, self.rng.next(), &[1_000_000 + self.rng.below(1000)]);
                let pol_round = (round > 0 && self.rng.chance(300)).then(|| round - 1);
                let id = crate::types::BlockRef(name_of(&block));
                let proposal = crate::types::Proposal { height, round, pol_round, block: id, proposer: own };
                let signature = sign(member, &proposal_input(&FEDERATION, &proposal_body(&proposal)));
                Packet::Consensus(encode_proposal(&crate::types::SignedProposal::new(proposal, signature), &block))
            }
            3 if !self.stale.is_empty() => {
                let place = self.rng.below(self.stale.len() as u64) as usize;
                Packet::Consensus(self.stale[place].clone())
            }
            _ => {
                // A fork, certified by one signer as often as it takes.
                let height = self.nodes[to].disk.chain.len() as u64 + 1;
                let parent = self.nodes[to].disk.chain.last().map_or([0; 32], |link| link.id.0);
                let block = make_block(true, height, &parent, self.rng.next(), &[2_000_000 + height]);
                let mut certificate = Certificate { height, round: 0, block: name_of(&block), signers: Vec::new() };
                let signature = sign(member, &certificate.input(&FEDERATION));
                certificate.signers = vec![(own, signature); 2 * self.plan.members];
                Packet::Sync { certificate: certificate.encode(), block }
            }
        };
        self.send(node, to, packet);
    }
}

use arc_malachitebft_core_types as core_types;

fn make_block(valid: bool, height: u64, parent: &[u8; 32], salt: u64, numbers: &[u64]) -> Vec<u8> {
    let rest: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    let mut block = (HEADER_BYTES as u32).to_be_bytes().to_vec();
    block.push(u8::from(valid));
    block.extend(height.to_be_bytes());
    block.extend(parent);
    block.extend(salt.to_be_bytes());
    block.extend(Sha256::digest(&rest));
    block.extend(rest);
    block
}

const HEADER_BYTES: usize = 49 + 32;

/// Whether the rest is the header's.
fn is_whole(block: &[u8]) -> bool {
    let (header, rest) = block[4..].split_at(HEADER_BYTES.min(block.len() - 4));
    header.len() == HEADER_BYTES && header[49..] == Sha256::digest(rest)[..]
}

/// With the same name and another rest.
fn alter(block: &[u8], by: u64) -> Vec<u8> {
    [block, &by.to_be_bytes()].concat()
}

fn name_of(block: &[u8]) -> BlockId {
    block_id(block).expect("a block")
}

fn transactions_of(block: &[u8]) -> Vec<u64> {
    let numbers = block.get(4 + HEADER_BYTES..).unwrap_or(&[]).chunks_exact(8);
    numbers.map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes"))).collect()
}
