//! One connection: bytes between a socket of the host's and one of the stack's.
//!
//! ```text
//!   host's socket ──read──▶ stack's send buffer ──▶ guest
//!                 ◀─write── stack's receive buffer ◀──
//! ```
//! No data is buffered in between: the host's socket is read when the stack has room, and the
//! guest's window opens when the host's socket has accepted the data. The end of one side is passed
//! on once all data before it has passed; a reset is passed on as a reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, State};
use socket2::SockRef;

use crate::allowances::Way;
use crate::watch::{Readiness, Watched};

pub(crate) struct Flow {
    pub(crate) handle: SocketHandle,
    /// The way whose limits apply to it.
    pub(crate) way: Way,
    /// The guest's port, while it may still be tried over IPv6 too.
    pub(crate) second_port: Option<u16>,
    stream: Watched<TcpStream>,
    /// The host's socket may have something to read, and room to write.
    can_read: bool,
    can_write: bool,
    /// Everything that the host's side will ever say was passed on.
    host_has_ended: bool,
    guest_has_ended: bool,
    has_begun: bool,
    is_asking: (bool, bool),
}

/// The state of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    /// It could pass more than it was allowed to.
    Hungry,
    /// The guest does not take it, and may be asked in another way.
    Refused,
    /// Both sides have ended, or one was reset and the other was notified.
    Over,
}

/// The result of moving bytes.
pub(crate) struct Pumped {
    pub(crate) standing: Standing,
    /// Bytes that have passed, in both directions together.
    pub(crate) bytes: usize,
}

impl Flow {
    pub(crate) fn new(handle: SocketHandle, stream: Watched<TcpStream>, way: Way) -> Self {
        let _ = stream.socket.set_nodelay(true);
        Self {
            handle,
            way,
            second_port: None,
            stream,
            can_read: true,
            can_write: true,
            host_has_ended: false,
            guest_has_ended: false,
            has_begun: false,
            is_asking: (false, false),
        }
    }

    /// The host's socket can do something.
    pub(crate) fn found(&mut self, readiness: Readiness) {
        self.is_asking = (false, false);
        self.can_read |= readiness.readable;
        self.can_write |= readiness.writable;
    }

    /// Moves as many bytes as possible, up to a limit.
    pub(crate) fn pump(&mut self, socket: &mut tcp::Socket<'_>, most_bytes: usize) -> Pumped {
        let mut left = most_bytes;
        let standing = self.move_bytes(socket, &mut left);
        Pumped { standing, bytes: most_bytes - left }
    }

    fn move_bytes(&mut self, socket: &mut tcp::Socket<'_>, left: &mut usize) -> Standing {
        let state = socket.state();
        if state == State::Listen {
            // The stack has not accepted the guest's request.
            socket.abort();
            self.reset_host();
            return Standing::Over;
        }
        self.has_begun |= !matches!(state, State::SynSent | State::SynReceived | State::Closed);
        if !self.has_begun && state != State::Closed {
            return self.wait_for_guest(socket);
        }
        if !self.has_begun && self.second_port.is_some() {
            return Standing::Refused;
        }
        if self.pass_out(socket, left).is_err() || self.pass_in(socket, left).is_err() {
            // The host's side was reset: data that it has not accepted is lost.
            socket.abort();
            return Standing::Over;
        }
        if socket.state() == State::Closed && !(self.host_has_ended && self.guest_has_ended) {
            // The guest's side was reset, or was never there.
            self.reset_host();
            return Standing::Over;
        }
        let is_over = self.host_has_ended
            && self.guest_has_ended
            && matches!(socket.state(), State::TimeWait | State::Closed);
        if is_over {
            return Standing::Over;
        }
        if self.ask(socket).is_err() {
            socket.abort();
            self.reset_host();
            return Standing::Over;
        }
        let could_pass = self.can_read && !self.host_has_ended && socket.can_send()
            || self.can_write && socket.recv_queue() > 0;
        if *left == 0 && could_pass { Standing::Hungry } else { Standing::Open }
    }

    /// The guest has not answered yet; the client may leave before it does.
    fn wait_for_guest(&mut self, socket: &mut tcp::Socket<'_>) -> Standing {
        let mut byte = [0];
        let has_gone = match self.stream.socket.peek(&mut byte) {
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if has_gone {
            socket.abort();
            return Standing::Over;
        }
        Standing::Open
    }

    fn pass_in(&mut self, socket: &mut tcp::Socket<'_>, left: &mut usize) -> std::io::Result<()> {
        while *left > 0 && self.can_read && !self.host_has_ended && socket.can_send() {
            let mut stream = &self.stream.socket;
            let Ok(read) = socket.send(|room| {
                let most = room.len().min(*left);
                match stream.read(&mut room[..most]) {
                    Ok(count) => (count, Ok(count)),
                    Err(error) => (0, Err(error)),
                }
            }) else {
                return Ok(());
            };
            match read {
                Ok(0) => {
                    self.host_has_ended = true;
                    socket.close();
                }
                Ok(count) => *left -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.can_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pass_out(&mut self, socket: &mut tcp::Socket<'_>, left: &mut usize) -> std::io::Result<()> {
        while *left > 0 && self.can_write && socket.recv_queue() > 0 {
            let mut stream = &self.stream.socket;
            let Ok(written) = socket.recv(|bytes| {
                let most = bytes.len().min(*left);
                match stream.write(&bytes[..most]) {
                    Ok(count) => (count, Ok(count)),
                    Err(error) => (0, Err(error)),
                }
            }) else {
                return Ok(());
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => *left -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.can_write = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let has_said_its_last = matches!(
            socket.state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait
        );
        if has_said_its_last && socket.recv_queue() == 0 && !self.guest_has_ended {
            self.guest_has_ended = true;
            match self.stream.socket.shutdown(Shutdown::Write) {
                Err(error) if error.kind() != ErrorKind::NotConnected => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the host's socket watched for the operations that would block.
    fn ask(&mut self, socket: &tcp::Socket<'_>) -> std::io::Result<()> {
        let for_reading = !self.can_read && !self.host_has_ended;
        let for_writing = !self.can_write && socket.recv_queue() > 0;
        if (for_reading, for_writing) != self.is_asking && (for_reading || for_writing) {
            self.stream.ask(for_reading, for_writing)?;
            self.is_asking = (for_reading, for_writing);
        }
        Ok(())
    }

    /// Has the host's peer see a reset, not an end, once the socket is closed.
    pub(crate) fn reset_host(&self) {
        let _ = SockRef::from(&self.stream.socket).set_linger(Some(Duration::ZERO));
    }

    /// Whether both sides have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.host_has_ended && self.guest_has_ended
    }
}
