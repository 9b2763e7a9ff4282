//! The guest kit's kernel on the machine: it boots, and nothing that is done to a machine on the
//! way can be seen afterwards.
//!
//! The kernel is `STILLPOINT_KERNEL`, or the one in the guest kit's cache.

use std::path::PathBuf;

use stillpoint_soft::Soft;
use stillpoint_vmm::conformance::{Subject, laws};
use stillpoint_vmm::engine::Engine;
use stillpoint_vmm::engines::Engines;
use stillpoint_vmm::event::EventBody;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil, Stop};

fn kernel() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("STILLPOINT_KERNEL") {
        return Some(path.into());
    }
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../..");
    let kit = std::env::var_os("STILLPOINT_KIT_DIR")
        .map_or_else(|| PathBuf::from(repository).join(".cache/guest-kit"), PathBuf::from);
    let packages = std::fs::read_dir(kit.join("packages")).ok()?;
    packages.flatten().map(|package| package.path().join("vmlinux")).find(|path| path.is_file())
}

fn config() -> Option<MachineConfig> {
    let found = kernel().map(|path| MachineConfig::new(Source::Path(path)));
    if found.is_none() {
        println!("skipped: no guest kernel here; the guest kit's set-up fetches one");
    }
    found
}

fn make() -> Box<dyn Engine> {
    Box::new(Soft::new())
}

#[test]
fn a_kernel_without_a_root_file_system_boots_panics_and_resets() {
    let Some(config) = config() else { return };
    let mut machine = Machine::new(&config, make()).expect("a machine");
    let mut bodies = Vec::new();
    let stop = machine.run_into(&RunUntil::default(), &mut |events| {
        bodies.extend(events.iter().map(|event| event.body.clone()));
    });
    assert!(matches!(stop, Stop::Reset { .. }), "{stop:?}");
    let panic = bodies.iter().position(|body| matches!(body, EventBody::GuestPanicked { .. }));
    let panic = panic.expect("the kernel's panic is an event");
    for body in &bodies[..panic - 1] {
        if let EventBody::SerialLine { text, .. } = body {
            let is_warning = ["WARNING", "Oops", "BUG:", "unhandled signal"];
            assert!(!is_warning.iter().any(|word| text.contains(word)), "{text}");
        }
    }
    let console = bodies.iter().any(
        |body| matches!(body, EventBody::SerialLine { text, .. } if text.contains("ttyS1 at MMIO")),
    );
    assert!(console, "both serial ports are found");
}

#[test]
fn a_booting_kernel_keeps_the_laws_of_engines() {
    let Some(guest) = config() else { return };
    // Early, in the middle of the boot's first work, and near the end of what is run.
    let end_nanos = 120_000_000;
    let cuts = [1, 4_321, 15_200_001, 77_777_777, end_nanos - 1];
    let inputs = vec![(50_000_000, b"typed while nobody listens".to_vec())];
    let engines = Engines::only(make);
    let subject = Subject { engines: &engines, guest, end_nanos, inputs };
    for law in laws::ALL {
        if let Err(violation) = law.check(&subject, &cuts) {
            panic!("{violation}");
        }
    }
}
