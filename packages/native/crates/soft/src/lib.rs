//! The deterministic RV64GC engine.
//!
//! * [`decode`] machine code to [`decode::Inst`]
//! * [`lower`] instructions to the slots of a [`block`]
//! * [`exec`] what each slot does
//! * [`hart`] registers and fast translations, laid out for the hot loop
//! * [`core`] data that handlers share besides the hart: slow paths, devices, caches
//! * [`mmu`] page tables and the translation cache
//! * [`page`] addresses of pages
//! * [`csr`], [`trap`], [`sbi`], [`plic`] the privileged side
//! * [`float`] IEEE 754 arithmetic on bits
//! * [`state`] saved state
//! * [`jit`] the second tier: what runs often, as code of the host; [`hot`] the way there
//! * [`engine`] the run loop, behind the machine's seam

pub mod block;
pub mod core;
pub mod csr;
pub mod csr_number;
pub mod decode;
pub mod engine;
pub mod exec;
pub mod float;
pub mod hart;
pub mod hot;
pub mod jit;
pub mod lower;
pub mod mmu;
pub mod page;
pub mod plic;
pub mod profile;
pub mod sbi;
pub mod state;
pub mod trap;
mod zeroed;

pub use engine::Soft;
pub use jit::Store;
