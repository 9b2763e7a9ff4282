//! Both tiers are one machine: random programs, stopped at random moments, leave the same
//! registers and the same memory whether they are translated at once, after a few runs, or never.

mod directed;
mod programs;
mod sharing;
mod table;
mod warm;

use crate::Soft;
use programs::{RETURN, arithmetic, float, instruction, memory};
use proptest::collection::vec;
use proptest::prelude::*;
use stillpoint_vmm::devices::{Device, DeviceContext};
use stillpoint_vmm::engine::{Engine, Entry, Exit, StateError};
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil};
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::Platform;

const RAM: u64 = 0x8000_0000;
const RAM_BYTES: u64 = 0x1_0000;
/// Two pages of random code.
const CODE: u64 = RAM + 0x1000;
const CODE_BYTES: usize = 0x2000;
const HANDLER: u64 = RAM + 0x4000;
const DATA: u64 = RAM + 0x6000;
const TABLES: u64 = RAM + 0xa000;
const OTHER_TABLES: u64 = RAM + 0xd000;
const DEVICE: u64 = 0x1000_0000;
/// Virtual address of the same code and data, through 4 KiB pages of different permissions.
const ALIAS: u64 = 0x4000_0000;

/// Counts its reads; its line is bit 0 of what was written last.
struct Counter {
    reads: u64,
    written: u64,
}

impl Device for Counter {
    fn read(&mut self, context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        self.reads += 1;
        let value = self.reads ^ offset << 8 ^ context.now << 16;
        let len = into.len();
        into.copy_from_slice(&value.to_le_bytes()[..len]);
    }
    fn write(&mut self, context: &mut DeviceContext<'_>, _: u64, from: &[u8]) {
        let mut bytes = [0; 8];
        bytes[..from.len()].copy_from_slice(from);
        self.written = u64::from_le_bytes(bytes);
        if self.written & 0xf0 == 0xf0 {
            // A device that writes memory, code included.
            let at = CODE + (self.written >> 8 & 0xff) * 2;
            let _ = context.memory.write(at, &0x0001u16.to_le_bytes());
        }
    }
    fn interrupt_asserted(&self) -> bool {
        self.written & 1 != 0
    }
    fn fork(&self) -> Box<dyn Device> {
        Box::new(Self { ..*self })
    }
    fn save(&self) -> Vec<u8> {
        [self.reads.to_le_bytes(), self.written.to_le_bytes()].concat()
    }
    fn load(&mut self, _: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

/// The content of a floating-point register: numbers of both formats, some of them special.
fn float_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (-1000..1000i32).prop_map(|n| (f64::from(n) * 0.37).to_bits()),
        4 => (-1000..1000i32).prop_map(|n| {
            u64::from((n as f32 * 0.37).to_bits()) | 0xffff_ffff_0000_0000
        }),
        1 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<f32>().prop_map(|n| u64::from(n.to_bits()) | 0xffff_ffff_0000_0000),
        1 => any::<u64>(),
    ]
}

#[derive(Debug)]
struct Case {
    code: Vec<u32>,
    registers: Vec<u64>,
    /// The program's patch of its own code.
    patch: (u32, u32),
    paging: bool,
}

/// A machine about to execute at `start` bytes into `code`.
fn prepare(
    code: &[u32; CODE_BYTES / 4],
    start: u64,
    paging: bool,
    heat: Option<u32>,
) -> (Platform, Soft) {
    let mut platform = Platform::new(PagedMemory::new(RAM, RAM_BYTES));
    platform.attach("device", DEVICE, 0x1000, 3, Box::new(Counter { reads: 0, written: 0 }));
    let mut write = |at: u64, bytes: &[u8]| {
        assert!(platform.memory.write(at, bytes).is_ok());
    };
    let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    write(CODE, &code);
    for (index, word) in RETURN.iter().enumerate() {
        write(HANDLER + 4 * index as u64, &word.to_le_bytes());
    }
    // Two sets of tables. Root: 1 GiB leaves for devices and memory, a table for the alias; its last level has 16
    // pages of RAM with permissions that differ.
    let leaf = |pa: u64, bits: u64| (pa >> 12 << 10 | bits).to_le_bytes();
    let bits = [0x0f, 0x0f, 0x0f, 0x0b, 0x0f, 0x1f, 0x07, 0x17, 0x03, 0x00, 0xcf, 0x0f, 0x05, 0x0f];
    for (tables, swapped) in [(TABLES, 0), (OTHER_TABLES, 3)] {
        write(tables, &leaf(0, 0x07));
        write(tables + 8, &leaf(tables + 0x1000, 0x01));
        write(tables + 16, &leaf(RAM, 0x0f));
        write(tables + 0x1000, &leaf(tables + 0x2000, 0x01));
        for (page, bits) in (0u64..).zip(bits) {
            // The second set exchanges the two pages of code.
            let to = if matches!(page, 1 | 2) { page ^ swapped } else { page };
            write(tables + 0x2000 + 8 * page, &leaf(RAM + 0x1000 * to, bits));
        }
    }
    let mut engine = Soft::new();
    engine.set_translation(heat);
    engine.reset(Entry { pc: CODE + start, device_tree: 0 });
    let mut set = |name: &str, value: u64| assert!(engine.set_register(name, value), "{name}");
    let alias = if paging { ALIAS } else { RAM };
    set("s2", DATA);
    set("s3", DATA + 0xffc); // accesses cross into the next page
    set("s4", alias + 0x6000);
    set("s5", alias + 0x7000);
    set("s6", CODE + 0xf00);
    set("s7", DEVICE);
    set("s8", alias + 0x1e00);
    set("s9", CODE + start);
    set("s11", alias + 0x1000 + start);
    set("a6", 3 << 13);
    set("tp", 8 << 60 | OTHER_TABLES >> 12);
    set("t4", 8 << 60 | TABLES >> 12);
    set("stvec", HANDLER);
    set("sstatus", 3 << 13 | 2);
    set("stimecmp", 40);
    set("fflags", 1);
    set("sie", 0x222);
    if paging {
        set("satp", 8 << 60 | TABLES >> 12);
    }
    (platform, engine)
}

fn machine(case: &Case, heat: Option<u32>) -> (Platform, Soft) {
    // The program lies across the boundary of the two pages; around it, ways back to its start.
    let start = (0x1000 - case.code.len() as u64 / 2 * 4).max(4);
    let mut code = [0x000c_8067; CODE_BYTES / 4]; // jr x25
    for (at, word) in code[start as usize / 4..].iter_mut().zip(&case.code) {
        *at = *word;
    }
    let (platform, mut engine) = prepare(&code, start, case.paging, heat);
    let mut set = |name: &str, value: u64| assert!(engine.set_register(name, value), "{name}");
    let names = [
        "ra", "sp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a7", "t3",
        "ft0", "ft1", "ft2", "ft3",
    ];
    for (name, value) in names.iter().zip(&case.registers) {
        set(name, *value);
    }
    set("s10", u64::from(case.patch.0) | u64::from(case.patch.1) << 32);
    (platform, engine)
}

/// Runs up to `deadline`; true if the guest has ended.
fn advance(platform: &mut Platform, engine: &mut Soft, deadline: u64) -> bool {
    advance_any(platform, engine, deadline)
}

fn advance_any(platform: &mut Platform, engine: &mut dyn Engine, deadline: u64) -> bool {
    loop {
        match engine.run(platform, deadline) {
            Exit::Deadline => return false,
            Exit::Attention => platform.attention = false,
            Exit::Idle { wake_at } => {
                let until = wake_at.unwrap_or(u64::MAX).min(deadline);
                engine.wait(platform, until);
                if until == deadline {
                    return false;
                }
            }
            _ => return true,
        }
    }
}

fn picture(platform: &mut Platform, engine: &Soft) -> (Vec<(&'static str, u64)>, Vec<u8>, Vec<u8>) {
    let mut memory = vec![0; RAM_BYTES as usize];
    assert!(platform.memory.read(RAM, &mut memory).is_ok());
    (engine.registers(), engine.save(), memory)
}

/// Runs a program never translated, translated after `heat` runs and stopped at every step, and
/// translated at once and never stopped.
fn compare_tiers(case: &Case, steps: &[u64], heat: u32) -> Result<(), TestCaseError> {
    let (mut platform, mut reference) = machine(case, None);
    let (mut other_platform, mut translated) = machine(case, Some(heat));
    let store = warm::store();
    translated.set_store(store.clone());
    let mut at = 0;
    for step in steps {
        at += step;
        let ended = advance(&mut platform, &mut reference, at);
        prop_assert_eq!(ended, advance(&mut other_platform, &mut translated, at));
        let expected = picture(&mut platform, &reference);
        let found = picture(&mut other_platform, &translated);
        prop_assert_eq!(&expected.0, &found.0, "at {}", at);
        prop_assert!(expected.1 == found.1, "state at {}", at);
        prop_assert!(expected.2 == found.2, "memory at {}", at);
        if ended {
            return Ok(());
        }
    }
    let (mut whole_platform, mut whole) = machine(case, Some(0));
    whole.set_store(store);
    advance(&mut whole_platform, &mut whole, at);
    // Which interrupts are pending is looked at when a run begins; one that ends at once does only that.
    advance(&mut platform, &mut reference, at);
    advance(&mut whole_platform, &mut whole, at);
    let expected = picture(&mut platform, &reference);
    let found = picture(&mut whole_platform, &whole);
    prop_assert_eq!(&expected.0, &found.0, "in one piece");
    prop_assert!(expected == found, "in one piece");
    Ok(())
}

fn steps() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![1..30u64, 1..3000u64], 1..24)
}

fn registers() -> impl Strategy<Value = Vec<u64>> {
    let integers = vec(prop_oneof![any::<u64>(), 0..40u64, Just(u64::MAX)], 15);
    (integers, vec(float_value(), 4)).prop_map(|(integers, floats)| [integers, floats].concat())
}

proptest! {
    #[test]
    fn translated_and_interpreted_programs_are_the_same_at_every_stop(
        code in vec(instruction(), 1..160),
        registers in registers(),
        patch in (instruction(), instruction()),
        steps in steps(),
        paging: bool,
        heat in 0..3u32,
    ) {
        compare_tiers(&Case { code, registers, patch, paging }, &steps, heat)?;
    }

    #[test]
    fn translated_and_interpreted_numbers_are_the_same_to_the_bit(
        code in vec(prop_oneof![8 => float(), 1 => memory(), 1 => arithmetic()], 1..80),
        registers in registers(),
        steps in steps(),
    ) {
        compare_tiers(&Case { code, registers, patch: (0, 0), paging: false }, &steps, 0)?;
    }
}

/// Boots the kernel that `STILLPOINT_KERNEL` names, with the initial file system that
/// `STILLPOINT_INITRAMFS` names if it is set, for 300 ms of guest time.
#[test]
fn a_kernel_boots_alike_in_both_tiers() {
    let Some(kernel) = std::env::var_os("STILLPOINT_KERNEL") else {
        eprintln!("skipped: STILLPOINT_KERNEL does not name a kernel");
        return;
    };
    let mut config = MachineConfig::new(Source::Path(kernel.into()));
    config.initramfs =
        std::env::var_os("STILLPOINT_INITRAMFS").map(|path| Source::Path(path.into()));
    let mut machines = [None, Some(0), Some(8)].map(|heat| {
        let mut engine = Soft::new();
        engine.set_translation(heat);
        match Machine::new(&config, Box::new(engine)) {
            Ok(machine) => machine,
            Err(error) => panic!("{error}"),
        }
    });
    for at_millis in [1, 10, 60, 150, 300] {
        let until = RunUntil { at_nanos: Some(at_millis * 1_000_000), ..RunUntil::default() };
        let digests = machines.each_mut().map(|machine| {
            let stop = machine.run(&until);
            (stop, machine.digest().ok(), machine.next_seq())
        });
        assert!(digests[0].1.is_some());
        assert_eq!(digests[0], digests[1], "at {at_millis} ms");
        assert_eq!(digests[0], digests[2], "at {at_millis} ms");
    }
}
