//! Refusals of a guest's traffic, reported as events at a readable rate.

use std::fmt::Display;

use stillpoint_vmm::event::{EventBody, NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::GuestPort;
use stillpoint_vmm::time::Nanos;

/// Refusals that are reported at once; the further rate is per second of guest time.
const AT_ONCE: u64 = 64;
const EACH_NANOS: Nanos = 10_000_000;

#[derive(Default)]
pub(crate) struct Refusals {
    /// Guest time at which all reported refusals are paid for.
    until: Nanos,
    /// Number of unreported refusals.
    untold: u64,
}

impl Refusals {
    /// Reports a refusal, unless there were too many just now; returns whether it did.
    pub(crate) fn tell(
        &mut self,
        now: Nanos,
        protocol: NetworkProtocol,
        (address, port): (impl Display, u16),
        reason: NetworkRefusal,
        guest: &mut dyn GuestPort,
    ) -> bool {
        let told_until = self.until.max(now);
        if told_until - now >= AT_ONCE * EACH_NANOS {
            self.untold += 1;
            return false;
        }
        self.until = told_until + EACH_NANOS;
        let count = std::mem::take(&mut self.untold) + 1;
        let address = address.to_string();
        guest.tell(EventBody::NetworkRefused { protocol, address, port, reason, count });
        true
    }
}
