//! Units, how they find each other, and what is kept for the way in and out of them.

use super::assembler::Assembler;
use super::layout::{Detail, Output, Site, TABLE_ENTRIES, TableEntry, Thunks};
use super::memory::CodeMemory;
use super::{thunks, unit};
use crate::block::{AddressMap, Block, Single, Slot, Translations};
use crate::hart::{FETCH_ENTRIES, Hart};
use crate::page::tag;
use std::any::Any;
use std::collections::hash_map::Entry;
use std::ffi::c_void;

pub use super::layout::{LEFT_INDIRECT, LEFT_SINGLE};

/// Bytes of address space for translated code; memory is used as code is written.
const CODE_BYTES: usize = 32 << 20;
/// Free bytes below which no further unit is begun: more than any unit needs.
const RESERVE_BYTES: usize = 64 << 10;
/// Units of one physical address at different virtual ones, beyond which further ones are
/// interpreted.
const MOST_ALIASES: usize = 16;

/// Different instructions executed alone for translated code, beyond which everything is dropped:
/// more than programs have, few enough to bound what a hostile one makes the host allocate.
const MOST_SINGLES: usize = 1 << 15;

/// How often a block is interpreted before it is translated, unless the engine is told otherwise.
pub const DEFAULT_HEAT: Option<u32> = Some(64);

/// What no unit index is.
const NO_UNIT: u32 = u32::MAX;

/// Translated code for one guest-virtual address of one guest-physical address.
struct Unit {
    va: u64,
    /// Offset of its code.
    entry: usize,
    /// Offset of the code that leaves to its own address.
    dead: usize,
    /// Whether the guest's code is still what was translated.
    live: bool,
    /// Next unit of the same physical address.
    other: u32,
}

/// All translated code of one engine.
pub struct Translator {
    memory: CodeMemory,
    thunks: Thunks,
    /// Bytes of `memory` that the thunks take.
    thunk_bytes: usize,
    table: Box<[TableEntry]>,
    assembler: Assembler,
    units: Vec<Unit>,
    /// First unit of each physical address.
    by_pa: AddressMap<u32>,
    details: Vec<Detail>,
    sites: Vec<Site>,
    /// What blocks are entered by. Boxed, because blocks keep their addresses.
    #[allow(clippy::vec_box)]
    entries: Vec<Box<Slot>>,
    singles: AddressMap<Box<Single>>,
    /// What a single instruction left with.
    next: *const Slot,
    panic: Option<Box<dyn Any + Send>>,
    /// The block of one instruction alone, from its bits.
    make_single: MakeSingle,
    /// Guest instructions translated so far.
    pub translated: u64,
}

/// Makes the block of one instruction alone from its bits; none if it has none.
pub type MakeSingle = fn(u32) -> Option<Box<Single>>;

/// Executes the instruction of a detail for translated code: 0 if the next one may follow at once.
/// What the engine has besides the hart is opaque to translated code.
pub type ExecuteSingle = unsafe extern "sysv64" fn(*mut Hart, *mut c_void, u32) -> u32;

type Enter = unsafe extern "sysv64" fn(*mut Hart, *mut c_void, *const u8, *const TableEntry) -> u64;

/// Where translated code is entered. Good until the next call to the translator.
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
        // SAFETY: the caller's word; the code was assembled for these arguments.
        unsafe { (self.enter)(hart, (&raw mut *core).cast(), self.code, self.table) }
    }
}

impl Translator {
    /// A translator without units. `None` if the host does not let the process have executable
    /// memory.
    pub fn new(execute_single: ExecuteSingle, make_single: MakeSingle) -> Option<Self> {
        let mut memory = CodeMemory::new(CODE_BYTES)?;
        let mut assembler = Assembler::new();
        let thunks = thunks::thunks(&mut assembler, execute_single as *const () as usize);
        if !memory.append(assembler.bytes()) {
            return None;
        }
        let thunk_bytes = memory.used();
        Some(Self {
            memory,
            thunks,
            thunk_bytes,
            table: vec![TableEntry::EMPTY; TABLE_ENTRIES].into_boxed_slice(),
            assembler,
            units: Vec::new(),
            by_pa: AddressMap::default(),
            details: Vec::new(),
            sites: Vec::new(),
            entries: Vec::new(),
            singles: AddressMap::default(),
            next: std::ptr::null(),
            panic: None,
            make_single,
            translated: 0,
        })
    }

    /// Bytes of translated code.
    pub fn code_bytes(&self) -> usize {
        self.memory.used()
    }

    fn find(&self, pa: u64, va: u64) -> Option<u32> {
        let mut index = self.by_pa.get(&pa).copied()?;
        while let Some(unit) = self.units.get(index as usize) {
            if unit.va == va {
                return Some(index);
            }
            index = unit.other;
        }
        None
    }

    fn aliases(&self, pa: u64) -> usize {
        let mut index = self.by_pa.get(&pa).copied().unwrap_or(NO_UNIT);
        let mut count = 0;
        while let Some(unit) = self.units.get(index as usize) {
            count += 1;
            index = unit.other;
        }
        count
    }

    /// Offset of the live code for `va`, whose physical address is `va + delta`.
    fn code_for(&self, va: u64, delta: u64) -> Option<usize> {
        let unit = &self.units[self.find(va.wrapping_add(delta), va)? as usize];
        unit.live.then_some(unit.entry)
    }

    /// Translates `bytes`, the guest's code at `va` and `pa`. Returns the unit's index.
    pub fn translate(&mut self, va: u64, pa: u64, bytes: &[u8]) -> Option<u32> {
        let known = self.find(pa, va);
        if let Some(index) = known
            && self.units[index as usize].live
        {
            return known;
        }
        if self.is_full() || known.is_none() && self.aliases(pa) >= MOST_ALIASES {
            return None;
        }
        let base = self.memory.used();
        let first_site = self.sites.len();
        self.assembler.clear();
        let mut out = Output {
            code: &mut self.assembler,
            base,
            details: &mut self.details,
            sites: &mut self.sites,
            thunks: self.thunks,
        };
        let delta = pa.wrapping_sub(va);
        let shape = unit::translate(&mut out, va, delta, bytes)?;
        if !self.memory.append(self.assembler.bytes()) {
            // The reserve is larger than any unit; were it not, the unit is simply not there.
            self.sites.truncate(first_site);
            return None;
        }
        self.translated += u64::from(shape.instructions);
        let dead = base + shape.dead;
        let index = match known {
            Some(index) => {
                let unit = &mut self.units[index as usize];
                redirect(&mut self.memory, unit.entry, base);
                (unit.entry, unit.dead, unit.live) = (base, dead, true);
                index
            }
            None => {
                let index = self.units.len() as u32;
                let other = self.by_pa.insert(pa, index).unwrap_or(NO_UNIT);
                self.units.push(Unit { va, entry: base, dead, live: true, other });
                index
            }
        };
        for site in first_site..self.sites.len() {
            let site = self.sites[site];
            if site.delta == 0
                && let Some(code) = self.code_for(site.target, delta)
            {
                self.memory.aim(site.hole as usize, code);
            }
        }
        Some(index)
    }

    /// The virtual address of a unit, and whether it may be entered.
    pub fn unit(&self, index: usize) -> Option<(u64, bool)> {
        self.units.get(index).map(|unit| (unit.va, unit.live))
    }

    /// Offset of a unit's code.
    pub fn code_of(&self, index: usize) -> Option<usize> {
        self.units.get(index).map(|unit| unit.entry)
    }

    /// How the code at this offset is entered.
    pub fn way_in(&self, code: usize) -> WayIn {
        // SAFETY: the thunk was assembled as a function of this type.
        let enter = unsafe {
            std::mem::transmute::<*const u8, Enter>(self.memory.address(self.thunks.enter))
        };
        WayIn { enter, code: self.memory.address(code), table: self.table.as_ptr() }
    }

    /// Keeps a slot that blocks are entered by.
    pub fn add_entry(&mut self, slot: Slot) -> *const Slot {
        let slot = Box::new(slot);
        let address = &raw const *slot;
        self.entries.push(slot);
        address
    }

    /// The address of a detail's instruction, and the ticks that the hart gets back before it
    /// executes.
    pub fn before_single(&self, detail: usize) -> Option<(u64, u8)> {
        self.details.get(detail).map(|detail| (detail.pc, detail.undo))
    }

    /// Keeps what a single instruction left with, until translated code has been left.
    pub fn leave_single(&mut self, next: *const Slot, panic: Option<Box<dyn Any + Send>>) {
        self.next = next;
        self.panic = panic;
    }

    /// What the single instruction left with, because of which translated code was left.
    pub fn take_left(&mut self) -> (*const Slot, Option<Box<dyn Any + Send>>) {
        (self.next, self.panic.take())
    }

    /// Where a site's jump goes.
    pub fn target(&self, site: usize) -> Option<u64> {
        self.sites.get(site).map(|site| site.target)
    }

    /// Finds the code for `hart.pc`, if the fetch translation is at hand.
    pub fn arrive(&self, hart: &Hart) -> Option<(usize, u64)> {
        // SAFETY: while bound, `fetch` has FETCH_ENTRIES entries.
        let entry = unsafe { *hart.fetch.add((hart.pc >> 12) as usize & (FETCH_ENTRIES - 1)) };
        if entry.tag != tag(hart.pc) {
            return None;
        }
        Some((self.code_for(hart.pc, entry.delta)?, entry.delta))
    }

    /// Aims a site at what its target turned out to be.
    pub fn link(&mut self, site: usize, code: usize, delta: u64) {
        let site = self.sites[site];
        if site.delta != 0 {
            self.memory.patch(site.delta as usize, &delta.to_le_bytes());
        }
        self.memory.aim(site.hole as usize, code);
    }

    /// Lets indirect jumps to `va` find its code.
    pub fn remember(&mut self, va: u64, code: usize, delta: u64) {
        let code = self.memory.address(code);
        self.table[(va >> 1) as usize & (TABLE_ENTRIES - 1)] = TableEntry { va, delta, code };
    }

    /// The block for one instruction alone; `None` if there are too many.
    pub fn single(&mut self, detail: usize) -> Option<*const Block> {
        let Detail { raw, single, .. } = self.details[detail];
        if !single.is_null() {
            return Some(single);
        }
        let full = self.singles.len() >= MOST_SINGLES;
        let made = match self.singles.entry(u64::from(raw)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if full => return None,
            Entry::Vacant(vacant) => vacant.insert((self.make_single)(raw)?),
        };
        let single = made.block();
        self.details[detail].single = single;
        Some(single)
    }
}

impl Translations for Translator {
    fn is_full(&self) -> bool {
        self.memory.free() < RESERVE_BYTES || self.singles.len() >= MOST_SINGLES
    }

    fn clear(&mut self) {
        self.memory.truncate(self.thunk_bytes);
        self.table.fill(TableEntry::EMPTY);
        self.units.clear();
        self.by_pa.clear();
        self.details.clear();
        self.sites.clear();
        self.entries.clear();
        self.singles.clear();
    }

    fn kill(&mut self, pa: u64) {
        let mut index = self.by_pa.get(&pa).copied().unwrap_or(NO_UNIT);
        while let Some(unit) = self.units.get_mut(index as usize) {
            if unit.live {
                unit.live = false;
                redirect(&mut self.memory, unit.entry, unit.dead);
            }
            index = unit.other;
        }
    }
}

/// Overwrites the code at `from` with a jump to `to`.
fn redirect(memory: &mut CodeMemory, from: usize, to: usize) {
    memory.patch(from, &[0xe9]);
    memory.aim(from + 1, to);
}
