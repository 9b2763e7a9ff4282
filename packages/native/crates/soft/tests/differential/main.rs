//! The engine against QEMU: generated programs, run on both, must leave the same registers,
//! floating-point flags, memory, page tables and trap values behind.
//!
//! Failing seeds are kept in `tests/differential/*.seeds` and tried first. By default the batches
//! are the same each time, so that a change is judged by what it changed and not by a rare freedom
//! of the specification that QEMU uses otherwise; `STILLPOINT_DIFFERENTIAL_BATCHES=1000` tries so
//! many new ones.
//!
//! Differences that the specification allows, and that the generators therefore leave out or the
//! comparison masks, stand where they are left out. A fault of one version of QEMU is masked for
//! that version only, by name.

#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[path = "../assembly/mod.rs"]
mod assembly;
mod batch;
mod generated;
mod machine;
mod program;
mod qemu_system;
mod qemu_user;
mod supervisor;

use machine::WAYS;
use proptest::collection::vec;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestCaseError, TestRunner};

fn runner(default_batches: u32, max_shrink_iters: u32, seeds: &'static str) -> TestRunner {
    let batches = std::env::var("STILLPOINT_DIFFERENTIAL_BATCHES").ok();
    let batches = batches.and_then(|number| number.parse().ok());
    TestRunner::new(Config {
        cases: batches.unwrap_or(default_batches),
        rng_seed: if batches.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        max_shrink_iters,
        ..Config::default()
    })
}

fn fail(message: String) -> TestCaseError {
    TestCaseError::fail(message)
}

#[test]
fn user_programs_leave_what_qemu_leaves() {
    if !qemu_user::is_present() {
        return;
    }
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/user.seeds");
    let result = runner(96, 2000, seeds).run(&vec(generated::program(), 1..=40), |programs| {
        let theirs = qemu_user::run(&programs);
        for way in WAYS {
            let ours = machine::run_user(&programs, way).map_err(fail)?;
            if let Some(difference) = batch::first_difference(programs.len(), &ours, &theirs) {
                return Err(fail(format!("{way:?}: {difference}")));
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn supervisor_situations_leave_what_qemu_leaves() {
    let Some(version) = qemu_system::version() else {
        return;
    };
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/supervisor.seeds");
    let result = runner(48, 300, seeds).run(&vec(supervisor::case(), 1..=64), |mut cases| {
        // Cases share the data pages: without one, another may go astray.
        loop {
            let astray = machine::astray(&cases).map_err(fail)?;
            if astray.is_empty() {
                break;
            }
            let mut index = 0..;
            cases.retain(|_| index.next().is_none_or(|index| !astray.contains(&index)));
        }
        let theirs = qemu_system::run(&cases);
        for way in WAYS {
            let ours = machine::run_supervisor(&cases, way).map_err(fail)?;
            let difference = supervisor::first_difference(&cases, &ours, &theirs, version);
            if let Some(difference) = difference {
                return Err(fail(format!("{way:?}: {difference} (QEMU {version})")));
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
