//! Waiting for the host's sockets: one thread of the process, there only while a socket is watched.
//!
//! A socket is watched for one thing at a time, once: when it can be read or written, whose it is is
//! told, and it is watched again when its owner asks. So a machine that does not look costs nothing.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use polling::{Event, Events, Poller};

/// The operations that a socket is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The socket, by the number that its owner gave it.
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// The results of the thread for one owner.
pub(crate) struct Mailbox {
    found: Mutex<Vec<Readiness>>,
    is_full: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    /// A mailbox whose owner is woken with `wake`, from any thread.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let (found, is_full) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { found, is_full, wake: Box::new(wake) })
    }

    /// Whether there are results.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// The results since the last call.
    pub(crate) fn take(&self) -> Vec<Readiness> {
        self.is_full.store(false, Ordering::Release);
        std::mem::take(&mut *lock(&self.found))
    }

    /// Has the owner look, without having found anything.
    pub(crate) fn ring(&self) {
        self.is_full.store(true, Ordering::Release);
        (self.wake)();
    }

    fn leave(&self, readiness: Readiness) {
        lock(&self.found).push(readiness);
        self.ring();
    }
}

struct Shared {
    poller: Poller,
    owners: Mutex<HashMap<usize, (Weak<Mailbox>, u64)>>,
    is_over: AtomicBool,
    next_key: AtomicUsize,
}

/// The thread, for as long as it has any owner.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    /// Hangs up when the thread ends.
    thread: Mutex<Receiver<()>>,
}

static CURRENT: Mutex<Weak<Watch>> = Mutex::new(Weak::new());

impl Watch {
    /// The one of this process.
    ///
    /// # Errors
    /// If the host has no thread or no descriptor to give.
    pub(crate) fn current() -> io::Result<Arc<Self>> {
        let mut current = lock(&CURRENT);
        if let Some(watch) = current.upgrade() {
            return Ok(watch);
        }
        let shared = Arc::new(Shared {
            poller: Poller::new()?,
            owners: Mutex::default(),
            is_over: AtomicBool::new(false),
            next_key: AtomicUsize::new(0),
        });
        let (present, thread) = channel();
        let waiting = Arc::clone(&shared);
        stillpoint_confine::spawn("stillpoint-net", move || {
            waiting.wait();
            drop(present);
        })?;
        let watch = Arc::new(Self { shared, thread: Mutex::new(thread) });
        *current = Arc::downgrade(&watch);
        Ok(watch)
    }

    /// Registers a socket; `mailbox` gets its events with `token`. It is not watched until
    /// requested.
    ///
    /// # Errors
    /// If the host cannot watch it.
    pub(crate) fn watched<S: AsFd>(
        self: &Arc<Self>,
        socket: S,
        mailbox: &Arc<Mailbox>,
        token: u64,
    ) -> io::Result<Watched<S>> {
        let key = self.shared.next_key.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.owners).insert(key, (Arc::downgrade(mailbox), token));
        // SAFETY: `Watched` owns the socket and takes it out of the poller before it is closed.
        let added = unsafe { self.shared.poller.add(socket.as_fd().as_raw_fd(), Event::none(key)) };
        if let Err(error) = added {
            lock(&self.shared.owners).remove(&key);
            return Err(error);
        }
        Ok(Watched { watch: Arc::clone(self), socket, key })
    }
}

impl Shared {
    fn wait(&self) {
        let mut events = Events::new();
        while !self.is_over.load(Ordering::Acquire) {
            events.clear();
            if self.poller.wait(&mut events, None).is_err() {
                // The error cannot be repaired here; users of the socket will find that it fails.
                std::thread::yield_now();
            }
            for event in events.iter() {
                let owner = lock(&self.owners).get(&event.key).cloned();
                if let Some((mailbox, token)) = owner
                    && let Some(mailbox) = mailbox.upgrade()
                {
                    let (readable, writable) = (event.readable, event.writable);
                    mailbox.leave(Readiness { token, readable, writable });
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        let notified = self.shared.poller.notify();
        if notified.is_ok() {
            let _ = lock(&self.thread).recv();
        }
    }
}

/// A socket that can be watched.
pub(crate) struct Watched<S: AsFd> {
    watch: Arc<Watch>,
    pub(crate) socket: S,
    key: usize,
}

impl<S: AsFd> Watched<S> {
    /// Tells the owner once when the socket can be read or written.
    ///
    /// # Errors
    /// If the host cannot watch it any more.
    pub(crate) fn ask(&self, readable: bool, writable: bool) -> io::Result<()> {
        let interest = Event::new(self.key, readable, writable);
        self.watch.shared.poller.modify(self.socket.as_fd(), interest)
    }
}

impl<S: AsFd> Drop for Watched<S> {
    fn drop(&mut self) {
        let _ = self.watch.shared.poller.delete(self.socket.as_fd());
        lock(&self.watch.shared.owners).remove(&self.key);
    }
}
