//! A registry's data stream that fails if it is too slow.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// So little in so long as nothing may come is as good as nothing.
const LEAST_BYTES: u64 = 1024;

/// A body that ends with [`io::ErrorKind::TimedOut`] if it is too slow.
pub(super) struct Steady<R> {
    body: R,
    silence: Duration,
    began: Instant,
    since: u64,
}

impl<R> Steady<R> {
    pub(super) fn new(body: R, silence: Duration) -> Self {
        Self { body, silence, began: Instant::now(), since: 0 }
    }
}

impl<R: Read> Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.since += count as u64;
        if self.began.elapsed() > self.silence {
            if self.since < LEAST_BYTES && count > 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            (self.began, self.since) = (Instant::now(), 0);
        }
        Ok(count)
    }
}
