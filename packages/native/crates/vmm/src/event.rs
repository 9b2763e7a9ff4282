//! What a guest does, as a totally ordered sequence.

use crate::engine::Nanos;

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
}

/// The kinds of guest events.
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
