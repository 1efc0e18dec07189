//! The one way out of the network: a queue of events with a bound in events and in bytes, and a call that wakes
//! whoever drains it.
//!
//! Three ways in: `push` for what must arrive (its number is bounded elsewhere, by the limits of connections,
//! streams and requests), `offer` for what may be dropped (gossip), `wait` for what can be held back (messages,
//! whose streams then stop reading).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::event::Event;

/// What one event weighs besides its payload.
const OVERHEAD_BYTES: usize = 256;

struct Inner {
    events: VecDeque<Event>,
    bytes: usize,
}

pub struct EventQueue {
    inner: Mutex<Inner>,
    max_events: usize,
    max_bytes: usize,
    room: Notify,
    awake: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl EventQueue {
    /// `wake` is called at most once between two drains, from any thread; it must not block.
    pub fn new(max_events: usize, max_bytes: usize, wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner { events: VecDeque::new(), bytes: 0 }),
            max_events,
            max_bytes,
            room: Notify::new(),
            awake: AtomicBool::new(false),
            wake,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn add(&self, inner: &mut Inner, event: Event) {
        inner.bytes += event.payload_bytes() + OVERHEAD_BYTES;
        inner.events.push_back(event);
    }

    fn ring(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            (self.wake)();
        }
    }

    fn has_room(&self, inner: &Inner) -> bool {
        inner.events.len() < self.max_events && inner.bytes < self.max_bytes
    }

    pub fn push(&self, event: Event) {
        self.add(&mut self.lock(), event);
        self.ring();
    }

    /// False when there is no room; the event is then gone.
    pub fn offer(&self, event: Event) -> bool {
        {
            let mut inner = self.lock();
            if !self.has_room(&inner) {
                return false;
            }
            self.add(&mut inner, event);
        }
        self.ring();
        true
    }

    /// Waits until there is room. Cancelling the wait leaves the event out.
    pub async fn wait(&self, event: Event) {
        let mut event = Some(event);
        loop {
            let notified = self.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            {
                let mut inner = self.lock();
                if self.has_room(&inner) {
                    if let Some(event) = event.take() {
                        self.add(&mut inner, event);
                    }
                }
            }
            if event.is_none() {
                self.ring();
                return;
            }
            notified.await;
        }
    }

    pub fn is_roomy(&self) -> bool {
        self.has_room(&self.lock())
    }

    /// Waits until there is room, without adding anything.
    pub async fn wait_for_room(&self) {
        loop {
            let notified = self.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.has_room(&self.lock()) {
                return;
            }
            notified.await;
        }
    }

    /// Up to `max` events, oldest first; true when more are left.
    pub fn drain(&self, max: usize) -> (Vec<Event>, bool) {
        // Before the lock: an event added after we let go of it rings again.
        self.awake.store(false, Ordering::Release);
        let mut inner = self.lock();
        let count = inner.events.len().min(max);
        let events: Vec<Event> = inner.events.drain(..count).collect();
        inner.bytes -= events.iter().map(|event| event.payload_bytes() + OVERHEAD_BYTES).sum::<usize>();
        let more = !inner.events.is_empty();
        drop(inner);
        self.room.notify_waiters();
        (events, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use std::sync::atomic::AtomicUsize;

    fn message(bytes: usize) -> Event {
        Event::Message { peer: [0; 32], protocol: String::new(), bytes: vec![0; bytes] }
    }

    #[test]
    fn wakes_once_per_drain() {
        let rings = Arc::new(AtomicUsize::new(0));
        let counter = rings.clone();
        let queue = EventQueue::new(
            8,
            1 << 20,
            Box::new(move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }),
        );
        queue.push(message(1));
        queue.push(message(2));
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        assert_eq!(queue.drain(1).0.len(), 1);
        queue.push(message(3));
        assert_eq!(rings.load(Ordering::Relaxed), 2);
        let (events, more) = queue.drain(10);
        assert_eq!((events.len(), more), (2, false));
    }

    #[test]
    fn drops_what_may_be_dropped_past_either_bound() {
        let queue = EventQueue::new(2, 10_000, Box::new(|| {}));
        assert!(queue.offer(message(1)));
        assert!(queue.offer(message(1)));
        assert!(!queue.offer(message(1)));
        queue.drain(10);
        assert!(queue.offer(message(20_000)));
        assert!(!queue.offer(message(1)));
    }

    #[tokio::test]
    async fn holds_back_until_drained() {
        let queue = EventQueue::new(1, 10_000, Box::new(|| {}));
        queue.wait(message(1)).await;
        let waiter = tokio::spawn({
            let queue = queue.clone();
            async move { queue.wait(message(2)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        assert_eq!(queue.drain(10).0.len(), 1);
        waiter.await.unwrap();
        assert_eq!(queue.drain(10).0.len(), 1);
    }
}
