//! Runs whose guests wait as long in host time as in guest time: a wait takes neither a thread nor a turn.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]
#![cfg(not(feature = "shuttle"))]

use std::sync::mpsc;
use std::time::{Duration, Instant};
use stillpoint_engines::engines;
use stillpoint_host::hosted::{Ended, Hosted};
use stillpoint_host::refusal::Refusal;
use stillpoint_host::workers::Workers;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{MachineConfig, Pace, RunUntil, Stop};

/// After so long a test hangs.
const HANGS_AFTER: Duration = Duration::from_secs(600);

/// `wfi` for ever, and a loop that computes for ever.
const WAITS: [u32; 2] = [0x1050_0073, 0xffdf_f06f];
const COMPUTES: [u32; 1] = [0x0000_006f];

fn hosted(workers: &Workers, code: &[u32]) -> Hosted {
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    let config = MachineConfig {
        form: PayloadForm::Flat { address: 0x8000_0000 },
        memory_bytes: 1 << 20,
        ..MachineConfig::new(Source::Bytes(bytes.into()))
    };
    Hosted::boot(&config, engines(), workers).expect("a machine")
}

fn paced(hosted: &Hosted, until: Duration) -> mpsc::Receiver<Result<Ended, Refusal>> {
    let (tell, told) = mpsc::channel();
    let at_nanos = Some(nanos(until));
    let until = RunUntil { at_nanos, pace: Pace::HostTime, ..RunUntil::default() };
    hosted.run(until, move |ended| drop(tell.send(ended)));
    told
}

fn receive<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(HANGS_AFTER).expect("an answer")
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < HANGS_AFTER, "never came: {what}");
        std::thread::yield_now();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("short")
}

#[test]
fn a_guest_that_waits_has_no_thread_and_is_never_ahead_of_the_host() {
    let workers = Workers::new();
    let hosted = hosted(&workers, &WAITS);
    let began = Instant::now();
    let told = paced(&hosted, Duration::from_millis(40));
    wait_for("a wait without a turn", || workers.turns().free() == processors());
    for _ in 0..20 {
        let (tell, asked) = mpsc::channel();
        let ask =
            move |machine: &mut stillpoint_vmm::machine::Machine| Ok::<_, Refusal>(machine.now());
        hosted.execute(ask, move |now: Result<u64, Refusal>| drop(tell.send(now)));
        let at_nanos = receive(&asked).expect("a moment");
        assert!(at_nanos <= nanos(began.elapsed()), "guest time is ahead");
        assert!(hosted.now_nanos() <= nanos(began.elapsed()), "guest time is ahead");
        assert!(hosted.now_nanos() >= at_nanos, "guest time goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = receive(&told).expect("a run");
    assert_eq!(ended, Ended { stop: Stop::Time, at_nanos: 40_000_000 });
    assert!(began.elapsed() >= Duration::from_millis(40));
}

#[test]
fn a_wait_ends_when_it_is_paused_and_guest_time_stands_from_then_on() {
    let workers = Workers::new();
    let hosted = hosted(&workers, &WAITS);
    let began = Instant::now();
    let told = paced(&hosted, Duration::from_secs(86_400));
    wait_for("some time of the guest's", || hosted.now_nanos() > 2_000_000);
    hosted.pause();
    let ended = receive(&told).expect("a run");
    assert_eq!(ended.stop, Stop::Interrupted);
    assert!((2_000_000..=nanos(began.elapsed())).contains(&ended.at_nanos), "{ended:?}");
    std::thread::sleep(Duration::from_millis(3));
    assert_eq!(hosted.now_nanos(), ended.at_nanos);
}

#[test]
fn as_many_compute_at_once_as_there_are_processors_and_each_of_many_can_be_called_away() {
    let workers = Workers::new();
    let all: Vec<Hosted> = (0..60).map(|_| hosted(&workers, &COMPUTES)).collect();
    let runs: Vec<_> = all.iter().map(|one| paced(one, Duration::from_secs(86_400))).collect();
    for (one, told) in all.iter().zip(&runs) {
        wait_for("a turn for each", || one.now_nanos() > 0);
        one.pause();
        assert_eq!(receive(told).expect("a run").stop, Stop::Interrupted);
    }
    wait_for("threads that have nothing to do", || workers.turns().free() == processors());
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
