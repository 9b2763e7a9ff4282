//! Reading and writing the parts of a frame.

use super::json;
use crate::event::{ExitStatus, RejectReason, limits};
use crate::time::HORIZON_NANOS;

/// A payload is not what its frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Malformed {
    /// No frame has this number.
    Unknown,
    /// It does not have the fields.
    Fields(&'static str),
    /// A field is over its limit.
    Limit(&'static str),
    /// A hello of another contract.
    Contract,
}

impl Malformed {
    pub(super) fn reason(&self) -> RejectReason {
        match self {
            Self::Unknown => RejectReason::FrameUnknown,
            Self::Fields(_) => RejectReason::FrameMalformed,
            Self::Limit(_) => RejectReason::OverLimit,
            Self::Contract => RejectReason::ContractMismatch,
        }
    }

    pub(super) fn expected(&self) -> &'static str {
        match self {
            Self::Unknown => "a frame that the contract has",
            Self::Fields(expected) | Self::Limit(expected) => expected,
            Self::Contract => {
                "an agent of this build's contract; build agent and addon from one tree, and the \
                 initial RAM file system anew"
            }
        }
    }
}

pub(super) struct Payload<'a>(pub(super) &'a [u8]);

impl<'a> Payload<'a> {
    fn take(&mut self, count: usize, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed::Fields(expected))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, expected)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>("a byte")?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array("two bytes")?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array("four bytes")?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.array("four bytes")?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array("eight bytes")?))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.u32()? as usize;
        self.take(count, "as many bytes as counted")
    }

    /// A count or a guest time: a number that every side can hold exactly.
    pub(super) fn natural(&mut self) -> Result<u64, Malformed> {
        let value = self.u64()?;
        if value > HORIZON_NANOS {
            return Err(Malformed::Limit("a number of at most 2^53 - 1"));
        }
        Ok(value)
    }

    /// A string of at most `most` bytes. Bytes that are not UTF-8 are replaced.
    pub(super) fn text(&mut self, most: usize) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > most {
            return Err(Malformed::Limit("a shorter text"));
        }
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// One JSON value of at most `most` bytes, within the limits of depth and numbers.
    pub(super) fn json(&mut self, most: usize) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > most {
            return Err(Malformed::Limit("a shorter payload"));
        }
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| Malformed::Fields("a payload in UTF-8"))?;
        json::check(text).map_err(|problem| match problem {
            json::Problem::Syntax => Malformed::Fields("a payload that is JSON"),
            json::Problem::Limit(expected) => Malformed::Limit(expected),
        })?;
        Ok(text.to_owned())
    }

    /// The name of a custom event.
    pub(super) fn name(&mut self, most: usize) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        if bytes.len() > most {
            return Err(Malformed::Limit("a shorter name"));
        }
        let is_name = !bytes.is_empty()
            && bytes[0] != b'-'
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(byte));
        if !is_name {
            return Err(Malformed::Fields(
                "a name of 1 to 64 of A-Z a-z 0-9 . _ : / -, not beginning with -",
            ));
        }
        Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
    }

    pub(super) fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        let count = self.u32()? as usize;
        // Each item takes at least its own count.
        if count > self.0.len() / 4 {
            return Err(Malformed::Fields("as many items as counted"));
        }
        (0..count).map(|_| self.text(limits::FRAME_BYTES)).collect()
    }

    pub(super) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed::Fields("an absent (0) or present (1) value")),
        }
    }

    pub(super) fn status(&mut self) -> Result<ExitStatus, Malformed> {
        let kind = self.u8()?;
        let value = self.i32()?;
        match kind {
            0 => Ok(ExitStatus::Code(value)),
            1 => Ok(ExitStatus::Signal(value)),
            _ => Err(Malformed::Fields("an exit by code (0) or signal (1)")),
        }
    }

    /// The end of a hello: the hash of the contract that the agent was built from.
    pub(super) fn hello(&mut self, expected: u64) -> Result<(), Malformed> {
        if std::mem::take(&mut self.0) == expected.to_le_bytes() {
            Ok(())
        } else {
            Err(Malformed::Contract)
        }
    }

    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Fields("the payload's end")) }
    }
}

#[derive(Default)]
pub(super) struct FrameWriter(pub(super) Vec<u8>);

impl FrameWriter {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        self = self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    #[cfg(test)]
    pub(super) fn status(self, value: ExitStatus) -> Self {
        match value {
            ExitStatus::Code(code) => self.u8(0).i32(code),
            ExitStatus::Signal(signal) => self.u8(1).i32(signal),
        }
    }

    #[cfg(test)]
    pub(super) fn optional<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.u8(0),
            Some(value) => write(self.u8(1), value),
        }
    }

    pub(super) fn list(mut self, items: &[String]) -> Self {
        self = self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        for item in items {
            self = self.bytes(item.as_bytes());
        }
        self
    }

    /// The frame with its length, or how long it would be.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, usize> {
        let length = self.0.len() - 4;
        if length > limits::FRAME_BYTES {
            return Err(length);
        }
        self.0[..4].copy_from_slice(&(length as u32).to_le_bytes());
        Ok(self.0)
    }
}
