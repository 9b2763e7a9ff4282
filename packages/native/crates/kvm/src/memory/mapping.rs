//! One host mapping of a guest's memory, and the file without a name that it maps.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::Arc;

/// A file in memory that mappings share until they write.
pub(super) struct Backing {
    file: File,
}

impl Backing {
    /// One of `len` bytes, all zero, costing nothing until written.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        // SAFETY: the name is a constant with its terminator, and no memory of ours is touched.
        let fd = unsafe { libc::memfd_create(c"guest memory".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made just now and has no other owner.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(len as u64)?;
        Ok(Self { file })
    }
}

/// Where writes to a mapping go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    /// To the file: no other memory maps it yet.
    Shared,
    /// In pages of the mapping's own: the file stays as it is.
    Private,
}

impl Writes {
    fn flag(self) -> libc::c_int {
        match self {
            Self::Shared => libc::MAP_SHARED,
            Self::Private => libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        }
    }
}

/// A mapping of a [`Backing`], at one address for as long as it lives.
///
/// Invariant: `len` bytes at `start` are mapped, readable and writable, until this is dropped, and
/// no Rust reference into them outlives a method of the memory that owns it. A virtual machine that
/// has the range as its memory holds this, so that it cannot outlive it.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: memory that is not tied to a thread, at a fixed address; it can only be read or written in an
// unsafe block that uses `start`, by the memory that owns it, and by the processor.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn of(backing: &Backing, len: usize, writes: Writes) -> io::Result<Arc<Self>> {
        // SAFETY: a fresh mapping at an address of the kernel's choice affects nothing else.
        let start = unsafe {
            let (protection, flag) = (libc::PROT_READ | libc::PROT_WRITE, writes.flag());
            libc::mmap(std::ptr::null_mut(), len, protection, flag, backing.file.as_raw_fd(), 0)
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Arc::new(Self { start, len }))
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Keeps further writes in private pages. `backing` is the present file of a shared mapping, so the
    /// readable content stays the same.
    pub(super) fn keep_writes_apart(&self, backing: &Backing) -> io::Result<()> {
        // SAFETY: the range is this mapping's alone, and is mapped again at once with the same content;
        // virtual machines that have it look the pages up again.
        let start = unsafe {
            let (protection, flag) = (libc::PROT_READ | libc::PROT_WRITE, Writes::Private.flag());
            let (at, fd) = (self.start.as_ptr().cast(), backing.file.as_raw_fd());
            libc::mmap(at, self.len, protection, flag | libc::MAP_FIXED, fd, 0)
        };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The start of the mapping.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes that it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `of` mapped. The users of pointers into it hold this: memory, and the
        // virtual machine.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
