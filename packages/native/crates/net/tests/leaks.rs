//! Alone in its process, so that what the process has can be counted.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod guest;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use guest::Guest;
use smoltcp::socket::tcp::State;
use stillpoint_net::addresses::GATEWAY;
use stillpoint_net::{Cidr, Egress, Ports, Rule, Transport};

fn count(folder: &str) -> Option<usize> {
    std::fs::read_dir(folder).ok().map(Iterator::count)
}

/// What this process has open, and its threads.
fn standing() -> (Option<usize>, Option<usize>) {
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// After so long what is still there stays.
const STAYS_AFTER: Duration = Duration::from_secs(120);

#[test]
fn a_network_that_goes_in_the_middle_of_traffic_leaves_nothing_behind() {
    let before = standing();
    if before.0.is_none() {
        println!("skipped: no /proc to count descriptors and threads in");
        return;
    }
    for _ in 0..3 {
        let mut guest = Guest::new();
        let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let server = TcpListener::bind(any).expect("a port");
        let port = server.local_addr().expect("an address").port();
        let addresses = Cidr::parse("127.0.0.1").expect("an address");
        let rule = Rule::tcp(addresses, Ports::Any);
        guest.network.set_egress(Egress { allow: vec![rule], ..Egress::default() });
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
        assert!(count("/proc/self/task") > before.1, "one thread waits for sockets");
        guest.link = None;
        drop(guest);
    }
    // A thread that was waited for is in the system's list for a moment longer.
    let began = Instant::now();
    while standing() != before && began.elapsed() < STAYS_AFTER {
        std::thread::yield_now();
    }
    assert_eq!(standing(), before);
}
