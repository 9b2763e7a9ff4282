//! Machines that live: their time follows the host's, they cost nothing while their guests wait, and
//! a recorded life can be repeated.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]
#![cfg(not(feature = "shuttle"))]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use stillpoint_engines::engines;
use stillpoint_host::hosted::{Ended, Hosted};
use stillpoint_host::live::{LiveStatus, Living};
use stillpoint_host::outside::{Outside, Waker};
use stillpoint_host::refusal::Refusal;
use stillpoint_host::workers::Workers;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::event::{Event, EventBody};
use stillpoint_vmm::loaders::Source;
use stillpoint_vmm::machine::{Machine, MachineConfig, RunUntil, Stop};

/// After so long a test hangs.
const HANGS_AFTER: Duration = Duration::from_secs(600);

fn config() -> MachineConfig {
    let echo = include_bytes!("guest/echo.bin");
    MachineConfig {
        form: PayloadForm::Flat { address: 0x8000_0000 },
        memory_bytes: 1 << 20,
        ..MachineConfig::new(Source::Bytes(echo.to_vec().into()))
    }
}

fn hosted(workers: &Workers) -> Hosted {
    Hosted::boot(&config(), engines(), workers).expect("a machine")
}

fn machine() -> Machine {
    Machine::boot(&config(), engines()).expect("a machine")
}

type Answer<R> = mpsc::Receiver<Result<R, Refusal>>;

fn receive<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(HANGS_AFTER).expect("an answer")
}

fn live(hosted: &Hosted, living: Living) -> Answer<Ended> {
    let (tell, told) = mpsc::channel();
    hosted.live(living, move |ended| drop(tell.send(ended)));
    told
}

fn ask<R: Send + 'static>(
    hosted: &Hosted,
    question: impl FnOnce(&mut Machine) -> R + Send + 'static,
) -> R {
    let (tell, told) = mpsc::channel();
    let done = move |answer: Result<R, Refusal>| drop(tell.send(answer));
    hosted.execute(move |machine| Ok::<_, Refusal>(question(machine)), done);
    receive(&told).expect("an answer")
}

fn type_bytes(hosted: &Hosted, bytes: &[u8]) -> u64 {
    let (tell, told) = mpsc::channel();
    let bytes = bytes.to_vec();
    hosted.give(
        move |machine| machine.send_serial(0, &bytes).map(|_| machine.now()),
        move |given: Result<u64, Refusal>| drop(tell.send(given)),
    );
    receive(&told).expect("given")
}

fn events(hosted: &Hosted) -> Vec<Event> {
    ask(hosted, |machine| machine.events(0, usize::MAX).expect("kept"))
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < HANGS_AFTER, "never came: {what}");
        std::thread::yield_now();
    }
}

fn status(hosted: &Hosted) -> Option<LiveStatus> {
    hosted.live_facts().map(|facts| facts.status)
}

/// Numbers that look random, the same for a seed.
fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

#[test]
fn a_recorded_life_is_repeated_to_the_same_digest_and_the_same_events() {
    let workers = Workers::new();
    let (mut typed, mut while_asleep, mut forks) = (0, 0, 0);
    for seed in 0..12 {
        let mut number = numbers(seed);
        let hosted = hosted(&workers);
        let mut ended = live(&hosted, Living::default());
        for _ in 0..number(30) {
            match number(8) {
                0 => {
                    let digest = ask(&hosted, |machine| {
                        let mut fork = machine.fork().expect("good");
                        (fork.digest().expect("kept"), machine.digest().expect("kept"))
                    });
                    assert_eq!(digest.0, digest.1);
                    forks += 1;
                }
                1 => {
                    hosted.pause();
                    assert_eq!(receive(&ended).expect("paused").stop, Stop::Interrupted);
                    ended = live(&hosted, Living::default());
                }
                2 => {
                    let until = hosted.now_nanos() + number(12_000_000);
                    wait_for("guest time goes on", || hosted.now_nanos() >= until);
                }
                3 => {
                    // A thread that yields waits for all others' turns, as many times as it yields.
                    let until = Instant::now() + Duration::from_micros(number(2_000));
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                }
                kind => {
                    while_asleep += u32::from(status(&hosted) == Some(LiveStatus::Asleep));
                    let byte = if kind == 4 { b'b' } else { b'a' + number(26) as u8 % 15 };
                    type_bytes(&hosted, &vec![byte; 1 + number(3) as usize]);
                    typed += 1;
                }
            }
        }
        hosted.pause();
        receive(&ended).expect("paused");
        // A pause may come in the middle of what happens at one moment, which no other run would stop
        // at: both end at the same guest time a little later.
        let end = ask(&hosted, |machine| {
            machine.run(&RunUntil { budget_nanos: Some(1_000), ..RunUntil::default() });
            machine.now()
        });
        let recorded = events(&hosted);
        let digest = ask(&hosted, |machine| machine.digest().expect("kept"));

        let mut again = machine();
        again.replay(&recorded).expect("the same machine");
        again.run(&RunUntil { at_nanos: Some(end), ..RunUntil::default() });
        assert_eq!(again.events(0, usize::MAX).expect("kept"), recorded, "seed {seed}");
        assert_eq!(again.digest().expect("kept"), digest, "seed {seed}");
    }
    println!("{typed} inputs, {while_asleep} of them to a sleeper, {forks} forks");
    assert!(typed > 20 && while_asleep > 5 && forks > 3);
}

#[test]
fn guest_time_goes_on_and_is_never_ahead_of_the_hosts() {
    let workers = Workers::new();
    let hosted = hosted(&workers);
    let began = Instant::now();
    let ended = live(&hosted, Living::default());
    let mut last = 0;
    for _ in 0..40 {
        let target = last + 3_000_000;
        wait_for("guest time goes on", || hosted.now_nanos() >= target);
        last = type_bytes(&hosted, b"x");
        let now = hosted.now_nanos();
        assert!(now >= last, "time as it is told goes on: {now} after {last}");
        // A run to the machine's present time advances by a nanosecond.
        let most = began.elapsed().as_nanos() + 1_000_000;
        assert!(u128::from(last) <= most, "{last} ns of guest time in {most} ns");
    }
    hosted.pause();
    let stood_at = receive(&ended).expect("paused").at_nanos;
    assert!(stood_at >= last);
    // Paused, no time passes for it, however long that is.
    let again = live(&hosted, Living::default());
    wait_for("it lives", || hosted.live_facts().is_some());
    hosted.pause();
    let went_on = receive(&again).expect("paused").at_nanos - stood_at;
    assert!(u128::from(went_on) <= began.elapsed().as_nanos());
}

#[test]
fn sleepers_hold_no_thread_and_leave_nothing() {
    let workers = Workers::for_processors(2);
    let hosted: Vec<_> = (0..60).map(|_| hosted(&workers)).collect();
    let ended: Vec<_> = hosted.iter().map(|hosted| live(hosted, Living::default())).collect();
    let all_have_slept =
        || hosted.iter().all(|each| each.live_facts().is_some_and(|facts| facts.wakes >= 3));
    // How many there were at most, all together, and how often they were counted.
    let (mut most, mut sum, mut counts) = (0, 0, 0);
    // The first moments, in which the requests wake all of them, are over.
    wait_for("all have slept", || hosted.iter().all(|each| each.live_facts().is_some()));
    wait_for("few threads", || workers.threads() <= 8);
    wait_for("all have been woken", || {
        let threads = workers.threads();
        (most, sum, counts) = (threads.max(most), sum + threads, counts + 1);
        all_have_slept()
    });
    println!("{most} threads for {} that live, {} on average", hosted.len(), sum / counts);
    // One that has given its turn back and is not back itself is counted, too: how many there are of
    // these at one moment is the host's to say.
    assert!(sum <= 8 * counts, "{sum} in {counts}");
    assert!(most < hosted.len() / 2, "{most}");
    // A third is paused, a third closed, a third forgotten.
    for (number, each) in hosted.iter().enumerate() {
        match number % 3 {
            0 => each.pause(),
            1 => each.close(|| ()),
            _ => {}
        }
    }
    drop(hosted);
    for (number, ended) in ended.iter().enumerate() {
        match receive(ended) {
            Ok(Ended { stop: Stop::Interrupted, .. }) if number % 3 == 0 => {}
            Err(refusal) if refusal.name == "Closed" => {}
            other => panic!("{number}: {other:?}"),
        }
    }
    wait_for("no alarm and no thread is left", || {
        workers.alarms().pending() == 0 && workers.threads() == 0
    });
}

#[test]
fn who_is_given_nothing_dozes_until_it_is() {
    let workers = Workers::new();
    let hosted = hosted(&workers);
    let living = Living {
        idle_timeout: Some(Duration::from_millis(20)),
        wall_clock_tolerance: Some(Duration::ZERO),
    };
    let ended = live(&hosted, living);
    for round in 1..=3 {
        wait_for("it dozes", || status(&hosted) == Some(LiveStatus::Dozing));
        assert_eq!(workers.alarms().pending(), 0, "nothing wakes it by itself");
        let (stood_at, lost) = (hosted.now_nanos(), hosted.live_facts().expect("lives").lost);
        // A query is answered, and is no input.
        ask(&hosted, |machine| machine.digest().expect("kept"));
        wait_for("time is lost", || hosted.live_facts().expect("lives").lost > lost);
        assert_eq!((status(&hosted), hosted.now_nanos()), (Some(LiveStatus::Dozing), stood_at));
        let given_at = type_bytes(&hosted, b"b");
        assert_eq!(given_at, stood_at, "the guest has not been there meanwhile");
        wait_for("it goes on", || hosted.now_nanos() > stood_at);
        // The guest's wall clock, which knows nothing of it, is set first.
        let is_set = |event: &Event| match &event.body {
            EventBody::HostInput { port, data, .. } => (*port, data.get(4)) == (1, Some(&0x89)),
            _ => false,
        };
        let events = events(&hosted);
        assert_eq!(events.iter().filter(|event| is_set(event)).count(), round);
    }
    hosted.pause();
    receive(&ended).expect("paused");
}

#[test]
fn a_guest_that_ends_ends_its_life_and_one_that_is_closed_too() {
    let workers = Workers::new();
    let hosted = hosted(&workers);
    let ended = live(&hosted, Living::default());
    assert_eq!(receive(&live(&hosted, Living::default())).unwrap_err().name, "AlreadyRunning");
    // The guest empties its port's queues first: what is typed before is lost.
    wait_for("a refusal ends nothing", || hosted.live_facts().is_some_and(|facts| facts.wakes > 0));
    type_bytes(&hosted, b"q");
    assert!(matches!(receive(&ended).expect("an end").stop, Stop::Halted { .. }));
    assert_eq!(hosted.live_facts(), None);
    let again = receive(&live(&hosted, Living::default())).expect("an end");
    assert!(matches!(again.stop, Stop::Halted { .. }));
    hosted.close(|| ());
    assert_eq!(receive(&live(&hosted, Living::default())).unwrap_err().name, "Closed");
    assert_eq!(hosted.live_facts(), None);
}

/// Types what it is sent, when it is visited.
struct Typist {
    letters: mpsc::Receiver<u8>,
    visits: Arc<AtomicU64>,
    again: Option<Duration>,
}

impl Outside for Typist {
    fn visit(&mut self, machine: &mut Machine) -> Option<Instant> {
        self.visits.fetch_add(1, Ordering::SeqCst);
        for letter in self.letters.try_iter() {
            machine.send_serial(0, &[letter]).expect("room");
        }
        self.again.map(|again| Instant::now() + again)
    }
}

struct Connected {
    type_letter: mpsc::Sender<u8>,
    waker: Waker,
    visits: Arc<AtomicU64>,
}

fn connect(hosted: &Hosted, again: Option<Duration>) -> Connected {
    let (type_letter, letters) = mpsc::channel();
    let visits = Arc::new(AtomicU64::new(0));
    let mut given = None;
    let typist = Typist { letters, visits: Arc::clone(&visits), again };
    hosted.connect(|waker| {
        given = Some(waker);
        Box::new(typist)
    });
    Connected { type_letter, waker: given.expect("a waker"), visits }
}

fn given(events: &[Event]) -> Vec<u8> {
    let data = |event: &Event| match &event.body {
        EventBody::HostInput { port: 0, data, .. } => data.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(data).collect()
}

#[test]
fn an_outside_is_visited_whatever_its_machine_does_and_what_it_gives_is_recorded() {
    let workers = Workers::new();
    let hosted = hosted(&workers);
    let connected = connect(&hosted, None);
    let send = |letters: &[u8]| {
        for letter in letters {
            connected.type_letter.send(*letter).expect("connected");
            connected.waker.wake();
        }
    };
    // Before it is run at all.
    send(b"c");
    assert_eq!(connected.visits.load(Ordering::SeqCst), 0);
    let idle_timeout = Some(Duration::from_millis(20));
    let ended = live(&hosted, Living { idle_timeout, ..Living::default() });
    let has_given = |most: &[u8]| given(&events(&hosted)) == most;
    wait_for("the first visit", || has_given(b"c"));
    wait_for("it sleeps", || status(&hosted) != Some(LiveStatus::Awake));
    // Busy, asleep, and dozing.
    send(b"bd");
    wait_for("visits", || has_given(b"cbd"));
    wait_for("it dozes", || status(&hosted) == Some(LiveStatus::Dozing));
    send(b"e");
    wait_for("a visit that wakes", || has_given(b"cbde"));
    hosted.pause();
    receive(&ended).expect("paused");
    let visits = connected.visits.load(Ordering::SeqCst);
    send(b"f");
    assert_eq!(connected.visits.load(Ordering::SeqCst), visits, "nobody runs it");
    // In a run that is not live.
    let (tell, told) = mpsc::channel();
    let until = RunUntil { budget_nanos: Some(1_000), ..RunUntil::default() };
    hosted.run(until, move |ended| drop(tell.send(ended)));
    receive(&told).expect("ran");
    assert!(has_given(b"cbdef"));
    let (recorded, end) = ask(&hosted, |machine| {
        (machine.events(0, usize::MAX).expect("kept"), machine.digest().expect("kept"))
    });
    let mut again = machine();
    again.replay(&recorded).expect("the same machine");
    again.run(&until);
    assert_eq!(again.digest().expect("kept"), end);
    drop(hosted);
    connected.waker.wake();
    wait_for("the outside goes with its machine", || connected.type_letter.send(b'h').is_err());
}

#[test]
fn an_outside_is_visited_at_the_moment_that_it_named() {
    let workers = Workers::new();
    let hosted = hosted(&workers);
    let connected = connect(&hosted, Some(Duration::from_millis(2)));
    let ended = live(&hosted, Living::default());
    wait_for("visits", || connected.visits.load(Ordering::SeqCst) > 10);
    hosted.pause();
    receive(&ended).expect("paused");
    drop(hosted);
    wait_for("its alarm goes with it", || workers.alarms().pending() == 0);
}

#[test]
fn what_cannot_be_repeated_is_refused_by_name() {
    let mut machine = machine();
    let until = RunUntil { at_nanos: Some(20_000_000), ..RunUntil::default() };
    machine.run(&until);
    machine.send_serial(0, b"x").expect("room");
    machine.run(&RunUntil { budget_nanos: Some(1_000_000), ..RunUntil::default() });
    let recorded = machine.events(0, usize::MAX).expect("kept");
    let input = recorded
        .iter()
        .find(|event| matches!(event.body, EventBody::HostInput { .. }))
        .expect("recorded")
        .clone();
    let replayed = |change: &dyn Fn(&mut Event)| {
        let mut event = input.clone();
        change(&mut event);
        self::machine().replay([&event]).map_err(|error| error.to_string())
    };
    assert_eq!(replayed(&|_| ()), Ok(()));
    let is = |found: Result<(), String>, expected: &str| {
        let found = found.expect_err("refused");
        assert!(found.contains(expected), "{found}");
    };
    // More than can happen at one moment.
    is(replayed(&|event| event.seq += 5), "the machine differs");
    is(replayed(&|event| event.at_nanos += 5_000_000), "the machine differs");
    is(
        replayed(&|event| {
            if let EventBody::HostInput { kind, .. } = &mut event.body {
                *kind = stillpoint_vmm::event::InputKind::Withheld;
            }
        }),
        "withheld",
    );
    is(
        replayed(&|event| {
            if let EventBody::HostInput { kind, .. } = &mut event.body {
                *kind = stillpoint_vmm::event::InputKind::Control;
            }
        }),
        "expected to be taken",
    );
}
