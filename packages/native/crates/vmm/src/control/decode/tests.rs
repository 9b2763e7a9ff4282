use super::super::wire::FrameWriter;
use super::*;
use proptest::prelude::*;

/// The frame that an agent sends for an event, if there is one.
fn encode(event: &EventBody) -> Vec<u8> {
    let status = |writer: FrameWriter, status: &ExitStatus| match status {
        ExitStatus::Code(code) => writer.u8(0).i32(*code),
        ExitStatus::Signal(signal) => writer.u8(1).i32(*signal),
    };
    let writer = match event {
        EventBody::AgentReady { protocol_version, kernel_release } => {
            FrameWriter::new(0x01).u32(*protocol_version).bytes(kernel_release.as_bytes())
        }
        EventBody::HeartbeatTick { count } => FrameWriter::new(0x02).u64(*count),
        EventBody::WorkloadPreExec { argv } => FrameWriter::new(0x03).list(argv),
        EventBody::ListenerBound { protocol, address, port } => FrameWriter::new(0x04)
            .u8(if *protocol == Protocol::Tcp { 6 } else { 17 })
            .bytes(address.as_bytes())
            .u8(*port as u8)
            .u8((*port >> 8) as u8),
        EventBody::WorkloadParked => FrameWriter::new(0x05),
        EventBody::WorkloadExited { status: s } => status(FrameWriter::new(0x06), s),
        EventBody::ExecStarted { id, pid } => FrameWriter::new(0x0b).u32(*id).u32(*pid),
        EventBody::ExecOutput { id, stream, data } => FrameWriter::new(0x0c)
            .u32(*id)
            .u8(if *stream == OutputStream::Stdout { 1 } else { 2 })
            .bytes(data),
        EventBody::ExecExited { id, status: s } => status(FrameWriter::new(0x0d).u32(*id), s),
        EventBody::ExecFailed { id, stage, errno, message } => FrameWriter::new(0x0e)
            .u32(*id)
            .bytes(stage.as_bytes())
            .i32(*errno)
            .bytes(message.as_bytes()),
        EventBody::Custom { name, payload_json } => {
            FrameWriter::new(0x0f).bytes(name.as_bytes()).bytes(payload_json.as_bytes())
        }
        other => panic!("no arbitrary gives {other:?}"),
    };
    writer.finish().expect("small")
}

fn statuses() -> impl Strategy<Value = ExitStatus> {
    prop_oneof![any::<i32>().prop_map(ExitStatus::Code), any::<i32>().prop_map(ExitStatus::Signal)]
}

fn events() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        (any::<u32>(), ".*").prop_map(|(protocol_version, kernel_release)| {
            EventBody::AgentReady { protocol_version, kernel_release }
        }),
        any::<u64>().prop_map(|count| EventBody::HeartbeatTick { count }),
        proptest::collection::vec(".*", 0..5).prop_map(|argv| EventBody::WorkloadPreExec { argv }),
        (any::<bool>(), ".*", any::<u16>()).prop_map(|(tcp, address, port)| {
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            EventBody::ListenerBound { protocol, address, port }
        }),
        Just(EventBody::WorkloadParked),
        statuses().prop_map(|status| EventBody::WorkloadExited { status }),
        (any::<u32>(), any::<u32>()).prop_map(|(id, pid)| EventBody::ExecStarted { id, pid }),
        (any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
            |(id, out, data)| {
                let stream = if out { OutputStream::Stdout } else { OutputStream::Stderr };
                EventBody::ExecOutput { id, stream, data }
            }
        ),
        (any::<u32>(), statuses()).prop_map(|(id, status)| EventBody::ExecExited { id, status }),
        (any::<u32>(), ".*", any::<i32>(), ".*").prop_map(|(id, stage, errno, message)| {
            EventBody::ExecFailed { id, stage, errno, message }
        }),
        (".*", any::<i64>()).prop_map(|(name, number)| EventBody::Custom {
            name,
            payload_json: format!("{{\"value\":[{number},null,\"x\"]}}")
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever an agent sends arrives as sent, each event at the last byte of its frame, and a
    /// decoder saved and loaded anywhere in between makes no difference.
    #[test]
    fn frames_arrive_as_sent(sent in proptest::collection::vec(events(), 0..6), cut in any::<u16>()) {
        let mut decoder = Decoder::default();
        let mut arrived = Vec::new();
        let mut position = 0u16;
        for event in &sent {
            let bytes = encode(event);
            for (index, byte) in bytes.iter().enumerate() {
                position += 1;
                if position == cut % 300 {
                    let mut state = StateWriter::new();
                    decoder.save(&mut state);
                    let state = state.finish();
                    decoder = Decoder::load(&mut StateReader::new("decoder", &state)).expect("same");
                }
                let event = decoder.push(*byte, 0);
                prop_assert_eq!(event.is_some(), index + 1 == bytes.len());
                arrived.extend(event);
            }
        }
        prop_assert_eq!(arrived, sent);
    }

    /// Any bytes at all are taken without panic and without holding more than a frame.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut decoder = Decoder::default();
        for byte in &bytes {
            decoder.push(*byte, 0);
            prop_assert!(decoder.held.len() <= MAX_FRAME_BYTES + 4);
        }
    }

    /// A well-framed payload of any type and content gives exactly one event.
    #[test]
    fn framed_garbage_is_one_event(kind in any::<u8>(), payload in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut writer = FrameWriter::new(kind);
        for byte in payload {
            writer = writer.u8(byte);
        }
        let mut decoder = Decoder::default();
        let count = writer.finish().expect("small").iter()
            .filter_map(|byte| decoder.push(*byte, 0)).count();
        prop_assert_eq!(count, 1);
    }
}

#[test]
fn after_an_impossible_length_silence_begins_anew() {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for byte in [0xff; 40] {
        events.extend(decoder.push(byte, 5));
    }
    assert_eq!(events.len(), 1);
    let tick = encode(&EventBody::HeartbeatTick { count: 3 });
    assert!(tick.iter().all(|byte| decoder.push(*byte, 6).is_none()));
    let later = 6 + SILENCE_NANOS;
    let events: Vec<_> = tick.iter().filter_map(|byte| decoder.push(*byte, later)).collect();
    assert_eq!(events, [EventBody::HeartbeatTick { count: 3 }]);
}

#[test]
fn host_frames_have_the_bytes_of_the_protocol() {
    use super::super::{EncodeError, Exec, HostFrame, Identity};
    assert_eq!(HostFrame::Go.encode(), Ok(vec![1, 0, 0, 0, 0x81]));
    let kill = HostFrame::ExecKill { id: 258, signal: 9 }.encode();
    assert_eq!(kill, Ok(vec![9, 0, 0, 0, 0x84, 2, 1, 0, 0, 9, 0, 0, 0]));
    let exec = HostFrame::Exec(Exec {
        id: 1,
        argv: vec!["a".into()],
        stdin: vec![7],
        close_stdin: true,
        ..Exec::default()
    });
    let expected = [
        27, 0, 0, 0, 0x82, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
        0, 0, 7, 1,
    ];
    let bytes = exec.encode().expect("small");
    assert_eq!(bytes[5..], expected[5..]);
    assert_eq!(bytes.len() - 4, bytes[0] as usize);
    let large = HostFrame::ExecStdin { id: 1, data: vec![0; MAX_FRAME_BYTES], close: false };
    assert!(matches!(large.encode(), Err(EncodeError::FrameTooLarge { .. })));
    let poor = HostFrame::ApplyIdentity(Identity::default());
    assert!(matches!(poor.encode(), Err(EncodeError::TooLittleEntropy { .. })));
}
