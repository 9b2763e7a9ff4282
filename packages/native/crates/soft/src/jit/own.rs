//! Units of one machine alone: of pages that it writes to.
//!
//! They are linked directly, and when the guest's code is overwritten their entry becomes a jump to
//! code that leaves.

use super::assembler::Assembler;
use super::layout::{ExecuteSingle, Links, Output, Site, Thunks};
use super::memory::CodeMemory;
use super::{thunks, unit};
use crate::block::AddressMap;

/// Bytes of address space for translated code; memory is used as code is written.
const CODE_BYTES: usize = 32 << 20;
/// Free bytes below which no further unit is begun: more than any unit needs.
const RESERVE_BYTES: usize = 64 << 10;
/// Units of one physical address at different virtual ones, beyond which further ones are
/// interpreted.
const MOST_ALIASES: usize = 16;

/// An invalid unit index.
const NO_UNIT: u32 = u32::MAX;

/// Translated code for one guest-virtual address of one guest-physical address.
struct Unit {
    va: u64,
    /// Offset of its code.
    entry: usize,
    /// Offset of the code that leaves to its own address.
    dead: usize,
    /// Whether the guest's code is still the translated one.
    live: bool,
    /// Next unit of the same physical address.
    other: u32,
}

/// The units that one machine has for itself.
pub(super) struct OwnUnits {
    memory: CodeMemory,
    thunks: Thunks,
    /// Bytes of `memory` that the thunks take.
    thunk_bytes: usize,
    assembler: Assembler,
    units: Vec<Unit>,
    /// First unit of each physical address.
    by_pa: AddressMap<u32>,
    sites: Vec<Site>,
}

impl OwnUnits {
    /// None yet. `None` if the host does not let the process have executable memory.
    pub(super) fn new(execute_single: ExecuteSingle) -> Option<Self> {
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
            assembler,
            units: Vec::new(),
            by_pa: AddressMap::default(),
            sites: Vec::new(),
        })
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

    /// The live code for `va`, whose physical address is `va + delta`.
    pub(super) fn code_at(&self, va: u64, delta: u64) -> Option<*const u8> {
        Some(self.memory.address(self.code_for(va, delta)?))
    }

    /// Whether no further unit fits.
    pub(super) fn is_full(&self) -> bool {
        self.memory.free() < RESERVE_BYTES
    }

    /// Translates `bytes`, the guest's code at `va` and `pa`. Returns how many instructions and bytes
    /// of code that made; `None` if there is no unit for it now.
    pub(super) fn translate(&mut self, va: u64, pa: u64, bytes: &[u8]) -> Option<(u8, usize)> {
        let known = self.find(pa, va);
        if let Some(index) = known
            && self.units[index as usize].live
        {
            return Some((0, 0));
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
            thunks: self.thunks,
            links: Links::Own(&mut self.sites),
        };
        let delta = pa.wrapping_sub(va);
        let shape = unit::translate(&mut out, va, delta, bytes)?;
        if !self.memory.append(self.assembler.bytes()) {
            // The reserve is larger than any unit; were it not, the unit is simply not there.
            self.sites.truncate(first_site);
            return None;
        }
        let dead = base + shape.dead;
        match known {
            Some(index) => {
                let unit = &mut self.units[index as usize];
                redirect(&mut self.memory, unit.entry, base);
                (unit.entry, unit.dead, unit.live) = (base, dead, true);
            }
            None => {
                let index = self.units.len() as u32;
                let other = self.by_pa.insert(pa, index).unwrap_or(NO_UNIT);
                self.units.push(Unit { va, entry: base, dead, live: true, other });
            }
        }
        for site in first_site..self.sites.len() {
            let site = self.sites[site];
            if site.delta == 0
                && let Some(code) = self.code_for(site.target, delta)
            {
                self.memory.aim(site.hole as usize, code);
            }
        }
        Some((shape.instructions, self.assembler.bytes().len()))
    }

    /// The target of a site's jump.
    pub(super) fn target(&self, site: usize) -> Option<u64> {
        self.sites.get(site).map(|site| site.target)
    }

    /// Aims a site at the own code that its target turned out to have, if that is own code.
    pub(super) fn link(&mut self, site: usize, va: u64, delta: u64) {
        let Some(code) = self.code_for(va, delta) else { return };
        let site = self.sites[site];
        if site.delta != 0 {
            self.memory.patch(site.delta as usize, &delta.to_le_bytes());
        }
        self.memory.aim(site.hole as usize, code);
    }

    /// Forgets all units.
    pub(super) fn clear(&mut self) {
        self.memory.truncate(self.thunk_bytes);
        self.units.clear();
        self.by_pa.clear();
        self.sites.clear();
    }

    /// Makes the units at `pa` impossible to enter: the bytes there changed.
    pub(super) fn kill(&mut self, pa: u64) {
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
