use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// A machine that counts, and knows whether it is alive.
struct Counter {
    count: u64,
    interrupt: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn slice(&mut self) -> Slice<u64> {
        loop {
            self.count += 1;
            if self.interrupt.swap(false, Ordering::SeqCst) {
                return Slice::Interrupted(self.count);
            }
            std::thread::yield_now();
        }
    }
}

fn session(workers: &Workers) -> (Session<Counter>, Arc<AtomicUsize>) {
    let interrupt = Arc::new(AtomicBool::new(false));
    let alive = Arc::new(AtomicUsize::new(1));
    let machine =
        Counter { count: 0, interrupt: Arc::clone(&interrupt), alive: Arc::clone(&alive) };
    (Session::new(machine, move || interrupt.store(true, Ordering::SeqCst), workers), alive)
}

fn receive<T>(receiver: &mpsc::Receiver<T>) -> T {
    // Longer than any of them takes on the busiest machine: one that is waited for so long hangs.
    receiver.recv_timeout(Duration::from_secs(600)).unwrap()
}

fn silent_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.to_string().contains("on purpose") {
                usual(info);
            }
        }));
    });
}

#[test]
fn operations_happen_in_the_order_they_were_asked_for() {
    let workers = Workers::new();
    let (session, _) = session(&workers);
    let (send, seen) = mpsc::channel();
    for expected in 0..200 {
        let send = send.clone();
        session.execute(
            |machine| {
                machine.count += 1;
                machine.count - 1
            },
            move |result| send.send((expected, result.unwrap())).unwrap(),
        );
    }
    for _ in 0..200 {
        let (expected, found) = receive(&seen);
        assert_eq!(expected, found);
    }
}

#[test]
fn an_operation_during_a_run_is_answered_and_the_run_goes_on() {
    let workers = Workers::new();
    let (session, _) = session(&workers);
    let (send, seen) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    session.run(Counter::slice, || 0, move |result| ended.send(result).unwrap());
    for _ in 0..500 {
        let send = send.clone();
        session.execute(|machine| machine.count, move |result| send.send(result).unwrap());
        receive(&seen).unwrap();
    }
    assert!(end.try_recv().is_err());
    session.pause();
    assert!(receive(&end).unwrap() > 0);
}

#[test]
fn one_run_at_a_time() {
    let workers = Workers::new();
    let (session, _) = session(&workers);
    let (send, seen) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    session.run(Counter::slice, || 0, move |result| ended.send(result).unwrap());
    session.run(Counter::slice, || 0, move |result| send.send(result).unwrap());
    assert_eq!(receive(&seen), Err(SessionError::AlreadyRunning));
    session.pause();
    receive(&end).unwrap();
    session.run(|_| Slice::Done(7), || 0, {
        let (send, seen) = mpsc::channel();
        std::thread::spawn(move || assert_eq!(receive(&seen), Ok(7)));
        move |result| send.send(result).unwrap()
    });
}

#[test]
fn a_pause_right_after_a_run_was_asked_for_is_not_lost() {
    let workers = Workers::new();
    let (session, _) = session(&workers);
    for _ in 0..500 {
        let (ended, end) = mpsc::channel();
        session.run(Counter::slice, || 0, move |result| ended.send(result).unwrap());
        session.pause();
        receive(&end).unwrap();
    }
}

#[test]
fn a_closed_session_says_so_however_often_it_is_asked_to_run() {
    let workers = Workers::new();
    for is_running in [false, true] {
        let (session, _) = session(&workers);
        let (send, seen) = mpsc::channel();
        if is_running {
            session.run(Counter::slice, || 0, |_| ());
        }
        session.close(|| ());
        for _ in 0..3 {
            let send = send.clone();
            session.run(Counter::slice, || 0, move |result| send.send(result).unwrap());
            assert_eq!(receive(&seen), Err(SessionError::Closed));
        }
    }
}

#[test]
fn closing_ends_a_run_refuses_what_waits_and_drops_the_machine() {
    let workers = Workers::new();
    let (session, alive) = session(&workers);
    let (ended, end) = mpsc::channel();
    let (closed, close) = mpsc::channel();
    session.run(Counter::slice, || 0, move |result| ended.send(result).unwrap());
    let again = closed.clone();
    session.close(move || closed.send(()).unwrap());
    session.close(move || again.send(()).unwrap());
    assert_eq!(receive(&end), Err(SessionError::Closed));
    receive(&close);
    receive(&close);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    let (send, seen) = mpsc::channel();
    session.execute(|machine| machine.count, move |result| send.send(result).unwrap());
    assert_eq!(receive(&seen), Err(SessionError::Closed));
}

#[test]
fn a_dropped_session_leaves_no_machine() {
    let workers = Workers::new();
    for running in [false, true] {
        for _ in 0..200 {
            let (session, alive) = session(&workers);
            let (ended, end) = mpsc::channel();
            if running {
                session.run(
                    Counter::slice,
                    || 0,
                    move |result| ended.send(result.is_err()).unwrap(),
                );
            } else {
                ended.send(true).unwrap();
            }
            drop(session);
            assert!(receive(&end));
            while alive.load(Ordering::SeqCst) != 0 {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_panic_becomes_an_error_and_stays_one() {
    silent_panics();
    let workers = Workers::new();
    let (session, alive) = session(&workers);
    let (send, seen) = mpsc::channel();
    let other = send.clone();
    session.execute(
        |machine| {
            assert_eq!(machine.count, u64::MAX, "on purpose");
            0
        },
        move |result| send.send(result).unwrap(),
    );
    assert!(matches!(receive(&seen), Err(SessionError::Panicked { .. })));
    while alive.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    session.execute(|machine| machine.count, move |result| other.send(result).unwrap());
    let after = receive(&seen);
    assert!(
        matches!(&after, Err(SessionError::Panicked { message }) if message.contains("on purpose")),
        "{after:?}"
    );
    let (closed, close) = mpsc::channel();
    session.close(move || closed.send(()).unwrap());
    receive(&close);
}

#[test]
fn idle_machines_need_no_threads() {
    let workers = Workers::new();
    let sessions: Vec<_> = (0..1000).map(|_| session(&workers)).collect();
    assert_eq!(workers.threads(), 0);
    let (send, seen) = mpsc::channel();
    for (session, _) in &sessions {
        let send = send.clone();
        session.execute(|machine| machine.count, move |result| send.send(result).unwrap());
        receive(&seen).unwrap();
    }
    // Those that had something to do end when there is nothing more.
    while workers.threads() > 0 {
        std::thread::yield_now();
    }
    drop(sessions);
}
