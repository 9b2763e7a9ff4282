//! The kinds of devices that there are.

use super::description::{DeviceDescription, DeviceKind};
use super::{goldfish_rtc, ns16550a, virtio, vmgenid};

/// Every kind that this build has.
pub static KINDS: &[DeviceKind] = &[
    ns16550a::KIND,
    goldfish_rtc::KIND,
    virtio::entropy::KIND,
    virtio::block::KIND,
    vmgenid::KIND,
    virtio::net::KIND,
    virtio::console::KIND,
];

impl DeviceDescription {
    /// Its kind, if this build has it.
    pub fn kind_of(&self) -> Option<&'static DeviceKind> {
        KINDS.iter().find(|kind| kind.name == self.kind)
    }
}
