//! The guest's events, as a totally ordered sequence.

mod contract;
mod log;
mod open_commands;
mod open_listeners;
mod quota;

pub use contract::{
    CONTRACT_HASH, CONTRACT_VERSION, ConnectionDirection, ConnectionEnd, DiskAccess, DiskFailure,
    DiskOperation, EventBody, EventKind, FrameName, HELLO_HASH, InputKind, NetworkProtocol,
    NetworkRefusal, OutputStream, Protocol, RejectReason, limits,
};
pub use log::{EventLog, EventsLost};
pub(crate) use open_commands::OpenCommands;
pub(crate) use open_listeners::OpenListeners;
pub use open_listeners::{MOST_OPEN_LISTENERS, OpenListener};
pub use quota::{EVENT_BYTES, MAX_QUOTA_BYTES, Overflow, Quota};
pub(crate) use quota::{Over, Quotas};

use crate::time::Nanos;

/// One thing that happened, with its place in the order and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// 0, 1, 2 … without gaps, per machine lineage.
    pub seq: u64,
    /// Guest time.
    pub at_nanos: Nanos,
    /// The content.
    pub body: EventBody,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl EventKind {
    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl EventBody {
    /// Bytes of text and data that the event holds.
    pub fn content_bytes(&self) -> usize {
        self.size_bytes() - size_of::<Event>()
    }
}

/// A set of kinds.
///
/// ```
/// use stillpoint_vmm::event::{EventKind, KindSet};
/// let ends: KindSet = [EventKind::GuestHalted, EventKind::GuestReset].into_iter().collect();
/// assert!(ends.contains(EventKind::GuestReset));
/// assert_eq!(EventKind::by_name("GuestReset"), Some(EventKind::GuestReset));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u128);

impl KindSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << EventKind::ALL.len()) - 1);

    /// The set whose kinds are numbered by the bits of `bits`. Bits that no kind has are left out.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// This set and `kind`.
    #[must_use]
    pub const fn with(self, kind: EventKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether `kind` is in the set.
    #[inline]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }
}

impl FromIterator<EventKind> for KindSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::EMPTY, Self::with)
    }
}
