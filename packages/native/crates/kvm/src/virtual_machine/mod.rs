//! A virtual machine that KVM has made, with one processor: made from a state, and its state read.

mod clocks;
mod enter;

use std::sync::Arc;

use kvm_bindings::{
    CpuId, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_MEM_LOG_DIRTY_PAGES,
    KVM_MP_STATE_HALTED, KVM_PIT_SPEAKER_DUMMY, Msrs, kvm_irqchip, kvm_mp_state, kvm_msr_entry,
    kvm_pit_config, kvm_segment, kvm_userspace_memory_region, kvm_xsave,
};
use kvm_ioctls::{VcpuFd, VmFd};
use stillpoint_vmm::boards::x86_64::{
    CODE_SELECTOR, DATA_SELECTOR, DESCRIPTORS, PAGE_TABLES, STACK_TOP,
};
use stillpoint_vmm::engine::Entry;
use zerocopy::{FromBytes, IntoBytes};

use crate::host::{Host, TSC, TSC_DEADLINE_MSR};
use crate::kick;
use crate::memory::{MappedMemory, Mapping, SLOT};
use crate::state::{State, Structures, XSAVE_BYTES};

pub(crate) use enter::Entered;

const OLD_CONTROLLERS: [u32; 2] = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE];
/// Three pages behind the interrupt controllers that Intel's processors want for themselves.
const TASK_STATE: usize = 0xfffb_d000;
const IDENTITY_MAP: u64 = 0xfffb_c000;
/// Lines that devices have: those of the timer and between the controllers are KVM's own.
const DEVICE_LINES: std::ops::Range<u32> = 3..24;
/// The local interrupt controller as reset leaves it takes the old controller's interrupts from
/// its first pin, and non-maskable ones from its second.
const LOCAL_PINS: [(usize, u32); 2] = [(0x350, 0x700), (0x360, 0x400)];
/// kvm-clock's registers, set again once there is memory.
const SYSTEM_TIMES: [u32; 2] = [0x12, 0x4b56_4d01];

/// A virtual machine.
pub(crate) struct VirtualMachine {
    processor: VcpuFd,
    machine: Arc<VmFd>,
    /// The memory in its slot, if any: mapped for as long as the machine exists.
    memory: Option<Arc<Mapping>>,
    /// The lines of devices as they were driven last.
    driven: u64,
    /// The processor left for an access that the next entry completes.
    is_accessing: bool,
}

fn failed<'a>(what: &'a str) -> impl Fn(kvm_ioctls::Error) -> String + 'a {
    move |error| format!("KVM: {what}: {error}")
}

impl VirtualMachine {
    fn new(host: &Host, processor_of: &[kvm_bindings::kvm_cpuid_entry2]) -> Result<Self, String> {
        let machine = host.kvm.create_vm().map_err(failed("make a machine"))?;
        machine.set_identity_map_address(IDENTITY_MAP).map_err(failed("set its pages apart"))?;
        machine.set_tss_address(TASK_STATE).map_err(failed("set its pages apart"))?;
        machine.create_irq_chip().map_err(failed("make interrupt controllers"))?;
        let config = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
        machine.create_pit2(config).map_err(failed("make a timer"))?;
        let processor = machine.create_vcpu(0).map_err(failed("make a processor"))?;
        let features = CpuId::from_entries(processor_of)
            .map_err(|error| format!("KVM: features of a processor: {error:?}"))?;
        processor.set_cpuid2(&features).map_err(failed("give a processor its features"))?;
        kick::let_through(&processor).map_err(|error| format!("KVM: set a signal: {error}"))?;
        let machine = Arc::new(machine);
        Ok(Self { processor, machine, memory: None, driven: 0, is_accessing: false })
    }

    /// One about to execute `entry` in 64-bit mode.
    pub(crate) fn at_reset(host: &Host, entry: Entry) -> Result<Self, String> {
        let this = Self::new(host, &host.processor)?;
        let processor = &this.processor;
        let mut sregs = processor.get_sregs().map_err(failed("read registers"))?;
        let segment = |selector: u16, type_: u8, is_code: bool| kvm_segment {
            limit: u32::MAX,
            selector,
            type_,
            present: 1,
            s: 1,
            g: 1,
            l: u8::from(is_code),
            db: u8::from(!is_code),
            ..Default::default()
        };
        sregs.cs = segment(CODE_SELECTOR, 0xb, true);
        let data = segment(DATA_SELECTOR, 3, false);
        (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
        (sregs.gdt.base, sregs.gdt.limit) = (DESCRIPTORS, 31);
        (sregs.idt.base, sregs.idt.limit) = (0, 0);
        sregs.cr3 = PAGE_TABLES;
        // Physical addresses are extended; SSE is on.
        sregs.cr4 = 1 << 5 | 1 << 9 | 1 << 10;
        // Protected, paged, write-protected, with a coprocessor.
        sregs.cr0 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1;
        // 64-bit mode, enabled and active; pages that are not executable.
        sregs.efer = 1 << 8 | 1 << 10 | 1 << 11;
        processor.set_sregs(&sregs).map_err(failed("set registers"))?;
        let mut regs = processor.get_regs().map_err(failed("read registers"))?;
        (regs.rip, regs.rsi, regs.rsp, regs.rflags) = (entry.pc, entry.device_tree, STACK_TOP, 2);
        processor.set_regs(&regs).map_err(failed("set registers"))?;
        let mut lapic = processor.get_lapic().map_err(failed("read the local controller"))?;
        for (at, value) in LOCAL_PINS {
            lapic.regs.as_mut_bytes()[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        processor.set_lapic(&lapic).map_err(failed("set the local controller"))?;
        this.mask_old_controllers()?;
        this.set_clocks(0, 0, 0, host.tsc_khz)?;
        Ok(this)
    }

    /// Masks every line of the old interrupt controllers, as firmware does: they have no vectors until a
    /// guest sets some, and Linux leaves them alone where ACPI says that there are none.
    fn mask_old_controllers(&self) -> Result<(), String> {
        for chip_id in OLD_CONTROLLERS {
            let mut chip = kvm_irqchip { chip_id, ..Default::default() };
            self.machine.get_irqchip(&mut chip).map_err(failed("read an interrupt controller"))?;
            chip.chip.pic.imr = 0xff;
            self.machine.set_irqchip(&chip).map_err(failed("set an interrupt controller"))?;
        }
        Ok(())
    }

    /// A machine in `state`, with clocks `nanos` later than the state's.
    pub(crate) fn in_state(host: &Host, state: &State, nanos: u64) -> Result<Self, String> {
        let this = Self::new(host, &state.processor)?;
        let (machine, processor, from) = (&this.machine, &this.processor, &state.structures);
        if state.tsc_khz != host.tsc_khz && host.scales_tsc {
            processor
                .set_tsc_khz(state.tsc_khz)
                .map_err(failed("set the frequency of its clock"))?;
        }
        for chip in &from.chips {
            machine.set_irqchip(chip).map_err(failed("set an interrupt controller"))?;
        }
        machine.set_pit2(&from.pit).map_err(failed("set the timer"))?;
        processor.set_regs(&from.regs).map_err(failed("set registers"))?;
        processor.set_sregs(&from.sregs).map_err(failed("set control registers"))?;
        let xsave = kvm_xsave::read_from_bytes(&from.xsave)
            .map_err(|_| "KVM: a vector state of another size".to_owned())?;
        processor.set_xcrs(&from.xcrs).map_err(failed("set extended registers"))?;
        // SAFETY: without tiles, which no machine is given, the kernel reads as much as the structure
        // has.
        unsafe { processor.set_xsave(&xsave) }.map_err(failed("set vector registers"))?;
        processor.set_debug_regs(&from.debug).map_err(failed("set debug registers"))?;
        this.set_clocks(state.tsc, state.clock_nanos, nanos, state.tsc_khz)?;
        for (index, value) in &state.registers {
            this.set_register(*index, *value)?;
        }
        processor.set_lapic(&from.lapic).map_err(failed("set the local controller"))?;
        this.set_register(TSC_DEADLINE_MSR, state.tsc_deadline)?;
        processor.set_vcpu_events(&from.events).map_err(failed("set pending events"))?;
        processor.set_mp_state(from.mp).map_err(failed("set the processor's run state"))?;
        Ok(this)
    }

    /// Gives it memory, which from then on tracks the processor's writes.
    pub(crate) fn give(&mut self, memory: &mut MappedMemory, base: u64) -> Result<(), String> {
        let mapping = memory.mapping();
        let region = kvm_userspace_memory_region {
            slot: SLOT,
            flags: KVM_MEM_LOG_DIRTY_PAGES,
            guest_phys_addr: base,
            memory_size: mapping.len() as u64,
            userspace_addr: mapping.start().as_ptr() as u64,
        };
        // SAFETY: a mapping stays at its address until it is dropped, and this holds it for as long as
        // the machine exists; no Rust reference into it is alive while the processor runs.
        unsafe { self.machine.set_user_memory_region(region) }.map_err(failed("give it memory"))?;
        memory.follow(&self.machine);
        self.memory = Some(mapping);
        for index in SYSTEM_TIMES {
            if let Some(value) = self.register(index).filter(|value| *value != 0) {
                self.set_register(index, value)?;
            }
        }
        Ok(())
    }

    /// Its state at guest time `now`, `nanos` of the host's ago.
    pub(crate) fn state(
        &self,
        host: &Host,
        now: u64,
        nanos: u64,
        of: Option<&State>,
    ) -> Result<State, String> {
        let tsc_khz = of.map_or(host.tsc_khz, |state| state.tsc_khz);
        let (tsc, clock_nanos) = self.clocks(nanos, tsc_khz)?;
        let (machine, processor) = (&self.machine, &self.processor);
        let read = |chip_id| {
            let mut chip = kvm_irqchip { chip_id, ..Default::default() };
            machine.get_irqchip(&mut chip).map_err(failed("read an interrupt controller"))?;
            Ok::<_, String>(chip)
        };
        let xsave = processor.get_xsave().map_err(failed("read vector registers"))?;
        let mut bytes = [0; XSAVE_BYTES];
        bytes.copy_from_slice(xsave.as_bytes());
        let registers = match of {
            Some(state) => state.registers.iter().map(|(index, _)| *index).collect(),
            None => host.registers.clone(),
        };
        let structures = Structures {
            regs: processor.get_regs().map_err(failed("read registers"))?,
            sregs: processor.get_sregs().map_err(failed("read control registers"))?,
            xsave: bytes,
            xcrs: processor.get_xcrs().map_err(failed("read extended registers"))?,
            debug: processor.get_debug_regs().map_err(failed("read debug registers"))?,
            events: processor.get_vcpu_events().map_err(failed("read pending events"))?,
            mp: self.mp_state()?,
            lapic: processor.get_lapic().map_err(failed("read the local controller"))?,
            chips: [read(0)?, read(1)?, read(2)?],
            pit: machine.get_pit2().map_err(failed("read the timer"))?,
        };
        let valued = |index: u32| Some((index, self.register(index)?));
        Ok(State {
            now,
            tsc,
            tsc_deadline: self.register(TSC_DEADLINE_MSR).unwrap_or(0),
            clock_nanos,
            tsc_khz,
            processor: of.map_or_else(|| host.processor.clone(), |state| state.processor.clone()),
            registers: registers.into_iter().filter_map(valued).collect(),
            structures,
        })
    }

    fn mp_state(&self) -> Result<kvm_mp_state, String> {
        self.processor.get_mp_state().map_err(failed("read the processor's run state"))
    }

    /// Whether the processor waits for an interrupt, as of the last check.
    pub(crate) fn is_halted(&self) -> Result<bool, String> {
        Ok(self.mp_state()?.mp_state == KVM_MP_STATE_HALTED)
    }

    /// A model-specific register, if the processor has it.
    fn register(&self, index: u32) -> Option<u64> {
        let mut entry =
            Msrs::from_entries(&[kvm_msr_entry { index, ..Default::default() }]).ok()?;
        let read = self.processor.get_msrs(&mut entry).ok()?;
        (read == 1).then(|| entry.as_slice().first().map(|entry| entry.data)).flatten()
    }

    fn set_register(&self, index: u32, data: u64) -> Result<(), String> {
        let entry = kvm_msr_entry { index, data, ..Default::default() };
        let entries = Msrs::from_entries(&[entry]).map_err(|error| format!("KVM: {error:?}"))?;
        match self.processor.set_msrs(&entries).map_err(failed("set a register"))? {
            1 => Ok(()),
            // A register that the processor lacks, and that was zero.
            _ if data == 0 => Ok(()),
            _ => Err(format!("KVM: model-specific register {index:#x} refuses {data:#x}")),
        }
    }

    fn tsc(&self) -> Result<u64, String> {
        self.register(TSC).ok_or_else(|| "KVM: the time stamp counter cannot be read".to_owned())
    }

    /// Drives the lines of devices, one bit each.
    pub(crate) fn drive(&mut self, lines: u64, all: bool) -> Result<bool, String> {
        let changed = if all { u64::MAX } else { lines ^ self.driven };
        for line in DEVICE_LINES.filter(|line| changed >> line & 1 == 1) {
            let asserted = lines >> line & 1 == 1;
            self.machine.set_irq_line(line, asserted).map_err(failed("drive a line"))?;
        }
        self.driven = lines;
        Ok(changed != 0)
    }
}
