//! The connection between a guest's network interface and the host: frames, and the link that takes
//! them.
//!
//! ```text
//!  guest ── virtio-net ──▶ Outbox ──▶ ┌──────┐
//!    ▲                                │ Link │ ◀──▶ the host's sockets
//!    └── HostInput events ◀───────────└──────┘
//! ```
//! A link is not part of a machine: it has no state that is saved or forked, and its input to the
//! guest is recorded at the guest time of its delivery, as whole Ethernet frames. Without a link, an
//! interface gets no answers. The link affects the guest only through its input.

mod connections;
mod frames;
mod headers;
mod segment;

pub use connections::{Connections, MAX_CONNECTIONS, Traffic};
pub use frames::{FramesInvalid, append_frame, frames_of};
pub use headers::{Headers, IPV6_HEADER_BYTES};
pub use segment::{Connection, is_of_version_6};

use crate::event::EventBody;
use crate::time::Nanos;

/// Bytes of an Ethernet header: two addresses and a type.
pub const ETHERNET_HEADER_BYTES: usize = 14;

/// Maximum bytes of a frame: an Ethernet header and the largest IP packet.
pub const MAX_FRAME_BYTES: usize = ETHERNET_HEADER_BYTES + 65_535;

/// Maximum bytes of frames that wait for the link. The machine checks after each of the guest's
/// notifications, so only a hostile guest ever has as many.
const OUTBOX_BYTES: usize = 4 << 20;

/// Frames that the guest has sent and no link has taken yet: never more than those of one
/// notification, and none between two instructions at which a machine stands still.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: Vec<Vec<u8>>,
    bytes: usize,
    is_linked: bool,
    has_room_again: bool,
    /// Events caused by frames that are not recorded yet, to be reported after the recording.
    caused: Vec<EventBody>,
}

impl Outbox {
    /// Keeps the events caused by a frame to the guest until the frame is recorded.
    pub fn caused(&mut self, events: Vec<EventBody>) {
        self.caused.extend(events);
    }

    pub(crate) fn take_caused(&mut self) -> Vec<EventBody> {
        std::mem::take(&mut self.caused)
    }

    /// Takes a frame of the guest's. Without a link it goes nowhere.
    pub fn push(&mut self, frame: Vec<u8>) {
        if self.is_linked && self.bytes + frame.len() <= OUTBOX_BYTES {
            self.bytes += frame.len();
            self.frames.push(frame);
        }
    }

    /// Says that the guest has made room for frames.
    pub fn room_made(&mut self) {
        self.has_room_again = self.is_linked;
    }

    /// Whether frames wait for the link.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.frames.is_empty() || self.has_room_again
    }

    pub(crate) fn set_linked(&mut self, is_linked: bool) {
        *self = Self { is_linked, ..Self::default() };
    }

    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        self.has_room_again = false;
        std::mem::take(&mut self.frames)
    }
}

/// A device that is the guest's end of a link.
pub trait Interface {
    /// The address that the guest's frames come from.
    fn hardware_address(&self) -> [u8; 6];

    /// Maximum bytes of a packet in a frame, in both directions.
    fn mtu(&self) -> u16;

    /// Whether a frame of `bytes` would be accepted now.
    fn fits(&self, bytes: usize) -> bool;

    /// The open TCP connections, according to the frames.
    fn connections(&self) -> &Connections;

    /// Whether the guest has ever sent an IPv6 packet: otherwise it has no such address.
    fn has_version_6(&self) -> bool;
}

/// The guest, as a link sees it.
pub trait GuestPort {
    /// Whether a frame of `bytes` would be accepted now.
    fn fits(&self, bytes: usize) -> bool;

    /// Gives the guest a frame, if it fits; whether it did.
    fn give(&mut self, frame: &[u8]) -> bool;

    /// Records something that the host has done at this moment.
    fn tell(&mut self, body: EventBody);
}

/// The events that a waiting machine may expect from its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expecting {
    /// Nothing.
    #[default]
    Nothing,
    /// A client may connect.
    Connections,
    /// A peer is connected: waits take as long in host time as in guest time, since the peer lives in
    /// host time.
    Bytes,
}

/// The host's end of a guest's network.
///
/// It is called on the thread that runs the machine, between two instructions, and must not block. To
/// deliver input to a sleeping machine, wake it with
/// [`MachineHandle::wake`](crate::machine::MachineHandle::wake).
pub trait Link: Send {
    /// Takes the guest's frames and delivers frames to it.
    fn exchange(&mut self, now: Nanos, sent: Vec<Vec<u8>>, guest: &mut dyn GuestPort);

    /// Whether there is work although the guest has sent nothing. Called often.
    fn is_ready(&self) -> bool;

    /// Guest time at which it must be asked to exchange, if nothing happens before.
    fn deadline(&self) -> Option<Nanos>;

    /// The events that it expects from the host.
    fn expecting(&self) -> Expecting;
}
