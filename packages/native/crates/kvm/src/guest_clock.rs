//! Guest time while the guest runs: as fast as the host's.

use std::time::{Duration, Instant};

use stillpoint_vmm::engine::Nanos;

/// A moment of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuestClock {
    /// The guest's.
    pub(crate) now: Nanos,
    /// The host's.
    pub(crate) at: Instant,
}

impl GuestClock {
    /// Guest time now.
    pub(crate) fn now(self) -> Nanos {
        let passed = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.now.saturating_add(passed)
    }

    /// The host's time at `now`.
    pub(crate) fn at_time(self, now: Nanos) -> Instant {
        self.at + Duration::from_nanos(now.saturating_sub(self.now))
    }
}
