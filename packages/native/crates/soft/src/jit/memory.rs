//! Memory for translated code, mapped twice: once writable, once executable, never both.
//!
//! The two views show the same anonymous file, so that code can be appended and jumps re-aimed
//! without a system call and without a page that is writable and executable at one address.
//! Pages cost memory when they are first written. Linux only (`memfd_create`).

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A region of code, filled from its start.
pub struct CodeMemory {
    writable: NonNull<u8>,
    executable: NonNull<u8>,
    capacity: usize,
    used: usize,
}

// SAFETY: the mappings belong to this value alone and have no tie to a thread.
unsafe impl Send for CodeMemory {}

impl CodeMemory {
    /// A region of `capacity` bytes, a multiple of the host's page size. `None` if the host does
    /// not let the process have one.
    pub fn new(capacity: usize) -> Option<Self> {
        // SAFETY: a constant, terminated name.
        let file = unsafe { libc::memfd_create(c"translated".as_ptr(), libc::MFD_CLOEXEC) };
        if file < 0 {
            return None;
        }
        let map = |protection| {
            // SAFETY: a fresh mapping at an address of the kernel's choice touches no other memory.
            let address = unsafe {
                libc::mmap(std::ptr::null_mut(), capacity, protection, libc::MAP_SHARED, file, 0)
            };
            if address == libc::MAP_FAILED { None } else { NonNull::new(address.cast::<u8>()) }
        };
        // SAFETY: `file` is the descriptor opened above.
        let sized = unsafe { libc::ftruncate(file, capacity as libc::off_t) } == 0;
        let views = if sized {
            match (map(libc::PROT_READ | libc::PROT_WRITE), map(libc::PROT_READ | libc::PROT_EXEC))
            {
                (Some(writable), Some(executable)) => Some((writable, executable)),
                (one, other) => {
                    for view in [one, other].into_iter().flatten() {
                        // SAFETY: mapped above with this length, unknown to anyone else.
                        unsafe { libc::munmap(view.as_ptr().cast(), capacity) };
                    }
                    None
                }
            }
        } else {
            None
        };
        // SAFETY: opened above; the mappings keep the file alive.
        unsafe { libc::close(file) };
        let (writable, executable) = views?;
        Some(Self { writable, executable, capacity, used: 0 })
    }

    /// Bytes written so far: where [`Self::append`] puts the next.
    #[inline]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes that can still be appended.
    #[inline]
    pub fn free(&self) -> usize {
        self.capacity - self.used
    }

    /// Appends code. False, and nothing done, if it does not fit.
    pub fn append(&mut self, code: &[u8]) -> bool {
        if code.len() > self.free() {
            return false;
        }
        // SAFETY: `used + len` is within the mapping; the slice is not part of it, as the mapping
        // is never lent out.
        unsafe {
            let to = self.writable.as_ptr().add(self.used);
            std::ptr::copy_nonoverlapping(code.as_ptr(), to, code.len());
        }
        self.used += code.len();
        true
    }

    /// Overwrites bytes that were appended before; what lies outside is left alone.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.used) {
            return;
        }
        // SAFETY: within the part of the mapping that was written.
        unsafe {
            let to = self.writable.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    /// Overwrites the aligned word at `at` atomically, for concurrent readers.
    pub fn set_word(&mut self, at: usize, value: u64) {
        if !at.is_multiple_of(8) || at.checked_add(8).is_none_or(|end| end > self.used) {
            return;
        }
        // SAFETY: an aligned word within the part of the mapping that was written; it is read by
        // translated code alone, and written to atomically.
        let word = unsafe { AtomicU64::from_ptr(self.writable.as_ptr().add(at).cast()) };
        word.store(value, Ordering::Release);
    }

    /// Aims the 4-byte relative displacement at `at` at the code at `target`.
    pub fn aim(&mut self, at: usize, target: usize) {
        let distance = target as i64 - (at as i64 + 4);
        self.patch(at, &(distance as i32).to_le_bytes());
    }

    /// Drops the bytes after the first `keep`.
    pub fn truncate(&mut self, keep: usize) {
        self.used = self.used.min(keep);
    }

    /// Address at which the byte at `offset` executes.
    #[inline]
    pub fn address(&self, offset: usize) -> *const u8 {
        self.executable.as_ptr().wrapping_add(offset)
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        for view in [self.writable, self.executable] {
            // SAFETY: mapped in `new` with this length; unmapped once.
            unsafe { libc::munmap(view.as_ptr().cast(), self.capacity) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_executable_where_it_was_appended_and_after_a_patch() {
        let Some(mut memory) = CodeMemory::new(1 << 16) else {
            eprintln!("skipped: the host has no memfd_create");
            return;
        };
        assert!(memory.append(&[0xb8, 7, 0, 0, 0, 0xc3])); // mov eax, 7; ret
        // SAFETY: the six bytes are a complete function of that type.
        let seven: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(memory.address(0)) };
        assert_eq!(seven(), 7);
        memory.patch(1, &[9]);
        assert_eq!(seven(), 9);
    }

    #[test]
    fn appending_more_than_fits_changes_nothing() {
        let Some(mut memory) = CodeMemory::new(4096) else {
            eprintln!("skipped: the host has no memfd_create");
            return;
        };
        assert!(!memory.append(&[0; 4097]));
        assert_eq!(memory.used(), 0);
        memory.patch(0, &[1]);
        assert!(memory.append(&[0; 4096]));
    }
}
