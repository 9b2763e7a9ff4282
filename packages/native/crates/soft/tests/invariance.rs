//! The same program gives the same result wherever a run is cut, whether it is single-stepped, saved, loaded
//! or forked on the way, and whether its code is interpreted or translated. And no guest code can cause a
//! panic.
//!
//! Programs are generated: half-plausible instructions over registers that point to code, data,
//! page tables, devices and the interrupt controller, in supervisor or user mode, with or without
//! translation, behind a trap handler that goes on somewhere in the code. `STILLPOINT_CASES` sets
//! how many.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use stillpoint_soft::Soft;
use stillpoint_vmm::engine::{Engine, Entry, Exit, StateError};
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::{Device, DeviceContext, Platform};

const BASE: u64 = 0x8000_0000;
const MEMORY_BYTES: u64 = 64 << 10;
/// Where the generated code starts: it runs across a page boundary.
const CODE: u64 = BASE + 0x1f40;
const HANDLER: u64 = BASE + 0x3000;
const DATA: u64 = BASE + 0x4000;
const ROOT: u64 = BASE + 0x8000;
const MIDDLE: u64 = BASE + 0x9000;
const LEAVES: u64 = BASE + 0xa000;
const SETUP: u64 = HANDLER + 0x100;
/// Guest time that the setup takes.
const SETUP_NANOS: u64 = 6;
/// The interrupt controller.
const PLIC: u32 = 0x0c00_0000;
/// What the hart says of an interrupt that the controller brings.
const EXTERNAL: u64 = 1 << 63 | 9;
/// The device's interrupt.
const SOURCE: u32 = 10;
/// Virtual window onto all memory for user mode.
const USER_WINDOW: u64 = 0x4000_0000;
/// Virtual window of 4 KiB pages with generated permissions.
const PAGED_WINDOW: u64 = 0xc000_0000;

/// A device that says what time it is and asserts its line as told.
struct Probe {
    asserted: bool,
}

impl Device for Probe {
    fn read(&mut self, context: &mut DeviceContext<'_>, _: u64, into: &mut [u8]) {
        let now = context.now.to_le_bytes();
        let len = into.len();
        into.copy_from_slice(&now[..len]);
    }
    fn write(&mut self, _: &mut DeviceContext<'_>, _: u64, from: &[u8]) {
        self.asserted = from[0] & 1 != 0;
    }
    fn interrupt_asserted(&self) -> bool {
        self.asserted
    }
    fn save(&self) -> Vec<u8> {
        vec![u8::from(self.asserted)]
    }
    fn load(&mut self, _: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
    fn fork(&self) -> Box<dyn Device> {
        Box::new(Self { asserted: self.asserted })
    }
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Bare,
    Supervisor,
    User,
}

#[derive(Debug, Clone)]
struct Program {
    code: Vec<u32>,
    start: Start,
    permissions: Vec<u8>,
    registers: Vec<u64>,
    timer: u64,
    /// Of the device's interrupt; one of priority 0 never comes.
    priority: u32,
}

fn encode_r(opcode: u32, f3: u32, f7: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    opcode | rd << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | f7 << 25
}

fn encode_i(opcode: u32, f3: u32, rd: u32, rs1: u32, imm: u32) -> u32 {
    opcode | rd << 7 | f3 << 12 | rs1 << 15 | (imm & 0xfff) << 20
}

fn encode_s(opcode: u32, f3: u32, rs1: u32, rs2: u32, imm: u32) -> u32 {
    opcode | (imm & 31) << 7 | f3 << 12 | rs1 << 15 | rs2 << 20 | (imm >> 5 & 0x7f) << 25
}

fn encode_b(f3: u32, rs1: u32, rs2: u32, imm: i32) -> u32 {
    let i = imm as u32;
    0x63 | (i >> 11 & 1) << 7
        | (i >> 1 & 15) << 8
        | f3 << 12
        | rs1 << 15
        | rs2 << 20
        | (i >> 5 & 0x3f) << 25
        | (i >> 12 & 1) << 31
}

fn encode_j(rd: u32, imm: i32) -> u32 {
    let i = imm as u32;
    0x6f | rd << 7
        | (i >> 12 & 0xff) << 12
        | (i >> 11 & 1) << 20
        | (i >> 1 & 0x3ff) << 21
        | (i >> 20 & 1) << 31
}

fn instruction() -> impl Strategy<Value = u32> {
    // Registers 5 to 11 point to interesting places and are rarely overwritten.
    let rd = || prop_oneof![15 => 12u32..32, 1 => 0u32..32];
    let reg = || 0u32..32;
    let base = || 5u32..12;
    let csrs = prop_oneof![
        8 => prop::sample::select(stillpoint_soft::state::CSRS.to_vec()).prop_map(u32::from),
        1 => 0u32..0x1000,
    ];
    let sevenths = prop::sample::select(vec![0u32, 1, 0x20]);
    let atomics =
        prop::sample::select(vec![2u32, 3, 2, 3, 1, 0, 4, 0xc, 8, 0x10, 0x14, 0x18, 0x1c]);
    let system = prop::sample::select(vec![
        0x0000_0073u32, // ecall
        0x0010_0073,    // ebreak
        0x1020_0073,    // sret
        0x1050_0073,    // wfi
        0x1200_0073,    // sfence.vma
        0x1202_8073,    // sfence.vma t0
        0x120c_8073,    // sfence.vma s9
        0x0000_100f,    // fence.i
        0x0ff0_000f,    // fence
    ]);
    prop_oneof![
        30 => (rd(), reg(), reg(), 0u32..8, sevenths, any::<bool>()).prop_map(
            |(rd, a, b, f3, f7, word)| encode_r(if word { 0x3b } else { 0x33 }, f3, f7, rd, a, b)
        ),
        20 => (rd(), reg(), 0u32..8, any::<u32>(), any::<bool>()).prop_map(
            |(rd, a, f3, imm, word)| encode_i(if word { 0x1b } else { 0x13 }, f3, rd, a, imm)
        ),
        15 => (rd(), base(), 0u32..8, -40i32..40).prop_map(
            |(rd, a, f3, imm)| encode_i(0x03, f3, rd, a, imm as u32)
        ),
        5 => (reg(), base(), 2u32..4, -40i32..40).prop_map(
            |(rd, a, f3, imm)| encode_i(0x07, f3, rd, a, imm as u32)
        ),
        15 => (base(), reg(), 0u32..4, -40i32..40).prop_map(
            |(a, b, f3, imm)| encode_s(0x23, f3, a, b, imm as u32)
        ),
        // To the device, whose line it may assert.
        8 => (reg(), 0u32..40).prop_map(|(b, imm)| encode_s(0x23, 0, 8, b, imm)),
        3 => (base(), reg(), 2u32..4, -40i32..40).prop_map(
            |(a, b, f3, imm)| encode_s(0x27, f3, a, b, imm as u32)
        ),
        8 => (reg(), reg(), 0u32..8, -30i32..60).prop_map(
            |(a, b, f3, half)| encode_b(f3, a, b, 2 * half)
        ),
        3 => (rd(), -30i32..60).prop_map(|(rd, half)| encode_j(rd, 2 * half)),
        2 => (rd(), base(), any::<u32>()).prop_map(
            |(rd, a, imm)| encode_i(0x67, 0, rd, a, imm)
        ),
        4 => (rd(), any::<u32>(), any::<bool>()).prop_map(
            |(rd, imm, pc)| if pc { 0x17 } else { 0x37 } | rd << 7 | imm & 0xffff_f000
        ),
        8 => (rd(), reg(), csrs, prop::sample::select(vec![1u32, 2, 3, 5, 6, 7])).prop_map(
            |(rd, a, csr, f3)| encode_i(0x73, f3, rd, a, csr)
        ),
        6 => (rd(), base(), reg(), 2u32..4, atomics).prop_map(
            |(rd, a, b, f3, f5)| encode_r(0x2f, f3, f5 << 2, rd, a, if f5 == 2 { 0 } else { b })
        ),
        8 => (reg(), reg(), reg(), any::<u32>(), 0u32..8).prop_map(
            |(rd, a, b, f7, f3)| encode_r(0x53, f3, f7 & 0x7d, rd, a, b)
        ),
        2 => (reg(), reg(), reg(), reg(), 0u32..8, 0u32..4).prop_map(
            |(rd, a, b, c, f3, op)| encode_r(0x43 | op << 2, f3, c << 2 | (op & 1), rd, a, b)
        ),
        3 => system,
        4 => any::<u32>(),
        8 => (any::<u16>(), any::<u16>()).prop_map(
            |(a, b)| u32::from((a & !3) + a % 3) | u32::from((b & !3) + b % 3) << 16
        ),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    let register = prop_oneof![
        any::<u64>(),
        Just(0u64),
        Just(u64::MAX),
        (0u64..MEMORY_BYTES).prop_map(|o| BASE + o),
        (0u64..0x1_0000).prop_map(|o| PAGED_WINDOW + o),
    ];
    (
        prop::collection::vec(instruction(), 20..90),
        prop_oneof![Just(Start::Bare), Just(Start::Supervisor), Just(Start::User)],
        prop::collection::vec(any::<u8>(), 16),
        prop::collection::vec(register, 20),
        prop_oneof![Just(u64::MAX), 0u64..30],
        0u32..2,
    )
        .prop_map(|(code, start, permissions, registers, timer, priority)| Program {
            code,
            start,
            permissions,
            registers,
            timer,
            priority,
        })
}

fn platform(program: &Program) -> Platform {
    let mut platform = Platform::new(PagedMemory::new(BASE, MEMORY_BYTES));
    platform.attach("device", 0x1000_0000, 0x100, SOURCE, Box::new(Probe { asserted: false }));
    let memory = &mut platform.memory;
    let mut put = |gpa: u64, bytes: &[u8]| memory.write(gpa, bytes).expect("in memory");
    for (index, word) in program.code.iter().enumerate() {
        put(CODE + 4 * index as u64, &word.to_le_bytes());
    }
    let setup = [
        0x37 | 5 << 7 | PLIC,                      // lui t0, the controller
        encode_i(0x13, 0, 6, 0, program.priority), // addi t1, x0, priority
        encode_s(0x23, 2, 5, 6, 4 * SOURCE),       // sw t1: the device's
        0x37 | 5 << 7 | (PLIC + 0x2000),           // lui t0, the enabled sources
        encode_i(0x13, 0, 6, 0, 1 << SOURCE),      // addi t1, x0, the device's bit
        encode_s(0x23, 2, 5, 6, 0x80),             // sw t1: of supervisor mode
    ];
    for (index, word) in setup.iter().enumerate() {
        put(SETUP + 4 * index as u64, &word.to_le_bytes());
    }
    // The handler claims an interrupt, and continues somewhere in the code, by the instruction count.
    let handler = [
        0x37 | 28 << 7 | (PLIC + 0x20_1000), // lui t3, supervisor mode's registers
        encode_i(0x03, 2, 28, 28, 4),        // lw t3, claim
        encode_i(0x73, 2, 28, 0, 0xc02),     // csrr t3, instret
        encode_i(0x13, 7, 28, 28, 0xfe),     // andi t3, t3, 0xfe
        encode_i(0x73, 1, 29, 0, 0x141),     // csrrw t4, sepc, x0
        encode_i(0x13, 5, 29, 29, 30),       // srli t4, t4, 30
        encode_i(0x13, 1, 29, 29, 30),       // slli t4, t4, 30
        0x37 | 30 << 7 | 0x2000,             // lui t5, 2
        encode_i(0x13, 0, 30, 30, 0xf40),    // addi t5, t5, -0xc0
        encode_r(0x33, 0, 0, 28, 28, 30),    // add t3, t3, t5
        encode_r(0x33, 0, 0, 29, 29, 28),    // add t4, t4, t3
        encode_i(0x73, 1, 0, 29, 0x141),     // csrw sepc, t4
        0x1020_0073,                         // sret
    ];
    for (index, word) in handler.iter().enumerate() {
        put(HANDLER + 4 * index as u64, &word.to_le_bytes());
    }
    let leaf = |pa: u64, flags: u64| (pa >> 12 << 10 | flags).to_le_bytes();
    put(ROOT, &leaf(0, 0xcf)); // devices, supervisor
    put(ROOT + 8, &leaf(BASE, 0xdf)); // user window: D A U X W R V
    put(ROOT + 16, &leaf(BASE, 0xcf)); // identity, supervisor
    put(ROOT + 24, &leaf(MIDDLE, 1));
    put(MIDDLE, &leaf(LEAVES, 1));
    for (page, flags) in program.permissions.iter().enumerate() {
        let pa = BASE + 0x1000 * (page as u64);
        put(LEAVES + 8 * page as u64, &leaf(pa, u64::from(flags | 1)));
    }
    platform
}

/// A machine whose interrupt controller is set up, at the beginning of the program.
fn machine(program: &Program) -> (Box<Soft>, Platform) {
    let mut platform = platform(program);
    let mut engine = Box::new(Soft::new());
    engine.reset(Entry { pc: SETUP, device_tree: 0 });
    advance(&mut *engine, &mut platform, SETUP_NANOS);
    begin(&mut engine, program);
    (engine, platform)
}

fn begin(engine: &mut Soft, program: &Program) {
    engine.set_register("pc", CODE);
    let bases = [
        ("t0", DATA),
        ("t1", CODE + 0xc0),
        ("t2", LEAVES + 0x20),
        ("s0", 0x1000_0000),
        ("s1", 0x0c00_2080),
        ("a0", PAGED_WINDOW + 0x3ff8),
        ("a1", 0x0c20_1000),
    ];
    let mut set = |name: &str, value: u64| assert!(engine.set_register(name, value), "{name}");
    let names = [
        "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10",
        "s11", "t3", "t4", "t5", "t6",
    ];
    for (name, value) in names.iter().zip(&program.registers) {
        set(name, *value);
    }
    for (name, value) in bases {
        set(name, value);
    }
    set("stvec", HANDLER);
    set("sie", 0x222);
    set("stimecmp", program.timer);
    set("scounteren", 7);
    set("sstatus", 1 << 18 | 1 << 13 | 1 << 1);
    match program.start {
        Start::Bare => {}
        Start::Supervisor => set("satp", 8 << 60 | ROOT >> 12),
        Start::User => {
            set("satp", 8 << 60 | ROOT >> 12);
            set("mode", 0);
            set("pc", CODE - BASE + USER_WINDOW);
            for (name, value) in &bases[..3] {
                set(name, value - BASE + USER_WINDOW);
            }
        }
    }
}

/// Runs to `until`; a wait passes as the machine would let it pass.
fn advance(engine: &mut dyn Engine, platform: &mut Platform, until: u64) {
    while engine.now() < until {
        match engine.run(platform, until) {
            Exit::Deadline => {}
            Exit::Idle { wake_at } => {
                engine.wait(platform, wake_at.unwrap_or(until).min(until));
            }
            Exit::Halted { .. } | Exit::Reset { .. } => {}
            other => panic!("unexpected exit {other:?}"),
        }
        platform.attention = false;
    }
}

/// The same, an instruction at a time.
fn advance_stepping(engine: &mut dyn Engine, platform: &mut Platform, until: u64) {
    while engine.now() < until {
        if let Some(Exit::Idle { wake_at }) = engine.step(platform) {
            engine.wait(platform, wake_at.unwrap_or(until).min(until));
        }
        platform.attention = false;
    }
}

fn memory(platform: &mut Platform) -> Vec<u8> {
    let mut bytes = vec![0; MEMORY_BYTES as usize];
    platform.memory.read(BASE, &mut bytes).expect("in memory");
    bytes
}

/// The differences of the two states, by name.
fn difference(a: &dyn Engine, b: &dyn Engine) -> Vec<String> {
    a.registers()
        .iter()
        .zip(b.registers())
        .filter(|(x, y)| x.1 != y.1 && x.0 != "sip")
        .map(|(x, y)| format!("{}: {:#x} against {:#x}", x.0, x.1, y.1))
        .collect()
}

macro_rules! same {
    ($a:expr, $pa:expr, $b:expr, $pb:expr) => {
        prop_assert_eq!(difference(&*$a, &*$b), Vec::<String>::new());
        prop_assert!($a.save() == $b.save(), "saved states differ");
        prop_assert!(memory(&mut $pa) == memory(&mut $pb), "memories differ");
    };
}

fn config() -> ProptestConfig {
    let cases = std::env::var("STILLPOINT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(96);
    ProptestConfig { cases, max_shrink_iters: 4000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn stepping_equals_running(program in program(), ticks in 1u64..3000) {
        let (mut a, mut pa) = machine(&program);
        let (mut b, mut pb) = machine(&program);
        advance(&mut *a, &mut pa, ticks);
        advance_stepping(&mut *b, &mut pb, ticks);
        same!(a, pa, b, pb);
    }

    #[test]
    fn translating_changes_nothing(program in program(), ticks in 1u64..8000, heat in 0u32..6) {
        let (mut a, mut pa) = machine(&program);
        let (mut b, mut pb) = machine(&program);
        a.set_translation(None);
        b.set_translation(Some(heat));
        advance(&mut *a, &mut pa, ticks);
        advance(&mut *b, &mut pb, ticks);
        same!(a, pa, b, pb);
    }

    #[test]
    fn cutting_a_run_changes_nothing(
        program in program(),
        ticks in 1u64..6000,
        cuts in prop::collection::vec(0u64..6000, 1..12),
    ) {
        let (mut a, mut pa) = machine(&program);
        let (mut b, mut pb) = machine(&program);
        advance(&mut *a, &mut pa, ticks);
        let mut cuts = cuts;
        cuts.sort_unstable();
        for cut in cuts {
            advance(&mut *b, &mut pb, cut.min(ticks));
        }
        advance(&mut *b, &mut pb, ticks);
        same!(a, pa, b, pb);
    }

    #[test]
    fn saving_and_loading_anywhere_changes_nothing(
        program in program(),
        ticks in 1u64..6000,
        cuts in prop::collection::vec((0u64..6000, 0u8..4), 1..8),
    ) {
        let (mut a, mut pa) = machine(&program);
        advance(&mut *a, &mut pa, ticks);
        let (b, mut pb) = machine(&program);
        let mut b: Box<dyn Engine> = b;
        let mut cuts = cuts;
        cuts.sort_unstable();
        for (cut, how) in cuts {
            advance(&mut *b, &mut pb, cut.min(ticks));
            match how {
                0 => {
                    let mut fresh = Box::new(Soft::new());
                    fresh.load(&b.save()).expect("a saved state");
                    prop_assert!(fresh.save() == b.save(), "loaded state is another");
                    b = fresh;
                }
                1 => b = b.fork(),
                2 => b.drop_host_pointers(),
                _ => {
                    let state = b.save();
                    b.load(&state).expect("a saved state");
                }
            }
        }
        advance(&mut *b, &mut pb, ticks);
        same!(a, pa, b, pb);
    }

    #[test]
    fn random_bytes_as_code_never_panic(
        code in prop::collection::vec(any::<u32>(), 1..64),
        start in prop_oneof![Just(Start::Bare), Just(Start::Supervisor), Just(Start::User)],
        registers in prop::collection::vec(any::<u64>(), 20),
    ) {
        let program = Program { code, start, permissions: vec![0xff; 16], registers, timer: 3, priority: 1 };
        let (mut a, mut pa) = machine(&program);
        advance(&mut *a, &mut pa, 2000);
        prop_assert!(a.now() >= 2000);
    }

    #[test]
    fn corrupt_states_are_refused_or_run(
        program in program(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut a, mut pa) = machine(&program);
        advance(&mut *a, &mut pa, 500);
        let mut state = a.save();
        prop_assert!(Soft::new().load(&state[..cut.index(state.len())]).is_err());
        for (at, value) in flips {
            let at = at.index(state.len());
            state[at] = value;
        }
        let mut b = Soft::new();
        if b.load(&state).is_ok() {
            prop_assert!(b.save() == state, "a state that was taken is not the one that was given");
            let end = b.now().saturating_add(200);
            if end < u64::MAX / 2 {
                advance(&mut b, &mut pa, end);
            }
        }
    }
}

/// What the properties above say of interrupts is worth something only if some come.
#[test]
fn the_device_interrupts_some_of_these_programs() {
    let mut runner = TestRunner::deterministic();
    let interrupted = (0..200).filter(|_| {
        let program = program().new_tree(&mut runner).expect("a program").current();
        let (mut engine, mut platform) = machine(&program);
        let mut is_interrupted = false;
        while engine.now() < 300 && !is_interrupted {
            if engine.step(&mut platform).is_some() {
                break;
            }
            let external = |(name, value): &(&str, u64)| *name == "scause" && *value == EXTERNAL;
            is_interrupted = engine.registers().iter().any(external);
            platform.attention = false;
        }
        is_interrupted
    });
    let count = interrupted.count();
    assert!(count >= 10, "{count} of 200");
}
