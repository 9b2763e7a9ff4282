//! The engine's saved state.
//!
//! ```text
//! "SPSOFT2\0"
//! u64 × fixed list of registers (see `SCALARS`), then x1..x31, f0..f31
//! u64 × interrupt controller: 64 priorities as bytes, enables, thresholds, serving
//! u32 count, then per data translation:  u16 index, u64 page, u64 pte, u16 asid, u8 level
//! u32 count, the same for fetch translations
//! ```
//!
//! All integers little-endian. Translations are in the order of their index and empty ones are
//! left out, so equal states give equal bytes. Reading checks everything that the engine relies
//! on: a register value that the guest could not have put there is refused.

use crate::block::Entries;
use crate::core::Core;
use crate::csr_number as number;
use crate::hart::{DATA_ENTRIES, FETCH_ENTRIES, FLOAT, Hart, interrupt, status};
use crate::hot;
use crate::mmu::{self, Access, Tlb, TlbEntry};
use crate::page::NO_TAG;
use crate::plic::Plic;
use stillpoint_vmm::engine::StateError;
use stillpoint_vmm::state::StateVersions;

const MAGIC: &[u8; 8] = b"SPSOFT2\0";

/// The upgrades from earlier versions of [`save`].
pub const VERSIONS: StateVersions = StateVersions::new(&[from_fewer_translations]);

/// Version 1 had room for fewer translations; what differs are their places.
fn from_fewer_translations(one: &[u8]) -> Result<Vec<u8>, StateError> {
    let room = Room { magic: b"SPSOFT1\0", data: 512, fetch: 256 };
    let (hart, core) = decode(one, hot::ENTRIES, &room)?;
    Ok(save(&hart, &core))
}

/// The header of a version, and its number of translations.
struct Room {
    magic: &'static [u8; 8],
    data: usize,
    fetch: usize,
}

/// Saved scalars in order: name, how to read them, how to write them (false: refused).
type Scalar = (&'static str, fn(&Hart) -> u64, fn(&mut Hart, u64) -> bool);

macro_rules! whole {
    ($name:literal, $field:ident) => {
        (
            $name,
            |h: &Hart| h.$field,
            |h: &mut Hart, v: u64| {
                h.$field = v;
                true
            },
        )
    };
    ($name:literal, $field:ident, $legal:expr) => {
        (
            $name,
            |h: &Hart| u64::from(h.$field),
            |h: &mut Hart, v: u64| {
                let legal: fn(u64) -> bool = $legal;
                match (legal(v), v.try_into()) {
                    (true, Ok(value)) => {
                        h.$field = value;
                        true
                    }
                    _ => false,
                }
            },
        )
    };
}

macro_rules! flag {
    ($name:literal, $field:ident) => {
        (
            $name,
            |h: &Hart| u64::from(h.$field),
            |h: &mut Hart, v: u64| {
                h.$field = v == 1;
                v <= 1
            },
        )
    };
}

const SCALARS: &[Scalar] = &[
    whole!("pc", pc, |v| v & 1 == 0),
    whole!("mode", mode, |v| v <= 1),
    whole!("sstatus", sstatus, |v| v & !status::STORED == 0),
    whole!("fs", fs, |v| v <= 3),
    whole!("fflags", fflags, |v| v < 32),
    whole!("frm", frm, |v| v < 8),
    whole!("sie", sie, |v| v & !interrupt::ALL == 0),
    // The other pending bits follow from time and devices.
    (
        "ssip",
        |h| h.sip & interrupt::SOFTWARE,
        |h, v| {
            h.sip = v;
            v & !interrupt::SOFTWARE == 0
        },
    ),
    whole!("stvec", stvec, |v| v & 2 == 0),
    whole!("sscratch", sscratch),
    whole!("sepc", sepc, |v| v & 1 == 0),
    whole!("scause", scause),
    whole!("stval", stval),
    whole!("satp", satp, |v| mmu::mode(v).is_some()),
    whole!("stimecmp", stimecmp),
    whole!("scounteren", scounteren, |v| v < 8),
    whole!("senvcfg", senvcfg, |v| v < 2),
    whole!("reservation", reservation),
    whole!("reservation-size", reservation_size, |v| matches!(v, 0 | 4 | 8)),
    ("ticks", Hart::ticks, |h, v| {
        h.ticks_end = v;
        h.budget = 0;
        true
    }),
    whole!("traps", traps),
    whole!("idle-nanos", idle_nanos),
    flag!("waiting", waiting),
    flag!("stopped", stopped),
];

/// Encodes the state.
pub fn save(hart: &Hart, core: &Core) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.extend_from_slice(MAGIC);
    let mut put = |value: u64| out.extend_from_slice(&value.to_le_bytes());
    for (_, get, _) in SCALARS {
        put(get(hart));
    }
    for register in 1..32 {
        put(hart.r[register]);
    }
    for register in 0..32 {
        put(hart.r[usize::from(FLOAT) + register]);
    }
    out.extend_from_slice(&core.plic.priority);
    for value in core.plic.enable {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&core.plic.threshold);
    out.extend_from_slice(&core.plic.serving.to_le_bytes());
    for entries in [&core.tlb.data, &core.tlb.fetch] {
        let used = entries.iter().filter(|e| e.page != NO_TAG).count() as u32;
        out.extend_from_slice(&used.to_le_bytes());
        for (index, entry) in entries.iter().enumerate().filter(|(_, e)| e.page != NO_TAG) {
            out.extend_from_slice(&(index as u16).to_le_bytes());
            out.extend_from_slice(&entry.page.to_le_bytes());
            out.extend_from_slice(&entry.pte.to_le_bytes());
            out.extend_from_slice(&entry.asid.to_le_bytes());
            out.push(entry.level);
        }
    }
    out
}

struct Reader<'a> {
    rest: &'a [u8],
}

fn refused(expected: impl Into<String>, found: impl Into<String>) -> StateError {
    StateError { expected: expected.into(), found: found.into() }
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(refused(format!("{len} more bytes"), format!("{}", self.rest.len())));
        };
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }
}

/// Decodes what [`save`] gave; the core's blocks are entered through `entries`.
///
/// # Errors
/// [`StateError`] if the bytes are not such a state.
pub fn load(bytes: &[u8], entries: Entries) -> Result<(Hart, Core), StateError> {
    decode(bytes, entries, &Room { magic: MAGIC, data: DATA_ENTRIES, fetch: FETCH_ENTRIES })
}

fn decode(bytes: &[u8], entries: Entries, room: &Room) -> Result<(Hart, Core), StateError> {
    let mut reader = Reader { rest: bytes };
    let magic = reader.take(MAGIC.len())?;
    if magic != room.magic {
        return Err(refused("state of the soft engine, of its version", format!("{magic:?}")));
    }
    let mut hart = Hart::new();
    let mut core = Core::new(entries);
    for (name, _, set) in SCALARS {
        let value = reader.u64()?;
        if !set(&mut hart, value) {
            return Err(refused(format!("a legal value of {name}"), format!("{value:#x}")));
        }
    }
    // Every trap is a tick, and the counters have room to continue.
    let time = hart.ticks().checked_add(hart.idle_nanos);
    if hart.traps > hart.ticks() || time.is_none_or(|nanos| nanos >= 1 << 63) {
        let found = format!("{} ticks, {} traps", hart.ticks(), hart.traps);
        return Err(refused("no more traps than ticks, and a time below 2^63", found));
    }
    for register in 1..32 {
        hart.r[register] = reader.u64()?;
    }
    for register in 0..32 {
        hart.r[usize::from(FLOAT) + register] = reader.u64()?;
    }
    let mut plic = Plic::new();
    plic.priority = reader.array()?;
    for enable in &mut plic.enable {
        *enable = reader.u64()?;
    }
    plic.threshold = reader.array()?;
    plic.serving = reader.u64()?;
    let legal = plic.priority[0] == 0
        && plic.priority.iter().chain(&plic.threshold).all(|p| *p < 8)
        && plic.enable.iter().all(|e| e & 1 == 0)
        && plic.serving & 1 == 0;
    if !legal {
        return Err(refused("legal interrupt controller registers", "others"));
    }
    core.plic = plic;
    translations(&mut reader, &mut core.tlb, Access::Load, room.data)?;
    translations(&mut reader, &mut core.tlb, Access::Fetch, room.fetch)?;
    if !reader.rest.is_empty() {
        return Err(refused("the end", format!("{} more bytes", reader.rest.len())));
    }
    Ok((hart, core))
}

fn translations(
    reader: &mut Reader<'_>,
    tlb: &mut Tlb,
    access: Access,
    count: usize,
) -> Result<(), StateError> {
    let used = u32::from_le_bytes(reader.array()?);
    let mut least = 0;
    for _ in 0..used {
        let index = usize::from(reader.u16()?);
        let entry = TlbEntry {
            page: reader.u64()?,
            pte: reader.u64()?,
            asid: reader.u16()?,
            level: reader.take(1)?[0],
        };
        let in_order = index >= least && index < count;
        let in_place = entry.page & 0xfff == 0 && (entry.page >> 12) as usize % count == index;
        if !in_order || !in_place || entry.level > 3 {
            return Err(refused("translations in order and in their places", format!("{index}")));
        }
        least = index + 1;
        tlb.insert(entry, access);
    }
    Ok(())
}

/// Names of the registers in `x` and `f` order.
const INTEGER_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];
const FLOAT_NAMES: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

/// Registers by name: the ABI names of both files, `pc`, `mode` (0 user, 1 supervisor), the CSRs,
/// `waiting` and `stopped`, `ticks`, `traps`, `idle-nanos`, `instret`.
pub fn registers(hart: &Hart) -> Vec<(&'static str, u64)> {
    let mut out = Vec::with_capacity(96);
    for (register, name) in INTEGER_NAMES.iter().enumerate() {
        out.push((*name, hart.r[register]));
    }
    for (register, name) in FLOAT_NAMES.iter().enumerate() {
        out.push((*name, hart.r[usize::from(FLOAT) + register]));
    }
    for (name, get, _) in SCALARS {
        let value = if *name == "sstatus" { hart.sstatus_value() } else { get(hart) };
        out.push((*name, value));
    }
    out.push(("sip", hart.sip));
    out.push(("instret", hart.ticks().wrapping_sub(hart.traps)));
    out
}

/// Sets a register by its name in [`registers`]; false if there is none, if it cannot be set, or
/// if it cannot hold that value.
pub fn set_register(hart: &mut Hart, name: &str, value: u64) -> bool {
    if let Some(register) = INTEGER_NAMES.iter().position(|n| *n == name) {
        if register != 0 {
            hart.r[register] = value;
        }
        return register != 0;
    }
    if let Some(register) = FLOAT_NAMES.iter().position(|n| *n == name) {
        hart.r[usize::from(FLOAT) + register] = value;
        return true;
    }
    if name == "sstatus" {
        hart.sstatus = value & status::STORED;
        hart.fs = (value >> status::FS_SHIFT) as u8 & 3;
        return true;
    }
    let Some((_, _, set)) = SCALARS.iter().find(|(n, _, _)| *n == name) else { return false };
    let mut changed = hart.clone();
    let legal = set(&mut changed, value);
    if legal {
        *hart = changed;
    }
    legal
}

/// The CSR numbers that exist, for tests and tools.
pub const CSRS: &[u16] = &[
    number::FFLAGS,
    number::FRM,
    number::FCSR,
    number::SSTATUS,
    number::SIE,
    number::STVEC,
    number::SCOUNTEREN,
    number::SENVCFG,
    number::SSCRATCH,
    number::SEPC,
    number::SCAUSE,
    number::STVAL,
    number::SIP,
    number::STIMECMP,
    number::SATP,
    number::CYCLE,
    number::TIME,
    number::INSTRET,
];
