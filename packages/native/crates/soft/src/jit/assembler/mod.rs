//! The x86-64 instructions that translated code consists of, in the forms that it needs.
//!
//! Registers are their hardware numbers. `rbp` points [`BIAS`] bytes into the hart, so that all
//! integer registers of the guest are within one signed byte of it; *places* are byte offsets
//! from the start of the hart.

// The macro converts register numbers whether they need it or not.
#![allow(clippy::useless_conversion)]

mod alu;
mod control;
mod float;
mod memory;

pub use float::FloatOperation;

use dynasmrt::{DynasmApi, SimpleAssembler, dynasm};

/// The offset in the hart that `rbp` points to.
pub const BIAS: i32 = 128;

/// Scratch registers: never hold a guest register.
pub const RAX: u8 = 0;
/// See [`RAX`]; shift counts.
pub const RCX: u8 = 1;
/// See [`RAX`].
pub const RDX: u8 = 2;
/// Ticks left.
pub const TICKS: u8 = 15;

/// Condition codes as in the instruction's low four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// Unsigned less.
    Below = 2,
    /// Unsigned greater or equal.
    AboveEqual = 3,
    /// Equal, zero.
    Equal = 4,
    /// Not equal, not zero.
    NotEqual = 5,
    /// Negative.
    Sign = 8,
    /// Signed less.
    Less = 12,
    /// Signed greater or equal.
    GreaterEqual = 13,
    /// Unsigned greater.
    Above = 7,
    /// Parity: an unordered floating-point comparison.
    Parity = 10,
}

/// Two-operand arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Alu {
    Add,
    Or,
    And,
    Sub,
    Xor,
    Cmp,
}

impl Alu {
    /// The opcode extension of the forms with an immediate.
    fn digit(self) -> u8 {
        match self {
            Self::Add => 0,
            Self::Or => 1,
            Self::And => 4,
            Self::Sub => 5,
            Self::Xor => 6,
            Self::Cmp => 7,
        }
    }
}

/// Shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shift {
    Left,
    Right,
    Arithmetic,
}

/// A memory access's width and extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether a load extends the sign.
    pub signed: bool,
}

/// A place where a displacement will be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole(pub usize);

/// Code under construction; offsets are from its start.
pub struct Assembler {
    ops: SimpleAssembler,
}

/// The displacement of a place from `rbp`, as one byte if it fits.
fn near(place: i32) -> Result<i8, i32> {
    i8::try_from(place - BIAS).map_err(|_| place - BIAS)
}

impl Assembler {
    /// No code.
    pub fn new() -> Self {
        Self { ops: SimpleAssembler::new() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.ops.ops
    }

    /// Starts again, keeping the buffer.
    pub fn clear(&mut self) {
        self.ops.ops.clear();
    }

    /// Appends raw machine code.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.ops.ops.extend_from_slice(bytes);
    }

    /// `d = s`
    pub fn mov(&mut self, d: u8, s: u8) {
        if d != s {
            dynasm!(self.ops; .arch x64; mov Rq(d), Rq(s));
        }
    }

    /// Low 32 bits of `s`, zero-extended.
    pub fn mov32(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; mov Rd(d), Rd(s));
    }

    /// `d = value`. Changes the flags.
    pub fn set(&mut self, d: u8, value: u64) {
        if value == 0 {
            dynasm!(self.ops; .arch x64; xor Rd(d), Rd(d));
        } else if u32::try_from(value).is_ok() {
            dynasm!(self.ops; .arch x64; mov Rd(d), value as i32);
        } else if i32::try_from(value as i64).is_ok() {
            dynasm!(self.ops; .arch x64; mov Rq(d), DWORD value as i32);
        } else {
            dynasm!(self.ops; .arch x64; mov Rq(d), QWORD value as i64);
        }
    }

    /// `d = value` in ten bytes; returns where the eight bytes of the value are.
    pub fn set_patchable(&mut self, d: u8, value: u64) -> Hole {
        dynasm!(self.ops; .arch x64; mov Rq(d), QWORD value as i64);
        Hole(self.here() - 8)
    }

    /// Loads 64 bits of the hart.
    pub fn load_place(&mut self, d: u8, place: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov Rq(d), [BYTE rbp + b]),
            Err(w) => dynasm!(self.ops; .arch x64; mov Rq(d), [DWORD rbp + w]),
        }
    }

    /// Loads 32 bits of the hart, zero-extended.
    pub fn load_place32(&mut self, d: u8, place: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov Rd(d), [BYTE rbp + b]),
            Err(w) => dynasm!(self.ops; .arch x64; mov Rd(d), [DWORD rbp + w]),
        }
    }

    /// Loads 32 bits of the hart, sign-extended.
    pub fn load_place32_signed(&mut self, d: u8, place: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; movsxd Rq(d), DWORD [BYTE rbp + b]),
            Err(w) => dynasm!(self.ops; .arch x64; movsxd Rq(d), DWORD [DWORD rbp + w]),
        }
    }

    /// Stores 64 bits into the hart.
    pub fn store_place(&mut self, place: i32, s: u8) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov [BYTE rbp + b], Rq(s)),
            Err(w) => dynasm!(self.ops; .arch x64; mov [DWORD rbp + w], Rq(s)),
        }
    }

    /// Stores a sign-extended constant into 64 bits of the hart.
    pub fn store_place_constant(&mut self, place: i32, value: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov QWORD [BYTE rbp + b], value),
            Err(w) => dynasm!(self.ops; .arch x64; mov QWORD [DWORD rbp + w], value),
        }
    }

    /// Compares one byte of the hart with a constant.
    pub fn compare_byte(&mut self, place: i32, value: i8) {
        let w = place - BIAS;
        dynasm!(self.ops; .arch x64; cmp BYTE [DWORD rbp + w], BYTE value);
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}
