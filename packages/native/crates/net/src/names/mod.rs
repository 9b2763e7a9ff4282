//! Names: the guest asks the host's end, which answers from the policy's table or the host's resolver.
//!
//! ```text
//!  guest ──question──▶ NameServer ──▶ table of the policy ──▶ answer, at once
//!                          │                                    │
//!                          └──▶ Lookups: a thread that asks ──▶ answer, when the host has one
//!                                                               ▼
//!                                               Answered: which names an address stands for
//! ```
//! An answer is a frame like any other, recorded with the guest time at which it was given.

mod lookups;
mod message;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use message::{Asked, Outcome, Question};

use crate::answered::Answered;
use crate::egress::{Egress, Naming};
use crate::packets::Place;
use crate::watch::Mailbox;
use lookups::Lookups;

/// Questions that wait for the host's resolver; further ones may be asked again.
const MOST_WAITING: usize = 256;

/// The client that gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A place of the guest's, in datagrams to a place of who answers.
    Datagram { from: Place, to: Place },
    /// A connection of the guest's.
    Stream(u64),
}

/// The immediate result of a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Nothing: it is no question.
    Nothing,
    /// Pending: the host's resolver is asked.
    Later,
    /// It is answered.
    Answer(Vec<u8>),
    /// Answered with `NXDOMAIN`, because no rule allows the name.
    NotAllowed { name: String, answer: Vec<u8> },
    /// It is answered that there are too many.
    TooMany { name: String, answer: Vec<u8> },
}

/// An answer of the host's resolver, for one who asked.
pub(crate) struct Late {
    pub(crate) asker: Asker,
    pub(crate) name: String,
    pub(crate) answer: Vec<u8>,
    /// The name does not exist.
    pub(crate) is_of_nobody: bool,
}

/// Answers a guest's questions for names.
pub(crate) struct NameServer {
    lookups: Lookups,
    waiting: BTreeMap<String, Vec<(Asker, Question)>>,
    pub(crate) answered: Answered,
}

impl NameServer {
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Self {
        let (lookups, answered) = (Lookups::new(mailbox), Answered::default());
        Self { lookups, waiting: BTreeMap::new(), answered }
    }

    /// Questions that wait for the host's resolver.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    /// The guest asks.
    pub(crate) fn ask(&mut self, asker: Asker, message: &[u8], egress: &Egress) -> Reply {
        let question = match message::read(message) {
            Asked::Nothing => return Reply::Nothing,
            Asked::Unanswerable(answer) => return Reply::Answer(answer),
            Asked::For(question) => question,
        };
        let name = question.name.clone();
        match egress.naming(&name) {
            Naming::Nobody => Reply::NotAllowed { answer: question.answer(Outcome::Nobody), name },
            Naming::Known(addresses) => {
                self.remember(&question, addresses);
                Reply::Answer(question.answer(Outcome::Addresses(addresses)))
            }
            // Only addresses are passed on; for other types the answer is empty.
            Naming::AskHost if !question.is_for_addresses() => {
                Reply::Answer(question.answer(Outcome::Addresses(&[])))
            }
            Naming::AskHost => {
                let is_asked_for = self.waiting.contains_key(&name);
                let has_room = self.waiting() < MOST_WAITING;
                if !has_room || !is_asked_for && !self.lookups.ask(name.clone()) {
                    return Reply::TooMany { answer: question.answer(Outcome::Later), name };
                }
                self.waiting.entry(name).or_default().push((asker, question));
                Reply::Later
            }
        }
    }

    /// The answers that the host's resolver has given since the last call.
    pub(crate) fn late(&mut self) -> Vec<Late> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut late = Vec::new();
        for (name, addresses) in self.lookups.take() {
            for (asker, question) in self.waiting.remove(&name).unwrap_or_default() {
                let is_of_nobody = addresses.is_empty();
                self.remember(&question, &addresses);
                let outcome =
                    if is_of_nobody { Outcome::Nobody } else { Outcome::Addresses(&addresses) };
                let answer = question.answer(outcome);
                late.push(Late { asker, name: name.clone(), answer, is_of_nobody });
            }
        }
        late
    }

    /// Remembers the addresses in an answer, and no others.
    fn remember(&mut self, question: &Question, addresses: &[IpAddr]) {
        for address in question.answered_of(addresses) {
            self.answered.insert(address, &question.name);
        }
    }
}
