//! What outlives single machines: pages that are kept as they are, and what was derived from them.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use super::pages::PageRef;
use super::{LEAF_PAGES, PagedMemory, SlotView};

/// The content of one page at one moment, which neither changes nor moves while this lives, and
/// the image does that the page may be of.
///
/// Whoever derives something from a page and keeps this beside it finds out whether another memory
/// of the same family (see [`Derived`]) has that page by comparing addresses.
pub struct KeptPage {
    address: NonNull<u8>,
    /// `None` for a page of the family's image.
    _counted: Option<PageRef>,
}

// SAFETY: the address is compared and never read through; references to pages are counted
// atomically and may be given back by any thread.
unsafe impl Send for KeptPage {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for KeptPage {}

impl KeptPage {
    /// Where the page is.
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }
}

impl Clone for KeptPage {
    fn clone(&self) -> Self {
        Self { address: self.address, _counted: self._counted.clone() }
    }
}

/// A place for what an engine derived from the pages of one family: a memory, its forks and
/// theirs, and all memories restored from the same image in use. Gone with the last of them and
/// with the image.
///
/// What is left here must not be state: a guest cannot tell whether anything was found.
#[derive(Default)]
pub struct Derived(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Derived {
    /// What was left last, if it is a `T`.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        left.downcast().ok()
    }

    /// Leaves `derived` in place of what was left before.
    pub fn set<T: Any + Send + Sync>(&self, derived: Arc<T>) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(derived);
        // Freed with the lock given back.
        drop(before);
    }
}

impl PagedMemory {
    /// The family's place for what is derived from its pages.
    pub fn derived(&self) -> &Derived {
        &self.derived
    }

    /// Whether the family has, or can still have, another memory than this one.
    pub fn has_family(&self) -> bool {
        Arc::strong_count(&self.derived) > 1
    }

    /// Keeps the page at `gpa`. `None` for a page that no other memory can have: absent ones, and
    /// those that are this memory's alone unless it is `to_be_forked`, which makes others have
    /// them; that begins a new generation.
    pub fn keep_page(&mut self, gpa: u64, to_be_forked: bool) -> Option<KeptPage> {
        let page = self.page_number(gpa)?;
        let leaf = self.leaves[page / LEAF_PAGES].as_ref()?;
        match leaf.slots[page % LEAF_PAGES].view() {
            SlotView::Zero | SlotView::Cleared => None,
            SlotView::Image => {
                let address = self.image.as_ref()?.page(page).ok()?;
                Some(KeptPage { address, _counted: None })
            }
            SlotView::Page(own) => {
                let is_shared = Arc::strong_count(leaf) > 1 || !own.is_unique();
                if !is_shared && !to_be_forked {
                    return None;
                }
                let kept = KeptPage { address: own.address(), _counted: Some(own.clone()) };
                if !is_shared {
                    self.new_generation();
                }
                Some(kept)
            }
        }
    }
}
