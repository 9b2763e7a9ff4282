//! Units, how they find each other, and the way in and out of translated code.

use super::assembler::Assembler;
use super::memory::CodeMemory;
use super::unit::{
    self, Detail, LEFT_INDIRECT, LEFT_SINGLE, MAX_INSTRUCTIONS, Output, Site, TABLE_ENTRIES,
    TableEntry, Thunks,
};
use crate::block::{AddressMap, Block, Draft, Head, Place, Single, Slot};
use crate::core::Core;
use crate::decode::decode;
use crate::exec::{NONE, arrive};
use crate::hart::{FETCH_ENTRIES, Hart, Leave, NO_TAG};
use crate::lower::Lowering;
use std::any::Any;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
    /// Guest instructions translated so far.
    pub translated: u64,
}

/// The slot that stands behind a single instruction: it completed, and nothing else happened.
///
/// # Safety
/// As every handler; `hart.block` is a [`Single`].
unsafe fn completed(hart: &mut Hart, at: *const Slot, _: &mut Core) -> *const Slot {
    // SAFETY: the handler's own slot.
    let place = unsafe { Block::place(hart.block, at) };
    hart.pc = hart.pc.wrapping_add(2 * u64::from(place.half));
    hart.budget -= 1;
    at
}

type Enter = extern "sysv64" fn(*mut Hart, *mut Core, *const u8, *const TableEntry) -> u64;

impl Translator {
    /// A translator without units. `None` if the host does not let the process have executable
    /// memory.
    pub fn new() -> Option<Self> {
        let mut memory = CodeMemory::new(CODE_BYTES)?;
        let mut assembler = Assembler::new();
        let thunks = unit::thunks(&mut assembler, execute_single as *const () as usize);
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
            next: NONE,
            panic: None,
            translated: 0,
        })
    }

    /// Whether no further unit or single instruction fits.
    pub fn is_full(&self) -> bool {
        self.memory.free() < RESERVE_BYTES || self.singles.len() >= MOST_SINGLES
    }

    /// Bytes of translated code.
    pub fn code_bytes(&self) -> usize {
        self.memory.used()
    }

    /// Forgets all units. Only while none of them runs, and together with all blocks.
    pub fn clear(&mut self) {
        self.memory.truncate(self.thunk_bytes);
        self.table.fill(TableEntry::EMPTY);
        self.units.clear();
        self.by_pa.clear();
        self.details.clear();
        self.sites.clear();
        self.entries.clear();
        self.singles.clear();
    }

    /// Makes the units at `pa` impossible to enter: the bytes that they were made from changed.
    pub fn kill(&mut self, pa: u64) {
        let mut index = self.by_pa.get(&pa).copied().unwrap_or(NO_UNIT);
        while let Some(unit) = self.units.get_mut(index as usize) {
            if unit.live {
                unit.live = false;
                redirect(&mut self.memory, unit.entry, unit.dead);
            }
            index = unit.other;
        }
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
    fn translate(&mut self, va: u64, pa: u64, bytes: &[u8]) -> Option<u32> {
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

    /// Finds the code for `hart.pc`, if the fetch translation is at hand.
    fn arrive(&self, hart: &Hart) -> Option<(usize, u64)> {
        // SAFETY: while bound, `fetch` has FETCH_ENTRIES entries.
        let entry = unsafe { *hart.fetch.add((hart.pc >> 12) as usize & (FETCH_ENTRIES - 1)) };
        if entry.tag != hart.pc & !0xfff {
            return None;
        }
        Some((self.code_for(hart.pc, entry.delta)?, entry.delta))
    }

    /// Aims a site at what its target turned out to be.
    fn link(&mut self, site: usize, code: usize, delta: u64) {
        let site = self.sites[site];
        if site.delta != 0 {
            self.memory.patch(site.delta as usize, &delta.to_le_bytes());
        }
        self.memory.aim(site.hole as usize, code);
    }

    fn remember(&mut self, va: u64, code: usize, delta: u64) {
        let code = self.memory.address(code);
        self.table[(va >> 1) as usize & (TABLE_ENTRIES - 1)] = TableEntry { va, delta, code };
    }

    /// The block for one instruction alone; `None` if there are too many.
    fn single(&mut self, detail: usize) -> Option<*const Block> {
        let Detail { raw, single, .. } = self.details[detail];
        if !single.is_null() {
            return Some(single);
        }
        let full = self.singles.len() >= MOST_SINGLES;
        let made = match self.singles.entry(u64::from(raw)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if full => return None,
            Entry::Vacant(vacant) => vacant.insert(make_single(raw)?),
        };
        let single = made.block();
        self.details[detail].single = single;
        Some(single)
    }
}

/// The instruction's operation, and behind it [`completed`].
fn make_single(raw: u32) -> Option<Box<Single>> {
    let inst = decode(raw);
    let mut lowering = Lowering::new(0);
    lowering.add(&inst);
    let first = *lowering.finish().drafts.first()?;
    let behind = Draft {
        slot: Slot { head: Head { run: completed }, reg: [0; 4], imm: 0 },
        place: Place { index: 1, half: inst.len / 2 },
        is_link: false,
    };
    Single::new(raw, &[first, behind])
}

/// Overwrites the code at `from` with a jump to `to`.
fn redirect(memory: &mut CodeMemory, from: usize, to: usize) {
    memory.patch(from, &[0xe9]);
    memory.aim(from + 1, to);
}

/// Executes the instruction of a detail for translated code. 0: it completed, and the next one
/// may follow at once.
///
/// # Safety
/// Called by the thunk `single` alone, with the pointers that [`run`] entered with.
unsafe extern "sysv64" fn execute_single(hart: *mut Hart, core: *mut Core, detail: u32) -> u32 {
    // SAFETY: `run` has given up its references for the length of the translated code.
    let (hart, core) = unsafe { (&mut *hart, &mut *core) };
    // A panic must not unwind through translated code, which has no unwind tables.
    let (next, panic) = match catch_unwind(AssertUnwindSafe(|| execute(hart, core, detail))) {
        // Translated code counts the unit's ticks at its entry and has them in a register.
        Ok(None) => return 0,
        Ok(Some(next)) => (next, None),
        Err(panic) => (NONE, Some(panic)),
    };
    if let Some(translator) = core.translator() {
        translator.next = next;
        translator.panic = panic;
    }
    1
}

/// Executes the instruction of a detail. `None`: it completed, and nothing else happened;
/// otherwise what a handler returns.
fn execute(hart: &mut Hart, core: &mut Core, detail: u32) -> Option<*const Slot> {
    let epoch = core.cache().epoch;
    let known = core.translator().and_then(|translator| {
        let Detail { pc, undo, .. } = *translator.details.get(detail as usize)?;
        hart.pc = pc;
        hart.budget += i64::from(undo);
        translator.single(detail as usize)
    });
    let Some(block) = known else {
        // Between two instructions, the next of which the interpreter takes from its own block.
        hart.leave = Leave::Lookup;
        return Some(NONE);
    };
    hart.block = block;
    let at = Block::first(block);
    // SAFETY: the block is boxed in the translator and its slots follow it there; the core is
    // bound while translated code runs.
    let next = unsafe { ((*at).head.run)(hart, at, core) };
    if next != at.wrapping_add(1) {
        return Some(next);
    }
    if core.cache().epoch == epoch {
        return None;
    }
    hart.leave = Leave::Event;
    Some(NONE)
}

/// The slot that untranslated blocks are entered through: counts, and translates in the end.
pub fn counting() -> *const Slot {
    &raw const COUNTING.0
}

struct Shared(Slot);

// SAFETY: nobody writes to it.
unsafe impl Sync for Shared {}

static COUNTING: Shared = Shared(Slot { head: Head { run: count }, reg: [0; 4], imm: 0 });

/// # Safety
/// As every handler, on the entry of `hart.block`.
unsafe fn count(hart: &mut Hart, _: *const Slot, core: &mut Core) -> *const Slot {
    let block = hart.block.cast_mut();
    // SAFETY: `hart.block` is live; its header is read and written through this pointer alone
    // here, its slots are entered as `drive` would.
    unsafe {
        if (*block).heat > 0 {
            (*block).heat -= 1;
            let first = Block::first(block);
            return ((*first).head.run)(hart, first, core);
        }
        let entry = translate_block(hart, core, block).unwrap_or(Block::first(block));
        (*block).entry = entry;
        ((*entry).head.run)(hart, entry, core)
    }
}

/// Translates the block for the address that it is entered at. Returns the slot to enter it by.
///
/// # Safety
/// `block` is a live block of the cache, `hart.pc` its virtual address.
unsafe fn translate_block(
    hart: &Hart,
    core: &mut Core,
    block: *const Block,
) -> Option<*const Slot> {
    if core.translator().is_none() {
        let made = Translator::new();
        let cache = core.cache();
        if made.is_none() {
            cache.heat = None;
        }
        cache.translator = made.map(Box::new);
    }
    let index = unit_of(hart, core, block)?;
    let translator = core.translator()?;
    let slot = Slot { head: Head { run }, reg: [0; 4], imm: index as i32 };
    translator.entries.push(Box::new(slot));
    translator.entries.last().map(|slot| &raw const **slot)
}

/// The unit for the block as it is entered now, translated if need be.
fn unit_of(hart: &Hart, core: &mut Core, block: *const Block) -> Option<u32> {
    // SAFETY: the callers' `block` is live.
    let (pa, len, second_page) = unsafe { ((*block).pa, (*block).bytes, (*block).second_page) };
    if second_page != NO_TAG {
        return None;
    }
    let mut bytes = [0u8; 4 * MAX_INSTRUCTIONS];
    let bytes = bytes.get_mut(..usize::from(len))?;
    let available = core.fetch_bytes(pa, bytes).ok()?;
    core.translator()?.translate(hart.pc, pa, bytes.get(..available)?)
}

/// Runs the unit in `imm` and what follows it, until something else has to be done.
///
/// # Safety
/// As every handler, on the entry of `hart.block`.
unsafe fn run(hart: &mut Hart, at: *const Slot, core: &mut Core) -> *const Slot {
    // SAFETY: the slot was made by `translate_block` and lives as long as the units.
    let mut index = unsafe { (*at).imm } as usize;
    let block = hart.block;
    let known = core.translator().and_then(|t| t.units.get(index)).map(|u| (u.va, u.live));
    if known != Some((hart.pc, true)) {
        match unit_of(hart, core, block) {
            Some(other) => index = other as usize,
            None => {
                let first = Block::first(block);
                // SAFETY: the first slot of the block that is entered.
                return unsafe { ((*first).head.run)(hart, first, core) };
            }
        }
    }
    let Some(translator) = core.translator() else { return NONE };
    let mut code = translator.units[index].entry;
    loop {
        let Some(translator) = core.translator() else { return NONE };
        let address = translator.memory.address(code);
        let table = translator.table.as_ptr();
        // SAFETY: the thunk was assembled as a function of this type.
        let enter: Enter = unsafe {
            std::mem::transmute::<*const u8, Enter>(
                translator.memory.address(translator.thunks.enter),
            )
        };
        let left = enter(hart, core, address, table);
        let Some(translator) = core.translator() else { return NONE };
        match left {
            LEFT_SINGLE => {
                if let Some(panic) = translator.panic.take() {
                    resume_unwind(panic);
                }
                return translator.next;
            }
            LEFT_INDIRECT => match translator.arrive(hart) {
                Some((found, delta)) => {
                    translator.remember(hart.pc, found, delta);
                    code = found;
                }
                // SAFETY: bound, between blocks.
                None => return unsafe { arrive(hart) },
            },
            site if site < translator.sites.len() as u64 => {
                let site = site as usize;
                hart.pc = translator.sites[site].target;
                match translator.arrive(hart) {
                    Some((found, delta)) => {
                        translator.link(site, found, delta);
                        code = found;
                    }
                    // SAFETY: bound, between blocks.
                    None => return unsafe { arrive(hart) },
                }
            }
            // SAFETY: bound, between blocks.
            _ => return unsafe { arrive(hart) },
        }
    }
}
