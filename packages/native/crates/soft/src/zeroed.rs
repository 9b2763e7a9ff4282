//! Large arrays of which little is touched.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

/// Zeroes that cost memory where they are first touched.
///
/// # Safety
/// Zeroes are a `T`, which has a size, and `count` is not 0.
pub unsafe fn zeroed<T>(count: usize) -> Box<[T]> {
    let Ok(layout) = Layout::array::<T>(count) else { panic!("an array of {count}") };
    // SAFETY: the layout has a size by the caller's word; what is allocated is a slice of `count`
    // zeroed elements and nobody else's.
    unsafe {
        let memory = alloc_zeroed(layout);
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        Box::from_raw(std::ptr::slice_from_raw_parts_mut(memory.cast(), count))
    }
}
