//! The encoding of saved state: little-endian words and counted bytes, read back with every bound
//! checked.

mod sections;
mod versions;

pub(crate) use sections::Sections;
pub use versions::{StateVersions, Upgrade};

/// A saved state could not be read back.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("saved state: expected {expected}, found {found}")]
pub struct StateError {
    /// The requirement.
    pub expected: String,
    /// The found bytes.
    pub found: String,
}

/// Collects state.
#[derive(Debug, Default)]
pub struct StateWriter {
    bytes: Vec<u8>,
}

impl StateWriter {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// A truth value, as one byte.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A truth value and, if true, eight bytes.
    pub fn optional_u64(&mut self, value: Option<u64>) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            self.u64(value);
        }
        self
    }

    /// Bytes, after their count.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Bytes without a count: their number is fixed.
    pub fn array(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(value);
        self
    }

    /// The collected bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Reads what [`StateWriter`] collected.
#[derive(Debug)]
pub struct StateReader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> StateReader<'a> {
    /// Reads `bytes`, the state of `what`.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error about this state.
    pub fn refuse(&self, expected: impl Into<String>, found: impl Into<String>) -> StateError {
        StateError { expected: format!("{}: {}", self.what, expected.into()), found: found.into() }
    }

    /// `count` bytes.
    ///
    /// # Errors
    /// [`StateError`] if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let Some((head, tail)) = self.rest.split_at_checked(count) else {
            return Err(self.refuse(format!("{count} more bytes"), format!("{}", self.rest.len())));
        };
        self.rest = tail;
        Ok(head)
    }

    /// `N` bytes.
    ///
    /// # Errors
    /// [`StateError`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`StateError`] if none is left.
    pub fn u8(&mut self) -> Result<u8, StateError> {
        Ok(self.array::<1>()?[0])
    }

    /// A truth value.
    ///
    /// # Errors
    /// [`StateError`] if no byte is left or it is neither 0 nor 1.
    pub fn bool(&mut self) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.refuse("0 or 1", other.to_string())),
        }
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`StateError`] if fewer are left.
    pub fn u16(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`StateError`] if fewer are left.
    pub fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`StateError`] if fewer are left.
    pub fn u64(&mut self) -> Result<u64, StateError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a value of [`StateWriter::optional_u64`].
    ///
    /// # Errors
    /// [`StateError`] if too little is left.
    pub fn optional_u64(&mut self) -> Result<Option<u64>, StateError> {
        Ok(if self.bool()? { Some(self.u64()?) } else { None })
    }

    /// Counted bytes, at most `most`.
    ///
    /// # Errors
    /// [`StateError`] if there are more, or fewer than counted.
    pub fn bytes(&mut self, most: usize) -> Result<&'a [u8], StateError> {
        let count = self.u64()?;
        match usize::try_from(count) {
            Ok(count) if count <= most => self.take(count),
            _ => Err(self.refuse(format!("at most {most} bytes"), count.to_string())),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`StateError`] if bytes are left over.
    pub fn finish(self) -> Result<(), StateError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.refuse("the end", format!("{} more bytes", self.rest.len())))
    }
}
