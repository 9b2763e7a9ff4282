//! A real-time clock with the registers of the Goldfish one: 64-bit nanoseconds since 1970 and
//! one alarm.
//!
//! ```text
//! 0x00 TIME_LOW   0x04 TIME_HIGH   0x08 ALARM_LOW   0x0c ALARM_HIGH   0x10 IRQ_ENABLED
//! 0x14 CLEAR_ALARM   0x18 ALARM_STATUS   0x1c CLEAR_INTERRUPT
//! ```
//! Its time is the configured epoch plus guest time, so it is as reproducible as the guest. It is
//! set by the guest, by a renewal, and by every request that sets the guest's wall clock.

mod persist;

use super::description::NoOptions;
use super::{Device, DeviceContext, DeviceKind, Node, Renewal, read_register, written_register};
use crate::state::StateError;
use crate::time::Nanos;

/// The kind in descriptions.
pub const KIND: DeviceKind = DeviceKind {
    name: "goldfish-rtc",
    window_bytes: 0x1000,
    node: Node { name: "rtc", compatible: "google,goldfish-rtc", alias: Some("rtc"), numbers: &[] },
    hardware_id: None,
    make: |description, making| {
        let NoOptions {} = description.options_as()?;
        Ok(Box::new(GoldfishRtc::new(making.epoch_nanos)))
    },
};

/// A real-time clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldfishRtc {
    /// Clock time at guest time zero.
    epoch_nanos: u64,
    latched_high: u32,
    written_high: u32,
    alarm_nanos: u64,
    alarm_high: u32,
    alarm_armed: bool,
    interrupt_enabled: bool,
    interrupt_pending: bool,
}

impl GoldfishRtc {
    /// A clock that shows `epoch_nanos` at guest time zero.
    pub fn new(epoch_nanos: u64) -> Self {
        Self {
            epoch_nanos,
            latched_high: 0,
            written_high: 0,
            alarm_nanos: 0,
            alarm_high: 0,
            alarm_armed: false,
            interrupt_enabled: false,
            interrupt_pending: false,
        }
    }

    fn time(&self, now: Nanos) -> u64 {
        self.epoch_nanos.wrapping_add(now)
    }

    fn ring(&mut self, now: Nanos) {
        if self.alarm_armed && self.time(now) >= self.alarm_nanos {
            self.alarm_armed = false;
            self.interrupt_pending = true;
        }
    }
}

impl Device for GoldfishRtc {
    fn read(&mut self, context: &mut DeviceContext<'_>, offset: u64, into: &mut [u8]) {
        let value = match offset {
            0x00 => {
                let time = self.time(context.now);
                self.latched_high = (time >> 32) as u32;
                time as u32
            }
            0x04 => self.latched_high,
            0x08 => self.alarm_nanos as u32,
            0x0c => (self.alarm_nanos >> 32) as u32,
            0x10 => u32::from(self.interrupt_enabled),
            0x18 => u32::from(self.alarm_armed),
            _ => 0,
        };
        read_register(value, into);
    }

    fn write(&mut self, context: &mut DeviceContext<'_>, offset: u64, from: &[u8]) {
        let value = written_register(from);
        match offset {
            0x00 => {
                let time = u64::from(self.written_high) << 32 | u64::from(value);
                self.epoch_nanos = time.wrapping_sub(context.now);
            }
            0x04 => self.written_high = value,
            0x08 => {
                self.alarm_nanos = u64::from(self.alarm_high) << 32 | u64::from(value);
                self.alarm_armed = true;
                self.ring(context.now);
            }
            0x0c => self.alarm_high = value,
            0x10 => self.interrupt_enabled = value & 1 != 0,
            0x14 => self.alarm_armed = false,
            0x1c => self.interrupt_pending = false,
            _ => {}
        }
    }

    fn interrupt_asserted(&self) -> bool {
        self.interrupt_pending && self.interrupt_enabled
    }

    fn deadline(&self) -> Option<Nanos> {
        // An alarm beyond the clock's wrap never rings within a machine's life.
        self.alarm_armed.then(|| self.alarm_nanos.saturating_sub(self.epoch_nanos))
    }

    fn tick(&mut self, context: &mut DeviceContext<'_>) {
        self.ring(context.now);
    }

    fn renew(&mut self, renewal: &Renewal, now: Nanos) {
        self.set_clock(renewal.realtime_nanos(), now);
    }

    fn set_clock(&mut self, realtime_nanos: u64, now: Nanos) {
        self.epoch_nanos = realtime_nanos.wrapping_sub(now);
    }

    fn save(&self) -> Vec<u8> {
        persist::save(self)
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        *self = persist::load(state)?;
        Ok(())
    }

    fn fork(&self) -> Box<dyn Device> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::surroundings::Surroundings;

    #[test]
    fn the_clock_follows_guest_time_and_the_alarm_rings() {
        let mut around = Surroundings { now: 5, ..Surroundings::new(0, 4096) };
        let mut context = around.context("rtc");
        let mut rtc = GoldfishRtc::new(0x1_0000_0000);
        let mut word = [0; 4];
        rtc.read(&mut context, 0x00, &mut word);
        assert_eq!(u32::from_le_bytes(word), 5);
        rtc.read(&mut context, 0x04, &mut word);
        assert_eq!(u32::from_le_bytes(word), 1);
        rtc.write(&mut context, 0x10, &[1, 0, 0, 0]);
        rtc.write(&mut context, 0x0c, &[1, 0, 0, 0]);
        rtc.write(&mut context, 0x08, &[100, 0, 0, 0]);
        assert_eq!(rtc.deadline(), Some(100));
        context.now = 100;
        rtc.tick(&mut context);
        assert!(rtc.interrupt_asserted());
        let mut other = GoldfishRtc::new(0);
        other.load(&rtc.save()).expect("same");
        assert_eq!(other, rtc);
        rtc.write(&mut context, 0x1c, &[1, 0, 0, 0]);
        assert!(!rtc.interrupt_asserted());
        assert_eq!(rtc.deadline(), None);
    }

    #[test]
    fn a_renewed_clock_shows_the_time_that_it_was_given_and_an_alarm_that_passed_rings() {
        let mut around = Surroundings { now: 7, ..Surroundings::new(0, 4096) };
        let mut context = around.context("rtc");
        let mut rtc = GoldfishRtc::new(1000);
        rtc.write(&mut context, 0x10, &[1, 0, 0, 0]);
        rtc.write(&mut context, 0x08, &2000u32.to_le_bytes());
        rtc.renew(&Renewal::new(&[1; 32], &[2; 16], 5000).expect("lengths"), 7);
        let mut word = [0; 4];
        rtc.read(&mut context, 0x00, &mut word);
        assert_eq!(u32::from_le_bytes(word), 5000);
        assert!(rtc.deadline().is_some_and(|at| at <= 7));
        rtc.tick(&mut context);
        assert!(rtc.interrupt_asserted());
    }
}
