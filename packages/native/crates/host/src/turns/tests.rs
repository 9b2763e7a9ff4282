use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// A run that waits in a thread for its turns.
struct Waiting {
    seat: Arc<Seat>,
    granted: mpsc::Receiver<()>,
    asked: Arc<AtomicBool>,
}

fn waiting() -> Waiting {
    let asked = Arc::new(AtomicBool::new(false));
    let (tell, granted) = mpsc::channel();
    let interrupted = Arc::clone(&asked);
    let seat = Seat::new(
        Arc::new(move || interrupted.store(true, Ordering::SeqCst)),
        Arc::new(move || tell.send(()).unwrap_or_default()),
    );
    Waiting { seat, granted, asked }
}

impl Waiting {
    fn take(&self, turns: &Turns, has_returned: bool) -> Turn {
        loop {
            if let Some(turn) = turns.take(&self.seat, has_returned) {
                return turn;
            }
            self.granted.recv_timeout(Duration::from_secs(600)).unwrap();
        }
    }
}

fn turns(processors: usize) -> Turns {
    Turns::new(processors, &Alarms::new())
}

#[test]
fn no_more_run_at_once_than_there_are_processors_and_all_come_to_their_turn() {
    let turns = turns(3);
    let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let waiting = waiting();
                for round in 0..50 {
                    let turn = waiting.take(&turns, round % 3 > 0);
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(turn);
                }
            });
        }
    });
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
    let state = turns.lock();
    assert_eq!((state.free, state.holders.len()), (3, 0));
    assert!(state.is_line_empty());
}

#[test]
fn a_turn_that_lasts_is_asked_to_end_when_somebody_waits() {
    let turns = turns(1);
    let first = waiting();
    let turn = first.take(&turns, false);
    assert!(!first.asked.load(Ordering::SeqCst));
    let second = waiting();
    assert!(turns.take(&second.seat, false).is_none());
    while !first.asked.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    drop(turn);
    drop(second.take(&turns, false));
}

#[test]
fn who_leaves_the_line_is_given_no_turn_and_holds_none_up() {
    let turns = turns(1);
    let turn = waiting().take(&turns, false);
    let (leaving, staying, late) = (waiting(), waiting(), waiting());
    turns.line_up(&leaving.seat, false).tell();
    turns.line_up(&leaving.seat, false).tell();
    turns.line_up(&staying.seat, true).tell();
    turns.leave(&leaving.seat).tell();
    drop(turn);
    // Granted, and given up before it was come for.
    staying.granted.recv_timeout(Duration::from_secs(600)).unwrap();
    turns.line_up(&late.seat, false).tell();
    turns.leave(&staying.seat).tell();
    assert!(leaving.granted.try_recv().is_err());
    let turn = late.take(&turns, false);
    // A turn that is taken is not given back by leaving.
    turns.leave(&late.seat).tell();
    assert_eq!(turns.lock().free, 0);
    drop(turn);
    assert_eq!(turns.lock().free, 1);
}

#[test]
fn runs_that_want_more_are_not_starved_by_new_ones() {
    let turns = turns(1);
    let turn = waiting().take(&turns, false);
    let runs = [("returned", true), ("fresh", false), ("fresh", false), ("fresh", false)];
    let mut in_line: Vec<_> =
        runs.iter().map(|(name, has_returned)| (*name, *has_returned, waiting())).collect();
    for (_, has_returned, run) in &in_line {
        turns.line_up(&run.seat, *has_returned).tell();
    }
    drop(turn);
    let mut order = Vec::new();
    while !in_line.is_empty() {
        let next = in_line.iter().position(|(_, _, run)| run.granted.try_recv().is_ok()).unwrap();
        let (name, has_returned, run) = in_line.swap_remove(next);
        order.push(name);
        drop(run.take(&turns, has_returned));
    }
    assert!(order[..2].contains(&"returned"), "{order:?}");
}
