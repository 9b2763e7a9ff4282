//! Makes machines.

use crate::boot_spec::BootSpec;
use crate::disk_source::DiskSource;
use crate::encryption_key::key_of;
use crate::engine_report::EngineReport;
use crate::event_batch::{integer, seq};
use crate::machine::{native, settle};
use crate::promise::promise;
use crate::snapshot_disk::SnapshotDisk;
use napi::Env;
use napi::bindgen_prelude::{Null, Object, ToNapiValue, Uint8Array};
use napi_derive::napi;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use stillpoint_engines::engines;
use stillpoint_host::guarded::guarded;
use stillpoint_host::hosted::Hosted;
use stillpoint_host::refusal::Refusal;
use stillpoint_host::session::SessionError;
use stillpoint_host::workers::Workers;
use stillpoint_vmm::machine::{CreateError, MachineConfig};
use stillpoint_vmm::memory;
use stillpoint_vmm::snapshot::{RestoreError, RestoreOptions, SnapshotId, read_header, verify};

/// The threads of all machines in this process.
pub(crate) static WORKERS: LazyLock<Workers> = LazyLock::new(Workers::new);

/// A machine about to execute the first instruction of what `spec` names.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | NativeMachine>")]
pub fn boot(env: &Env, spec: BootSpec) -> napi::Result<Object<'_>> {
    let config = MachineConfig::try_from(spec);
    make(env, "BootError", move |workers| {
        let config = config.map_err(CreateError::from)?;
        Hosted::boot(&config, engines(), workers)
    })
}

/// The machine that was captured to the first of `directories`; the others are the snapshots that
/// it is a delta to. `identity` is what the snapshot must be; `disks` says where files that its disks
/// are read from are, if they are no longer where they were; `encryption_key`, 32 bytes, is what they
/// are encrypted with.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | NativeMachine>")]
pub fn restore(
    env: &Env,
    directories: Vec<String>,
    identity: Option<String>,
    disks: Vec<DiskSource>,
    encryption_key: Option<Uint8Array>,
) -> napi::Result<Object<'_>> {
    let encryption_key = encryption_key.as_deref().map(key_of).transpose()?;
    make(env, "RestoreError", move |workers| {
        let directories: Vec<PathBuf> = directories.into_iter().map(PathBuf::from).collect();
        let parsed = identity.as_deref().map(str::parse::<SnapshotId>).transpose();
        let expected_id = parsed.map_err(|invalid| RestoreError::IdMismatch {
            path: directories.first().map_or_else(String::new, |path| path.display().to_string()),
            expected: invalid.found,
            found: "identities of another form".to_owned(),
        })?;
        let disk_sources = disks.into_iter().map(Into::into).collect();
        let options = RestoreOptions {
            expected_id,
            disk_sources,
            encryption_key,
            ..RestoreOptions::default()
        };
        Hosted::restore(&directories, &options, engines(), workers)
    })
}

/// Compares every stored byte of the snapshot in the first of `directories`, and of those that it is a
/// delta to, with the digests in them. Needs no encryption key.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | null>")]
pub fn verify_files(env: &Env, directories: Vec<String>) -> napi::Result<Object<'_>> {
    make_one(
        env,
        "RestoreError",
        move |_workers| {
            let directories: Vec<PathBuf> = directories.into_iter().map(PathBuf::from).collect();
            verify(&directories).map_err(Refusal::from)
        },
        |()| Null,
    )
}

/// The disks of the machine that was captured to `directory`.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | Array<SnapshotDisk>>")]
pub fn snapshot_disks(env: &Env, directory: String) -> napi::Result<Object<'_>> {
    make_one(
        env,
        "RestoreError",
        move |_workers| {
            let header = read_header(Path::new(&directory)).map_err(Refusal::from)?;
            Ok(header.disks.into_iter().map(SnapshotDisk::from).collect::<Vec<_>>())
        },
        |disks| disks,
    )
}

/// The engines that machines can name, with a report of each on this host.
///
/// # Errors
/// If the promise cannot be made.
#[napi(ts_return_type = "Promise<Failure | Array<EngineReport>>")]
pub fn engine_reports(env: &Env) -> napi::Result<Object<'_>> {
    make_one(
        env,
        "BootError",
        |_workers| {
            let reports = engines().kinds().iter().map(|kind| kind.report().into());
            Ok(reports.collect::<Vec<EngineReport>>())
        },
        |reports| reports,
    )
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

/// From now on runs all guests of this process on threads that may use only the system calls that guests
/// need. `null` once that is so, else what this host answered.
#[napi(ts_return_type = "string | null")]
pub fn confine_guests() -> Option<String> {
    stillpoint_confine::confine_guests().err().map(|refused| refused.found)
}

fn make<'env>(
    env: &'env Env,
    failed: &'static str,
    make: impl FnOnce(&Workers) -> Result<Hosted, Refusal> + Send + 'static,
) -> napi::Result<Object<'env>> {
    make_one(env, failed, make, native)
}

/// Does something that may take a while on another thread.
fn make_one<'env, R: Send + 'static, T: ToNapiValue + Send + 'static>(
    env: &'env Env,
    failed: &'static str,
    make: impl FnOnce(&Workers) -> Result<R, Refusal> + Send + 'static,
    made: fn(R) -> T,
) -> napi::Result<Object<'env>> {
    promise(env, |settled| {
        let promise = Arc::new(Mutex::new(Some(settled)));
        let finish = Arc::clone(&promise);
        let answer = move |outcome: Result<R, Refusal>| {
            let promise = finish.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(promise) = promise {
                settle(promise, failed, outcome, made);
            }
        };
        let refuse = answer.clone();
        if let Err(refused) = WORKERS.execute(move || answer(make_guarded(make))) {
            let error = SessionError::NoThread { message: refused.to_string() };
            refuse(Err(error.into()));
        }
    })
}

/// A panic meanwhile becomes a refusal.
fn make_guarded<R>(make: impl FnOnce(&Workers) -> Result<R, Refusal>) -> Result<R, Refusal> {
    guarded(|| make(&WORKERS))
        .unwrap_or_else(|message| Err(SessionError::Panicked { message }.into()))
}
