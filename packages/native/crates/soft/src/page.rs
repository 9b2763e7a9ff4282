//! Addresses of guest pages.

/// Bytes of a guest page.
pub const PAGE: u64 = 4096;
/// Bits of a page address.
pub const PAGE_MASK: u64 = !(PAGE - 1);

/// A tag that no page address equals.
pub const NO_TAG: u64 = u64::MAX;

/// The form of a page in a fast translation: its last address, so that zeroed memory is a table of
/// empty entries.
#[inline(always)]
pub const fn tag(address: u64) -> u64 {
    address | !PAGE_MASK
}
