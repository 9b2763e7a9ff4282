//! Guest instructions a second on three loops: integer, memory, floating point.
//!
//! `loops` runs them, `loops --interpret` without translation, `loops --write <folder>` writes
//! the payloads for other emulators (load address 0x8020_0000; they switch themselves off).
//! Each line of output: name, instructions, seconds, million instructions a second.
//!
//! The payloads are assembled from the `.s` files beside this one:
//! `riscv64-linux-gnu-gcc -march=rv64gc -nostdlib -static -Wl,-Ttext=0x80200000 int.s -o int.elf`
//! and `riscv64-linux-gnu-objcopy -O binary -j .text int.elf int.bin`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use stillpoint_soft::Soft;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil, Stop};

const ADDRESS: u64 = 0x8020_0000;
const LOOPS: [(&str, &[u8]); 3] = [
    ("mips-int", include_bytes!("int.bin")),
    ("mips-mem", include_bytes!("mem.bin")),
    ("mips-fp", include_bytes!("fp.bin")),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, folder] = arguments.as_slice()
        && flag == "--write"
    {
        for (name, payload) in LOOPS {
            std::fs::write(Path::new(folder).join(format!("{name}.bin")), payload)?;
        }
        return Ok(());
    }
    let interpret = arguments.iter().any(|argument| argument == "--interpret");
    for (name, payload) in LOOPS {
        let config = MachineConfig {
            form: PayloadForm::Flat { address: ADDRESS },
            ..MachineConfig::new(Source::Bytes(Arc::from(payload)))
        };
        let mut engine = Soft::new();
        if interpret {
            engine.set_translation(None);
        }
        let mut machine = Machine::new(&config, Box::new(engine))?;
        let start = Instant::now();
        let stop = machine.run(&RunUntil::default());
        let seconds = start.elapsed().as_secs_f64();
        if stop != (Stop::Halted { reason: 0 }) {
            return Err(format!("{name} ended with {stop:?}").into());
        }
        let instructions = machine
            .registers()
            .into_iter()
            .find_map(|(name, value)| (name == "instret").then_some(value))
            .unwrap_or(0);
        println!("{name} {instructions} {seconds:.3} {:.0}", instructions as f64 / seconds / 1e6);
    }
    Ok(())
}
