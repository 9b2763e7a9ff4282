//! ACPI tables: one processor, its interrupt controllers, the devices, and how to switch off and reset
//! (ACPI 6.5). Hardware is reduced to that: no old timer, no old interrupt controller, no clock of CMOS.
//!
//! ```text
//! root ─▶ XSDT ─┬▶ FADT ─▶ DSDT: a device for each that has an identifier there
//!               └▶ MADT: a local controller, one with 24 lines
//! ```

use acpi_tables::aml::{
    Arg, Device, Field, FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule, IO, If,
    Interrupt, Memory32Fixed, Method, Name, Notify, OpRegion, OpRegionSpace, Package, Path,
    ResourceTemplate, Scope, Store, ZERO,
};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, aml};

use super::layout::{
    ACPI_END, ACPI_TABLES, IO_APIC, LOCAL_APIC, PORTS_BASE, RESET, RESET_PORT, SLEEP_PORT,
};
use crate::devices::{DeviceDescription, GENERATION_BYTES};
use crate::loaders::{LoadError, align_up, put};
use crate::memory::GuestMemory;

const MAKER: [u8; 6] = *b"STILLP";
const TABLE: [u8; 8] = *b"STILLPT ";
const REVISION: u32 = 1;
const HEADER_BYTES: u32 = 36;
/// A PC without a display, message interrupts or a clock, apart from the announced devices.
const NO_DISPLAY_NO_CLOCK: u16 = 1 << 2 | 1 << 5;
/// The value that a guest writes to power off.
const OFF: u8 = 5;
/// The identifier of a machine's generation, which is announced with a method.
const GENERATION: &str = "VMGENCTR";
/// Changed, says a notification of it.
const CHANGED: u8 = 0x80;
/// The device that turns interrupts into notifications.
const EVENTS: &str = "ACPI0013";
const ALIGNMENT: u64 = 64;

/// Writes the tables; the root for the kernel is at [`ACPI_TABLES`].
pub(super) fn write(
    memory: &mut dyn GuestMemory,
    devices: &[DeviceDescription],
) -> Result<(), LoadError> {
    let mut at = ACPI_TABLES + ALIGNMENT;
    let mut place = |table: &[u8]| {
        let here = at;
        let end = here + table.len() as u64;
        if end > ACPI_END {
            let (expected, found) = (ACPI_END - ACPI_TABLES, end - ACPI_TABLES);
            let reason = format!("ACPI tables: expected at most {expected} bytes, found {found}");
            return Err(LoadError::DeviceTree { reason });
        }
        put(memory, here, table)?;
        at = align_up(end, ALIGNMENT).unwrap_or(end);
        Ok(here)
    };
    let description = place(&description(devices))?;
    let fixed = place(&bytes(&fixed(description)))?;
    let controllers = place(&bytes(&controllers()))?;
    let mut all = XSDT::new(MAKER, TABLE, REVISION);
    all.add_entry(fixed);
    all.add_entry(controllers);
    let all = place(&bytes(&all))?;
    put(memory, ACPI_TABLES, &bytes(&Rsdp::new(MAKER, all)))
}

fn bytes(of: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    of.to_aml_bytes(&mut bytes);
    bytes
}

fn port(number: u16) -> GAS {
    GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, u64::from(number))
}

fn fixed(description: u64) -> impl Aml {
    let mut table = FADTBuilder::new(MAKER, TABLE, REVISION)
        .dsdt_64(description)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    table.iapc_boot_arch = NO_DISPLAY_NO_CLOCK.into();
    (table.reset_reg, table.reset_value) = (port(RESET_PORT), RESET);
    (table.sleep_control_reg, table.sleep_status_reg) = (port(SLEEP_PORT), port(SLEEP_PORT + 1));
    table.finalize()
}

fn controllers() -> MADT {
    let local = LocalInterruptController::Address(LOCAL_APIC);
    let mut table = MADT::new(MAKER, TABLE, REVISION, local);
    table.add_structure(ProcessorLocalApic::new(0, 0, EnabledStatus::Enabled));
    table.add_structure(IoApic::new(0, IO_APIC, 0));
    table
}

fn description(devices: &[DeviceDescription]) -> Vec<u8> {
    let mut table = Sdt::new(*b"DSDT", HEADER_BYTES, 6, MAKER, TABLE, REVISION);
    let mut body = bytes(&Name::new(Path::new("_S5_"), &Package::new(vec![&OFF])));
    for (number, device) in devices.iter().enumerate() {
        let identifier = device.kind_of().and_then(|kind| Some((kind.hardware_id?, kind)));
        let Some((identifier, kind)) = identifier else { continue };
        let name = format!("D{number:03}");
        if identifier == GENERATION {
            body.extend(generation(&name, device));
            continue;
        }
        let line = line(device.line);
        let ports = device.base.checked_sub(PORTS_BASE).and_then(|port| u16::try_from(port).ok());
        let resources = match (ports, u32::try_from(device.base)) {
            (Some(port), _) => bytes(&ResourceTemplate::new(vec![
                &IO::new(port, port, 1, kind.window_bytes as u8),
                &line,
            ])),
            (None, Ok(base)) => {
                let window = Memory32Fixed::new(true, base, kind.window_bytes as u32);
                bytes(&ResourceTemplate::new(vec![&window, &line]))
            }
            // A device above the first 4 GiB, which this board does not have, is not announced.
            (None, Err(_)) => continue,
        };
        let number = number as u32;
        body.extend(in_system(&Device::new(
            Path::new(&name),
            vec![
                &Name::new(Path::new("_HID"), &identifier),
                &Name::new(Path::new("_UID"), &number),
                &Name::new(Path::new("_CRS"), &Encoded(resources)),
            ],
        )));
    }
    table.append_slice(&body);
    table.as_slice().to_vec()
}

/// Its interrupt line: level-triggered, as devices here are.
fn line(number: u32) -> Interrupt {
    Interrupt::new(true, false, false, false, number)
}

fn in_system(of: &dyn Aml) -> Vec<u8> {
    bytes(&Scope::new(Path::new("_SB_"), vec![of]))
}

/// The encoded bytes so far.
struct Encoded(Vec<u8>);

impl Aml for Encoded {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(&self.0);
    }
}

/// The generation identifier, and the device that announces its changes: it first reads the identifier's
/// first byte, which acknowledges the interrupt, and then notifies the kernel.
fn generation(name: &str, device: &DeviceDescription) -> Vec<u8> {
    let (low, high) = (device.base as u32, (device.base >> 32) as u32);
    let mut body = in_system(&Device::new(
        Path::new(name),
        vec![
            &Name::new(Path::new("_HID"), &"STLP0001"),
            &Name::new(Path::new("_CID"), &"VM_Gen_Counter"),
            &Name::new(Path::new("_DDN"), &"VM_Gen_Counter"),
            &Name::new(Path::new("ADDR"), &Package::new(vec![&low, &high])),
        ],
    ));
    let (of_system, line, number) = (format!("\\_SB_.{name}"), line(device.line), device.line);
    let (base, length) = (device.base, GENERATION_BYTES);
    let resources = ResourceTemplate::new(vec![&line]);
    body.extend(in_system(&Device::new(
        Path::new("EVTS"),
        vec![
            &Name::new(Path::new("_HID"), &EVENTS),
            &Name::new(Path::new("_UID"), &ZERO),
            &Name::new(Path::new("_CRS"), &resources),
            &OpRegion::new(Path::new("IDEN"), OpRegionSpace::SystemMemory, &base, &length),
            &Field::new(
                Path::new("IDEN"),
                FieldAccessType::Byte,
                FieldLockRule::NoLock,
                FieldUpdateRule::Preserve,
                vec![FieldEntry::Named(*b"BEGN", 8)],
            ),
            &Method::new(
                Path::new("_EVT"),
                1,
                true,
                vec![&If::new(
                    &aml::Equal::new(&Arg(0), &number),
                    vec![
                        &Store::new(&aml::Local(0), &Path::new("BEGN")),
                        &Notify::new(&Path::new(&of_system), &CHANGED),
                    ],
                )],
            ),
        ],
    )));
    body
}
