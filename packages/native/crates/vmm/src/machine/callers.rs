//! The callers of a clone's commands, which are in another machine.
//!
//! A fork or a restored machine has the commands that ran in its origin, but not their callers. The
//! machine sends its agent `CallersLeft`, recorded like any input, before the guest continues and
//! before any other frame. A clone without commands sends nothing.

use super::{InputError, Machine};
use crate::control::HostFrame;
use crate::serial_ports::CONTROL;

/// Whether the agent must still be notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callers {
    /// The callers are here, or there were none, or the agent was notified.
    Settled,
    /// They are gone: notify the agent before the guest continues.
    LeftBeforeRunning,
    /// They are gone since a replay, which notifies nothing by itself: notify the agent before any
    /// other frame, since the recording's guest continues without.
    LeftBeforeInput,
}

impl Callers {
    pub(super) fn of_clone(has_commands: bool) -> Self {
        if has_commands { Self::LeftBeforeRunning } else { Self::Settled }
    }
}

impl Machine {
    /// Notifies the agent before the guest continues or, if its port is full, as soon as it is not.
    pub(super) fn settle_callers_before_running(&mut self) {
        if self.callers == Callers::LeftBeforeRunning {
            // If it does not fit, the agent is notified later.
            let _ = self.settle_callers();
        }
    }

    /// Tells the agent, if it is not told yet.
    ///
    /// # Errors
    /// [`InputError`]; the agent must then still be notified.
    pub(super) fn settle_callers(&mut self) -> Result<(), InputError> {
        if self.callers == Callers::Settled {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.callers, Callers::Settled);
        let told = if self.platform.has_commands() {
            self.send_control(&HostFrame::CallersLeft).map(|_| ())
        } else {
            Ok(())
        };
        if told.is_err() {
            self.callers = before;
        }
        told
    }

    /// Follows a recording, which contains the agent's frames.
    pub(super) fn follow_recording(&mut self) {
        self.callers = Callers::Settled;
    }

    /// A recording was repeated: whose commands these are is not here.
    pub(super) fn leave_recording(&mut self) {
        if self.platform.has_commands() {
            self.callers = Callers::LeftBeforeInput;
        }
    }

    /// Before input on that port.
    pub(super) fn settle_callers_before_input(&mut self, port: u32) -> Result<(), InputError> {
        if port == CONTROL { self.settle_callers() } else { Ok(()) }
    }
}
