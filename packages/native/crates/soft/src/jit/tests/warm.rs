//! Shared translations cannot be observed: machines that find everything translated, beside machines
//! that find nothing, one after the other, at the same time, and while it is dropped.

use super::*;
use crate::jit::Store;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store of one test alone, as small as they are.
pub(super) fn store() -> Arc<Store> {
    Arc::new(Store::new(0))
}

fn case() -> impl Strategy<Value = Case> {
    let patch = (instruction(), instruction());
    (vec(instruction(), 1..160), registers(), patch, any::<bool>())
        .prop_map(|(code, registers, patch, paging)| Case { code, registers, patch, paging })
}

fn with_store(case: &Case, heat: Option<u32>, store: &Arc<Store>) -> (Platform, Soft) {
    let (platform, mut engine) = machine(case, heat);
    engine.set_store(store.clone());
    (platform, engine)
}

/// Everything at each step, of a machine that translates what it executes `heat` times.
fn course(
    case: &Case,
    steps: &[u64],
    heat: Option<u32>,
    store: &Arc<Store>,
) -> (Vec<Vec<u8>>, u64) {
    let (mut platform, mut engine) = with_store(case, heat, store);
    let mut at = 0;
    let mut pictures = Vec::new();
    for step in steps {
        at += step;
        let ended = advance(&mut platform, &mut engine, at);
        let (registers, state, memory) = picture(&mut platform, &engine);
        pictures.push([format!("{ended} {registers:?}").into_bytes(), state, memory].concat());
        if ended {
            break;
        }
    }
    (pictures, engine.profile().adopted)
}

#[test]
fn a_machine_with_a_warm_store_is_the_same_at_every_stop_as_one_with_an_empty_one() {
    let adopted = AtomicU64::new(0);
    let cases = (case(), steps(), 0..3u32);
    let outcome = TestRunner::new(Config::default()).run(&cases, |(case, steps, heat)| {
        let store = store();
        let (expected, _) = course(&case, &steps, None, &store);
        let (cold, _) = course(&case, &steps, Some(heat), &store);
        prop_assert!(expected == cold, "with an empty store");
        // A machine that translates nothing itself executes what the one before it left.
        let (warm, found) = course(&case, &steps, Some(u32::MAX), &store);
        prop_assert!(expected == warm, "with a warm store");
        adopted.fetch_add(found, Ordering::Relaxed);
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(adopted.into_inner() > 0, "nothing was shared in any case");
}

#[test]
fn machines_of_several_threads_share_translations_while_they_are_made_and_thrown_away() {
    let adopted = AtomicU64::new(0);
    let cases = (vec(case(), 1..5), vec(prop_oneof![1..30u64, 1..3000u64], 1..8));
    let config = Config { cases: Config::default().cases / 4 + 1, ..Config::default() };
    // One store for all cases, so that it fills and begins again meanwhile.
    let shared = store();
    let outcome = TestRunner::new(config).run(&cases, |(cases, steps)| {
        let expected: Vec<_> =
            cases.iter().map(|case| course(case, &steps, None, &shared).0).collect();
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * cases.len())
                .map(|number| {
                    let (case, steps, shared) = (&cases[number % cases.len()], &steps, &shared);
                    scope.spawn(move || course(case, steps, Some(number as u32 % 2), shared))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for (number, found) in found.into_iter().enumerate() {
            let Ok((found, count)) = found else {
                return Err(TestCaseError::fail(format!("machine {number} panicked")));
            };
            adopted.fetch_add(count, Ordering::Relaxed);
            prop_assert!(expected[number % cases.len()] == found, "machine {}", number);
        }
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(adopted.into_inner() > 0, "nothing was shared in any case");
}

/// A loop over a function that adds `step` to `t0`.
fn adding(step: u32) -> Case {
    // s9: jal ra,8; jr s9; function: addi t0,t0,step; ret
    let code = vec![0x0080_00ef, 0x000c_8067, 0x0002_8293 | step << 20, 0x0000_8067];
    Case { code, registers: vec![0; 19], patch: (0, 0), paging: false }
}

fn added(platform: &mut Platform, engine: &mut Soft, until: u64) -> u64 {
    let before = engine.hart().r[5];
    assert!(!advance(platform, engine, until));
    engine.hart().r[5] - before
}

#[test]
fn a_second_machine_executes_what_the_first_translated() {
    let store = store();
    let (mut platform, mut first) = with_store(&adding(1), Some(0), &store);
    let expected = added(&mut platform, &mut first, 50_000);
    // It translates nothing itself, and would interpret everything.
    let (mut platform, mut second) = with_store(&adding(1), Some(u32::MAX), &store);
    assert_eq!(added(&mut platform, &mut second, 50_000), expected);
    let profile = second.profile();
    assert!(first.profile().translated > 0 && profile.adopted > 0, "{profile:?}");
    assert_eq!((profile.translated, second.code_bytes()), (0, 0), "{profile:?}");
    assert!(profile.translated_ticks > 40_000, "{profile:?}");
}

#[test]
fn machines_with_different_code_at_one_address_each_execute_their_own() {
    let store = store();
    let mut machines = [1, 100].map(|step| with_store(&adding(step), Some(0), &store));
    let mut counts = [0, 0];
    for until in [1000, 2000, 9000] {
        for ((platform, engine), count) in machines.iter_mut().zip(&mut counts) {
            *count += added(platform, engine, until);
        }
    }
    assert!(counts[0] > 100);
    assert_eq!(counts[1], 100 * counts[0]);
}

#[test]
fn code_that_changes_after_it_was_found_is_executed_as_it_is_now() {
    let store = store();
    let (mut platform, mut first) = with_store(&adding(1), Some(0), &store);
    let before = added(&mut platform, &mut first, 5000);
    let mut machines = [None, Some(0)].map(|heat| with_store(&adding(1), heat, &store));
    let both = machines.each_mut().map(|(platform, engine)| added(platform, engine, 5000));
    assert_eq!(both, [before, before]);
    assert!(machines[1].1.profile().adopted > 0);
    // More often than a page is parted from the store before its code is the machine's own.
    for times in 0..8u64 {
        let word = 0x0002_8293u32 | (2 + times as u32) << 20;
        let both = machines.each_mut().map(|(platform, engine)| {
            let function = engine.hart().r[25] + 8;
            assert!(platform.memory.poke(function, &word.to_le_bytes()).is_ok());
            added(platform, engine, 5000 * (times + 2))
        });
        assert_eq!(both[0], both[1], "time {times}");
        assert!(both[0] > 1000 * (2 + times), "time {times}: {both:?}");
    }
    assert!(machines[1].1.code_bytes() > 0);
    // The first machine's page is what it was, and so is what was translated of it.
    let (mut platform, mut third) = with_store(&adding(1), Some(u32::MAX), &store);
    assert_eq!(added(&mut platform, &mut third, 5000), before);
    assert!(third.profile().adopted > 0);
}

#[test]
fn a_full_store_begins_anew_and_keeps_nothing_for_machines_that_stand() {
    let store = store();
    let mut machines = Vec::new();
    let mut most = (0, 0);
    for step in 0..200u32 {
        let (mut platform, mut engine) = with_store(&adding(step), Some(0), &store);
        let count = added(&mut platform, &mut engine, 2000);
        assert_eq!(count % u64::from(step.max(1)), 0);
        let (bytes, pages) = store.size();
        most = (most.0.max(bytes), most.1.max(pages));
        machines.push((platform, engine, count));
    }
    // A store of 1 MiB has room for a few dozen pages.
    assert!(most.1 > 4 && most.1 < 100, "{most:?}");
    assert_eq!(store.arenas(), 1, "what was thrown away is gone, whoever stands");
    for (step, (platform, engine, count)) in machines.iter_mut().enumerate() {
        let next = added(platform, engine, 4000);
        assert!(next.abs_diff(*count) <= 2 * step as u64, "{step}: {next} after {count}");
    }
}

#[test]
fn no_page_is_writable_and_executable() {
    let store = store();
    let (mut platform, mut engine) = with_store(&adding(1), Some(0), &store);
    added(&mut platform, &mut engine, 5000);
    assert!(engine.code_bytes() > 0);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let both: Vec<_> = maps
        .lines()
        .filter(|line| {
            let rights = line.split_whitespace().nth(1).unwrap_or("");
            rights.contains('w') && rights.contains('x')
        })
        .collect();
    assert!(both.is_empty(), "{both:?}");
    assert!(maps.lines().any(|line| line.contains("memfd:translated")));
}
