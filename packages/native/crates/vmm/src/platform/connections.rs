//! Events of the guest's connections.

use super::Platform;
use crate::event::EventBody;
use crate::network::Traffic;
use crate::time::Nanos;

impl Platform {
    /// Emits the events that the recorded frames have caused.
    pub(crate) fn tell_caused(&mut self) {
        for body in self.network.take_caused() {
            self.emit(body);
        }
    }

    /// Tells what went over connections since this was last done, `over_nanos` ago.
    pub(crate) fn tell_traffic(&mut self, over_nanos: Nanos) {
        for slot in 0..self.bus.len() {
            let traffic = self.with_device(slot, |device, _, _| device.take_traffic());
            if traffic != Traffic::default() {
                let Traffic { bytes_in, bytes_out } = traffic;
                self.emit(EventBody::TrafficPassed { bytes_in, bytes_out, over_nanos });
            }
        }
    }
}
