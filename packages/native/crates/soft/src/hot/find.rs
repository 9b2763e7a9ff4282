//! Finding and making the unit for an address.

use crate::block::Block;
use crate::core::Core;
use crate::hart::Hart;
use crate::jit::arena::Translated;
use crate::page::NO_TAG;

/// The available code for a block.
pub(super) enum Found {
    /// Code, to be found again by its address.
    Code,
    /// Nothing yet: ask again.
    Later,
    /// Nothing.
    Never,
}

/// The unit for the block as it is entered now, translated if need be.
///
/// # Safety
/// `block` is a live block of the cache, or a shared one, and `hart.pc` the virtual address of its start.
pub(super) unsafe fn code_for(hart: &Hart, core: &mut Core, block: *const Block) -> Found {
    // SAFETY: the caller's word: live.
    let (pa, len, second_page) = unsafe { ((*block).pa, (*block).bytes, (*block).second_page) };
    let va = hart.pc;
    if second_page != NO_TAG || core.translator().is_none() {
        return Found::Never;
    }
    let delta = pa.wrapping_sub(va);
    if core.translator().is_some_and(|translator| translator.code_at(va, delta).is_some()) {
        return Found::Code;
    }
    let Ok(Some(content)) = core.code_page(pa) else { return Found::Never };
    let content = *content;
    if core.may_share(va, pa) {
        let store = core.store.clone();
        let made = core.translator().map(|translator| {
            translator.translate_shared(&store, (va, pa), usize::from(len), &content)
        });
        match made {
            Some(Translated::Code { .. }) => {
                core.watch_view(va, pa);
                return Found::Code;
            }
            Some(Translated::Later | Translated::Full) => {
                core.watch_view(va, pa);
                return Found::Later;
            }
            Some(Translated::Never) | None => {}
        }
    }
    let first = (pa & !crate::page::PAGE_MASK) as usize;
    let bytes = &content[first..(first + usize::from(len)).min(content.len())];
    match core.translator().is_some_and(|translator| translator.translate_own(va, pa, bytes)) {
        true => Found::Code,
        false => Found::Never,
    }
}
