//! The translated code that one machine executes: shared with others or its own, and the way to find it.

use super::Made;
use super::arena::{Arena, Translated};
use super::code_page::{Content, Page};
use super::layout::{Enter, ExecuteSingle, TABLE_ENTRIES, TABLE_ROW, TableEntry, in_table};
use super::own::OwnUnits;
use super::store::Store;
use crate::block::{AddressHasher, AddressMap, Block, Single, Translations};
use crate::hart::{FETCH_ENTRIES, Hart};
use crate::page::{PAGE_MASK, tag};
use crate::zeroed::Zeroed;
use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Weak};

use crate::block::Slot;

pub use super::layout::{Detail, LEFT_INDIRECT, LEFT_SINGLE};

/// Number of different instructions executed singly for translated code, beyond which everything is dropped:
/// more than programs have, and few enough to bound the host memory that a hostile one can use.
const MOST_SINGLES: usize = 1 << 15;

/// Number of times that a block is interpreted before it is translated, by default.
pub const DEFAULT_HEAT: Option<u32> = Some(64);

/// The machine's knowledge of a page at a virtual address.
#[derive(Clone, Copy)]
enum Known {
    /// Its content is that page's, which lives as long as the arena that is held.
    Adopted(*const Page),
    /// The page had no translations at the last look-up.
    Absent,
}

/// A page's virtual and physical address.
type Place = (u64, u64);

/// All translated code of one engine.
pub struct Translator {
    /// Held while the machine executes.
    arena: Option<Arc<Arena>>,
    /// The arena that was held last.
    last: Weak<Arena>,
    known: HashMap<Place, Known, BuildHasherDefault<AddressHasher>>,
    /// Units of pages that the machine writes to.
    own: Option<Box<OwnUnits>>,
    table: Zeroed<TableEntry>,
    singles: AddressMap<Box<Single>>,
    /// The slot that a single instruction left with.
    next: *const Slot,
    panic: Option<Box<dyn Any + Send>>,
    /// Executes one instruction for translated code.
    execute_single: ExecuteSingle,
    /// The block of one instruction alone, from its bits.
    make_single: MakeSingle,
    made: Made,
}

/// Makes the block of one instruction alone from its bits; none if it has none.
pub type MakeSingle = fn(u32) -> Option<Box<Single>>;

/// The entry into translated code. Valid until the next call to the translator.
pub struct WayIn {
    enter: Enter,
    code: *const u8,
    table: *const TableEntry,
}

impl WayIn {
    /// Runs translated code until it leaves; says how.
    ///
    /// # Safety
    /// The hart is between two instructions and its core, of the type that [`ExecuteSingle`] takes,
    /// is bound; nothing but translated code and what it calls uses either until this returns.
    pub unsafe fn enter<C>(&self, hart: &mut Hart, core: &mut C) -> u64 {
        // SAFETY: the caller's word; the thunk was assembled for these arguments (`thunks.rs`), and `Enter`
        // is their type.
        unsafe { (self.enter)(hart, (&raw mut *core).cast(), self.code, self.table) }
    }
}

impl Translator {
    /// A translator without units.
    pub fn new(execute_single: ExecuteSingle, make_single: MakeSingle) -> Self {
        Self {
            arena: None,
            last: Weak::new(),
            known: HashMap::default(),
            own: None,
            table: empty_table(),
            singles: AddressMap::default(),
            next: std::ptr::null(),
            panic: None,
            execute_single,
            make_single,
            made: Made::default(),
        }
    }

    /// Holds the store's arena until [`Self::let_go`]; knowledge of another one is dropped. Only while no
    /// translated code runs. False if the host does not let the process have executable memory.
    pub fn hold(&mut self, store: &Store) -> bool {
        if self.arena.as_ref().is_some_and(|arena| !arena.is_retired()) {
            return true;
        }
        self.arena = None;
        let Some(arena) = store.current(self.execute_single) else { return false };
        if !std::ptr::eq(self.last.as_ptr(), Arc::as_ptr(&arena)) {
            self.known.clear();
            self.table = empty_table();
            self.last = Arc::downgrade(&arena);
        }
        self.arena = Some(arena);
        true
    }

    /// Counts of its translations.
    pub fn made(&self) -> Made {
        self.made
    }

    /// Lets the arena go: a machine that does not execute keeps none.
    pub fn let_go(&mut self) {
        self.arena = None;
    }

    /// Whether another single instruction of translated code can still be remembered.
    #[inline]
    fn has_room(&self) -> bool {
        self.singles.len() < MOST_SINGLES
    }

    /// Whether it is known whether this page has translations.
    pub fn knows(&self, va: u64, pa: u64) -> bool {
        self.known.contains_key(&(va & PAGE_MASK, pa & PAGE_MASK))
    }

    /// Looks for translations of this page, whose content the caller will watch from now on: true if there
    /// are any.
    pub fn adopt(&mut self, va: u64, pa: u64, content: &Content) -> bool {
        let page = va & PAGE_MASK;
        let found = self.arena.as_ref().and_then(|arena| arena.find(page, content));
        self.made.adopted_pages += u64::from(found.is_some());
        let known = found.map_or(Known::Absent, Known::Adopted);
        self.known.insert((page, pa & PAGE_MASK), known);
        if let (Some(found), Some(arena)) = (found, &self.arena) {
            let delta = pa.wrapping_sub(va);
            // SAFETY: a page is boxed in its arena and goes with it alone; the arena is held.
            for (offset, code) in unsafe { &*found }.targets() {
                let entry =
                    TableEntry { va: page + offset as u64, delta, code: arena.address(code) };
                foresee(&mut self.table, entry);
            }
        }
        found.is_some()
    }

    /// Forgets the shared translations of the physical page `pa`, which is at these virtual pages.
    fn part(&mut self, pa: u64, vas: &[u64]) {
        for va in vas {
            self.known.remove(&(*va, pa));
            let first = in_table(*va) & !(TABLE_ROW - 1);
            self.table[first..first + TABLE_ROW].fill(TableEntry::EMPTY);
        }
        self.table[0] = TableEntry::EMPTY_FIRST;
    }

    /// The code for `va`, whose physical address is `va + delta`.
    #[inline]
    pub fn code_at(&self, va: u64, delta: u64) -> Option<*const u8> {
        self.code_in_page(va, delta).map(|(code, _)| code)
    }

    /// The code for `va`, and the shared page that it is of; `None` in its place for the machine's own code.
    #[inline]
    fn code_in_page(&self, va: u64, delta: u64) -> Option<(*const u8, Option<&Page>)> {
        if !self.has_room() {
            return None;
        }
        let pa = va.wrapping_add(delta);
        if let Some(Known::Adopted(page)) = self.known.get(&(va & PAGE_MASK, pa & PAGE_MASK))
            && let Some(arena) = &self.arena
        {
            // SAFETY: a page is boxed in its arena and goes with it alone. That arena is held: `known` is of
            // `last`, which `hold` makes the one that it takes hold of, and `known` empty where it was another.
            let page = unsafe { &**page };
            if let Some(code) = page.code((va & !PAGE_MASK) as usize) {
                return Some((arena.address(code), Some(page)));
            }
        }
        Some((self.own.as_ref()?.code_at(va, delta)?, None))
    }

    /// Translates, for all machines, the `len` bytes of code at `va` and `pa`, of a page with this content;
    /// [`Translated::Never`] if it has to be done for this machine alone.
    pub fn translate_shared(
        &mut self,
        store: &Store,
        (va, pa): (u64, u64),
        len: usize,
        content: &Content,
    ) -> Translated {
        let Some(arena) = &self.arena else { return Translated::Never };
        let place = (va & PAGE_MASK, pa & PAGE_MASK);
        let page = match self.known.get(&place) {
            Some(Known::Adopted(page)) => *page,
            _ => match arena.find_or_make(place.0, content) {
                Some(page) => page,
                None if arena.is_full() => {
                    store.begin(Some(arena), self.execute_single);
                    return Translated::Full;
                }
                None => return Translated::Never,
            },
        };
        self.known.insert(place, Known::Adopted(page));
        // SAFETY: a page is boxed in its arena and goes with it alone. That arena is held: `known` is of
        // `last`, which `hold` makes the one that it takes hold of, and `known` empty where it was another.
        let made = arena.translate(unsafe { &*page }, (va & !PAGE_MASK) as usize, len);
        match made {
            Translated::Code { instructions, bytes, .. } => {
                self.made.instructions += u64::from(instructions);
                self.made.code_bytes += bytes;
            }
            Translated::Full => {
                store.begin(Some(arena), self.execute_single);
            }
            Translated::Later | Translated::Never => {}
        }
        made
    }

    /// Translates `bytes`, the guest's code at `va` and `pa`, for this machine alone. False if there is no
    /// code for it now.
    pub fn translate_own(&mut self, va: u64, pa: u64, bytes: &[u8]) -> bool {
        if self.own.is_none() {
            self.own = OwnUnits::new(self.execute_single).map(Box::new);
        }
        let Some(own) = &mut self.own else { return false };
        let Some((instructions, bytes)) = own.translate(va, pa, bytes) else { return false };
        self.made.instructions += u64::from(instructions);
        self.made.code_bytes += bytes;
        true
    }

    /// The entry into the code at this address.
    pub fn way_in(&self, code: *const u8) -> Option<WayIn> {
        let enter = self.arena.as_ref()?.enter();
        Some(WayIn { enter, code, table: self.table.as_ptr() })
    }

    /// Keeps the result of a single instruction until translated code has been left.
    pub fn leave_single(&mut self, next: *const Slot, panic: Option<Box<dyn Any + Send>>) {
        self.next = next;
        self.panic = panic;
    }

    /// The result of the single instruction because of which translated code was left.
    pub fn take_left(&mut self) -> (*const Slot, Option<Box<dyn Any + Send>>) {
        (self.next, self.panic.take())
    }

    /// The target of the jump of a site in the machine's own code.
    pub fn target(&self, site: usize) -> Option<u64> {
        self.own.as_ref()?.target(site)
    }

    /// Finds the code for `hart.pc`, if the fetch translation is cached.
    ///
    /// # Safety
    /// The core is bound, and the hart ready.
    #[inline]
    pub unsafe fn arrive(&self, hart: &Hart) -> Option<(*const u8, u64)> {
        // SAFETY: the caller's word: `Core::prepare` has set `fetch` to an array of FETCH_ENTRIES.
        let entry = unsafe { *hart.fetch.add((hart.pc >> 12) as usize & (FETCH_ENTRIES - 1)) };
        if entry.tag != tag(hart.pc) {
            return None;
        }
        if let Some(found) = self.superseded(hart.pc, entry.delta) {
            return Some((found, entry.delta));
        }
        let (code, page) = self.code_in_page(hart.pc, entry.delta)?;
        if let Some(page) = page {
            page.note_target((hart.pc & !PAGE_MASK) as usize);
        }
        Some((code, entry.delta))
    }

    /// The code for `va` if another address took its place in the table: it may be kept beside, where no jump
    /// looks for it, in the same line of the host's cache.
    #[inline]
    fn superseded(&self, va: u64, delta: u64) -> Option<*const u8> {
        let beside = &self.table[in_table(va) ^ 1];
        (beside.va == va && beside.delta == delta && !beside.code.is_null()).then_some(beside.code)
    }

    /// Aims a site of own code at what its target turned out to be, if that is own code, too.
    pub fn link(&mut self, site: usize, va: u64, delta: u64) {
        if let Some(own) = &mut self.own {
            own.link(site, va, delta);
        }
    }

    /// Lets indirect jumps to `va`, and jumps of shared units to another page, find its code.
    pub fn remember(&mut self, va: u64, code: *const u8, delta: u64) {
        let place = in_table(va);
        let before = std::mem::replace(&mut self.table[place], TableEntry { va, delta, code });
        let beside = &mut self.table[place ^ 1];
        let is_free = beside.code.is_null() || in_table(beside.va) != place ^ 1;
        if is_free && before.va != va && !before.code.is_null() {
            *beside = before;
        }
    }

    /// The block for one instruction alone; `None` if there are too many.
    pub fn single(&mut self, raw: u32) -> Option<*const Block> {
        let full = !self.has_room();
        let made = match self.singles.entry(u64::from(raw)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if full => return None,
            Entry::Vacant(vacant) => vacant.insert((self.make_single)(raw)?),
        };
        Some(made.block())
    }
}

/// Takes an entry into the table unless that would take the place of another one.
fn foresee(table: &mut [TableEntry], entry: TableEntry) {
    let place = in_table(entry.va);
    let is_free = |at: usize| table[at].code.is_null() || in_table(table[at].va) != at;
    if let Some(at) = [place, place ^ 1].into_iter().find(|at| is_free(*at)) {
        table[at] = entry;
    }
}

fn empty_table() -> Zeroed<TableEntry> {
    // SAFETY: an entry is two integers and a pointer, which may be null, and the count is a constant above 0.
    let mut table = unsafe { Zeroed::<TableEntry>::new(TABLE_ENTRIES) };
    table[0] = TableEntry::EMPTY_FIRST;
    table
}

impl Translations for Translator {
    fn is_full(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.is_full()) || !self.has_room()
    }

    fn clear(&mut self) {
        self.table = empty_table();
        self.known.clear();
        self.singles.clear();
        if let Some(own) = &mut self.own {
            own.clear();
        }
    }

    fn kill(&mut self, pa: u64) {
        if let Some(own) = &mut self.own {
            own.kill(pa);
        }
    }

    fn part(&mut self, pa: u64, vas: &[u64]) {
        Self::part(self, pa, vas);
    }
}
