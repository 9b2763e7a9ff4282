//! Which pages were written, and when: an epoch for each page, and the log of the virtual machine.

use std::sync::Arc;

use kvm_ioctls::VmFd;
use stillpoint_vmm::memory::{Mark, PAGE_BYTES, PageSet};

/// The slot that a machine's memory is.
pub(crate) const SLOT: u32 = 0;

/// Epochs of the pages of one memory.
pub(super) struct Tracking {
    /// Epoch of the last write of each page; 0: never written.
    epochs: Vec<u32>,
    epoch: u32,
    log: Option<Arc<VmFd>>,
    /// The processor has run since the log was taken over.
    is_stale: bool,
    touched: Option<PageSet>,
}

impl Tracking {
    pub(super) fn new(pages: usize) -> Self {
        Self { epochs: vec![0; pages], epoch: 1, log: None, is_stale: false, touched: None }
    }

    pub(super) fn forked(&self) -> Self {
        let (epochs, epoch) = (self.epochs.clone(), self.epoch);
        Self { epochs, epoch, log: None, is_stale: false, touched: None }
    }

    pub(super) fn follow(&mut self, log: Arc<VmFd>) {
        self.log = Some(log);
    }

    pub(super) fn ran(&mut self) {
        self.is_stale = true;
    }

    /// Takes over what the processor has written since this was last called.
    pub(super) fn fold(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let Some(log) = &self.log else { return };
        let Ok(words) = log.get_dirty_log(SLOT, self.epochs.len() * PAGE_BYTES) else {
            // A page that may have been written counts as written.
            (0..self.epochs.len()).for_each(|page| self.written(page));
            return;
        };
        for (number, word) in words.into_iter().enumerate().filter(|(_, word)| *word != 0) {
            for bit in (0..64).filter(|bit| word >> bit & 1 == 1) {
                self.written(number * 64 + bit);
            }
        }
    }

    pub(super) fn written(&mut self, page: usize) {
        if let Some(epoch) = self.epochs.get_mut(page) {
            *epoch = self.epoch;
            self.touched(page);
        }
    }

    pub(super) fn touched(&mut self, page: usize) {
        if let Some(touched) = &mut self.touched {
            touched.insert(page);
        }
    }

    pub(super) fn was_written(&self, page: usize) -> bool {
        self.epochs.get(page).is_some_and(|epoch| *epoch != 0)
    }

    pub(super) fn mark(&mut self) -> Mark {
        // At the last epoch marks stop clearing: pages then count as written, never as clean.
        self.epoch = self.epoch.saturating_add(1);
        Mark::of(self.epoch)
    }

    pub(super) fn visit_since(&self, mark: Mark, visit: &mut dyn FnMut(usize)) {
        let pages = self.epochs.iter().enumerate();
        pages.filter(|(_, epoch)| Mark::of(**epoch) >= mark).for_each(|(page, _)| visit(page));
    }

    pub(super) fn visit_written(&self, visit: &mut dyn FnMut(usize)) {
        self.visit_since(Mark::of(1), visit);
    }

    pub(super) fn record_touched(&mut self) {
        self.touched = Some(PageSet::default());
    }

    pub(super) fn take_touched(&mut self) -> PageSet {
        self.touched.take().unwrap_or_default()
    }
}
