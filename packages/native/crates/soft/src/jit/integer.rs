//! Integer arithmetic of guest registers, each in its host register or in the hart.

use super::assembler::{Alu, Condition, RAX, RCX, RDX, Shift};
use super::layout::{host, place};
use super::unit::Translation;
use crate::decode::{Inst, Op};

impl Translation<'_, '_> {
    /// Emits an arithmetic instruction; false, and nothing emitted, if it is not one.
    pub(super) fn integer(&mut self, inst: &Inst) -> bool {
        match inst.op {
            Op::Addi => self.add_immediate(inst.rd, inst.rs1, inst.imm, true),
            Op::Addiw => self.add_immediate(inst.rd, inst.rs1, inst.imm, false),
            Op::Slti => self.set_if_less_immediate(inst, Condition::Less),
            Op::Sltiu => self.set_if_less_immediate(inst, Condition::Below),
            Op::Xori => self.logic_immediate(Alu::Xor, inst),
            Op::Ori => self.logic_immediate(Alu::Or, inst),
            Op::Andi => self.logic_immediate(Alu::And, inst),
            Op::Slli => self.shift_immediate(Shift::Left, true, inst),
            Op::Srli => self.shift_immediate(Shift::Right, true, inst),
            Op::Srai => self.shift_immediate(Shift::Arithmetic, true, inst),
            Op::Slliw => self.shift_immediate(Shift::Left, false, inst),
            Op::Srliw => self.shift_immediate(Shift::Right, false, inst),
            Op::Sraiw => self.shift_immediate(Shift::Arithmetic, false, inst),
            Op::Add => self.binary(Alu::Add, true, inst),
            Op::Sub => self.binary(Alu::Sub, true, inst),
            Op::Xor => self.binary(Alu::Xor, true, inst),
            Op::Or => self.binary(Alu::Or, true, inst),
            Op::And => self.binary(Alu::And, true, inst),
            Op::Addw => self.binary(Alu::Add, false, inst),
            Op::Subw => self.binary(Alu::Sub, false, inst),
            Op::Sll => self.shift_register(Shift::Left, true, inst),
            Op::Srl => self.shift_register(Shift::Right, true, inst),
            Op::Sra => self.shift_register(Shift::Arithmetic, true, inst),
            Op::Sllw => self.shift_register(Shift::Left, false, inst),
            Op::Srlw => self.shift_register(Shift::Right, false, inst),
            Op::Sraw => self.shift_register(Shift::Arithmetic, false, inst),
            Op::Slt => self.set_if_less(inst, Condition::Less),
            Op::Sltu => self.set_if_less(inst, Condition::Below),
            Op::Mul => self.multiply(true, inst),
            Op::Mulw => self.multiply(false, inst),
            Op::Mulh | Op::Mulhu | Op::Mulhsu => self.multiply_high(inst),
            Op::Div => self.divide(inst, true, true, false),
            Op::Divu => self.divide(inst, false, true, false),
            Op::Rem => self.divide(inst, true, true, true),
            Op::Remu => self.divide(inst, false, true, true),
            Op::Divw => self.divide(inst, true, false, false),
            Op::Divuw => self.divide(inst, false, false, false),
            Op::Remw => self.divide(inst, true, false, true),
            Op::Remuw => self.divide(inst, false, false, true),
            _ => return false,
        }
        true
    }

    fn copy(&mut self, rd: u8, rs: u8) {
        if rs == 0 {
            self.write_constant(rd, 0);
            return;
        }
        match (host(rd), host(rs)) {
            (Some(d), _) => self.read_into(rs, d),
            (None, Some(s)) => self.code().store_place(place(rd), s),
            (None, None) => {
                self.code().load_place(RAX, place(rs));
                self.code().store_place(place(rd), RAX);
            }
        }
    }

    fn binary(&mut self, alu: Alu, wide: bool, inst: &Inst) {
        let (rd, mut a, mut b) = (inst.rd, inst.rs1, inst.rs2);
        if rd == 0 {
            return;
        }
        if alu != Alu::Sub && (a == 0 || rd == b) {
            std::mem::swap(&mut a, &mut b);
        }
        if b == 0 && wide && matches!(alu, Alu::Add | Alu::Or | Alu::Xor | Alu::Sub) {
            self.copy(rd, a);
            return;
        }
        if alu == Alu::Add
            && wide
            && rd != a
            && let (Some(a), Some(b)) = (host(a), host(b))
        {
            let t = Self::target(rd);
            self.code().add_into(t, a, b);
            self.write(rd, t);
            return;
        }
        let aliased = host(rd).is_some() && rd == b && rd != a;
        let t = if aliased { RAX } else { Self::target(rd) };
        if host(rd).is_none() || rd != a {
            self.read_into(a, t);
        }
        self.combine(alu, wide, t, b);
        if !wide {
            self.code().extend(t, t);
        }
        self.write(rd, t);
    }

    fn add_immediate(&mut self, rd: u8, rs: u8, imm: i32, wide: bool) {
        if rd == 0 {
            return;
        }
        if rs == 0 {
            self.write_constant(rd, imm as i64 as u64);
            return;
        }
        if wide && imm == 0 {
            self.copy(rd, rs);
            return;
        }
        if wide && rd == rs {
            match host(rd) {
                Some(d) => self.code().alu_constant(Alu::Add, true, d, imm),
                None => self.code().alu_place_constant(Alu::Add, place(rd), imm),
            }
            return;
        }
        let t = Self::target(rd);
        if !wide && imm == 0 {
            match host(rs) {
                Some(s) => self.code().extend(t, s),
                None => self.code().load_place32_signed(t, place(rs)),
            }
            self.write(rd, t);
            return;
        }
        match host(rs) {
            Some(s) if s != t => self.code().offset_into(t, s, imm),
            _ => {
                self.read_into(rs, t);
                self.code().alu_constant(Alu::Add, wide, t, imm);
            }
        }
        if !wide {
            self.code().extend(t, t);
        }
        self.write(rd, t);
    }

    fn logic_immediate(&mut self, alu: Alu, inst: &Inst) {
        if inst.rd == 0 {
            return;
        }
        let t = Self::target(inst.rd);
        if alu == Alu::And && inst.imm == 0xff {
            let s = self.read(inst.rs1, RAX);
            self.code().extend8_zero(t, s);
        } else {
            self.read_into(inst.rs1, t);
            self.code().alu_constant(alu, true, t, inst.imm);
        }
        self.write(inst.rd, t);
    }

    fn shift_immediate(&mut self, shift: Shift, wide: bool, inst: &Inst) {
        if inst.rd == 0 {
            return;
        }
        let t = Self::target(inst.rd);
        self.read_into(inst.rs1, t);
        if inst.imm != 0 {
            self.code().shift(shift, wide, t, inst.imm as u8);
        }
        if !wide {
            self.code().extend(t, t);
        }
        self.write(inst.rd, t);
    }

    fn shift_register(&mut self, shift: Shift, wide: bool, inst: &Inst) {
        if inst.rd == 0 {
            return;
        }
        let t = Self::target(inst.rd);
        self.read_into(inst.rs2, RCX);
        self.read_into(inst.rs1, t);
        self.code().shift_by_cl(shift, wide, t);
        if !wide {
            self.code().extend(t, t);
        }
        self.write(inst.rd, t);
    }

    fn set_if_less(&mut self, inst: &Inst, condition: Condition) {
        if inst.rd == 0 {
            return;
        }
        self.compare(inst.rs1, inst.rs2);
        self.code().set_if(condition, RAX);
        self.write(inst.rd, RAX);
    }

    fn set_if_less_immediate(&mut self, inst: &Inst, condition: Condition) {
        if inst.rd == 0 {
            return;
        }
        match host(inst.rs1) {
            None if inst.rs1 != 0 => {
                self.code().alu_place_constant(Alu::Cmp, place(inst.rs1), inst.imm);
            }
            _ => {
                let first = self.read(inst.rs1, RAX);
                self.code().alu_constant(Alu::Cmp, true, first, inst.imm);
            }
        }
        self.code().set_if(condition, RAX);
        self.write(inst.rd, RAX);
    }

    fn multiply(&mut self, wide: bool, inst: &Inst) {
        if inst.rd == 0 {
            return;
        }
        self.read_into(inst.rs1, RAX);
        let b = self.read(inst.rs2, RCX);
        self.code().multiply(wide, RAX, b);
        if !wide {
            self.code().extend(RAX, RAX);
        }
        self.write(inst.rd, RAX);
    }

    fn multiply_high(&mut self, inst: &Inst) {
        if inst.rd == 0 {
            return;
        }
        self.read_into(inst.rs2, RCX);
        self.read_into(inst.rs1, RAX);
        self.code().multiply_wide(inst.op == Op::Mulh, RCX);
        if inst.op == Op::Mulhsu {
            // The unsigned product counts a negative rs1 as 2^64 too much.
            self.read_into(inst.rs1, RAX);
            self.code().shift(Shift::Arithmetic, true, RAX, 63);
            self.code().alu(Alu::And, true, RAX, RCX);
            self.code().alu(Alu::Sub, true, RDX, RAX);
        }
        self.write(inst.rd, RDX);
    }

    fn divide(&mut self, inst: &Inst, signed: bool, wide: bool, remainder: bool) {
        if inst.rd == 0 {
            return;
        }
        self.read_into(inst.rs2, RCX);
        self.read_into(inst.rs1, RAX);
        // By 0: the quotient is all ones, the remainder the dividend. The one overflow, of the
        // least number by -1, is what negation gives, with remainder 0; the host would trap.
        let code = self.code();
        code.alu_constant(Alu::Cmp, wide, RCX, 0);
        let by_zero = code.jump_if(Condition::Equal);
        let by_minus_one = signed.then(|| {
            code.alu_constant(Alu::Cmp, wide, RCX, -1);
            code.jump_if(Condition::Equal)
        });
        code.divide(signed, wide, RCX);
        if remainder {
            code.mov(RAX, RDX);
        }
        let mut done = vec![code.jump()];
        if let Some(hole) = by_minus_one {
            code.aim_here(hole);
            if remainder {
                code.set(RAX, 0);
            } else {
                code.negate(wide, RAX);
            }
            done.push(code.jump());
        }
        code.aim_here(by_zero);
        if !remainder {
            code.set(RAX, u64::MAX);
        }
        for hole in done {
            code.aim_here(hole);
        }
        if !wide {
            code.extend(RAX, RAX);
        }
        self.write(inst.rd, RAX);
    }
}
