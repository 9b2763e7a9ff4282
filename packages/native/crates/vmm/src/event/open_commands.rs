//! The commands that the agent was given and that have not ended. They are part of a machine's state,
//! so that a clone knows whether it has commands with callers in another machine.

use std::collections::BTreeSet;

use super::{EventBody, FrameName};
use crate::state::{StateError, StateReader, StateWriter};

/// Maximum number of commands that are remembered; the agent runs far fewer at once.
const MOST_OPEN_COMMANDS: usize = 4096;

/// A command's frame: its length, its number, the command's id.
const ID_AT: usize = 5;

/// The open commands of a guest, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OpenCommands {
    open: BTreeSet<u32>,
}

impl OpenCommands {
    /// Handles a frame to the agent.
    pub(crate) fn take_frame(&mut self, frame: &[u8]) {
        let is_command = frame.get(4).is_some_and(|number| *number == FrameName::Exec.number());
        let id = frame.get(ID_AT..).and_then(|rest| rest.first_chunk());
        if let Some(id) = id.filter(|_| is_command && self.open.len() < MOST_OPEN_COMMANDS) {
            self.open.insert(u32::from_le_bytes(*id));
        }
    }

    /// Takes in an event.
    pub(crate) fn take(&mut self, body: &EventBody) {
        match body {
            EventBody::ExecExited { id, .. } | EventBody::ExecFailed { id, .. } => {
                self.open.remove(id);
            }
            EventBody::AgentRejected { request: FrameName::Exec, id: Some(id), .. } => {
                self.open.remove(id);
            }
            _ => {}
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let mut state = StateWriter::new();
        state.u32(self.open.len() as u32);
        for id in &self.open {
            state.u32(*id);
        }
        state.finish()
    }

    pub(crate) fn load(state: &[u8]) -> Result<Self, StateError> {
        let mut state = StateReader::new("open commands", state);
        let count = state.u32()?;
        if count == 0 || count as usize > MOST_OPEN_COMMANDS {
            let expected = format!("1 to {MOST_OPEN_COMMANDS} commands");
            return Err(state.refuse(expected, count.to_string()));
        }
        let mut open = BTreeSet::new();
        for _ in 0..count {
            let id = state.u32()?;
            if open.last().is_some_and(|last| *last >= id) {
                return Err(state.refuse("ids in their order", id.to_string()));
            }
            open.insert(id);
        }
        state.finish()?;
        Ok(Self { open })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::{Exec, HostFrame};
    use crate::event::{ExitStatus, RejectReason};

    fn command(id: u32) -> Vec<u8> {
        let argv = vec!["true".into()];
        let frame = HostFrame::Exec(Exec { id, argv, ..Exec::default() });
        frame.encode().expect("a frame")
    }

    fn rejected(request: FrameName, id: u32) -> EventBody {
        let (reason, message) = (RejectReason::CommandsFull, String::new());
        EventBody::AgentRejected { request, id: Some(id), reason, message }
    }

    #[test]
    fn what_is_no_state_of_commands_is_refused() {
        let mut commands = OpenCommands::default();
        assert!(OpenCommands::load(&commands.save()).is_err(), "none is left out");
        commands.take_frame(&command(3));
        commands.take_frame(&command(7));
        let saved = commands.save();
        assert!(OpenCommands::load(&saved[1..]).is_err());
        let swapped = [&saved[..4], &saved[8..], &saved[4..8]].concat();
        assert!(OpenCommands::load(&swapped).is_err());
        let many = (MOST_OPEN_COMMANDS as u32 + 1).to_le_bytes();
        assert!(OpenCommands::load(&[&many[..], &saved[4..]].concat()).is_err());
    }

    proptest! {
        #![proptest_config(crate::generated::cases(256))]

        /// A command is open if it was given and has neither ended nor been refused since; nothing
        /// else counts.
        #[test]
        fn open_is_what_was_given_and_has_not_ended_since(
            happened in proptest::collection::vec((0u8..6, 0u32..4), 0..40),
        ) {
            let mut commands = OpenCommands::default();
            let mut expected = BTreeSet::new();
            for (what, id) in happened {
                match what {
                    0 | 1 => {
                        commands.take_frame(&command(id));
                        expected.insert(id);
                    }
                    2 => {
                        commands.take(&EventBody::ExecExited { id, status: ExitStatus::Code(0) });
                        expected.remove(&id);
                    }
                    3 => {
                        commands.take(&rejected(FrameName::Exec, id));
                        expected.remove(&id);
                    }
                    4 => commands.take(&rejected(FrameName::ExecStdin, id)),
                    _ => {
                        let frame = HostFrame::ExecKill { id, signal: 9 };
                        commands.take_frame(&frame.encode().expect("a frame"));
                    }
                }
            }
            prop_assert_eq!(&commands.open, &expected);
            if !commands.is_empty() {
                prop_assert_eq!(OpenCommands::load(&commands.save()), Ok(commands));
            }
        }
    }
}
