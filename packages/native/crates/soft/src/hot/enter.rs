//! The entry into translated code from the run loop.

use super::units::{execute_single, make_single, run_code};
use crate::core::{Core, Trouble};
use crate::exec::drive;
use crate::hart::Hart;
use crate::jit::code_page::Content;
use crate::jit::translator::Translator;

/// Maximum number of ticks that a unit takes at its entry.
const MOST_TICKS: i64 = crate::block::MAX_INSTRUCTIONS as i64;

/// Holds the translations that all machines share, for the stretch that is about to be executed.
pub fn hold_translations(core: &mut Core) {
    if core.heat.is_none() {
        return;
    }
    let store = core.store.clone();
    let cache = core.cache();
    let translator = cache
        .translator
        .get_or_insert_with(|| Box::new(Translator::new(execute_single, make_single)));
    if !translator.hold(&store) {
        cache.translator = None;
        cache.heat = None;
        core.heat = None;
    }
}

/// Executes the translation of the code at `hart.pc`, at the physical address `pa`, if it is known or can be
/// found. Returns false if there is none, and a block must be executed.
///
/// # Safety
/// The core is bound and ready to execute; the hart is between two blocks.
pub unsafe fn enter_known(hart: &mut Hart, core: &mut Core, pa: u64) -> Result<bool, Trouble> {
    if hart.budget < MOST_TICKS || core.heat.is_none() {
        return Ok(false);
    }
    let va = hart.pc;
    look_page_up(core, va, pa)?;
    let delta = pa.wrapping_sub(va);
    let Some(code) = core.translator().and_then(|translator| translator.code_at(va, delta)) else {
        return Ok(false);
    };
    hart.block = std::ptr::null();
    // SAFETY: bound and between two blocks, by the caller's contract; `code_at` has just found the code for
    // this `pc`. `run_code` returns what a handler would.
    unsafe {
        let next = run_code(hart, core, code);
        drive(hart, core, next);
    }
    Ok(true)
}

/// Adopts what others translated of the page of `pa` at the page of `va`, if that was not looked up before.
fn look_page_up(core: &mut Core, va: u64, pa: u64) -> Result<(), Trouble> {
    if core.translator().is_none_or(|translator| translator.knows(va, pa))
        || !core.may_share(va, pa)
    {
        return Ok(());
    }
    let Some(content) = core.code_page(pa)? else { return Ok(()) };
    let content: *const Content = content;
    // SAFETY: `code_page` has just given it: a page that can be read, and nothing writes to memory while the
    // translator, which has no way there, compares it.
    let content = unsafe { &*content };
    if core.translator().is_some_and(|translator| translator.adopt(va, pa, content)) {
        core.watch_view(va, pa);
    }
    Ok(())
}
