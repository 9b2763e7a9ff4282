use super::*;
use proptest::prelude::*;

const HERE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const THERE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// A packet with extension headers, each with its number, before what is carried.
fn packet(headers: &[(u8, Vec<u8>)], protocol: u8, payload: &[u8], to: Ipv6Addr) -> Vec<u8> {
    let next = |at: usize| headers.get(at).map_or(protocol, |(number, _)| *number);
    let mut rest = Vec::new();
    for (at, (_, header)) in headers.iter().enumerate() {
        rest.push(next(at + 1));
        rest.extend(header);
    }
    rest.extend(payload);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((rest.len() as u16).to_be_bytes());
    packet.extend([next(0), 64]);
    packet.extend(HERE.octets());
    packet.extend(to.octets());
    packet.extend(rest);
    packet
}

/// A header of options that are padded to whole words.
fn options(bytes: &[u8]) -> Vec<u8> {
    let count = (2 + bytes.len()).div_ceil(8) * 8;
    let mut header = vec![(count / 8 - 1) as u8];
    header.extend(bytes);
    header.resize(count - 1, OPTION_PAD_1);
    header
}

fn problem(headers: &[(u8, Vec<u8>)]) -> Option<(u8, u32)> {
    match Headers::read(&packet(headers, 17, b"hello", THERE)) {
        Some(Headers::Problem { code, at, .. }) => Some((code, at)),
        Some(other) => panic!("{other:?}"),
        None => None,
    }
}

#[test]
fn what_says_itself_that_it_may_be_passed_over_is_and_anything_else_is_told() {
    let routing = |left: u8| vec![0, 0, left, 0, 0, 0, 0];
    for headers in [
        vec![],
        vec![(HOP_BY_HOP, options(&[5, 2, 0, 0]))],
        vec![(HOP_BY_HOP, options(&[0x3e, 1, 7])), (DESTINATION, options(&[1, 3, 0, 0, 0]))],
        vec![(DESTINATION, options(&[])), (ROUTING, routing(0)), (DESTINATION, options(&[]))],
        // One that is all there is of it.
        vec![(FRAGMENT, vec![0, 0, 0, 1, 2, 3, 4])],
    ] {
        let count = headers.len();
        let packet = packet(&headers, 17, b"hello", THERE);
        let Some(Headers::Whole { protocol, is_extended, payload, hop_limit, .. }) =
            Headers::read(&packet)
        else {
            panic!("{headers:?}");
        };
        assert_eq!((protocol, payload, hop_limit), (17, &b"hello"[..], 64));
        assert_eq!(is_extended, count > 0);
    }
    let found = [
        problem(&[(DESTINATION, options(&[])), (HOP_BY_HOP, options(&[]))]),
        problem(&[(ROUTING, routing(1))]),
        problem(&[(DESTINATION, options(&[0x80, 0]))]),
        problem(&[(DESTINATION, options(&[0xc2, 4, 0, 1, 0, 0]))]),
        problem(&[(DESTINATION, options(&[1, 9, 0, 0, 0]))]),
        problem(&vec![(DESTINATION, options(&[])); MOST_HEADERS + 1]),
        problem(&[(DESTINATION, options(&[0x40, 0]))]),
        problem(&[(NOTHING, vec![])]),
    ];
    let last = 40 + 8 * (MOST_HEADERS as u32 - 1);
    assert_eq!(
        found,
        [
            Some((UNKNOWN_HEADER, 40)),
            Some((ERRONEOUS, 42)),
            Some((UNKNOWN_OPTION, 42)),
            Some((UNKNOWN_OPTION, 42)),
            Some((ERRONEOUS, 42)),
            Some((ERRONEOUS, last)),
            None,
            None,
        ]
    );
    // Who says something to many is not told by all of them, if it asks not to be.
    let many = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to_many = packet(&[(DESTINATION, options(&[0xc2, 0]))], 17, b"", many);
    assert_eq!(Headers::read(&to_many), None);
}

#[test]
fn a_part_is_told_with_where_it_begins() {
    let packet = packet(&[(FRAGMENT, vec![0, 0, 17, 1, 2, 3, 4])], 17, b"hello", THERE);
    let part = Headers::Part {
        source: HERE,
        destination: THERE,
        protocol: 17,
        identity: 0x0102_0304,
        begin: 16,
        is_last: false,
        payload: b"hello",
    };
    assert_eq!(Headers::read(&packet), Some(part));
}

proptest! {
    /// Whatever follows the first header: no panic, and nothing is read that is not there.
    #[test]
    fn any_headers_are_read(
        mut bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..3u8, Just(43), Just(44), Just(60)], 0..200),
        next in prop_oneof![any::<u8>(), Just(0), Just(43), Just(44), Just(60)],
        length in 0..220u16,
        cut in 0..200usize,
    ) {
        if bytes.len() >= 8 {
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            bytes[6] = next;
        }
        bytes.truncate(cut);
        match Headers::read(&bytes) {
            Some(Headers::Whole { payload, .. } | Headers::Part { payload, .. }) => {
                prop_assert!(payload.len() + IPV6_HEADER_BYTES <= bytes.len());
                prop_assert!(payload.len() <= usize::from(length));
            }
            Some(Headers::Problem { at, .. }) => prop_assert!((at as usize) < bytes.len()),
            None => {}
        }
    }

    /// A chain of headers that may be passed over is, however long it may be, and cut anywhere it is
    /// nothing.
    #[test]
    fn a_chain_is_followed_to_its_end_or_not_at_all(
        chain in proptest::collection::vec((0..3usize, 0..20usize), 0..MOST_HEADERS - 1),
        cut in any::<prop::sample::Index>(),
    ) {
        let headers: Vec<_> = chain.iter().map(|(kind, count)| match kind {
            0 => (DESTINATION, options(&vec![OPTION_PAD_1; *count])),
            1 => (ROUTING, vec![0, 0, 0, 0, 0, 0, 0]),
            _ => (FRAGMENT, vec![0, 0, 0, 0, 0, 0, *count as u8]),
        }).collect();
        let packet = packet(&headers, 6, b"hello", THERE);
        let is_read = matches!(Headers::read(&packet), Some(Headers::Whole { payload: b"hello", .. }));
        prop_assert!(is_read);
        let cut = cut.index(packet.len());
        prop_assert_eq!(Headers::read(&packet[..cut]), None);
        // Cut with a length that says so, it is read up to there, and not behind.
        if cut >= IPV6_HEADER_BYTES {
            let mut short = packet[..cut].to_vec();
            short[4..6].copy_from_slice(&((cut - IPV6_HEADER_BYTES) as u16).to_be_bytes());
            if let Some(Headers::Whole { payload, .. }) = Headers::read(&short) {
                prop_assert!(payload.len() <= 5 && b"hello".starts_with(payload));
            }
        }
    }
}
