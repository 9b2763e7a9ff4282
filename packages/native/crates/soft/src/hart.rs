//! The hart's registers and the fast translation arrays, laid out for the hot loop and for
//! translated code: `#[repr(C)]`, every hot field at a fixed offset.
//!
//! ```text
//! offset  field
//!      0  r[0..32]    integer registers; r[0] is always 0
//!    256  r[32]       sink: where a write to x0 goes; never read
//!    512  r[64..96]   floating-point registers (single precision NaN-boxed)
//!   2048  pc          in a block: address of the block's first instruction;
//!                     between blocks: address of the next instruction
//!   2056  budget      ticks left in this slice; counted down when a block is left
//!   2064  data        fast data translations of the current context, DATA_ENTRIES of them
//!   2072  fetch       fast fetch translations of the current mode, FETCH_ENTRIES of them
//!   2080  jumps       block cache by physical address, JUMP_ENTRIES of them
//!   2088  block       the block being executed
//! ```

use crate::block::Block;
use crate::page::NO_TAG;

/// Register slot that takes writes to `x0`.
pub const SINK: u8 = 32;
/// Register slot of `f0`.
pub const FLOAT: u8 = 64;

/// Data translations in the architectural cache, and fast ones per context. A power of two.
pub const DATA_ENTRIES: usize = 4096;
/// Fetch translations in the architectural cache, and fast ones per mode. A power of two.
pub const FETCH_ENTRIES: usize = 4096;

/// User mode.
pub const USER: u8 = 0;
/// Supervisor mode.
pub const SUPERVISOR: u8 = 1;

/// A fast data translation: entry `(va >> 12) % DATA_ENTRIES` of [`Hart::data`].
///
/// An access of `n` bytes at `va` may go to host address `va + addend` if
/// [`tag`](crate::page::tag)`(va + n - 1)` equals the tag of its kind.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub struct DataEntry {
    /// Tag of the virtual page that may be read, or 0.
    pub read: u64,
    /// Tag of the virtual page that may be written, or 0.
    pub write: u64,
    /// Host address minus virtual address, wrapping.
    pub addend: u64,
    /// Guest-physical page address.
    pub page: u64,
}

impl DataEntry {
    /// An entry that matches nothing.
    pub const EMPTY: Self = Self { read: 0, write: 0, addend: 0, page: 0 };
}

/// A fast fetch translation: entry `(va >> 12) % FETCH_ENTRIES` of [`Hart::fetch`].
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
pub struct FetchEntry {
    /// Tag of the virtual page that may be executed, or 0.
    pub tag: u64,
    /// Guest-physical address minus virtual address, wrapping.
    pub delta: u64,
}

impl FetchEntry {
    /// An entry that matches nothing.
    pub const EMPTY: Self = Self { tag: 0, delta: 0 };
}

/// Why the inner loop returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Leave {
    /// `pc` has to be looked up the long way, or the slice has ended.
    Lookup,
    /// Like `Lookup`; the link slot at [`Hart::link`] may also be set to the result.
    Link,
    /// Interrupts, time limits or devices need attention first.
    Event,
    /// The run ends; the engine knows why.
    Stop,
}

/// One hart: architectural state, and (the pointers) data derived from it.
#[repr(C, align(64))]
pub struct Hart {
    /// The register file, indexed by `u8` so that an index needs no check.
    pub r: [u64; 256],
    /// See the layout above.
    pub pc: u64,
    /// Ticks that may still be executed in this slice.
    pub budget: i64,
    /// Derived: fast data translations of the current context.
    pub data: *mut DataEntry,
    /// Derived: fast fetch translations of the current mode.
    pub fetch: *mut FetchEntry,
    /// Derived: blocks by physical address.
    pub jumps: *mut *const Block,
    /// Derived: the block being executed.
    pub block: *const Block,
    /// Derived: the slot behind the operation that left with [`Leave::Link`].
    pub link: *mut crate::block::Slot,
    /// Why the inner loop returned.
    pub leave: Leave,
    /// `sstatus.FS`: 0 off, 1 initial, 2 clean, 3 dirty.
    pub fs: u8,
    /// Accrued floating-point exceptions.
    pub fflags: u8,
    /// Dynamic rounding mode, all three bits as written.
    pub frm: u8,
    /// Privilege mode: [`USER`] or [`SUPERVISOR`].
    pub mode: u8,
    /// `sstatus` without FS, SD and UXL: SIE, SPIE, SPP, SUM, MXR.
    pub sstatus: u64,
    /// Pending interrupts: SSIP (1), STIP (5), SEIP (9).
    pub sip: u64,
    /// Enabled interrupts, same bits.
    pub sie: u64,
    /// Ticks at which `budget` is 0.
    pub ticks_end: u64,
    /// Traps taken so far; ticks minus traps are retired instructions.
    pub traps: u64,
    /// Nanoseconds that passed in waits.
    pub idle_nanos: u64,
    /// Trap vector.
    pub stvec: u64,
    /// Scratch register of the trap handler.
    pub sscratch: u64,
    /// Exception program counter.
    pub sepc: u64,
    /// Trap cause.
    pub scause: u64,
    /// Trap value.
    pub stval: u64,
    /// Address translation and protection.
    pub satp: u64,
    /// Timer comparator, in units of `time`.
    pub stimecmp: u64,
    /// The counters that user mode may read.
    pub scounteren: u64,
    /// Environment configuration (FIOM only).
    pub senvcfg: u64,
    /// Physical address of the reservation, or [`NO_TAG`].
    pub reservation: u64,
    /// Bytes of the reservation.
    pub reservation_size: u64,
    /// The hart executed `wfi` and nothing has woken it since.
    pub waiting: bool,
    /// The hart was stopped through the firmware and will not run again.
    pub stopped: bool,
}

/// `sstatus` bits.
pub mod status {
    /// Supervisor interrupts enabled.
    pub const SIE: u64 = 1 << 1;
    /// Previous SIE.
    pub const SPIE: u64 = 1 << 5;
    /// Previous mode was supervisor.
    pub const SPP: u64 = 1 << 8;
    /// Supervisor may access user memory.
    pub const SUM: u64 = 1 << 18;
    /// Loads may read executable pages.
    pub const MXR: u64 = 1 << 19;
    /// Shift of the FS field.
    pub const FS_SHIFT: u32 = 13;
    /// The FS field.
    pub const FS: u64 = 3 << FS_SHIFT;
    /// UXL = 64 bits, read-only.
    pub const UXL: u64 = 2 << 32;
    /// Some of FS, VS, XS is dirty.
    pub const SD: u64 = 1 << 63;
    /// The bits that live in [`super::Hart::sstatus`].
    pub const STORED: u64 = SIE | SPIE | SPP | SUM | MXR;
}

/// Interrupt bits of `sip` and `sie`.
pub mod interrupt {
    /// Supervisor software interrupt.
    pub const SOFTWARE: u64 = 1 << 1;
    /// Supervisor timer interrupt.
    pub const TIMER: u64 = 1 << 5;
    /// Supervisor external interrupt.
    pub const EXTERNAL: u64 = 1 << 9;
    /// All that exist.
    pub const ALL: u64 = SOFTWARE | TIMER | EXTERNAL;
}

impl Hart {
    /// A hart at reset: supervisor mode, translation off, interrupts off.
    pub fn new() -> Self {
        Self {
            r: [0; 256],
            pc: 0,
            budget: 0,
            data: std::ptr::null_mut(),
            fetch: std::ptr::null_mut(),
            jumps: std::ptr::null_mut(),
            block: std::ptr::null(),
            link: std::ptr::null_mut(),
            leave: Leave::Lookup,
            // As firmware leaves it: floating point is on.
            fs: 3,
            fflags: 0,
            frm: 0,
            mode: SUPERVISOR,
            sstatus: 0,
            sip: 0,
            sie: 0,
            ticks_end: 0,
            traps: 0,
            idle_nanos: 0,
            stvec: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            satp: 0,
            stimecmp: u64::MAX,
            // As firmware leaves it: time and counters are readable in user mode.
            scounteren: 7,
            senvcfg: 0,
            reservation: NO_TAG,
            reservation_size: 0,
            waiting: false,
            stopped: false,
        }
    }

    /// Ticks (retired instructions plus traps) so far. Valid between blocks.
    #[inline]
    pub fn ticks(&self) -> u64 {
        self.ticks_end.wrapping_sub(self.budget as u64)
    }

    /// Guest time in nanoseconds. Valid between blocks.
    #[inline]
    pub fn now(&self) -> u64 {
        self.ticks().saturating_add(self.idle_nanos)
    }

    /// The whole `sstatus` as the guest reads it.
    #[inline]
    pub fn sstatus_value(&self) -> u64 {
        let sd = if self.fs == 3 { status::SD } else { 0 };
        self.sstatus | u64::from(self.fs) << status::FS_SHIFT | status::UXL | sd
    }

    /// Interrupts that are pending and enabled, in any mode.
    #[inline]
    pub fn pending(&self) -> u64 {
        self.sip & self.sie
    }

    /// Whether a pending, enabled interrupt would be taken now.
    #[inline]
    pub fn interruptible(&self) -> bool {
        self.mode == USER || self.sstatus & status::SIE != 0
    }
}

impl Default for Hart {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Hart {
    /// A copy of the architectural state; derived data starts empty.
    fn clone(&self) -> Self {
        Self {
            data: std::ptr::null_mut(),
            fetch: std::ptr::null_mut(),
            jumps: std::ptr::null_mut(),
            block: std::ptr::null(),
            link: std::ptr::null_mut(),
            leave: Leave::Lookup,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn hot_fields_stand_where_translated_code_expects_them() {
        assert_eq!(offset_of!(Hart, r), 0);
        assert_eq!(offset_of!(Hart, pc), 2048);
        assert_eq!(offset_of!(Hart, budget), 2056);
        assert_eq!(offset_of!(Hart, data), 2064);
        assert_eq!(offset_of!(Hart, fetch), 2072);
        assert_eq!(offset_of!(Hart, jumps), 2080);
        assert_eq!(offset_of!(Hart, block), 2088);
        assert_eq!(size_of::<DataEntry>(), 32);
        assert_eq!(size_of::<FetchEntry>(), 16);
    }
}
