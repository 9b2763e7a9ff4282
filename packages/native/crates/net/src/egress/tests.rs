//! The addresses that a policy allows.

use super::named_only::NAMED_ONLY;
use super::*;
use crate::addresses::{GATEWAY, GATEWAY_6, NAME_SERVER, NAME_SERVER_6};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn egress(rules: &[(&str, Ports)]) -> Egress {
    let rule = |(addresses, ports): &(&str, Ports)| {
        Rule::tcp(Cidr::parse(addresses).expect("a range"), ports.clone())
    };
    Egress { allow: rules.iter().map(rule).collect(), ..Egress::default() }
}

fn reaches(egress: &Egress, address: &str, port: u16) -> bool {
    let place = (address.parse().expect("an address"), port);
    egress.destination(Transport::Tcp, place, &Answered::default()).is_some()
}

#[test]
fn nothing_is_reached_unless_allowed() {
    let nobody = Egress::default();
    for address in ["1.1.1.1", "10.0.2.2", "127.0.0.1", "169.254.169.254", "2606:4700::1111", "::1"]
    {
        assert!(!reaches(&nobody, address, 80));
    }
}

#[test]
fn a_rule_allows_its_addresses_at_its_ports() {
    let egress = egress(&[("192.0.2.0/24", Ports::These(vec![80..=80, 8000..=8010]))]);
    assert!(reaches(&egress, "192.0.2.0", 80));
    assert!(reaches(&egress, "192.0.2.255", 8010));
    assert!(!reaches(&egress, "192.0.2.255", 8011));
    assert!(!reaches(&egress, "192.0.3.0", 80));
}

#[test]
fn everything_is_not_the_host_its_links_or_its_metadata() {
    let everything = egress(&[("0.0.0.0/0", Ports::Any)]);
    assert!(reaches(&everything, "192.0.2.1", 443));
    for address in [
        "10.0.2.2",
        "127.0.0.1",
        "127.3.2.1",
        "0.0.0.0",
        "169.254.169.254",
        "169.254.1.1",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        assert!(!reaches(&everything, address, 80), "{address}");
    }
    let half = egress(&[("126.0.0.0/7", Ports::Any)]);
    assert!(!reaches(&half, "127.0.0.1", 80), "a range that reaches beyond names nothing");
}

#[test]
fn everything_of_version_6_is_not_the_host_its_links_or_its_metadata_however_they_are_written() {
    let everything = egress(&[("::/0", Ports::Any), ("0.0.0.0/0", Ports::Any)]);
    for address in ["2001:db8::1", "64:ff9b::192.0.2.1", "2002:c000:201::1"] {
        assert!(reaches(&everything, address, 443), "{address}");
    }
    for address in [
        "fd53:5449:4c4c::2",
        "fd53:5449:4c4c::3",
        "::1",
        "::",
        "fe80::2",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:192.0.2.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "2001::1",
    ] {
        assert!(!reaches(&everything, address, 80), "{address}");
    }
    // A range that names more than what is restricted, or another part of it, opens none of it.
    for (range, address) in [
        ("::/96", "::1"),
        ("::/127", "::1"),
        ("fc00::/6", "fd00::1"),
        ("fd00::/8", "fd00:ec2::254"),
        ("::ffff:0:0/96", "::ffff:127.0.0.1"),
        ("64:ff9b::/96", "64:ff9b::127.0.0.1"),
        ("127.0.0.0/8", "::ffff:127.0.0.1"),
        ("127.0.0.1", "::1"),
        ("::1", "127.0.0.1"),
    ] {
        assert!(!reaches(&egress(&[(range, Ports::Any)]), address, 80), "{range} for {address}");
    }
    for (range, address) in [
        ("fd12:3456:789a::/48", "fd12:3456:789a::1"),
        ("fd00:ec2::/32", "fd00:ec2::254"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("64:ff9b::127.0.0.0/104", "64:ff9b::127.0.0.1"),
        ("2002:a9fe::/32", "2002:a9fe:a9fe::1"),
        ("::ffff:0:0/96", "::ffff:192.0.2.1"),
    ] {
        assert!(reaches(&egress(&[(range, Ports::Any)]), address, 80), "{range} for {address}");
    }
    let named = egress(&[("::1", Ports::Any)]);
    let there = named.destination(Transport::Tcp, (GATEWAY_6.into(), 80), &Answered::default());
    assert_eq!(there, Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 80))));
    assert!(!reaches(&named, "10.0.2.2", 80), "the loopback of the other version");
}

#[test]
fn what_is_named_is_reached_the_loopback_as_the_gateway() {
    let named = egress(&[
        ("127.0.0.1/32", Ports::These(vec![8080..=8080])),
        ("169.254.169.254", Ports::Any),
    ]);
    assert_eq!(
        named.destination(Transport::Tcp, (GATEWAY.into(), 8080), &Answered::default()),
        Some(SocketAddr::from(([127, 0, 0, 1], 8080)))
    );
    assert!(!reaches(&named, "10.0.2.2", 8081));
    assert!(!reaches(&named, "127.0.0.2", 8080));
    assert!(reaches(&named, "169.254.169.254", 80));
    assert!(!reaches(&named, "169.254.169.253", 80));
}

#[test]
fn another_name_of_this_host_is_this_host() {
    // Whatever address this host has beside its loopback, if it has one.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let own = socket.connect(("192.0.2.1", 9)).and_then(|()| socket.local_addr());
    let Ok(SocketAddr::V4(own)) = own else {
        println!("skipped: this host has no way to anybody, and no address of its own");
        return;
    };
    for (range, address) in [
        ("0.0.0.0/0", IpAddr::V4(*own.ip())),
        (
            "64:ff9b::/96",
            IpAddr::from(
                [&[0, 0x64, 0xff, 0x9b][..], &[0; 8], &own.ip().octets()]
                    .concat()
                    .try_into()
                    .map(|it: [u8; 16]| it)
                    .expect("16 bytes"),
            ),
        ),
    ] {
        let everything = egress(&[(range, Ports::Any)]);
        let there = everything.destination(Transport::Tcp, (address, 80), &Answered::default());
        assert_eq!(there, None, "{address}");
    }
}

fn hosts(patterns: &[&str], transport: Transport) -> Egress {
    let rule = |pattern: &&str| Rule {
        destinations: Destinations::Hosts(HostPattern::parse(pattern).expect("a pattern")),
        ports: Ports::These(vec![443..=443]),
        transport,
    };
    Egress { allow: patterns.iter().map(rule).collect(), ..Egress::default() }
}

#[test]
fn a_host_is_reached_where_this_guest_was_told_that_it_is_and_nowhere_else() {
    let egress = hosts(&["*.example.com", "one.test"], Transport::Udp);
    let mut answered = Answered::default();
    let there = IpAddr::from([192, 0, 2, 7]);
    let reached = |answered: &Answered, transport, port| {
        egress.destination(transport, (there, port), answered).is_some()
    };
    assert!(!reached(&answered, Transport::Udp, 443), "before anybody asked");
    answered.insert(there, "example.com");
    assert!(!reached(&answered, Transport::Udp, 443), "another name");
    answered.insert(there, "www.example.com");
    assert!(reached(&answered, Transport::Udp, 443));
    assert!(!reached(&answered, Transport::Udp, 444));
    assert!(!reached(&answered, Transport::Tcp, 443));
    let other = IpAddr::from([192, 0, 2, 8]);
    assert_eq!(egress.destination(Transport::Udp, (other, 443), &answered), None);
}

#[test]
fn what_only_answers_for_names_is_nobody_to_be_reached() {
    let everything = egress(&[
        ("0.0.0.0/0", Ports::Any),
        ("10.0.2.3", Ports::Any),
        ("fd53:5449:4c4c::3", Ports::Any),
    ]);
    assert!(!reaches(&everything, "10.0.2.3", 53));
    assert!(!reaches(&everything, "fd53:5449:4c4c::3", 53));
}

#[test]
fn a_table_answers_before_the_hosts_resolver_and_nobody_answers_for_what_is_not_allowed() {
    let known = IpAddr::from([192, 0, 2, 7]);
    let table = BTreeMap::from([("a.test".to_owned(), vec![known])]);
    let egress = Egress { table, asks_host: true, ..hosts(&["*.test"], Transport::Tcp) };
    assert_eq!(egress.naming("a.test"), Naming::Known(&[known]));
    assert_eq!(egress.naming("b.test"), Naming::AskHost);
    assert_eq!(egress.naming("test"), Naming::Nobody);
    let alone = Egress { asks_host: false, ..egress };
    assert_eq!(alone.naming("b.test"), Naming::Nobody);
}

#[test]
fn everything_that_is_wrong_with_a_policy_is_said_at_once() {
    let rule = |addresses: &str, ports| WrittenRule {
        addresses: Some(addresses.to_owned()),
        ports,
        ..WrittenRule::default()
    };
    let host = |host: &str| WrittenRule { host: Some(host.to_owned()), ..WrittenRule::default() };
    let problems = |allow: &[WrittenRule], table: &[(&str, &[&str])]| {
        let table = table
            .iter()
            .map(|(name, known)| {
                ((*name).to_owned(), known.iter().map(|it| (*it).to_owned()).collect())
            })
            .collect();
        let written = WrittenEgress {
            allow: allow.to_vec(),
            table,
            asks_host: true,
            ..WrittenEgress::default()
        };
        match Egress::parse(&written) {
            Err(NetworkError::Invalid { problems }) => problems,
            _ => Vec::new(),
        }
    };
    let good = [rule("1.2.3.0/24", None), rule("1.2.3.4", Some(vec![(1, 9)])), host("*.a.test")];
    assert_eq!(problems(&good, &[("a.test", &["1.2.3.4", "2001:db8::1"])]), Vec::<String>::new());
    let both = WrittenRule { host: Some("a".to_owned()), ..rule("1.2.3.4", None) };
    let other = WrittenRule { protocol: Some("sctp".to_owned()), ..host("a b") };
    let all = problems(
        &[
            rule("example.com", Some(vec![(0, 9), (9, 8)])),
            rule("1.2.3.4/40", Some(vec![(1, 70_000)])),
            both,
            WrittenRule::default(),
            other,
        ],
        &[("a b", &["::1%1"]), ("c", &[]), ("C.", &[]), ("d", &["1.1.1.1"; MOST_ADDRESSES + 1])],
    );
    let places: Vec<_> = all.iter().filter_map(|it| it.split(": expected").next()).collect();
    assert_eq!(
        places,
        [
            "allow[0].addresses",
            "allow[0].ports",
            "allow[0].ports",
            "allow[1].addresses",
            "allow[1].ports",
            "allow[2]",
            "allow[3]",
            "allow[4].host",
            "allow[4].protocol",
            "names.table[\"a b\"]",
            "names.table[\"a b\"][0]",
            "names.table[\"C.\"]",
            "names.table[\"d\"]",
        ]
    );
}

proptest! {
    #[test]
    fn no_name_opens_the_host_its_links_or_its_metadata(
        address in prop_oneof![
            (0..NAMED_ONLY.len(), any::<u128>()).prop_map(|(range, low)| {
                let Cidr { first, bits } = NAMED_ONLY[range];
                match first {
                    IpAddr::V4(first) => {
                        let low = (low as u32).checked_shr(bits.into()).unwrap_or(0);
                        Ipv4Addr::from_bits(first.to_bits() | low).into()
                    }
                    IpAddr::V6(first) => {
                        let low = low.checked_shr(bits.into()).unwrap_or(0);
                        Ipv6Addr::from_bits(first.to_bits() | low).into()
                    }
                }
            }),
            Just(IpAddr::V4(GATEWAY)),
            Just(IpAddr::V4(NAME_SERVER)),
            Just(IpAddr::V6(GATEWAY_6)),
            Just(IpAddr::V6(NAME_SERVER_6)),
        ],
        transport in prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)],
    ) {
        let mut egress = hosts(&["*", "a.test"], transport);
        for version in [Version::Four, Version::Six] {
            let all = Cidr::new(version.unspecified(), 0);
            egress.allow.push(Rule { transport, ..Rule::tcp(all, Ports::Any) });
        }
        let mut answered = Answered::default();
        answered.insert(address, "a.test");
        prop_assert_eq!(egress.destination(transport, (address, 443), &answered), None);
    }
}
