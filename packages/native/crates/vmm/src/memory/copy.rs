//! Copying bytes into and out of guest memory, across pages.

use super::{MemoryError, PAGE, PAGE_BYTES, PagedMemory};

impl PagedMemory {
    pub(super) fn check(&self, gpa: u64, len: usize) -> Result<(), MemoryError> {
        let end = self.base + self.size_bytes();
        match gpa.checked_add(len as u64) {
            Some(last) if gpa >= self.base && last <= end => Ok(()),
            _ => Err(MemoryError::OutOfRange { gpa, len: len as u64, base: self.base, end }),
        }
    }

    /// Whether `len` bytes at `gpa` lie in memory.
    pub fn contains(&self, gpa: u64, len: usize) -> bool {
        self.check(gpa, len).is_ok()
    }

    /// Copies guest memory into `into`, on behalf of the guest or of a device.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory or cannot be had, which is then also
    /// [`Self::failure`].
    pub fn read(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.peek(gpa, into).inspect_err(|error| self.fail(error))
    }

    /// Copies `from` into guest memory, on behalf of the guest or of a device.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory, or a page cannot be had or none is left,
    /// which is then also [`Self::failure`]; nothing is copied then.
    pub fn write(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.poke(gpa, from).inspect_err(|error| self.fail(error))
    }

    /// An address outside memory is the guest's mistake; everything else ends the machine.
    fn fail(&mut self, error: &MemoryError) {
        if !matches!(error, MemoryError::OutOfRange { .. }) {
            self.failure = Some(error.clone());
        }
    }

    /// Copies guest memory into `into`, on behalf of the host: a failure does not stop the machine.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory or cannot be had.
    pub fn peek(&mut self, gpa: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.check(gpa, into.len())?;
        let mut at = gpa;
        let mut rest = into;
        while !rest.is_empty() {
            let offset = (at % PAGE) as usize;
            let take = rest.len().min(PAGE_BYTES - offset);
            let address = self.readable(((at - self.base) / PAGE) as usize)?;
            let (head, tail) = rest.split_at_mut(take);
            // SAFETY: `readable` gives a whole page, `take` stays inside it, and `head` is an exclusive
            // reference, so it does not overlap guest memory.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    address.as_ptr().add(offset),
                    head.as_mut_ptr(),
                    take,
                );
            }
            rest = tail;
            at += take as u64;
        }
        Ok(())
    }

    /// Copies `from` into guest memory, on behalf of the host: a failure does not stop the machine.
    ///
    /// # Errors
    /// [`MemoryError`] if any byte is outside memory, a page cannot be had or none is left;
    /// nothing is copied then.
    pub fn poke(&mut self, gpa: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.check(gpa, from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        // Pages may be replaced behind the engine's back.
        self.new_generation();
        let first = ((gpa - self.base) / PAGE) as usize;
        let last = ((gpa - self.base + from.len() as u64 - 1) / PAGE) as usize;
        for page in first..=last {
            self.writable(page)?;
        }
        let mut at = gpa;
        let mut rest = from;
        for page in first..=last {
            let offset = (at % PAGE) as usize;
            let take = rest.len().min(PAGE_BYTES - offset);
            let address = self.writable(page)?;
            // SAFETY: the page is writable for 4 KiB and only ours, offset + take stays inside
            // it, and `rest` is memory of the caller's, distinct from it.
            unsafe {
                std::ptr::copy_nonoverlapping(rest.as_ptr(), address.as_ptr().add(offset), take);
            }
            if self.watched.contains(page) {
                self.touched_watched.push(self.base + page as u64 * PAGE);
            }
            rest = &rest[take..];
            at += take as u64;
        }
        Ok(())
    }
}
