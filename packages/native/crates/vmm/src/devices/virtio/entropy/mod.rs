//! The entropy device: fills the driver's buffers with random bytes.

mod persist;

use super::{Queue, QueueError, VirtioDevice, VirtioMmio, WINDOW_BYTES};
use crate::devices::description::NoOptions;
use crate::devices::{DeviceContext, DeviceKind, Node, Renewal};
use crate::event::EventBody;
use crate::random::{RandomStream, Seed};
use crate::state::StateError;
use crate::time::Nanos;

/// What the device's randomness is for.
const STREAM: &str = "entropy device";
/// Most bytes given for one request. A driver asks again for more.
const MAX_REQUEST_BYTES: u32 = 64 * 1024;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "virtio-rng",
    window_bytes: WINDOW_BYTES,
    node: Node { name: "virtio_mmio", compatible: "virtio,mmio", alias: None, numbers: &[] },
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

    fn queue_count(&self) -> usize {
        1
    }

    fn serve(
        &mut self,
        context: &mut DeviceContext<'_>,
        _index: usize,
        queue: &mut Queue,
    ) -> Result<bool, QueueError> {
        let mut served = false;
        for _ in 0..queue.size {
            let Some(chain) = queue.pop(context.memory)? else { break };
            if !served {
                context.events.push(EventBody::IoStarted { device: context.name.to_owned() });
            }
            served = true;
            let mut given = 0;
            let mut bytes = [0; 256];
            for segment in chain.segments.iter().filter(|segment| segment.writable) {
                let len = segment.len.min(MAX_REQUEST_BYTES - given);
                let mut done = 0;
                while done < len {
                    let part = &mut bytes[..(len - done).min(256) as usize];
                    self.stream.fill(part);
                    let at = segment.address.wrapping_add(u64::from(done));
                    if let Err(error) = context.memory.write(at, part) {
                        context
                            .events
                            .push(EventBody::IoSettled { device: context.name.to_owned() });
                        return Err(error.into());
                    }
                    done += part.len() as u32;
                }
                given += len;
            }
            queue.push(context.memory, chain.head, given)?;
        }
        if served {
            context.events.push(EventBody::IoSettled { device: context.name.to_owned() });
        }
        Ok(served)
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
