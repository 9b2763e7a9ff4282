//! Every registered engine keeps the laws of engines, or is exempt from some by name.

#![allow(clippy::panic, reason = "a test says what it expects")]

use stillpoint_engines::engines;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::conformance::laws::Law;
use stillpoint_vmm::conformance::{Subject, laws};
use stillpoint_vmm::engines::{EngineKind, Engines};
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::MachineConfig;

/// A guest that uses its devices, for the boards that there are.
fn guest(board: &str) -> Option<MachineConfig> {
    let riscv: &[u8] = include_bytes!("../../soft/tests/snapshots/guest.bin");
    // again: mov dx, 0x3f8; mov al, "k"; out dx, al; mov al, "\n"; out dx, al; inc qword [0x30000]; jmp again
    let x86: &[u8] = &[
        0x66, 0xba, 0xf8, 0x03, 0xb0, b'k', 0xee, 0xb0, b'\n', 0xee, 0x48, 0xff, 0x04, 0x25, 0, 0,
        3, 0, 0xeb, 0xec,
    ];
    let (code, address) = match board {
        "riscv" => (riscv, 0x8000_0000),
        "x86_64" => (x86, 0x2_0000),
        _ => return None,
    };
    Some(MachineConfig {
        form: PayloadForm::Flat { address },
        memory_bytes: 1 << 20,
        sample_step_nanos: 50_000,
        ..MachineConfig::new(Source::Bytes(code.to_vec().into()))
    })
}

/// The results of the laws for one engine, by name: kept, not tried, not applicable.
fn told(kind: &EngineKind, usable: Result<(), String>) -> Vec<String> {
    let (engine, name) = (kind.make(), kind.name());
    let named = |laws: &[&Law]| laws.iter().map(|law| law.name).collect::<Vec<_>>().join(", ");
    let (held, free): (Vec<&Law>, Vec<&Law>) =
        laws::ALL.iter().partition(|law| law.applies_to(engine.as_ref()).is_ok());
    let mut lines = Vec::new();
    match usable {
        Ok(()) => lines.push(format!(
            "counted: engine {name} keeps {} of {} laws: {}",
            held.len(),
            laws::ALL.len(),
            named(&held)
        )),
        Err(why) => lines.push(format!(
            "skipped: engine {name} cannot be used here ({why}), not tried: {}",
            named(&held)
        )),
    }
    if let Some(Err(why)) = free.first().map(|law| law.applies_to(engine.as_ref())) {
        lines.push(format!("skipped: laws that do not apply ({why}): {}", named(&free)));
    }
    lines
}

#[test]
fn every_engine_keeps_the_laws_that_apply_to_it() {
    for kind in engines().kinds() {
        let usable = kind.usable();
        if usable.is_ok() {
            keeps_its_laws(kind);
        }
        for line in told(kind, usable) {
            println!("{line}");
        }
    }
}

fn keeps_its_laws(kind: &EngineKind) {
    let engine = kind.make();
    let Some(guest) = guest(engine.board().name()) else {
        panic!("no guest for board {} of engine {}", engine.board().name(), kind.name());
    };
    let only = Engines::new(vec![kind.clone()]);
    let inputs = vec![(70_000, b"typed".to_vec())];
    let subject = Subject { engines: &only, guest, end_nanos: 200_000, inputs };
    for law in laws::ALL.iter().filter(|law| law.applies_to(engine.as_ref()).is_ok()) {
        if let Err(violation) = law.check(&subject, &[1, 33_333, 70_000, 199_999]) {
            panic!("{violation}");
        }
    }
}

#[test]
fn of_every_law_it_is_said_by_name_whether_it_was_tried_on_an_engine() {
    for kind in engines().kinds() {
        for usable in [Ok(()), Err("no such device".to_owned())] {
            let lines = told(kind, usable).join("\n");
            for law in laws::ALL {
                assert_eq!(lines.matches(law.name).count(), 1, "{}: {lines}", law.name);
            }
        }
    }
}
