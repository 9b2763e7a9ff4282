//! One entry into the guest, and its exit: accesses, which are served here, and ends, each of which has a
//! name. Every exit of a guest is one of these.

use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_INTERNAL_ERROR_EMULATION, kvm_guest_debug,
};
use kvm_ioctls::VcpuExit;
use stillpoint_vmm::boards::x86_64::{
    PORTS_BASE, POWER_PORT, RESET, RESET_PORT, SLEEP, SLEEP_PORT,
};
use stillpoint_vmm::platform::Platform;

use super::{VirtualMachine, failed};
use crate::guest_clock::GuestClock;

/// Entries that completing one instruction takes at most; a string instruction comes out for each of
/// up to 1024 elements.
const MOST_TO_COMPLETE: usize = 1 << 16;

/// How the guest exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// A signal has come, or something else that asks for another entry.
    Kicked,
    /// It has accessed a device, which was served.
    Accessed,
    /// It has executed the one instruction that it was let.
    Stepped,
    /// It has switched itself off.
    Off,
    /// It has reset itself.
    Reset,
}

impl VirtualMachine {
    /// Enters the guest once.
    ///
    /// # Errors
    /// Why it cannot continue.
    pub(crate) fn enter(
        &mut self,
        platform: &mut Platform,
        clock: GuestClock,
    ) -> Result<Entered, String> {
        self.is_accessing = false;
        let exit = self.processor.run();
        platform.now = clock.now().max(platform.now);
        let exit = match exit {
            Ok(exit) => exit,
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {
                return Ok(Entered::Kicked);
            }
            Err(error) if error.errno() == libc::EFAULT => {
                return Err(format!("the host has no memory for the guest{}", self.place()));
            }
            Err(error) => return Err(format!("KVM: run the guest: {error}{}", self.place())),
        };
        let entered = match exit {
            VcpuExit::MmioRead(gpa, into) => {
                read(platform, gpa, into);
                Entered::Accessed
            }
            VcpuExit::MmioWrite(gpa, from) => {
                write(platform, gpa, from);
                Entered::Accessed
            }
            VcpuExit::IoOut(port, from) => {
                let from = from.to_vec();
                self.write_port(platform, port, &from)
            }
            VcpuExit::IoIn(port, into) => {
                let (start, len) = (into.as_mut_ptr(), into.len());
                let width = self.width();
                // SAFETY: the bytes are in the pages that the processor shares with the kernel, behind the
                // structure that `width` reads; no other code touches them before the next entry.
                let into = unsafe { std::slice::from_raw_parts_mut(start, len) };
                for element in into.chunks_mut(width) {
                    read(platform, PORTS_BASE + u64::from(port), element);
                }
                Entered::Accessed
            }
            VcpuExit::Debug(_) => Entered::Stepped,
            VcpuExit::Intr | VcpuExit::IrqWindowOpen => Entered::Kicked,
            VcpuExit::Shutdown => {
                return Err(format!(
                    "the guest's processor shut down (triple fault){}",
                    self.place()
                ));
            }
            VcpuExit::FailEntry(reason, _) => {
                return Err(format!(
                    "the processor refuses the guest's state (reason {reason:#x}){}",
                    self.place()
                ));
            }
            VcpuExit::InternalError => return Err(self.internal_error()),
            other => {
                let other = format!("{other:?}");
                return Err(format!("KVM: an exit that is not expected: {other}{}", self.place()));
            }
        };
        self.is_accessing = entered == Entered::Accessed;
        Ok(entered)
    }

    /// Has the instruction completed that the guest came out in the middle of.
    pub(crate) fn complete(
        &mut self,
        platform: &mut Platform,
        clock: GuestClock,
    ) -> Result<(), String> {
        let mut rest = MOST_TO_COMPLETE;
        while self.is_accessing {
            self.processor.set_kvm_immediate_exit(1);
            let entered = self.enter(platform, clock);
            self.processor.set_kvm_immediate_exit(0);
            entered?;
            rest -= 1;
            if rest == 0 {
                return Err(format!("an instruction that never completes{}", self.place()));
            }
        }
        Ok(())
    }

    /// Has the next entries come out after each instruction, or no longer.
    pub(crate) fn single_steps(&self, is_on: bool) -> Result<(), String> {
        let control = if is_on { KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP } else { 0 };
        let debug = kvm_guest_debug { control, ..Default::default() };
        self.processor.set_guest_debug(&debug).map_err(failed("step"))
    }

    /// Bytes of each element of the port access that the guest came out for.
    fn width(&mut self) -> usize {
        // SAFETY: KVM writes the structure before `KVM_RUN` returns; every field of the union is an integer,
        // valid with any bits. `enter` uses `IoIn` and `IoOut` only, for which it is a port access.
        let size = unsafe { self.processor.get_kvm_run().__bindgen_anon_1.io.size };
        usize::from(size.clamp(1, 4))
    }

    fn write_port(&mut self, platform: &mut Platform, port: u16, from: &[u8]) -> Entered {
        for element in from.chunks(self.width()) {
            match (port, element) {
                (RESET_PORT, [RESET]) => return Entered::Reset,
                (POWER_PORT, [_, sleep]) | (SLEEP_PORT, [sleep]) if sleep & SLEEP != 0 => {
                    return Entered::Off;
                }
                _ => write(platform, PORTS_BASE + u64::from(port), element),
            }
        }
        Entered::Accessed
    }

    fn internal_error(&mut self) -> String {
        // SAFETY: as in `width`; `enter` asks for `InternalError` alone.
        let suberror = unsafe { self.processor.get_kvm_run().__bindgen_anon_1.internal.suberror };
        let place = self.place();
        match suberror {
            KVM_INTERNAL_ERROR_EMULATION => {
                format!("KVM cannot emulate the guest's instruction{place}")
            }
            other => format!("KVM: internal error {other}{place}"),
        }
    }

    /// The guest's place, for messages.
    fn place(&self) -> String {
        self.processor.get_regs().map_or_else(|_| String::new(), |r| format!(" at {:#x}", r.rip))
    }
}

/// Unused addresses read as all ones, as on a PC.
fn read(platform: &mut Platform, at: u64, into: &mut [u8]) {
    match into.len() {
        1 | 2 | 4 | 8 => {
            if platform.mmio_read(at, into).is_err() {
                into.fill(0xff);
            }
        }
        _ => {
            for (offset, byte) in into.chunks_mut(1).enumerate() {
                read(platform, at.wrapping_add(offset as u64), byte);
            }
        }
    }
}

/// Writes to unused addresses are lost, as on a PC.
fn write(platform: &mut Platform, at: u64, from: &[u8]) {
    match from.len() {
        1 | 2 | 4 | 8 => {
            let _ = platform.mmio_write(at, from);
        }
        _ => {
            for (offset, byte) in from.chunks(1).enumerate() {
                write(platform, at.wrapping_add(offset as u64), byte);
            }
        }
    }
}
