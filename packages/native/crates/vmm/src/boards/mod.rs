//! Boards, by instruction set. Nothing outside this folder knows one.

pub mod riscv;
pub mod x86_64;
