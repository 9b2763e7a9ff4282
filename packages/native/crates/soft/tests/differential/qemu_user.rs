//! Runs a batch under `qemu-riscv64`, QEMU's user-level emulator.
//!
//! The image becomes a static ELF executable, written here byte by byte: no compiler is needed.

use crate::assembly::{self as asm, Code};
use crate::batch::{self, CODE, STATES};
use crate::program::Program;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const EMULATOR: &str = "qemu-riscv64";
const WRITE: u64 = 64;
const EXIT: u64 = 93;

/// Whether the emulator is there; says how to get it if not.
pub fn is_present() -> bool {
    let present = Command::new(EMULATOR).arg("--version").output().is_ok();
    if !present {
        // Past the test harness, which would swallow it.
        let _shown = writeln!(
            std::io::stderr(),
            "skipped: {EMULATOR} not found (apt-get install qemu-user)"
        );
    }
    present
}

/// Runs the programs; gives the memory from [`STATES`] on as they left it.
///
/// # Panics
/// If the emulator cannot be run or the programs did not reach their end.
pub fn run(programs: &[Program]) -> Vec<u8> {
    let bytes = batch::memory_bytes(programs.len());
    let image = batch::image(programs, |code: &mut Code| {
        code.value(asm::A0, 1).address(asm::A1, STATES).value(asm::A2, bytes);
        code.value(asm::A7, WRITE).word(asm::ECALL);
        code.value(asm::A0, 0).value(asm::A7, EXIT).word(asm::ECALL);
    });
    let path = scratch_file();
    std::fs::write(&path, executable(&image)).expect("the scratch folder is writable");
    std::fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("the file is ours");
    let output = Command::new(EMULATOR).arg(&path).output().expect("the emulator runs");
    std::fs::remove_file(&path).expect("the scratch file is still there");
    assert!(
        output.status.success() && output.stdout.len() as u64 == bytes,
        "{EMULATOR}: {}, {} of {bytes} bytes: {}",
        output.status,
        output.stdout.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn scratch_file() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("batch-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// An ELF64 executable with two segments: the code, which programs may write, and the memory.
fn executable(image: &batch::Image) -> Vec<u8> {
    const PAGE: usize = 4096;
    const HEADER_BYTES: usize = 64;
    const PROGRAM_HEADER_BYTES: usize = 56;
    const EXECUTABLE: u16 = 2;
    const RISCV: u16 = 243;
    // RVC, double-precision calling convention.
    const FLAGS: u32 = 5;

    let code_offset = PAGE;
    let memory_offset = (code_offset + image.code.len()).next_multiple_of(PAGE);
    let mut elf = Vec::with_capacity(memory_offset + image.memory.len());
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend(EXECUTABLE.to_le_bytes());
    elf.extend(RISCV.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend(CODE.to_le_bytes());
    elf.extend((HEADER_BYTES as u64).to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(FLAGS.to_le_bytes());
    elf.extend((HEADER_BYTES as u16).to_le_bytes());
    elf.extend((PROGRAM_HEADER_BYTES as u16).to_le_bytes());
    elf.extend(2u16.to_le_bytes());
    elf.extend([0; 6]);
    for (permissions, offset, address, bytes) in
        [(7u32, code_offset, CODE, &image.code), (6, memory_offset, STATES, &image.memory)]
    {
        elf.extend(1u32.to_le_bytes());
        elf.extend(permissions.to_le_bytes());
        elf.extend((offset as u64).to_le_bytes());
        elf.extend(address.to_le_bytes());
        elf.extend(address.to_le_bytes());
        elf.extend((bytes.len() as u64).to_le_bytes());
        elf.extend((bytes.len() as u64).to_le_bytes());
        elf.extend((PAGE as u64).to_le_bytes());
    }
    elf.resize(code_offset, 0);
    elf.extend(&image.code);
    elf.resize(memory_offset, 0);
    elf.extend(&image.memory);
    elf
}
