//! Carries out a request when its time has come.

use super::{
    Block, FEATURE_FLUSH, Io, MAX_DATA_BYTES, MAX_STRETCH_SECTORS, MAX_STRETCHES, QueueError,
    Request,
};
use crate::disks::{Access, Disk, MAX_NAME_BYTES, SECTOR_BYTES, Unfinished};
use crate::event::{DiskOperation, EventBody, limits};

const TYPE_READ: u32 = 0;
const TYPE_WRITE: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_SERIAL: u32 = 8;
const TYPE_DISCARD: u32 = 11;
const TYPE_WRITE_ZEROES: u32 = 13;

const STATUS_OK: u8 = 0;
const STATUS_FAILED: u8 = 1;
const STATUS_UNSUPPORTED: u8 = 2;

const HEAD_BYTES: usize = 16;
const STRETCH_BYTES: u64 = 16;
/// The flag of a stretch of zeroes that need not be kept.
const FLAG_UNMAP: u32 = 1;
/// Bytes that are moved at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// Why a request was refused.
enum Refused {
    /// It is outside the disk, or the disk failed.
    Failed,
    /// The device does not support it.
    Unsupported,
    /// The disk does not give or take it, as the event tells.
    Disk(Box<EventBody>),
    /// The driver broke the rules.
    Driver(QueueError),
}

impl<E: Into<QueueError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Driver(error.into())
    }
}

/// The bytes of a disk that a request concerns, and the operation on them.
struct Part {
    operation: DiskOperation,
    offset: u64,
    bytes: u64,
}

impl Part {
    fn failed(&self, disk: &str, unfinished: &Unfinished) -> EventBody {
        let Unfinished { done, fault } = unfinished;
        let (reason, errno) = fault.cause();
        let mut message = fault.to_string();
        let end = (0..=limits::TEXT_BYTES).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
        let (disk, operation) = (disk.to_owned(), self.operation);
        let (offset, bytes) = (self.offset + done, self.bytes - done);
        EventBody::DiskFailed { disk, operation, offset, bytes, reason, errno, message }
    }
}

impl Block {
    /// Carries out a request; returns the number of bytes written to its buffers. A request without
    /// room for a status is completed without any effect.
    pub(super) fn perform(
        &mut self,
        io: &mut Io<'_>,
        request: &Request,
    ) -> Result<u32, QueueError> {
        let Some(room) = request.writable_bytes().checked_sub(1) else { return Ok(0) };
        let (status, written) = match self.act(io, request, room) {
            Ok(written) => (STATUS_OK, written),
            Err(Refused::Unsupported) => (STATUS_UNSUPPORTED, 0),
            Err(Refused::Failed) => (STATUS_FAILED, 0),
            Err(Refused::Disk(failed)) => {
                io.tell(*failed);
                (STATUS_FAILED, 0)
            }
            Err(Refused::Driver(error)) => return Err(error),
        };
        request.write(io.memory(), room, &[status])?;
        Ok(written as u32 + 1)
    }

    fn act(&self, io: &mut Io<'_>, request: &Request, room: u64) -> Result<u64, Refused> {
        let mut head = [0; HEAD_BYTES];
        if request.read(io.memory(), 0, &mut head)? < HEAD_BYTES {
            return Err(Refused::Failed);
        }
        let kind = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let sector = u64::from_le_bytes([
            head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
        ]);
        let readable = request.readable_bytes() - HEAD_BYTES as u64;
        match kind {
            TYPE_READ => {
                let offset = self.place(sector, room)?;
                self.pieces(room, |at, piece| {
                    let (offset, bytes) = (offset + at, piece.len() as u64);
                    let part = Part { operation: DiskOperation::Read, offset, bytes };
                    self.attempt(io, &part, |disk, bytes| {
                        Ok(disk.read(offset, &mut piece[..bytes as usize])?)
                    })?;
                    Ok(request.write(io.memory(), at, piece).map(|_| ())?)
                })?;
                Ok(room)
            }
            TYPE_WRITE if self.is_read_only() => Err(Refused::Failed),
            TYPE_WRITE => {
                let offset = self.place(sector, readable)?;
                self.pieces(readable, |at, piece| {
                    request.read(io.memory(), HEAD_BYTES as u64 + at, piece)?;
                    let (offset, bytes) = (offset + at, piece.len() as u64);
                    let part = Part { operation: DiskOperation::Write, offset, bytes };
                    self.attempt(io, &part, |disk, bytes| {
                        disk.write(offset, &piece[..bytes as usize])
                    })
                })?;
                self.settle(io)?;
                Ok(0)
            }
            TYPE_FLUSH => {
                self.flush(io)?;
                Ok(0)
            }
            TYPE_SERIAL => {
                let name = self.name();
                let mut serial = [0; MAX_NAME_BYTES];
                serial[..name.len()].copy_from_slice(name.as_bytes());
                let len = room.min(serial.len() as u64);
                request.write(io.memory(), 0, &serial[..len as usize])?;
                Ok(len)
            }
            TYPE_DISCARD | TYPE_WRITE_ZEROES if self.is_read_only() => Err(Refused::Failed),
            TYPE_DISCARD | TYPE_WRITE_ZEROES => {
                self.zero(io, request, readable, kind == TYPE_DISCARD)?;
                self.settle(io)?;
                Ok(0)
            }
            _ => Err(Refused::Unsupported),
        }
    }

    /// The byte where so many bytes from a sector on begin, if they are on the disk.
    fn place(&self, sector: u64, len: u64) -> Result<u64, Refused> {
        let sectors = len.is_multiple_of(SECTOR_BYTES).then_some(len / SECTOR_BYTES);
        let end = sectors.and_then(|sectors| sector.checked_add(sectors));
        match end {
            Some(end) if end <= self.sectors() && len <= MAX_DATA_BYTES => {
                Ok(sector * SECTOR_BYTES)
            }
            _ => Err(Refused::Failed),
        }
    }

    fn pieces(
        &self,
        len: u64,
        mut act: impl FnMut(u64, &mut [u8]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let mut buffer = vec![0; len.min(PIECE_BYTES) as usize];
        for at in (0..len).step_by(PIECE_BYTES as usize) {
            act(at, &mut buffer[..(len - at).min(PIECE_BYTES) as usize])?;
        }
        Ok(())
    }

    /// Discards or zeroes the ranges that a request lists. All are checked before any is changed.
    fn zero(
        &self,
        io: &mut Io<'_>,
        request: &Request,
        readable: u64,
        is_discard: bool,
    ) -> Result<(), Refused> {
        let count = readable / STRETCH_BYTES;
        if !readable.is_multiple_of(STRETCH_BYTES)
            || !(1..=u64::from(MAX_STRETCHES)).contains(&count)
        {
            return Err(Refused::Failed);
        }
        let mut stretches = Vec::new();
        for number in 0..count {
            let mut bytes = [0; STRETCH_BYTES as usize];
            request.read(io.memory(), HEAD_BYTES as u64 + number * STRETCH_BYTES, &mut bytes)?;
            let stretch = u128::from_le_bytes(bytes);
            let (sector, sectors, flags) =
                (stretch as u64, (stretch >> 64) as u32, (stretch >> 96) as u32);
            if flags & !FLAG_UNMAP != 0 || is_discard && flags != 0 {
                return Err(Refused::Unsupported);
            }
            let end = sector.checked_add(u64::from(sectors));
            if sectors > MAX_STRETCH_SECTORS || end.is_none_or(|end| end > self.sectors()) {
                return Err(Refused::Failed);
            }
            stretches.push((sector * SECTOR_BYTES, u64::from(sectors) * SECTOR_BYTES));
        }
        for (offset, bytes) in stretches {
            let part = Part { operation: DiskOperation::Zero, offset, bytes };
            self.attempt(io, &part, |disk, bytes| disk.zero(offset, bytes, is_discard))?;
        }
        Ok(())
    }

    /// A driver that does not flush assumes that written data is durable.
    fn settle(&self, io: &mut Io<'_>) -> Result<(), Refused> {
        let is_volume = self.attached.as_ref().is_some_and(|disk| disk.access == Access::Volume);
        if is_volume && io.features() & FEATURE_FLUSH == 0 {
            self.flush(io)?;
        }
        Ok(())
    }

    fn flush(&self, io: &mut Io<'_>) -> Result<(), Refused> {
        let part = Part { operation: DiskOperation::Flush, offset: 0, bytes: 0 };
        self.attempt(io, &part, |disk, _| Ok(disk.flush()?))
    }

    /// Runs an operation on a part of the disk, which returns the number of bytes done; a recorded
    /// failure is repeated at its place.
    fn attempt(
        &self,
        io: &mut Io<'_>,
        part: &Part,
        act: impl FnOnce(&mut Disk, u64) -> Result<(), Unfinished>,
    ) -> Result<(), Refused> {
        let Part { operation, offset, bytes } = *part;
        let recorded = io.recorded_failure(self.name(), operation, offset, bytes);
        let on_disk = found(io.disk(self.number as usize))?;
        let until = recorded.as_ref().map_or(bytes, |recorded| recorded.offset - offset);
        if recorded.is_none() || until > 0 {
            let failed = |unfinished| Box::new(part.failed(self.name(), &unfinished));
            act(on_disk, until).map_err(failed).map_err(Refused::Disk)?;
        }
        recorded.map_or(Ok(()), |recorded| Err(Refused::Disk(Box::new(recorded.body))))
    }

    /// The disk's name; empty of a slot that is empty.
    fn name(&self) -> &str {
        self.attached.as_ref().map_or("", |disk| disk.name.as_str())
    }
}

/// The disk; a slot that is empty has none.
fn found(disk: Option<&mut Disk>) -> Result<&mut Disk, Refused> {
    disk.ok_or(Refused::Failed)
}
