//! A flow of datagrams that the guest has begun: a connected socket of its own, so that only who was
//! asked can answer.

use std::io::ErrorKind;
use std::net::UdpSocket;

use crate::packets::{self, Place};
use crate::watch::Watched;
use crate::wire::Datagram;

/// Whom the guest has sent something.
pub(crate) struct Outside {
    pub(crate) socket: Watched<UdpSocket>,
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) may_receive: bool,
    /// The headers of the last datagram.
    pub(crate) headers: Vec<u8>,
}

/// A datagram that the host says went nowhere.
pub(crate) struct Returned {
    pub(crate) to: Place,
    pub(crate) headers: Vec<u8>,
}

impl Outside {
    /// Sends; an error about an earlier datagram is added to `returned`.
    pub(crate) fn send(&mut self, datagram: &Datagram<'_>, returned: &mut Vec<Returned>) {
        self.headers = packets::headers_of(datagram.packet).to_vec();
        let sent = self.socket.socket.send(datagram.bytes);
        if sent.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            // The error concerns the previous one: this one was not sent.
            self.went_nowhere(returned);
            let _ = self.socket.socket.send(datagram.bytes);
        }
    }

    /// The next datagram for the guest. `None`: nothing, or something else.
    pub(crate) fn receive<'a>(
        &mut self,
        buffer: &'a mut [u8],
        returned: &mut Vec<Returned>,
    ) -> Option<&'a [u8]> {
        match self.socket.socket.recv(buffer) {
            Ok(bytes) => return Some(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                self.went_nowhere(returned);
            }
            Err(_) => self.may_receive = self.socket.ask(true, false).is_err(),
        }
        None
    }

    fn went_nowhere(&self, returned: &mut Vec<Returned>) {
        returned.push(Returned { to: self.to, headers: self.headers.clone() });
    }
}
