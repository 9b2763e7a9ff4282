//! The split virtqueue, seen from the device.
//!
//! ```text
//! descriptors (driver)   16 bytes each: u64 address │ u32 length │ u16 flags │ u16 next
//! available   (driver)   u16 flags │ u16 index │ u16 ring[size]
//! used        (device)   u16 flags │ u16 index │ { u32 id │ u32 length }[size]
//! ```
//! The three lie wherever a hostile driver says. Every access is checked by guest memory, a chain
//! has at most as many descriptors as the queue, and one visit takes at most as many chains as
//! the queue holds: loops in the driver's data end.

use crate::memory::{GuestMemory, MemoryError};
use crate::state::{StateError, StateReader, StateWriter};

/// Largest size of a queue.
pub const MAX_QUEUE_SIZE: u16 = 256;

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
    /// A descriptor that the queue does not have.
    #[error("descriptor {found} of a queue of {size}")]
    DescriptorOutOfRange {
        /// The index found.
        found: u16,
        /// Descriptors in the queue.
        size: u16,
    },
    /// More descriptors in one chain than the queue has.
    #[error("a chain of more than {size} descriptors")]
    EndlessChain {
        /// Descriptors in the queue.
        size: u16,
    },
    /// An indirect table although the feature was not offered.
    #[error("an indirect descriptor, which was not offered")]
    Indirect,
    /// More chains available than the queue can hold.
    #[error("{found} chains available in a queue of {size}")]
    TooManyAvailable {
        /// Chains that the index promises.
        found: u16,
        /// Descriptors in the queue.
        size: u16,
    },
}

/// One buffer of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// Whether the device writes it.
    pub writable: bool,
}

/// A request of the driver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Index of its first descriptor.
    pub head: u16,
    /// Its buffers, in order.
    pub segments: Vec<Segment>,
}

/// A split virtqueue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// Descriptors, a power of two up to [`MAX_QUEUE_SIZE`].
    pub size: u16,
    /// Whether the driver has switched it on.
    pub ready: bool,
    /// Where the descriptors are.
    pub descriptors: u64,
    /// Where the available ring is.
    pub available: u64,
    /// Where the used ring is.
    pub used: u64,
    next_available: u16,
    next_used: u16,
}

impl Queue {
    /// Whether size and places can be worked with. The specification's alignments hold then.
    pub fn is_valid(&self) -> bool {
        self.size.is_power_of_two()
            && self.size <= MAX_QUEUE_SIZE
            && self.descriptors.is_multiple_of(16)
            && self.available.is_multiple_of(2)
            && self.used.is_multiple_of(4)
    }

    /// Stops the queue. Size and places stay as the driver set them; it begins anew when it is
    /// switched on again.
    pub fn stop(&mut self) {
        (self.ready, self.next_available, self.next_used) = (false, 0, 0);
    }

    fn read_u16(memory: &mut dyn GuestMemory, base: u64, offset: u64) -> Result<u16, MemoryError> {
        let mut bytes = [0; 2];
        memory.read(base.wrapping_add(offset), &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// The next request, if there is one.
    ///
    /// # Errors
    /// [`QueueError`] if the driver broke the rules.
    pub fn pop(&mut self, memory: &mut dyn GuestMemory) -> Result<Option<Chain>, QueueError> {
        if !self.ready || !self.is_valid() {
            return Ok(None);
        }
        let index = Self::read_u16(memory, self.available, 2)?;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.size {
            return Err(QueueError::TooManyAvailable { found: waiting, size: self.size });
        }
        let entry = 4 + 2 * u64::from(self.next_available % self.size);
        let head = Self::read_u16(memory, self.available, entry)?;
        let mut segments = Vec::new();
        let mut next = head;
        loop {
            if next >= self.size {
                return Err(QueueError::DescriptorOutOfRange { found: next, size: self.size });
            }
            if segments.len() >= usize::from(self.size) {
                return Err(QueueError::EndlessChain { size: self.size });
            }
            let mut bytes = [0; DESCRIPTOR_BYTES as usize];
            let at = self.descriptors.wrapping_add(u64::from(next) * DESCRIPTOR_BYTES);
            memory.read(at, &mut bytes)?;
            let descriptor = u128::from_le_bytes(bytes);
            let (address, rest) = (descriptor as u64, (descriptor >> 64) as u64);
            let flags = (rest >> 32) as u16;
            if flags & FLAG_INDIRECT != 0 {
                return Err(QueueError::Indirect);
            }
            let writable = flags & FLAG_WRITE != 0;
            segments.push(Segment { address, len: rest as u32, writable });
            if flags & FLAG_NEXT == 0 {
                break;
            }
            next = (rest >> 48) as u16;
        }
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(Chain { head, segments }))
    }

    /// Gives a request back, of which the device wrote `len` bytes.
    ///
    /// # Errors
    /// [`QueueError`] if the used ring is outside memory.
    pub fn push(
        &mut self,
        memory: &mut dyn GuestMemory,
        head: u16,
        len: u32,
    ) -> Result<(), QueueError> {
        let entry = 4 + 8 * u64::from(self.next_used % self.size.max(1));
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        element[4..].copy_from_slice(&len.to_le_bytes());
        memory.write(self.used.wrapping_add(entry), &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        memory.write(self.used.wrapping_add(2), &self.next_used.to_le_bytes())?;
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was given back.
    ///
    /// # Errors
    /// [`QueueError`] if the available ring is outside memory.
    pub fn wants_interrupt(&self, memory: &mut dyn GuestMemory) -> Result<bool, QueueError> {
        Ok(Self::read_u16(memory, self.available, 0)? & AVAILABLE_NO_INTERRUPT == 0)
    }

    /// Appends the state.
    pub fn save(&self, state: &mut StateWriter) {
        state
            .u16(self.size)
            .bool(self.ready)
            .u64(self.descriptors)
            .u64(self.available)
            .u64(self.used)
            .u16(self.next_available)
            .u16(self.next_used);
    }

    /// Reads the state.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        Ok(Self {
            size: state.u16()?,
            ready: state.bool()?,
            descriptors: state.u64()?,
            available: state.u64()?,
            used: state.u64()?,
            next_available: state.u16()?,
            next_used: state.u16()?,
        })
    }
}
