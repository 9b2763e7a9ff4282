//! Memory for blocks: taken in order, given back all at once.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Bytes that are requested from the host at once.
pub const SLAB_BYTES: usize = 64 << 10;

const LAYOUT: Layout = match Layout::from_size_align(SLAB_BYTES, 64) {
    Ok(layout) => layout,
    Err(_) => panic!("the slab size is a multiple of its alignment"),
};

/// Slabs of zeroed memory, filled from their starts.
#[derive(Default)]
pub struct Slabs {
    slabs: Vec<*mut u8>,
    /// Bytes taken of the last slab.
    used: usize,
}

impl Slabs {
    /// `size` bytes at an address that is a multiple of 16, zero and never handed out before.
    /// `None` if the host has no memory or they are more than a slab.
    pub fn take(&mut self, size: usize) -> Option<*mut u8> {
        let size = size.next_multiple_of(16);
        if size > SLAB_BYTES {
            return None;
        }
        if self.slabs.is_empty() || self.used + size > SLAB_BYTES {
            // SAFETY: the layout has a size that is not 0.
            let memory = unsafe { alloc_zeroed(LAYOUT) };
            if memory.is_null() {
                return None;
            }
            self.slabs.push(memory);
            self.used = 0;
        }
        let slab = self.slabs.last()?;
        // SAFETY: `used + size` is at most SLAB_BYTES, as was just checked, and a slab has as many.
        let taken = unsafe { slab.add(self.used) };
        self.used += size;
        Some(taken)
    }

    /// Bytes of all slabs.
    pub fn bytes(&self) -> usize {
        self.slabs.len() * SLAB_BYTES
    }

    /// Gives everything back. Nothing that was taken may be used afterwards.
    pub fn clear(&mut self) {
        for slab in self.slabs.drain(..) {
            // SAFETY: allocated with this layout in `take`, freed once: the slab leaves the list.
            unsafe { dealloc(slab, LAYOUT) };
        }
        self.used = 0;
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        self.clear();
    }
}
