//! Nothing that a guest is, holds or executes can hurt its host: memory, registers, page tables
//! and saved states of random bytes are run, cut, saved, loaded and forked. There is no panic and
//! no engine fault, every run ends at its deadline, devices see only accesses inside themselves,
//! and memory that the machine merely shares is not written.
//!
//! Failing seeds are kept in `tests/hostile.seeds` and tried first. More than the default number of
//! cases: `STILLPOINT_HOSTILE_CASES=100000`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use stillpoint_soft::Soft;
use stillpoint_vmm::engine::{Engine, Entry, Exit, StateError};
use stillpoint_vmm::memory::{GuestMemory, PagedMemory};
use stillpoint_vmm::platform::{Device, DeviceContext, Platform};

const BASE: u64 = 0x8000_0000;
const PAGE: u64 = 4096;
const PAGES: u64 = 24;
const MEMORY_BYTES: u64 = PAGES * PAGE;
const DEVICE: u64 = 0x1000_0000;
/// Not a power of two: accesses can lie across its end.
const DEVICE_BYTES: u64 = 0x103;
const SV39: u64 = 8 << 60;
const SV48: u64 = 9 << 60;

/// A device that checks what it is asked.
#[derive(Clone, Default)]
struct Witness {
    asserted: bool,
}

impl Witness {
    fn check(offset: u64, bytes: usize) {
        assert!(matches!(bytes, 1 | 2 | 4 | 8), "an access of {bytes} bytes");
        assert!(offset + bytes as u64 <= DEVICE_BYTES, "an access past the end, at {offset:#x}");
    }
}

impl Device for Witness {
    fn read(&mut self, _: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        Self::check(offset, into.len());
        into.fill(offset as u8);
    }
    fn write(&mut self, _: &mut DeviceContext<'_>, offset: u64, from: &[u8]) {
        Self::check(offset, from.len());
        self.asserted = from[0] & 1 != 0;
    }
    fn interrupt_asserted(&self) -> bool {
        self.asserted
    }
    fn save(&self) -> Vec<u8> {
        vec![self.asserted.into()]
    }
    fn load(&mut self, _: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
    fn fork(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

/// The content of a page of memory.
#[derive(Debug, Clone, Copy)]
enum Filling {
    Zeros,
    Noise,
    /// Page-table entries, most of them leading somewhere.
    Entries,
    /// Words that look like instructions of the base set.
    Instructions,
    /// Half-words that look like compressed instructions.
    Compressed,
}

/// The host's operations on the machine.
#[derive(Debug, Clone, Copy)]
enum Act {
    Run(u16),
    Step(u8),
    SaveAndLoad,
    Fork,
    DropPointers,
}

#[derive(Debug, Clone)]
struct Guest {
    fillings: Vec<Filling>,
    seed: u64,
    registers: Vec<u64>,
    satp: u64,
    user: bool,
    heat: Option<u32>,
    acts: Vec<Act>,
}

fn noise(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn word(filling: Filling, seed: &mut u64) -> u64 {
    let random = noise(seed);
    match filling {
        Filling::Zeros => 0,
        Filling::Noise => random,
        Filling::Entries => {
            let page = match random >> 60 {
                0 => DEVICE >> 12,
                1 => random >> 20 & 0xfff_ffff_ffff,
                2 => 0x8_0000,
                _ => (BASE >> 12) + (random >> 32) % PAGES,
            };
            let flags = if random >> 56 & 3 == 0 { random & 0x3ff } else { random & 0x1f0 | 0xcf };
            page << 10 | flags
        }
        Filling::Instructions => {
            let opcodes = [
                0x03, 0x07, 0x0f, 0x13, 0x17, 0x1b, 0x23, 0x27, 0x2f, 0x33, 0x37, 0x3b, 0x43, 0x47,
                0x4b, 0x4f, 0x53, 0x63, 0x67, 0x6f, 0x73, 0x73,
            ];
            let plausible = |bits: u64, choice: u64| {
                bits & !0x7f | opcodes[(choice % opcodes.len() as u64) as usize]
            };
            let other = noise(seed);
            plausible(random & 0xffff_ffff, other) | plausible(random >> 32, other >> 8) << 32
        }
        // Clears a bit of each half-word's length field.
        Filling::Compressed => random & !0x0001_0002_0001_0002,
    }
}

fn memory(guest: &Guest) -> PagedMemory {
    let mut memory = PagedMemory::new(BASE, MEMORY_BYTES);
    let mut seed = guest.seed | 1;
    for (page, filling) in (0..PAGES).zip(&guest.fillings) {
        let bytes: Vec<u8> =
            (0..PAGE / 8).flat_map(|_| word(*filling, &mut seed).to_le_bytes()).collect();
        memory.write(BASE + page * PAGE, &bytes).expect("the page lies in memory");
    }
    memory
}

fn content(memory: &mut dyn GuestMemory) -> Vec<u8> {
    let mut bytes = vec![0; MEMORY_BYTES as usize];
    memory.read(BASE, &mut bytes).expect("the range lies in memory");
    bytes
}

fn engine(guest: &Guest) -> Soft {
    let mut engine = Soft::new();
    engine.reset(Entry { pc: BASE, device_tree: 0 });
    let names: Vec<&str> = engine.registers().into_iter().map(|register| register.0).collect();
    for (name, value) in names.into_iter().zip(guest.registers.iter().cycle()) {
        // Time stays at its start. Most of the others refuse most values.
        if !matches!(name, "ticks" | "traps" | "idle-nanos" | "stopped") {
            let _accepted = engine.set_register(name, *value);
        }
    }
    let _accepted = engine.set_register("satp", guest.satp);
    let _accepted = engine.set_register("mode", u64::from(!guest.user));
    engine.set_translation(guest.heat);
    engine
}

/// The machine's part after an exit; false when the guest has switched itself off.
fn answer(engine: &mut dyn Engine, platform: &mut Platform, exit: Exit, until: u64) -> bool {
    platform.attention = false;
    match exit {
        Exit::Deadline | Exit::Attention | Exit::Interrupted => true,
        Exit::Idle { wake_at } => {
            engine.wait(platform, wake_at.unwrap_or(until).min(until));
            true
        }
        Exit::Halted { .. } | Exit::Reset { .. } => false,
        Exit::Fault(message) => panic!("the guest made the engine fail: {message}"),
    }
}

/// Does as told; false when the guest has switched itself off.
fn act(engine: &mut Box<dyn Engine>, platform: &mut Platform, act: Act) -> bool {
    match act {
        Act::Run(ticks) => {
            let until = engine.now().saturating_add(ticks.into());
            while engine.now() < until {
                let before = engine.now();
                let exit = engine.run(platform, until);
                assert!(engine.now() >= before, "time went back");
                if exit == Exit::Deadline {
                    assert!(engine.now() >= until, "stopped before the deadline");
                }
                assert!(engine.now() <= until + 1, "ran past the deadline");
                if !answer(&mut **engine, platform, exit, until) {
                    return false;
                }
            }
        }
        Act::Step(count) => {
            for _ in 0..count {
                let until = engine.now() + 1;
                if let Some(exit) = engine.step(platform)
                    && !answer(&mut **engine, platform, exit, until)
                {
                    return false;
                }
            }
        }
        Act::SaveAndLoad => {
            let state = engine.save();
            let mut other: Box<dyn Engine> = Box::new(Soft::new());
            assert_eq!(other.load(&state), Ok(()), "a state that was saved");
            assert!(other.save() == state, "a state changed by saving and loading");
            *engine = other;
        }
        Act::Fork => *engine = engine.fork(),
        Act::DropPointers => engine.drop_host_pointers(),
    }
    true
}

fn run(guest: &Guest) {
    let mut shared = memory(guest);
    let before = content(&mut shared);
    let mut platform = Platform::new(shared.fork());
    platform.attach("device", DEVICE, DEVICE_BYTES, 1, Box::new(Witness::default()));
    let mut engine: Box<dyn Engine> = Box::new(engine(guest));
    for next in &guest.acts {
        if !act(&mut engine, &mut platform, *next) {
            break;
        }
    }
    assert!(content(&mut shared) == before, "memory that was shared has been written");
}

/// Values that point at memory, its edges, the device, the interrupt controller, or nowhere.
fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0..MEMORY_BYTES).prop_map(|offset| BASE + offset),
        2 => (0..PAGES).prop_map(|page| BASE + page * PAGE),
        1 => (0..16u64).prop_map(|offset| BASE + MEMORY_BYTES - 8 + offset),
        1 => (0..16u64).prop_map(|offset| BASE - 8 + offset),
        2 => (0..DEVICE_BYTES + 8).prop_map(|offset| DEVICE + offset),
        1 => (0..0x40_0000u64).prop_map(|offset| 0x0c00_0000 + offset),
        1 => select(vec![0, 1, u64::MAX, i64::MIN as u64, i64::MAX as u64, 1 << 38, u64::MAX << 38]),
        1 => 0..64u64,
        1 => any::<u64>(),
        // Firmware extensions, for registers that select one.
        1 => select(vec![
            0x10u64, 0x5449_4d45, 0x73_5049, 0x5246_4e43, 0x48_534d, 0x4442_434e, 0x5352_5354,
        ]),
    ]
}

fn guest() -> impl Strategy<Value = Guest> {
    let filling = prop_oneof![
        1 => Just(Filling::Zeros),
        2 => Just(Filling::Noise),
        3 => Just(Filling::Entries),
        6 => Just(Filling::Instructions),
        3 => Just(Filling::Compressed),
    ];
    let satp = (select(vec![0, 0, SV39, SV39, SV48]), 0..=PAGES, any::<u16>())
        .prop_map(|(mode, page, asid)| mode | u64::from(asid) << 44 | ((BASE >> 12) + page));
    let act = prop_oneof![
        8 => (0..4000u16).prop_map(Act::Run),
        2 => any::<u8>().prop_map(Act::Step),
        1 => Just(Act::SaveAndLoad),
        1 => Just(Act::Fork),
        1 => Just(Act::DropPointers),
    ];
    (
        vec(filling, PAGES as usize),
        any::<u64>(),
        vec(register(), 97),
        satp,
        any::<bool>(),
        prop_oneof![Just(None), (0..8u32).prop_map(Some)],
        vec(act, 1..12),
    )
        .prop_map(|(fillings, seed, registers, satp, user, heat, acts)| Guest {
            fillings,
            seed,
            registers,
            satp,
            user,
            heat,
            acts,
        })
}

/// A change to a saved state.
#[derive(Debug, Clone)]
enum Damage {
    Byte(Index, u8),
    Word(Index, u64),
    Cut(Index),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        4 => (any::<Index>(), register()).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn damaged(mut state: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if state.len() < 16 {
            break;
        }
        match damage {
            Damage::Byte(at, byte) => {
                let at = at.index(state.len());
                state[at] = *byte;
            }
            Damage::Word(at, word) => {
                let at = at.index(state.len() / 8) * 8;
                state[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            Damage::Cut(at) => state.truncate(at.index(state.len())),
            Damage::Insert(at, bytes) => {
                let at = at.index(state.len());
                state.splice(at..at, bytes.iter().copied());
            }
        }
    }
    state
}

fn config() -> ProptestConfig {
    let cases = std::env::var("STILLPOINT_HOSTILE_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|number| number.parse().ok()).unwrap_or(2000),
        max_shrink_iters: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/hostile.seeds"
        )))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_guest_hurts_its_host(guest in guest()) {
        run(&guest);
    }

    #[test]
    fn a_damaged_state_is_refused_or_harmless(
        guest in guest(), damages in vec(damage(), 1..6),
    ) {
        let mut platform = Platform::new(memory(&guest));
        let mut original: Box<dyn Engine> = Box::new(engine(&guest));
        let alive = act(&mut original, &mut platform, Act::Run(500));
        let state = damaged(original.save(), &damages);
        let mut loaded: Box<dyn Engine> = Box::new(Soft::new());
        let untouched = loaded.save();
        match loaded.load(&state) {
            Ok(()) => {
                prop_assert!(loaded.save() == state, "what was loaded is not what is saved");
                if alive {
                    act(&mut loaded, &mut platform, Act::Run(2000));
                }
            }
            Err(_) => prop_assert!(loaded.save() == untouched, "a refused state left a trace"),
        }
    }

    #[test]
    fn noise_is_no_state(bytes in vec(any::<u8>(), 0..2000)) {
        prop_assert!(Soft::new().load(&bytes).is_err());
    }
}

#[test]
fn counters_that_would_overflow_are_refused() {
    for (name, value) in [("traps", 1), ("traps", u64::MAX), ("idle-nanos", 1 << 63)] {
        let mut engine = Soft::new();
        assert!(engine.set_register(name, value), "{name}");
        assert!(Soft::new().load(&engine.save()).is_err(), "{name} = {value:#x}");
    }
}
