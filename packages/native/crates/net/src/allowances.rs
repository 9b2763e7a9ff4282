//! Limits of traffic: connections at once, and bytes in a second of guest time, for each published
//! port, and for all outside addresses together.
//!
//! Bytes are paid for after they have passed, with the guest time that they may take: an allowance is
//! empty until all earlier traffic is paid for (a token bucket, RFC 2697, kept as a time). Traffic
//! over the limit waits at its source, as for a slow reader: in the host's kernel, or in the guest,
//! whose window stays closed.

use std::collections::BTreeMap;

use stillpoint_vmm::time::Nanos;

/// Guest time whose bytes may pass at once after a pause.
const AT_ONCE_NANOS: Nanos = 100_000_000;
const SECOND_NANOS: u128 = 1_000_000_000;
/// Fewest bytes in a second: less is no speed that a connection could live with.
pub const LEAST_BYTES_PER_SECOND: u64 = 1_024;
/// Maximum rate in bytes per second: a tebibyte.
pub const MOST_BYTES_PER_SECOND: u64 = 1 << 40;

/// Limits of traffic. Unlimited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrafficLimits {
    /// Connections at once. Further ones to a published port wait with the host's kernel, further ones
    /// to the outside are refused.
    pub connections: Option<usize>,
    /// Bytes of connections and of datagrams in a second of guest time, in both directions together.
    pub bytes_per_second: Option<u64>,
}

impl TrafficLimits {
    /// Parses limits; problems are added to `problems`, with the place `at`.
    pub(crate) fn parse(
        at: &str,
        connections: Option<f64>,
        bytes_per_second: Option<f64>,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut within = |name: &str, found: Option<f64>, least: u64, most: u64| {
            let found = found?;
            let is_within = found.fract() == 0.0 && found >= least as f64 && found <= most as f64;
            if !is_within {
                problems.push(format!("{at}.{name}: expected {least} to {most}, found {found}"));
            }
            is_within.then_some(found as u64)
        };
        let connections = within("connections", connections, 1, 1_024);
        let bytes_per_second = within(
            "bytesPerSecond",
            bytes_per_second,
            LEAST_BYTES_PER_SECOND,
            MOST_BYTES_PER_SECOND,
        );
        Self { connections: connections.map(|most| most as usize), bytes_per_second }
    }
}

/// By which way bytes come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// A published port, by its name.
    Port(u64),
    /// Whom the guest reaches.
    Outside,
}

#[derive(Debug)]
struct Allowance {
    limits: TrafficLimits,
    /// Guest time at which all earlier bytes are paid for.
    paid_at: Nanos,
}

impl Allowance {
    /// Bytes that may pass now.
    fn bytes(&self, now: Nanos) -> usize {
        let Some(speed) = self.limits.bytes_per_second else { return usize::MAX };
        let free = AT_ONCE_NANOS.saturating_sub(self.paid_at.saturating_sub(now));
        (u128::from(free) * u128::from(speed) / SECOND_NANOS) as usize
    }

    fn take(&mut self, now: Nanos, bytes: usize) {
        let Some(speed) = self.limits.bytes_per_second else { return };
        let nanos = (bytes as u128 * SECOND_NANOS).div_ceil(u128::from(speed));
        let nanos = Nanos::try_from(nanos).unwrap_or(Nanos::MAX);
        self.paid_at = self.paid_at.max(now).saturating_add(nanos);
    }

    /// The time at which half of a full allowance is available: earlier, only a few bytes at a time
    /// could pass.
    fn worth_asking_at(&self, now: Nanos) -> Nanos {
        self.paid_at.saturating_sub(AT_ONCE_NANOS / 2).max(now + 1)
    }
}

/// The allowances of one guest: those ways that have limits.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    of: BTreeMap<Way, Allowance>,
    /// Guest time at which something that waits may pass.
    due: Option<Nanos>,
}

impl Allowances {
    /// Sets the limits of a way; earlier traffic stays counted.
    pub(crate) fn set(&mut self, way: Way, limits: TrafficLimits) {
        if limits == TrafficLimits::default() {
            self.of.remove(&way);
            return;
        }
        let paid_at = self.of.get(&way).map_or(0, |allowance| allowance.paid_at);
        self.of.insert(way, Allowance { limits, paid_at });
    }

    /// Forgets the ways that nothing goes any more.
    pub(crate) fn keep(&mut self, mut is_there: impl FnMut(Way) -> bool) {
        self.of.retain(|way, _| is_there(*way));
    }

    /// The ways that have limits.
    pub(crate) fn ways(&self) -> impl Iterator<Item = Way> {
        self.of.keys().copied()
    }

    /// Connections that may be open at once.
    pub(crate) fn connections(&self, way: Way) -> usize {
        let limits = self.of.get(&way).map(|allowance| allowance.limits);
        limits.and_then(|limits| limits.connections).unwrap_or(usize::MAX)
    }

    /// Bytes that may pass now.
    pub(crate) fn bytes(&self, way: Way, now: Nanos) -> usize {
        self.of.get(&way).map_or(usize::MAX, |allowance| allowance.bytes(now))
    }

    /// So many bytes have passed.
    pub(crate) fn take(&mut self, way: Way, now: Nanos, bytes: usize) {
        if let Some(allowance) = self.of.get_mut(&way).filter(|_| bytes > 0) {
            allowance.take(now, bytes);
        }
    }

    /// Whether a datagram may pass; if so, it is paid for as a whole, even beyond the allowance.
    pub(crate) fn pass(&mut self, way: Way, now: Nanos, bytes: usize) -> bool {
        let may_pass = self.bytes(way, now) > 0;
        if may_pass {
            self.take(way, now, bytes);
        }
        may_pass
    }

    /// Nothing waits, as far as is known.
    pub(crate) fn begin(&mut self) {
        self.due = None;
    }

    /// Something waits until there is more for this way.
    pub(crate) fn wait(&mut self, way: Way, now: Nanos) {
        if let Some(allowance) = self.of.get(&way) {
            let at = allowance.worth_asking_at(now);
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Guest time at which something that waits may pass.
    pub(crate) fn due(&self) -> Option<Nanos> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test says what it expects")]

    use proptest::prelude::*;

    use super::*;

    fn limited(speed: u64) -> Allowances {
        let mut allowances = Allowances::default();
        let limits = TrafficLimits { bytes_per_second: Some(speed), ..TrafficLimits::default() };
        allowances.set(Way::Outside, limits);
        allowances
    }

    proptest! {
        /// Whenever callers ask, in no span pass more bytes than its time allows, plus those of a
        /// tenth of a second; and a caller that asks at the given times gets all of them in the end.
        #[test]
        fn no_span_passes_more_than_its_time_allows(
            speed in LEAST_BYTES_PER_SECOND..1 << 34,
            asked in prop::collection::vec((0_u64..400_000_000, 0_usize..1 << 20), 1..60),
        ) {
            let mut allowances = limited(speed);
            let (mut now, mut passed) = (0_u64, Vec::new());
            for (pause, bytes) in asked {
                now += pause;
                let taken = bytes.min(allowances.bytes(Way::Outside, now));
                allowances.take(Way::Outside, now, taken);
                passed.push((now, taken));
            }
            for (first, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0_u128;
                for (until, bytes) in &passed[first..] {
                    sum += *bytes as u128;
                    let span = u128::from(until - from + AT_ONCE_NANOS);
                    prop_assert!(sum <= span * u128::from(speed) / SECOND_NANOS);
                }
            }
            let mut left = speed.min(1 << 30) as usize;
            let begun = now;
            while left > 0 {
                let taken = left.min(allowances.bytes(Way::Outside, now));
                allowances.take(Way::Outside, now, taken);
                left -= taken;
                allowances.begin();
                allowances.wait(Way::Outside, now);
                now = allowances.due().expect("it waits");
            }
            prop_assert!(now - begun <= 1_300_000_000, "a second's bytes took {} ns", now - begun);
        }
    }

    #[test]
    fn what_is_set_anew_has_still_passed_and_no_limits_are_none() {
        let mut allowances = limited(10_000);
        assert!(allowances.pass(Way::Outside, 0, 5_000));
        assert!(!allowances.pass(Way::Outside, 0, 1));
        let faster = TrafficLimits { bytes_per_second: Some(20_000), connections: Some(3) };
        allowances.set(Way::Outside, faster);
        assert!(!allowances.pass(Way::Outside, 0, 1));
        assert_eq!(allowances.connections(Way::Outside), 3);
        allowances.set(Way::Outside, TrafficLimits::default());
        assert!(allowances.pass(Way::Outside, 0, 1 << 30) && allowances.ways().next().is_none());
    }

    #[test]
    fn limits_out_of_range_are_all_named() {
        let mut problems = Vec::new();
        TrafficLimits::parse("limits", Some(0.0), Some(1.5), &mut problems);
        TrafficLimits::parse("limits", Some(f64::NAN), Some(f64::INFINITY), &mut problems);
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(problems[0], "limits.connections: expected 1 to 1024, found 0");
    }
}
