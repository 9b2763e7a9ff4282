//! Neighbours that ask, claim and lie.

use super::*;
use crate::addresses::GUEST_6;
use proptest::prelude::*;
use smoltcp::wire::Ipv6Packet;

const OTHER: Ipv6Addr = Ipv6Addr::new(0xfd53, 0x5449, 0x4c4c, 0, 0, 0, 0, 4);

/// A message with a right checksum.
fn sound(places: (Ipv6Addr, Ipv6Addr), kind: u8, rest: &[u8]) -> Vec<u8> {
    let message = [&[kind, 0, 0, 0][..], rest].concat();
    packets::message((places.0.into(), places.1.into()), HOP_LIMIT, message)[40..].to_vec()
}

fn solicitation(places: (Ipv6Addr, Ipv6Addr), target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let rest = [&[0; 4][..], &target.octets(), options].concat();
    sound(places, NEIGHBOUR_SOLICITATION, &rest)
}

/// The answer: where it goes, and the message.
fn answer(heard: Heard) -> (Ipv6Addr, Ipv6Addr, Vec<u8>) {
    let Heard::Question(packet) = heard else { panic!("{heard:?}") };
    let ipv6 = Ipv6Packet::new_checked(&packet[..]).expect("a packet");
    assert_eq!(ipv6.hop_limit(), 255);
    let (from, to) = (ipv6.src_addr(), ipv6.dst_addr());
    let icmp = Icmpv6Packet::new_checked(ipv6.payload()).expect("a message");
    assert!(icmp.verify_checksum(&from, &to));
    (from, to, ipv6.payload().to_vec())
}

const SOURCE_OPTION: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 1];

#[test]
fn those_who_are_there_answer_for_themselves() {
    for target in [GATEWAY_6, NAME_SERVER_6, GATEWAY_LINK] {
        // In general, and one that was there a moment ago.
        for to in [solicited(target), target] {
            let asked = solicitation((GUEST_6, to), target, &SOURCE_OPTION);
            let (from, to, said) = answer(hear(&asked, (GUEST_6, to), 255));
            assert_eq!((from, to), (target, GUEST_6));
            assert_eq!((said[0], said[4]), (NEIGHBOUR_ADVERTISEMENT, 0xe0));
            assert_eq!(said[8..24], target.octets());
            assert_eq!(said[24..], [&[2, 1][..], &GATEWAY_HARDWARE].concat());
        }
        // A host that checks whether an address is free hears that it is taken.
        let places = (Ipv6Addr::UNSPECIFIED, solicited(target));
        let (from, to, said) = answer(hear(&solicitation(places, target, &[]), places, 255));
        assert_eq!((from, to, said[4]), (target, ALL_NODES, 0xa0));
    }
    assert_eq!(solicited(GATEWAY_6).to_string(), "ff02::1:ff00:2");
}

#[test]
fn who_asks_for_a_router_hears_of_it_of_the_prefix_and_of_who_answers_for_names() {
    let link = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    for (source, there, options) in
        [(link, link, &SOURCE_OPTION[..]), (Ipv6Addr::UNSPECIFIED, ALL_NODES, &[])]
    {
        let rest = [&[0; 4][..], options].concat();
        let asked = sound((source, routers), ROUTER_SOLICITATION, &rest);
        let (from, to, said) = answer(hear(&asked, (source, routers), 255));
        assert_eq!((from, to, said[0]), (GATEWAY_LINK, there, ROUTER_ADVERTISEMENT));
        assert_eq!(options_of(&said[16..]), Some(true), "whole options");
        assert_eq!(said[24..28], [3, 4, 64, 0xc0]);
        assert_eq!(said[40..56], [&GUEST_6.octets()[..8], &[0; 8]].concat());
        assert_eq!(said[64..], NAME_SERVER_6.octets());
    }
}

#[test]
fn who_claims_asks_for_another_or_is_not_on_the_link_hears_nothing() {
    let group = solicited(GATEWAY_6);
    let unspecified = Ipv6Addr::UNSPECIFIED;
    let ask = |source, to, options: &[u8]| solicitation((source, to), GATEWAY_6, options);
    let good = ask(GUEST_6, group, &SOURCE_OPTION);
    let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let flipped = |at: usize| {
        let mut message = good.clone();
        message[at] ^= 1;
        message
    };
    let claim = [&[0xe0, 0, 0, 0][..], &GATEWAY_6.octets(), &[2, 1, 2, 9, 9, 9, 9, 9]].concat();
    let moved = [&[0; 4][..], &GATEWAY_6.octets(), &far.octets()].concat();
    let router = [&[64, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0][..], &SOURCE_OPTION].concat();
    for (why, message, places, hops) in [
        ("from afar", good.clone(), (GUEST_6, group), 254),
        ("a wrong checksum", flipped(2), (GUEST_6, group), 255),
        ("a code", flipped(1), (GUEST_6, group), 255),
        ("as the gateway", ask(GATEWAY_6, group, &[]), (GATEWAY_6, group), 255),
        ("as its link", ask(GATEWAY_LINK, group, &[]), (GATEWAY_LINK, group), 255),
        ("of another network", ask(far, group, &[]), (far, group), 255),
        (
            "of nobody, with an address",
            ask(unspecified, group, &SOURCE_OPTION),
            (unspecified, group),
            255,
        ),
        ("of nobody, to one", ask(unspecified, GATEWAY_6, &[]), (unspecified, GATEWAY_6), 255),
        (
            "an option of no length",
            ask(GUEST_6, group, &[1, 0, 0, 0, 0, 0, 0, 0]),
            (GUEST_6, group),
            255,
        ),
        (
            "an option that is not whole",
            ask(GUEST_6, group, &[1, 2, 0, 0, 0, 0, 0, 0]),
            (GUEST_6, group),
            255,
        ),
        ("for nobody here", solicitation((GUEST_6, group), OTHER, &[]), (GUEST_6, group), 255),
        ("for the guest", solicitation((GUEST_6, group), GUEST_6, &[]), (GUEST_6, group), 255),
        (
            "a claim",
            sound((GUEST_6, ALL_NODES), NEIGHBOUR_ADVERTISEMENT, &claim),
            (GUEST_6, ALL_NODES),
            255,
        ),
        ("another way", sound((GUEST_6, GATEWAY_6), REDIRECT, &moved), (GUEST_6, GATEWAY_6), 255),
        (
            "another router",
            sound((GUEST_6, ALL_NODES), ROUTER_ADVERTISEMENT, &router),
            (GUEST_6, ALL_NODES),
            255,
        ),
        ("a group", sound((GUEST_6, ALL_NODES), 143, &[0; 4]), (GUEST_6, ALL_NODES), 1),
        ("nothing", Vec::new(), (GUEST_6, group), 255),
    ] {
        assert_eq!(hear(&message, places, hops), Heard::Talk, "{why}");
    }
    for cut in 0..good.len() {
        assert_eq!(hear(&good[..cut], (GUEST_6, group), 255), Heard::Talk, "cut at {cut}");
    }
    assert_eq!(hear(&[128, 0, 0, 0], (GUEST_6, GATEWAY_6), 64), Heard::Other);
}

proptest! {
    /// To any message, there is at most one answer, and only for the host's end.
    #[test]
    fn any_message_is_heard(
        mut message in proptest::collection::vec(any::<u8>(), 0..80),
        kind in prop_oneof![Just(133u8), Just(135), 128..150u8],
        target in prop_oneof![Just(GATEWAY_6), Just(GUEST_6), any::<Ipv6Addr>()],
        source in prop_oneof![Just(GUEST_6), Just(Ipv6Addr::UNSPECIFIED), any::<Ipv6Addr>()],
        options in prop_oneof![Just(vec![]), Just(SOURCE_OPTION.to_vec()), proptest::collection::vec(0..4u8, 0..24)],
        is_whole in any::<bool>(),
    ) {
        let places = (source, solicited(target));
        if is_whole {
            message = sound(places, kind, &[&[0; 4][..], &target.octets(), &options].concat());
        }
        if let Heard::Question(packet) = hear(&message, places, 255) {
            let heard = answer(Heard::Question(packet));
            prop_assert!([GATEWAY_6, NAME_SERVER_6, GATEWAY_LINK].contains(&heard.0));
            prop_assert!(is_guests(source.into()) || source.is_unspecified());
            prop_assert!(heard.1 == source || heard.1 == ALL_NODES);
        }
    }
}
