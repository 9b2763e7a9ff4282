//! Large arrays of which little is touched.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Zeroes that cost memory where they are first touched, and none any more once they are dropped.
///
/// Each is a mapping of its own. An allocator that takes such arrays from its heap fills them with
/// zeros, and keeps the holes that they leave: small allocations that live longer land in the holes,
/// and the next array does not fit.
pub struct Zeroed<T> {
    memory: NonNull<T>,
    count: usize,
}

// SAFETY: it owns its elements, as a box does.
unsafe impl<T: Send> Send for Zeroed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Zeroed<T> {}

impl<T: Copy> Zeroed<T> {
    /// `count` zeroes.
    ///
    /// # Safety
    /// Zeroes are a `T`, which has a size and no larger an alignment than a page, and `count` is not 0.
    ///
    /// # Panics
    /// If the host has no memory.
    pub unsafe fn new(count: usize) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, where nothing is.
        let memory = unsafe {
            libc::mmap(std::ptr::null_mut(), Self::bytes_of(count), protection, flags, -1, 0)
        };
        assert!(memory != libc::MAP_FAILED, "no memory for an array of {count}");
        let Some(memory) = NonNull::new(memory.cast()) else { panic!("a mapping at 0") };
        Self { memory, count }
    }
}

impl<T> Zeroed<T> {
    fn bytes_of(count: usize) -> usize {
        let Some(bytes) = count.checked_mul(size_of::<T>()) else { panic!("an array of {count}") };
        bytes
    }
}

impl<T> Deref for Zeroed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping has room for so many, which are valid since they were zeroes.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.count) }
    }
}

impl<T> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; a mutable borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.count) }
    }
}

impl<T> Drop for Zeroed<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, with this size; elements are `Copy` and need no drop.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), Self::bytes_of(self.count)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of the array that take memory.
    fn resident(array: &Zeroed<u64>) -> usize {
        let bytes = array.len() * size_of::<u64>();
        let mut pages = vec![0u8; bytes / 4096];
        // SAFETY: the mapping has so many bytes, and the list a place for each page.
        let code =
            unsafe { libc::mincore(array.as_ptr() as *mut _, bytes, pages.as_mut_ptr().cast()) };
        assert_eq!(code, 0);
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn an_array_costs_what_is_touched_of_it_however_many_there_were_before() {
        for _ in 0..8 {
            // SAFETY: zeroes are numbers.
            let mut array = unsafe { Zeroed::<u64>::new(1 << 17) };
            assert_eq!((array.len(), resident(&array)), (1 << 17, 0));
            array[70_000] = 7;
            assert_eq!((array[70_000], array[0], resident(&array) < 4), (7, 0, true));
            array.fill(1);
        }
    }
}
