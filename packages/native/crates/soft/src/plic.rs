//! The platform-level interrupt controller, as far as one hart sees it.
//!
//! Level-triggered: a source is pending while its line is asserted and it is not being served. 63
//! sources, priorities 0 to 7, two contexts in the order that other RISC-V boards use: context 0 is
//! the hart's machine mode, whose registers hold written values and cause no interrupt; context 1
//! is its supervisor mode.
//!
//! ```text
//! 0x00_0000 + 4 * source      priority
//! 0x00_1000                   pending bits, read-only
//! 0x00_2000 + 0x80 * context  enable bits
//! 0x20_0000 + 0x1000 * context  threshold; + 4: claim and complete
//! ```
//!
//! Source: RISC-V Platform-Level Interrupt Controller Specification 1.0.

/// First guest-physical address.
pub const BASE: u64 = 0x0c00_0000;
/// Bytes.
pub const SIZE: u64 = 0x60_0000;
/// Sources, the reserved number 0 included.
pub const SOURCES: usize = 64;

const CONTEXTS: usize = 2;
const SUPERVISOR_CONTEXT: usize = 1;
const PRIORITY_MASK: u32 = 7;

/// Registers of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plic {
    /// Priority of each source; source 0 always has 0.
    pub priority: [u8; SOURCES],
    /// Enabled sources of each context, bit 0 always clear.
    pub enable: [u64; CONTEXTS],
    /// Threshold of each context.
    pub threshold: [u8; CONTEXTS],
    /// Sources that were claimed and not completed.
    pub serving: u64,
    /// Lines that devices assert. Derived: the platform knows.
    pub lines: u64,
}

impl Plic {
    /// The controller at reset.
    pub fn new() -> Self {
        Self {
            priority: [0; SOURCES],
            enable: [0; CONTEXTS],
            threshold: [0; CONTEXTS],
            serving: 0,
            lines: 0,
        }
    }

    fn pending(&self) -> u64 {
        self.lines & !self.serving & !1
    }

    /// The source that context would be given: highest priority, then lowest number.
    fn best(&self, context: usize, above: u8) -> Option<usize> {
        let mut rest = self.pending() & self.enable[context];
        let mut best = None;
        let mut level = above;
        while rest != 0 {
            let source = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if self.priority[source] > level {
                level = self.priority[source];
                best = Some(source);
            }
        }
        best
    }

    /// Whether the supervisor external interrupt is asserted.
    #[inline]
    pub fn interrupts(&self) -> bool {
        self.pending() & self.enable[SUPERVISOR_CONTEXT] != 0
            && self.best(SUPERVISOR_CONTEXT, self.threshold[SUPERVISOR_CONTEXT]).is_some()
    }

    /// Reads the 32-bit register at `offset`. Unknown registers read as 0.
    pub fn read(&mut self, offset: u64) -> u32 {
        let index = (offset / 4) as usize;
        match offset {
            0..0x1000 => self.priority.get(index).map_or(0, |p| u32::from(*p)),
            0x1000..0x1008 => (self.pending() >> (32 * (index & 1))) as u32,
            0x2000..0x2100 => {
                let (context, word) = ((offset - 0x2000) / 0x80, offset % 0x80 / 4);
                if word < 2 { (self.enable[context as usize] >> (32 * word)) as u32 } else { 0 }
            }
            0x20_0000..0x20_2000 => {
                let context = ((offset - 0x20_0000) / 0x1000) as usize;
                match offset % 0x1000 {
                    0 => u32::from(self.threshold[context]),
                    4 => self.claim(context),
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    /// Writes the 32-bit register at `offset`. Writes to unknown registers are ignored.
    pub fn write(&mut self, offset: u64, value: u32) {
        let index = (offset / 4) as usize;
        match offset {
            4..0x1000 => {
                if let Some(priority) = self.priority.get_mut(index) {
                    *priority = (value & PRIORITY_MASK) as u8;
                }
            }
            0x2000..0x2100 => {
                let (context, word) = ((offset - 0x2000) / 0x80, offset % 0x80 / 4);
                if word < 2 {
                    let shift = 32 * word;
                    let enable = &mut self.enable[context as usize];
                    *enable = *enable & !(0xffff_ffff << shift) | u64::from(value) << shift;
                    *enable &= !1;
                }
            }
            0x20_0000..0x20_2000 => {
                let context = ((offset - 0x20_0000) / 0x1000) as usize;
                match offset % 0x1000 {
                    0 => self.threshold[context] = (value & PRIORITY_MASK) as u8,
                    4 if (value as usize) < SOURCES && self.enable[context] >> value & 1 != 0 => {
                        self.serving &= !(1 << value);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn claim(&mut self, context: usize) -> u32 {
        // The threshold masks the notification, not the claim.
        match self.best(context, 0) {
            Some(source) => {
                self.serving |= 1 << source;
                source as u32
            }
            None => 0,
        }
    }
}

impl Default for Plic {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(sources: &[(usize, u32)]) -> Plic {
        let mut plic = Plic::new();
        for (source, priority) in sources {
            plic.write(4 * *source as u64, *priority);
            plic.lines |= 1 << source;
        }
        plic.write(0x2080, u32::MAX);
        plic.write(0x2084, u32::MAX);
        plic
    }

    #[test]
    fn claims_give_the_highest_priority_then_the_lowest_number() {
        let mut plic = armed(&[(10, 1), (11, 3), (40, 3)]);
        assert!(plic.interrupts());
        assert_eq!(plic.read(0x20_1004), 11);
        assert_eq!(plic.read(0x20_1004), 40);
        assert_eq!(plic.read(0x20_1004), 10);
        assert_eq!(plic.read(0x20_1004), 0);
        assert!(!plic.interrupts());
    }

    #[test]
    fn a_source_is_pending_again_after_completion_while_its_line_is_asserted() {
        let mut plic = armed(&[(5, 1)]);
        assert_eq!(plic.read(0x20_1004), 5);
        assert!(!plic.interrupts());
        plic.write(0x20_1004, 5);
        assert!(plic.interrupts());
        plic.lines = 0;
        assert!(!plic.interrupts());
    }

    #[test]
    fn thresholds_mask_the_interrupt_but_not_the_claim() {
        let mut plic = armed(&[(5, 2)]);
        plic.write(0x20_1000, 2);
        assert!(!plic.interrupts());
        assert_eq!(plic.read(0x20_1004), 5);
    }

    #[test]
    fn source_zero_and_unimplemented_registers_hold_nothing() {
        let mut plic = armed(&[]);
        plic.write(0, 7);
        plic.lines = 1;
        assert_eq!((plic.read(0), plic.read(0x2080), plic.interrupts()), (0, !1, false));
        plic.write(0x5f_fffc, 1);
        assert_eq!(plic.read(0x5f_fffc), 0);
    }
}
