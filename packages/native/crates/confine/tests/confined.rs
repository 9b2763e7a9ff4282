//! Guests' threads before and after they are confined; one test, since the whole process changes.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::fs::File;
use std::io::ErrorKind::PermissionDenied;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::mpsc::channel;

use stillpoint_confine::{confine_guests, is_confined, spawn, spawn_confined};

/// What `work` gives on a guest's thread.
fn on_guests_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = channel();
    spawn_confined("guest", move || done.send(work()).expect("awaited")).expect("a thread");
    result.recv().expect("a result")
}

type Attempt = (&'static str, fn() -> io::Result<()>);

/// What no guest needs.
const FORBIDDEN: [Attempt; 7] = [
    ("open a file", || File::open("/etc/passwd").map(drop)),
    ("list a folder", || std::fs::read_dir("/").map(drop)),
    ("remove a file", || match std::fs::remove_file("/nowhere/at/all") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }),
    ("start a program", || Command::new("/bin/true").status().map(drop)),
    ("start a thread", || std::thread::Builder::new().spawn(|| {}).map(drop)),
    ("a socket of the host's own", || UnixDatagram::unbound().map(drop)),
    ("another folder", || std::env::set_current_dir(".")),
];

fn exchange() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut from = TcpStream::connect(listener.local_addr()?)?;
    from.set_nonblocking(false)?;
    let (mut to, _) = listener.accept()?;
    from.write_all(b"through")?;
    drop(from);
    let mut text = String::new();
    to.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_confined_thread_does_what_guests_need_and_nothing_else() {
    for (what, attempt) in FORBIDDEN {
        on_guests_thread(attempt).unwrap_or_else(|error| panic!("{what}, not confined: {error}"));
    }
    if let Err(why) = confine_guests() {
        println!("skipped: {why}");
        return;
    }
    confine_guests().expect("nothing changes");
    assert!(is_confined());
    for (what, attempt) in FORBIDDEN {
        let refused = on_guests_thread(attempt).expect_err(what);
        assert_eq!(refused.kind(), PermissionDenied, "{what}: {refused}");
    }
    assert_eq!(on_guests_thread(exchange).expect("sockets"), "through");
    assert_eq!(on_guests_thread(|| vec![1_u8; 64 << 20].len()), 64 << 20);
    // The file that is open already; its panic; and a thread that it asks for, which may do anything.
    let file = File::open("/proc/self/exe").expect("this program");
    let read = move || (&file).take(4).read_to_end(&mut Vec::new()).expect("read");
    assert_eq!(on_guests_thread(read), 4);
    assert!(on_guests_thread(|| std::panic::catch_unwind(|| panic!("on purpose")).is_err()));
    let (done, result) = channel();
    let asks = move || spawn("other", move || done.send(FORBIDDEN[0].1()).expect("awaited"));
    on_guests_thread(asks).expect("a thread");
    result.recv().expect("a result").expect("not confined");
    // Threads of the process that are not guests' are as they were.
    FORBIDDEN.iter().for_each(|(what, attempt)| attempt().expect(what));
}
