//! Whether this host's KVM runs guests, and its kind.

use std::sync::OnceLock;

use stillpoint_vmm::board::{Board, Boot, PayloadForm};
use stillpoint_vmm::boards::x86_64::{self, PC};
use stillpoint_vmm::engine::{Engine, Exit};
use stillpoint_vmm::loaders::LoadError;
use stillpoint_vmm::platform::Platform;

use crate::host::host;
use crate::memory::MappedMemory;

/// The address of probes, and their time limit: guests of three instructions, on any host.
const ADDRESS: u64 = 0x2_0000;
const MEMORY_BYTES: u64 = 1 << 20;
const PATIENCE_NANOS: u64 = 10_000_000_000;

/// mov ax, 0x2000; mov dx, 0x604; out dx, ax
const OFF: [u8; 10] = [0x66, 0xb8, 0x00, 0x20, 0x66, 0xba, 0x04, 0x06, 0x66, 0xef];
/// mov eax, 0x30000; lock cmpxchg16b [rax]
const WIDE_EXCHANGE: [u8; 10] = [0xb8, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x48, 0x0f, 0xc7, 0x08];

/// The kind of a host's KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It executes everything that its processor can: any guest.
    Complete,
    /// It emulates instructions and does not know all of them, as on small hosts that are guests
    /// themselves: 64-bit payloads run in it, Linux does not.
    Emulating {
        /// The attempt and its result.
        because: String,
    },
}

/// Makes an engine to probe with.
pub(crate) type Make = fn() -> Box<dyn Engine>;

/// The kind of this host's KVM: it was opened, its capabilities were checked, and small guests were
/// run.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn kind(make: Make) -> Result<Kind, String> {
    static KIND: OnceLock<Result<Kind, String>> = OnceLock::new();
    KIND.get_or_init(|| probe(make)).clone()
}

/// Refuses a Linux kernel where it would end minutes later at an instruction that is not emulated.
pub(crate) fn check_boot(boot: &Boot<'_>, make: Make) -> Result<(), LoadError> {
    if !x86_64::is_linux(boot) {
        return Ok(());
    }
    match kind(make) {
        Ok(Kind::Emulating { because }) => Err(LoadError::EngineUnfit {
            engine: "kvm",
            expected: "for Linux a /dev/kvm that executes every instruction of its processor"
                .to_owned(),
            found: format!("one that emulates, and not all of them ({because})"),
            remedy: "use engine \"soft\" with a riscv64 kernel, or a host whose /dev/kvm does not \
                     emulate"
                .to_owned(),
        }),
        // The selection of an engine, or the first run, refuses a host without KVM.
        Ok(Kind::Complete) | Err(_) => Ok(()),
    }
}

fn probe(make: Make) -> Result<Kind, String> {
    host()?;
    match run(make(), &OFF) {
        Exit::Halted { .. } => {}
        other => return Err(format!("/dev/kvm: a guest of three instructions ended as {other:?}")),
    }
    match run(make(), &[WIDE_EXCHANGE, OFF].concat()) {
        Exit::Halted { .. } => Ok(Kind::Complete),
        other => {
            Ok(Kind::Emulating { because: format!("a guest with cmpxchg16b ended as {other:?}") })
        }
    }
}

fn run(mut engine: Box<dyn Engine>, code: &[u8]) -> Exit {
    let mut memory = MappedMemory::new(0, MEMORY_BYTES);
    let form = PayloadForm::Flat { address: ADDRESS };
    let boot = Boot { kernel: code, form, initramfs: None, command_line: "", random_seed: &[] };
    let entry = match PC.load(&mut memory, &[], &boot) {
        Ok(entry) => entry,
        Err(error) => return Exit::Fault(error.to_string()),
    };
    engine.reset(entry);
    engine.run(&mut Platform::new(memory), PATIENCE_NANOS)
}
