//! An event log without a machine, for measuring the path from Rust to a subscriber.

use crate::event_batch::{EventBatch, batch, integer, seq};
use crate::failure::Failure;
use napi::bindgen_prelude::{Either, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use std::sync::Arc;
use stillpoint_host::event_log::{DEFAULT_LIMIT_BYTES, EventLog};
use stillpoint_vmm::event::{Event, EventBody};

/// An event log that a thread fills as fast as it can.
#[napi]
pub struct SyntheticLog {
    log: Arc<EventLog>,
}

#[napi]
impl SyntheticLog {
    /// An empty log.
    #[napi(constructor)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { log: Arc::new(EventLog::new(0, DEFAULT_LIMIT_BYTES)) }
    }

    /// Has `count` events appended by a thread of its own: a console line, then seven small ones,
    /// again and again; calls `wake` when there is something to read.
    ///
    /// # Errors
    /// If the callback cannot be handed to a thread.
    #[napi]
    pub fn start(&self, count: f64, wake: Function<'_, (), ()>) -> napi::Result<()> {
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        self.log.set_wake(move || {
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        let log = Arc::clone(&self.log);
        let count = integer(count);
        std::thread::spawn(move || {
            let mut events = Vec::with_capacity(64);
            for number in 0..count {
                let body = match number % 8 {
                    0 => EventBody::SerialLine {
                        port: 0,
                        text: "[    0.261384] pci 0000:00:01.0: enabling device".to_owned(),
                    },
                    1 => EventBody::PagesDirtied { count: number },
                    2 => EventBody::HeartbeatTick { count: number },
                    kind if kind % 2 == 1 => EventBody::GuestIdle,
                    _ => EventBody::GuestBusy,
                };
                events.push(Event { seq: number, at_nanos: number * 100, body });
                if events.len() == 64 {
                    log.append(&events);
                    events.clear();
                }
            }
            log.append(&events);
            log.end();
        });
        Ok(())
    }

    /// Sequence number that the next event will have.
    #[napi]
    pub fn next_seq(&self) -> f64 {
        seq(self.log.next_seq())
    }

    /// The events from `from_seq` on, at most about `max_bytes` of them.
    #[napi(ts_return_type = "Failure | EventBatch")]
    pub fn read(&self, from_seq: f64, max_bytes: u32) -> Either<Failure, EventBatch> {
        batch(self.log.read(integer(from_seq), max_bytes as usize))
    }
}
