//! The laws of every engine, which its own tests run on it.
//!
//! A [`Subject`] is an engine and a guest for it. Each law runs the guest in two ways that must
//! not differ, and compares the events and the digest of the whole machine. A [`Violation`] names
//! the law and the first moment at which the ways differ.
//!
//! ```
//! use stillpoint_vmm::conformance::{Subject, laws};
//! use stillpoint_vmm::engines::Engines;
//! use stillpoint_vmm::machine::MachineConfig;
//!
//! # #[allow(dead_code)]
//! fn my_engine_keeps_the_laws(engines: &Engines, guest: MachineConfig) {
//!     let subject = Subject { engines, guest, end_nanos: 1_000_000, inputs: Vec::new() };
//!     for law in laws::ALL {
//!         law.check(&subject, &[10, 999, 500_000]).expect("the law");
//!     }
//! }
//! ```

pub mod laws;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod mapped;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Engine;
use crate::engines::{AUTO, Engines};
use crate::event::Event;
use crate::machine::{Machine, MachineConfig, RunUntil, Stop};
use crate::time::Nanos;

/// An engine and a guest for it.
pub struct Subject<'a> {
    /// The engine: the first that this host can use, if there are several.
    pub engines: &'a Engines,
    /// The guest, in a form that this engine executes. Its seed is fixed.
    pub guest: MachineConfig,
    /// The end of the guest's run.
    pub end_nanos: Nanos,
    /// Bytes typed on the console, ascending in time.
    pub inputs: Vec<(Nanos, Vec<u8>)>,
}

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("law {law}: {difference}; first seen at {first_nanos} ns of guest time")]
pub struct Violation {
    /// The law's name.
    pub law: &'static str,
    /// The difference.
    pub difference: String,
    /// The earliest moment at which the machines differ.
    pub first_nanos: Nanos,
}

/// A disturbance of a machine at a moment that the law chooses.
type Disturb<'a> = dyn Fn(Machine) -> Result<Machine, String> + 'a;

/// Everything that can be seen of a run.
#[derive(Debug, PartialEq)]
struct Observation {
    events: Vec<Event>,
    digest: [u8; 32],
    stop: Stop,
}

impl Subject<'_> {
    fn engine(&self) -> Result<Box<dyn Engine>, String> {
        self.engines.make(AUTO).map_err(|error| error.to_string())
    }

    fn machine(&self) -> Result<Machine, String> {
        Machine::new(&self.guest, self.engine()?).map_err(|error| error.to_string())
    }

    /// Runs the guest to `end`, letting `disturb` at it at each of `cuts`.
    fn observe(
        &self,
        end: Nanos,
        cuts: &[Nanos],
        disturb: &Disturb<'_>,
    ) -> Result<Observation, String> {
        let mut machine = self.machine()?;
        let mut events = Vec::new();
        let mut inputs = self.inputs.iter().filter(|(at, _)| *at < end).peekable();
        let mut cuts: Vec<Nanos> = cuts.iter().copied().filter(|cut| *cut < end).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut cuts = cuts.into_iter().peekable();
        loop {
            let input = inputs.peek().map_or(end, |(at, _)| *at);
            let cut = cuts.peek().copied().unwrap_or(end);
            let until = RunUntil { at_nanos: Some(input.min(cut).min(end)), ..RunUntil::default() };
            let stop = machine.run_into(&until, &mut |batch| events.extend_from_slice(batch));
            if cut < end && cut <= input {
                cuts.next();
                machine = disturb(machine)?;
            } else if input < end {
                if let Some((_, bytes)) = inputs.next()
                    && stop == Stop::Time
                {
                    machine.send_serial(0, bytes).map_err(|error| error.to_string())?;
                }
            } else {
                let digest = machine.digest().map_err(|error| error.to_string())?;
                return Ok(Observation { events, digest, stop });
            }
        }
    }

    /// Compares runs with and without `disturb` at `cuts`; reports the first difference and its
    /// time.
    fn compare(
        &self,
        law: &'static str,
        cuts: &[Nanos],
        disturb: &Disturb<'_>,
    ) -> Result<(), Violation> {
        let differ = |end: Nanos| -> Option<String> {
            let plain = self.observe(end, &[], &Ok);
            let other = self.observe(end, cuts, disturb);
            match (plain, other) {
                (Ok(plain), Ok(other)) if plain == other => None,
                (Ok(plain), Ok(other)) => Some(difference(&plain, &other)),
                (Err(error), _) | (_, Err(error)) => Some(error),
            }
        };
        let Some(mut found) = differ(self.end_nanos) else { return Ok(()) };
        let (mut same, mut different) = (0, self.end_nanos);
        while different - same > 1 {
            let middle = same + (different - same) / 2;
            match differ(middle) {
                Some(difference) => {
                    (found, different) = (difference, middle);
                }
                None => same = middle,
            }
        }
        Err(Violation { law, difference: found, first_nanos: different })
    }
}

fn difference(plain: &Observation, other: &Observation) -> String {
    let differing = plain.events.iter().zip(&other.events).find(|(a, b)| a != b);
    if let Some((a, b)) = differing {
        return format!("expected event {a:?}, found {b:?}");
    }
    if plain.events.len() != other.events.len() {
        let (expected, found) = (plain.events.len(), other.events.len());
        return format!("expected {expected} events, found {found}");
    }
    if plain.stop != other.stop {
        return format!("expected {:?}, found {:?}", plain.stop, other.stop);
    }
    "the digests of the machines differ".to_owned()
}

/// A directory for a law's snapshots, removed when dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("stillpoint-conformance-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left-overs in the temporary directory are the operating system's to clear.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
