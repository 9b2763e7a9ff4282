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

/// The slot behind a single instruction: it completed, and nothing else happened.
///
/// # Safety
/// As every handler; `hart.block` is a [`Single`].
unsafe fn completed(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot, by the caller's word.
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
    let drafts = lowering.finish().drafts;
    let first = *drafts.first()?;
    // A branch or a jump follows the link behind it, where `completed` is to stand.
    if drafts.get(1).is_some_and(|behind| behind.is_link) {
        return None;
    }
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
    // SAFETY: by the caller's contract, these are the pointers that `run_code` made of its references, which
    // it does not use before translated code has left; a detail lies in `CodeMemory`, which is mapped and not
    // written.
    let (hart, core, detail) = unsafe { (&mut *hart, &mut *core.cast::<Core>(), *detail) };
    // A panic must not unwind through translated code, which has no unwind tables.
    let executed = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: translated code runs while the core is bound: that is what `run_code` asks for.
        unsafe { execute(hart, core, &detail) }
    }));
    let (next, panic) = match executed {
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

/// Executes the instruction of a detail. `None` if it completed and nothing else happened; otherwise the
/// value that a handler returns.
///
/// # Safety
/// The core is bound, and the hart ready.
unsafe fn execute(hart: &mut Hart, core: &mut Core, detail: &Detail) -> Option<*const Slot> {
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
    // SAFETY: bound, by the caller's word. `make_single` made the block, which is boxed in the translator
    // and goes with `Translator::clear` alone: an operation that needs no link, and one behind it.
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
    // SAFETY: by the caller's contract, `hart.block` is live. This is the entry of blocks of the cache only
    // (`Entries`), which only the machine's own thread writes; no reference to the header is alive. The first
    // slot is an operation of it, `RUNNING` one that only needs the block.
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
    // SAFETY: the caller's word. Where `run_block` does nothing `hart.block` is `block` still, and its first
    // slot an operation.
    unsafe {
        match run_block(hart, core) {
            Some(next) => next,
            None => exec::execute(hart, Block::first(block), core),
        }
    }
}

/// Runs the unit for the entered block, which is hot. `None` if there is none.
///
/// # Safety
/// As of a handler, on the entry of `hart.block`: it is live, `hart.pc` is its start, the core is bound.
pub(super) unsafe fn run_block(hart: &mut Hart, core: &mut Core) -> Option<*const Slot> {
    // SAFETY: `hart.block` is live, by the caller's word.
    let pa = unsafe { (*hart.block).pa };
    let (va, delta) = (hart.pc, pa.wrapping_sub(hart.pc));
    let known = core.translator()?.code_at(va, delta);
    let code = match known {
        Some(code) => code,
        None => {
            // SAFETY: `hart.block` is live and starts at `hart.pc`, by the caller's word.
            match unsafe { code_for(hart, core, hart.block) } {
                Found::Code => core.translator()?.code_at(va, delta)?,
                Found::Later | Found::Never => return None,
            }
        }
    };
    // SAFETY: bound, by the caller's word, and at the start of a block: between two instructions.
    // `code_at` found the code for this `pc` just now.
    Some(unsafe { run_code(hart, core, code) })
}

/// Runs translated code, and the code that follows it, until other work is due. Returns the value that a
/// handler would.
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
        // SAFETY: the caller's word; at later turns translated code has left between two instructions
        // (LEFT_INDIRECT, a site) of the same call to the engine. The references that `enter` takes are
        // not used until it is back, and `way_in` is of this turn.
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
            // SAFETY: bound, by the caller's word.
            LEFT_INDIRECT => match unsafe { translator.arrive(hart) } {
                Some((found, delta)) => {
                    translator.remember(hart.pc, found, delta);
                    code = found;
                }
                // SAFETY: bound, by the caller's word. Translated code that leaves by an indirect jump
                // has left its unit, with `pc` and `budget` of what follows.
                None => return unsafe { arrive(hart) },
            },
            site => {
                let site = site as usize;
                if let Some(target) = translator.target(site) {
                    hart.pc = target;
                    // SAFETY: bound, by the caller's word.
                    if let Some((found, delta)) = unsafe { translator.arrive(hart) } {
                        translator.link(site, target, delta);
                        code = found;
                        continue;
                    }
                }
                // SAFETY: bound, by the caller's word. Translated code that leaves by a site has left
                // its unit, and `pc` was just set to where the site leads.
                return unsafe { arrive(hart) };
            }
        }
    }
}
