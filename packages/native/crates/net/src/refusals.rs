//! What a guest was refused, told as events, and not faster than somebody can read.

use std::fmt::Display;

use stillpoint_vmm::event::{EventBody, NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::GuestPort;
use stillpoint_vmm::time::Nanos;

/// Refusals that are told at once, and in every further second of guest time.
const AT_ONCE: u64 = 64;
const EACH_NANOS: Nanos = 10_000_000;

#[derive(Default)]
pub(crate) struct Refusals {
    /// Guest time that the refusals which were told stand for.
    until: Nanos,
    /// How many were not told.
    untold: u64,
}

impl Refusals {
    /// Tells of a refusal, if there were not too many just now; whether it did.
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
