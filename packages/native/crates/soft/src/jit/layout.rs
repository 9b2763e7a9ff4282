//! The places that units refer to: registers of the host, fields of the hart, tables.

use super::assembler::Assembler;
use super::code_page::Page;
use crate::block::AddressMap;
use crate::hart::{DATA_ENTRIES, DataEntry, FETCH_ENTRIES, FetchEntry, Hart};
use crate::page::PAGE;
use std::ffi::c_void;
use std::mem::{offset_of, size_of};

/// Entries of the table of indirect jumps. A power of two.
pub const TABLE_ENTRIES: usize = 16384;

/// An entry of the table of indirect jumps.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub struct TableEntry {
    /// Guest-virtual address of a unit.
    pub va: u64,
    /// Guest-physical minus guest-virtual address of the unit, wrapping.
    pub delta: u64,
    /// The address of its code.
    pub code: *const u8,
}

impl TableEntry {
    /// An entry that no address matches: the entry for this address is elsewhere.
    pub const EMPTY: Self = Self { va: 0, delta: 0, code: std::ptr::null() };
    /// The empty entry where address 0 is looked for: instructions are at even addresses.
    pub const EMPTY_FIRST: Self = Self { va: 1, ..Self::EMPTY };
}

/// Places of the table of indirect jumps among which all addresses of a page have theirs, one row.
pub const TABLE_ROW: usize = PAGE as usize / 2;

/// The place of an address in the table of indirect jumps. Pages share rows, but each has another order in
/// it: functions that begin at the same offset of their pages do not take each other's place.
pub const fn in_table(va: u64) -> usize {
    ((va >> 1) ^ (va >> 12)) as usize & (TABLE_ENTRIES - 1)
}

/// The place of the table's address on the stack of translated code.
pub(super) const TABLE_ON_STACK: i8 = 8;

/// Host register of each guest register, or [`IN_HART`].
pub(super) const HOST: [u8; 32] = {
    let mut host = [IN_HART; 32];
    host[1] = 12; // ra
    host[2] = 3; // sp: rbx
    host[8] = 13; // s0
    host[9] = 14; // s1
    host[10] = 7; // a0: rdi
    host[11] = 6; // a1: rsi
    host[12] = 8;
    host[13] = 9;
    host[14] = 10;
    host[15] = 11;
    host
};
pub(super) const IN_HART: u8 = 0xff;

/// Code that all units share, as offsets in the code memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Thunks {
    /// Enters translated code.
    pub enter: usize,
    /// Leaves to `rax` = pc of the next instruction; answers [`LEFT_FOR_LOOKUP`].
    pub leave: usize,
    /// As `leave`; answers [`LEFT_INDIRECT`].
    pub leave_indirect: usize,
    /// Leaves through the site in `ecx`, which is the answer.
    pub leave_link: usize,
    /// Executes the instruction of the detail at `rcx` and returns, or leaves with
    /// [`LEFT_SINGLE`].
    pub single: usize,
}

/// The next unit has to be looked up, or the ticks do not suffice for it.
pub const LEFT_FOR_LOOKUP: u64 = u64::MAX;
/// The target of an indirect jump is not in the table.
pub const LEFT_INDIRECT: u64 = u64::MAX - 1;
/// A single instruction left.
pub const LEFT_SINGLE: u64 = u64::MAX - 2;

/// An instruction that translated code may hand to the interpreter. It lies behind the code.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Detail {
    /// Guest-virtual address.
    pub pc: u64,
    /// The instruction's bits.
    pub raw: u32,
    /// Ticks of the unit from this instruction on.
    pub undo: u32,
}

impl Detail {
    /// The bytes behind the code.
    pub(super) fn bytes(&self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        bytes[..8].copy_from_slice(&self.pc.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.raw.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.undo.to_ne_bytes());
        bytes
    }
}

/// Executes the instruction of a detail for translated code: 0 if the next one may follow at once. All
/// engine data besides the hart is opaque to translated code.
pub type ExecuteSingle = unsafe extern "sysv64" fn(*mut Hart, *mut c_void, *const Detail) -> u32;

/// Enters translated code.
pub type Enter =
    unsafe extern "sysv64" fn(*mut Hart, *mut c_void, *const u8, *const TableEntry) -> u64;

/// A jump that can be aimed at another unit.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    /// Guest-virtual address that it leads to.
    pub target: u64,
    /// The place of its displacement in the code memory.
    pub hole: u32,
    /// The place of the delta that it checks, 0 for a target in the same page.
    pub delta: u32,
}

/// The buffers that a translation adds to.
pub struct Output<'a> {
    /// The code, empty at first.
    pub code: &'a mut Assembler,
    /// The future place of the code in the code memory.
    pub base: usize,
    /// Code that all units have.
    pub thunks: Thunks,
    /// The jumps between units.
    pub links: Links<'a>,
}

/// The jumps between units.
pub enum Links<'a> {
    /// Of one machine: jumps are aimed at units as these turn up.
    Own(&'a mut Vec<Site>),
    /// Of all machines: nothing in the code changes.
    Shared {
        /// The page that the unit is of.
        page: &'a Page,
        /// The slots of addresses in the page that have no unit yet.
        slots: &'a AddressMap<usize>,
        /// The value of such a slot: the address of the code that looks the target up.
        not_yet: u64,
        /// Slots that this unit brings.
        made: Vec<(u64, usize)>,
    },
}

/// The properties of a translated unit.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Guest instructions, 1 to [`MAX_INSTRUCTIONS`].
    pub instructions: u8,
    /// Offset of the code that leaves to the unit's own address.
    pub dead: usize,
}

/// Maximum number of instructions in a unit: the range of a signed byte, and the undo of one.
pub const MAX_INSTRUCTIONS: usize = 64;

pub(super) fn place(register: u8) -> i32 {
    offset_of!(Hart, r) as i32 + 8 * i32::from(register)
}

pub(super) const PC: i32 = offset_of!(Hart, pc) as i32;
pub(super) const BUDGET: i32 = offset_of!(Hart, budget) as i32;
pub(super) const DATA: i32 = offset_of!(Hart, data) as i32;
pub(super) const FETCH: i32 = offset_of!(Hart, fetch) as i32;
pub(super) const FS: i32 = offset_of!(Hart, fs) as i32;
pub(super) const DATA_MASK: i32 = ((DATA_ENTRIES - 1) * size_of::<DataEntry>()) as i32;
pub(super) const FETCH_MASK: i32 = ((FETCH_ENTRIES - 1) * size_of::<FetchEntry>()) as i32;
pub(super) const TABLE_MASK: i32 = ((TABLE_ENTRIES - 1) * size_of::<TableEntry>()) as i32;
pub(super) const READ_TAG: i8 = offset_of!(DataEntry, read) as i8;
pub(super) const WRITE_TAG: i8 = offset_of!(DataEntry, write) as i8;
pub(super) const ADDEND: i8 = offset_of!(DataEntry, addend) as i8;

// The address computations shift a page number into an entry's offset.
const _: () = assert!(size_of::<DataEntry>() == 1 << (12 - 7));
const _: () = assert!(size_of::<FetchEntry>() == 1 << (12 - 8));
const _: () = assert!(size_of::<TableEntry>() == 2 << 4);
const _: () = assert!(offset_of!(TableEntry, delta) == 8 && offset_of!(TableEntry, code) == 16);
const _: () = assert!(offset_of!(FetchEntry, tag) == 0 && offset_of!(FetchEntry, delta) == 8);

/// The host register of a guest register, if it has one.
pub(super) fn host(register: u8) -> Option<u8> {
    let host = HOST[usize::from(register & 31)];
    (host != IN_HART).then_some(host)
}
