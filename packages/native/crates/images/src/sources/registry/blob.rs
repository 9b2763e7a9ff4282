//! A blob as a stream: continued where a connection broke, or from its beginning if a registry does not
//! support ranges; continued from the next endpoint if a mirror fails; given up if it is too slow.

use super::endpoint::Endpoint;
use super::{Body, RegistrySource};
use crate::digest::Digest;
use crate::error::ImageError;
use std::io::{self, Read};

/// Connections for one blob that may break.
const MOST_BREAKS: u32 = 3;

pub(super) struct Blob<'a> {
    source: &'a RegistrySource<'a>,
    /// The endpoint that serves it, and the next ones.
    endpoints: &'a [Endpoint],
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
        endpoints: &'a [Endpoint],
        digest: Digest,
        size: u64,
        body: Body,
    ) -> Self {
        let body = Some(body);
        Self { source, endpoints, digest, size, body, done: 0, again: 0, breaks: 0 }
    }

    /// Continues where it broke off, from the same or the next endpoint; returns the last error.
    fn take_up(&mut self, mut cause: ImageError) -> Result<(), ImageError> {
        self.breaks += 1;
        // A second wait for a registry that hangs would take too long.
        if self.breaks <= MOST_BREAKS && !matches!(cause, ImageError::TimedOut { .. }) {
            match self.open_rest() {
                Err(error) => cause = error,
                Ok(()) => return Ok(()),
            }
        }
        while let [_, behind @ ..] = self.endpoints
            && !behind.is_empty()
        {
            self.source.watch.check()?;
            (self.endpoints, self.breaks) = (behind, 0);
            match self.open_rest() {
                Err(error) => cause = error,
                Ok(()) => return Ok(()),
            }
        }
        Err(cause)
    }

    fn open_rest(&mut self) -> Result<(), ImageError> {
        self.body = None;
        let wanted = self.done..self.size;
        let (body, coming) =
            self.source.open_at(self.endpoint()?, &self.digest, self.size, &wanted)?;
        self.body = Some(body);
        self.again = self.done - coming.start;
        Ok(())
    }

    fn endpoint(&self) -> Result<&'a Endpoint, ImageError> {
        self.endpoints.first().ok_or(ImageError::Cancelled)
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let endpoint = self.endpoint()?;
            let Some(body) = &mut self.body else { return Ok(0) };
            let url = || self.source.blob_url(endpoint, &self.digest);
            let most = if self.again == 0 { u64::MAX } else { self.again };
            let len = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
            let cause = match body.read(&mut buffer[..len]) {
                // The verifying reader detects too many bytes.
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
            // If the operation was interrupted, that is the error.
            self.source.watch.check()?;
            self.take_up(cause)?;
        }
    }
}
