//! A machine with a network: what a link gives it is recorded, and a recording is the run again.

use super::*;
use crate::conformance::fake::BASE;
use crate::network::{Expecting, GuestPort, Link};
use proptest::prelude::*;

const DEVICE: u32 = 0x6000;
/// From the beginning of memory: rings of the queue that receives, of the one that sends, buffers.
const RECEIVE: u64 = 0x1_0000;
const SEND: u64 = 0x1_4000;
const BUFFERS: u64 = 0x2_0000;
const FRAME: u64 = 0x3_0000;
const SIZE: u64 = 128;
const ROUNDS: u64 = 60;

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A frame of 40 bytes of headers behind an Ethernet's, with `data` bytes, between the guest and one
/// peer.
fn segment(by_guest: bool, flags: u8, data: u8) -> Vec<u8> {
    let mut frame = vec![0; 12];
    let (guest, peer) = ([10, 0, 2, 15], [10, 0, 2, 2]);
    let (source, destination) = if by_guest { (guest, peer) } else { (peer, guest) };
    let (from, to) = if by_guest { (80, 90) } else { (90, 80) };
    frame.extend([8, 0, 0x45, 0, 0, 40 + data, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend([source, destination].concat());
    frame.extend([0, from, 0, to, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    frame.resize(frame.len() + usize::from(data), 1);
    frame
}

/// The same segment over version 6.
fn segment_6(by_guest: bool, flags: u8, data: u8) -> Vec<u8> {
    let address = |host: u8| [&[0xfd, 0x53, 0x54, 0x49, 0x4c, 0x4c][..], &[0; 9], &[host]].concat();
    let (guest, peer) = (address(15), address(2));
    let places = if by_guest { [guest, peer] } else { [peer, guest] };
    let mut frame = vec![0; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20 + data, 6, 64]);
    frame.extend(places.concat());
    frame.extend(&segment(by_guest, flags, data)[34..]);
    frame
}

/// A datagram of `bytes` in its frame, between the guest and the host, or who answers for names.
fn datagram(by_guest: bool, is_of_names: bool, bytes: &[u8]) -> Vec<u8> {
    let (guest, host) = ([10, 0, 2, 15], [10, 0, 2, 2 + u8::from(is_of_names)]);
    let (source, destination) = if by_guest { (guest, host) } else { (host, guest) };
    let places = if is_of_names { [6000u16, 53] } else { [5353, 90] };
    let (from, to) = if by_guest { (places[0], places[1]) } else { (places[1], places[0]) };
    let length = 8 + bytes.len() as u16;
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((20 + length).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([source, destination].concat());
    frame.extend([from, to, length, 0].iter().flat_map(|word| word.to_be_bytes()));
    frame.extend(bytes);
    frame
}

/// A question for the addresses of `a.test`, and an answer to it with one.
const QUESTION: &[u8] = b"\x07\x09\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";

fn answer(address: [u8; 4]) -> Vec<u8> {
    let mut message = QUESTION.to_vec();
    (message[2], message[3], message[7]) = (0x81, 0x80, 1);
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
    message.extend(address);
    message
}

/// A guest that offers buffers, sends a frame in each of its rounds (it asks for a connection, sends a
/// datagram, or asks for a name), and waits for an interrupt or a timer in between.
fn program() -> Vec<Vec<u8>> {
    let mut program = vec![op(Op::Set, 0, 0, 0)];
    let mut store = |at: u64, value: u64| {
        program.push(op(Op::Set, 1, 0, value));
        program.push(op(Op::Store, 0, 1, at));
    };
    for buffer in 0..100 {
        store(RECEIVE + buffer * 16, BASE + BUFFERS + buffer * 0x100);
        store(RECEIVE + buffer * 16 + 8, 0x100 | 2 << 32);
    }
    for four in 0..25 {
        // The available ring begins behind two words of 16 bits.
        let entries = (0..4).fold(0, |word, entry| {
            let index = (four * 4 + entry) as u64;
            word | index.saturating_sub(2) << (entry * 16)
        });
        store(RECEIVE + 0x1000 + four as u64 * 8, entries);
    }
    store(RECEIVE + 0x1000, 98 << 16 | 1 << 48);
    let frames = [
        segment(true, SYN, 20),
        datagram(true, false, b"hello"),
        datagram(true, true, QUESTION),
        segment_6(true, SYN, 20),
    ];
    for (number, frame) in (0..).zip(frames) {
        // Behind the header of the device's.
        let frame = [[0; 12].to_vec(), frame].concat();
        for (word, bytes) in (0..).zip(frame.chunks(8)) {
            let bytes = std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default());
            store(FRAME + number * 0x100 + word * 8, u64::from_le_bytes(bytes));
        }
        store(SEND + number * 16, BASE + FRAME + number * 0x100);
        store(SEND + number * 16 + 8, frame.len() as u64);
    }
    // Each in turn, but for the first rounds, whose entries share a word with the ring's index.
    for four in 0..SIZE / 4 {
        let entries =
            (0..4).fold(0, |word, entry| word | (((four * 4 + entry) % 4) << (entry * 16)));
        store(SEND + 0x1008 + four * 8, entries);
    }
    let write = |offset: u32, value: u64| op(Op::DeviceWrite, 0, DEVICE + offset, value);
    program.extend([write(0x070, 3), write(0x024, 1), write(0x020, 1), write(0x070, 11)]);
    for (queue, ring) in [(0, RECEIVE), (1, SEND)] {
        let at = BASE + ring;
        program.extend([write(0x030, queue), write(0x038, SIZE), write(0x080, at)]);
        program.extend([write(0x090, at + 0x1000), write(0x0a0, at + 0x2000), write(0x044, 1)]);
    }
    program.extend([write(0x070, 15), write(0x050, 0), op(Op::Set, 2, 0, 0)]);
    program.push(op(Op::Set, 3, 0, ROUNDS));
    let again = program.len() as u64;
    program.extend([
        op(Op::Add, 2, 0, 1 << 16),
        op(Op::Store, 0, 2, SEND + 0x1000),
        write(0x050, 1),
        op(Op::Timer, 0, 0, 2_000),
        op(Op::Wait, 0, 0, 0),
        op(Op::Timer, 0, 0, 0),
        op(Op::DeviceRead, 1, DEVICE + 0x060, 0),
        write(0x064, 3),
        op(Op::Load, 0, 1, RECEIVE + 0x2000),
        op(Op::Emit, 1, 0, 0),
        // Work of the guest's, so that samples are due in the middle of traffic, whatever chance gives.
        op(Op::Set, 1, 0, 1000),
    ]);
    let working = program.len() as u64;
    program.extend([
        op(Op::Decrement, 1, 0, 0),
        op(Op::JumpIfNot, 1, 0, working),
        op(Op::Decrement, 3, 0, 0),
        op(Op::JumpIfNot, 3, 0, again),
        op(Op::Halt, 0, 0, 0),
    ]);
    program
}

fn networked(sample_step_nanos: Nanos) -> Machine {
    let config = MachineConfig {
        network: Some(NetworkConfig { mtu: 1500, ..NetworkConfig::default() }),
        sample_step_nanos,
        ..config(&program())
    };
    Machine::new(&config, Fake::boxed()).expect("good")
}

/// The frames that a guest has sent.
type Sent = std::sync::Arc<std::sync::Mutex<Vec<Vec<u8>>>>;

/// Whether a frame is of a connection, a datagram, of names, or of a connection over version 6.
fn kind_of(frame: &[u8]) -> Option<usize> {
    let is_of_names = [34, 36].iter().any(|at| frame.get(*at..at + 2) == Some(&[0, 53]));
    match frame.get(12..24)? {
        [8, 0, .., 6] => Some(0),
        [8, 0, .., 17] => Some(1 + usize::from(is_of_names)),
        [0x86, 0xdd, ..] => Some(3),
        _ => None,
    }
}

/// Gives a frame whenever chance has it, as a host's sockets do.
struct Chance {
    state: u64,
    sent: Sent,
    answers: u8,
}

impl Chance {
    fn next(&self) -> u64 {
        self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
    }
}

impl Link for Chance {
    fn exchange(&mut self, now: Nanos, sent: Vec<Vec<u8>>, guest: &mut dyn GuestPort) {
        self.sent.lock().expect("nobody panicked").extend(sent);
        self.state = self.next() ^ now;
        for frame in 0..self.state >> 62 {
            let length = 14 + (self.state >> 40) as usize % 400;
            let segment = if self.state >> 53 & 1 == 0 { segment } else { segment_6 };
            let given = match (self.state >> 50) % 8 {
                0 => segment(false, SYN | ACK, 0),
                1 => segment(false, RST, 0),
                2 | 3 => segment(false, ACK, (self.state >> 40) as u8 % 200),
                4 | 5 => datagram(false, false, &vec![frame as u8; length - 14]),
                6 => datagram(false, true, &answer((self.state as u32).to_be_bytes())),
                _ => vec![frame as u8; length],
            };
            let fits = guest.fits(given.len());
            assert_eq!(guest.give(&given), fits);
            self.state = self.next();
            self.answers = self.answers.wrapping_add(1);
        }
        if self.state.is_multiple_of(5) {
            guest.tell(EventBody::NetworkRefused {
                protocol: crate::event::NetworkProtocol::Tcp,
                address: "1.1.1.1".to_owned(),
                port: 80,
                reason: crate::event::NetworkRefusal::NotAllowed,
                count: 1,
            });
        }
    }

    fn is_ready(&self) -> bool {
        self.next() >> 63 == 1
    }

    fn deadline(&self) -> Option<Nanos> {
        None
    }

    fn expecting(&self) -> Expecting {
        Expecting::Nothing
    }
}

/// A run with traffic, and what was recorded of it.
fn run_with_traffic(seed: u64, cuts: &[u64], step: Nanos) -> (Machine, Vec<Event>) {
    let mut machine = networked(step);
    let sent = Sent::default();
    let link = Chance { state: seed, sent: std::sync::Arc::clone(&sent), answers: 0 };
    machine.set_link(Some(Box::new(link)));
    for budget in cuts {
        machine.run(&RunUntil { budget_nanos: Some(*budget), ..RunUntil::default() });
    }
    assert_eq!(machine.run(&RunUntil::default()), Stop::Halted { reason: 0 });
    let sent = std::mem::take(&mut *sent.lock().expect("nobody panicked"));
    assert_eq!(sent.len(), ROUNDS as usize);
    assert!((0..4).all(|kind| sent.iter().filter(|it| kind_of(it) == Some(kind)).count() > 10));
    let recorded = machine.events(0, usize::MAX).expect("kept");
    (machine, recorded)
}

proptest! {
    /// However the host's sockets and its scheduler behave: the recording is the run again, to the
    /// last byte of the machine.
    #[test]
    fn a_run_with_connections_datagrams_and_names_is_repeated_from_its_recording(
        seed in any::<u64>(),
        cuts in proptest::collection::vec(1..9_000u64, 0..12),
        is_sampled in any::<bool>(),
    ) {
        let step = if is_sampled { 10_000 } else { 0 };
        let (mut machine, recorded) = run_with_traffic(seed, &cuts, step);
        let given = recorded.iter().filter(|event| event.body.kind() == EventKind::HostInput);
        prop_assert!(given.count() > 5, "the link gave something");
        let samples = recorded.iter().filter(|event| event.body.kind() == EventKind::PagesDirtied);
        prop_assert!(!is_sampled || samples.count() > 2, "samples lie in between");
        let mut again = networked(step);
        prop_assert_eq!(again.replay(&recorded), Ok(()));
        again.run(&RunUntil { at_nanos: Some(machine.now()), ..RunUntil::default() });
        prop_assert_eq!(again.events(0, usize::MAX).expect("kept"), recorded);
        prop_assert_eq!(again.digest(), machine.digest());
    }
}

#[test]
fn the_runs_that_are_repeated_have_connections_datagrams_and_names_in_both_directions() {
    let recorded: Vec<_> = (1..4).flat_map(|seed| run_with_traffic(seed, &[], 10_000).1).collect();
    for kind in [EventKind::ConnectionOpened, EventKind::ConnectionClosed, EventKind::TrafficPassed]
    {
        let count = recorded.iter().filter(|event| event.body.kind() == kind).count();
        assert!(count > 1, "{count} of {kind:?}");
    }
    let given: Vec<_> = recorded
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::HostInput { data, .. } => {
                Some(crate::network::frames_of(data).expect("frames"))
            }
            _ => None,
        })
        .flatten()
        .collect();
    for kind in 0..4 {
        let count = given.iter().filter(|frame| kind_of(frame) == Some(kind)).count();
        assert!(count > 5, "{count} of kind {kind}");
    }
}

#[test]
fn a_recording_in_which_one_byte_of_a_datagram_is_another_is_another_run() {
    let (mut machine, recorded) = run_with_traffic(2, &[], 0);
    let (end, digest) = (machine.now(), machine.digest());
    let rerun = |recorded: &[Event]| {
        let mut again = networked(0);
        assert_eq!(again.replay(recorded), Ok(()));
        again.run(&RunUntil { at_nanos: Some(end), ..RunUntil::default() });
        again.digest()
    };
    assert_eq!(rerun(&recorded), digest);
    let mut other = recorded;
    let data = other.iter_mut().find_map(|event| match &mut event.body {
        EventBody::HostInput { data, .. } => {
            let frames = crate::network::frames_of(data).expect("frames");
            // One that fits into a buffer of the guest's: a longer one is lost, whatever it says.
            let is_taken = |frame: &&[u8]| kind_of(frame) == Some(1) && frame.len() < 0xf0;
            frames.last().is_some_and(is_taken).then_some(data)
        }
        _ => None,
    });
    *data.and_then(|data| data.last_mut()).expect("a datagram") ^= 1;
    assert_ne!(rerun(&other), digest);
}

#[test]
fn a_machine_without_a_network_takes_no_frames() {
    let mut machine = machine(&endless());
    let mut frames = Vec::new();
    assert!(crate::network::append_frame(&mut frames, &[0; 60]));
    assert_eq!(machine.send_frames(&frames), Err(InputError::InterfaceMissing));
    assert_eq!(machine.send_frames(&frames[..9]).map_err(|it| it.name()), Err("FramesInvalid"));
    assert_eq!(machine.network_interface(), None);
}

#[test]
fn a_fork_has_no_link_and_no_frames_are_given_before_the_driver_is_there() {
    let mut machine = networked(0);
    let mut frames = Vec::new();
    assert!(crate::network::append_frame(&mut frames, &[0; 60]));
    let refused = machine.send_frames(&frames).map_err(|error| error.name());
    assert_eq!(refused, Err("InputFull"));
    let link = Chance { state: 1, sent: std::sync::Arc::default(), answers: 0 };
    machine.set_link(Some(Box::new(link)));
    let mut fork = machine.fork().expect("good");
    assert_eq!(fork.run(&RunUntil::default()), Stop::Halted { reason: 0 });
    let events = fork.events(0, usize::MAX).expect("kept");
    assert!(events.iter().all(|event| event.body.kind() != EventKind::HostInput));
}
