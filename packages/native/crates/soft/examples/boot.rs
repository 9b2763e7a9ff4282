//! Boots a kernel and says how fast: `boot <kernel> [<initramfs> [<command line>]]`.
//!
//! Console lines go to standard output, the figures to standard error.

use std::error::Error;
use std::time::Instant;
use stillpoint_soft::Soft;
use stillpoint_vmm::event::EventBody;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kernel = arguments.next().ok_or("expected the path of a kernel")?;
    let initramfs = arguments.next();
    let config = MachineConfig {
        initramfs: initramfs.map(|path| Source::Path(path.into())),
        command_line: arguments.next(),
        ..MachineConfig::new(Source::Path(kernel.into()))
    };
    let mut machine = Machine::new(&config, Box::new(Soft::new()))?;
    let start = Instant::now();
    let stop = machine.run_into(&RunUntil::default(), &mut |events| {
        for event in events {
            if let EventBody::SerialLine { text, .. } = &event.body {
                println!("{text}");
            }
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let instructions = machine
        .registers()
        .into_iter()
        .find_map(|(name, value)| (name == "instret").then_some(value))
        .unwrap_or(0);
    eprintln!(
        "{stop:?} after {} ns of guest time: {instructions} instructions in {seconds:.3} s, \
         {:.0} million a second",
        machine.now(),
        instructions as f64 / seconds / 1e6,
    );
    Ok(())
}
