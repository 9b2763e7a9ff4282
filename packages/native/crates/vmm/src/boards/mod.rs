//! Boards, by instruction set. Nothing outside this folder knows one.

pub mod riscv;
