//! Messages of the domain name system (RFC 1035, 4): one question of the guest's, and its answer.
//!
//! ```text
//! u16 identity │ u16 flags │ u16 questions │ u16 answers │ u16 authorities │ u16 others
//! question      labels, each u8 length and bytes, 0 at the end │ u16 type │ u16 class
//! answer        u16 place of the name │ type │ class │ u32 seconds │ u16 length │ address
//! ```

use std::net::IpAddr;

use crate::host_name::plain_name;

const HEADER_BYTES: usize = 12;
const FLAG_ANSWER: u16 = 1 << 15;
const OPERATION: u16 = 0xf << 11;
const FLAG_RECURSION_WANTED: u16 = 1 << 8;
const FLAG_RECURSION_THERE: u16 = 1 << 7;
const FORMAT_ERROR: u16 = 1;
const SERVER_FAILURE: u16 = 2;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
const TYPE_ADDRESS: u16 = 1;
/// An address of version 6 (RFC 3596).
const TYPE_ADDRESS_6: u16 = 28;
const TYPE_ANY: u16 = 255;
const CLASS_INTERNET: u16 = 1;
/// Bytes of a message that everybody takes.
const MOST_BYTES: usize = 512;
/// Bytes of an answer before its address.
const ANSWER_BYTES: usize = 12;
/// The name of an answer is a pointer to the question's, behind the header.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, HEADER_BYTES as u8];

/// A question for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name, plain.
    pub(crate) name: String,
    identity: u16,
    flags: u16,
    kind: u16,
    /// The raw question, which the answer repeats.
    raw: Vec<u8>,
}

/// The kind of a message from the guest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Not a query: it gets no answer.
    Nothing,
    /// An invalid query: the answer says so.
    Unanswerable(Vec<u8>),
    /// A question for a name.
    For(Question),
}

/// The answer to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    /// The name's addresses.
    Addresses(&'a [IpAddr]),
    /// No host is called so.
    Nobody,
    /// It may be asked again.
    Later,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

/// Reads a message of the guest's.
pub(crate) fn read(message: &[u8]) -> Asked {
    let (Some(identity), Some(flags), Some(counts)) =
        (word(message, 0), word(message, 2), message.get(4..HEADER_BYTES))
    else {
        return Asked::Nothing;
    };
    if flags & FLAG_ANSWER != 0 {
        return Asked::Nothing;
    }
    let refused = |code| Asked::Unanswerable(header(identity, flags, code, 0, 0));
    if flags & OPERATION != 0 {
        return refused(NOT_IMPLEMENTED);
    }
    // Other records are extensions, which need no answer.
    if counts[..6] != [0, 1, 0, 0, 0, 0] {
        return refused(FORMAT_ERROR);
    }
    let Some((labels, raw)) = read_question(&message[HEADER_BYTES..]) else {
        return refused(FORMAT_ERROR);
    };
    let kind = word(raw, raw.len() - 4).unwrap_or(0);
    let class = word(raw, raw.len() - 2).unwrap_or(0);
    let raw = raw.to_vec();
    let question = |name| Question { name, identity, flags, kind, raw };
    match plain_name(&labels) {
        Some(name) if class == CLASS_INTERNET => Asked::For(question(name)),
        // Names that are not hosts: the root, services, other classes.
        _ => Asked::Unanswerable(question(String::new()).answer(Outcome::Nobody)),
    }
}

/// The name of a question, and the bytes of the question.
fn read_question(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = String::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // A place of another name would be one above 63: a question has none to point at.
        let label = bytes.get(at..at + length).filter(|_| length < 64)?;
        if at + length > 254 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        // A label with non-ASCII bytes or a dot is not a host's, and must not become one's.
        name.extend(label.iter().map(|byte| match byte {
            b'.' => '\0',
            byte => char::from(*byte),
        }));
        at += length;
    }
    Some((name, bytes.get(..at + 4)?))
}

fn header(identity: u16, flags: u16, code: u16, questions: u16, answers: u16) -> Vec<u8> {
    let kept = flags & (OPERATION | FLAG_RECURSION_WANTED);
    let flags = FLAG_ANSWER | kept | FLAG_RECURSION_THERE | code;
    [identity, flags, questions, answers, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect()
}

impl Question {
    /// The message that answers it. Queries for types other than addresses get an empty answer.
    /// Answers have a time to live of 0, so every client asks before it connects, also in a clone of
    /// this guest.
    pub(crate) fn answer(&self, outcome: Outcome<'_>) -> Vec<u8> {
        let (code, addresses) = match outcome {
            Outcome::Addresses(addresses) => (0, self.answered_of(addresses)),
            Outcome::Nobody => (NO_SUCH_NAME, Vec::new()),
            Outcome::Later => (SERVER_FAILURE, Vec::new()),
        };
        let mut message = header(self.identity, self.flags, code, 1, addresses.len() as u16);
        message.extend(&self.raw);
        for address in addresses {
            let (kind, bytes) = match address {
                IpAddr::V4(address) => (TYPE_ADDRESS, address.octets().to_vec()),
                IpAddr::V6(address) => (TYPE_ADDRESS_6, address.octets().to_vec()),
            };
            message.extend(NAME_OF_QUESTION);
            message.extend([0, kind as u8, 0, CLASS_INTERNET as u8, 0, 0, 0, 0, 0]);
            message.push(bytes.len() as u8);
            message.extend(bytes);
        }
        message
    }

    /// The addresses of a name for its answer: those of the requested version, as many as every client
    /// accepts.
    pub(crate) fn answered_of(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut bytes = HEADER_BYTES + self.raw.len();
        let asked = addresses.iter().filter(|address| self.asks_for(address));
        let fitting = asked.take_while(|address| {
            bytes += ANSWER_BYTES + if address.is_ipv4() { 4 } else { 16 };
            bytes <= MOST_BYTES
        });
        fitting.copied().collect()
    }

    fn asks_for(&self, address: &IpAddr) -> bool {
        match self.kind {
            TYPE_ADDRESS => address.is_ipv4(),
            TYPE_ADDRESS_6 => address.is_ipv6(),
            kind => kind == TYPE_ANY,
        }
    }

    /// Whether it asks for addresses.
    pub(crate) fn is_for_addresses(&self) -> bool {
        matches!(self.kind, TYPE_ADDRESS | TYPE_ADDRESS_6 | TYPE_ANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answered::MOST_ADDRESSES;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn asked(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(CLASS_INTERNET.to_be_bytes());
        message
    }

    fn question(message: &[u8]) -> Question {
        match read(message) {
            Asked::For(question) => question,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_question_is_answered_with_its_own_words_and_the_addresses() {
        let message = asked("Www.Example.com", 1);
        let question = question(&message);
        assert_eq!(question.name, "www.example.com");
        let answer = question.answer(Outcome::Addresses(&[Ipv4Addr::new(192, 0, 2, 7).into()]));
        assert_eq!(answer[..12], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[12..message.len()], message[12..]);
        assert_eq!(answer[message.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 7]);
        assert_eq!(question.answer(Outcome::Nobody)[3], 0x83);
        assert_eq!(question.answer(Outcome::Later)[3], 0x82);
    }

    #[test]
    fn each_version_is_answered_to_who_asks_for_it() {
        let known: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let answered = |kind: u16| {
            let question = question(&asked("a.b", kind));
            let answer = question.answer(Outcome::Addresses(&known));
            assert_eq!(answer[3], 0x80, "there is such a name");
            (answer[7], question.answered_of(&known), answer)
        };
        assert_eq!(answered(1).1, known[..1]);
        assert_eq!(answered(TYPE_ANY).1, known);
        assert_eq!((answered(15).0, answered(15).1), (0, vec![]), "where its mail goes");
        let (count, addresses, answer) = answered(TYPE_ADDRESS_6);
        assert_eq!((count, &addresses[..]), (1, &known[1..]));
        let last = &answer[answer.len() - 28..];
        assert_eq!(last[..12], [0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 0, 0, 16]);
        assert_eq!(last[12..], Ipv6Addr::LOCALHOST.octets());
    }

    #[test]
    fn the_longest_answer_fits_where_everybody_takes_it() {
        let label = "a".repeat(61);
        let name = [label.as_str(); 4].join(".");
        let addresses = |address: IpAddr| [address; MOST_ADDRESSES + 3];
        for (kind, address, most) in
            [(1, Ipv4Addr::LOCALHOST.into(), 15), (28, Ipv6Addr::LOCALHOST.into(), 8)]
        {
            let question = question(&asked(&name, kind));
            let answer = question.answer(Outcome::Addresses(&addresses(address)));
            assert!(answer[7] <= most && answer.len() <= 512, "{}: {}", answer[7], answer.len());
            assert!(answer.len() + 28 > 512, "as many as fit");
        }
    }

    #[test]
    fn what_is_no_question_is_not_answered_and_what_is_none_of_ours_is_refused() {
        let good = asked("a.b", 1);
        assert_eq!(read(&good[..11]), Asked::Nothing);
        let code = |message: &[u8]| match read(message) {
            Asked::Unanswerable(answer) => Some(answer[3] & 0xf),
            _ => None,
        };
        let with = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        assert_eq!(read(&with(2, 0x80)), Asked::Nothing, "an answer");
        assert_eq!(code(&with(2, 0x28)), Some(4), "an update");
        assert_eq!(code(&with(5, 2)), Some(1), "two questions");
        assert_eq!(code(&with(7, 1)), Some(1), "an answer in a question");
        assert_eq!(code(&with(12, 0xc0)), Some(1), "a name that points elsewhere");
        assert_eq!(code(&with(13, b'.')), Some(3), "a dot in a label");
        assert_eq!(code(&with(13, 0xc3)), Some(3), "a byte that no host has");
        assert_eq!(code(&with(good.len() - 1, 3)), Some(3), "another network");
        for length in 12..good.len() {
            assert_eq!(code(&good[..length]), Some(1), "cut at {length}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read(
            mut bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..4u8, Just(0xc0)], 0..600),
            is_question in any::<bool>(),
        ) {
            if is_question && bytes.len() > 12 {
                bytes[..12].copy_from_slice(&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
            }
            let answer = match read(&bytes) {
                Asked::Nothing => return Ok(()),
                Asked::Unanswerable(answer) => answer,
                Asked::For(question) => {
                    prop_assert_eq!(plain_name(&question.name), Some(question.name.clone()));
                    question.answer(Outcome::Addresses(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].repeat(10)))
                }
            };
            prop_assert!(answer.len() <= 512);
            prop_assert_eq!(&answer[..2], &bytes[..2]);
            prop_assert!(answer[2] & 0x80 != 0, "nobody answers an answer");
        }
    }
}
