//! The actions of a driver, on a device with one queue that it gives buffers to.

use super::super::*;
use crate::devices::surroundings::Surroundings;
use crate::devices::virtio::entropy::Entropy;
use crate::random::Seed;

pub(in crate::devices::virtio) const BASE: u64 = 0x8000_0000;

/// A device of the transport, its memory, and what a driver does with them; an entropy device if none is named.
pub(in crate::devices::virtio) struct Bench {
    pub(in crate::devices::virtio) around: Surroundings,
    pub(in crate::devices::virtio) device: VirtioMmio,
}

impl Bench {
    pub(in crate::devices::virtio) fn new() -> Self {
        Self::with(Box::new(Entropy::new(Seed::from_number(7))))
    }

    pub(in crate::devices::virtio) fn with(device: Box<dyn VirtioDevice>) -> Self {
        Self { around: Surroundings::new(BASE, 1 << 20), device: VirtioMmio::new(device) }
    }

    pub(in crate::devices::virtio) fn at<R>(
        &mut self,
        act: impl FnOnce(&mut VirtioMmio, &mut DeviceContext<'_>) -> R,
    ) -> R {
        let mut context = self.around.context("entropy");
        act(&mut self.device, &mut context)
    }

    pub(in crate::devices::virtio) fn write(&mut self, offset: u64, value: u32) {
        self.at(|device, context| device.write(context, offset, &value.to_le_bytes()));
    }

    pub(in crate::devices::virtio) fn read(&mut self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.at(|device, context| device.read(context, offset, &mut bytes));
        u32::from_le_bytes(bytes)
    }

    /// The actions of a driver before its first request.
    pub(in crate::devices::virtio) fn start(&mut self) {
        self.write(0x070, 3);
        self.write(0x024, 1);
        self.write(0x020, 1);
        self.write(0x070, 3 | STATUS_FEATURES_OK);
        self.write(0x038, 8);
        self.write(0x080, BASE as u32);
        self.write(0x090, BASE as u32 + 0x1000);
        self.write(0x0a0, BASE as u32 + 0x2000);
        self.write(0x044, 1);
        self.write(0x070, 3 | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
    }

    pub(in crate::devices::virtio) fn descriptor(
        &mut self,
        index: u64,
        address: u64,
        len: u32,
        flags: u16,
        next: u16,
    ) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.around.memory.write(BASE + index * 16, &bytes).expect("in range");
    }

    pub(in crate::devices::virtio) fn offer(&mut self, index: u16, heads: &[u16]) {
        let mut bytes = vec![0, 0];
        bytes.extend(index.to_le_bytes());
        bytes.extend(heads.iter().flat_map(|head| head.to_le_bytes()));
        self.around.memory.write(BASE + 0x1000, &bytes).expect("in range");
    }
}
