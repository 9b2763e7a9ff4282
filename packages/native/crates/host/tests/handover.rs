//! The hand-over of machines between threads, under many interleavings.
//!
//! ```sh
//! cargo test -p stillpoint-host --features shuttle --test handover
//! ```
//!
//! `STILLPOINT_INTERLEAVINGS` says how many of each test. A failure prints a schedule with which
//! `shuttle::replay` repeats it.

#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use shuttle::rand::{Rng, thread_rng};
use std::sync::Arc as Plain;
use std::sync::atomic::{AtomicUsize as PlainCount, Ordering::SeqCst};
use std::time::Instant;
use stillpoint_host::alarms::Alarms;
use stillpoint_host::session::{Session, SessionError, Slice};
use stillpoint_host::sync::atomic::{AtomicBool, AtomicUsize};
use stillpoint_host::sync::{Arc, thread};
use stillpoint_host::turns::{Seat, Turns};
use stillpoint_host::workers::Workers;

fn interleavings() -> usize {
    let number = std::env::var("STILLPOINT_INTERLEAVINGS").ok();
    number.and_then(|number| number.parse().ok()).unwrap_or(10_000)
}

/// A machine that counts its slices, and is in one thread at a time.
struct Counter {
    interrupt: Arc<AtomicBool>,
    is_in_use: Arc<AtomicBool>,
    dropped: Arc<AtomicUsize>,
    slices: usize,
    /// Whether it is woken again and again as long as it exists.
    is_kept_awake: bool,
}

impl Counter {
    fn alone<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> R {
        assert!(!self.is_in_use.swap(true, SeqCst), "one thread at a time has the machine");
        let result = act(self);
        self.is_in_use.store(false, SeqCst);
        result
    }

    fn slice(&mut self) -> Slice<usize> {
        self.alone(|this| {
            // A guest ends by itself some time, so that every interleaving has an end.
            while this.slices < 12 {
                this.slices += 1;
                thread::yield_now();
                if this.interrupt.swap(false, SeqCst) {
                    return Slice::Interrupted(this.slices);
                }
                // Now and then it has nothing to do: until an alarm, or until it is woken.
                match thread_rng().gen_range(0..6) {
                    0 => return Slice::Resting(Some(Instant::now()), this.slices),
                    1 if this.is_kept_awake => return Slice::Resting(None, this.slices),
                    _ => {}
                }
            }
            Slice::Done(this.slices)
        })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        assert!(!self.is_in_use.load(SeqCst), "nobody has the machine that is dropped");
        self.dropped.fetch_add(1, SeqCst);
    }
}

struct Opened {
    session: Session<Counter>,
    dropped: Arc<AtomicUsize>,
}

fn open(workers: &Workers) -> Opened {
    let interrupt = Arc::new(AtomicBool::new(false));
    let dropped = Arc::new(AtomicUsize::new(0));
    let machine = Counter {
        interrupt: Arc::clone(&interrupt),
        is_in_use: Arc::new(AtomicBool::new(false)),
        dropped: Arc::clone(&dropped),
        slices: 0,
        is_kept_awake: true,
    };
    let session = Session::new(machine, move || interrupt.store(true, SeqCst), workers);
    Opened { session, dropped }
}

/// Waits until as many answers have come as questions were asked.
fn settle(asked: usize, answered: &AtomicUsize) {
    while answered.load(SeqCst) < asked {
        thread::yield_now();
    }
}

#[test]
fn every_request_is_answered_once_and_a_closed_machine_is_dropped_once() {
    // Which answers came, over all interleavings: a law that never met a close says nothing.
    let seen: Plain<[PlainCount; 4]> = Plain::default();
    let tally = Plain::clone(&seen);
    shuttle::check_random(
        move || {
            let workers = Workers::for_processors(1);
            let answered = Arc::new(AtomicUsize::new(0));
            let opened: Arc<Vec<Opened>> = Arc::new((0..2).map(|_| open(&workers)).collect());
            // A run that rests without an alarm continues when it is woken.
            let is_over = Arc::new(AtomicBool::new(false));
            let waker = {
                let wakes: Vec<_> = opened.iter().map(|each| each.session.waker()).collect();
                let is_over = Arc::clone(&is_over);
                thread::spawn(move || {
                    while !is_over.load(SeqCst) {
                        wakes.iter().for_each(|wake| wake());
                        thread::yield_now();
                    }
                })
            };
            let clients: Vec<_> = (0..3)
                .map(|_| {
                    let (opened, answered) = (Arc::clone(&opened), Arc::clone(&answered));
                    let tally = Plain::clone(&tally);
                    thread::spawn(move || {
                        let mut asked = 0;
                        for _ in 0..3 {
                            let session = &opened[thread_rng().gen_range(0..2)].session;
                            let answer = {
                                let (answered, tally) =
                                    (Arc::clone(&answered), Plain::clone(&tally));
                                move |result: Result<usize, SessionError>| {
                                    let kind = match result {
                                        Ok(_) => 0,
                                        Err(SessionError::Closed) => 1,
                                        Err(SessionError::AlreadyRunning) => 2,
                                        Err(other) => panic!("unexpected: {other}"),
                                    };
                                    tally[kind].fetch_add(1, SeqCst);
                                    answered.fetch_add(1, SeqCst);
                                }
                            };
                            match thread_rng().gen_range(0..5) {
                                0 | 1 => session.run(Counter::slice, || 0, answer),
                                2 => session
                                    .execute(|machine| machine.alone(|this| this.slices), answer),
                                3 => {
                                    session.pause();
                                    continue;
                                }
                                _ => session.close(move || answer(Ok(0))),
                            }
                            asked += 1;
                        }
                        asked
                    })
                })
                .collect();
            let asked: usize =
                clients.into_iter().map(|client| client.join().expect("clients return")).sum();
            settle(asked, &answered);
            is_over.store(true, SeqCst);
            waker.join().expect("it returns");
            for opened in opened.iter() {
                let (closed, answered) =
                    (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let (first, second) = (Arc::clone(&closed), Arc::clone(&answered));
                opened.session.close(move || {
                    first.fetch_add(1, SeqCst);
                });
                opened.session.execute(
                    |_| (),
                    move |result| {
                        assert_eq!(result, Err(SessionError::Closed));
                        second.fetch_add(1, SeqCst);
                    },
                );
                settle(1, &closed);
                settle(1, &answered);
                // A close that came while another was in progress may be answered by it.
                settle(1, &opened.dropped);
                assert_eq!(opened.dropped.load(SeqCst), 1);
            }
            // An alarm that rang while its run ended takes no turn with it.
            while workers.alarms().pending() > 0 || workers.turns().free() < 1 {
                thread::yield_now();
            }
            tally[3].fetch_add(1, SeqCst);
        },
        interleavings(),
    );
    let [ok, closed, running, all] = [0, 1, 2, 3].map(|kind| seen[kind].load(SeqCst));
    println!("{all} interleavings: {ok} answers, {closed} refused as closed, {running} as running");
    assert!(ok > 0 && closed > 0 && running > 0);
}

#[test]
fn turns_are_never_more_than_processors_and_nobody_waits_for_ever() {
    shuttle::check_random(
        || {
            let turns = Turns::new(2, &Alarms::new());
            let executing = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let (turns, executing) = (turns.clone(), Arc::clone(&executing));
                    thread::spawn(move || {
                        let granted = Arc::new(AtomicUsize::new(0));
                        let told = Arc::clone(&granted);
                        let tell = move || {
                            told.fetch_add(1, SeqCst);
                        };
                        let seat = Seat::new(Arc::new(|| {}), Arc::new(tell));
                        if number == 3 {
                            turns.line_up(&seat, false).tell();
                            turns.leave(&seat).tell();
                        }
                        for round in 0..3 {
                            let turn = loop {
                                let told = granted.load(SeqCst);
                                if let Some(turn) = turns.take(&seat, round > 0) {
                                    break turn;
                                }
                                while granted.load(SeqCst) == told {
                                    thread::yield_now();
                                }
                            };
                            assert!(executing.fetch_add(1, SeqCst) < 2);
                            thread::yield_now();
                            executing.fetch_sub(1, SeqCst);
                            drop(turn);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("threads return");
            }
        },
        interleavings(),
    );
}
