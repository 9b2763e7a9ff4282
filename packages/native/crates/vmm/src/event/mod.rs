//! What a guest does, as a totally ordered sequence.

mod log;

pub use log::{EventLog, EventsLost};

use crate::time::Nanos;

/// One thing that happened, with its place in the order and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// 0, 1, 2 … without gaps, per machine lineage.
    pub seq: u64,
    /// Guest time.
    pub at_nanos: Nanos,
    /// What happened.
    pub body: EventBody,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Transport protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Transmission control protocol.
    Tcp,
    /// User datagram protocol.
    Udp,
}

/// Output stream of an executed command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where injected host input went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// A frame on the agent's control port.
    Control,
    /// Bytes on a serial port.
    Serial,
    /// A renewal of the machine: [`Renewal::encode`](crate::devices::Renewal::encode).
    Renewal,
}

/// What happened. The kinds, their names and their fields are the same on every side.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum EventBody {
    SerialLine { port: u32, text: String },
    HeartbeatTick { count: u64 },
    WorkloadPreExec { argv: Vec<String> },
    ListenerBound { protocol: Protocol, address: String, port: u16 },
    WorkloadParked,
    WorkloadExited { status: ExitStatus },
    WorkloadFailed { stage: String, errno: i32, message: String },
    GuestIdle,
    GuestBusy,
    IoStarted { device: String },
    IoSettled { device: String },
    PagesDirtied { count: u64 },
    AgentReady { protocol_version: u32, kernel_release: String },
    AgentQuiesced { token: u32 },
    AgentThawed { token: u32 },
    IdentityApplied { token: u32 },
    AgentRejected { frame: u8, message: String },
    ExecStarted { id: u32, pid: u32 },
    ExecOutput { id: u32, stream: OutputStream, data: Vec<u8> },
    ExecExited { id: u32, status: ExitStatus },
    ExecFailed { id: u32, stage: String, errno: i32, message: String },
    HostInput { kind: InputKind, port: u32, data: Vec<u8> },
    GuestPanicked { message: String },
    GuestHalted { reason: u32 },
    GuestReset { reason: u32 },
    EngineFault { message: String },
    Custom { name: String, payload_json: String },
}

/// The kinds of guest events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum EventKind {
    SerialLine,
    HeartbeatTick,
    WorkloadPreExec,
    ListenerBound,
    WorkloadParked,
    WorkloadExited,
    WorkloadFailed,
    GuestIdle,
    GuestBusy,
    IoStarted,
    IoSettled,
    PagesDirtied,
    AgentReady,
    AgentQuiesced,
    AgentThawed,
    IdentityApplied,
    AgentRejected,
    ExecStarted,
    ExecOutput,
    ExecExited,
    ExecFailed,
    HostInput,
    GuestPanicked,
    GuestHalted,
    GuestReset,
    EngineFault,
    Custom,
}

impl EventKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 27] = [
        Self::SerialLine,
        Self::HeartbeatTick,
        Self::WorkloadPreExec,
        Self::ListenerBound,
        Self::WorkloadParked,
        Self::WorkloadExited,
        Self::WorkloadFailed,
        Self::GuestIdle,
        Self::GuestBusy,
        Self::IoStarted,
        Self::IoSettled,
        Self::PagesDirtied,
        Self::AgentReady,
        Self::AgentQuiesced,
        Self::AgentThawed,
        Self::IdentityApplied,
        Self::AgentRejected,
        Self::ExecStarted,
        Self::ExecOutput,
        Self::ExecExited,
        Self::ExecFailed,
        Self::HostInput,
        Self::GuestPanicked,
        Self::GuestHalted,
        Self::GuestReset,
        Self::EngineFault,
        Self::Custom,
    ];

    /// The kind's name: the `_tag` of its events.
    pub fn name(self) -> &'static str {
        match self {
            Self::SerialLine => "SerialLine",
            Self::HeartbeatTick => "HeartbeatTick",
            Self::WorkloadPreExec => "WorkloadPreExec",
            Self::ListenerBound => "ListenerBound",
            Self::WorkloadParked => "WorkloadParked",
            Self::WorkloadExited => "WorkloadExited",
            Self::WorkloadFailed => "WorkloadFailed",
            Self::GuestIdle => "GuestIdle",
            Self::GuestBusy => "GuestBusy",
            Self::IoStarted => "IoStarted",
            Self::IoSettled => "IoSettled",
            Self::PagesDirtied => "PagesDirtied",
            Self::AgentReady => "AgentReady",
            Self::AgentQuiesced => "AgentQuiesced",
            Self::AgentThawed => "AgentThawed",
            Self::IdentityApplied => "IdentityApplied",
            Self::AgentRejected => "AgentRejected",
            Self::ExecStarted => "ExecStarted",
            Self::ExecOutput => "ExecOutput",
            Self::ExecExited => "ExecExited",
            Self::ExecFailed => "ExecFailed",
            Self::HostInput => "HostInput",
            Self::GuestPanicked => "GuestPanicked",
            Self::GuestHalted => "GuestHalted",
            Self::GuestReset => "GuestReset",
            Self::EngineFault => "EngineFault",
            Self::Custom => "Custom",
        }
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl EventBody {
    /// The kind of event that this is.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::SerialLine { .. } => EventKind::SerialLine,
            Self::HeartbeatTick { .. } => EventKind::HeartbeatTick,
            Self::WorkloadPreExec { .. } => EventKind::WorkloadPreExec,
            Self::ListenerBound { .. } => EventKind::ListenerBound,
            Self::WorkloadParked { .. } => EventKind::WorkloadParked,
            Self::WorkloadExited { .. } => EventKind::WorkloadExited,
            Self::WorkloadFailed { .. } => EventKind::WorkloadFailed,
            Self::GuestIdle { .. } => EventKind::GuestIdle,
            Self::GuestBusy { .. } => EventKind::GuestBusy,
            Self::IoStarted { .. } => EventKind::IoStarted,
            Self::IoSettled { .. } => EventKind::IoSettled,
            Self::PagesDirtied { .. } => EventKind::PagesDirtied,
            Self::AgentReady { .. } => EventKind::AgentReady,
            Self::AgentQuiesced { .. } => EventKind::AgentQuiesced,
            Self::AgentThawed { .. } => EventKind::AgentThawed,
            Self::IdentityApplied { .. } => EventKind::IdentityApplied,
            Self::AgentRejected { .. } => EventKind::AgentRejected,
            Self::ExecStarted { .. } => EventKind::ExecStarted,
            Self::ExecOutput { .. } => EventKind::ExecOutput,
            Self::ExecExited { .. } => EventKind::ExecExited,
            Self::ExecFailed { .. } => EventKind::ExecFailed,
            Self::HostInput { .. } => EventKind::HostInput,
            Self::GuestPanicked { .. } => EventKind::GuestPanicked,
            Self::GuestHalted { .. } => EventKind::GuestHalted,
            Self::GuestReset { .. } => EventKind::GuestReset,
            Self::EngineFault { .. } => EventKind::EngineFault,
            Self::Custom { .. } => EventKind::Custom,
        }
    }

    /// About how many bytes the event holds, for limits.
    pub fn size_bytes(&self) -> usize {
        size_of::<Event>()
            + match self {
                Self::SerialLine { text, .. } => text.len(),
                Self::WorkloadPreExec { argv } => {
                    argv.iter().map(|word| word.len() + size_of::<String>()).sum()
                }
                Self::ListenerBound { address, .. } => address.len(),
                Self::WorkloadFailed { stage, message, .. }
                | Self::ExecFailed { stage, message, .. } => stage.len() + message.len(),
                Self::IoStarted { device } | Self::IoSettled { device } => device.len(),
                Self::AgentReady { kernel_release, .. } => kernel_release.len(),
                Self::AgentRejected { message, .. }
                | Self::GuestPanicked { message }
                | Self::EngineFault { message } => message.len(),
                Self::ExecOutput { data, .. } | Self::HostInput { data, .. } => data.len(),
                Self::Custom { name, payload_json } => name.len() + payload_json.len(),
                _ => 0,
            }
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
pub struct KindSet(u32);

impl KindSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << EventKind::ALL.len()) - 1);

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
