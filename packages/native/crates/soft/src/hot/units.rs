//! From a hot block to a unit of host code, and the way in and out of units.

use super::Fixed;
use crate::block::{Block, Draft, Head, MAX_INSTRUCTIONS, Place, Single, Slot};
use crate::core::Core;
use crate::decode::decode;
use crate::exec::{self, NONE, arrive, operation_of};
use crate::hart::{Hart, Leave};
use crate::jit::translator::{LEFT_INDIRECT, LEFT_SINGLE, Translator};
use crate::lower::Lowering;
use crate::page::NO_TAG;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The slot that blocks are entered through before they are translated.
pub const COUNTING: *const Slot = &raw const COUNTS.0;

static COUNTS: Fixed = Fixed::new(count);

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
fn make_single(raw: u32) -> Option<Box<Single>> {
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
/// Called by the thunk `single` alone, with the pointers that [`run`] entered with.
unsafe extern "sysv64" fn execute_single(hart: *mut Hart, core: *mut c_void, detail: u32) -> u32 {
    // SAFETY: `run` has given up its references for the length of the translated code.
    let (hart, core) = unsafe { (&mut *hart, &mut *core.cast::<Core>()) };
    // A panic must not unwind through translated code, which has no unwind tables.
    let (next, panic) = match catch_unwind(AssertUnwindSafe(|| execute(hart, core, detail))) {
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
fn execute(hart: &mut Hart, core: &mut Core, detail: u32) -> Option<*const Slot> {
    core.profile.singles += 1;
    let epoch = core.cache().epoch;
    let known = core.translator().and_then(|translator| {
        let (pc, undo) = translator.before_single(detail as usize)?;
        hart.pc = pc;
        hart.budget += i64::from(undo);
        translator.single(detail as usize)
    });
    let Some(block) = known else {
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
        if (*block).heat > 0 {
            (*block).heat -= 1;
            let first = Block::first(block);
            return exec::execute(hart, first, core);
        }
        let entry = translate_block(hart, core, block).unwrap_or(Block::first(block));
        (*block).entry = entry;
        exec::execute(hart, entry, core)
    }
}

/// Translates the block for the address that it is entered at. Returns the slot to enter it by.
///
/// # Safety
/// `block` is a live block of the cache, `hart.pc` its virtual address.
unsafe fn translate_block(
    hart: &Hart,
    core: &mut Core,
    block: *const Block,
) -> Option<*const Slot> {
    if core.translator().is_none() {
        let made = Translator::new(execute_single, make_single);
        let cache = core.cache();
        if made.is_none() {
            cache.heat = None;
        }
        cache.translator = made.map(Box::new);
    }
    let index = unit_of(hart, core, block)?;
    let run = operation_of(run);
    let slot = Slot { head: Head { run }, reg: [0; 4], imm: index as i32 };
    core.translator().map(|translator| translator.add_entry(slot))
}

/// The unit for the block as it is entered now, translated if need be.
fn unit_of(hart: &Hart, core: &mut Core, block: *const Block) -> Option<u32> {
    // SAFETY: the callers' `block` is live.
    let (pa, len, second_page) = unsafe { ((*block).pa, (*block).bytes, (*block).second_page) };
    if second_page != NO_TAG {
        return None;
    }
    let mut bytes = [0u8; 4 * MAX_INSTRUCTIONS];
    let bytes = bytes.get_mut(..usize::from(len))?;
    let available = core.fetch_bytes(pa, bytes).ok()?;
    core.translator()?.translate(hart.pc, pa, bytes.get(..available)?)
}

/// Runs the unit in `imm` and what follows it, until something else has to be done.
///
/// # Safety
/// As every handler, on the entry of `hart.block`.
unsafe fn run(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the slot was made by `translate_block` and lives as long as the units.
    let mut index = unsafe { (*at).imm } as usize;
    let block = hart.block;
    let known = core.translator().and_then(|translator| translator.unit(index));
    if known != Some((hart.pc, true)) {
        match unit_of(hart, core, block) {
            Some(other) => index = other as usize,
            None => {
                let first = Block::first(block);
                // SAFETY: the first slot of the block that is entered.
                return unsafe { exec::execute(hart, first, core) };
            }
        }
    }
    let Some(translator) = core.translator() else { return NONE };
    let Some(mut code) = translator.code_of(index) else { return NONE };
    loop {
        let Some(translator) = core.translator() else { return NONE };
        let way_in = translator.way_in(code);
        let budget = hart.budget;
        // SAFETY: `enter` takes the pointers that `run` was given, whose references are not used
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
                        translator.link(site, found, delta);
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
