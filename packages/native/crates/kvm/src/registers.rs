//! Registers by name, for tests and debuggers.

use crate::state::Structures;

type Register = (&'static str, fn(&mut Structures) -> &mut u64);

const REGISTERS: [Register; 23] = [
    ("rax", |s| &mut s.regs.rax),
    ("rbx", |s| &mut s.regs.rbx),
    ("rcx", |s| &mut s.regs.rcx),
    ("rdx", |s| &mut s.regs.rdx),
    ("rsi", |s| &mut s.regs.rsi),
    ("rdi", |s| &mut s.regs.rdi),
    ("rsp", |s| &mut s.regs.rsp),
    ("rbp", |s| &mut s.regs.rbp),
    ("r8", |s| &mut s.regs.r8),
    ("r9", |s| &mut s.regs.r9),
    ("r10", |s| &mut s.regs.r10),
    ("r11", |s| &mut s.regs.r11),
    ("r12", |s| &mut s.regs.r12),
    ("r13", |s| &mut s.regs.r13),
    ("r14", |s| &mut s.regs.r14),
    ("r15", |s| &mut s.regs.r15),
    ("rip", |s| &mut s.regs.rip),
    ("rflags", |s| &mut s.regs.rflags),
    ("cr0", |s| &mut s.sregs.cr0),
    ("cr2", |s| &mut s.sregs.cr2),
    ("cr3", |s| &mut s.sregs.cr3),
    ("cr4", |s| &mut s.sregs.cr4),
    ("efer", |s| &mut s.sregs.efer),
];

/// All of them.
pub(crate) fn read(structures: &Structures) -> Vec<(&'static str, u64)> {
    let mut copy = *structures;
    REGISTERS.iter().map(|(name, of)| (*name, *of(&mut copy))).collect()
}

/// Sets one; whether there is one of that name.
pub(crate) fn write(structures: &mut Structures, name: &str, value: u64) -> bool {
    let found = REGISTERS.iter().find(|(known, _)| *known == name);
    found.is_some_and(|(_, of)| {
        *of(structures) = value;
        true
    })
}
