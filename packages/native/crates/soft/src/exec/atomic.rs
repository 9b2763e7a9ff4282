//! Load-reserved, store-conditional and atomic memory operations.
//!
//! The reservation is the physical address and size of the last load-reserved; any
//! store-conditional ends it, and so does any write to a device (which may itself write memory).
//! With one hart nothing else can come between. Misaligned operations raise the address
//! misaligned exceptions; device memory supports none of these operations.
//!
//! Source: The RISC-V Instruction Set Manual, volume I, chapter "A Extension".

use super::{leave_behind, next, operation, trouble};
use crate::block::Slot;
use crate::core::Core;
use crate::hart::{Hart, Leave};
use crate::mmu::Access;
use crate::page::NO_TAG;

fn signed_word(value: u32) -> u64 {
    value as i32 as i64 as u64
}

macro_rules! reserved {
    ($($load:ident, $store:ident: $type:ty, $extend:expr;)*) => {$(
        /// Load-reserved.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $load(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            const SIZE: u64 = std::mem::size_of::<$type>() as u64;
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow; `atomic` gives a
            // host address good for SIZE aligned bytes.
            unsafe {
                let op = operation(at);
                let va = hart.r[op.reg[1] as usize];
                match core.atomic(hart, va, SIZE, Access::Load) {
                    Ok((pa, host)) => {
                        let value = host.cast::<$type>().read_unaligned();
                        hart.r[op.reg[0] as usize] = $extend(value);
                        hart.reservation = pa;
                        hart.reservation_size = SIZE;
                        next(hart, at, 1, core)
                    }
                    Err(error) => trouble(hart, at, core, error),
                }
            }
        }

        /// Store-conditional. A failing one writes nothing, but faults like a store.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $store(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            const SIZE: u64 = std::mem::size_of::<$type>() as u64;
            // SAFETY: as above.
            unsafe {
                let op = operation(at);
                let va = hart.r[op.reg[1] as usize];
                match core.atomic(hart, va, SIZE, Access::Store) {
                    Ok((pa, host)) => {
                        let holds =
                            hart.reservation == pa && hart.reservation_size == SIZE;
                        hart.reservation = NO_TAG;
                        hart.reservation_size = 0;
                        if holds {
                            let value = hart.r[op.reg[2] as usize] as $type;
                            host.cast::<$type>().write_unaligned(value);
                            core.atomic_written(pa, SIZE);
                        }
                        hart.r[op.reg[0] as usize] = u64::from(!holds);
                        if std::mem::take(&mut core.must_leave) {
                            return leave_behind(hart, at, Leave::Event);
                        }
                        next(hart, at, 1, core)
                    }
                    Err(error) => trouble(hart, at, core, error),
                }
            }
        }
    )*};
}

reserved! {
    lr_w, sc_w: u32, signed_word;
    lr_d, sc_d: u64, std::convert::identity::<u64>;
}

/// `rd = memory; memory = f(memory, rs2)`.
macro_rules! operations {
    ($($name:ident: $type:ty, $extend:expr, |$a:ident, $b:ident| $result:expr;)*) => {$(
        /// Atomic memory operation.
        ///
        /// # Safety
        /// As every handler.
        pub unsafe fn $name(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
            const SIZE: u64 = std::mem::size_of::<$type>() as u64;
            // SAFETY: the handler's own slot, by the caller's word; `Flow::On` has another follow; `writable` and
            // `atomic` give a host address good for SIZE bytes; the fast one is for pages
            // without code.
            unsafe {
                let op = operation(at);
                let va = hart.r[op.reg[1] as usize];
                let $b = hart.r[op.reg[2] as usize] as $type;
                if va % SIZE == 0
                    && let Some(host) = super::memory::writable(hart, va, SIZE)
                {
                    let host = host.cast::<$type>();
                    let $a = host.read_unaligned();
                    host.write_unaligned($result);
                    hart.r[op.reg[0] as usize] = $extend($a);
                    return next(hart, at, 1, core);
                }
                match core.atomic(hart, va, SIZE, Access::Store) {
                    Ok((pa, host)) => {
                        let host = host.cast::<$type>();
                        let $a = host.read_unaligned();
                        host.write_unaligned($result);
                        hart.r[op.reg[0] as usize] = $extend($a);
                        core.atomic_written(pa, SIZE);
                        if std::mem::take(&mut core.must_leave) {
                            return leave_behind(hart, at, Leave::Event);
                        }
                        next(hart, at, 1, core)
                    }
                    Err(error) => trouble(hart, at, core, error),
                }
            }
        }
    )*};
}

operations! {
    amoswap_w: u32, signed_word, |a, b| { let _ = a; b };
    amoadd_w: u32, signed_word, |a, b| a.wrapping_add(b);
    amoxor_w: u32, signed_word, |a, b| a ^ b;
    amoand_w: u32, signed_word, |a, b| a & b;
    amoor_w: u32, signed_word, |a, b| a | b;
    amomin_w: u32, signed_word, |a, b| (a as i32).min(b as i32) as u32;
    amomax_w: u32, signed_word, |a, b| (a as i32).max(b as i32) as u32;
    amominu_w: u32, signed_word, |a, b| a.min(b);
    amomaxu_w: u32, signed_word, |a, b| a.max(b);
    amoswap_d: u64, std::convert::identity::<u64>, |a, b| { let _ = a; b };
    amoadd_d: u64, std::convert::identity::<u64>, |a, b| a.wrapping_add(b);
    amoxor_d: u64, std::convert::identity::<u64>, |a, b| a ^ b;
    amoand_d: u64, std::convert::identity::<u64>, |a, b| a & b;
    amoor_d: u64, std::convert::identity::<u64>, |a, b| a | b;
    amomin_d: u64, std::convert::identity::<u64>, |a, b| (a as i64).min(b as i64) as u64;
    amomax_d: u64, std::convert::identity::<u64>, |a, b| (a as i64).max(b as i64) as u64;
    amominu_d: u64, std::convert::identity::<u64>, |a, b| a.min(b);
    amomaxu_d: u64, std::convert::identity::<u64>, |a, b| a.max(b);
}
