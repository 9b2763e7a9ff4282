//! Name queries: the guest's questions, their answers, and the reported refusals.

use stillpoint_vmm::event::{NetworkProtocol, NetworkRefusal};
use stillpoint_vmm::network::GuestPort;
use stillpoint_vmm::time::Nanos;

use super::NetworkLink;
use crate::addresses::NAME_PORT;
use crate::names::{Asker, Reply};
use crate::packets;
use crate::wire::{self, Datagram};

impl NetworkLink {
    /// The guest asks for a name.
    pub(super) fn ask(&mut self, now: Nanos, datagram: &Datagram<'_>, guest: &mut dyn GuestPort) {
        let asker = Asker::Datagram { from: datagram.from, to: datagram.to };
        self.ask_as(now, asker, datagram.bytes, guest);
    }

    pub(super) fn ask_as(
        &mut self,
        now: Nanos,
        asker: Asker,
        message: &[u8],
        guest: &mut dyn GuestPort,
    ) {
        let (refused, answer) = match self.names.ask(asker, message, &self.egress) {
            Reply::Later => return,
            Reply::Nothing => {
                if let Asker::Stream(id) = asker {
                    self.connections.names.answer(id, None);
                }
                return;
            }
            Reply::Answer(answer) => (None, answer),
            Reply::NotAllowed { name, answer } => {
                (Some((name, NetworkRefusal::NotAllowed)), answer)
            }
            Reply::TooMany { name, answer } => (Some((name, NetworkRefusal::TooMany)), answer),
        };
        if let Some((name, reason)) = refused {
            self.refusals.tell(now, NetworkProtocol::Udp, (name, NAME_PORT), reason, guest);
        }
        self.give_answer(asker, &answer, guest);
    }

    /// Delivers the answers of the host's resolver to the guest.
    pub(super) fn answer(&mut self, now: Nanos, guest: &mut dyn GuestPort) {
        for late in self.names.late() {
            if late.is_of_nobody {
                let (asked, reason) = ((late.name, NAME_PORT), NetworkRefusal::Unreachable);
                self.refusals.tell(now, NetworkProtocol::Udp, asked, reason, guest);
            }
            self.give_answer(late.asker, &late.answer, guest);
        }
    }

    fn give_answer(&mut self, asker: Asker, answer: &[u8], guest: &mut dyn GuestPort) {
        let (from, to) = match asker {
            Asker::Datagram { from, to } => (from, to),
            Asker::Stream(id) => return self.connections.names.answer(id, Some(answer)),
        };
        let packet = packets::datagram(to, from, answer);
        // A packet that does not fit is lost, as datagrams are: the client asks again.
        guest.give(&wire::frame(&packet, self.hardware));
    }
}
