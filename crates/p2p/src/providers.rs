//! Provider records: which peers say that they have the content of a key (libp2p's Kademlia specification,
//! ADD_PROVIDER and GET_PROVIDERS). What others say is kept here for whoever asks; what this node provides is told at a
//! measured pace.
//!
//! Bounds: keys of MAX_KEY_BYTES; `max_own` keys of this node, and as many of any other peer; MAX_OF_KEY peers of one
//! key; `max_stored` records of others in all, each with MAX_ADDRESSES and a lifetime. Past a bound a new record is
//! refused and those that are here stay. Own keys are told in turn, RUNNING at a time, `announcements_per_s` of them.
//!
//! What can go wrong: nobody can take back what others keep, so a key that is no longer provided is still told until
//! the lifetime has passed; a peer that says it has what it has not is found out only by asking it.

use std::borrow::Cow;
use std::collections::hash_set;
use std::collections::{HashMap, HashSet};
use std::iter;
use std::time::{Duration, Instant};

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p::PeerId;

use crate::rate::Rate;

/// A multihash of SHA-256 has 34 bytes, one of SHA-512 has 66.
pub const MAX_KEY_BYTES: usize = 66;
/// As many as a query asks peers (Kademlia's k).
pub const MAX_OF_KEY: usize = 20;
pub const MAX_ADDRESSES: usize = 8;
/// Announcements under way at the same time; each asks up to twenty peers.
pub const RUNNING: usize = 4;
/// How long newcomers are gathered before they are told.
const GATHER: Duration = Duration::from_secs(2);
/// Between two announcements of one key, whoever comes.
const APART: Duration = Duration::from_secs(60);
/// After an announcement that nobody took.
const RETRY: Duration = Duration::from_secs(30);

pub struct Store {
    local: PeerId,
    max_own: usize,
    max_stored: usize,
    own: HashSet<ProviderRecord>,
    others: HashMap<RecordKey, Vec<ProviderRecord>>,
    of_peer: HashMap<PeerId, usize>,
    stored: usize,
}

impl Store {
    pub fn new(local: PeerId, max_own: usize, max_stored: usize) -> Self {
        Self {
            local,
            max_own,
            max_stored,
            own: HashSet::new(),
            others: HashMap::new(),
            of_peer: HashMap::new(),
            stored: 0,
        }
    }

    /// Forgets what has outlived its time.
    pub fn sweep(&mut self, now: Instant) {
        let (of_peer, stored) = (&mut self.of_peer, &mut self.stored);
        self.others.retain(|_, records| {
            records.retain(|record| {
                let stays = !record.is_expired(now);
                if !stays {
                    give_back(of_peer, stored, &record.provider);
                }
                stays
            });
            !records.is_empty()
        });
    }

    fn add_own(&mut self, record: ProviderRecord) -> Result<()> {
        if !self.own.contains(&record) && self.own.len() >= self.max_own {
            return Err(Error::MaxProvidedKeys);
        }
        self.own.replace(record);
        Ok(())
    }

    fn add_other(&mut self, record: ProviderRecord) -> Result<()> {
        if let Some(records) = self.others.get_mut(&record.key) {
            if let Some(known) = records.iter_mut().find(|known| known.provider == record.provider) {
                *known = record;
                return Ok(());
            }
            if records.len() >= MAX_OF_KEY {
                return Err(Error::MaxProvidedKeys);
            }
        }
        let of_peer = self.of_peer.get(&record.provider).copied().unwrap_or(0);
        if self.stored >= self.max_stored || of_peer >= self.max_own {
            return Err(Error::MaxProvidedKeys);
        }
        self.stored += 1;
        self.of_peer.insert(record.provider, of_peer + 1);
        self.others.entry(record.key.clone()).or_default().push(record);
        Ok(())
    }
}

fn give_back(of_peer: &mut HashMap<PeerId, usize>, stored: &mut usize, provider: &PeerId) {
    *stored -= 1;
    if let Some(count) = of_peer.get_mut(provider) {
        *count -= 1;
        if *count == 0 {
            of_peer.remove(provider);
        }
    }
}

impl RecordStore for Store {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> =
        iter::Map<hash_set::Iter<'a, ProviderRecord>, fn(&'a ProviderRecord) -> Cow<'a, ProviderRecord>>;

    // Values are none of ours.
    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }
    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }
    fn remove(&mut self, _: &RecordKey) {}
    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if record.key.as_ref().is_empty() || record.key.as_ref().len() > MAX_KEY_BYTES {
            return Err(Error::ValueTooLarge);
        }
        if record.provider == self.local {
            self.add_own(record)
        } else {
            self.add_other(record)
        }
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let mut all = self.others.get(key).cloned().unwrap_or_default();
        let own = ProviderRecord { key: key.clone(), provider: self.local, expires: None, addresses: vec![] };
        all.extend(self.own.get(&own).cloned());
        all
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.own.iter().map(Cow::Borrowed)
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.retain(|record| record.key != *key);
            return;
        }
        let Some(records) = self.others.get_mut(key) else { return };
        let before = records.len();
        records.retain(|record| record.provider != *provider);
        if records.len() < before {
            give_back(&mut self.of_peer, &mut self.stored, provider);
        }
        if records.is_empty() {
            self.others.remove(key);
        }
    }
}

struct Own {
    due: Instant,
    /// Which of those that are due at the same time was asked for first.
    order: u64,
    last: Option<Instant>,
    running: bool,
    told: bool,
}

/// When each key of this node is told.
pub struct Announcer {
    own: HashMap<RecordKey, Own>,
    rate: Rate,
    interval: Duration,
    order: u64,
}

impl Announcer {
    pub fn new(per_s: u32, interval: Duration, now: Instant) -> Self {
        Self { own: HashMap::new(), rate: Rate::new(per_s, now), interval, order: 0 }
    }

    pub fn add(&mut self, key: RecordKey, now: Instant) {
        self.order += 1;
        let order = self.order;
        self.own.entry(key).or_insert(Own { due: now, order, last: None, running: false, told: false });
    }

    pub fn remove(&mut self, key: &RecordKey) {
        self.own.remove(key);
    }

    pub fn keys(&self) -> Vec<RecordKey> {
        self.own.keys().cloned().collect()
    }

    /// Keys of which somebody has been told.
    pub fn told(&self) -> usize {
        self.own.values().filter(|own| own.told).count()
    }

    /// Somebody came who should know of this key.
    pub fn renew(&mut self, key: &RecordKey, now: Instant) {
        if let Some(own) = self.own.get_mut(key) {
            let soon = own.last.map_or(now, |last| last + APART).max(now + GATHER);
            own.due = own.due.min(soon);
        }
    }

    /// The next key to tell, if one is due and may be told now.
    pub fn next(&mut self, now: Instant) -> Option<RecordKey> {
        if self.own.values().filter(|own| own.running).count() >= RUNNING {
            return None;
        }
        let waiting = self.own.iter_mut().filter(|(_, own)| !own.running && own.due <= now);
        let (key, own) = waiting.min_by_key(|(_, own)| (own.due, own.order))?;
        if !self.rate.take(now) {
            return None;
        }
        own.running = true;
        own.last = Some(now);
        own.due = now + self.interval;
        Some(key.clone())
    }

    /// It was told, or there was nobody who took it.
    pub fn ended(&mut self, key: &RecordKey, taken: bool, now: Instant) {
        if let Some(own) = self.own.get_mut(key).filter(|own| own.running) {
            own.running = false;
            own.told = own.told || taken;
            if !taken {
                own.due = own.due.min(now + RETRY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> RecordKey {
        RecordKey::new(&number.to_be_bytes())
    }

    fn record(number: usize, provider: PeerId) -> ProviderRecord {
        ProviderRecord::new(key(number), provider, Vec::new())
    }

    #[test]
    fn one_peer_cannot_take_the_places_of_others() {
        let local = PeerId::random();
        let (greedy, other) = (PeerId::random(), PeerId::random());
        let mut store = Store::new(local, 3, 10);
        let kept = (0..100).filter(|number| store.add_provider(record(*number, greedy)).is_ok()).count();
        assert_eq!(kept, 3);
        assert!(store.add_provider(record(0, other)).is_ok());
        assert_eq!(store.providers(&key(0)).len(), 2);
        // What is known is renewed all the same.
        assert!(store.add_provider(record(1, greedy)).is_ok());
    }

    #[test]
    fn many_peers_cannot_fill_the_memory_nor_keep_out_own_keys() {
        let local = PeerId::random();
        let mut store = Store::new(local, 4, 10);
        let kept = (0..100).filter(|number| store.add_provider(record(*number, PeerId::random())).is_ok()).count();
        assert_eq!(kept, 10);
        assert_eq!((0..100).filter(|number| store.add_provider(record(*number, local)).is_ok()).count(), 4);
        assert_eq!(store.provided().count(), 4);
    }

    #[test]
    fn a_key_has_so_many_providers_and_so_many_bytes() {
        let mut store = Store::new(PeerId::random(), 100, 100);
        let kept = (0..100).filter(|_| store.add_provider(record(1, PeerId::random())).is_ok()).count();
        assert_eq!((kept, store.providers(&key(1)).len()), (MAX_OF_KEY, MAX_OF_KEY));
        for bytes in [vec![], vec![1; MAX_KEY_BYTES + 1]] {
            let long = ProviderRecord::new(RecordKey::new(&bytes), PeerId::random(), Vec::new());
            assert!(store.add_provider(long).is_err());
        }
    }

    #[test]
    fn what_has_expired_makes_room() {
        let now = Instant::now();
        let provider = PeerId::random();
        let mut store = Store::new(PeerId::random(), 2, 2);
        for number in 0..2 {
            let mut old = record(number, provider);
            old.expires = Some(now + Duration::from_secs(10));
            assert!(store.add_provider(old).is_ok());
        }
        assert!(store.add_provider(record(2, provider)).is_err());
        store.sweep(now + Duration::from_secs(9));
        assert!(store.add_provider(record(2, provider)).is_err());
        store.sweep(now + Duration::from_secs(10));
        assert!(store.providers(&key(0)).is_empty());
        assert!(store.add_provider(record(2, provider)).is_ok());
        store.remove_provider(&key(2), &provider);
        store.remove_provider(&key(2), &provider);
        assert!(store.providers(&key(2)).is_empty());
        assert_eq!((store.stored, store.of_peer.len()), (0, 0));
    }

    #[test]
    fn own_keys_are_provided_until_they_are_removed() {
        let local = PeerId::random();
        let mut store = Store::new(local, 2, 2);
        assert!(store.add_provider(record(1, local)).is_ok());
        assert!(store.add_provider(record(1, local)).is_ok());
        assert_eq!(store.providers(&key(1)).len(), 1);
        store.remove_provider(&key(1), &local);
        assert_eq!((store.providers(&key(1)).len(), store.provided().count()), (0, 0));
    }

    #[test]
    fn keys_are_told_at_the_pace_in_their_order_and_again() {
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut announcer = Announcer::new(1, hour, start);
        for number in 0..10 {
            announcer.add(key(number), start);
        }
        assert_eq!(announcer.next(start), Some(key(0)));
        assert_eq!(announcer.next(start), Some(key(1)));
        assert_eq!(announcer.next(start), None);
        let mut now = start;
        for number in 0..10 {
            now += Duration::from_secs(1);
            announcer.ended(&key(number), true, now);
            assert_eq!(announcer.next(now), (number + 2 < 10).then(|| key(number + 2)));
        }
        assert_eq!(announcer.told(), 10);
        assert_eq!(announcer.next(start + hour - Duration::from_secs(1)), None);
        assert_eq!(announcer.next(start + hour), Some(key(0)));
        announcer.remove(&key(0));
        assert_eq!(announcer.told(), 9);
    }

    #[test]
    fn so_many_announcements_are_under_way() {
        let start = Instant::now();
        let mut announcer = Announcer::new(100, Duration::from_secs(3600), start);
        for number in 0..10 {
            announcer.add(key(number), start);
        }
        assert_eq!(iter::from_fn(|| announcer.next(start)).count(), RUNNING);
    }

    #[test]
    fn newcomers_are_told_soon_but_not_each_for_himself() {
        let start = Instant::now();
        let mut announcer = Announcer::new(10, Duration::from_secs(3600), start);
        announcer.add(key(1), start);
        assert_eq!(announcer.next(start), Some(key(1)));
        announcer.ended(&key(1), true, start);
        announcer.renew(&key(1), start);
        assert_eq!(announcer.next(start + APART - Duration::from_millis(1)), None);
        assert_eq!(announcer.next(start + APART), Some(key(1)));
        announcer.ended(&key(1), true, start + APART);
        let later = start + APART * 10;
        announcer.renew(&key(1), later);
        assert_eq!(announcer.next(later), None);
        assert_eq!(announcer.next(later + GATHER), Some(key(1)));
    }

    #[test]
    fn what_nobody_took_is_tried_again() {
        let start = Instant::now();
        let mut announcer = Announcer::new(10, Duration::from_secs(3600), start);
        announcer.add(key(1), start);
        assert_eq!(announcer.next(start), Some(key(1)));
        announcer.ended(&key(1), false, start);
        assert_eq!((announcer.told(), announcer.next(start)), (0, None));
        assert_eq!(announcer.next(start + RETRY), Some(key(1)));
    }
}
