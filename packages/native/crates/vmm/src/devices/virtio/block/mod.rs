//! The block device (Virtual I/O 1.2, chapter 5.2): one of the machine's disks, or a slot for one.
//!
//! ```text
//! configuration                              request
//! 0x00 u64 capacity, sectors of 512          u32 type │ u32 0 │ u64 sector │ data… │ u8 status
//! 0x08 u32 most bytes of a segment             0 read   1 write   4 flush   8 serial number
//! 0x0c u32 most segments of a request         11 discard   13 write zeroes: data are segments
//! 0x14 u32 block size                            u64 sector │ u32 sectors │ u32 flags
//! 0x18 u8 log2 physical block / block
//! 0x20 u8 writeback
//! 0x24 u32 most sectors, 0x28 u32 most segments, 0x2c u32 alignment of a discard
//! 0x30 u32 most sectors, 0x34 u32 most segments of zeroes, 0x38 u8 whether they may unmap
//! ```
//! A request takes guest time: a fixed part and a part for its bytes; requests are served one after
//! the other. When its time has come, it is carried out at once. So requests in flight are a list
//! with guest times, which is state like any other: the device never waits, and every run of a
//! guest is the same.
//!
//! An empty slot has a capacity of zero. A disk that is attached to it later is announced by a
//! configuration change.

mod perform;
mod persist;

use std::collections::VecDeque;

use serde::Deserialize;

use super::{
    FEATURE_EVENT_INDEX, FEATURE_INDIRECT, Io, QueueError, Request, VirtioDevice, VirtioMmio,
    WINDOW_BYTES,
};
use crate::devices::{DeviceKind, Node};
use crate::disks::{Access, Attached, MAX_DISKS, SECTOR_BYTES};
use crate::state::StateError;
use crate::time::Nanos;

const FEATURE_SIZE_MAX: u64 = 1 << 1;
const FEATURE_SEG_MAX: u64 = 1 << 2;
const FEATURE_READ_ONLY: u64 = 1 << 5;
const FEATURE_BLOCK_SIZE: u64 = 1 << 6;
const FEATURE_FLUSH: u64 = 1 << 9;
const FEATURE_TOPOLOGY: u64 = 1 << 10;
const FEATURE_DISCARD: u64 = 1 << 13;
const FEATURE_WRITE_ZEROES: u64 = 1 << 14;

/// Descriptors of its queue.
const QUEUE_SIZE: u16 = 128;
/// Segments of a request beside its head and its status.
const MAX_SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;
const MAX_SEGMENT_BYTES: u32 = 64 * 1024;
/// Maximum bytes that one request transfers.
const MAX_DATA_BYTES: u64 = MAX_SEGMENTS as u64 * MAX_SEGMENT_BYTES as u64;
/// Maximum number of ranges of one request to discard or to zero.
const MAX_STRETCHES: u32 = 16;
/// Maximum number of sectors of such a range: 2 GiB.
const MAX_STRETCH_SECTORS: u32 = 1 << 22;
/// log2 of the sectors that are written without reading first.
const PAGE_SECTORS_LOG2: u8 = 3;

/// Guest time that a request takes at least.
const REQUEST_NANOS: Nanos = 10_000;
/// Bytes that are moved in a nanosecond of guest time.
const BYTES_PER_NANO: u64 = 4;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "virtio-blk",
    window_bytes: WINDOW_BYTES,
    node: Node { name: "virtio_mmio", compatible: "virtio,mmio", alias: None, numbers: &[] },
    hardware_id: Some("LNRO0005"),
    make: |description, _making| {
        let Options { number, disk } = description.options_as()?;
        if number as usize >= MAX_DISKS {
            return Err(format!("number: expected less than {MAX_DISKS}, found {number}"));
        }
        let attached = disk.map(Attached::checked).transpose()?;
        Ok(Box::new(VirtioMmio::new(Box::new(Block::new(number, attached)))))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The number of the disk in the machine.
    number: u32,
    /// That disk; none: the device is an empty slot.
    disk: Option<Attached>,
}

/// A disk or a slot, as its driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    number: u32,
    /// Whether it was made without a disk: then its features do not include read-only.
    is_slot: bool,
    attached: Option<Attached>,
    /// Requests that were taken, with the guest times at which they are done; ascending.
    in_work: VecDeque<(Nanos, Request)>,
}

impl Block {
    /// Disk number `number` of the machine, or a slot for it.
    pub fn new(number: u32, attached: Option<Attached>) -> Self {
        Self { number, is_slot: attached.is_none(), attached, in_work: VecDeque::new() }
    }

    fn sectors(&self) -> u64 {
        self.attached.as_ref().map_or(0, |disk| disk.size_bytes / SECTOR_BYTES)
    }

    fn is_read_only(&self) -> bool {
        self.attached.as_ref().is_some_and(|disk| disk.access == Access::Read)
    }

    /// The configuration space.
    fn configuration(&self) -> [u8; 0x3c] {
        let mut space = [0; 0x3c];
        let mut put = |at: usize, bytes: &[u8]| space[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x00, &self.sectors().to_le_bytes());
        put(0x08, &MAX_SEGMENT_BYTES.to_le_bytes());
        put(0x0c, &MAX_SEGMENTS.to_le_bytes());
        put(0x14, &(SECTOR_BYTES as u32).to_le_bytes());
        put(0x18, &[PAGE_SECTORS_LOG2]);
        put(0x20, &[1]);
        put(0x24, &MAX_STRETCH_SECTORS.to_le_bytes());
        put(0x28, &MAX_STRETCHES.to_le_bytes());
        put(0x2c, &(1u32 << PAGE_SECTORS_LOG2).to_le_bytes());
        put(0x30, &MAX_STRETCH_SECTORS.to_le_bytes());
        put(0x34, &MAX_STRETCHES.to_le_bytes());
        put(0x38, &[1]);
        space
    }
}

impl VirtioDevice for Block {
    fn device_id(&self) -> u32 {
        2
    }

    fn features(&self) -> u64 {
        let always = FEATURE_INDIRECT
            | FEATURE_EVENT_INDEX
            | FEATURE_SIZE_MAX
            | FEATURE_SEG_MAX
            | FEATURE_BLOCK_SIZE
            | FEATURE_TOPOLOGY
            | FEATURE_FLUSH;
        if self.is_read_only() && !self.is_slot {
            always | FEATURE_READ_ONLY
        } else {
            always | FEATURE_DISCARD | FEATURE_WRITE_ZEROES
        }
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_configuration(&self, offset: u64, into: &mut [u8]) {
        let space = self.configuration();
        for (byte, at) in into.iter_mut().zip(offset..) {
            *byte = usize::try_from(at).ok().and_then(|at| space.get(at)).copied().unwrap_or(0);
        }
    }

    fn notified(&mut self, io: &mut Io<'_>, queue: usize) -> Result<(), QueueError> {
        while let Some(request) = io.take(queue)? {
            let bytes = request.readable_bytes().saturating_add(request.writable_bytes());
            let before = self.in_work.back().map_or(0, |(at, _)| *at);
            let starts = before.max(io.now().saturating_add(REQUEST_NANOS));
            let moved = bytes.min(MAX_DATA_BYTES) / BYTES_PER_NANO;
            self.in_work.push_back((starts.saturating_add(moved), request));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Nanos> {
        self.in_work.front().map(|(at, _)| *at)
    }

    fn due(&mut self, io: &mut Io<'_>) -> Result<(), QueueError> {
        while let Some((at, _)) = self.in_work.front()
            && *at <= io.now()
            && let Some((_, request)) = self.in_work.pop_front()
        {
            let written = self.perform(io, &request)?;
            io.complete(&request, written)?;
        }
        Ok(())
    }

    fn attach_disk(&mut self, number: usize, disk: &Attached) -> bool {
        if number != self.number as usize || self.attached.is_some() {
            return false;
        }
        self.attached = Some(disk.clone());
        true
    }

    fn reset(&mut self) {
        self.in_work.clear();
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        *self = persist::load(self, state)?;
        Ok(())
    }

    fn fork(&self) -> Box<dyn VirtioDevice> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests;
