//! Whether this host's KVM runs guests, and of what kind it is.

use std::sync::LazyLock;

use stillpoint_vmm::board::{Board, Boot, PayloadForm};
use stillpoint_vmm::boards::x86_64::PC;
use stillpoint_vmm::engine::{Engine, Exit};
use stillpoint_vmm::platform::Platform;

use crate::engine::Kvm;
use crate::host::host;
use crate::memory::MappedMemory;

/// Where probes go, and how long they are given: guests of three instructions, on any host.
const ADDRESS: u64 = 0x2_0000;
const MEMORY_BYTES: u64 = 1 << 20;
const PATIENCE_NANOS: u64 = 10_000_000_000;

/// mov ax, 0x2000; mov dx, 0x604; out dx, ax
const OFF: [u8; 10] = [0x66, 0xb8, 0x00, 0x20, 0x66, 0xba, 0x04, 0x06, 0x66, 0xef];
/// mov eax, 0x30000; lock cmpxchg16b [rax]
const WIDE_EXCHANGE: [u8; 10] = [0xb8, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x48, 0x0f, 0xc7, 0x08];

/// What kind of KVM a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One that executes what its processor can: any guest.
    Complete,
    /// One that emulates instructions and does not know all of them, as on small hosts that are guests
    /// themselves: 64-bit payloads run in it, Linux does not.
    Emulating {
        /// What was tried and what became of it.
        because: String,
    },
}

/// Whether a machine can be run here.
///
/// # Errors
/// Why not.
pub fn usable() -> Result<(), String> {
    kind().map(|_| ())
}

/// What whoever uses it is to know of this host's KVM, if it is one that does not run every guest.
pub fn remark() -> Option<String> {
    match kind() {
        Ok(Kind::Emulating { because }) => Some(format!(
            "/dev/kvm emulates instructions, and not all of them: payloads run, Linux would not \
             ({because})"
        )),
        Ok(Kind::Complete) | Err(_) => None,
    }
}

/// What kind of KVM this host has: it was opened, its capabilities were checked, and small guests
/// were run.
///
/// # Errors
/// Why it cannot be used.
pub fn kind() -> Result<Kind, String> {
    static KIND: LazyLock<Result<Kind, String>> = LazyLock::new(probe);
    KIND.clone()
}

fn probe() -> Result<Kind, String> {
    host()?;
    match run(&OFF) {
        Exit::Halted { .. } => {}
        other => return Err(format!("/dev/kvm: a guest of three instructions ended as {other:?}")),
    }
    match run(&[WIDE_EXCHANGE, OFF].concat()) {
        Exit::Halted { .. } => Ok(Kind::Complete),
        other => {
            Ok(Kind::Emulating { because: format!("a guest with cmpxchg16b ended as {other:?}") })
        }
    }
}

fn run(code: &[u8]) -> Exit {
    let mut memory = MappedMemory::new(0, MEMORY_BYTES);
    let form = PayloadForm::Flat { address: ADDRESS };
    let boot = Boot { kernel: code, form, initramfs: None, command_line: "", random_seed: &[] };
    let entry = match PC.load(&mut memory, &[], &boot) {
        Ok(entry) => entry,
        Err(error) => return Exit::Fault(error.to_string()),
    };
    let mut engine = Kvm::new();
    engine.reset(entry);
    engine.run(&mut Platform::new(memory), PATIENCE_NANOS)
}
