//! Address translation: Sv39 and Sv48 page tables and the translation cache.
//!
//! The cache ([`Tlb`]) is architectural state: a stale entry is visible to the guest until it
//! executes `SFENCE.VMA`, so its content must follow from the guest's own history and nothing
//! else, and it is saved, loaded and forked with the registers. Two direct-mapped arrays, one for
//! data and one for fetches, replaced only by misses of their own kind. An entry only ever
//! grants: an access that a cached entry would refuse walks the tables again before it faults,
//! so a guest that only widens permissions needs no fence.
//!
//! Superpages are cached as the 4 KiB pieces that are used; each remembers its level, so that a
//! fence for one address removes all pieces of the superpage.
//!
//! Hardware sets A and D (Svadu). Source: The RISC-V Instruction Set Manual, volume II,
//! "Supervisor-Level ISA", sections on `satp`, Sv39, Sv48 and SFENCE.VMA.

use crate::hart::{DATA_ENTRIES, FETCH_ENTRIES};
use crate::page::NO_TAG;
use std::sync::Arc;

/// Page table entry bits.
pub mod pte {
    /// Valid.
    pub const V: u64 = 1;
    /// Readable.
    pub const R: u64 = 1 << 1;
    /// Writable.
    pub const W: u64 = 1 << 2;
    /// Executable.
    pub const X: u64 = 1 << 3;
    /// Accessible in user mode.
    pub const U: u64 = 1 << 4;
    /// Global: in every address space.
    pub const G: u64 = 1 << 5;
    /// Accessed.
    pub const A: u64 = 1 << 6;
    /// Dirty.
    pub const D: u64 = 1 << 7;
    /// Bits that no implemented extension gives a meaning.
    pub const RESERVED: u64 = 0xffc0_0000_0000_0000;
    /// Shift of the physical page number.
    pub const PPN_SHIFT: u32 = 10;
    /// Bits of the physical page number, after the shift.
    pub const PPN_MASK: u64 = (1 << 44) - 1;
}

/// The kind of an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Instruction fetch.
    Fetch,
    /// Load or load-reserved.
    Load,
    /// Store, store-conditional or atomic operation.
    Store,
}

impl Access {
    /// The exception code of a page fault of this access.
    pub fn page_fault(self) -> u64 {
        match self {
            Self::Fetch => 12,
            Self::Load => 13,
            Self::Store => 15,
        }
    }

    /// The exception code of an access fault of this access.
    pub fn access_fault(self) -> u64 {
        match self {
            Self::Fetch => 1,
            Self::Load => 5,
            Self::Store => 7,
        }
    }
}

/// Translation mode of `satp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No translation.
    Bare,
    /// Page tables of this many levels.
    Levels(u32),
}

/// The mode that `satp` selects; `None` for one that is not implemented.
pub fn mode(satp: u64) -> Option<Mode> {
    match satp >> 60 {
        0 => Some(Mode::Bare),
        8 => Some(Mode::Levels(3)),
        9 => Some(Mode::Levels(4)),
        _ => None,
    }
}

/// The address space identifier in `satp`.
pub fn asid(satp: u64) -> u16 {
    (satp >> 44) as u16
}

/// One cached translation of a 4 KiB page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlbEntry {
    /// Virtual page address, or [`NO_TAG`] if the entry is empty.
    pub page: u64,
    /// The leaf entry as it is in memory now, its page number replaced by that of the 4 KiB page.
    pub pte: u64,
    /// Address space, meaningless for a global entry.
    pub asid: u16,
    /// Level of the leaf: 0 for 4 KiB, 1 for 2 MiB, and so on.
    pub level: u8,
}

impl TlbEntry {
    /// An entry that matches nothing.
    pub const EMPTY: Self = Self { page: NO_TAG, pte: 0, asid: 0, level: 0 };

    /// Guest-physical address of the page.
    pub fn physical_page(&self) -> u64 {
        (self.pte >> pte::PPN_SHIFT & pte::PPN_MASK) << 12
    }

    /// Whether it applies to every address space.
    pub fn is_global(&self) -> bool {
        self.pte & pte::G != 0
    }

    fn matches(&self, page: u64, asid: u16) -> bool {
        self.page == page && (self.is_global() || self.asid == asid)
    }
}

/// The translation cache. Forks share the arrays until one of them misses.
#[derive(Clone)]
pub struct Tlb {
    /// Data translations, entry `(va >> 12) % DATA_ENTRIES`.
    pub data: Arc<[TlbEntry]>,
    /// Fetch translations, entry `(va >> 12) % FETCH_ENTRIES`.
    pub fetch: Arc<[TlbEntry]>,
    /// First and last address of a range that holds every piece of a superpage in the cache. Not
    /// state: it may be too wide.
    superpages: (u64, u64),
}

impl Tlb {
    /// An empty cache.
    pub fn new() -> Self {
        Self {
            data: vec![TlbEntry::EMPTY; DATA_ENTRIES].into(),
            fetch: vec![TlbEntry::EMPTY; FETCH_ENTRIES].into(),
            superpages: NO_SUPERPAGES,
        }
    }

    /// The place of a translation of `va` for `access`.
    fn slot(&mut self, va: u64, access: Access) -> &mut TlbEntry {
        let page = (va >> 12) as usize;
        match access {
            Access::Fetch => &mut Arc::make_mut(&mut self.fetch)[page % FETCH_ENTRIES],
            Access::Load | Access::Store => &mut Arc::make_mut(&mut self.data)[page % DATA_ENTRIES],
        }
    }

    /// The cached entry for `va`, if there is one.
    pub fn find(&self, va: u64, access: Access, asid: u16) -> Option<TlbEntry> {
        let page = (va >> 12) as usize;
        let entry = match access {
            Access::Fetch => self.fetch[page % FETCH_ENTRIES],
            Access::Load | Access::Store => self.data[page % DATA_ENTRIES],
        };
        entry.matches(va & !0xfff, asid).then_some(entry)
    }

    /// Keeps a translation.
    pub fn insert(&mut self, entry: TlbEntry, access: Access) {
        if entry.level > 0 {
            let span = superpage_span(entry.level);
            self.superpages.0 = self.superpages.0.min(entry.page & span);
            self.superpages.1 = self.superpages.1.max(entry.page | !span);
        }
        *self.slot(entry.page, access) = entry;
    }

    /// Removes what `SFENCE.VMA` with these operands removes. `va` and `asid` are `None` where
    /// the instruction names `x0`. Says where translations were removed.
    pub fn fence(&mut self, va: Option<u64>, asid: Option<u16>) -> Removed {
        let removes = |entry: &TlbEntry| {
            let space = asid.is_none_or(|asid| entry.pte & pte::G == 0 && entry.asid == asid);
            let span = superpage_span(entry.level);
            space && va.is_none_or(|va| (va ^ entry.page) & span == 0)
        };
        if let Some(va) = va
            && !(self.superpages.0..=self.superpages.1).contains(&va)
        {
            let mut remove = |access| {
                let slot = self.slot(va, access);
                let removed = slot.page != NO_TAG && removes(slot);
                if removed {
                    *slot = TlbEntry::EMPTY;
                }
                removed
            };
            return Removed::At { va, data: remove(Access::Load), fetch: remove(Access::Fetch) };
        }
        let (data, fetch) = (Arc::make_mut(&mut self.data), Arc::make_mut(&mut self.fetch));
        for entry in data.iter_mut().chain(fetch) {
            if removes(entry) {
                *entry = TlbEntry::EMPTY;
            }
        }
        if va.is_none() && asid.is_none() {
            self.superpages = NO_SUPERPAGES;
        }
        match (va, asid) {
            (None, Some(asid)) => Removed::Space(asid),
            _ => Removed::Anywhere,
        }
    }
}

/// The places at which a fence removed translations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The places of translations of this address, if it has any.
    At {
        /// The address.
        va: u64,
        /// The data array's.
        data: bool,
        /// The fetch array's.
        fetch: bool,
    },
    /// Of this address space, none of them global.
    Space(u16),
    /// Perhaps anywhere.
    Anywhere,
}

/// The address bits that a leaf of this level translates.
fn superpage_span(level: u8) -> u64 {
    !0u64 << (12 + 9 * u32::from(level))
}

/// A range that holds no address.
const NO_SUPERPAGES: (u64, u64) = (u64::MAX, 0);

impl Default for Tlb {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a leaf entry allows an access.
pub fn allows(entry: u64, access: Access, user: bool, sum: bool, mxr: bool) -> bool {
    let reachable = match (entry & pte::U != 0, user) {
        (true, true) | (false, false) => true,
        (false, true) => false,
        (true, false) => sum && access != Access::Fetch,
    };
    let kind = match access {
        Access::Fetch => entry & pte::X != 0,
        Access::Load => entry & pte::R != 0 || mxr && entry & pte::X != 0,
        Access::Store => entry & pte::W != 0,
    };
    reachable && kind
}

/// Whether `va` is a sign-extended address of a space with this many levels.
pub fn is_canonical(va: u64, levels: u32) -> bool {
    let unused = 64 - (12 + 9 * levels);
    (va as i64) << unused >> unused == va as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_for_one_address_removes_every_piece_of_its_superpage() {
        let mut tlb = Tlb::new();
        for va in [0x20_0000u64, 0x20_5000, 0x40_0000] {
            tlb.insert(TlbEntry { page: va, pte: pte::V, asid: 1, level: 1 }, Access::Load);
        }
        tlb.fence(Some(0x20_1234), None);
        assert!(tlb.find(0x20_0000, Access::Load, 1).is_none());
        assert!(tlb.find(0x20_5000, Access::Load, 1).is_none());
        assert!(tlb.find(0x40_0000, Access::Load, 1).is_some());
    }

    #[test]
    fn a_fence_for_an_address_space_spares_global_and_foreign_entries() {
        let mut tlb = Tlb::new();
        *tlb.slot(0x1000, Access::Fetch) =
            TlbEntry { page: 0x1000, pte: pte::G, asid: 1, level: 0 };
        *tlb.slot(0x2000, Access::Fetch) = TlbEntry { page: 0x2000, pte: 0, asid: 1, level: 0 };
        *tlb.slot(0x3000, Access::Fetch) = TlbEntry { page: 0x3000, pte: 0, asid: 2, level: 0 };
        tlb.fence(None, Some(1));
        assert!(tlb.find(0x1000, Access::Fetch, 7).is_some());
        assert!(tlb.find(0x2000, Access::Fetch, 1).is_none());
        assert!(tlb.find(0x3000, Access::Fetch, 2).is_some());
    }

    #[test]
    fn permissions_follow_mode_sum_and_mxr() {
        let user = pte::U | pte::R | pte::X;
        assert!(allows(user, Access::Load, true, false, false));
        assert!(!allows(user, Access::Load, false, false, false));
        assert!(allows(user, Access::Load, false, true, false));
        assert!(!allows(user, Access::Fetch, false, true, false));
        assert!(!allows(user, Access::Store, true, false, false));
        assert!(!allows(pte::R, Access::Load, true, false, false));
        assert!(!allows(pte::X, Access::Load, false, false, false));
        assert!(allows(pte::X, Access::Load, false, false, true));
    }

    #[test]
    fn canonical_addresses_are_sign_extended() {
        assert!(is_canonical(0x3f_ffff_ffff, 3));
        assert!(!is_canonical(0x40_0000_0000, 3));
        assert!(is_canonical(0xffff_ffc0_0000_0000, 3));
        assert!(is_canonical(0x40_0000_0000, 4));
        assert!(!is_canonical(0x8000_0000_0000, 4));
    }
}
