//! Limits on a guest's events: a leaky bucket for each kind, in guest time.
//!
//! ```text
//! level ── rises by an event's cost, falls by `bytes_per_second` of guest time
//!   │
//!   └── an event that would lift it over `burst_bytes` is over the quota: dropped and counted, or
//!       told and the run ended there, or the end of the guest
//! ```
//! The dropped events depend only on the guest: on its events, their sizes and times. The speed of
//! readers, the cutting of runs, and captures and forks change nothing.

use super::{EventBody, EventKind};
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

/// The cost of every event besides its text and bytes.
pub const EVENT_BYTES: u64 = 64;

/// Maximum bytes of a quota, at once or in a second.
pub const MAX_QUOTA_BYTES: u64 = 1 << 32;

/// Guest time from the first dropped event to the report.
const REPORT_NANOS: Nanos = 100_000_000;

const SECOND_NANOS: u64 = 1_000_000_000;
const KINDS: usize = EventKind::ALL.len();

/// The treatment of events over the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The event is dropped; `EventsDropped` tells how many were.
    Drop,
    /// The event is reported and ends the run, as a requested one does. The caller reads the
    /// pending events and continues; the quota starts again.
    Pause,
    /// The guest is ended, as by a fault of the engine.
    End,
}

impl Overflow {
    const ALL: [Self; 3] = [Self::Drop, Self::Pause, Self::End];
}

/// The quota of a kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes at once: [`EVENT_BYTES`] for each event, and its contents.
    pub burst_bytes: u64,
    /// Bytes in a second of guest time, in the long run.
    pub bytes_per_second: u64,
    /// The treatment of events beyond it.
    pub overflow: Overflow,
}

impl Quota {
    /// The default quota of a kind: many times what well-behaved guests use. `None` for events that
    /// the host causes or that come once.
    pub const fn usual(kind: EventKind) -> Option<Self> {
        let (burst_bytes, bytes_per_second) = match kind {
            EventKind::PagesDirtied
            | EventKind::TrafficPassed
            | EventKind::HostInput
            | EventKind::NetworkRefused
            // Each comes with frames that the host gave.
            | EventKind::ConnectionOpened
            | EventKind::ConnectionClosed
            | EventKind::RequestServed
            | EventKind::DiskAttached
            | EventKind::EventsDropped
            | EventKind::EngineChosen
            | EventKind::GuestHalted
            | EventKind::GuestReset
            | EventKind::EngineFault => return None,
            // Requested output: none of it is dropped. An agent sends no more than its window; a
            // guest that does only delays itself.
            EventKind::ExecOutput => {
                let (burst_bytes, bytes_per_second) = (256 << 20, 64 << 20);
                return Some(Self { burst_bytes, bytes_per_second, overflow: Overflow::Pause });
            }
            // A command with input reports it as often as the port delivers some.
            EventKind::ExecStarted
            | EventKind::ExecInputTaken
            | EventKind::ExecOutputHeld
            | EventKind::ExecExited
            | EventKind::ExecFailed => (8 << 20, 2 << 20),
            EventKind::SerialLine => (8 << 20, 1 << 20),
            EventKind::GuestIdle | EventKind::GuestBusy => (8 << 20, 1 << 20),
            EventKind::IoStarted | EventKind::IoSettled => (8 << 20, 2 << 20),
            EventKind::Custom => (4 << 20, 1 << 20),
            _ => (1 << 20, 128 << 10),
        };
        Some(Self { burst_bytes, bytes_per_second, overflow: Overflow::Drop })
    }
}

/// An event is over its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Dropped,
    Paused,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bucket {
    /// Bytes, times the nanoseconds of a second: so that what runs out is exact.
    level: u64,
    at: Nanos,
    dropped: u64,
}

/// The quotas of one machine, and how much of them is used.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quotas {
    quotas: [Option<Quota>; KINDS],
    buckets: [Bucket; KINDS],
    report_at: Option<Nanos>,
    /// The last dropped event of each state, if it differs from the reported one. It is reported
    /// together with the count, so that no reader keeps an outdated state.
    untold: Vec<EventBody>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            quotas: EventKind::ALL.map(Quota::usual),
            buckets: [Bucket::default(); KINDS],
            report_at: None,
            untold: Vec::new(),
        }
    }
}

impl Quotas {
    /// The usual quotas, but for some kinds.
    pub(crate) fn new(set: &[(EventKind, Quota)]) -> Self {
        let mut quotas = Self::default();
        for (kind, quota) in set {
            quotas.quotas[*kind as usize] = Some(*quota);
        }
        quotas
    }

    /// Counts an event that happens now. `Some`: it is over its quota.
    pub(crate) fn count(&mut self, body: &EventBody, now: Nanos) -> Option<Over> {
        let kind = body.kind() as usize;
        let quota = self.quotas[kind]?;
        let bucket = &mut self.buckets[kind];
        bucket.run_out(&quota, now);
        // A change back to the reported state cancels the dropped change before it.
        if let Some(index) = self.untold.iter().position(|before| is_opposite(before, body)) {
            self.untold.swap_remove(index);
            bucket.dropped += 1;
            return Some(Over::Dropped);
        }
        let cost = EVENT_BYTES.saturating_add(body.content_bytes() as u64);
        let level = bucket.level.saturating_add(cost.saturating_mul(SECOND_NANOS));
        if level <= quota.burst_bytes.saturating_mul(SECOND_NANOS) {
            bucket.level = level;
            return None;
        }
        if quota.overflow == Overflow::Pause {
            bucket.level = 0;
            return Some(Over::Paused);
        }
        bucket.dropped += 1;
        self.report_at.get_or_insert(now.saturating_add(REPORT_NANOS));
        if is_state(body) {
            self.untold.push(body.clone());
        }
        Some(if quota.overflow == Overflow::End { Over::Ended } else { Over::Dropped })
    }

    /// The time of the next report.
    pub(crate) fn due(&self) -> Option<Nanos> {
        self.report_at
    }

    /// The events dropped since the last report.
    pub(crate) fn report(&mut self, into: &mut Vec<EventBody>) {
        self.report_at = None;
        for (kind, bucket) in EventKind::ALL.into_iter().zip(&mut self.buckets) {
            let count = std::mem::take(&mut bucket.dropped);
            if count > 0 {
                into.push(EventBody::EventsDropped { kind, count });
            }
        }
        into.append(&mut self.untold);
    }
}

/// Most devices whose state can be untold at the same time, and the processor's.
const MAX_UNTOLD: u32 = 65;

impl Quotas {
    /// Appends the state at `now`. Buckets that are empty are as if they had never been used.
    pub(crate) fn save(&self, now: Nanos, state: &mut StateWriter) {
        let usual = EventKind::ALL.map(Quota::usual);
        let set: Vec<_> = (0..KINDS).filter(|kind| self.quotas[*kind] != usual[*kind]).collect();
        state.u32(set.len() as u32);
        for kind in set {
            if let Some(quota) = self.quotas[kind] {
                state.u8(kind as u8).u64(quota.burst_bytes).u64(quota.bytes_per_second);
                state.u8(quota.overflow as u8);
            }
        }
        let used: Vec<_> = (0..KINDS)
            .filter_map(|kind| {
                let mut bucket = self.buckets[kind];
                bucket.run_out(&self.quotas[kind]?, now);
                (bucket.level > 0 || bucket.dropped > 0).then_some((kind, bucket))
            })
            .collect();
        state.u32(used.len() as u32);
        for (kind, bucket) in used {
            state.u8(kind as u8).u64(bucket.level).u64(bucket.dropped);
        }
        state.optional_u64(self.report_at);
        state.u32(self.untold.len() as u32);
        for body in &self.untold {
            let (kind, device) = match body {
                EventBody::IoStarted { device } | EventBody::IoSettled { device } => {
                    (body.kind(), device.as_str())
                }
                body => (body.kind(), ""),
            };
            state.u8(kind as u8).bytes(device.as_bytes());
        }
    }

    /// Reads the state of a machine at `now`.
    ///
    /// # Errors
    /// [`StateError`] if the state is missing.
    pub(crate) fn load(now: Nanos, state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let mut quotas = Self::default();
        for _ in 0..count(state, KINDS as u32)? {
            let kind = kind(state)?;
            let (burst_bytes, bytes_per_second) = (state.u64()?, state.u64()?);
            let overflow = state.u8()?;
            let found = Overflow::ALL.get(usize::from(overflow)).copied();
            let Some(overflow) = found else {
                return Err(state.refuse("a policy of a quota", overflow.to_string()));
            };
            quotas.quotas[kind as usize] = Some(Quota { burst_bytes, bytes_per_second, overflow });
        }
        for _ in 0..count(state, KINDS as u32)? {
            let kind = kind(state)?;
            quotas.buckets[kind as usize] =
                Bucket { level: state.u64()?, at: now, dropped: state.u64()? };
        }
        quotas.report_at = state.optional_u64()?;
        for _ in 0..count(state, MAX_UNTOLD)? {
            let kind = kind(state)?;
            let device = String::from_utf8_lossy(state.bytes(256)?).into_owned();
            quotas.untold.push(match kind {
                EventKind::GuestIdle => EventBody::GuestIdle,
                EventKind::GuestBusy => EventBody::GuestBusy,
                EventKind::IoStarted => EventBody::IoStarted { device },
                EventKind::IoSettled => EventBody::IoSettled { device },
                other => return Err(state.refuse("an event that tells a state", other.name())),
            });
        }
        Ok(quotas)
    }
}

fn count(state: &mut StateReader<'_>, most: u32) -> Result<u32, StateError> {
    let count = state.u32()?;
    if count > most {
        return Err(state.refuse(format!("at most {most} quotas"), count.to_string()));
    }
    Ok(count)
}

fn kind(state: &mut StateReader<'_>) -> Result<EventKind, StateError> {
    let number = state.u8()?;
    let kind = EventKind::ALL.get(usize::from(number)).copied();
    kind.ok_or_else(|| state.refuse("a kind of event", number.to_string()))
}

impl Bucket {
    fn run_out(&mut self, quota: &Quota, now: Nanos) {
        let gone = now.saturating_sub(self.at).saturating_mul(quota.bytes_per_second);
        self.level = self.level.saturating_sub(gone);
        self.at = now;
    }
}

/// Whether the event begins a state that lasts until its opposite.
fn is_state(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::GuestIdle
            | EventBody::GuestBusy
            | EventBody::IoStarted { .. }
            | EventBody::IoSettled { .. }
    )
}

fn is_opposite(one: &EventBody, other: &EventBody) -> bool {
    match (one, other) {
        (EventBody::GuestIdle, EventBody::GuestBusy)
        | (EventBody::GuestBusy, EventBody::GuestIdle) => true,
        (EventBody::IoStarted { device }, EventBody::IoSettled { device: same })
        | (EventBody::IoSettled { device }, EventBody::IoStarted { device: same }) => {
            device == same
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
