//! The network interface (Virtual I/O 1.2, chapter 5.1): frames out of one queue, frames into the
//! buffers of another.
//!
//! ```text
//! configuration  0x00 hardware address (6)  0x06 status  0x08 pairs of queues  0x0a MTU
//! queue 0  receives    queue 1  sends
//! before each frame  u8 flags │ u8 segmentation │ u16 header │ u16 segment
//!                    u16 checksum from │ u16 checksum at │ u16 buffers
//! ```
//! The interface takes and holds receive buffers when the driver offers them. The guest's input
//! then depends on them alone, and whether a frame fits can be asked without changing state. A
//! frame over the MTU, or one that the driver describes wrongly, is dropped.

mod persist;

use std::collections::VecDeque;

use serde::Deserialize;

use super::{FEATURE_EVENT_INDEX, Io, QueueError, Request, VirtioDevice, VirtioMmio, WINDOW_BYTES};
use crate::devices::{DeviceKind, InputFull, Node};
use crate::network::{Connections, ETHERNET_HEADER_BYTES, Interface, Traffic, is_of_version_6};
use crate::state::{StateError, StateVersions};

const RECEIVE: usize = 0;
const SEND: usize = 1;
/// Descriptors of each queue.
const QUEUE_SIZE: u16 = 256;

/// Bytes of the header before a frame.
const HEADER_BYTES: usize = 12;
const FEATURE_CHECKSUM: u64 = 1;
const FEATURE_GUEST_CHECKSUM: u64 = 1 << 1;
const FEATURE_MTU: u64 = 1 << 3;
const FEATURE_ADDRESS: u64 = 1 << 5;
const FEATURE_MERGED_BUFFERS: u64 = 1 << 15;
/// A frame's checksum is for the device to complete.
const FLAG_NEEDS_CHECKSUM: u8 = 1;
/// A frame's checksums were checked.
const FLAG_CHECKED: u8 = 2;

/// Least MTU: what every network of the Internet protocol carries.
pub const MIN_MTU: u16 = 576;
/// Most MTU: the largest packet.
pub const MAX_MTU: u16 = 65_535;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "virtio-net",
    window_bytes: WINDOW_BYTES,
    node: Node { name: "virtio_mmio", compatible: "virtio,mmio", alias: None, numbers: &[] },
    hardware_id: Some("LNRO0005"),
    make: |description, _making| {
        let Options { address, mtu } = description.options_as()?;
        if address[0] & 1 != 0 || address == [0; 6] {
            return Err(format!("address: expected one interface's, found {address:02x?}"));
        }
        if mtu < MIN_MTU {
            return Err(format!("mtu: expected {MIN_MTU} to {MAX_MTU}, found {mtu}"));
        }
        Ok(Box::new(VirtioMmio::new(Box::new(Net::new(address, mtu)))))
    },
};

/// The options of an interface.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    /// The interface's hardware address.
    pub(crate) address: [u8; 6],
    /// Maximum bytes of a packet.
    pub(crate) mtu: u16,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    address: [u8; 6],
    mtu: u16,
    /// The driver has accepted that a frame lies in several buffers.
    is_merging: bool,
    /// Buffers to receive into.
    held: VecDeque<Request>,
    connections: Connections,
    /// The guest has sent a packet of version 6.
    has_version_6: bool,
}

impl Net {
    /// An interface with this hardware address, whose packets have at most `mtu` bytes.
    pub fn new(address: [u8; 6], mtu: u16) -> Self {
        let (held, connections) = (VecDeque::new(), Connections::default());
        Self { address, mtu, is_merging: false, held, connections, has_version_6: false }
    }

    fn most_frame_bytes(&self) -> usize {
        ETHERNET_HEADER_BYTES + usize::from(self.mtu)
    }

    fn hold_buffers(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        self.is_merging = io.features() & FEATURE_MERGED_BUFFERS != 0;
        while let Some(request) = io.take(RECEIVE)? {
            self.held.push_back(request);
            io.network().room_made();
        }
        Ok(())
    }

    /// Number of held buffers that a frame of `bytes` needs. `None` if there are not enough.
    fn buffers_for(&self, bytes: usize) -> Option<usize> {
        let whole = (HEADER_BYTES + bytes) as u64;
        if !self.is_merging {
            // One buffer each; bytes that do not fit into it are lost.
            return (!self.held.is_empty()).then_some(1);
        }
        let mut room = 0u64;
        self.held.iter().zip(1..).find_map(|(request, count)| {
            room = room.saturating_add(request.writable_bytes());
            (room >= whole).then_some(count)
        })
    }

    fn send(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        while let Some(request) = io.take(SEND)? {
            let bytes = request.readable_bytes();
            let most = (HEADER_BYTES + self.most_frame_bytes()) as u64;
            if ((HEADER_BYTES + ETHERNET_HEADER_BYTES) as u64..=most).contains(&bytes) {
                let mut header = [0; HEADER_BYTES];
                request.read(io.memory(), 0, &mut header)?;
                let mut frame = vec![0; bytes as usize - HEADER_BYTES];
                request.read(io.memory(), HEADER_BYTES as u64, &mut frame)?;
                if completed(&header, &mut frame) {
                    self.has_version_6 |= is_of_version_6(&frame);
                    for event in self.connections.sent(&frame) {
                        io.tell(event);
                    }
                    io.network().push(frame);
                }
            }
            io.complete(&request, 0)?;
        }
        Ok(())
    }
}

/// Does the work that the driver's header leaves to the device; returns whether it could.
fn completed(header: &[u8; HEADER_BYTES], frame: &mut [u8]) -> bool {
    let [flags, segmentation, _, _, _, _, from_low, from_high, at_low, at_high, ..] = *header;
    if segmentation != 0 {
        return false;
    }
    if flags & FLAG_NEEDS_CHECKSUM == 0 {
        return true;
    }
    let from = usize::from(u16::from_le_bytes([from_low, from_high]));
    let at = from + usize::from(u16::from_le_bytes([at_low, at_high]));
    let Some(covered) = frame.get(from..) else { return false };
    let mut sum = covered.chunks(2).fold(0u64, |sum, word| {
        sum + (u64::from(word[0]) << 8) + word.get(1).map_or(0, |low| u64::from(*low))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // A sum of zero is written in its other form, because zero means that there is no checksum.
    let checksum = match !(sum as u16) {
        0 => 0xffff,
        other => other,
    };
    let Some(place) = frame.get_mut(at..at + 2) else { return false };
    place.copy_from_slice(&checksum.to_be_bytes());
    true
}

impl Interface for Net {
    fn hardware_address(&self) -> [u8; 6] {
        self.address
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn fits(&self, bytes: usize) -> bool {
        self.buffers_for(bytes).is_some()
    }

    fn connections(&self) -> &Connections {
        &self.connections
    }

    fn has_version_6(&self) -> bool {
        self.has_version_6
    }
}

impl VirtioDevice for Net {
    fn device_id(&self) -> u32 {
        1
    }

    fn features(&self) -> u64 {
        FEATURE_CHECKSUM
            | FEATURE_GUEST_CHECKSUM
            | FEATURE_MTU
            | FEATURE_ADDRESS
            | FEATURE_MERGED_BUFFERS
            | FEATURE_EVENT_INDEX
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE, QUEUE_SIZE]
    }

    fn read_configuration(&self, offset: u64, into: &mut [u8]) {
        let mut configuration = [0; 12];
        configuration[..6].copy_from_slice(&self.address);
        // The status, link up, and one pair of queues.
        configuration[6] = 1;
        configuration[8] = 1;
        configuration[10..].copy_from_slice(&self.mtu.to_le_bytes());
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(configuration.len());
        let there = &configuration[from..];
        let count = there.len().min(into.len());
        into.fill(0);
        into[..count].copy_from_slice(&there[..count]);
    }

    fn notified(&mut self, io: &mut Io<'_>, queue: usize) -> Result<(), QueueError> {
        match queue {
            RECEIVE => self.hold_buffers(io),
            SEND => self.send(io),
            _ => Ok(()),
        }
    }

    fn as_interface(&self) -> Option<&dyn Interface> {
        Some(self)
    }

    fn accept_frame(
        &mut self,
        io: &mut Io<'_>,
        frame: &[u8],
    ) -> Result<Option<Result<(), InputFull>>, QueueError> {
        let Some(count) = self.buffers_for(frame.len()) else {
            return Ok(Some(Err(InputFull { room: 0 })));
        };
        let mut whole = vec![0; HEADER_BYTES];
        if io.features() & FEATURE_GUEST_CHECKSUM != 0 {
            whole[0] = FLAG_CHECKED;
        }
        whole[10..12].copy_from_slice(&(count as u16).to_le_bytes());
        whole.extend(frame);
        let room: u64 = self.held.iter().take(count).map(Request::writable_bytes).sum();
        if frame.len() > self.most_frame_bytes() || room < whole.len() as u64 {
            return Ok(Some(Ok(())));
        }
        io.network().caused(self.connections.given(frame));
        let mut rest = &whole[..];
        for request in self.held.drain(..count) {
            let written = request.write(io.memory(), 0, rest)?;
            io.complete(&request, written as u32)?;
            rest = &rest[written..];
        }
        Ok(Some(Ok(())))
    }

    fn queue_stopped(&mut self, queue: usize) {
        if queue == RECEIVE {
            self.held.clear();
        }
    }

    fn works_on_requests(&self) -> bool {
        false
    }

    fn connections_open(&self) -> u64 {
        self.connections.open()
    }

    fn take_traffic(&mut self) -> Traffic {
        self.connections.take_traffic()
    }

    fn state_versions(&self) -> StateVersions {
        persist::VERSIONS
    }

    fn reset(&mut self) {
        self.held.clear();
        self.is_merging = false;
        self.connections = Connections::default();
        self.has_version_6 = false;
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        persist::load(self, state)
    }

    fn fork(&self) -> Box<dyn VirtioDevice> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
