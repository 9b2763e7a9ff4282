//! Reading and writing the parts of a frame.

/// A payload is not what its type says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) expected: &'static str,
}

pub(super) struct Payload<'a>(pub(super) &'a [u8]);

impl<'a> Payload<'a> {
    fn take(&mut self, count: usize, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed { expected })?;
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

    /// A string. Bytes that are not UTF-8 are replaced.
    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    pub(super) fn list(&mut self) -> Result<Vec<String>, Malformed> {
        let count = self.u32()? as usize;
        // Each item takes at least its own count.
        if count > self.0.len() / 4 {
            return Err(Malformed { expected: "as many items as counted" });
        }
        (0..count).map(|_| self.text()).collect()
    }

    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed { expected: "the payload's end" }) }
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
        if length > super::MAX_FRAME_BYTES {
            return Err(length);
        }
        self.0[..4].copy_from_slice(&(length as u32).to_le_bytes());
        Ok(self.0)
    }
}
