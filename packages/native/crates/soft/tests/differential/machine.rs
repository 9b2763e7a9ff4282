//! Runs batches and payloads on the engine itself, in every way that it can execute.

use crate::assembly::{self as asm, Code};
use crate::batch::{self, CODE, STATES};
use crate::program::Program;
use crate::qemu_system::shut_down;
use crate::supervisor::{self, Case, PAYLOAD};
use stillpoint_soft::Soft;
use stillpoint_vmm::engine::{Engine, Entry, Exit};
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::Platform;

const RAM: u64 = 0x8000_0000;
const RAM_BYTES: u64 = 16 << 20;
/// Where the supervisor's part of a batch starts.
const BOOT: u64 = RAM;
/// Written by a batch's trap handler: `scause`, `stval`, `sepc`.
const REPORT: u64 = RAM + 0x1000;
/// Instructions after which a run is taken for endless.
const ENOUGH: u64 = 100_000_000;
const FROM_USER: u64 = 8;

/// A way of executing: they must not differ in anything that a guest can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One instruction at a time.
    Stepped,
    /// Decoded blocks.
    Interpreted,
    /// Decoded blocks, in runs of a few instructions.
    Sliced,
    /// Host code for what was executed twice.
    Translated,
}

/// All ways.
pub const WAYS: [Way; 4] = [Way::Stepped, Way::Interpreted, Way::Sliced, Way::Translated];

/// Executes until the guest switches itself off.
///
/// # Errors
/// What happened instead.
fn execute(platform: &mut Platform, pc: u64, way: Way) -> Result<(), String> {
    let mut engine = Soft::new();
    engine.reset(Entry { pc, device_tree: 0 });
    engine.set_translation((way == Way::Translated).then_some(2));
    let exit = match way {
        Way::Stepped => loop {
            match engine.step(platform) {
                None if engine.now() < ENOUGH => {}
                None => break Exit::Deadline,
                Some(exit) => break exit,
            }
        },
        Way::Sliced => {
            let mut slice = 0;
            loop {
                slice = (slice * 5 + 3) % 61;
                let deadline = engine.now() + 1 + slice;
                match engine.run(platform, deadline) {
                    Exit::Deadline if engine.now() < ENOUGH => {}
                    exit => break exit,
                }
            }
        }
        Way::Interpreted | Way::Translated => engine.run(platform, ENOUGH),
    };
    match exit {
        Exit::Halted { reason: 0 } => Ok(()),
        other => Err(format!("{way:?}: {other:x?} at {:x?}", engine.registers())),
    }
}

/// The cases in which an instruction is executed, or its access to memory fails, that stands
/// neither in the harness nor in the case's own code: something from the data pages.
///
/// Such an instruction has any base register, and where nothing is here, QEMU's board has devices
/// and protected firmware.
///
/// # Errors
/// How the run ended, if not with the payload's end.
pub fn astray(cases: &[Case]) -> Result<Vec<usize>, String> {
    let payload = supervisor::payload(cases, shut_down);
    let mut platform = platform(&[(PAYLOAD, &payload)]);
    let mut engine = Soft::new();
    engine.reset(Entry { pc: PAYLOAD, device_tree: 0 });
    let mut astray = Vec::new();
    while engine.now() < ENOUGH {
        let at = register(&engine, "pc");
        let running = supervisor::case_of(register(&engine, "sscratch"));
        match engine.step(&mut platform) {
            None => {}
            Some(Exit::Halted { reason: 0 }) => return Ok(astray),
            Some(exit) => return Err(format!("{exit:x?} at {:x?}", engine.registers())),
        }
        let Some(case) = running else { continue };
        let trapped = supervisor::is_harness(register(&engine, "pc"));
        let accessed = matches!(register(&engine, "scause"), 4..=7 | 13 | 15);
        if !supervisor::is_code(case, at) && (!trapped || accessed) && astray.last() != Some(&case)
        {
            astray.push(case);
        }
    }
    Err(format!("no end: {:x?}", engine.registers()))
}

fn register(engine: &Soft, name: &str) -> u64 {
    let registers = engine.registers();
    registers.iter().find(|register| register.0 == name).expect("the engine has the register").1
}

fn platform(contents: &[(u64, &[u8])]) -> Platform {
    let mut platform = Platform::new(PagedMemory::new(RAM, RAM_BYTES));
    for (address, bytes) in contents {
        platform.memory.write(*address, bytes).expect("the image fits into memory");
    }
    platform
}

fn read(platform: &mut Platform, address: u64, bytes: u64) -> Vec<u8> {
    let mut content = vec![0; bytes as usize];
    platform.memory.read(address, &mut content).expect("the range lies in memory");
    content
}

/// Runs the programs in user mode; gives the memory from [`STATES`] on as they left it.
///
/// # Errors
/// How the run ended, if not with the programs' end.
pub fn run_user(programs: &[Program], way: Way) -> Result<Vec<u8>, String> {
    let image = batch::image(programs, |code| {
        code.word(asm::ECALL);
    });
    let mut boot = Code::at(BOOT);
    let handler = BOOT + 0x100;
    boot.address(asm::T0, handler).word(asm::csrw(asm::STVEC, asm::T0));
    boot.value(asm::T0, 3 << 13).word(asm::csrw(asm::SSTATUS, asm::T0));
    boot.address(asm::T0, CODE).words(&[asm::csrw(asm::SEPC, asm::T0), asm::SRET]);
    boot.pad_to(handler).address(asm::T0, REPORT);
    for (at, csr) in (0..).zip([asm::SCAUSE, asm::STVAL, asm::SEPC]) {
        boot.words(&[asm::csrr(asm::T1, csr), asm::sd(asm::T1, asm::T0, at * 8)]);
    }
    shut_down(&mut boot);

    let mut platform =
        platform(&[(BOOT, boot.bytes()), (CODE, &image.code), (STATES, &image.memory)]);
    execute(&mut platform, BOOT, way)?;
    let report = read(&mut platform, REPORT, 24);
    let report: Vec<u64> =
        report.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let end = CODE + image.code.len() as u64 - 4;
    if report[0] != FROM_USER || report[2] != end {
        return Err(format!("{way:?}: trap (scause, stval, sepc) {report:x?}, end is {end:#x}"));
    }
    Ok(read(&mut platform, STATES, image.memory.len() as u64))
}

/// Runs the cases; gives the ranges of [`supervisor::observed`], one behind the other.
///
/// # Errors
/// How the run ended, if not with the payload's end.
pub fn run_supervisor(cases: &[Case], way: Way) -> Result<Vec<u8>, String> {
    let payload = supervisor::payload(cases, shut_down);
    let mut platform = platform(&[(PAYLOAD, &payload)]);
    execute(&mut platform, PAYLOAD, way)?;
    let ranges = supervisor::observed(cases.len());
    Ok(ranges
        .into_iter()
        .flat_map(|(address, bytes)| read(&mut platform, address, bytes))
        .collect())
}
