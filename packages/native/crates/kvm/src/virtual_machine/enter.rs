//! One entry into the guest, and its exit: accesses, which are served here, and ends, each of which has a
//! name. Every exit of a guest is one of these.

use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_INTERNAL_ERROR_EMULATION, kvm_guest_debug,
};
use kvm_ioctls::VcpuExit;
use stillpoint_vmm::platform::Platform;

use super::{VirtualMachine, failed};
use crate::accesses::{Access, Served, serve};
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

impl From<Served> for Entered {
    fn from(served: Served) -> Self {
        match served {
            Served::Done => Self::Accessed,
            Served::Off => Self::Off,
            Served::Reset => Self::Reset,
        }
    }
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
            VcpuExit::MmioRead(at, into) => serve(platform, Access::Read { at, into }).into(),
            VcpuExit::MmioWrite(at, from) => serve(platform, Access::Write { at, from }).into(),
            VcpuExit::IoOut(port, from) => {
                let from = from.to_vec();
                let width = self.width();
                serve(platform, Access::PortOut { port, width, from: &from }).into()
            }
            VcpuExit::IoIn(port, into) => {
                let (start, len) = (into.as_mut_ptr(), into.len());
                let width = self.width();
                // SAFETY: the bytes are in the pages that the processor shares with the kernel, behind the
                // structure that `width` reads; no other code touches them before the next entry.
                let into = unsafe { std::slice::from_raw_parts_mut(start, len) };
                serve(platform, Access::PortIn { port, width, into }).into()
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
