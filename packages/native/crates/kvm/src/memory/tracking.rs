//! The pages that were written, and when: from the bookkeeping, and from the virtual machine's log.

use std::sync::Arc;

use kvm_ioctls::VmFd;
use stillpoint_vmm::memory::{PAGE_BYTES, PageEpochs};

/// The slot that a machine's memory is.
pub(crate) const SLOT: u32 = 0;

/// Epochs of the pages of one memory, and who says of more that were written.
pub(super) struct Tracking {
    pub(super) epochs: PageEpochs,
    log: Option<Arc<VmFd>>,
    /// The processor has run since the log was taken over.
    is_stale: bool,
}

impl Tracking {
    pub(super) fn new(epochs: PageEpochs) -> Self {
        Self { epochs, log: None, is_stale: false }
    }

    pub(super) fn follow(&mut self, log: Arc<VmFd>) {
        self.log = Some(log);
    }

    pub(super) fn ran(&mut self) {
        self.is_stale = true;
    }

    /// Takes over the processor's writes since the last call.
    pub(super) fn fold(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let Some(log) = &self.log else { return };
        let pages = self.epochs.page_count();
        let Ok(words) = log.get_dirty_log(SLOT, pages * PAGE_BYTES) else {
            // A page that may have been written counts as written.
            (0..pages).for_each(|page| self.epochs.written(page));
            return;
        };
        for (number, word) in words.into_iter().enumerate().filter(|(_, word)| *word != 0) {
            for bit in (0..64).filter(|bit| word >> bit & 1 == 1) {
                self.epochs.written(number * 64 + bit);
            }
        }
    }
}
