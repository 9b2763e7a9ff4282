//! Threads that exist only while there is work for them.

use crate::alarms::Alarms;
use crate::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, spawn, spawn_confined, wait_up_to,
};
use crate::turns::Turns;
use std::collections::VecDeque;
use std::time::Duration;
use stillpoint_confine::is_confined;

/// How long a thread without work waits for more before it ends.
const LINGER: Duration = Duration::from_millis(500);

type Job = Box<dyn FnOnce() + Send>;

struct Queue {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    /// Requested threads that have not looked for a job yet. On a busy host that takes a while,
    /// during which their jobs must not request more threads.
    starting: usize,
    threads: usize,
    most_threads: usize,
    /// Maximum number of threads that wait for a job: after a burst the others end.
    most_idle: usize,
}

/// Whether a set's threads are confined, once guests are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Confined {
    Yes,
    No,
}

/// Threads that wait for a job, for each processor.
const IDLE_THREADS: usize = 2;

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    confined: Confined,
}

impl Shared {
    fn new(most_threads: usize, most_idle: usize, confined: Confined) -> Arc<Self> {
        let (idle, starting, threads) = (0, 0, 0);
        let jobs = VecDeque::new();
        let queue = Queue { jobs, idle, starting, threads, most_threads, most_idle };
        Arc::new(Self { queue: Mutex::new(queue), arrived: Condvar::new(), confined })
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A job never runs under the lock, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set of threads that grows to as many as there are jobs at once, and shrinks to none.
///
/// A job may take any time: a machine's run is one job. Jobs that are known to be brief and may
/// wait, such as freeing memory, share a few threads. A job that panics ends its own thread and
/// nothing else; callers that care catch the panic inside the job.
#[derive(Clone)]
pub struct Workers {
    /// Threads that have a machine, once guests are confined.
    confined: Arc<Shared>,
    long: Arc<Shared>,
    brief: Arc<Shared>,
    turns: Turns,
    alarms: Alarms,
}

/// Threads for brief jobs.
const MOST_BRIEF_THREADS: usize = 2;

impl Default for Workers {
    fn default() -> Self {
        Self::for_processors(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// The host has no thread to give.
#[derive(Debug, thiserror::Error)]
#[error("expected a thread for the machine, found none: {0}; close machines or raise the limit")]
pub struct NoThread(#[from] std::io::Error);

impl Workers {
    /// A set without threads.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Self::new`], on a host with so many processors.
    pub fn for_processors(processors: usize) -> Self {
        let alarms = Alarms::new();
        let most_idle = (IDLE_THREADS * processors).max(IDLE_THREADS);
        Self {
            confined: Shared::new(usize::MAX, most_idle, Confined::Yes),
            long: Shared::new(usize::MAX, most_idle, Confined::No),
            brief: Shared::new(MOST_BRIEF_THREADS, MOST_BRIEF_THREADS, Confined::No),
            turns: Turns::new(processors, &alarms),
            alarms,
        }
    }

    /// Threads that exist now, working or lingering.
    pub fn threads(&self) -> usize {
        [&self.confined, &self.long, &self.brief].map(|set| set.lock().threads).iter().sum()
    }

    /// The turns that runs on these threads take.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The alarms on the host's clock.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Executes `job` on a thread of its own, soon.
    ///
    /// # Errors
    /// [`NoThread`] if a new thread was needed and the host refused it; the job is dropped
    /// unexecuted then.
    pub fn execute(&self, job: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
        Shared::execute(&self.long, Box::new(job))
    }

    /// Executes `job`, which has a machine, on a thread of its own, soon: a confined one, once
    /// guests are.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn execute_guest(&self, job: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
        let threads = if is_confined() { &self.confined } else { &self.long };
        Shared::execute(threads, Box::new(job))
    }

    /// Executes `job`, which does not wait for anything, after other brief ones.
    ///
    /// # Errors
    /// [`NoThread`] if there is no thread and the host refused one; the job is dropped unexecuted
    /// then.
    pub fn execute_brief(&self, job: impl FnOnce() + Send + 'static) -> Result<(), NoThread> {
        Shared::execute(&self.brief, Box::new(job))
    }
}

impl Shared {
    fn execute(shared: &Arc<Self>, job: Job) -> Result<(), NoThread> {
        let mut queue = shared.lock();
        queue.jobs.push_back(job);
        let expected = queue.idle + queue.starting;
        if expected >= queue.jobs.len() || queue.threads >= queue.most_threads {
            drop(queue);
            shared.arrived.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(shared);
        let confined = shared.confined;
        let works = move || work(&Presence(shared));
        let spawned = match confined {
            Confined::Yes => spawn_confined("stillpoint", works),
            Confined::No => spawn("stillpoint", works),
        };
        match spawned {
            Ok(()) => {
                queue.threads += 1;
                queue.starting += 1;
                Ok(())
            }
            Err(error) => {
                let refused = queue.jobs.pop_back();
                drop(queue);
                drop(refused);
                Err(error.into())
            }
        }
    }
}

/// A thread's membership: dropped with the thread, however it ends.
struct Presence(Arc<Shared>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
    }
}

fn work(presence: &Presence) {
    let shared = &presence.0;
    let mut queue = shared.lock();
    queue.starting -= 1;
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            job();
            queue = shared.lock();
            continue;
        }
        if queue.idle >= queue.most_idle {
            return;
        }
        queue.idle += 1;
        let (guard, is_over) = wait_up_to(&shared.arrived, &shared.queue, queue, LINGER);
        queue = guard;
        queue.idle -= 1;
        if is_over && queue.jobs.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn as_many_jobs_run_at_once_as_were_given() {
        let workers = Workers::new();
        let barrier = Arc::new(std::sync::Barrier::new(9));
        for _ in 0..8 {
            let barrier = Arc::clone(&barrier);
            workers
                .execute(move || {
                    barrier.wait();
                    barrier.wait();
                })
                .unwrap();
        }
        barrier.wait();
        // All of them are in their jobs; afterwards those without work may end.
        assert!(workers.threads() >= 8);
        barrier.wait();
    }

    #[test]
    fn a_thread_is_used_again() {
        let workers = Workers::new();
        let (done, finished) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            workers.execute(move || done.send(std::thread::current().id()).unwrap()).unwrap();
            finished.recv().unwrap();
        }
        assert!(workers.threads() <= 100);
    }

    #[test]
    fn a_thread_that_is_slow_to_start_is_not_asked_for_twice() {
        let shared = Shared::new(usize::MAX, 1, Confined::No);
        // One was requested, and another thread did its job before it started.
        shared.lock().starting = 1;
        Shared::execute(&shared, Box::new(|| {})).unwrap();
        assert_eq!(shared.lock().threads, 0);
        // The thread stays until it is released: an idle one ends after a while.
        let (let_go, is_let_go) = mpsc::channel::<()>();
        let staying = move || {
            let _ = is_let_go.recv();
        };
        Shared::execute(&shared, Box::new(staying)).unwrap();
        assert_eq!(shared.lock().threads, 1);
        drop(let_go);
    }

    #[test]
    fn brief_jobs_share_threads() {
        let workers = Workers::new();
        let (done, finished) = mpsc::channel();
        for _ in 0..1000 {
            let done = done.clone();
            workers.execute_brief(move || done.send(()).unwrap()).unwrap();
            assert!(workers.threads() <= MOST_BRIEF_THREADS);
        }
        (0..1000).for_each(|_| finished.recv().unwrap());
    }

    #[test]
    fn a_panicking_job_takes_no_other_with_it() {
        let workers = Workers::new();
        let (done, finished) = mpsc::channel();
        workers.execute(|| std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
        workers.execute(move || done.send(()).unwrap()).unwrap();
        finished.recv().unwrap();
    }
}
