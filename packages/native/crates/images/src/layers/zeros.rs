//! Long runs of zeros in a file's data, found while it streams: they become holes, whether or not the layer
//! marks them. A disk, a database or a log that was created at full length takes only as much room in the
//! image as its written data.

use crate::error::ImageError;
use crate::spool::Spool;
use crate::tree::Segment;

const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];
/// Shorter runs are stored: a list of them would cost more than it saves.
const SHORTEST_RUN: u64 = 64 << 10;

/// A file's data on its way into the spool.
#[derive(Default)]
pub(super) struct WithoutZeros {
    at: u64,
    /// Zeros before `at` that are not in the spool.
    run: u64,
    segments: Vec<Segment>,
}

impl WithoutZeros {
    /// The next bytes of the file: whole blocks, but for its end.
    pub(super) fn append(&mut self, bytes: &[u8], spool: &mut Spool) -> Result<(), ImageError> {
        for block in bytes.chunks(BLOCK) {
            if *block == ZEROS[..block.len()] {
                self.run += block.len() as u64;
            } else {
                self.end_run(spool)?;
                self.keep(block, spool)?;
            }
            self.at += block.len() as u64;
        }
        Ok(())
    }

    /// The stored segments of the file; `None` if all of it is stored.
    pub(super) fn finish(mut self, spool: &mut Spool) -> Result<Option<Vec<Segment>>, ImageError> {
        let size = self.at;
        self.end_run(spool)?;
        let kept: u64 = self.segments.iter().map(|segment| segment.length).sum();
        Ok((kept < size).then_some(self.segments))
    }

    /// Leaves the zeros out, or puts them into the spool.
    fn end_run(&mut self, spool: &mut Spool) -> Result<(), ImageError> {
        let run = std::mem::take(&mut self.run);
        if run >= SHORTEST_RUN {
            return Ok(());
        }
        let end = self.at;
        self.at -= run;
        while self.at < end {
            let count = (end - self.at).min(BLOCK as u64) as usize;
            self.keep(&ZEROS[..count], spool)?;
            self.at += count as u64;
        }
        Ok(())
    }

    /// Puts the bytes at `at` into the spool.
    fn keep(&mut self, bytes: &[u8], spool: &mut Spool) -> Result<(), ImageError> {
        spool.append(bytes)?;
        let length = bytes.len() as u64;
        match self.segments.last_mut() {
            Some(last) if last.offset + last.length == self.at => last.length += length,
            _ => self.segments.push(Segment { offset: self.at, length }),
        }
        Ok(())
    }
}
