//! The laws, one function each.

use std::cell::RefCell;
use std::path::PathBuf;

use super::{Scratch, Subject, Violation};
use crate::engine::Engine;
use crate::machine::{Machine, RunUntil, Stop};
use crate::snapshot::{CaptureKind, RestoreOptions, SnapshotId};
use crate::time::Nanos;

/// A law: its name and its check.
#[derive(Clone, Copy)]
pub struct Law {
    /// The promise.
    pub name: &'static str,
    /// Whether it compares two runs, which only a deterministic engine repeats.
    compares_runs: bool,
    compare: fn(&'static str, &Subject<'_>, &[Nanos]) -> Result<(), Violation>,
}

impl std::fmt::Debug for Law {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Law {
    /// Whether `engine` must keep this law.
    ///
    /// # Errors
    /// The reason, if it need not.
    pub fn applies_to(&self, engine: &dyn Engine) -> Result<(), String> {
        if self.compares_runs && !engine.is_deterministic() {
            return Err(format!(
                "they compare two runs, and those of {} may differ",
                engine.name()
            ));
        }
        Ok(())
    }

    /// Checks the law on `subject`, disturbing it at `cuts`.
    ///
    /// # Errors
    /// [`Violation`] if it does not hold.
    pub fn check(&self, subject: &Subject<'_>, cuts: &[Nanos]) -> Result<(), Violation> {
        (self.compare)(self.name, subject, cuts)
    }
}

/// Every law.
pub const ALL: [Law; 9] = [
    Law {
        name: "equal-machines-run-equally",
        compares_runs: true,
        compare: equal_machines_run_equally,
    },
    Law {
        name: "cutting-a-run-changes-nothing",
        compares_runs: true,
        compare: cuts_change_nothing,
    },
    Law {
        name: "interrupting-a-run-changes-nothing",
        compares_runs: true,
        compare: interruptions_change_nothing,
    },
    Law {
        name: "a-fork-goes-on-as-its-parent",
        compares_runs: true,
        compare: forks_change_nothing,
    },
    Law {
        name: "a-parent-goes-on-as-if-not-forked",
        compares_runs: true,
        compare: parents_change_nothing,
    },
    Law {
        name: "a-restored-machine-goes-on-as-captured",
        compares_runs: true,
        compare: restores_change_nothing,
    },
    Law {
        name: "earlier-restores-change-nothing",
        compares_runs: true,
        compare: earlier_restores_change_nothing,
    },
    Law {
        name: "deltas-restore-as-full-captures",
        compares_runs: true,
        compare: deltas_change_nothing,
    },
    Law {
        name: "state-is-canonical-and-refuses-others",
        compares_runs: false,
        compare: state_is_canonical,
    },
];

fn equal_machines_run_equally(
    name: &'static str,
    subject: &Subject<'_>,
    _cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, &[], &Ok)
}

fn cuts_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, cuts, &|mut machine| {
        // A budget of one nanosecond is one instruction or one step of a wait at most.
        machine.run(&RunUntil { budget_nanos: Some(0), ..RunUntil::default() });
        machine.digest().map_err(|error| error.to_string())?;
        Ok(machine)
    })
}

fn interruptions_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, cuts, &|mut machine| {
        if machine.ending().is_none() {
            machine.handle().interrupt();
            let before = machine.now();
            let stop = machine.run(&RunUntil::default());
            if stop != Stop::Interrupted || machine.now() != before {
                return Err(format!("expected an interruption at {before} ns, found {stop:?}"));
            }
        }
        Ok(machine)
    })
}

fn forks_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, cuts, &|mut machine| {
        let Ok(child) = machine.fork() else { return Ok(machine) };
        // The parent continues for a while: the child must not notice.
        machine.run(&RunUntil { budget_nanos: Some(1000), ..RunUntil::default() });
        Ok(child)
    })
}

fn parents_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, cuts, &|mut machine| {
        if let Ok(mut child) = machine.fork() {
            child.run(&RunUntil { budget_nanos: Some(1000), ..RunUntil::default() });
            let (base, len) = child.memory_range();
            let zeros = vec![0xee; len.min(1 << 16) as usize];
            child.write_memory(base, &zeros).map_err(|error| error.to_string())?;
        }
        Ok(machine)
    })
}

fn capture(
    machine: &mut Machine,
    kind: CaptureKind,
    directory: &std::path::Path,
) -> Result<SnapshotId, String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let capture = machine.begin_capture(kind).map_err(|error| error.to_string())?;
    // The capture does not include the guest's later actions.
    machine.run(&RunUntil { budget_nanos: Some(1000), ..RunUntil::default() });
    Ok(capture.write(directory).map_err(|error| error.to_string())?.id)
}

/// A machine from a full capture.
fn restore(subject: &Subject<'_>, from: &Scratch, id: SnapshotId) -> Result<Machine, String> {
    let options = RestoreOptions { expected_id: Some(id), ..RestoreOptions::default() };
    let directories = [from.0.clone()];
    Machine::restore(&directories, subject.engines, &options).map_err(|error| error.to_string())
}

fn restores_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, cuts, &|mut machine| {
        if machine.fork().is_err() {
            return Ok(machine);
        }
        let scratch = Scratch::new()?;
        let id = capture(&mut machine, CaptureKind::Full, &scratch.0)?;
        restore(subject, &scratch, id)
    })
}

fn earlier_restores_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    subject.compare(name, cuts, &|mut machine| {
        if machine.fork().is_err() {
            return Ok(machine);
        }
        let scratch = Scratch::new()?;
        let id = capture(&mut machine, CaptureKind::Full, &scratch.0)?;
        // Data that the first one and its fork read and derive is there for the second.
        let mut first = restore(subject, &scratch, id)?;
        first.run(&RunUntil { budget_nanos: Some(10_000_000), ..RunUntil::default() });
        if let Ok(mut fork) = first.fork() {
            fork.run(&RunUntil { budget_nanos: Some(5_000_000), ..RunUntil::default() });
        }
        restore(subject, &scratch, id)
    })
}

fn deltas_change_nothing(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    // Snapshots so far, the newest first, and how many there have been.
    let scratch = Scratch::new().map_err(|error| unable(name, error))?;
    let chain: RefCell<(Vec<(SnapshotId, PathBuf)>, u64)> = RefCell::default();
    subject.compare(name, cuts, &|mut machine| {
        if machine.fork().is_err() {
            return Ok(machine);
        }
        let (chain, count) = &mut *chain.borrow_mut();
        let directory = scratch.0.join(count.to_string());
        *count += 1;
        let kind = match chain.first() {
            Some((parent, _)) => CaptureKind::Delta { parent: *parent },
            None => CaptureKind::Full,
        };
        // A machine that does not descend from the newest begins a chain of its own.
        let (id, first) = match capture(&mut machine, kind, &directory) {
            Ok(id) => (id, kind == CaptureKind::Full),
            Err(_) => (capture(&mut machine, CaptureKind::Full, &directory)?, true),
        };
        if first {
            chain.clear();
        }
        chain.insert(0, (id, directory));
        let directories: Vec<PathBuf> = chain.iter().map(|(_, path)| path.clone()).collect();
        Machine::restore(&directories, subject.engines, &RestoreOptions::default())
            .map_err(|error| error.to_string())
    })
}

fn unable(law: &'static str, difference: String) -> Violation {
    Violation { law, difference, first_nanos: 0 }
}

fn state_is_canonical(
    name: &'static str,
    subject: &Subject<'_>,
    cuts: &[Nanos],
) -> Result<(), Violation> {
    for end in cuts.iter().copied().chain([subject.end_nanos]) {
        let found = |difference: String| Violation { law: name, difference, first_nanos: end };
        let mut machine = subject.machine().map_err(|error| unable(name, error))?;
        machine.run(&RunUntil { at_nanos: Some(end), ..RunUntil::default() });
        let saved = machine.engine_mut().save();
        let mut other = subject.engine().map_err(found)?;
        other.load(&saved).map_err(|error| found(error.to_string()))?;
        if other.save() != saved {
            return Err(found("a loaded engine saves other bytes than it was given".to_owned()));
        }
        if other.fork().save() != saved {
            return Err(found("a forked engine saves other bytes than its parent".to_owned()));
        }
        for cut in [0, 1, saved.len() / 2, saved.len().saturating_sub(1)] {
            if cut < saved.len() && other.load(&saved[..cut]).is_ok() {
                return Err(found(format!("{cut} of {} bytes of state are accepted", saved.len())));
            }
        }
        if other.save() != saved {
            return Err(found("a refused state has changed the engine".to_owned()));
        }
    }
    Ok(())
}
