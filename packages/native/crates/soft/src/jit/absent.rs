//! The replacement for the translator on hosts that it has no code for.

use super::Made;
use crate::block::Translations;
use std::sync::{Arc, OnceLock};

/// Nothing is translated here.
pub const DEFAULT_HEAT: Option<u32> = None;

/// Translations that machines share: there are none.
#[derive(Default)]
pub struct Store(());

impl Store {
    /// An empty store.
    pub fn new(_: usize) -> Self {
        Self(())
    }

    /// The one of the process.
    pub fn of_process() -> &'static Arc<Self> {
        static STORE: OnceLock<Arc<Store>> = OnceLock::new();
        STORE.get_or_init(Arc::default)
    }

    /// Bytes of code, and pages that it was made from: none.
    pub fn size(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Never made.
pub enum Translator {}

impl Translator {
    /// Never called, as below.
    pub fn made(&self) -> Made {
        match *self {}
    }

    /// Never called: there is no translator.
    pub fn let_go(&mut self) {
        match *self {}
    }
}

impl Translations for Translator {
    fn is_full(&self) -> bool {
        match *self {}
    }

    fn clear(&mut self) {
        match *self {}
    }

    fn kill(&mut self, _: u64) {
        match *self {}
    }

    fn part(&mut self, _: u64, _: &[u64]) {
        match *self {}
    }
}
