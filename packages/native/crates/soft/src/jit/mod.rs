//! The second tier: guest code that runs often, as code of the host.
//!
//! The interpreter is the reference. Translated code holds fast paths only and calls the
//! interpreter's handlers, one instruction at a time, for everything else, so that both tiers are
//! the same machine to the guest and to whoever saves, forks or stops it at any instruction.
//! Nothing here is state: translated code may be thrown away between any two instructions.
//!
//! * [`assembler`] the host instructions that are used
//! * [`memory`] where code is kept, never writable and executable at one address
//! * [`unit`] one run of guest instructions to host code
//! * [`translator`] units, how they find each other, the way in and out
//!
//! x86-64 Linux. On other hosts everything is interpreted.

pub mod assembler;
pub mod memory;
pub mod translator;
pub mod unit;
