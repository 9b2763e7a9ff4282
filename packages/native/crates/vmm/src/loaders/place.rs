//! Places in memory for the parts of a guest.

use super::LoadError;
use crate::memory::{GuestMemory, PAGE_BYTES};

/// Rounds down to a multiple of `align`, a power of two.
pub const fn align_down(value: u64, align: u64) -> u64 {
    value & !(align - 1)
}

/// Rounds up to a multiple of `align`, a power of two; `None` beyond 2^64.
pub const fn align_up(value: u64, align: u64) -> Option<u64> {
    match value.checked_add(align - 1) {
        Some(value) => Some(align_down(value, align)),
        None => None,
    }
}

/// Writes `bytes` at `address` into fresh memory; pages of zeros stay absent.
///
/// # Errors
/// [`LoadError::Memory`] if any byte is outside memory or no page is left.
pub fn put(memory: &mut dyn GuestMemory, address: u64, bytes: &[u8]) -> Result<(), LoadError> {
    if !memory.contains(address, bytes.len()) {
        memory.write(address, bytes)?;
    }
    let mut at = address;
    let mut rest = bytes;
    while !rest.is_empty() {
        let take = rest.len().min(PAGE_BYTES - (at % PAGE_BYTES as u64) as usize);
        let (head, tail) = rest.split_at(take);
        if head.iter().any(|byte| *byte != 0) {
            memory.write(at, head)?;
        }
        rest = tail;
        at += take as u64;
    }
    Ok(())
}
