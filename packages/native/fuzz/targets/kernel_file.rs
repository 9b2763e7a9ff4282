//! A kernel and an initramfs of random bytes: refused, or loaded and run for a moment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_soft::Soft;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil};

// The first two bytes say how much of the rest is the kernel.
fuzz_target!(|data: &[u8]| {
    let Some((length, files)) = data.split_first_chunk::<2>() else { return };
    let (kernel, initramfs) =
        files.split_at(usize::from(u16::from_le_bytes(*length)).min(files.len()));
    let config = MachineConfig {
        initramfs: (!initramfs.is_empty()).then(|| Source::Bytes(initramfs.into())),
        memory_bytes: 4 << 20,
        ..MachineConfig::new(Source::Bytes(kernel.into()))
    };
    if let Ok(mut machine) = Machine::new(&config, Box::new(Soft::new())) {
        machine.run_into(&RunUntil { at_nanos: Some(1_000), ..RunUntil::default() }, &mut |_| ());
    }
});
