//! Questions for names over TCP (RFC 7766): each with its length before it, any number in a connection,
//! answered in the order in which the answers are known.
//!
//! ```text
//!  guest ──▶ a socket of the stack ──▶ received ──▶ questions of NameServer
//!        ◀──                       ◀── to_say   ◀── answers
//! ```
//! Such a connection has no socket on the host. It is reset after some guest time without data, or
//! after an invalid query.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use stillpoint_vmm::time::Nanos;

use crate::packets::Place;
use crate::stack::Stack;
use crate::wire::Segment;

/// Connections at once.
const MOST_STREAMS: usize = 16;
/// Bytes of a question: the longest name and its frame take less.
const MOST_QUESTION_BYTES: usize = 512;
/// Questions of a connection that are not answered yet; further ones wait with the guest.
const MOST_UNANSWERED: usize = 32;
/// Guest time after which a connection that says nothing ends.
const SILENCE_NANOS: Nanos = 10_000_000_000;

struct NameStream {
    id: u64,
    handle: SocketHandle,
    from: Place,
    received: Vec<u8>,
    to_say: Vec<u8>,
    unanswered: usize,
    last_at: Nanos,
}

/// The guest's connections to who answers for names.
#[derive(Default)]
pub(crate) struct NameStreams {
    streams: Vec<NameStream>,
    last_id: u64,
}

impl NameStreams {
    /// Has the stack take a connection that the guest asks for; whether there is room for it.
    pub(crate) fn begin(&mut self, now: Nanos, segment: &Segment, stack: &mut Stack) -> bool {
        let (from, to) = (segment.source, segment.destination);
        // Asked again, it is the stack's.
        if self.streams.iter().any(|stream| stream.from == from) {
            return true;
        }
        if self.streams.len() >= MOST_STREAMS {
            return false;
        }
        let Some(handle) = stack.listen(to) else { return false };
        self.last_id += 1;
        let (received, to_say) = (Vec::new(), Vec::new());
        let id = self.last_id;
        let stream = NameStream { id, handle, from, received, to_say, unanswered: 0, last_at: now };
        self.streams.push(stream);
        true
    }

    /// Moves bytes; returns the new queries, and the sockets that can be removed once they have sent
    /// everything.
    pub(crate) fn pump(
        &mut self,
        now: Nanos,
        stack: &mut Stack,
        dying: &mut Vec<SocketHandle>,
    ) -> Vec<(u64, Vec<u8>)> {
        let mut questions = Vec::new();
        self.streams.retain_mut(|stream| {
            let goes_on = stream.pump(now, stack, &mut questions);
            if !goes_on {
                dying.push(stream.handle);
            }
            goes_on
        });
        questions
    }

    /// Answers a question, if who asked it is still there; with nothing, if it was none.
    pub(crate) fn answer(&mut self, id: u64, answer: Option<&[u8]>) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { return };
        stream.unanswered = stream.unanswered.saturating_sub(1);
        if let Some(answer) = answer {
            stream.to_say.extend((answer.len() as u16).to_be_bytes());
            stream.to_say.extend(answer);
        }
    }

    /// Guest time at which the next one times out without data.
    pub(crate) fn next_at(&self) -> Option<Nanos> {
        self.streams.iter().map(|stream| stream.last_at + SILENCE_NANOS).min()
    }
}

impl NameStream {
    /// Whether it continues.
    fn pump(&mut self, now: Nanos, stack: &mut Stack, questions: &mut Vec<(u64, Vec<u8>)>) -> bool {
        let socket = stack.get(self.handle);
        match socket.state() {
            State::Closed | State::TimeWait => return false,
            // The stack has not accepted the guest's request.
            State::Listen => {
                socket.abort();
                return false;
            }
            _ => {}
        }
        let mut moved = false;
        if socket.can_send() && !self.to_say.is_empty() {
            let said = socket.send_slice(&self.to_say).unwrap_or(0);
            self.to_say.drain(..said);
            moved |= said > 0;
        }
        while self.unanswered < MOST_UNANSWERED && self.to_say.is_empty() {
            match self.next_question() {
                Next::Question(question) => {
                    self.unanswered += 1;
                    questions.push((self.id, question));
                }
                Next::Nothing if socket.can_recv() => {
                    let taken = socket.recv(|bytes| {
                        let count = bytes.len().min(MOST_QUESTION_BYTES);
                        self.received.extend(&bytes[..count]);
                        (count, count)
                    });
                    moved |= taken.is_ok_and(|count| count > 0);
                }
                Next::Nothing => break,
                Next::TooLong => {
                    socket.abort();
                    return false;
                }
            }
        }
        if moved {
            self.last_at = now;
        } else if self.last_at + SILENCE_NANOS <= now {
            socket.abort();
            return false;
        }
        let has_said_all = self.unanswered == 0 && self.to_say.is_empty();
        if socket.state() == State::CloseWait && !socket.can_recv() && has_said_all {
            socket.close();
        }
        true
    }

    fn next_question(&mut self) -> Next {
        let Some(length) = self.received.first_chunk() else { return Next::Nothing };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MOST_QUESTION_BYTES {
            return Next::TooLong;
        }
        if self.received.len() < 2 + length {
            return Next::Nothing;
        }
        let question = self.received[2..2 + length].to_vec();
        self.received.drain(..2 + length);
        Next::Question(question)
    }
}

/// The beginning of the received bytes.
enum Next {
    Question(Vec<u8>),
    Nothing,
    TooLong,
}
