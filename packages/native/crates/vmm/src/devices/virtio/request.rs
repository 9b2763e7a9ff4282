//! A request of a driver's: the buffers of one descriptor chain.

use crate::memory::{GuestMemory, MemoryError};
use crate::state::{StateError, StateReader, StateWriter};

/// A buffer in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
}

/// A request that a device has taken and not yet completed. Its buffers are as the driver said:
/// they lie anywhere, and may overlap each other and the rings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The queue that it came from.
    pub(super) queue: u16,
    /// The start of the queue that it belongs to: completing a request from before a reset does
    /// nothing.
    pub(super) epoch: u32,
    /// Index of its first descriptor.
    pub(super) head: u16,
    /// The buffers that the device reads.
    pub(super) readable: Vec<Segment>,
    /// The buffers that the device writes.
    pub(super) writable: Vec<Segment>,
}

impl Request {
    /// The number of the queue that it came from.
    pub fn queue(&self) -> usize {
        usize::from(self.queue)
    }

    /// Bytes that the device can read.
    pub fn readable_bytes(&self) -> u64 {
        self.readable.iter().map(|segment| u64::from(segment.len)).sum()
    }

    /// Bytes that the device can write.
    pub fn writable_bytes(&self) -> u64 {
        self.writable.iter().map(|segment| u64::from(segment.len)).sum()
    }

    /// Reads from `offset` bytes into the readable buffers on; how many bytes there were, at most
    /// those of `into`.
    ///
    /// # Errors
    /// [`MemoryError`] if a buffer is not in memory.
    pub fn read(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u64,
        into: &mut [u8],
    ) -> Result<usize, MemoryError> {
        let mut done = 0;
        for (address, len) in pieces(&self.readable, offset, into.len()) {
            memory.read(address, &mut into[done..done + len])?;
            done += len;
        }
        Ok(done)
    }

    /// Writes from `offset` bytes into the writable buffers on; how many bytes there was room for,
    /// at most those of `from`.
    ///
    /// # Errors
    /// [`MemoryError`] if a buffer is not in memory.
    pub fn write(
        &self,
        memory: &mut dyn GuestMemory,
        offset: u64,
        from: &[u8],
    ) -> Result<usize, MemoryError> {
        let mut done = 0;
        for (address, len) in pieces(&self.writable, offset, from.len()) {
            memory.write(address, &from[done..done + len])?;
            done += len;
        }
        Ok(done)
    }

    /// Appends the request, for the state of a device that has it in work.
    pub fn save(&self, state: &mut StateWriter) {
        state.u16(self.queue).u32(self.epoch).u16(self.head);
        for segments in [&self.readable, &self.writable] {
            state.u32(segments.len() as u32);
            for segment in segments {
                state.u64(segment.address).u32(segment.len);
            }
        }
    }

    /// Reads what `save` wrote.
    ///
    /// # Errors
    /// [`StateError`] if the state is missing.
    pub fn load(state: &mut StateReader<'_>) -> Result<Self, StateError> {
        let (queue, epoch, head) = (state.u16()?, state.u32()?, state.u16()?);
        let mut segments = || -> Result<Vec<Segment>, StateError> {
            let count = state.u32()?;
            // Each takes bytes of the state, so a count that is too large ends with them.
            (0..count).map(|_| Ok(Segment { address: state.u64()?, len: state.u32()? })).collect()
        };
        Ok(Self { queue, epoch, head, readable: segments()?, writable: segments()? })
    }
}

/// The parts of `segments` that hold up to `len` bytes from `offset` on: address and length.
fn pieces(
    segments: &[Segment],
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, usize)> + '_ {
    let (mut skip, mut rest) = (offset, len);
    segments.iter().filter_map(move |segment| {
        let skipped = skip.min(u64::from(segment.len));
        skip -= skipped;
        let take = (u64::from(segment.len) - skipped).min(rest as u64) as usize;
        rest -= take;
        (take > 0).then(|| (segment.address.wrapping_add(skipped), take))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::PagedMemory;
    use proptest::prelude::*;

    proptest! {
        /// However a driver cuts its buffers, a device reads and writes one stretch of bytes.
        #[test]
        fn buffers_are_one_stretch(
            lens in proptest::collection::vec(0..40u32, 0..8),
            offset in 0..200u64,
            len in 0..200usize,
        ) {
            let mut memory = PagedMemory::new(0, 1 << 16);
            let segments: Vec<_> = lens
                .iter()
                .zip((0..).step_by(64))
                .map(|(len, address)| Segment { address, len: *len })
                .collect();
            let request = Request {
                queue: 0,
                epoch: 0,
                head: 0,
                readable: segments.clone(),
                writable: segments,
            };
            let total = lens.iter().sum::<u32>() as usize;
            let content: Vec<u8> = (0..total).map(|byte| byte as u8).collect();
            prop_assert_eq!(request.write(&mut memory, 0, &content), Ok(total));
            let mut found = vec![0; len];
            let expected = content.iter().copied().skip(offset as usize).take(len);
            let expected: Vec<u8> = expected.collect();
            prop_assert_eq!(request.read(&mut memory, offset, &mut found), Ok(expected.len()));
            prop_assert_eq!(&found[..expected.len()], &expected);
            let mut state = StateWriter::new();
            request.save(&mut state);
            let bytes = state.finish();
            prop_assert_eq!(Request::load(&mut StateReader::new("request", &bytes)), Ok(request));
        }
    }
}
