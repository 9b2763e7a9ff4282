//! Bringing kernels, payloads and initial RAM file systems into guest memory.
//!
//! Everything here is instruction-set neutral; kernel image headers and device trees belong to
//! [`crate::boards`]. Files are hostile: every size, offset and address is checked, and what is
//! refused is refused before memory is written.

mod compressed;
mod elf;
mod error;
mod place;
mod source;

pub use compressed::unpack;
pub use elf::{Elf, ElfSegment};
pub use error::LoadError;
pub use place::{align_down, align_up, put};
pub use source::{Source, SourceError};
