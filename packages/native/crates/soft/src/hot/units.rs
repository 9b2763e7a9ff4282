//! From a hot block to a unit of host code, and the way in and out of units.

use super::Fixed;
use super::find::{Found, code_for};
use crate::block::{Block, Draft, Head, Place, Single, Slot};
use crate::core::Core;
use crate::decode::decode;
use crate::exec::{self, NONE, arrive, operation_of};
use crate::hart::{Hart, Leave};
use crate::jit::translator::{Detail, LEFT_INDIRECT, LEFT_SINGLE};
use crate::lower::Lowering;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The slot that blocks are entered through before they are translated.
pub const COUNTING: *const Slot = &raw const COUNTS.0;

static COUNTS: Fixed = Fixed::new(count);

/// The slot that blocks are entered through of which a unit was made.
const RUNNING: *const Slot = &raw const RUNS.0;

static RUNS: Fixed = Fixed::new(run);

/// The slot that stands behind a single instruction: it completed, and nothing else happened.
///
/// # Safety
/// As every handler; `hart.block` is a [`Single`].
unsafe fn completed(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot.
    let place = unsafe { Block::place(hart.block, at) };
    hart.pc = hart.pc.wrapping_add(2 * u64::from(place.half));
    hart.budget -= 1;
    at
}

/// The instruction's operation, and behind it [`completed`].
pub(super) fn make_single(raw: u32) -> Option<Box<Single>> {
    let inst = decode(raw);
    let mut lowering = Lowering::new(0);
    lowering.add(&inst);
    let first = *lowering.finish().drafts.first()?;
    let behind = Draft {
        slot: Slot { head: Head { run: operation_of(completed) }, reg: [0; 4], imm: 0 },
        place: Place { index: 1, half: inst.len / 2 },
        is_link: false,
    };
    Single::new(raw, &[first, behind])
}

/// Executes the instruction of a detail for translated code. 0: it completed, and the next one
/// may follow at once.
///
/// # Safety
/// Called by the thunk `single` alone, with the pointers that [`run_code`] entered with and a detail that lies
/// behind the code that called it.
pub(super) unsafe extern "sysv64" fn execute_single(
    hart: *mut Hart,
    core: *mut c_void,
    detail: *const Detail,
) -> u32 {
    // SAFETY: `run_code` has given up its references for the length of the translated code; details do not
    // change.
    let (hart, core, detail) = unsafe { (&mut *hart, &mut *core.cast::<Core>(), *detail) };
    // A panic must not unwind through translated code, which has no unwind tables.
    let (next, panic) = match catch_unwind(AssertUnwindSafe(|| execute(hart, core, &detail))) {
        // Translated code counts the unit's ticks at its entry and has them in a register.
        Ok(None) => return 0,
        Ok(Some(next)) => (next, None),
        Err(panic) => (NONE, Some(panic)),
    };
    if let Some(translator) = core.translator() {
        translator.leave_single(next, panic);
    }
    1
}

/// Executes the instruction of a detail. `None`: it completed, and nothing else happened;
/// otherwise what a handler returns.
fn execute(hart: &mut Hart, core: &mut Core, detail: &Detail) -> Option<*const Slot> {
    core.profile.singles += 1;
    let epoch = core.cache().epoch;
    hart.pc = detail.pc;
    hart.budget += i64::from(detail.undo);
    let Some(block) = core.translator().and_then(|translator| translator.single(detail.raw)) else {
        // Between two instructions, the next of which the interpreter takes from its own block.
        hart.leave = Leave::Lookup;
        return Some(NONE);
    };
    hart.block = block;
    let at = Block::first(block);
    // SAFETY: the block is boxed in the translator and its slots follow it there; the core is
    // bound while translated code runs.
    let next = unsafe { exec::execute(hart, at, core) };
    if next != at.wrapping_add(1) {
        return Some(next);
    }
    if core.cache().epoch == epoch {
        return None;
    }
    hart.leave = Leave::Event;
    Some(NONE)
}

/// # Safety
/// As every handler, on the entry of `hart.block`.
unsafe fn count(hart: &mut Hart, _: *const Slot, core: &mut Core) -> *const Slot {
    let block = hart.block.cast_mut();
    // SAFETY: `hart.block` is live; its header is read and written through this pointer alone
    // here, its slots are entered as `drive` would.
    unsafe {
        let first = Block::first(block);
        if (*block).heat > 0 {
            (*block).heat -= 1;
            return exec::execute(hart, first, core);
        }
        let entry = match code_for(hart, core, block) {
            Found::Code => RUNNING,
            Found::Later => first,
            Found::Never => {
                (*block).entry = first;
                first
            }
        };
        if entry == RUNNING {
            (*block).entry = RUNNING;
        }
        exec::execute(hart, entry, core)
    }
}

/// Runs the unit for `hart.pc` and what follows it, until something else has to be done.
///
/// # Safety
/// As every handler, on the entry of `hart.block`, of which a unit was made before.
unsafe fn run(hart: &mut Hart, _: *const Slot, core: &mut Core) -> *const Slot {
    let block = hart.block;
    // SAFETY: as this; the first slot of the block that is entered.
    unsafe {
        match run_block(hart, core) {
            Some(next) => next,
            None => exec::execute(hart, Block::first(block), core),
        }
    }
}

/// Runs the unit for the block that is entered, which is hot. `None` if there is none.
///
/// # Safety
/// `hart.block` is a live block of the cache or a shared one, and `hart.pc` the address of its start.
pub(super) unsafe fn run_block(hart: &mut Hart, core: &mut Core) -> Option<*const Slot> {
    // SAFETY: live, by the caller's word.
    let pa = unsafe { (*hart.block).pa };
    let (va, delta) = (hart.pc, pa.wrapping_sub(hart.pc));
    let known = core.translator()?.code_at(va, delta);
    let code = match known {
        Some(code) => code,
        None => {
            // SAFETY: the caller's word.
            match unsafe { code_for(hart, core, hart.block) } {
                Found::Code => core.translator()?.code_at(va, delta)?,
                Found::Later | Found::Never => return None,
            }
        }
    };
    // SAFETY: the unit asks for no more ticks than the block.
    Some(unsafe { run_code(hart, core, code) })
}

/// Runs translated code, and what follows it, until something else has to be done. Returns what a handler
/// would.
///
/// # Safety
/// The core is bound, the hart between two instructions, and `code` was just found for its `pc`.
pub(super) unsafe fn run_code(hart: &mut Hart, core: &mut Core, code: *const u8) -> *const Slot {
    let mut code = code;
    loop {
        let Some(way_in) = core.translator().and_then(|translator| translator.way_in(code)) else {
            hart.leave = Leave::Lookup;
            return NONE;
        };
        let budget = hart.budget;
        // SAFETY: `enter` takes the pointers that this was given, whose references are not used
        // until it is back.
        let left = unsafe { way_in.enter(hart, core) };
        core.profile.entered += 1;
        core.profile.translated_ticks += (budget - hart.budget) as u64;
        *match left {
            LEFT_SINGLE => &mut core.profile.left_singles,
            LEFT_INDIRECT => &mut core.profile.left_indirect,
            _ => &mut core.profile.left_links,
        } += 1;
        let Some(translator) = core.translator() else { return NONE };
        match left {
            LEFT_SINGLE => {
                let (next, panic) = translator.take_left();
                if let Some(panic) = panic {
                    resume_unwind(panic);
                }
                return next;
            }
            LEFT_INDIRECT => match translator.arrive(hart) {
                Some((found, delta)) => {
                    translator.remember(hart.pc, found, delta);
                    code = found;
                }
                // SAFETY: bound, between blocks.
                None => return unsafe { arrive(hart) },
            },
            site => {
                let site = site as usize;
                if let Some(target) = translator.target(site) {
                    hart.pc = target;
                    if let Some((found, delta)) = translator.arrive(hart) {
                        translator.link(site, target, delta);
                        code = found;
                        continue;
                    }
                }
                // SAFETY: bound, between blocks.
                return unsafe { arrive(hart) };
            }
        }
    }
}
