//! Fast paths of atomic operations, and of the instructions that turn interrupts off and on.
//!
//! One hart, whose memory no other thread touches while it runs: plain loads and stores are
//! atomic. The fast paths are for aligned operands in memory that may be read (load-reserved) or
//! written (all others) directly.

use super::assembler::{Alu, Condition, Hole, RAX, RCX, RDX, Shift};
use super::layout::{FS, READ_TAG, WRITE_TAG};
use super::unit::Translation;
use crate::csr_number::SSTATUS;
use crate::decode::{Inst, Op};
use crate::hart::{Hart, SUPERVISOR, status};
use crate::page::NO_TAG;
use std::mem::offset_of;

const RESERVATION: i32 = offset_of!(Hart, reservation) as i32;
const RESERVATION_SIZE: i32 = offset_of!(Hart, reservation_size) as i32;
const STATUS: i32 = offset_of!(Hart, sstatus) as i32;
const PENDING: i32 = offset_of!(Hart, sip) as i32;
const ENABLED: i32 = offset_of!(Hart, sie) as i32;
const MODE: i32 = offset_of!(Hart, mode) as i32;

impl Translation<'_, '_> {
    /// The jumps to the slow path, if the instruction has a fast one.
    pub(super) fn atomic(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        match inst.op {
            Op::LrW => Some(self.load_reserved(inst, 4)),
            Op::LrD => Some(self.load_reserved(inst, 8)),
            Op::ScW => Some(self.store_conditional(inst, 4)),
            Op::ScD => Some(self.store_conditional(inst, 8)),
            Op::AmoswapW => Some(self.read_and_write(inst, 4, None)),
            Op::AmoswapD => Some(self.read_and_write(inst, 8, None)),
            Op::AmoaddW => Some(self.read_and_write(inst, 4, Some(Alu::Add))),
            Op::AmoaddD => Some(self.read_and_write(inst, 8, Some(Alu::Add))),
            Op::AmoandW => Some(self.read_and_write(inst, 4, Some(Alu::And))),
            Op::AmoandD => Some(self.read_and_write(inst, 8, Some(Alu::And))),
            Op::AmoorW => Some(self.read_and_write(inst, 4, Some(Alu::Or))),
            Op::AmoorD => Some(self.read_and_write(inst, 8, Some(Alu::Or))),
            Op::AmoxorW => Some(self.read_and_write(inst, 4, Some(Alu::Xor))),
            Op::AmoxorD => Some(self.read_and_write(inst, 8, Some(Alu::Xor))),
            Op::Csrrci | Op::Csrrsi
                if inst.imm == i32::from(SSTATUS) && u64::from(inst.rs1) == status::SIE =>
            {
                Some(self.interrupts(inst, inst.op == Op::Csrrsi))
            }
            Op::Csrrs if inst.imm == i32::from(SSTATUS) && inst.rd == 0 && inst.rs1 != 0 => {
                Some(self.restore_interrupts(inst))
            }
            _ => None,
        }
    }

    /// `rax` = host address of the aligned operand, `rdx` = its data entry.
    fn operand(&mut self, inst: &Inst, bytes: u8, tag: i8) -> Vec<Hole> {
        let base = self.read(inst.rs1, RAX);
        self.code().test_low(base, bytes - 1);
        let misaligned = self.code().jump_if(Condition::NotEqual);
        // Atomic operations have no offset.
        let miss = self.address(&Inst { imm: 0, ..*inst }, bytes, tag);
        vec![misaligned, miss]
    }

    fn finish_atomic(&mut self, inst: &Inst, bytes: u8, from: u8) {
        if bytes == 4 {
            self.code().extend(RAX, from);
            self.write(inst.rd, RAX);
        } else {
            self.write(inst.rd, from);
        }
    }

    fn read_and_write(&mut self, inst: &Inst, bytes: u8, alu: Option<Alu>) -> Vec<Hole> {
        let slow = self.operand(inst, bytes, WRITE_TAG);
        self.read_into(inst.rs2, RCX);
        self.code().load_word(bytes == 8, RDX);
        if let Some(alu) = alu {
            self.code().alu(alu, bytes == 8, RCX, RDX);
        }
        self.code().store(bytes, RCX);
        self.finish_atomic(inst, bytes, RDX);
        slow
    }

    /// `rcx` = guest-physical address of the operand whose host address is in `rax`.
    fn physical(&mut self) {
        let code = self.code();
        code.mov32(RCX, RAX);
        code.alu_constant(Alu::And, false, RCX, 0xfff);
        // Guest and host addresses agree below the page size.
        code.add_page();
    }

    fn load_reserved(&mut self, inst: &Inst, bytes: u8) -> Vec<Hole> {
        let slow = self.operand(inst, bytes, READ_TAG);
        self.physical();
        let code = self.code();
        code.store_place(RESERVATION, RCX);
        code.store_place_constant(RESERVATION_SIZE, i32::from(bytes));
        code.load_word(bytes == 8, RDX);
        self.finish_atomic(inst, bytes, RDX);
        slow
    }

    fn store_conditional(&mut self, inst: &Inst, bytes: u8) -> Vec<Hole> {
        let mut slow = self.operand(inst, bytes, WRITE_TAG);
        self.physical();
        let code = self.code();
        code.alu_place(Alu::Cmp, true, RCX, RESERVATION);
        slow.push(code.jump_if(Condition::NotEqual));
        code.alu_place_constant(Alu::Cmp, RESERVATION_SIZE, i32::from(bytes));
        slow.push(code.jump_if(Condition::NotEqual));
        self.read_into(inst.rs2, RCX);
        let code = self.code();
        code.store(bytes, RCX);
        code.store_place_constant(RESERVATION, NO_TAG as i32);
        code.store_place_constant(RESERVATION_SIZE, 0);
        self.write_constant(inst.rd, 0);
        slow
    }

    /// Sets `sstatus.SIE` if the register has that bit, and no other.
    fn restore_interrupts(&mut self, inst: &Inst) -> Vec<Hole> {
        self.read_into(inst.rs1, RCX);
        let code = self.code();
        code.compare_byte(MODE, SUPERVISOR as i8);
        let mut slow = vec![code.jump_if(Condition::NotEqual)];
        code.load_place(RAX, PENDING);
        code.alu_place(Alu::And, true, RAX, ENABLED);
        slow.push(code.jump_if(Condition::NotEqual));
        code.mov(RAX, RCX);
        code.alu_constant(Alu::And, true, RAX, !(status::SIE as i32));
        slow.push(code.jump_if(Condition::NotEqual));
        code.alu_place(Alu::Or, true, RCX, STATUS);
        code.store_place(STATUS, RCX);
        slow
    }

    /// Clears or sets `sstatus.SIE`; the latter only while no enabled interrupt is pending.
    fn interrupts(&mut self, inst: &Inst, on: bool) -> Vec<Hole> {
        let code = self.code();
        code.compare_byte(MODE, SUPERVISOR as i8);
        let mut slow = vec![code.jump_if(Condition::NotEqual)];
        if on {
            code.load_place(RAX, PENDING);
            code.alu_place(Alu::And, true, RAX, ENABLED);
            slow.push(code.jump_if(Condition::NotEqual));
        }
        if inst.rd != 0 {
            // As `Hart::sstatus_value`: SD is set exactly if FS is 3.
            code.load_place(RAX, STATUS);
            code.load_place_byte(RCX, FS);
            code.offset_into(RDX, RCX, 1);
            code.shift(Shift::Right, true, RDX, 2);
            code.shift(Shift::Left, true, RDX, 63);
            code.alu(Alu::Or, true, RAX, RDX);
            code.shift(Shift::Left, true, RCX, status::FS_SHIFT as u8);
            code.alu(Alu::Or, true, RAX, RCX);
            code.set(RCX, status::UXL);
            code.alu(Alu::Or, true, RAX, RCX);
        }
        if on {
            code.alu_place_constant(Alu::Or, STATUS, status::SIE as i32);
        } else {
            code.alu_place_constant(Alu::And, STATUS, !(status::SIE as i32));
        }
        self.write(inst.rd, RAX);
        slow
    }
}
