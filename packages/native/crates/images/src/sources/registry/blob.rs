//! A blob as it comes: taken up again where a connection broke, or from its beginning where a registry knows
//! no ranges; given up where too little comes.

use super::RegistrySource;
use super::endpoint::Endpoint;
use crate::digest::Digest;
use crate::error::ImageError;
use std::io::{self, Read};
use std::time::Instant;
use ureq::BodyReader;

/// Connections for one blob that may break.
const MOST_BREAKS: u32 = 3;
/// So little in so long as nothing may come is as good as nothing.
const LEAST_BYTES: u64 = 1024;

pub(super) struct Blob<'a> {
    source: &'a RegistrySource<'a>,
    endpoint: &'a Endpoint,
    digest: Digest,
    size: u64,
    body: Option<BodyReader<'static>>,
    done: u64,
    /// Bytes that come again before those that are wanted.
    again: u64,
    breaks: u32,
    window: (Instant, u64),
}

impl<'a> Blob<'a> {
    pub(super) fn new(
        source: &'a RegistrySource<'a>,
        endpoint: &'a Endpoint,
        digest: Digest,
        size: u64,
        body: BodyReader<'static>,
    ) -> Self {
        let window = (Instant::now(), 0);
        let body = Some(body);
        Self { source, endpoint, digest, size, body, done: 0, again: 0, breaks: 0, window }
    }

    /// The rest, from where it broke off; `cause` if it breaks too often.
    fn take_up(&mut self, cause: ImageError) -> Result<(), ImageError> {
        self.source.watch.check()?;
        self.breaks += 1;
        if self.breaks > MOST_BREAKS {
            return Err(cause);
        }
        self.body = None;
        let opened = self.source.open_at(self.endpoint, &self.digest, self.size, self.done)?;
        self.body = Some(opened.0);
        self.again = opened.1;
        Ok(())
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(body) = &mut self.body else { return Ok(0) };
            let url = || self.source.blob_url(self.endpoint, &self.digest);
            let most = if self.again == 0 { u64::MAX } else { self.again };
            let len = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
            let cause = match body.read(&mut buffer[..len]) {
                // More than it should be is for whoever verifies to see.
                Ok(0) if self.done < self.size => ImageError::BlobSizeWrong {
                    digest: self.digest.to_string(),
                    expected: self.size,
                    found: self.done.to_string(),
                },
                Ok(count) => {
                    let is_again = self.again > 0;
                    if is_again {
                        self.again -= count as u64;
                    } else {
                        self.done += count as u64;
                    }
                    self.window.1 += count as u64;
                    let silence = self.source.client.silence();
                    if self.window.0.elapsed() > silence {
                        if self.window.1 < LEAST_BYTES && self.done < self.size {
                            let after_millis = silence.as_millis() as u64;
                            return Err(ImageError::TimedOut { what: url(), after_millis }.into());
                        }
                        self.window = (Instant::now(), 0);
                    }
                    if is_again {
                        continue;
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.source.client.failed(&url(), &ureq::Error::from(error)),
            };
            // Whatever it was: given up is given up, and waiting once more for what hangs is waiting too long.
            self.source.watch.check()?;
            if matches!(cause, ImageError::TimedOut { .. }) {
                return Err(cause.into());
            }
            self.take_up(cause)?;
        }
    }
}
