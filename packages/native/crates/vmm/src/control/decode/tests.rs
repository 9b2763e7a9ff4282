mod arbitrary;

use super::super::wire::FrameWriter;
use super::*;
use crate::event::ExitStatus;
use crate::event::limits;
use arbitrary::{encode, events};
use proptest::prelude::*;

fn statuses() -> impl Strategy<Value = ExitStatus> {
    prop_oneof![any::<i32>().prop_map(ExitStatus::Code), any::<i32>().prop_map(ExitStatus::Signal)]
}

/// JSON as an agent passes it on.
fn payloads() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        (-9_007_199_254_740_991..=9_007_199_254_740_991i64).prop_map(|number| number.to_string()),
        (-1e300..1e300f64).prop_map(|number| format!("{number:e}")),
        "[a-z ]{0,9}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                let entries: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(key, item)| format!("\"{key}\":{item}"))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(crate::generated::cases(64))]

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

    /// Bytes that come together are taken as if they came one by one: frames, what is none, and
    /// silences.
    #[test]
    fn bytes_together_are_bytes_one_by_one(
        parts in proptest::collection::vec(
            prop_oneof![
                events().prop_map(|event| encode(&event)),
                proptest::collection::vec(any::<u8>(), 0..20),
                proptest::collection::vec(0..3u8, 0..20),
            ],
            0..8,
        ),
        cuts in proptest::collection::vec((0..200usize, 0..2 * SILENCE_NANOS), 0..8),
    ) {
        let bytes = parts.concat();
        let (mut together, mut single) = (Decoder::default(), Decoder::default());
        let (mut rest, mut now) = (&bytes[..], 1);
        for (count, pause) in cuts.into_iter().chain([(usize::MAX, 1)]) {
            let (piece, later) = rest.split_at(count.min(rest.len()));
            (rest, now) = (later, now + pause);
            let mut told = Vec::new();
            together.extend(piece, now, &mut told);
            let expected: Vec<_> = piece.iter().filter_map(|byte| single.push(*byte, now)).collect();
            prop_assert_eq!(told, expected);
            prop_assert_eq!(&together, &single);
        }
    }

    /// Any bytes at all are taken without panic and without holding more than a frame.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut decoder = Decoder::default();
        for byte in &bytes {
            decoder.push(*byte, 0);
            prop_assert!(decoder.held.len() <= FRAME_BYTES + 4);
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
        output_bytes: 256,
        user: "7".into(),
        columns: 80,
        rows: 25,
        ..Exec::default()
    });
    let expected = [
        49, 0, 0, 0, 0x82, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
        0, 0, 7, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'7', 80, 0, 25, 0, 0,
    ];
    let bytes = exec.encode().expect("small");
    assert_eq!(bytes[5..], expected[5..]);
    assert_eq!(bytes.len() - 4, bytes[0] as usize);
    let large = HostFrame::ExecStdin { id: 1, data: vec![0; FRAME_BYTES], close: false };
    assert!(matches!(large.encode(), Err(EncodeError::FrameTooLarge { .. })));
    let poor = HostFrame::ApplyIdentity(Identity::default());
    assert!(matches!(poor.encode(), Err(EncodeError::TooLittleEntropy { .. })));
}

fn decoded(bytes: &[u8]) -> Vec<EventBody> {
    let mut decoder = Decoder::default();
    bytes.iter().filter_map(|byte| decoder.push(*byte, 0)).collect()
}

/// The refused frames, and the reasons.
fn refusals(bytes: &[u8]) -> Vec<(FrameName, RejectReason)> {
    let refusal = |event| match event {
        EventBody::AgentRejected { request, reason, id: None, .. } => (request, reason),
        other => panic!("{other:?}"),
    };
    decoded(bytes).into_iter().map(refusal).collect()
}

#[test]
fn an_agent_of_another_contract_is_named_and_not_listened_to() {
    let hello = |hash: &[u8]| {
        let writer = FrameWriter::new(0x01).u32(1).bytes(b"6.12");
        hash.iter().fold(writer, |writer, byte| writer.u8(*byte)).finish().expect("small")
    };
    let tick = encode(&EventBody::HeartbeatTick { count: 3 });
    for other in [&[][..], &[7; 8], &[7; 9]] {
        let bytes = [hello(other), tick.clone()].concat();
        assert_eq!(
            refusals(&bytes),
            [(FrameName::AgentReady, RejectReason::ContractMismatch)],
            "{other:?}"
        );
    }
    let own = crate::event::HELLO_HASH.to_le_bytes();
    assert_eq!(decoded(&[hello(&own), tick].concat()).len(), 2);
}

#[test]
fn what_is_over_a_limit_is_refused_before_it_is_an_event() {
    let custom = |name: &str, payload: &str| {
        FrameWriter::new(0x0f)
            .bytes(name.as_bytes())
            .bytes(payload.as_bytes())
            .finish()
            .expect("small")
    };
    let over = |bytes: Vec<u8>| refusals(&bytes)[0].1;
    let large = [
        format!("{}{}", "[".repeat(30_000 / 2), "]".repeat(30_000 / 2)),
        format!("\"{}\"", "x".repeat(limits::PAYLOAD_BYTES)),
    ];
    // An interpreter takes minutes for so many bytes one by one.
    for payload in large.iter().filter(|_| !cfg!(miri)) {
        assert_eq!(over(custom("a", payload)), RejectReason::OverLimit, "{:.20}", payload);
    }
    for payload in [
        "1e999".to_owned(),
        "[-1e999]".to_owned(),
        format!("{}1{}", "[".repeat(65), "]".repeat(65)),
        format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65)),
        format!("{}{}", "[".repeat(65), "]".repeat(65)),
        "9007199254740992".to_owned(),
        "[-100000000000000000000]".to_owned(),
        "1.7976931348623158e308".to_owned(),
        format!("0.{}1e{}", "0".repeat(400), 709 + 1),
        "\"\\ud800\"".to_owned(),
        "\"\\ud800\\u0041\"".to_owned(),
        "\"\\udc00\"".to_owned(),
    ] {
        assert_eq!(over(custom("a", &payload)), RejectReason::OverLimit, "{:.20}", payload);
    }
    for payload in [
        "",
        "1 2",
        "[",
        "nul",
        "NaN",
        "Infinity",
        "1e",
        "{a:1}",
        "[1,]",
        "\u{feff}1",
        "01",
        "1.",
        ".5",
        "+1",
    ] {
        assert_eq!(over(custom("a", payload)), RejectReason::FrameMalformed, "{payload}");
    }
    assert_eq!(over(custom(&"n".repeat(65), "1")), RejectReason::OverLimit);
    for name in ["", "-a", "a b", "\u{e9}", "a\0"] {
        assert_eq!(over(custom(name, "1")), RejectReason::FrameMalformed, "{name}");
    }
    let deepest = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    for payload in [
        &deepest,
        "1e308",
        "1.7976931348623157e308",
        "0.00001e313",
        "9007199254740991",
        "9007199254740993.0",
        "0e99999999999999999999",
        "1e-99999999999999999999",
        "\"\\u00e9\\ud83d\\ude00\"",
        " [ -0.0 ] ",
    ] {
        assert_eq!(
            decoded(&custom("a", payload)),
            [EventBody::Custom { name: "a".into(), payload_json: payload.to_owned() }]
        );
    }
    let tick = |count: u64| FrameWriter::new(0x02).u64(count).finish().expect("small");
    for count in [1 << 53, u64::MAX] {
        assert_eq!(over(tick(count)), RejectReason::OverLimit);
    }
    let most = (1 << 53) - 1;
    assert_eq!(decoded(&tick(most)), [EventBody::HeartbeatTick { count: most }]);
}
