//! Accesses for which a guest comes out, served on its platform: device registers and I/O ports, of any address, width and
//! content. Model-specific registers are not among them: KVM answers those itself, and a guest that wants an unknown one gets its
//! exception there.
//!
//! ```
//! use stillpoint_kvm::accesses::{Access, Served, serve};
//! use stillpoint_vmm::memory::PagedMemory;
//! use stillpoint_vmm::platform::Platform;
//!
//! let mut platform = Platform::new(PagedMemory::new(0, 1 << 20));
//! let mut into = [0; 4];
//! serve(&mut platform, Access::Read { at: 0xdead_0000, into: &mut into });
//! assert_eq!(into, [0xff; 4], "nothing is there");
//! let off = Access::PortOut { port: 0x604, width: 2, from: &[0x00, 0x20] };
//! assert_eq!(serve(&mut platform, off), Served::Off);
//! ```

use stillpoint_vmm::boards::x86_64::{
    PORTS_BASE, POWER_PORT, RESET, RESET_PORT, SLEEP, SLEEP_PORT,
};
use stillpoint_vmm::platform::Platform;

/// What a guest came out for.
#[derive(Debug)]
pub enum Access<'a> {
    /// It reads a device register.
    Read {
        /// Guest-physical address.
        at: u64,
        /// Where the value goes.
        into: &'a mut [u8],
    },
    /// It writes a device register.
    Write {
        /// Guest-physical address.
        at: u64,
        /// The value.
        from: &'a [u8],
    },
    /// It reads a port, several times in a string instruction.
    PortIn {
        /// Number of the port.
        port: u16,
        /// Bytes of each element; at least 1 is taken.
        width: usize,
        /// Where the elements go.
        into: &'a mut [u8],
    },
    /// It writes a port, several times in a string instruction.
    PortOut {
        /// Number of the port.
        port: u16,
        /// Bytes of each element; at least 1 is taken.
        width: usize,
        /// The elements.
        from: &'a [u8],
    },
}

/// What became of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// It goes on.
    Done,
    /// It has switched itself off; elements that follow are not written.
    Off,
    /// It has reset itself; elements that follow are not written.
    Reset,
}

/// Serves an access. Unused addresses read as all ones, and what is written there is lost, as on a PC.
pub fn serve(platform: &mut Platform, access: Access<'_>) -> Served {
    match access {
        Access::Read { at, into } => read(platform, at, into),
        Access::Write { at, from } => write(platform, at, from),
        Access::PortIn { port, width, into } => {
            for element in into.chunks_mut(width.max(1)) {
                read(platform, PORTS_BASE + u64::from(port), element);
            }
        }
        Access::PortOut { port, width, from } => {
            for element in from.chunks(width.max(1)) {
                match (port, element) {
                    (RESET_PORT, [RESET]) => return Served::Reset,
                    (POWER_PORT, [_, sleep]) | (SLEEP_PORT, [sleep]) if sleep & SLEEP != 0 => {
                        return Served::Off;
                    }
                    _ => write(platform, PORTS_BASE + u64::from(port), element),
                }
            }
        }
    }
    Served::Done
}

fn read(platform: &mut Platform, at: u64, into: &mut [u8]) {
    match into.len() {
        1 | 2 | 4 | 8 => {
            if platform.mmio_read(at, into).is_err() {
                into.fill(0xff);
            }
        }
        _ => {
            for (offset, byte) in into.chunks_mut(1).enumerate() {
                read(platform, at.wrapping_add(offset as u64), byte);
            }
        }
    }
}

fn write(platform: &mut Platform, at: u64, from: &[u8]) {
    match from.len() {
        1 | 2 | 4 | 8 => {
            let _ = platform.mmio_write(at, from);
        }
        _ => {
            for (offset, byte) in from.chunks(1).enumerate() {
                write(platform, at.wrapping_add(offset as u64), byte);
            }
        }
    }
}

#[cfg(test)]
mod tests;
