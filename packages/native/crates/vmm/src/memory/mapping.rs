//! Anonymous memory of the host's: zero, aligned, costing nothing until touched.
//!
//! Miri only knows mappings that are made and removed as a whole, so under it an allocation replaces
//! one.

use std::ptr::NonNull;

/// Maps `len` bytes at a multiple of `align` (a power of two, at least a host page).
#[cfg(not(miri))]
pub(super) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    let span = len.checked_add(align)?;
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice affects nothing else.
    let raw = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            span,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if raw == libc::MAP_FAILED {
        return None;
    }
    let before = raw.addr().next_multiple_of(align) - raw.addr();
    let after = span - len - before;
    // SAFETY: both ranges lie inside the mapping just made and outside the part that is kept.
    unsafe {
        let start = raw.byte_add(before);
        if before > 0 {
            libc::munmap(raw, before);
        }
        if after > 0 {
            libc::munmap(start.byte_add(len), after);
        }
        NonNull::new(start.cast())
    }
}

/// Gives a mapping back.
///
/// # Safety
/// [`map`] made it, with this length and alignment, and no pointer into it is used any more.
#[cfg(not(miri))]
pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize, _align: usize) {
    // SAFETY: the range is exactly what `map` made, and no longer in use.
    unsafe { libc::munmap(start.as_ptr().cast(), len) };
}

/// Has the host back a mapping with memory now, in one call instead of one fault for each page.
/// Hosts that cannot do that fault.
pub(super) fn back(start: NonNull<u8>, len: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the advice concerns exactly a mapping of ours, and does not change its content.
    unsafe {
        libc::madvise(start.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE);
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (start, len);
}

#[cfg(miri)]
pub(super) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = std::alloc::Layout::from_size_align(len, align).ok().filter(|it| it.size() > 0)?;
    // SAFETY: the layout has a size.
    NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
}

/// As above.
///
/// # Safety
/// As above.
#[cfg(miri)]
pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize, align: usize) {
    // SAFETY: `map` made such a layout of the same numbers, and the memory is no longer in use.
    unsafe {
        std::alloc::dealloc(
            start.as_ptr(),
            std::alloc::Layout::from_size_align_unchecked(len, align),
        );
    }
}
