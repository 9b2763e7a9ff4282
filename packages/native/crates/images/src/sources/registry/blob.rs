//! A blob as it comes: taken up again where a connection broke, or from its beginning where a registry knows
//! no ranges; given up where too little comes.

use super::endpoint::Endpoint;
use super::{Body, RegistrySource};
use crate::digest::Digest;
use crate::error::ImageError;
use std::io::{self, Read};

/// Connections for one blob that may break.
const MOST_BREAKS: u32 = 3;

pub(super) struct Blob<'a> {
    source: &'a RegistrySource<'a>,
    endpoint: &'a Endpoint,
    digest: Digest,
    size: u64,
    body: Option<Body>,
    done: u64,
    /// Bytes that come again before those that are wanted.
    again: u64,
    breaks: u32,
}

impl<'a> Blob<'a> {
    pub(super) fn new(
        source: &'a RegistrySource<'a>,
        endpoint: &'a Endpoint,
        digest: Digest,
        size: u64,
        body: Body,
    ) -> Self {
        let body = Some(body);
        Self { source, endpoint, digest, size, body, done: 0, again: 0, breaks: 0 }
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
                    if self.again == 0 {
                        self.done += count as u64;
                        return Ok(count);
                    }
                    self.again -= count as u64;
                    continue;
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
