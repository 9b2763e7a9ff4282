//! The state of a processor and of what KVM has of a PC around it, in one form.
//!
//! ```text
//! now, tsc, tsc deadline, kvm-clock, tsc kHz            u64 each
//! processor        count, then entries of CPUID          40 bytes each
//! registers        count, then index and value           12 bytes each, ascending
//! the structures of `linux/kvm.h` that `Structures` lists, as they are there
//! ```
//! A state that the host cannot have is refused before any of it is loaded ([`State::check`]).

mod check;

use kvm_bindings::{
    KVM_MP_STATE_HALTED, kvm_cpuid_entry2, kvm_debugregs, kvm_irqchip, kvm_lapic_state,
    kvm_mp_state, kvm_pit_state2, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use stillpoint_vmm::engine::{Nanos, StateError};
use stillpoint_vmm::state::{StateReader, StateWriter};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const MOST_ENTRIES: u64 = 256;
const MOST_REGISTERS: u64 = 4096;

/// The state that the kernel has structures for.
#[derive(Clone, Copy)]
pub(crate) struct Structures {
    pub(crate) regs: kvm_regs,
    pub(crate) sregs: kvm_sregs,
    pub(crate) xsave: [u8; XSAVE_BYTES],
    pub(crate) xcrs: kvm_xcrs,
    pub(crate) debug: kvm_debugregs,
    pub(crate) events: kvm_vcpu_events,
    pub(crate) mp: kvm_mp_state,
    pub(crate) lapic: kvm_lapic_state,
    pub(crate) chips: [kvm_irqchip; 3],
    pub(crate) pit: kvm_pit_state2,
}

/// Bytes of the floating point and vector state of a processor without tiles.
pub(crate) const XSAVE_BYTES: usize = size_of::<kvm_xsave>();

/// A processor's state.
#[derive(Clone)]
pub(crate) struct State {
    /// Guest time.
    pub(crate) now: Nanos,
    /// The time stamp counter at `now`.
    pub(crate) tsc: u64,
    /// The time at which the local timer fires, in cycles; 0: never, or it counts down.
    pub(crate) tsc_deadline: u64,
    /// Nanoseconds of kvm-clock at `now`.
    pub(crate) clock_nanos: u64,
    pub(crate) tsc_khz: u32,
    pub(crate) processor: Vec<kvm_cpuid_entry2>,
    /// Model-specific registers: index and value, by index.
    pub(crate) registers: Vec<(u32, u64)>,
    pub(crate) structures: Structures,
}

impl State {
    /// Whether the processor waits for an interrupt.
    pub(crate) fn is_halted(&self) -> bool {
        self.structures.mp.mp_state == KVM_MP_STATE_HALTED
    }

    /// Equal states give equal bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u64(self.now).u64(self.tsc).u64(self.tsc_deadline).u64(self.clock_nanos);
        state.u64(u64::from(self.tsc_khz)).u64(self.processor.len() as u64);
        for entry in &self.processor {
            state.array(entry.as_bytes());
        }
        state.u64(self.registers.len() as u64);
        for (index, value) in &self.registers {
            state.u32(*index).u64(*value);
        }
        let Structures { regs, sregs, xsave, xcrs, debug, events, mp, lapic, chips, pit } =
            &self.structures;
        state.array(regs.as_bytes()).array(sregs.as_bytes()).array(xsave);
        state.array(xcrs.as_bytes()).array(debug.as_bytes()).array(events.as_bytes());
        state.array(mp.as_bytes()).array(lapic.as_bytes());
        for chip in chips {
            state.array(chip.as_bytes());
        }
        state.array(pit.as_bytes());
        state.finish()
    }

    /// Decodes the bytes of [`Self::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let state = &mut StateReader::new("engine kvm", bytes);
        let (now, tsc, tsc_deadline) = (state.u64()?, state.u64()?, state.u64()?);
        let (clock_nanos, tsc_khz) = (state.u64()?, state.u64()?);
        let tsc_khz = match u32::try_from(tsc_khz) {
            Ok(khz) if khz > 0 => khz,
            _ => return Err(state.refuse("a frequency", tsc_khz.to_string())),
        };
        let count = counted(state, MOST_ENTRIES, "entries of CPUID")?;
        let processor = (0..count).map(|_| structure(state)).collect::<Result<_, _>>()?;
        let count = counted(state, MOST_REGISTERS, "registers")?;
        let registers: Vec<(u32, u64)> = (0..count)
            .map(|_| Ok((state.u32()?, state.u64()?)))
            .collect::<Result<_, StateError>>()?;
        if !registers.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(state.refuse("registers by their numbers", "others"));
        }
        let structures = Structures {
            regs: structure(state)?,
            sregs: structure(state)?,
            xsave: state.array()?,
            xcrs: structure(state)?,
            debug: structure(state)?,
            events: structure(state)?,
            mp: structure(state)?,
            lapic: structure(state)?,
            chips: [structure(state)?, structure(state)?, structure(state)?],
            pit: structure(state)?,
        };
        if !state.is_empty() {
            return Err(state.refuse("the end", "more bytes"));
        }
        Ok(Self { now, tsc, tsc_deadline, clock_nanos, tsc_khz, processor, registers, structures })
    }
}

fn counted(state: &mut StateReader<'_>, most: u64, of: &str) -> Result<u64, StateError> {
    match state.u64()? {
        count if count <= most => Ok(count),
        count => Err(state.refuse(format!("at most {most} {of}"), count.to_string())),
    }
}

fn structure<T: FromBytes + IntoBytes + Immutable>(
    state: &mut StateReader<'_>,
) -> Result<T, StateError> {
    let bytes = state.take(size_of::<T>())?;
    T::read_from_bytes(bytes).map_err(|_| state.refuse("a structure of the kernel's", "another"))
}

#[cfg(test)]
mod tests;
