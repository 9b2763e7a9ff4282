//! Data that outlives single machines: pages that are kept unchanged, and data derived from them.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use super::pages::PageRef;
use super::{LEAF_PAGES, PagedMemory, SlotView};

/// The content of one page at one moment, which neither changes nor moves while this lives, and
/// the image does that the page may be of.
///
/// Data derived from a page is stored together with this. Comparing addresses then shows whether
/// another memory of the same family (see [`Derived`]) has that page.
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
    /// The address of the page.
    pub fn address(&self) -> NonNull<u8> {
        self.address
    }
}

impl Clone for KeptPage {
    fn clone(&self) -> Self {
        Self { address: self.address, _counted: self._counted.clone() }
    }
}

/// A store for the data that an engine derived from the pages of one family: a memory, its forks
/// and theirs, and all memories restored from the same image in use. Freed with the last of them
/// and with the image.
///
/// Data stored here must not be state: a guest cannot tell whether any was found.
#[derive(Default)]
pub struct Derived(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Derived {
    /// The data stored last, if it is a `T`.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        left.downcast().ok()
    }

    /// Stores `derived` in place of earlier data.
    pub fn set<T: Any + Send + Sync>(&self, derived: Arc<T>) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(derived);
        // Freed with the lock given back.
        drop(before);
    }
}

impl PagedMemory {
    /// The family's store for data derived from its pages.
    pub fn derived(&self) -> &Derived {
        &self.derived
    }

    /// Whether the family has, or can still get, another memory.
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
