//! Devices of the Virtual I/O specification (version 1.2), over memory-mapped registers.

pub mod entropy;
mod mmio;
mod queue;

pub use mmio::{VirtioMmio, WINDOW_BYTES};
pub use queue::{Chain, MAX_QUEUE_SIZE, Queue, QueueError, Segment};

use super::{DeviceContext, Renewal};
use crate::state::StateError;
use crate::time::Nanos;

/// What a device does behind its transport.
pub trait VirtioDevice: Send {
    /// The device's number in the specification.
    fn device_id(&self) -> u32;
    /// Feature bits that the device offers beside those of the transport.
    fn features(&self) -> u64;
    /// How many queues it has.
    fn queue_count(&self) -> usize;
    /// Serves queue `index`, which the driver says has requests. Whether any was completed.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules: the device then needs a reset.
    fn serve(
        &mut self,
        context: &mut DeviceContext<'_>,
        index: usize,
        queue: &mut Queue,
    ) -> Result<bool, QueueError>;
    /// The driver resets the device.
    fn reset(&mut self);
    /// The device's own state.
    fn save(&self) -> Vec<u8>;
    /// Becomes the state that `save` gave.
    ///
    /// # Errors
    /// [`StateError`] if the bytes are not such a state.
    fn load(&mut self, state: &[u8]) -> Result<(), StateError>;
    /// Becomes part of another machine than those that share its past, as of `now`.
    fn renew(&mut self, renewal: &Renewal, now: Nanos) {
        let _ = (renewal, now);
    }
    /// A device in the same state, independent of this one.
    fn fork(&self) -> Box<dyn VirtioDevice>;
}
