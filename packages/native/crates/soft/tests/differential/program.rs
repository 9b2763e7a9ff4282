//! User-level programs: what they may contain, and how they become machine code.
//!
//! A program always ends, and touches only its own data buffer: three registers point into the
//! buffer and are never written, loops count down in registers that are never written otherwise,
//! and every other branch goes forward. Everything else is free.

use crate::assembly::{self as asm, Register, compressed};
use std::fmt;

/// Bytes of a program's data buffer.
pub const DATA_BYTES: u64 = 2048;

/// Points at the program's saved registers.
pub const STATE: Register = asm::GP;
/// Point into the data buffer, and never change.
pub const BASES: [Register; 3] = [asm::SP, 8, 9];
/// Loop counters, outer and inner.
const COUNTERS: [Register; 2] = [28, 27];
/// Holds computed addresses within one item.
pub const ADDRESS: Register = 30;
/// Registers that programs may write.
pub const DESTINATIONS: [Register; 25] =
    [0, 1, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 29, 31];

/// One instruction as it stands in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    Word(u32),
    Half(u16),
}

impl fmt::Debug for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word:08x}"),
            Self::Half(half) => write!(f, "{half:04x}"),
        }
    }
}

/// How a program jumps forward.
#[derive(Debug, Clone, Copy)]
pub enum Jump {
    Branch { f3: u32, rs1: Register, rs2: Register },
    CompressedBranch { f3: u32, rs1: Register },
    Jal { rd: Register },
    Compressed,
    Register { rd: Register },
    CompressedRegister { link: bool },
}

/// A piece of a program.
#[derive(Debug, Clone)]
pub enum Item {
    /// Executed in order, never entered in the middle.
    Straight(Vec<Instruction>),
    /// Jumps over, or branches around, this many of the following items.
    Skip { jump: Jump, over: usize },
    /// A countdown.
    Loop { count: u16, body: Vec<Item> },
}

/// A program with the state that it starts from.
#[derive(Clone)]
pub struct Program {
    /// x0 to x31; those that have a fixed use are ignored.
    pub integers: Vec<u64>,
    /// f0 to f31.
    pub floats: Vec<u64>,
    pub fcsr: u8,
    /// How far x9 is from being aligned.
    pub skew: u8,
    /// The seed of the data buffer's content.
    pub data_seed: u64,
    pub items: Vec<Item>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fcsr {:#x} skew {} data {:#x}", self.fcsr, self.skew, self.data_seed)?;
        for (name, values) in [("x", &self.integers), ("f", &self.floats)] {
            for (number, value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
                write!(f, "{name}{number}={value:#x} ")?;
            }
            writeln!(f)?;
        }
        for item in &self.items {
            writeln!(f, "{item:?}")?;
        }
        Ok(())
    }
}

impl Program {
    /// The program's own code, position-independent, falling through at its end.
    pub fn code(&self) -> Vec<u8> {
        assemble(&self.items, 0)
    }

    /// The initial values of the program's registers, with `fcsr` in x0's place.
    pub fn initial_state(&self, state: u64, data: u64) -> Vec<u64> {
        let mut registers = self.integers.clone();
        registers[0] = self.fcsr.into();
        registers[STATE as usize] = state;
        registers[BASES[0] as usize] = data + 512;
        registers[BASES[1] as usize] = data + 1024;
        registers[BASES[2] as usize] = data + 1024 + u64::from(self.skew);
        registers.extend(&self.floats);
        registers
    }

    /// The data buffer at the program's start: a mixture of noise, zeros and ones.
    pub fn initial_data(&self) -> Vec<u8> {
        let mut seed = self.data_seed | 1;
        let mut bytes = Vec::with_capacity(DATA_BYTES as usize);
        while bytes.len() < DATA_BYTES as usize {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let word = match seed >> 60 {
                0..2 => 0,
                2..4 => u64::MAX,
                4..6 => 0xffff_ffff_0000_0000 | seed & 0xffff_ffff,
                _ => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

fn assemble(items: &[Item], depth: usize) -> Vec<u8> {
    // From the last to the first, so that the length of what is jumped over is known.
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (at, item) in items.iter().enumerate().rev() {
        let part = match item {
            Item::Straight(instructions) => {
                let mut bytes = Vec::new();
                for instruction in instructions {
                    match instruction {
                        Instruction::Word(word) => bytes.extend_from_slice(&word.to_le_bytes()),
                        Instruction::Half(half) => bytes.extend_from_slice(&half.to_le_bytes()),
                    }
                }
                bytes
            }
            Item::Skip { jump, over } => {
                let following = items.len() - at - 1;
                let distance: usize =
                    parts.iter().rev().take((*over).min(following)).map(Vec::len).sum();
                assemble_jump(*jump, distance as i32)
            }
            Item::Loop { count, body } => assemble_loop(*count, body, depth),
        };
        parts.push(part);
    }
    parts.into_iter().rev().flatten().collect()
}

fn assemble_jump(jump: Jump, distance: i32) -> Vec<u8> {
    let word = |word: u32| word.to_le_bytes().to_vec();
    let half = |half: u16| half.to_le_bytes().to_vec();
    match jump {
        Jump::Branch { f3, rs1, rs2 } => word(asm::branch(f3, rs1, rs2, distance + 4)),
        Jump::CompressedBranch { f3, rs1 } if distance + 2 < 256 => {
            half(compressed::branch(f3, rs1, distance + 2))
        }
        Jump::CompressedBranch { f3, rs1 } => word(asm::branch(f3 - 6, rs1, 0, distance + 4)),
        Jump::Jal { rd } => word(asm::jal(rd, distance + 4)),
        Jump::Compressed if distance + 2 < 2048 => half(compressed::j(distance + 2)),
        Jump::Compressed => word(asm::jal(0, distance + 4)),
        Jump::Register { rd } => {
            // The lowest bit of the target is ignored.
            let mut bytes = word(asm::auipc(ADDRESS, 0));
            bytes.extend(word(asm::addi(ADDRESS, ADDRESS, 1)));
            bytes.extend(word(asm::jalr(rd, ADDRESS, distance + 12)));
            bytes
        }
        Jump::CompressedRegister { link } => {
            let mut bytes = word(asm::auipc(ADDRESS, 0));
            bytes.extend(word(asm::addi(ADDRESS, ADDRESS, distance + 10)));
            bytes.extend(half(compressed::register(link, ADDRESS, 0)));
            bytes
        }
    }
}

fn assemble_loop(count: u16, body: &[Item], depth: usize) -> Vec<u8> {
    let counter = COUNTERS[depth];
    let body = assemble(body, depth + 1);
    let mut bytes = asm::addi(counter, 0, count.into()).to_le_bytes().to_vec();
    bytes.extend(&body);
    bytes.extend(asm::addi(counter, counter, -1).to_le_bytes());
    let back = -(body.len() as i32) - 4;
    bytes.extend(asm::branch(1, counter, 0, back).to_le_bytes());
    bytes
}
