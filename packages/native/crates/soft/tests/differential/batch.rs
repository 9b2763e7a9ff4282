//! Many programs in one image, so that the cost of starting a machine is shared.
//!
//! ```text
//! BOOT     our machine's way into user mode (absent under qemu-user)
//! CODE     for each program: load registers, its code, store registers; then the ending
//! STATES   for each program: fcsr, x1 to x31, f0 to f31: before the run, and after it
//! DATA     for each program: its buffer, 2 KiB, some of them across page boundaries
//! ```
//! The addresses are the same on both sides, so that every register can be compared.

use crate::assembly::{self as asm, Code};
use crate::program::{DATA_BYTES, Program, STATE};

/// First address of the code.
pub const CODE: u64 = 0x8010_0000;
/// First address of the programs' states.
pub const STATES: u64 = 0x8080_0000;
const STATE_BYTES: u64 = 64 * 8;
const DATA: u64 = STATES + 0x1_0000;
const DATA_STRIDE: u64 = DATA_BYTES + 640;
/// Most programs in a batch.
pub const MAX_PROGRAMS: usize = 64;

/// The parts of a batch in memory.
pub struct Image {
    pub code: Vec<u8>,
    /// From [`STATES`] to the end of the last data buffer.
    pub memory: Vec<u8>,
}

/// Bytes from [`STATES`] to the end of the last buffer.
pub fn memory_bytes(programs: usize) -> u64 {
    DATA - STATES + DATA_STRIDE * programs as u64
}

/// Puts programs one behind the other, followed by what `end` appends.
pub fn image(programs: &[Program], end: impl FnOnce(&mut Code)) -> Image {
    assert!(programs.len() <= MAX_PROGRAMS, "a batch holds at most {MAX_PROGRAMS} programs");
    let mut code = Code::at(CODE);
    let mut memory = vec![0; memory_bytes(programs.len()) as usize];
    for (index, program) in (0..).zip(programs) {
        let (state, data) = (STATES + STATE_BYTES * index, DATA + DATA_STRIDE * index);
        for (at, value) in (0..).zip(program.initial_state(state, data)) {
            let offset = (state - STATES) as usize + at * 8;
            memory[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        }
        let offset = (data - STATES) as usize;
        memory[offset..offset + DATA_BYTES as usize].copy_from_slice(&program.initial_data());

        code.address(STATE, state);
        code.words(&[asm::ld(1, STATE, 0), asm::csrw(asm::FCSR, 1)]);
        for register in 0..32 {
            code.word(asm::fld(register, STATE, 256 + 8 * register as i32));
        }
        for register in (1..32).filter(|register| *register != STATE) {
            code.word(asm::ld(register, STATE, 8 * register as i32));
        }
        for half in program.code().as_chunks::<2>().0 {
            code.half(u16::from_le_bytes(*half));
        }
        for register in 1..32 {
            code.word(asm::sd(register, STATE, 8 * register as i32));
        }
        code.words(&[asm::csrr(1, asm::FCSR), asm::sd(1, STATE, 0)]);
        for register in 0..32 {
            code.word(asm::fsd(register, STATE, 256 + 8 * register as i32));
        }
    }
    end(&mut code);
    assert!(code.here() < STATES, "the code reaches into the states");
    Image { code: code.bytes().to_vec(), memory }
}

/// The first thing in which two memories after a run differ, in words.
pub fn first_difference(programs: usize, ours: &[u8], theirs: &[u8]) -> Option<String> {
    let word = |memory: &[u8], offset: usize| {
        memory[offset..offset + 8]
            .iter()
            .rev()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte))
    };
    for program in 0..programs {
        for register in 0..64 {
            let offset = program * STATE_BYTES as usize + register * 8;
            let (ours, theirs) = (word(ours, offset), word(theirs, offset));
            if ours != theirs {
                let name = match register {
                    0 => "fcsr".to_owned(),
                    1..32 => format!("x{register}"),
                    _ => format!("f{}", register - 32),
                };
                return Some(format!(
                    "program {program}: {name}: ours {ours:#x}, theirs {theirs:#x}"
                ));
            }
        }
        let data = (DATA - STATES) as usize + program * DATA_STRIDE as usize;
        for offset in (data..data + DATA_STRIDE as usize).step_by(8) {
            let (ours, theirs) = (word(ours, offset), word(theirs, offset));
            if ours != theirs {
                let offset = offset - data;
                return Some(format!(
                    "program {program}: data + {offset}: ours {ours:#x}, theirs {theirs:#x}"
                ));
            }
        }
    }
    None
}
