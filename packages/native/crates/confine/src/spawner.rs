//! The thread that starts all others once guests are confined.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Builder;

use crate::ConfineError;

type Work = Box<dyn FnOnce() + Send>;

struct Request {
    name: &'static str,
    work: Work,
    started: Sender<io::Result<()>>,
}

static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

fn start_thread(name: &str, work: Work) -> io::Result<()> {
    Builder::new().name(name.to_owned()).spawn(work).map(|_| ())
}

fn gone() -> io::Error {
    io::Error::other("the thread that starts others is gone")
}

pub(crate) fn is_started() -> bool {
    SPAWNER.get().is_some()
}

pub(crate) fn start() -> Result<(), ConfineError> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if is_started() {
        return Ok(());
    }
    let refused = |error: io::Error| ConfineError { found: error.to_string() };
    // A thread of its own shows whether the host takes the filter.
    confined(start_thread, "stillpoint", Box::new(|| {})).map_err(refused)?;
    let (requests, asked) = channel::<Request>();
    let spawns = move || {
        for Request { name, work, started } in asked {
            let _ = started.send(start_thread(name, work));
        }
    };
    start_thread("stillpoint-spawn", Box::new(spawns)).map_err(refused)?;
    let _ = SPAWNER.set(requests);
    Ok(())
}

/// Starts a thread that is not confined, whichever thread asks for it.
///
/// # Errors
/// If the host has no thread to give; `work` is dropped unexecuted then.
pub fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    spawn_boxed(name, Box::new(work))
}

fn spawn_boxed(name: &'static str, work: Work) -> io::Result<()> {
    let Some(spawner) = SPAWNER.get() else { return start_thread(name, work) };
    let (started, answer) = channel();
    spawner.send(Request { name, work, started }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Starts a thread for guests: confined, if [`is_confined`](crate::is_confined).
///
/// # Errors
/// If the host has no thread to give, or does not take its filter; `work` is dropped unexecuted then.
pub fn spawn_confined(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if is_started() { confined(spawn_boxed, name, Box::new(work)) } else { spawn(name, work) }
}

/// Starts a thread by `start`, and waits until it is confined.
fn confined<'n>(
    start: impl FnOnce(&'n str, Work) -> io::Result<()>,
    name: &'n str,
    work: Work,
) -> io::Result<()> {
    let (entered, answer) = channel();
    let begin = move || {
        let is_confined = enter();
        let goes_on = is_confined.is_ok();
        let _ = entered.send(is_confined);
        if goes_on {
            work();
        }
    };
    start(name, Box::new(begin))?;
    answer.recv().map_err(|_| gone())?
}

/// Confines the calling thread.
#[cfg(target_os = "linux")]
fn enter() -> io::Result<()> {
    crate::filter::install()
}

#[cfg(not(target_os = "linux"))]
fn enter() -> io::Result<()> {
    Err(io::Error::other("another operating system"))
}
