//! A command for the agent to execute.

use crate::event_batch::integer;
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
    /// Bytes of its output window.
    pub output_bytes: f64,
    /// Whom it runs as; empty: uid 0.
    pub user: String,
    /// Columns of its terminal; 0: none.
    pub columns: u32,
    /// Rows of its terminal.
    pub rows: u32,
    /// Whether it is the agent's own program for file operations.
    pub is_file_service: bool,
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
            output_bytes: integer(request.output_bytes),
            user: request.user,
            columns: cells(request.columns),
            rows: cells(request.rows),
            is_file_service: request.is_file_service,
        })
    }
}

/// Columns or rows of a terminal.
pub(crate) fn cells(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
