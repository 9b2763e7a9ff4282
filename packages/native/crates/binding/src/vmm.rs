//! Where machines come from.

use crate::boot_spec::BootSpec;
use crate::event_batch::{integer, seq};
use crate::machine::{native, settle};
use crate::promise::promise;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use stillpoint_engines::engines;
use stillpoint_host::guarded::guarded;
use stillpoint_host::hosted::Hosted;
use stillpoint_host::refusal::Refusal;
use stillpoint_host::session::SessionError;
use stillpoint_host::workers::Workers;
use stillpoint_vmm::memory;
use stillpoint_vmm::snapshot::{RestoreError, SnapshotId};

/// The threads of all machines in this process.
pub(crate) static WORKERS: LazyLock<Workers> = LazyLock::new(Workers::new);

/// A machine about to execute the first instruction of what `spec` names.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | NativeMachine>")]
pub fn boot(env: &Env, spec: BootSpec) -> napi::Result<Object<'_>> {
    let config = spec.into();
    make(env, "BootError", move |workers| Hosted::boot(&config, engines(), workers))
}

/// The machine that was captured to the first of `directories`; the others are the snapshots that
/// it is a delta to. `identity` is what the snapshot must be.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | NativeMachine>")]
pub fn restore(
    env: &Env,
    directories: Vec<String>,
    identity: Option<String>,
) -> napi::Result<Object<'_>> {
    make(env, "RestoreError", move |workers| {
        let directories: Vec<PathBuf> = directories.into_iter().map(PathBuf::from).collect();
        let parsed = identity.as_deref().map(str::parse::<SnapshotId>).transpose();
        let expected = parsed.map_err(|invalid| RestoreError::IdMismatch {
            path: directories.first().map_or_else(String::new, |path| path.display().to_string()),
            expected: invalid.found,
            found: "identities of another form".to_owned(),
        })?;
        Hosted::restore(&directories, expected, engines(), workers)
    })
}

/// Threads that exist now for machines that run.
#[napi]
pub fn worker_threads() -> u32 {
    u32::try_from(WORKERS.threads()).unwrap_or(u32::MAX)
}

/// Bytes of host memory that all machines of this process may hold for their guests.
#[napi]
pub fn guest_memory_limit_bytes() -> f64 {
    seq(memory::limit_bytes())
}

/// Bytes of host memory that all machines of this process hold for their guests.
#[napi]
pub fn guest_memory_bytes() -> f64 {
    seq(memory::in_use_bytes())
}

/// Limits the host memory that all machines of this process may hold for their guests; a guest
/// that needs more faults.
#[napi]
pub fn limit_guest_memory(bytes: f64) {
    memory::set_limit_bytes(integer(bytes));
}

fn make<'env>(
    env: &'env Env,
    failed: &'static str,
    make: impl FnOnce(&Workers) -> Result<Hosted, Refusal> + Send + 'static,
) -> napi::Result<Object<'env>> {
    promise(env, |settled| {
        let promise = Arc::new(Mutex::new(Some(settled)));
        let finish = Arc::clone(&promise);
        let answer = move |outcome: Result<Hosted, Refusal>| {
            let promise = finish.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(promise) = promise {
                settle(promise, failed, outcome, native);
            }
        };
        let refuse = answer.clone();
        if let Err(refused) = WORKERS.execute(move || answer(make_guarded(make))) {
            let error = SessionError::NoThread { message: refused.to_string() };
            refuse(Err(error.into()));
        }
    })
}

/// A panic while a machine is made becomes a refusal.
fn make_guarded(make: impl FnOnce(&Workers) -> Result<Hosted, Refusal>) -> Result<Hosted, Refusal> {
    guarded(|| make(&WORKERS))
        .unwrap_or_else(|message| Err(SessionError::Panicked { message }.into()))
}
