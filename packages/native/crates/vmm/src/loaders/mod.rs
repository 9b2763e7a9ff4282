//! Bringing kernels, payloads and initial RAM file systems into guest memory.
//!
//! Everything here is instruction-set neutral; kernel image headers and device trees belong to
//! [`crate::boards`]. Files are hostile: every size, offset and address is checked, and a refusal
//! comes before memory is written.

/// Kernels look for an initial RAM file system within the first gibibyte of memory.
pub const INITRAMFS_REACH_BYTES: u64 = 1 << 30;

mod compressed;
mod elf;
mod error;
mod place;
mod root_archive;
mod source;

pub use compressed::unpack;
pub use elf::{Elf, ElfSegment, machine_of};
pub use error::LoadError;
pub use place::{align_down, align_up, put};
pub use root_archive::check_unpacks;
pub use source::{Source, SourceError};
