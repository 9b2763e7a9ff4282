//! OCI images as read-only file systems: each becomes one EROFS file, built once, the same byte for
//! byte wherever it is built, and cached by the layers that it is built from.
//!
//! ```text
//! reference ──> source ──> index ──> manifest ──> configuration ──> is it here?
//!   oci:          │                     │                              │ no
//!   oci-archive:  │                     └──> layers ──> tree, spool ──> plan ──> root.erofs
//!   docker-archive:                        verified while they stream
//!   docker://
//! ```
//!
//! Images and registries are not trusted: everything from them is verified or bounded. No privileges
//! are needed. Memory holds names and attributes; contents go through a file.

pub mod block_digests;
mod build;
pub mod cache;
pub mod digest;
pub mod documents;
pub mod erofs;
pub mod error;
pub mod layers;
pub mod limits;
pub mod platform;
pub mod reference;
pub mod resolve;
pub mod sources;
pub mod spool;
pub mod tree;
pub mod watch;
