//! Calls at given moments of the host's clock: one thread for all of them, and none without any.

use crate::guarded::guarded;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, spawn, wait_up_to};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the thread waits for another alarm before it ends.
const LINGER: Duration = Duration::from_millis(500);

type Ring = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Set {
    /// Told apart by a number, where several are for one moment.
    alarms: BTreeMap<(Instant, u64), Ring>,
    next_number: u64,
    has_thread: bool,
}

/// An alarm that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    key: (Instant, u64),
}

#[derive(Default)]
struct Shared {
    set: Mutex<Set>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Set> {
        // No alarm rings under the lock.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moments of the host's clock at which something is to happen.
///
/// The callback runs on the one thread, so it must be brief: it hands work to other threads.
#[derive(Clone, Default)]
pub struct Alarms {
    shared: Arc<Shared>,
}

impl Alarms {
    /// None set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `ring` called at `at`, or soon if that has passed.
    ///
    /// # Errors
    /// If a thread was needed and the host refused it; `ring` is dropped uncalled then.
    pub fn set(
        &self,
        at: Instant,
        ring: impl FnOnce() + Send + 'static,
    ) -> Result<Alarm, std::io::Error> {
        let mut set = self.shared.lock();
        let key = (at, set.next_number);
        set.next_number += 1;
        if !set.has_thread {
            let shared = Arc::clone(&self.shared);
            spawn("stillpoint-alarms", move || wait_and_ring(&shared))?;
            set.has_thread = true;
        }
        let is_first = set.alarms.first_key_value().is_none_or(|(first, _)| key < *first);
        set.alarms.insert(key, Box::new(ring));
        drop(set);
        if is_first {
            self.shared.changed.notify_one();
        }
        Ok(Alarm { key })
    }

    /// Has an alarm not ring, if it has not rung yet.
    pub fn cancel(&self, alarm: Alarm) {
        let cancelled = self.shared.lock().alarms.remove(&alarm.key);
        drop(cancelled);
    }

    /// Alarms that have not rung.
    pub fn pending(&self) -> usize {
        self.shared.lock().alarms.len()
    }
}

fn wait_and_ring(shared: &Shared) {
    let mut set = shared.lock();
    loop {
        let first = set.alarms.first_key_value().map(|((at, _), _)| *at);
        let limit = first.map_or(LINGER, |at| at.saturating_duration_since(Instant::now()));
        let is_over = if limit.is_zero() {
            true
        } else {
            let (guard, is_over) = wait_up_to(&shared.changed, &shared.set, set, limit);
            set = guard;
            // Another may have become the first meanwhile.
            is_over && first == set.alarms.first_key_value().map(|((at, _), _)| *at)
        };
        if !is_over {
            continue;
        }
        match set.alarms.pop_first() {
            Some((_, ring)) => {
                drop(set);
                let _ = guarded(ring);
                set = shared.lock();
            }
            None => {
                set.has_thread = false;
                return;
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_alarm_rings_once_and_not_before_its_moment() {
        let alarms = Alarms::new();
        let (rung, order) = mpsc::channel();
        let now = Instant::now();
        for millis in [30, 10, 20, 0, 10] {
            let rung = rung.clone();
            let at = now + Duration::from_millis(millis);
            alarms.set(at, move || rung.send((millis, Instant::now() >= at)).unwrap()).unwrap();
        }
        let mut found: Vec<_> = (0..5).map(|_| order.recv().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, [0, 10, 10, 20, 30].map(|millis| (millis, true)));
        assert_eq!(alarms.pending(), 0);
    }

    #[test]
    fn a_cancelled_alarm_does_not_ring_and_frees_what_it_held() {
        let alarms = Alarms::new();
        let held = Arc::new(());
        let also = Arc::clone(&held);
        let far = Instant::now() + Duration::from_hours(1);
        let alarm = alarms.set(far, move || drop(also)).unwrap();
        alarms.cancel(alarm);
        assert_eq!((alarms.pending(), Arc::strong_count(&held)), (0, 1));
        alarms.cancel(alarm);
        let (rung, heard) = mpsc::channel();
        alarms.set(Instant::now(), move || rung.send(()).unwrap()).unwrap();
        heard.recv().unwrap();
    }
}
