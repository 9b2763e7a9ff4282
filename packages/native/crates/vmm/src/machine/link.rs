//! A machine's network, between its interface and the host.

use super::{InputError, Machine};
use crate::devices::InputFull;
use crate::event::{EventBody, InputKind};
use crate::network::{Expecting, GuestPort, Link, append_frame, frames_of};
use crate::platform::Platform;
use crate::time::Nanos;

/// Bytes of frames that one event records.
const RECORD_BYTES: usize = 256 * 1024;

impl Machine {
    /// Puts the host's end at the machine's network interface, or takes it away. A fork or a
    /// restored machine has none.
    pub fn set_link(&mut self, link: Option<Box<dyn Link>>) {
        self.platform.network().set_linked(link.is_some());
        self.link = link;
    }

    /// The hardware address and the MTU of the network interface, if the machine has one.
    pub fn network_interface(&self) -> Option<([u8; 6], u16)> {
        let device =
            self.origin.machine.devices.iter().find(|device| device.kind == "virtio-net")?;
        let options: crate::devices::virtio::net::Options = device.options_as().ok()?;
        Some((options.address, options.mtu))
    }

    /// Whether the guest has ever sent an IPv6 packet.
    pub fn has_version_6(&self) -> bool {
        self.platform.interface().is_some_and(|interface| interface.has_version_6())
    }

    /// Frames, each from `peer`, that end the TCP connections that the guest has. Of a restored
    /// machine or a fork these are the connections of the machine that it comes from.
    pub fn connection_resets(&self, peer: [u8; 6]) -> Vec<Vec<u8>> {
        let reset = |interface: &dyn crate::network::Interface| {
            interface.connections().resets(peer, interface.hardware_address())
        };
        self.platform.interface().map(reset).unwrap_or_default()
    }

    /// Number of the guest's TCP connections, according to its frames.
    pub fn connections(&self) -> usize {
        self.platform.interface().map_or(0, |interface| interface.connections().len())
    }

    /// Gives the network interface recorded frames at this moment; the `seq` of the `HostInput` that
    /// records them.
    ///
    /// # Errors
    /// [`InputError`]; the guest has then been given nothing, or, where it is
    /// [`InputError::InputFull`], the frames before.
    pub fn send_frames(&mut self, frames: &[u8]) -> Result<u64, InputError> {
        let each = frames_of(frames)?;
        self.ready_for_input()?;
        // As in a run: all work due at this moment, including the sample, comes before the frames.
        self.take_sample();
        for frame in each {
            match self.platform.accept_frame(frame) {
                None => return Err(InputError::InterfaceMissing),
                Some(Err(InputFull { room })) => {
                    let (expected, found) = (room as u64, frame.len() as u64);
                    return Err(InputError::InputFull { expected, found });
                }
                Some(Ok(())) => {}
            }
        }
        let seq = self.record(InputKind::Network, 0, frames.to_vec());
        self.platform.tell_caused();
        Ok(seq)
    }

    /// Passes the guest's frames to the link, and the link's frames to the guest.
    pub(super) fn exchange(&mut self) {
        let Some(link) = &mut self.link else { return };
        let now = self.platform.now;
        let is_due = link.deadline().is_some_and(|at| at <= now);
        if !(self.platform.network().is_waiting() || is_due || link.is_ready()) {
            return;
        }
        let sent = self.platform.network().take();
        let mut guest = Port { platform: &mut self.platform, given: Vec::new(), has_given: false };
        link.exchange(now, sent, &mut guest);
        if guest.record() {
            // It may end the guest's wait.
            self.wakes_at = None;
        }
    }

    pub(super) fn link_deadline(&self) -> Option<Nanos> {
        self.link.as_ref().and_then(|link| link.deadline())
    }

    pub(super) fn expecting(&self) -> Expecting {
        self.link.as_ref().map_or(Expecting::Nothing, |link| link.expecting())
    }
}

/// The guest, for the length of an exchange.
struct Port<'a> {
    platform: &'a mut Platform,
    /// Frames that no event records yet.
    given: Vec<u8>,
    has_given: bool,
}

impl Port<'_> {
    /// Records input that is not recorded yet; returns whether there was any.
    fn record(&mut self) -> bool {
        let data = std::mem::take(&mut self.given);
        if !data.is_empty() {
            self.has_given = true;
            self.platform.emit(EventBody::HostInput { kind: InputKind::Network, port: 0, data });
            self.platform.tell_caused();
        }
        self.has_given
    }
}

impl GuestPort for Port<'_> {
    fn fits(&self, bytes: usize) -> bool {
        self.platform.interface().is_some_and(|interface| interface.fits(bytes))
    }

    fn give(&mut self, frame: &[u8]) -> bool {
        let start = self.given.len();
        if !append_frame(&mut self.given, frame) {
            return false;
        }
        if self.platform.accept_frame(frame) != Some(Ok(())) {
            self.given.truncate(start);
            return false;
        }
        if self.given.len() >= RECORD_BYTES {
            self.record();
        }
        true
    }

    fn tell(&mut self, body: EventBody) {
        // In the order in which things happened.
        self.record();
        self.platform.tell_of_host(body);
    }
}
