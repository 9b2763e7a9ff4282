//! Loads and stores of both register files.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapters "RV32I", "RV64I", "F Extension",
//! "D Extension" (NaN boxing).

use super::{illegal, index_of, leave_behind, next, operation, trouble};
use crate::block::Slot;
use crate::core::Core;
use crate::hart::{DATA_ENTRIES, Hart, Leave};
use crate::page::tag;

#[inline(always)]
fn address(hart: &Hart, op: &Slot) -> u64 {
    hart.r[op.reg[1] as usize].wrapping_add(op.imm as i64 as u64)
}

/// The host address for reading `size` bytes at `va`, if that is known.
///
/// # Safety
/// The core is bound, and the hart ready.
#[inline(always)]
pub(super) unsafe fn readable(hart: &Hart, va: u64, size: u64) -> Option<*const u8> {
    // SAFETY: the caller's word: `Core::prepare` has set `data` to an array of DATA_ENTRIES.
    let entry = unsafe { &*hart.data.add((va >> 12) as usize & (DATA_ENTRIES - 1)) };
    if entry.read == tag(va.wrapping_add(size - 1)) {
        Some(va.wrapping_add(entry.addend) as *const u8)
    } else {
        None
    }
}

/// The host address for writing `size` bytes at `va`, if that is known.
///
/// # Safety
/// The core is bound, and the hart ready.
#[inline(always)]
pub(super) unsafe fn writable(hart: &Hart, va: u64, size: u64) -> Option<*mut u8> {
    // SAFETY: as in `readable`.
    let entry = unsafe { &*hart.data.add((va >> 12) as usize & (DATA_ENTRIES - 1)) };
    if entry.write == tag(va.wrapping_add(size - 1)) {
        Some(va.wrapping_add(entry.addend) as *mut u8)
    } else {
        None
    }
}

/// Extends the value that a load of this kind read.
type Extend = fn(u64) -> u64;

/// The slow path of a load, for addresses that the table of pages does not have.
///
/// # Safety
/// `at` is an operation of `hart.block`, and not its last.
#[cold]
#[inline(never)]
unsafe fn load_slowly(
    hart: &mut Hart,
    at: *const Slot,
    core: &mut Core,
    size: u64,
    extend: Extend,
) -> *const Slot {
    // SAFETY: the caller's word.
    unsafe {
        let op = operation(at);
        let index = index_of(hart, at);
        match core.load(hart, address(hart, op), size, index) {
            Ok(value) => {
                hart.r[op.reg[0] as usize] = extend(value);
                if std::mem::take(&mut core.must_leave) {
                    return leave_behind(hart, at, Leave::Event);
                }
                next(hart, at, 1, core)
            }
            Err(error) => trouble(hart, at, core, error),
        }
    }
}

/// The slow path of a store, for addresses that the table of pages does not have.
///
/// # Safety
/// `at` is an operation of `hart.block`, and not its last.
#[cold]
#[inline(never)]
unsafe fn store_slowly(
    hart: &mut Hart,
    at: *const Slot,
    core: &mut Core,
    size: u64,
) -> *const Slot {
    // SAFETY: the caller's word.
    unsafe {
        let op = operation(at);
        let index = index_of(hart, at);
        let value = hart.r[op.reg[2] as usize];
        match core.store(hart, address(hart, op), size, value, index) {
            Ok(()) => {
                if std::mem::take(&mut core.must_leave) {
                    return leave_behind(hart, at, Leave::Event);
                }
                next(hart, at, 1, core)
            }
            Err(error) => trouble(hart, at, core, error),
        }
    }
}

macro_rules! loads {
    ($($(#[$doc:meta])* $name:ident: $type:ty = |$v:ident| $result:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            const SIZE: u64 = std::mem::size_of::<$type>() as u64;
            // SAFETY: the handler's own slot, by the caller's contract; `Flow::On` has another follow; bound.
            // An entry of `data` leads to a page that is readable while bound, and SIZE bytes stay in it: the
            // tag is that of the last one.
            unsafe {
                let op = operation(at);
                let va = address(hart, op);
                if let Some(host) = readable(hart, va, SIZE) {
                    let $v = host.cast::<$type>().read_unaligned();
                    hart.r[op.reg[0] as usize] = $result;
                    next(hart, at, 1, core)
                } else {
                    load_slowly(hart, at, core, SIZE, |value| {
                        let $v = value as $type;
                        $result
                    })
                }
            }
        }
    )*};
}

macro_rules! stores {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            const SIZE: u64 = std::mem::size_of::<$type>() as u64;
            // SAFETY: the handler's own slot, by the caller's contract; `Flow::On` has another follow; bound.
            // An entry of `data` leads to a page that is writable while bound, and SIZE bytes stay in it: the
            // tag is that of the last one.
            unsafe {
                let op = operation(at);
                let va = address(hart, op);
                if let Some(host) = writable(hart, va, SIZE) {
                    host.cast::<$type>().write_unaligned(hart.r[op.reg[2] as usize] as $type);
                    next(hart, at, 1, core)
                } else {
                    store_slowly(hart, at, core, SIZE)
                }
            }
        }
    )*};
}

loads! {
    /// LB
    lb: u8 = |v| v as i8 as i64 as u64;
    /// LH
    lh: u16 = |v| v as i16 as i64 as u64;
    /// LW
    lw: u32 = |v| v as i32 as i64 as u64;
    /// LD
    ld: u64 = |v| v;
    /// LBU
    lbu: u8 = |v| u64::from(v);
    /// LHU
    lhu: u16 = |v| u64::from(v);
    /// LWU
    lwu: u32 = |v| u64::from(v);
    /// FLW behind its check of FS: a NaN-boxed single.
    flw_enabled: u32 = |v| u64::from(v) | 0xffff_ffff_0000_0000;
}

stores! {
    /// SB
    sb: u8;
    /// SH
    sh: u16;
    /// SW
    sw: u32;
    /// SD
    sd: u64;
}

/// A floating-point load or store: illegal while FS is off, dirties FS if it loads.
macro_rules! float_access {
    ($($(#[$doc:meta])* $name:ident => $then:ident, loads $loads:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As every handler: called by `drive` on a slot of `hart.block`.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow.
            unsafe {
                if hart.fs == 0 {
                    return illegal(hart, at, core);
                }
                if let Some(size) = $loads {
                    let va = address(hart, operation(at));
                    if readable(hart, va, size).is_none() {
                        return float_load_slowly(hart, at, core, size);
                    }
                    hart.fs = 3;
                }
                $then(hart, at, core)
            }
        }
    )*};
}

/// A floating-point load that may fault: FS is dirtied only if it does not.
///
/// # Safety
/// `at` is an operation of `hart.block`, and not its last.
#[cold]
#[inline(never)]
unsafe fn float_load_slowly(
    hart: &mut Hart,
    at: *const Slot,
    core: &mut Core,
    size: u64,
) -> *const Slot {
    // SAFETY: the caller's word.
    unsafe {
        let op = operation(at);
        let index = index_of(hart, at);
        match core.load(hart, address(hart, op), size, index) {
            Ok(value) => {
                let boxes = if size == 4 { 0xffff_ffff_0000_0000 } else { 0 };
                hart.r[op.reg[0] as usize] = value | boxes;
                hart.fs = 3;
                if std::mem::take(&mut core.must_leave) {
                    return leave_behind(hart, at, Leave::Event);
                }
                next(hart, at, 1, core)
            }
            Err(error) => trouble(hart, at, core, error),
        }
    }
}

float_access! {
    /// FLW
    flw => flw_enabled, loads Some(4);
    /// FLD
    fld => ld, loads Some(8);
    /// FSW
    fsw => sw, loads None::<u64>;
    /// FSD
    fsd => sd, loads None::<u64>;
}
