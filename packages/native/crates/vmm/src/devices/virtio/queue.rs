//! The split virtqueue, seen from the device (Virtual I/O 1.2, chapter 2.7).
//!
//! ```text
//! descriptors (driver)   16 bytes each: u64 address │ u32 length │ u16 flags │ u16 next
//! available   (driver)   u16 flags │ u16 index │ u16 ring[size] │ u16 used event
//! used        (device)   u16 flags │ u16 index │ { u32 id │ u32 length }[size] │ u16 available event
//! ```
//! The three lie wherever a hostile driver says, over each other or over buffers. Every access is
//! checked by guest memory; a chain, through an indirect table or not, has at most as many
//! descriptors as the queue; no more requests are in work than the queue has descriptors: loops in
//! the driver's data end.

use super::request::{Request, Segment};
use crate::memory::{GuestMemory, MemoryError};
use crate::state::{StateError, StateReader, StateWriter};

/// Feature: descriptors may name a table of descriptors.
pub const FEATURE_INDIRECT: u64 = 1 << 28;
/// Feature: each side says at which index it wants to hear of the other.
pub const FEATURE_EVENT_INDEX: u64 = 1 << 29;

const DESCRIPTOR_BYTES: u64 = 16;
const FLAG_NEXT: u16 = 1;
const FLAG_WRITE: u16 = 2;
const FLAG_INDIRECT: u16 = 4;
const AVAILABLE_NO_INTERRUPT: u16 = 1;

/// The driver broke the rules of a queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The queue or a buffer is outside memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A descriptor that the table does not have.
    #[error("descriptor {found} of a table of {size}")]
    DescriptorOutOfRange {
        /// The index found.
        found: u16,
        /// Descriptors in the table.
        size: u16,
    },
    /// More descriptors in one chain than the queue has.
    #[error("a chain of more than {size} descriptors")]
    EndlessChain {
        /// Descriptors in the queue.
        size: u16,
    },
    /// An indirect table that was not offered, is in another one, or has no such size.
    #[error("an indirect descriptor of {len} bytes: expected {expected}")]
    Indirect {
        /// The allowed values.
        expected: &'static str,
        /// Bytes of the table.
        len: u32,
    },
    /// A buffer that the device reads behind one that it writes.
    #[error("a readable buffer behind a writable one")]
    OutOfOrder,
    /// More requests available than the queue has room for beside those in work.
    #[error("{found} requests available beside {in_work} in work, in a queue of {size}")]
    TooManyAvailable {
        /// Requests that the index promises.
        found: u16,
        /// Requests that were taken and not completed.
        in_work: u16,
        /// Descriptors in the queue.
        size: u16,
    },
}

struct Descriptor {
    segment: Segment,
    flags: u16,
    next: u16,
}

/// A split virtqueue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// Descriptors, a power of two.
    pub(super) size: u16,
    /// Whether the driver has switched it on.
    pub(super) ready: bool,
    /// Address of the descriptors.
    pub(super) descriptors: u64,
    /// Address of the available ring.
    pub(super) available: u64,
    /// Address of the used ring.
    pub(super) used: u64,
    next_available: u16,
    next_used: u16,
    /// The used index when the driver was interrupted last.
    announced: u16,
    /// Requests that were taken and not completed.
    in_work: u16,
    /// Number of times that the queue was started.
    epoch: u32,
}

impl Queue {
    /// Whether size and addresses are valid, in a queue of at most `most` descriptors. The
    /// specification's alignments hold then.
    pub(super) fn is_valid(&self, most: u16) -> bool {
        self.size.is_power_of_two()
            && self.size <= most
            && self.descriptors.is_multiple_of(16)
            && self.available.is_multiple_of(2)
            && self.used.is_multiple_of(4)
    }

    /// Stops the queue. Size and addresses stay as the driver set them; a restart begins at index 0
    /// and forgets the requests in progress.
    pub(super) fn stop(&mut self) {
        let Self { size, descriptors, available, used, epoch, .. } = *self;
        let epoch = epoch.wrapping_add(1);
        *self = Self { size, descriptors, available, used, epoch, ..Self::default() };
    }

    /// Forgets everything that the driver said.
    pub(super) fn reset(&mut self) {
        *self = Self { epoch: self.epoch.wrapping_add(1), ..Self::default() };
    }

    /// Requests that were taken and not completed.
    pub(super) fn in_work(&self) -> u16 {
        self.in_work
    }

    fn u16_at(memory: &mut dyn GuestMemory, base: u64, offset: u64) -> Result<u16, MemoryError> {
        let mut bytes = [0; 2];
        memory.read(base.wrapping_add(offset), &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Requests that the driver has made available and that were not taken.
    fn waiting(&self, memory: &mut dyn GuestMemory) -> Result<u16, QueueError> {
        let index = Self::u16_at(memory, self.available, 2)?;
        let found = index.wrapping_sub(self.next_available);
        if found > self.size.saturating_sub(self.in_work) {
            let Self { in_work, size, .. } = *self;
            return Err(QueueError::TooManyAvailable { found, in_work, size });
        }
        Ok(found)
    }

    /// Takes the next request, if there is one. Otherwise a driver that counts events is asked to
    /// notify when there is.
    pub(super) fn take(
        &mut self,
        memory: &mut dyn GuestMemory,
        number: u16,
        features: u64,
    ) -> Result<Option<Request>, QueueError> {
        if !self.ready {
            return Ok(None);
        }
        if self.waiting(memory)? == 0 {
            if features & FEATURE_EVENT_INDEX == 0 {
                return Ok(None);
            }
            let event = 4 + 8 * u64::from(self.size);
            memory.write(self.used.wrapping_add(event), &self.next_available.to_le_bytes())?;
            // A driver that made one available meanwhile has not seen the request to notify.
            if self.waiting(memory)? == 0 {
                return Ok(None);
            }
        }
        let entry = 4 + 2 * u64::from(self.next_available % self.size);
        let head = Self::u16_at(memory, self.available, entry)?;
        let mut request = Request {
            queue: number,
            epoch: self.epoch,
            head,
            readable: Vec::new(),
            writable: Vec::new(),
        };
        self.follow(memory, features, &mut request)?;
        self.next_available = self.next_available.wrapping_add(1);
        self.in_work += 1;
        Ok(Some(request))
    }

    /// Collects the buffers of the chain that begins at the request's head.
    fn follow(
        &self,
        memory: &mut dyn GuestMemory,
        features: u64,
        request: &mut Request,
    ) -> Result<(), QueueError> {
        let (mut table, mut size, mut next) = (self.descriptors, self.size, request.head);
        let mut is_indirect = false;
        let mut count = 0;
        loop {
            let Descriptor { segment, flags, next: following } =
                Self::descriptor(memory, table, size, next)?;
            if flags & FLAG_INDIRECT != 0 {
                let refuse = |expected| QueueError::Indirect { expected, len: segment.len };
                if features & FEATURE_INDIRECT == 0 {
                    return Err(refuse("none, for it was not accepted"));
                }
                if is_indirect || flags & FLAG_NEXT != 0 {
                    return Err(refuse("none in another table, and none that has a next"));
                }
                let entries = u64::from(segment.len) / DESCRIPTOR_BYTES;
                let is_whole = u64::from(segment.len).is_multiple_of(DESCRIPTOR_BYTES);
                let Ok(entries @ 1..) = u16::try_from(entries) else {
                    return Err(refuse("1 to 65535 descriptors"));
                };
                if !is_whole {
                    return Err(refuse("whole descriptors"));
                }
                (table, size, next, is_indirect) = (segment.address, entries, 0, true);
                continue;
            }
            count += 1;
            if count > self.size {
                return Err(QueueError::EndlessChain { size: self.size });
            }
            if flags & FLAG_WRITE != 0 {
                request.writable.push(segment);
            } else if request.writable.is_empty() {
                request.readable.push(segment);
            } else {
                return Err(QueueError::OutOfOrder);
            }
            if flags & FLAG_NEXT == 0 {
                return Ok(());
            }
            next = following;
        }
    }

    fn descriptor(
        memory: &mut dyn GuestMemory,
        table: u64,
        size: u16,
        index: u16,
    ) -> Result<Descriptor, QueueError> {
        if index >= size {
            return Err(QueueError::DescriptorOutOfRange { found: index, size });
        }
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        memory.read(table.wrapping_add(u64::from(index) * DESCRIPTOR_BYTES), &mut bytes)?;
        let descriptor = u128::from_le_bytes(bytes);
        let (address, rest) = (descriptor as u64, (descriptor >> 64) as u64);
        Ok(Descriptor {
            segment: Segment { address, len: rest as u32 },
            flags: (rest >> 32) as u16,
            next: (rest >> 48) as u16,
        })
    }

    /// Gives a request back, of which the device wrote `written` bytes; whether the driver wants an
    /// interrupt for it. One from before the queue's latest beginning is forgotten.
    pub(super) fn complete(
        &mut self,
        memory: &mut dyn GuestMemory,
        features: u64,
        request: &Request,
        written: u32,
    ) -> Result<bool, QueueError> {
        if request.epoch != self.epoch || !self.ready || self.in_work == 0 {
            return Ok(false);
        }
        let entry = 4 + 8 * u64::from(self.next_used % self.size);
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(request.head).to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        memory.write(self.used.wrapping_add(entry), &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        self.in_work -= 1;
        memory.write(self.used.wrapping_add(2), &self.next_used.to_le_bytes())?;
        if features & FEATURE_EVENT_INDEX == 0 {
            let flags = Self::u16_at(memory, self.available, 0)?;
            return Ok(flags & AVAILABLE_NO_INTERRUPT == 0);
        }
        let event = Self::u16_at(memory, self.available, 4 + 2 * u64::from(self.size))?;
        // Whether the event lies among those since the latest interrupt.
        let since = self.next_used.wrapping_sub(self.announced);
        let wants = self.next_used.wrapping_sub(event).wrapping_sub(1) < since;
        if wants {
            self.announced = self.next_used;
        }
        Ok(wants)
    }

    /// Appends the state.
    pub(super) fn save(&self, state: &mut StateWriter) {
        state
            .u16(self.size)
            .bool(self.ready)
            .u64(self.descriptors)
            .u64(self.available)
            .u64(self.used)
            .u16(self.next_available)
            .u16(self.next_used)
            .u16(self.announced)
            .u16(self.in_work)
            .u32(self.epoch);
    }

    /// Reads the state of a queue of at most `most` descriptors.
    ///
    /// # Errors
    /// [`StateError`] if the state is missing, or switches on an invalid queue.
    pub(super) fn load(state: &mut StateReader<'_>, most: u16) -> Result<Self, StateError> {
        let queue = Self {
            size: state.u16()?,
            ready: state.bool()?,
            descriptors: state.u64()?,
            available: state.u64()?,
            used: state.u64()?,
            next_available: state.u16()?,
            next_used: state.u16()?,
            announced: state.u16()?,
            in_work: state.u16()?,
            epoch: state.u32()?,
        };
        if queue.ready && !queue.is_valid(most) || queue.in_work > queue.size {
            let expected = "a queue that can work, with no more in work than it has room for";
            return Err(state.refuse(expected, format!("{queue:?}")));
        }
        Ok(queue)
    }
}
