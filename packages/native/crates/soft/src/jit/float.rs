//! Fast paths of the floating-point instructions.
//!
//! The host's arithmetic serves where its result is certain to be the guest's, and no flag
//! changes: rounding is to nearest even, NX is set already (it is sticky, and nearly every
//! program sets it soon), `sstatus.FS` is dirty, and the result is finite and, but for sums, above
//! the smallest normal number, so that no other flag can have been raised. Single-precision
//! operands must be NaN-boxed. Everything else is the interpreter's; see [`crate::float`].

use super::assembler::{Alu, Condition, FloatOperation, Hole, RAX, RCX, Shift, Width};
use super::layout::{FS, READ_TAG, WRITE_TAG, place};
use super::unit::Translation;
use crate::decode::{Inst, Op};
use crate::hart::{FLOAT, Hart};
use std::mem::offset_of;

// `fs`, `fflags` and `frm` are checked with one load.
const _: () = assert!(offset_of!(Hart, fflags) == offset_of!(Hart, fs) + 1);
const _: () = assert!(offset_of!(Hart, frm) == offset_of!(Hart, fs) + 2);

const OFF: i32 = 0;
const DIRTY: i32 = 3;
const INEXACT_SET: i32 = 1 << 8;
const RNE: u8 = 0;
const RTZ: u8 = 1;
const DYNAMIC: u8 = 7;
/// Upper half of a register that holds a single-precision number.
const BOX: i32 = -1;
/// Exponent fields from here on are safely normal.
const SAFELY_NORMAL: i8 = 2;

fn float_place(register: u8) -> i32 {
    place(FLOAT + register)
}

impl Translation<'_, '_> {
    /// The jumps to the slow path, if the instruction has a fast one.
    pub(super) fn float(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        use FloatOperation::{Add, Divide, Multiply, Root, Subtract};
        match inst.op {
            Op::Flw => self.float_load(inst, 4),
            Op::Fld => self.float_load(inst, 8),
            Op::Fsw => self.float_store(inst, 4),
            Op::Fsd => self.float_store(inst, 8),
            Op::FaddD => self.arithmetic(inst, Add, true),
            Op::FsubD => self.arithmetic(inst, Subtract, true),
            Op::FmulD => self.arithmetic(inst, Multiply, true),
            Op::FdivD => self.arithmetic(inst, Divide, true),
            Op::FsqrtD => self.arithmetic(inst, Root, true),
            Op::FaddS => self.arithmetic(inst, Add, false),
            Op::FsubS => self.arithmetic(inst, Subtract, false),
            Op::FmulS => self.arithmetic(inst, Multiply, false),
            Op::FdivS => self.arithmetic(inst, Divide, false),
            Op::FsqrtS => self.arithmetic(inst, Root, false),
            Op::FmaddD => self.fused(inst, true, false, false),
            Op::FmsubD => self.fused(inst, true, false, true),
            Op::FnmsubD => self.fused(inst, true, true, false),
            Op::FnmaddD => self.fused(inst, true, true, true),
            Op::FmaddS => self.fused(inst, false, false, false),
            Op::FmsubS => self.fused(inst, false, false, true),
            Op::FnmsubS => self.fused(inst, false, true, false),
            Op::FnmaddS => self.fused(inst, false, true, true),
            Op::FsgnjD | Op::FsgnjnD | Op::FsgnjxD => self.sign(inst),
            Op::FeqD | Op::FltD | Op::FleD => self.compare_floats(inst, true),
            Op::FeqS | Op::FltS | Op::FleS => self.compare_floats(inst, false),
            Op::FmvXD | Op::FmvXW => self.move_to_integer(inst),
            Op::FmvDX | Op::FmvWX => self.move_from_integer(inst),
            Op::FcvtDW | Op::FcvtDWu | Op::FcvtDL => self.convert_integer(inst, true),
            Op::FcvtSW | Op::FcvtSWu | Op::FcvtSL => self.convert_integer(inst, false),
            Op::FcvtWD | Op::FcvtLD => self.truncate(inst, true),
            Op::FcvtWS | Op::FcvtLS => self.truncate(inst, false),
            Op::FcvtSD => self.narrow(inst),
            Op::FcvtDS => self.widen(inst),
            _ => None,
        }
    }

    /// Goes the slow way unless `sstatus.FS` is dirty.
    fn if_clean(&mut self) -> Hole {
        self.code().compare_byte(FS, DIRTY as i8);
        self.code().jump_if(Condition::NotEqual)
    }

    /// Goes the slow way unless FS is dirty, NX is set and rounding is to nearest even. `None` if
    /// the instruction rounds otherwise.
    fn if_special(&mut self, rounding: u8) -> Option<Hole> {
        match rounding {
            RNE => self.code().compare_masked(FS, 0x01ff, INEXACT_SET | DIRTY),
            DYNAMIC => self.code().compare_masked(FS, 0x00ff_01ff, INEXACT_SET | DIRTY),
            _ => return None,
        }
        Some(self.code().jump_if(Condition::NotEqual))
    }

    /// Goes the slow way unless the register holds a single-precision number.
    fn if_unboxed(&mut self, register: u8) -> Hole {
        self.code().compare_place32(float_place(register) + 4, BOX);
        self.code().jump_if(Condition::NotEqual)
    }

    fn if_any_unboxed(&mut self, double: bool, registers: &[u8], slow: &mut Vec<Hole>) {
        if !double {
            for register in registers {
                slow.push(self.if_unboxed(*register));
            }
        }
    }

    /// Sets a register to the value in `rax`.
    fn write_float(&mut self, double: bool, register: u8) {
        let to = float_place(register);
        if double {
            self.code().store_place(to, RAX);
        } else {
            self.code().store_place32(to, RAX);
            self.code().store_place32_constant(to + 4, BOX);
        }
    }

    /// Takes the result from `xmm0`, or takes the slow path if its exponent field is below `least`
    /// or that of infinity.
    fn finish(&mut self, double: bool, least: i8, rd: u8, slow: &mut Vec<Hole>) {
        self.code().float_bits(double);
        self.code().compare_exponent(double, least);
        slow.push(self.code().jump_if(Condition::AboveEqual));
        self.write_float(double, rd);
    }

    fn arithmetic(
        &mut self,
        inst: &Inst,
        operation: FloatOperation,
        double: bool,
    ) -> Option<Vec<Hole>> {
        let mut slow = vec![self.if_special(inst.rm)?];
        let (first, second) = match operation {
            FloatOperation::Root => (inst.rs1, inst.rs1),
            _ => (inst.rs1, inst.rs2),
        };
        self.if_any_unboxed(double, &[first, second], &mut slow);
        if operation != FloatOperation::Root {
            self.code().float_load(double, float_place(first));
        }
        self.code().float_combine(operation, double, float_place(second));
        // A sum that is not normal is exact.
        let least = match operation {
            FloatOperation::Add | FloatOperation::Subtract => 0,
            _ => SAFELY_NORMAL,
        };
        self.finish(double, least, inst.rd, &mut slow);
        Some(slow)
    }

    fn fused(
        &mut self,
        inst: &Inst,
        double: bool,
        minus_product: bool,
        minus: bool,
    ) -> Option<Vec<Hole>> {
        if !std::arch::is_x86_feature_detected!("fma") {
            return None;
        }
        let mut slow = vec![self.if_special(inst.rm)?];
        self.if_any_unboxed(double, &[inst.rs1, inst.rs2, inst.rs3], &mut slow);
        self.code().float_load(double, float_place(inst.rs1));
        self.code().float_load_second(double, float_place(inst.rs2));
        self.code().float_fuse(double, minus_product, minus, float_place(inst.rs3));
        self.finish(double, SAFELY_NORMAL, inst.rd, &mut slow);
        Some(slow)
    }

    fn sign(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        let slow = vec![self.if_clean()];
        let (from, sign) = (float_place(inst.rs1), float_place(inst.rs2));
        let code = self.code();
        code.load_place(RAX, from);
        if inst.rs1 != inst.rs2 || inst.op != Op::FsgnjD {
            code.load_place(RCX, sign);
            if inst.op == Op::FsgnjnD {
                code.alu_constant(Alu::Xor, true, RCX, -1);
            }
            // Keep the sign bit of rcx alone; for the plain forms, take it out of rax.
            code.shift(Shift::Right, true, RCX, 63);
            code.shift(Shift::Left, true, RCX, 63);
            if inst.op != Op::FsgnjxD {
                code.shift(Shift::Left, true, RAX, 1);
                code.shift(Shift::Right, true, RAX, 1);
            }
            code.alu(Alu::Xor, true, RAX, RCX);
        }
        self.write_float(true, inst.rd);
        Some(slow)
    }

    fn compare_floats(&mut self, inst: &Inst, double: bool) -> Option<Vec<Hole>> {
        let mut slow = vec![self.if_clean()];
        self.if_any_unboxed(double, &[inst.rs1, inst.rs2], &mut slow);
        // a < b as b > a, which unordered operands do not satisfy.
        let (first, second, condition) = match inst.op {
            Op::FeqD | Op::FeqS => (inst.rs1, inst.rs2, Condition::Equal),
            Op::FltD | Op::FltS => (inst.rs2, inst.rs1, Condition::Above),
            _ => (inst.rs2, inst.rs1, Condition::AboveEqual),
        };
        self.code().float_load(double, float_place(first));
        self.code().float_compare(double, float_place(second));
        slow.push(self.code().jump_if(Condition::Parity));
        self.code().set_if(condition, RAX);
        self.write(inst.rd, RAX);
        Some(slow)
    }

    fn move_to_integer(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        let slow = vec![self.if_clean()];
        let from = float_place(inst.rs1);
        if inst.op == Op::FmvXD {
            self.code().load_place(RAX, from);
        } else {
            self.code().load_place32_signed(RAX, from);
        }
        self.write(inst.rd, RAX);
        Some(slow)
    }

    fn move_from_integer(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        let slow = vec![self.if_clean()];
        self.read_into(inst.rs1, RAX);
        self.write_float(inst.op == Op::FmvDX, inst.rd);
        Some(slow)
    }

    fn convert_integer(&mut self, inst: &Inst, double: bool) -> Option<Vec<Hole>> {
        // 32-bit integers are exact in double precision, for any rounding.
        let exact = matches!(inst.op, Op::FcvtDW | Op::FcvtDWu);
        let slow = if exact && inst.rm <= 4 {
            vec![self.if_clean()]
        } else {
            vec![self.if_special(inst.rm)?]
        };
        self.read_into(inst.rs1, RAX);
        match inst.op {
            Op::FcvtDW | Op::FcvtSW => self.code().extend(RAX, RAX),
            Op::FcvtDWu | Op::FcvtSWu => self.code().mov32(RAX, RAX),
            _ => {}
        }
        self.code().float_from_integer(double);
        self.code().float_bits(double);
        self.write_float(double, inst.rd);
        Some(slow)
    }

    /// Towards zero, as compilers convert.
    fn truncate(&mut self, inst: &Inst, double: bool) -> Option<Vec<Hole>> {
        if inst.rm != RTZ {
            return None;
        }
        let mut slow = vec![self.if_special(RNE)?];
        self.if_any_unboxed(double, &[inst.rs1], &mut slow);
        self.code().float_load(double, float_place(inst.rs1));
        self.code().float_to_integer(double);
        if matches!(inst.op, Op::FcvtWD | Op::FcvtWS) {
            self.code().extend(RCX, RAX);
        } else {
            // The least number may mean a result that does not fit.
            self.code().set(RCX, 1 << 63);
        }
        self.code().alu(Alu::Cmp, true, RAX, RCX);
        let wide = matches!(inst.op, Op::FcvtLD | Op::FcvtLS);
        slow.push(self.code().jump_if(if wide { Condition::Equal } else { Condition::NotEqual }));
        self.write(inst.rd, RAX);
        Some(slow)
    }

    fn narrow(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        let mut slow = vec![self.if_special(inst.rm)?];
        self.code().float_load(true, float_place(inst.rs1));
        self.code().float_convert(false);
        self.finish(false, SAFELY_NORMAL, inst.rd, &mut slow);
        Some(slow)
    }

    /// Always exact; only a signalling NaN raises a flag, and a NaN is the canonical one.
    fn widen(&mut self, inst: &Inst) -> Option<Vec<Hole>> {
        if inst.rm > 4 && inst.rm != DYNAMIC {
            return None;
        }
        // A reserved dynamic rounding mode is illegal even here.
        let mut slow =
            vec![if inst.rm == DYNAMIC { self.if_special(inst.rm)? } else { self.if_clean() }];
        slow.push(self.if_unboxed(inst.rs1));
        self.code().float_load(false, float_place(inst.rs1));
        self.code().float_convert(true);
        self.finish(true, 0, inst.rd, &mut slow);
        Some(slow)
    }

    fn float_load(&mut self, inst: &Inst, bytes: u8) -> Option<Vec<Hole>> {
        let clean = self.if_clean();
        let miss = self.address(inst, bytes, READ_TAG);
        self.code().load(Width { bytes, signed: false }, RAX);
        self.write_float(bytes == 8, inst.rd);
        Some(vec![clean, miss])
    }

    fn float_store(&mut self, inst: &Inst, bytes: u8) -> Option<Vec<Hole>> {
        // It changes no floating-point state, so that any but off will do.
        self.code().compare_byte(FS, OFF as i8);
        let off = self.code().jump_if(Condition::Equal);
        let miss = self.address(inst, bytes, WRITE_TAG);
        self.code().load_place(RCX, float_place(inst.rs2));
        self.code().store(bytes, RCX);
        Some(vec![off, miss])
    }
}
