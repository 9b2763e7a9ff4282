//! Devices of the Virtual I/O specification (version 1.2), over memory-mapped registers.
//!
//! ```text
//!  driver ──registers──▶ VirtioMmio ──notified, due, configuration──▶ VirtioDevice
//!     ▲                      │  ▲                                          │
//!     │ interrupt            │  └──── Io: take, complete, configuration ───┘
//!     └── rings ◀── Queue ◀──┘             changed
//! ```
//! A device takes requests out of its queues and completes them at any time and in any order: at
//! once, or when guest time reaches its deadline. Requests in progress are part of its state. The
//! transport owns the rings, feature negotiation, interrupts and resets. A driver that breaks the
//! rules finds a device that needs a reset, and a reset in the middle of a request leaves the
//! device in its initial state.

pub mod block;
pub mod console;
pub mod entropy;
mod io;
mod mmio;
pub mod net;
mod queue;
mod request;

pub use io::Io;
pub use mmio::{VirtioMmio, WINDOW_BYTES};
pub use queue::{FEATURE_EVENT_INDEX, FEATURE_INDIRECT, QueueError};
pub use request::{Request, Segment};

use super::{InputFull, Renewal};
use crate::disks::Attached;
use crate::network::{Interface, Traffic};
use crate::state::{StateError, StateVersions};
use crate::time::Nanos;

/// A device behind its transport.
pub trait VirtioDevice: Send {
    /// The device's number in the specification.
    fn device_id(&self) -> u32;

    /// Feature bits that the device offers beside version 1, [`FEATURE_INDIRECT`] and
    /// [`FEATURE_EVENT_INDEX`] included if it wants them.
    fn features(&self) -> u64;

    /// Maximum number of descriptors of each of its queues, powers of two.
    fn queue_sizes(&self) -> &[u16];

    /// Whether the driver may use the device with these features.
    fn accepts(&self, features: u64) -> bool {
        let _ = features;
        true
    }

    /// Reads its configuration space from `offset` on; bytes outside it are zero.
    fn read_configuration(&self, offset: u64, into: &mut [u8]) {
        let _ = offset;
        into.fill(0);
    }

    /// The driver writes to its configuration space.
    fn write_configuration(&mut self, io: &mut Io<'_>, offset: u64, from: &[u8]) {
        let _ = (io, offset, from);
    }

    /// The driver says that queue number `queue` has requests.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules: the device then needs a reset.
    fn notified(&mut self, io: &mut Io<'_>, queue: usize) -> Result<(), QueueError>;

    /// The time of the device's next work, if any. `None` while the driver has not started it.
    fn deadline(&self) -> Option<Nanos> {
        None
    }

    /// Does the work that is due at `io.now()`. A second call at the same time has no effect.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules: the device then needs a reset.
    fn due(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        let _ = io;
        Ok(())
    }

    /// Attaches the machine's disk number `number`, if the device is the empty slot for it; returns
    /// whether it is. The driver then gets a configuration change.
    fn attach_disk(&mut self, number: usize, disk: &Attached) -> bool {
        let _ = (number, disk);
        false
    }

    /// The device as a network interface, if it is one.
    fn as_interface(&self) -> Option<&dyn Interface> {
        None
    }

    /// Takes a frame that the host has for the guest. `None`: this device is no network interface.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules: the device then needs a reset.
    fn accept_frame(
        &mut self,
        io: &mut Io<'_>,
        frame: &[u8],
    ) -> Result<Option<Result<(), InputFull>>, QueueError> {
        let _ = (io, frame);
        Ok(None)
    }

    /// Takes bytes that the host has for the agent. `None`: this device is not the agent's channel.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules: the device then needs a reset.
    fn accept_on_channel(
        &mut self,
        io: &mut Io<'_>,
        bytes: &[u8],
    ) -> Result<Option<Result<(), InputFull>>, QueueError> {
        let _ = (io, bytes);
        Ok(None)
    }

    /// Number of open connections over a network interface.
    fn connections_open(&self) -> u64 {
        0
    }

    /// Bytes over a network interface's connections since the last call.
    fn take_traffic(&mut self) -> Traffic {
        Traffic::default()
    }

    /// Whether a request that was taken and not completed counts as work, which events report. A
    /// network interface always holds buffers of the driver's, without any work.
    fn works_on_requests(&self) -> bool {
        true
    }

    /// The driver has switched a queue off: requests taken from it must not be completed, nor their
    /// buffers touched.
    fn queue_stopped(&mut self, queue: usize) {
        let _ = queue;
    }

    /// Forgets the driver's settings and the requests in progress: at a reset, and when the driver
    /// has broken the rules.
    fn reset(&mut self);

    /// Becomes part of another machine than those that share its past, as of `now`.
    fn renew(&mut self, renewal: &Renewal, now: Nanos) {
        let _ = (renewal, now);
    }

    /// The versions of the device's own saved state.
    fn state_versions(&self) -> StateVersions {
        StateVersions::FIRST
    }

    /// The device's own state, requests in work included.
    fn save(&self) -> Vec<u8>;

    /// Becomes the state that `save` gave.
    ///
    /// # Errors
    /// [`StateError`] if the bytes are not such a state.
    fn load(&mut self, state: &[u8]) -> Result<(), StateError>;

    /// A device in the same state, independent of this one.
    fn fork(&self) -> Box<dyn VirtioDevice>;
}
