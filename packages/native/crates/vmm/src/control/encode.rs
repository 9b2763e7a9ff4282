//! What the host tells the agent.

use super::MAX_FRAME_BYTES;
use super::wire::FrameWriter;

/// A frame cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Longer than the protocol allows.
    #[error(
        "{frame} frame of {found} bytes: at most {expected} fit; send less at once (standard input \
         can follow in pieces)"
    )]
    FrameTooLarge {
        /// Name of the frame.
        frame: &'static str,
        /// Most bytes that fit.
        expected: usize,
        /// Bytes that it would have.
        found: usize,
    },
    /// Fewer bytes of entropy than make a new identity.
    #[error("new identity: expected at least {expected} bytes of entropy, found {found}")]
    TooLittleEntropy {
        /// Fewest bytes.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

impl EncodeError {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FrameTooLarge { .. } => "FrameTooLarge",
            Self::TooLittleEntropy { .. } => "TooLittleEntropy",
        }
    }
}

/// A command for the agent to execute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exec {
    /// Names the command in what follows.
    pub id: u32,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `KEY=VALUE`.
    pub env: Vec<String>,
    /// Working directory; empty: `/`.
    pub cwd: String,
    /// First bytes of standard input.
    pub stdin: Vec<u8>,
    /// Whether standard input ends after them.
    pub close_stdin: bool,
}

/// What makes a clone somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Answered by `IdentityApplied` with the same token.
    pub token: u32,
    /// For the kernel's random source; at least 32 bytes.
    pub entropy: Vec<u8>,
    /// Wall clock in nanoseconds since 1970; 0 leaves it.
    pub realtime_nanos: u64,
    /// Empty leaves it.
    pub hostname: String,
    /// 32 hexadecimal digits; empty leaves it.
    pub machine_id: String,
    /// `KEY=VALUE` for what is started afterwards.
    pub env: Vec<String>,
    /// Whether the frozen workload goes on afterwards.
    pub thaw: bool,
}

/// A frame from the host to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostFrame {
    /// Ends the hold before the workload executes.
    Go,
    /// Executes a command.
    Exec(Exec),
    /// More standard input for a command.
    ExecStdin {
        /// The command.
        id: u32,
        /// More bytes.
        data: Vec<u8>,
        /// Whether standard input ends after them.
        close: bool,
    },
    /// Sends a signal to a command.
    ExecKill {
        /// The command.
        id: u32,
        /// The signal's number.
        signal: i32,
    },
    /// Freezes the workload, syncs, drains.
    Quiesce {
        /// Answered by `AgentQuiesced` with the same token.
        token: u32,
    },
    /// Lets the workload go on.
    Thaw {
        /// Answered by `AgentThawed` with the same token.
        token: u32,
    },
    /// Gives the guest a new identity.
    ApplyIdentity(Identity),
    /// Switches the guest off.
    PowerOff,
}

const MIN_ENTROPY_BYTES: usize = 32;

impl HostFrame {
    /// The frame's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Go => "Go",
            Self::Exec(_) => "Exec",
            Self::ExecStdin { .. } => "ExecStdin",
            Self::ExecKill { .. } => "ExecKill",
            Self::Quiesce { .. } => "Quiesce",
            Self::Thaw { .. } => "Thaw",
            Self::ApplyIdentity(_) => "ApplyIdentity",
            Self::PowerOff => "PowerOff",
        }
    }

    /// The frame's bytes.
    ///
    /// ```
    /// use stillpoint_vmm::control::HostFrame;
    /// assert_eq!(HostFrame::Go.encode(), Ok(vec![1, 0, 0, 0, 0x81]));
    /// ```
    ///
    /// # Errors
    /// [`EncodeError`] if the frame cannot be sent.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let writer = match self {
            Self::Go => FrameWriter::new(0x81),
            Self::Exec(exec) => FrameWriter::new(0x82)
                .u32(exec.id)
                .list(&exec.argv)
                .list(&exec.env)
                .bytes(exec.cwd.as_bytes())
                .bytes(&exec.stdin)
                .u8(u8::from(exec.close_stdin)),
            Self::ExecStdin { id, data, close } => {
                FrameWriter::new(0x83).u32(*id).bytes(data).u8(u8::from(*close))
            }
            Self::ExecKill { id, signal } => FrameWriter::new(0x84).u32(*id).i32(*signal),
            Self::Quiesce { token } => FrameWriter::new(0x85).u32(*token),
            Self::Thaw { token } => FrameWriter::new(0x86).u32(*token),
            Self::ApplyIdentity(identity) => {
                if identity.entropy.len() < MIN_ENTROPY_BYTES {
                    return Err(EncodeError::TooLittleEntropy {
                        expected: MIN_ENTROPY_BYTES,
                        found: identity.entropy.len(),
                    });
                }
                FrameWriter::new(0x87)
                    .u32(identity.token)
                    .bytes(&identity.entropy)
                    .u64(identity.realtime_nanos)
                    .bytes(identity.hostname.as_bytes())
                    .bytes(identity.machine_id.as_bytes())
                    .list(&identity.env)
                    .u8(u8::from(identity.thaw))
            }
            Self::PowerOff => FrameWriter::new(0x88),
        };
        writer.finish().map_err(|found| EncodeError::FrameTooLarge {
            frame: self.name(),
            expected: MAX_FRAME_BYTES,
            found,
        })
    }
}
