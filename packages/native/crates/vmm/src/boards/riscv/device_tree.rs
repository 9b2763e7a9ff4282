//! The device tree that describes the board to the kernel (Devicetree Specification 0.4).

use vm_fdt::{Error, FdtWriter};

use super::RiscvBoard;
use crate::board::Boot;
use crate::devices::DeviceDescription;
use crate::loaders::LoadError;
use crate::memory::GuestMemory;

const HART_CONTROLLER: u32 = 1;
const INTERRUPT_CONTROLLER: u32 = 2;
const MACHINE_EXTERNAL: u32 = 11;
const SUPERVISOR_EXTERNAL: u32 = 9;
/// The alias of the device that the kernel writes its console to.
const CONSOLE: &str = "serial0";

/// Bytes at the end of the blob that belong to it and hold nothing: loaders between firmware and
/// kernel, such as U-Boot, add their properties in place.
const ROOM_BYTES: usize = 4096;
/// The header's field for the size of the blob.
const TOTAL_SIZE: std::ops::Range<usize> = 4..8;

/// The device tree of `board`, as a flattened blob with room to grow.
pub(super) fn build(
    board: &RiscvBoard,
    devices: &[DeviceDescription],
    memory: &dyn GuestMemory,
    initramfs: Option<(u64, u64)>,
    boot: &Boot<'_>,
) -> Result<Vec<u8>, LoadError> {
    let mut tree = write(board, devices, memory, initramfs, boot)
        .map_err(|error| LoadError::DeviceTree { reason: error.to_string() })?;
    tree.resize(tree.len() + ROOM_BYTES, 0);
    let total_size = (tree.len() as u32).to_be_bytes();
    tree[TOTAL_SIZE].copy_from_slice(&total_size);
    Ok(tree)
}

fn write(
    board: &RiscvBoard,
    devices: &[DeviceDescription],
    memory: &dyn GuestMemory,
    initramfs: Option<(u64, u64)>,
    boot: &Boot<'_>,
) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_string("compatible", "stillpoint,virt")?;
    tree.property_string("model", "Stillpoint virtual machine")?;

    let aliases = aliases(devices);
    let node = tree.begin_node("aliases")?;
    for (alias, path) in &aliases {
        tree.property_string(alias, path)?;
    }
    tree.end_node(node)?;

    let node = tree.begin_node("chosen")?;
    tree.property_string("bootargs", boot.command_line)?;
    if let Some((_, console)) = aliases.iter().find(|(alias, _)| alias == CONSOLE) {
        tree.property_string("stdout-path", console)?;
    }
    tree.property("rng-seed", boot.random_seed)?;
    if let Some((start, end)) = initramfs {
        tree.property_u64("linux,initrd-start", start)?;
        tree.property_u64("linux,initrd-end", end)?;
    }
    tree.end_node(node)?;

    let node = tree.begin_node(&format!("memory@{:x}", memory.base()))?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u64("reg", &[memory.base(), memory.size_bytes()])?;
    tree.end_node(node)?;

    hart(&mut tree, board)?;
    soc(&mut tree, board, devices)?;
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

/// The devices that have short names, with their paths.
fn aliases(devices: &[DeviceDescription]) -> Vec<(String, String)> {
    let mut aliases: Vec<(String, String)> = Vec::new();
    for device in devices {
        let Some((kind, alias)) = device.kind_of().and_then(|k| Some((k, k.node.alias?))) else {
            continue;
        };
        let number = aliases.iter().filter(|(name, _)| name.starts_with(alias)).count();
        let path = format!("/soc/{}@{:x}", kind.node.name, device.base);
        aliases.push((format!("{alias}{number}"), path));
    }
    aliases
}

fn soc(
    tree: &mut FdtWriter,
    board: &RiscvBoard,
    devices: &[DeviceDescription],
) -> Result<(), Error> {
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

    for device in devices {
        // Kinds were checked when the machine was described.
        let Some(kind) = device.kind_of() else { continue };
        let node = tree.begin_node(&format!("{}@{:x}", kind.node.name, device.base))?;
        tree.property_string("compatible", kind.node.compatible)?;
        tree.property_array_u64("reg", &[device.base, kind.window_bytes])?;
        tree.property_u32("interrupts", device.line)?;
        tree.property_u32("interrupt-parent", INTERRUPT_CONTROLLER)?;
        for (name, number) in kind.node.numbers {
            tree.property_u32(name, *number)?;
        }
        tree.end_node(node)?;
    }
    tree.end_node(soc)
}
