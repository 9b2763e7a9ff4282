//! The generation identifier of a machine, which tells a kernel that its machine was forked or
//! restored.
//!
//! ```text
//! 0x00…0x0f  identifier, read-only; reading its first byte takes the interrupt back
//! ```
//! The identifier changes only in a renewal. The interrupt announces it, and the kernel then mixes
//! the identifier into its random source before anything else is drawn from it. A driver that reads
//! from the first byte on, while a renewal happens, finds the interrupt asserted again.
//!
//! Source: Microsoft, Virtual Machine Generation ID; the device tree binding `microsoft,vmgenid`.

mod persist;

use super::description::NoOptions;
use super::{Device, DeviceContext, DeviceKind, GENERATION_BYTES, Node, Renewal};
use crate::random::{RandomStream, Seed};
use crate::state::StateError;
use crate::time::Nanos;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "vmgenid",
    window_bytes: 0x1000,
    node: Node { name: "rng", compatible: "microsoft,vmgenid", alias: None, numbers: &[] },
    hardware_id: Some("VMGENCTR"),
    make: |description, making| {
        let NoOptions {} = description.options_as()?;
        Ok(Box::new(VmGenId::new(making.seed)))
    },
};

/// A generation identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmGenId {
    identifier: [u8; GENERATION_BYTES],
    has_changed: bool,
}

impl VmGenId {
    /// The identifier that a machine of `seed` begins with.
    pub fn new(seed: Seed) -> Self {
        let mut identifier = [0; GENERATION_BYTES];
        RandomStream::new(seed, "generation identifier").fill(&mut identifier);
        Self { identifier, has_changed: false }
    }
}

impl Device for VmGenId {
    fn read(&mut self, _context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        for (at, byte) in (offset..).zip(into) {
            let at = usize::try_from(at).unwrap_or(GENERATION_BYTES);
            *byte = self.identifier.get(at).copied().unwrap_or(0);
        }
        self.has_changed &= offset != 0;
    }

    fn write(&mut self, _context: &mut DeviceContext<'_>, _offset: u64, _from: &[u8]) {}

    fn interrupt_asserted(&self) -> bool {
        self.has_changed
    }

    fn renew(&mut self, renewal: &Renewal, _now: Nanos) {
        (self.identifier, self.has_changed) = (renewal.generation(), true);
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        *self = persist::load(state)?;
        Ok(())
    }

    fn fork(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::surroundings::Surroundings;

    fn read(device: &mut VmGenId, offset: u64, into: &mut [u8]) {
        let mut around = Surroundings::new(0, 4096);
        let mut context = around.context("vmgenid");
        device.read(&mut context, offset, into);
    }

    #[test]
    fn a_change_is_announced_until_it_is_read_from_the_beginning() {
        let mut device = VmGenId::new(Seed::from_number(1));
        assert!(!device.interrupt_asserted());
        let renewal = Renewal::new(&[1; 32], &[9; 16], 0).expect("lengths");
        device.renew(&renewal, 0);
        assert!(device.interrupt_asserted());
        let mut bytes = [0; 8];
        read(&mut device, 8, &mut bytes);
        assert!(device.interrupt_asserted());
        read(&mut device, 0, &mut bytes);
        assert_eq!((bytes, device.interrupt_asserted()), ([9; 8], false));
        // Overtaken between its two halves.
        device.renew(&Renewal::new(&[1; 32], &[8; 16], 0).expect("lengths"), 0);
        read(&mut device, 8, &mut bytes);
        assert!(device.interrupt_asserted());
        let mut other = VmGenId::new(Seed::Host);
        other.load(&device.save()).expect("same");
        assert_eq!(other, device);
        assert!(other.load(&device.save()[1..]).is_err());
    }

    #[test]
    fn what_is_beyond_the_identifier_is_zero() {
        let mut device = VmGenId::new(Seed::from_number(1));
        let mut bytes = [1; 8];
        read(&mut device, 16, &mut bytes);
        assert_eq!(bytes, [0; 8]);
        read(&mut device, KIND.window_bytes - 8, &mut bytes);
        assert_eq!(bytes, [0; 8]);
    }
}
