//! Memory as a snapshot and its parents describe it, shared by the machines restored from it.

use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::layer::{Layer, LayerKey};
use crate::memory::{
    Derived, LEAF_PAGES, Leaf, MemoryError, PageImage, PageTable, Slot, zero_page,
};

/// In no layer: all zero.
const ZERO: u16 = u16::MAX;

/// Maximum number of snapshots that one restore goes through.
pub(super) const MAX_LAYERS: usize = ZERO as usize - 1;

/// Layers, the newest first, and which of them has each page.
pub(super) struct Image {
    layers: Vec<Arc<Layer>>,
    layer_of: Vec<u16>,
    leaves: Vec<Option<Arc<Leaf>>>,
    derived: Arc<Derived>,
}

/// The images of this process.
#[derive(Default)]
struct Images {
    in_use: HashMap<Vec<LayerKey>, Weak<Image>>,
    /// The image of the latest restore: its read, verified and decoded data is kept for the next
    /// restore of the same snapshot, even if no machine uses it in between.
    latest: Option<Arc<Image>>,
}

static IMAGES: Mutex<Option<Images>> = Mutex::new(None);

impl Image {
    /// The image of these layers: an existing one that is in use, or a fresh one. Memory's is kept
    /// for the next restore.
    pub(super) fn of(layers: Vec<Arc<Layer>>, pages: usize, is_memory: bool) -> Arc<Self> {
        let key: Vec<LayerKey> = layers.iter().map(|layer| layer.key().clone()).collect();
        let mut images = IMAGES.lock().unwrap_or_else(PoisonError::into_inner);
        let images = images.get_or_insert_default();
        let known = images.in_use.get(&key).and_then(Weak::upgrade);
        let image = known.unwrap_or_else(|| Arc::new(Self::new(layers, pages)));
        images.in_use.retain(|_, image| image.strong_count() > 0);
        images.in_use.insert(key, Arc::downgrade(&image));
        if is_memory {
            let is_settled = image.layers.iter().all(|layer| layer.is_settled());
            images.latest = is_settled.then(|| Arc::clone(&image));
        }
        image
    }

    fn new(layers: Vec<Arc<Layer>>, pages: usize) -> Self {
        let layer_of: Vec<u16> = (0..pages)
            .map(|page| {
                let newest = layers.iter().position(|layer| layer.holds(page));
                newest.and_then(|layer| u16::try_from(layer).ok()).unwrap_or(ZERO)
            })
            .collect();
        let leaves = layer_of
            .chunks(LEAF_PAGES)
            .map(|layers| {
                if layers.iter().all(|layer| *layer == ZERO) {
                    return None;
                }
                let mut leaf = Leaf::zero();
                for (slot, layer) in leaf.slots.iter_mut().zip(layers) {
                    if *layer != ZERO {
                        *slot = Slot::image();
                    }
                }
                Some(Arc::new(leaf))
            })
            .collect();
        Self { layers, layer_of, leaves, derived: Arc::default() }
    }
}

impl PageImage for Image {
    fn page(&self, page: usize) -> Result<NonNull<u8>, MemoryError> {
        match self.layer_of.get(page).and_then(|layer| self.layers.get(usize::from(*layer))) {
            Some(layer) => layer.page(page),
            None => Ok(zero_page()),
        }
    }

    fn has(&self, page: usize) -> bool {
        self.layer_of.get(page).is_some_and(|layer| *layer != ZERO)
    }

    fn table(&self) -> PageTable {
        PageTable(self.leaves.clone())
    }

    fn derived(&self) -> &Arc<Derived> {
        &self.derived
    }
}
