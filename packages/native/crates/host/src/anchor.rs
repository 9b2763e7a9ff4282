//! Guest time by the host's clock.

use std::time::{Duration, Instant};
use stillpoint_vmm::engine::Nanos;

/// A moment of the host's clock and the corresponding guest time: from there both advance alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) host: Instant,
    pub(crate) guest: Nanos,
}

impl Anchor {
    /// Guest time at a moment of the host's; before the anchor, the anchor's.
    pub(crate) fn guest_at(&self, now: Instant) -> Nanos {
        self.guest.saturating_add(nanos(now.saturating_duration_since(self.host)))
    }

    /// The moment of the host's at which it is this guest time. `None`: its clock does not go so far.
    pub(crate) fn host_at(&self, guest: Nanos) -> Option<Instant> {
        self.host.checked_add(Duration::from_nanos(guest.saturating_sub(self.guest)))
    }
}

/// A duration in nanoseconds, the most that there are if it is longer.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn guest_time_and_the_hosts_are_each_others_inverse(guest: u32, later: u32, at: u64) {
            let host = Instant::now();
            let anchor = Anchor { host, guest: u64::from(guest) };
            let moment = host + Duration::from_nanos(u64::from(later));
            prop_assert_eq!(anchor.guest_at(moment), anchor.guest + u64::from(later));
            prop_assert_eq!(anchor.host_at(anchor.guest_at(moment)), Some(moment));
            let anchor = Anchor { host: moment, guest: at };
            // A moment before it does not turn time back, and no clock overflows.
            prop_assert_eq!(anchor.guest_at(host), at);
            prop_assert!(anchor.guest_at(moment + Duration::from_secs(1 << 40)) >= at);
            prop_assert_eq!(anchor.host_at(0), Some(moment));
        }
    }
}
