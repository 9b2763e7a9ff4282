//! Alone in its process, so that what the process has can be counted.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use guest::Guest;
use guest::bare::frame;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{Ipv4Packet, TcpPacket};
use stillpoint_net::addresses::{GATEWAY, GATEWAY_6, GUEST, NAME_PORT, NAME_SERVER, NAME_SERVER_6};
use stillpoint_net::{Cidr, Destinations, Egress, Limits, Ports, Rule, Transport};
use stillpoint_vmm::network::Link;

fn count(folder: &str) -> Option<usize> {
    std::fs::read_dir(folder).ok().map(Iterator::count)
}

/// The open descriptors of this process, and its threads.
fn standing() -> (Option<usize>, Option<usize>) {
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Kibibytes of memory of this process that are no file's.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The guest sends whatever would have the host keep something: twenty thousand connections that it
/// asks for, datagrams to as many places, parts of packets that are never whole, names.
fn flood(guest: &mut Guest, port: u16) {
    let descriptors = count("/proc/self/fd");
    let limits = Limits::default();
    for round in 0..20u16 {
        let mut frames = Vec::new();
        for number in 0..1_000u16 {
            let mut asking = frame(1 + number, (GATEWAY, port), &[0; 12]);
            // The same headers, of a segment that asks for a connection.
            asking[23] = 6;
            asking[38..46].copy_from_slice(&[0, 0, round as u8, 0, 0, 0, 0, 0]);
            asking[46..54].copy_from_slice(&[0x50, 2, 0x20, 0, 0, 0, 0, 0]);
            let mut packet = Ipv4Packet::new_unchecked(&mut asking[14..]);
            packet.fill_checksum();
            TcpPacket::new_unchecked(packet.payload_mut())
                .fill_checksum(&GUEST.into(), &GATEWAY.into());
            frames.push(asking);
        }
        for number in 0..100u16 {
            frames.push(frame(1 + number, (GATEWAY, 1 + round), b"hello"));
            frames.push(frame(1 + number, (NAME_SERVER, NAME_PORT), &[7; 40]));
            // The same over version 6, and a place that is named, whether or not the host has it.
            frames.push(frame(1 + number, (GATEWAY_6, 1 + round), b"hello"));
            frames.push(frame(1 + number, (NAME_SERVER_6, NAME_PORT), &[7; 40]));
            let whole = frame(1 + number, (GATEWAY_6, port), &[0; 1_000]);
            let mut part = guest::version_6::part(&whole, 0, 800, false);
            part[58..60].copy_from_slice(&(round * 100 + number).to_be_bytes());
            frames.push(part);
            frames.push(guest::version_6::asking(1 + number, (GATEWAY_6, port)));
            let mut part = frame(1 + number, (GATEWAY, port), &[0; 1_000]);
            let mut packet = Ipv4Packet::new_unchecked(&mut part[14..]);
            packet.set_ident(round * 100 + number);
            packet.set_more_frags(true);
            packet.fill_checksum();
            frames.push(part);
        }
        guest.now += 1_000_000;
        let (link, now) = (guest.link.as_mut().expect("there"), guest.now);
        link.exchange(now, frames, &mut guest.wire);
        guest.wire.to_guest.clear();
        guest.wire.told.clear();
        assert!(guest.network.connections() <= limits.connections as u64);
    }
    let most = descriptors.map(|count| count + limits.connections + limits.flows);
    assert!(count("/proc/self/fd") <= most, "no more than may be");
}

/// After so long what is still there stays.
const STAYS_AFTER: Duration = Duration::from_secs(120);

#[test]
fn a_network_that_goes_in_the_middle_of_traffic_and_of_a_flood_leaves_nothing_behind() {
    let before = standing();
    if before.0.is_none() {
        println!("skipped: no /proc to count descriptors and threads in");
        return;
    }
    let mut memory = Vec::new();
    for _ in 0..4 {
        let mut guest = Guest::new();
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let server = TcpListener::bind(any).expect("a port");
        let port = server.local_addr().expect("an address").port();
        let allow = ["127.0.0.1", "::1"].iter().flat_map(|address| {
            let addresses = Cidr::parse(address).expect("an address");
            let destinations = Destinations::Addresses(addresses);
            let datagrams = Rule { destinations, ports: Ports::Any, transport: Transport::Udp };
            [Rule::tcp(addresses, Ports::Any), datagrams]
        });
        let allow = allow.collect();
        guest.network.set_egress(Egress { allow, ..Egress::default() });
        let published = guest.network.publish(Transport::Tcp, 80, any).expect("a port");
        let inward: Vec<_> = (0..20).map(|_| guest.listen(80)).collect();
        let mut clients: Vec<_> =
            (0..20).map(|_| TcpStream::connect(published.address).expect("listens")).collect();
        let outward: Vec<_> =
            (0..20).map(|local| guest.connect(GATEWAY, port, 5000 + local)).collect();
        let mut all = inward;
        all.extend(outward);
        guest.until(|guest| {
            all.iter().all(|handle| guest.get(*handle).state() == State::Established)
        });
        for client in &mut clients {
            client.write_all(&[1; 100_000]).expect("taken");
        }
        (0..20).for_each(|_| guest.turn());
        flood(&mut guest, port);
        assert!(count("/proc/self/task") > before.1, "one thread waits for sockets");
        guest.link = None;
        drop(guest);
        memory.push(memory_kib());
    }
    // The memory of the first rounds is enough for the others.
    let least = memory[..2].iter().max().copied().unwrap_or(0);
    assert!(memory[3] <= least + 32 * 1024, "{memory:?} KiB");
    // A thread that was waited for is in the system's list for a moment longer.
    let began = Instant::now();
    while standing() != before && began.elapsed() < STAYS_AFTER {
        std::thread::yield_now();
    }
    assert_eq!(standing(), before);
}
