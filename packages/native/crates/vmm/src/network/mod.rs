//! What stands between a guest's network interface and the host: frames, and who takes them.
//!
//! ```text
//!  guest ── virtio-net ──▶ Outbox ──▶ ┌──────┐
//!    ▲                                │ Link │ ◀──▶ the host's sockets
//!    └── HostInput events ◀───────────└──────┘
//! ```
//! A link is no part of a machine: it has no state that is saved or forked, and what it gives the
//! guest is recorded at the guest time at which it was given, as whole Ethernet frames. A machine
//! without a link has an interface at which nobody answers. Whether there is one, and what it does
//! with the guest's frames, changes nothing that the guest could notice but by what it is given.

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

/// Most bytes of a frame: an Ethernet header and the largest packet of the Internet protocols.
pub const MAX_FRAME_BYTES: usize = ETHERNET_HEADER_BYTES + 65_535;

/// Most bytes of frames that wait for the link. The machine looks after each of the guest's
/// notifications, so only a guest that means harm ever has as many.
const OUTBOX_BYTES: usize = 4 << 20;

/// Frames that the guest has sent and no link has taken yet: never more than those of one
/// notification, and none between two instructions at which a machine stands still.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: Vec<Vec<u8>>,
    bytes: usize,
    is_linked: bool,
    has_room_again: bool,
    /// What has happened by frames that no event records yet: to be told behind that event.
    caused: Vec<EventBody>,
}

impl Outbox {
    /// Keeps what has happened by a frame that the guest was given, until the frame is recorded.
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

    /// Whether the link has something to look at.
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

    /// Most bytes of a packet in a frame, in both directions.
    fn mtu(&self) -> u16;

    /// Whether a frame of `bytes` would be taken now.
    fn fits(&self, bytes: usize) -> bool;

    /// The TCP connections that frames have told of and not ended.
    fn connections(&self) -> &Connections;

    /// Whether the guest has ever sent a packet of version 6: one that never did has no such address.
    fn has_version_6(&self) -> bool;
}

/// The guest, as a link sees it.
pub trait GuestPort {
    /// Whether a frame of `bytes` would be taken now.
    fn fits(&self, bytes: usize) -> bool;

    /// Gives the guest a frame, if it fits; whether it did.
    fn give(&mut self, frame: &[u8]) -> bool;

    /// Records something that the host has done at this moment.
    fn tell(&mut self, body: EventBody);
}

/// What a machine that waits may expect of its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expecting {
    /// Nothing.
    #[default]
    Nothing,
    /// Somebody may connect.
    Connections,
    /// Somebody is connected: waits take as long in host time as in guest time, since the peer lives
    /// in host time.
    Bytes,
}

/// The host's end of a guest's network.
///
/// It is called on the thread that runs the machine, between two instructions, and must not block.
/// Whoever has something for a machine that sleeps wakes it with
/// [`MachineHandle::wake`](crate::machine::MachineHandle::wake).
pub trait Link: Send {
    /// Takes what the guest has sent and gives it what there is for it.
    fn exchange(&mut self, now: Nanos, sent: Vec<Vec<u8>>, guest: &mut dyn GuestPort);

    /// Whether there is something to exchange although the guest has sent nothing. Asked often.
    fn is_ready(&self) -> bool;

    /// Guest time at which it must be asked to exchange, if nothing happens before.
    fn deadline(&self) -> Option<Nanos>;

    /// What it expects of the host.
    fn expecting(&self) -> Expecting;
}
