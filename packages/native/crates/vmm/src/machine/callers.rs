//! The callers of commands that a clone has and that are in another machine.
//!
//! A fork or a restored machine has the commands that ran in its origin, and nobody who waits for
//! them. Its agent is told so with `CallersLeft`, which is recorded like any input, before the guest
//! goes on and before anything else is said to the agent. Of a clone without commands, nothing is.

use super::{InputError, Machine};
use crate::control::HostFrame;
use crate::serial_ports::CONTROL;

/// Whether the agent has still to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callers {
    /// Here, or nobody has left, or that was told.
    Settled,
    /// Left: to be told before the guest goes on.
    LeftBeforeRunning,
    /// Left while a recording was repeated, in which nobody tells it: to be told before the agent is
    /// told anything else, since the recording's guest goes on without.
    LeftBeforeInput,
}

impl Callers {
    pub(super) fn of_clone(has_commands: bool) -> Self {
        if has_commands { Self::LeftBeforeRunning } else { Self::Settled }
    }
}

impl Machine {
    /// Tells the agent before the guest goes on, or, where its port is full, as soon as it is not.
    pub(super) fn settle_callers_before_running(&mut self) {
        if self.callers == Callers::LeftBeforeRunning {
            // What does not fit is told later.
            let _ = self.settle_callers();
        }
    }

    /// Tells the agent, if it is not told yet.
    ///
    /// # Errors
    /// [`InputError`]; it is still to be told then.
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

    /// Repeats a recording, which holds what the agent was told.
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
