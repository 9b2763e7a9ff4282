//! Running a machine again as it was run before: its host's input comes from the recording.
//!
//! All input from the host to a guest is a `HostInput` of its timeline, with the moment at which the guest
//! got it: guest time, and the place among the events. Everything else follows from the machine, so a
//! machine in the same state that gets the same input at the same moments is the same machine afterwards,
//! however its run was cut, paced or watched. Disks that were attached are attached again, from their
//! files, which must have the same content. Volumes cannot be attached again. A disk that failed fails
//! again at the same place, without accessing its file.

use super::{InputError, Machine, RunUntil};
use crate::devices::Renewal;
use crate::disks::{Access, DiskSpec, RecordedFailure};
use crate::event::{Event, EventBody, InputKind, KindSet};
use crate::state::StateError;
use crate::time::Nanos;

/// A recorded run cannot be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The recording does not hold the input.
    #[error(
        "event {seq}: expected the bytes of an input, found that they were withheld as a secret"
    )]
    Withheld {
        /// The input's number.
        seq: u64,
    },
    /// The recording holds other bytes than an input has.
    #[error("event {seq}: expected an input as it was recorded, found: {reason}")]
    Unreadable {
        /// The input's number.
        seq: u64,
        /// The problem.
        reason: String,
    },
    /// The machine takes the input as it did not when it was recorded.
    #[error("event {seq}: expected to be taken as it was when it was recorded, found: {reason}")]
    Refused {
        /// The input's number.
        seq: u64,
        /// The reason.
        reason: InputError,
    },
    /// A disk that was put into a slot cannot be put there as it was.
    #[error("event {seq}: expected disk {disk:?} as it was when it was attached, found: {reason}")]
    DiskOther {
        /// The attachment's number.
        seq: u64,
        /// The disk.
        disk: String,
        /// The reason.
        reason: String,
    },
    /// The machine is not that of the recording, or its engine is not deterministic.
    #[error(
        "expected to stand before event {expected_seq} at {expected_nanos} ns as when it was \
         recorded, found event {found_seq} at {found_nanos} ns: the machine differs"
    )]
    Diverged {
        /// Number of the recorded input.
        expected_seq: u64,
        /// Its guest time.
        expected_nanos: Nanos,
        /// Number of the event that the machine comes to next.
        found_seq: u64,
        /// Its guest time.
        found_nanos: Nanos,
    },
}

impl Machine {
    /// Runs the machine through `events`, a recording of it or of a machine in the same state: gives it the
    /// recorded input, each at its moment, and stops after the last input. Recorded disk failures are
    /// repeated until the recording's end. Run the machine from there to the end of the recording.
    ///
    /// # Errors
    /// [`ReplayError`]; the machine stands where the error occurred.
    pub fn replay<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<(), ReplayError> {
        let events: Vec<_> = events.into_iter().collect();
        let failures = events.iter().filter_map(|event| RecordedFailure::of(event)).collect();
        self.platform.disks.repeat_failures(failures);
        self.follow_recording();
        for event in events {
            if let EventBody::HostInput { kind, port, data } = &event.body {
                self.run_to(event.seq, event.at_nanos)?;
                self.repeat_input(event.seq, *kind, *port, data)?;
            } else if let EventBody::DiskAttached { .. } = &event.body {
                self.run_to(event.seq, event.at_nanos)?;
                self.repeat_disk(event)?;
            } else if let EventBody::NetworkRefused { .. } = &event.body {
                // Events of the host alone have their place among the guest's events.
                self.run_to(event.seq, event.at_nanos)?;
                self.emit(event.body.clone());
            }
        }
        self.leave_recording();
        Ok(())
    }

    /// Puts a disk into its slot again, as `DiskAttached` recorded it.
    fn repeat_disk(&mut self, event: &Event) -> Result<(), ReplayError> {
        let EventBody::DiskAttached { disk, slot, access, size_bytes, source } = &event.body else {
            return Ok(());
        };
        let seq = event.seq;
        let other = |reason: String| ReplayError::DiskOther { seq, disk: disk.clone(), reason };
        let access = Access::of_told(*access);
        if access == Access::Volume {
            let reason = format!("{source} is a volume: who wrote it since then has changed it");
            return Err(other(reason));
        }
        let is_scratch = access == Access::Scratch;
        let spec = DiskSpec {
            name: disk.clone(),
            source: (!is_scratch).then(|| source.into()),
            access,
            // A file that is read may end within a sector.
            size_bytes: (access != Access::Read).then_some(*size_bytes),
        };
        let attached = self.attach_disk(Some(*slot as usize), &spec);
        attached.map_err(|error| other(error.to_string()))?;
        let found = self.disks().iter().find(|(_, found)| found.name() == disk);
        match found.map(|(_, disk)| disk.size_bytes()) {
            Some(found) if found != *size_bytes => {
                Err(other(format!("expected {size_bytes} bytes, found {found}")))
            }
            _ => Ok(()),
        }
    }

    /// Runs to the moment at which event `seq` is the next one, at this guest time.
    fn run_to(&mut self, seq: u64, at_nanos: Nanos) -> Result<(), ReplayError> {
        self.run(&RunUntil { at_nanos: Some(at_nanos), ..RunUntil::default() });
        // Of what happens at one moment, some may have come before the input and some after it.
        while self.next_seq() < seq && self.now() == at_nanos {
            let before = self.next_seq();
            let budget_nanos = Some(1);
            let until = RunUntil { kinds: KindSet::ALL, budget_nanos, ..RunUntil::default() };
            self.run(&until);
            if self.next_seq() == before {
                break;
            }
        }
        if (self.next_seq(), self.now()) == (seq, at_nanos) {
            return Ok(());
        }
        Err(ReplayError::Diverged {
            expected_seq: seq,
            expected_nanos: at_nanos,
            found_seq: self.next_seq(),
            found_nanos: self.now(),
        })
    }

    /// Repeats the guest's input that `HostInput` number `seq` recorded.
    fn repeat_input(
        &mut self,
        seq: u64,
        kind: InputKind,
        port: u32,
        data: &[u8],
    ) -> Result<u64, ReplayError> {
        let given = match kind {
            InputKind::Control => self.send_control_bytes(data),
            InputKind::Serial => self.send_serial(port, data),
            InputKind::Renewal => {
                let reason = |error: StateError| error.to_string();
                let renewal = Renewal::decode(data)
                    .map_err(|error| ReplayError::Unreadable { seq, reason: reason(error) })?;
                self.renew(&renewal)
            }
            InputKind::Network => self.send_frames(data),
            InputKind::Withheld => return Err(ReplayError::Withheld { seq }),
        };
        given.map_err(|reason| ReplayError::Refused { seq, reason })
    }
}
