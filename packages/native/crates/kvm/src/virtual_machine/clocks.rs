//! Clocks of a virtual machine: they stand while the guest does.

use kvm_bindings::kvm_clock_data;

use super::{VirtualMachine, failed};
use crate::host::{TSC, TSC_DEADLINE_MSR};

const NANOS_PER_MILLISECOND: u128 = 1_000_000;
/// KVM takes a counter within a second of the expected value as an attempt to synchronise, and leaves it
/// unchanged: so the first write is further away than that from every value.
const FAR_AWAY: u64 = 1 << 60;

/// Registers of the local interrupt controller.
const TIMER_ENTRY: usize = 0x320;
const CURRENT_COUNT: usize = 0x390;
const DIVIDER: usize = 0x3e0;
const MASKED: u32 = 1 << 16;
const INTERRUPTS_ENABLED: u64 = 1 << 9;
/// Maximum wait of a guest before it is checked, since its old timer may wake it.
const OLD_TIMER_NANOS: u64 = 1_000_000;

fn cycles(nanos: u64, khz: u32) -> u64 {
    u64::try_from(u128::from(nanos) * u128::from(khz) / NANOS_PER_MILLISECOND).unwrap_or(u64::MAX)
}

fn nanos(cycles: u64, khz: u32) -> u64 {
    let nanos = u128::from(cycles) * NANOS_PER_MILLISECOND / u128::from(khz.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

impl VirtualMachine {
    /// Sets the counter and kvm-clock to `later` nanoseconds after these.
    pub(super) fn set_clocks(
        &self,
        tsc: u64,
        clock_nanos: u64,
        later: u64,
        khz: u32,
    ) -> Result<(), String> {
        let tsc = tsc.wrapping_add(cycles(later, khz));
        self.set_register(TSC, tsc.wrapping_add(FAR_AWAY))?;
        self.set_register(TSC, tsc)?;
        let clock = clock_nanos.saturating_add(later);
        let clock = kvm_clock_data { clock, ..Default::default() };
        self.machine.set_clock(&clock).map_err(failed("set the clock"))
    }

    /// The counter and kvm-clock as they were `ago` nanoseconds ago.
    pub(super) fn clocks(&self, ago: u64, khz: u32) -> Result<(u64, u64), String> {
        let tsc = self.tsc()?.wrapping_sub(cycles(ago, khz));
        let clock = self.machine.get_clock().map_err(failed("read the clock"))?.clock;
        Ok((tsc, clock.saturating_sub(ago)))
    }

    /// Turns the clocks back by `by` nanoseconds for which the guest stood, and its timer with them.
    pub(crate) fn turn_back(&self, by: u64, khz: u32) -> Result<(), String> {
        let (tsc, clock) = self.clocks(by, khz)?;
        self.set_clocks(tsc, clock, 0, khz)?;
        match self.register(TSC_DEADLINE_MSR) {
            Some(deadline) if deadline != 0 => self.set_register(TSC_DEADLINE_MSR, deadline),
            _ => Ok(()),
        }
    }

    /// Time until the processor's own timer ends its wait, if it can.
    pub(crate) fn wakes_in(&self, khz: u32) -> Result<Option<u64>, String> {
        let regs = self.processor.get_regs().map_err(failed("read registers"))?;
        if regs.rflags & INTERRUPTS_ENABLED == 0 {
            return Ok(None);
        }
        let lapic = self.processor.get_lapic().map_err(failed("read the local controller"))?;
        let at = |at: usize| {
            let bytes = [0, 1, 2, 3].map(|index| lapic.regs[at + index] as u8);
            u32::from_le_bytes(bytes)
        };
        let entry = at(TIMER_ENTRY);
        let pit = self.machine.get_pit2().map_err(failed("read the timer"))?;
        // A timer that was never set has no mode of counting that raises its line.
        let old = (pit.channels[0].count_load_time != 0).then_some(OLD_TIMER_NANOS);
        if entry & MASKED != 0 {
            return Ok(old);
        }
        let local = match entry >> 17 & 3 {
            2 => match self.register(TSC_DEADLINE_MSR) {
                None | Some(0) => None,
                Some(deadline) => Some(nanos(deadline.saturating_sub(self.tsc()?), khz)),
            },
            _ => match at(CURRENT_COUNT) {
                0 => None,
                count => {
                    let divider = at(DIVIDER);
                    let shift = ((divider & 3 | divider >> 1 & 4) + 1) & 7;
                    Some(u64::from(count) << shift)
                }
            },
        };
        Ok([local, old].into_iter().flatten().min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_and_nanoseconds_are_each_other_and_never_overflow() {
        assert_eq!(cycles(1_000_000, 2_596_130), 2_596_130);
        assert_eq!(nanos(2_596_130, 2_596_130), 1_000_000);
        assert_eq!((cycles(u64::MAX, u32::MAX), nanos(u64::MAX, 0)), (u64::MAX, u64::MAX));
    }
}
