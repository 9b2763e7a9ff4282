//! Runs a supervisor payload under `qemu-system-riscv64`, below the OpenSBI that QEMU carries.
//!
//! The payload writes what is to be compared, byte by byte, to the board's serial port.

use crate::assembly::{self as asm, Code};
use crate::supervisor::{self, Case};
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const EMULATOR: &str = "qemu-system-riscv64";
/// RV64GC and nothing more.
const PROCESSOR: &str = "rv64,h=false,v=false,sstc=false,zba=false,zbb=false,zbc=false,zbs=false";
const SERIAL_PORT: u64 = 0x1000_0000;
const MARK: &[u8] = b"\x01observed\x02";
const SYSTEM_RESET: u64 = 0x5352_5354;

/// Which QEMU it is, as far as its known faults depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The emulator's version; says how to get it if it is not there.
///
/// # Panics
/// If it does not say its version.
pub fn version() -> Option<Version> {
    let Ok(output) = Command::new(EMULATOR).arg("--version").output() else {
        // Past the test harness, which would swallow it.
        let _shown = writeln!(
            std::io::stderr(),
            "skipped: {EMULATOR} not found (scripts/setup/qemu.sh installs it)"
        );
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.strip_prefix("QEMU emulator version ").unwrap_or_default();
    let mut numbers = numbers.split('.').map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => Some(Version { major, minor }),
        _ => panic!("{EMULATOR} --version: expected \"QEMU emulator version N.N\", found {text:?}"),
    }
}

/// Asks the firmware to switch the machine off.
pub fn shut_down(code: &mut Code) {
    code.value(asm::A7, SYSTEM_RESET).value(asm::A6, 0).value(asm::A0, 0).value(asm::A1, 0);
    code.word(asm::ECALL);
}

/// Runs the cases; gives the ranges of [`supervisor::observed`], one behind the other.
///
/// # Panics
/// If the emulator cannot be run or the payload did not reach its end.
pub fn run(cases: &[Case]) -> Vec<u8> {
    let payload = supervisor::payload(cases, |code| {
        let lsr = 5;
        code.value(asm::A0, SERIAL_PORT);
        for byte in MARK {
            code.value(asm::T0, (*byte).into()).word(asm::s(asm::STORE, 0, asm::A0, asm::T0, 0));
        }
        for (address, bytes) in supervisor::observed(cases.len()) {
            code.address(asm::A1, address).address(asm::A2, address + bytes);
            code.words(&[
                // Wait until the transmitter is ready, write a byte, continue with the next.
                asm::i(asm::LOAD, 4, asm::T0, asm::A0, lsr),
                asm::i(asm::OP_IMM, 7, asm::T0, asm::T0, 0x20),
                asm::branch(0, asm::T0, 0, -8),
                asm::i(asm::LOAD, 4, asm::T0, asm::A1, 0),
                asm::s(asm::STORE, 0, asm::A0, asm::T0, 0),
                asm::addi(asm::A1, asm::A1, 1),
                asm::branch(1, asm::A1, asm::A2, -24),
            ]);
        }
        shut_down(code);
    });
    let path = scratch_file();
    std::fs::write(&path, payload).expect("the scratch folder is writable");
    let output = Command::new("timeout")
        .args(["300", EMULATOR, "-M", "virt", "-cpu", PROCESSOR, "-m", "128", "-display", "none"])
        // With one hart QEMU makes an atomic operation of a load and a store, and reports the
        // load's fault; the second hart never starts.
        .args(["-smp", "2", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-kernel"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("the emulator runs");
    std::fs::remove_file(&path).expect("the scratch file is still there");
    let mark = output.stdout.windows(MARK.len()).position(|window| window == MARK);
    let observed = mark.map(|at| output.stdout[at + MARK.len()..].to_vec()).unwrap_or_default();
    let expected: u64 = supervisor::observed(cases.len()).iter().map(|range| range.1).sum();
    assert!(
        output.status.success() && observed.len() as u64 == expected,
        "{EMULATOR}: {}, {} of {expected} bytes: {}",
        output.status,
        observed.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    observed
}

fn scratch_file() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("payload-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}
