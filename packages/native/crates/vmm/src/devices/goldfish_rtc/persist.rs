//! The saved state of a real-time clock.

use super::GoldfishRtc;
use crate::state::{StateError, StateReader, StateWriter};

pub(super) fn save(rtc: &GoldfishRtc) -> Vec<u8> {
    StateWriter::new()
        .u64(rtc.epoch_nanos)
        .u32(rtc.latched_high)
        .u32(rtc.written_high)
        .u64(rtc.alarm_nanos)
        .u32(rtc.alarm_high)
        .bool(rtc.alarm_armed)
        .bool(rtc.interrupt_enabled)
        .bool(rtc.interrupt_pending)
        .finish()
}

pub(super) fn load(state: &[u8]) -> Result<GoldfishRtc, StateError> {
    let mut state = StateReader::new("real-time clock", state);
    let rtc = GoldfishRtc {
        epoch_nanos: state.u64()?,
        latched_high: state.u32()?,
        written_high: state.u32()?,
        alarm_nanos: state.u64()?,
        alarm_high: state.u32()?,
        alarm_armed: state.bool()?,
        interrupt_enabled: state.bool()?,
        interrupt_pending: state.bool()?,
    };
    state.finish()?;
    Ok(rtc)
}
