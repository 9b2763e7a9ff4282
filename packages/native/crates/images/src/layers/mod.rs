//! Layers: tar archives, compressed or not, of what each adds to and removes from those below.

pub mod apply;
pub mod archive;
mod compression;
mod header;
mod numbers;
mod pax;
mod sparse;
mod zeros;

pub use compression::decompressed;
