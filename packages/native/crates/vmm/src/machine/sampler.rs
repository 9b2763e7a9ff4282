//! Counting the pages that the guest dirties, at fixed steps of guest time.
//!
//! A sample is an event if pages were dirtied, or if the previous sample had pages: so a rate's
//! fall to zero is visible, and an inactive guest causes no events. The steps are multiples of
//! guest time, and the count since the last one is part of a machine's saved state: samples are the
//! same however a run is cut, captured or forked.

use crate::memory::{GuestMemory, Mark};
use crate::state::{StateError, StateReader, StateWriter};
use crate::time::Nanos;

/// Maximum number of pages in a saved state.
const MAX_PAGES: u64 = super::memory_limits::MAX_MEMORY_BYTES / 4096;

#[derive(Debug, Clone)]
pub(super) struct Sampler {
    step: Nanos,
    next_at: Nanos,
    mark: Mark,
    /// Pages dirtied since the last sample but before the mark, from a restored machine.
    carried: Vec<u32>,
    last_had_pages: bool,
}

impl Sampler {
    pub(super) fn new(step: Nanos, memory: &mut dyn GuestMemory) -> Self {
        let next_at = if step == 0 { Nanos::MAX } else { step };
        Self { step, next_at, mark: memory.mark(), carried: Vec::new(), last_had_pages: false }
    }

    /// The time of the next sample.
    pub(super) fn next_at(&self) -> Nanos {
        self.next_at
    }

    /// Whether the next sample will be an event even if the guest is inactive until then.
    pub(super) fn is_pending(&self, memory: &dyn GuestMemory) -> bool {
        self.step != 0 && (self.last_had_pages || self.count(memory) > 0)
    }

    /// Time has passed to `now` without the guest: samples that would have said nothing are over.
    pub(super) fn skip_to(&mut self, now: Nanos, memory: &dyn GuestMemory) {
        if now >= self.next_at && !self.is_pending(memory) {
            self.next_at = self.after(now);
        }
    }

    /// The first step after `now`.
    fn after(&self, now: Nanos) -> Nanos {
        now.checked_div(self.step).map_or(Nanos::MAX, |n| (n + 1).saturating_mul(self.step))
    }

    fn count(&self, memory: &dyn GuestMemory) -> u64 {
        let mut count = self.carried.len() as u64;
        memory.visit_pages_since(self.mark, &mut |page| {
            count += u64::from(self.carried.binary_search(&(page as u32)).is_err());
        });
        count
    }

    /// Guest time between two samples.
    pub(super) fn step(&self) -> Nanos {
        self.step
    }

    /// Takes the sample that is due at `now`; the count to report, if it is to be reported.
    pub(super) fn sample(&mut self, now: Nanos, memory: &mut dyn GuestMemory) -> Option<u64> {
        if now < self.next_at {
            return None;
        }
        self.next_at = self.after(now);
        let count = self.count(memory);
        let report = count > 0 || self.last_had_pages;
        self.last_had_pages = count > 0;
        if count > 0 {
            self.mark = memory.mark();
            self.carried.clear();
        }
        report.then_some(count)
    }

    pub(super) fn save(&self, memory: &dyn GuestMemory, state: &mut StateWriter) {
        let mut pages = Vec::new();
        // Without samples, nobody ever counts them.
        if self.step != 0 {
            pages.clone_from(&self.carried);
            memory.visit_pages_since(self.mark, &mut |page| pages.push(page as u32));
            if !self.carried.is_empty() {
                pages.sort_unstable();
                pages.dedup();
            }
        }
        state.u64(self.step).u64(self.next_at).bool(self.last_had_pages).u64(pages.len() as u64);
        let pages: Vec<_> = pages.into_iter().map(u32::to_le_bytes).collect();
        state.array(pages.as_flattened());
    }

    pub(super) fn load(
        memory: &mut dyn GuestMemory,
        state: &mut StateReader<'_>,
    ) -> Result<Self, StateError> {
        let step = state.u64()?;
        let next_at = state.u64()?;
        let last_had_pages = state.bool()?;
        let count = state.u64()?;
        if count > MAX_PAGES.min(memory.page_count() as u64) {
            return Err(state.refuse("at most a page number for every page", count.to_string()));
        }
        let carried = state.take(count as usize * size_of::<u32>())?.as_chunks().0;
        let carried: Vec<_> = carried.iter().map(|page| u32::from_le_bytes(*page)).collect();
        if !carried.is_sorted() {
            return Err(state.refuse("ascending page numbers", "others"));
        }
        if step == 0 && next_at != Nanos::MAX {
            return Err(state.refuse("no sample due", next_at.to_string()));
        }
        Ok(Self { step, next_at, mark: memory.mark(), carried, last_had_pages })
    }
}
