//! A token bucket: so many per second, twice as many at once.

use std::time::Instant;

pub struct Rate {
    per_s: f64,
    left: f64,
    last: Instant,
}

impl Rate {
    pub fn new(per_s: u32, now: Instant) -> Self {
        let per_s = f64::from(per_s);
        Self { per_s, left: per_s * 2.0, last: now }
    }

    /// Takes one if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes all of them, or none where there are fewer.
    pub fn take_many(&mut self, count: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        self.left = (self.left + passed * self.per_s).min(self.per_s * 2.0);
        if self.left < f64::from(count) {
            return false;
        }
        self.left -= f64::from(count);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn allows_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        assert_eq!((0..100).filter(|_| rate.take(start)).count(), 20);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| rate.take(later)).count(), 5);
        assert!(!rate.take_many(2, later));
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| rate.take(much_later)).count(), 20);
    }
}
