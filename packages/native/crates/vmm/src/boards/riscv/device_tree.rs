//! The device tree that tells the kernel what the board is (Devicetree Specification 0.4).

use vm_fdt::{Error, FdtWriter};

use super::RiscvBoard;
use crate::board::{Boot, Layout, Window};
use crate::devices::{goldfish_rtc, ns16550a, virtio, vmgenid};
use crate::loaders::LoadError;

const HART_CONTROLLER: u32 = 1;
const INTERRUPT_CONTROLLER: u32 = 2;
const MACHINE_EXTERNAL: u32 = 11;
const SUPERVISOR_EXTERNAL: u32 = 9;
const UART_CLOCK_HZ: u32 = 3_686_400;

/// Bytes at the end of the blob that belong to it and hold nothing: loaders between firmware and
/// kernel, such as U-Boot, add their properties in place.
const ROOM_BYTES: usize = 4096;
/// Where the header says how large the blob is.
const TOTAL_SIZE: std::ops::Range<usize> = 4..8;

/// The device tree of `board`, as a flattened blob with room to grow.
pub(super) fn build(
    board: &RiscvBoard,
    layout: &Layout,
    memory_bytes: u64,
    initramfs: Option<(u64, u64)>,
    boot: &Boot<'_>,
) -> Result<Vec<u8>, LoadError> {
    let mut tree = write(board, layout, memory_bytes, initramfs, boot)
        .map_err(|error| LoadError::DeviceTree { reason: error.to_string() })?;
    tree.resize(tree.len() + ROOM_BYTES, 0);
    let total_size = (tree.len() as u32).to_be_bytes();
    tree[TOTAL_SIZE].copy_from_slice(&total_size);
    Ok(tree)
}

fn write(
    board: &RiscvBoard,
    layout: &Layout,
    memory_bytes: u64,
    initramfs: Option<(u64, u64)>,
    boot: &Boot<'_>,
) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_string("compatible", "stillpoint,virt")?;
    tree.property_string("model", "Stillpoint virtual machine")?;

    let console = format!("/soc/serial@{:x}", layout.console.base);
    let node = tree.begin_node("aliases")?;
    tree.property_string("serial0", &console)?;
    tree.property_string("serial1", &format!("/soc/serial@{:x}", layout.control.base))?;
    tree.property_string("rtc0", &format!("/soc/rtc@{:x}", layout.clock.base))?;
    tree.end_node(node)?;

    let node = tree.begin_node("chosen")?;
    tree.property_string("bootargs", boot.command_line)?;
    tree.property_string("stdout-path", &console)?;
    tree.property("rng-seed", boot.random_seed)?;
    if let Some((start, end)) = initramfs {
        tree.property_u64("linux,initrd-start", start)?;
        tree.property_u64("linux,initrd-end", end)?;
    }
    tree.end_node(node)?;

    let node = tree.begin_node(&format!("memory@{:x}", layout.memory_base))?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u64("reg", &[layout.memory_base, memory_bytes])?;
    tree.end_node(node)?;

    hart(&mut tree, board)?;
    devices(&mut tree, board, layout)?;
    tree.end_node(root)?;
    tree.finish()
}

fn hart(tree: &mut FdtWriter, board: &RiscvBoard) -> Result<(), Error> {
    let (single, named): (Vec<&str>, Vec<&str>) =
        board.isa_extensions.iter().partition(|extension| extension.len() == 1);
    let isa: Vec<String> = std::iter::once(format!("rv64i{}", single.concat()))
        .chain(named.iter().map(|extension| (*extension).to_owned()))
        .collect();
    let extensions: Vec<String> = std::iter::once("i".to_owned())
        .chain(board.isa_extensions.iter().map(|extension| (*extension).to_owned()))
        .collect();

    let cpus = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    tree.property_u32("timebase-frequency", board.timebase_hz)?;
    let cpu = tree.begin_node("cpu@0")?;
    tree.property_string("device_type", "cpu")?;
    tree.property_u32("reg", 0)?;
    tree.property_string("status", "okay")?;
    tree.property_string("compatible", "riscv")?;
    tree.property_string("riscv,isa", &isa.join("_"))?;
    tree.property_string("riscv,isa-base", "rv64i")?;
    tree.property_string_list("riscv,isa-extensions", extensions)?;
    tree.property_string("mmu-type", board.mmu_type)?;
    let controller = tree.begin_node("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 1)?;
    tree.property_null("interrupt-controller")?;
    tree.property_string("compatible", "riscv,cpu-intc")?;
    tree.property_phandle(HART_CONTROLLER)?;
    tree.end_node(controller)?;
    tree.end_node(cpu)?;
    tree.end_node(cpus)
}

fn devices(tree: &mut FdtWriter, board: &RiscvBoard, layout: &Layout) -> Result<(), Error> {
    let soc = tree.begin_node("soc")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_string("compatible", "simple-bus")?;
    tree.property_null("ranges")?;

    let node =
        tree.begin_node(&format!("interrupt-controller@{:x}", board.interrupt_controller_base))?;
    tree.property_string_list(
        "compatible",
        vec!["sifive,plic-1.0.0".to_owned(), "riscv,plic0".to_owned()],
    )?;
    let window = [board.interrupt_controller_base, board.interrupt_controller_bytes];
    tree.property_array_u64("reg", &window)?;
    tree.property_u32("#interrupt-cells", 1)?;
    tree.property_u32("#address-cells", 0)?;
    tree.property_null("interrupt-controller")?;
    // Two contexts, as on boards with machine mode: the first is inert.
    let contexts = [HART_CONTROLLER, MACHINE_EXTERNAL, HART_CONTROLLER, SUPERVISOR_EXTERNAL];
    tree.property_array_u32("interrupts-extended", &contexts)?;
    tree.property_u32("riscv,ndev", board.interrupt_sources)?;
    tree.property_phandle(INTERRUPT_CONTROLLER)?;
    tree.end_node(node)?;

    for window in [layout.console, layout.control] {
        let node = device(tree, "serial", window, ns16550a::WINDOW_BYTES, "ns16550a")?;
        tree.property_u32("clock-frequency", UART_CLOCK_HZ)?;
        tree.property_u32("fifo-size", ns16550a::TRANSMIT_FIFO_BYTES)?;
        // The driver fills the FIFO up to this many bytes below its depth.
        tree.property_u32("tx-threshold", 1)?;
        tree.end_node(node)?;
    }
    let clock =
        device(tree, "rtc", layout.clock, goldfish_rtc::WINDOW_BYTES, "google,goldfish-rtc")?;
    tree.end_node(clock)?;
    let entropy = device(tree, "virtio_mmio", layout.entropy, virtio::WINDOW_BYTES, "virtio,mmio")?;
    tree.end_node(entropy)?;
    let generation =
        device(tree, "rng", layout.generation, vmgenid::WINDOW_BYTES, "microsoft,vmgenid")?;
    tree.end_node(generation)?;
    tree.end_node(soc)
}

fn device(
    tree: &mut FdtWriter,
    name: &str,
    window: Window,
    bytes: u64,
    compatible: &str,
) -> Result<vm_fdt::FdtWriterNode, Error> {
    let node = tree.begin_node(&format!("{name}@{:x}", window.base))?;
    tree.property_string("compatible", compatible)?;
    tree.property_array_u64("reg", &[window.base, bytes])?;
    tree.property_u32("interrupts", window.line)?;
    tree.property_u32("interrupt-parent", INTERRUPT_CONTROLLER)?;
    Ok(node)
}
