//! A command for the agent to execute.

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use stillpoint_vmm::control::{Exec, HostFrame};

/// A command for the agent to execute.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct ExecRequest {
    /// Names the command in what follows.
    pub id: u32,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `KEY=VALUE`.
    pub env: Vec<String>,
    /// Working directory; empty: `/`.
    pub cwd: String,
    /// First bytes of standard input.
    pub stdin: Uint8Array,
    /// Whether standard input ends after them.
    pub close_stdin: bool,
    /// Whether it holds a secret, and is recorded without its content.
    pub is_secret: bool,
}

impl From<ExecRequest> for HostFrame {
    fn from(request: ExecRequest) -> Self {
        Self::Exec(Exec {
            id: request.id,
            argv: request.argv,
            env: request.env,
            cwd: request.cwd,
            stdin: request.stdin.to_vec(),
            close_stdin: request.close_stdin,
        })
    }
}
