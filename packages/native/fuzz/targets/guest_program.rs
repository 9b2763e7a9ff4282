//! A guest of random bytes on the whole board, its devices included: interpreted, and translated
//! at once and cut in pieces, it leaves the same machine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_soft::Soft;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil};

const ADDRESS: u64 = 0x8000_0000;
const NANOS: u64 = 20_000;

fn machine(program: &[u8], heat: Option<u32>) -> Option<Machine> {
    let config = MachineConfig {
        form: PayloadForm::Flat { address: ADDRESS },
        memory_bytes: 2 << 20,
        ..MachineConfig::new(Source::Bytes(program.into()))
    };
    let mut engine = Soft::new();
    engine.set_translation(heat);
    Machine::new(&config, Box::new(engine)).ok()
}

fuzz_target!(|program: &[u8]| {
    let (Some(mut interpreted), Some(mut translated)) =
        (machine(program, None), machine(program, Some(1)))
    else {
        return;
    };
    interpreted.run_into(&RunUntil { at_nanos: Some(NANOS), ..RunUntil::default() }, &mut |_| ());
    for part in 1..=4 {
        let until = RunUntil { at_nanos: Some(NANOS * part / 4), ..RunUntil::default() };
        translated.run_into(&until, &mut |_| ());
    }
    assert_eq!(interpreted.now(), translated.now());
    assert_eq!(interpreted.digest().ok(), translated.digest().ok());
});
