//! The entropy device: fills the driver's buffers with random bytes.

mod persist;

use super::{Io, QueueError, VirtioDevice, VirtioMmio, WINDOW_BYTES};
use crate::devices::description::NoOptions;
use crate::devices::{DeviceKind, Node, Renewal};
use crate::random::{RandomStream, Seed};
use crate::state::StateError;
use crate::time::Nanos;

/// The name of the device's stream of randomness.
const STREAM: &str = "entropy device";
/// Maximum bytes for one request. A driver asks again for more.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// Descriptors of its queue.
const QUEUE_SIZE: u16 = 256;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "virtio-rng",
    window_bytes: WINDOW_BYTES,
    node: Node { name: "virtio_mmio", compatible: "virtio,mmio", alias: None, numbers: &[] },
    hardware_id: Some("LNRO0005"),
    make: |description, making| {
        let NoOptions {} = description.options_as()?;
        Ok(Box::new(VirtioMmio::new(Box::new(Entropy::new(making.seed)))))
    },
};

/// A source of randomness for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entropy {
    stream: RandomStream,
}

impl Entropy {
    /// A device that gives random bytes of `seed`.
    pub fn new(seed: Seed) -> Self {
        Self { stream: RandomStream::new(seed, STREAM) }
    }
}

impl VirtioDevice for Entropy {
    fn device_id(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn notified(&mut self, io: &mut Io<'_>, queue: usize) -> Result<(), QueueError> {
        while let Some(request) = io.take(queue)? {
            let most = request.writable_bytes().min(MAX_REQUEST_BYTES);
            let (mut given, mut bytes) = (0, [0; 256]);
            while given < most {
                let part = &mut bytes[..(most - given).min(256) as usize];
                self.stream.fill(part);
                request.write(io.memory(), given, part)?;
                given += part.len() as u64;
            }
            io.complete(&request, given as u32)?;
        }
        Ok(())
    }

    fn reset(&mut self) {}

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        *self = persist::load(state)?;
        Ok(())
    }

    fn renew(&mut self, renewal: &Renewal, _now: Nanos) {
        self.stream.renew(renewal.entropy(), STREAM);
    }

    fn fork(&self) -> Box<dyn VirtioDevice> {
        Box::new(Self { stream: self.stream.continued() })
    }
}

#[cfg(test)]
mod tests;
