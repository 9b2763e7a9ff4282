//! From decoded instructions to the slots of a block.

use crate::block::{Draft, Head, MAX_INSTRUCTIONS, Place, Slot};
use crate::decode::{Inst, Op};
use crate::exec::control::Branch;
use crate::exec::{Handler, atomic, control, float, integer, memory, operation_of, system};
use crate::hart::{FLOAT, SINK};

/// A block before it gets its place in memory.
pub struct Lowered {
    /// Slots in order.
    pub drafts: Vec<Draft>,
    /// Instructions.
    pub instructions: u16,
    /// Bytes of guest code.
    pub bytes: u16,
}

/// The slots of one instruction that executes wherever `hart.pc` is.
pub fn single(inst: &Inst) -> Vec<Draft> {
    let mut lowering = Lowering::new(0);
    lowering.add(inst);
    lowering.finish().drafts
}

/// How a block continues behind an instruction.
enum Flow {
    /// With the next instruction.
    On,
    /// It does not: the instruction has left the block.
    Ends,
    /// With the next instruction, in another block.
    Splits,
}

/// Collects the slots of one block.
pub struct Lowering {
    drafts: Vec<Draft>,
    /// Offset of the block's first instruction in its page.
    page_offset: u64,
    index: u8,
    half: u8,
    ended: bool,
}

const PAGE: i64 = 4096;

impl Lowering {
    /// A block that starts at this offset in its page.
    pub fn new(page_offset: u64) -> Self {
        Self {
            drafts: Vec::with_capacity(MAX_INSTRUCTIONS * 2),
            page_offset,
            index: 0,
            half: 0,
            ended: false,
        }
    }

    /// Whether the block takes no further instruction.
    pub fn is_ended(&self) -> bool {
        self.ended || usize::from(self.index) >= MAX_INSTRUCTIONS
    }

    fn push(&mut self, run: Handler, reg: [u8; 4], imm: i32) {
        self.push_slot(Slot { head: Head { run: operation_of(run) }, reg, imm });
    }

    fn push_slot(&mut self, slot: Slot) {
        let place = Place { index: self.index, half: self.half };
        self.drafts.push(Draft { slot, place, is_link: slot.is_link() });
    }

    /// Makes the block check, before its only instruction, that its second page has not changed.
    pub fn check_second_page(&mut self) {
        self.push(control::check_second_page, [0; 4], 0);
    }

    /// Adds an instruction.
    pub fn add(&mut self, inst: &Inst) {
        let flow = self.lower(inst);
        self.index += 1;
        self.half += inst.len / 2;
        match flow {
            Flow::On => {}
            Flow::Ends => self.ended = true,
            Flow::Splits => {
                self.end();
            }
        }
    }

    /// The block, closed with a jump to the instruction behind it if it needs one.
    pub fn finish(mut self) -> Lowered {
        if !self.ended {
            self.end();
        }
        Lowered {
            drafts: self.drafts,
            instructions: u16::from(self.index),
            bytes: 2 * u16::from(self.half),
        }
    }

    fn end(&mut self) {
        let delta = 2 * i32::from(self.half);
        let (is_near, reg) = (self.is_near(delta), [0, 0, 0, self.index]);
        control::JUMP.put(is_near, reg, delta, |slot| self.push_slot(slot));
        self.ended = true;
    }

    /// Whether the address `delta` from the block's start is in the block's page.
    fn is_near(&self, delta: i32) -> bool {
        (0..PAGE).contains(&(self.page_offset as i64 + i64::from(delta)))
    }

    /// Distance of the instruction in hand from the block's start.
    fn offset(&self) -> i32 {
        2 * i32::from(self.half)
    }

    fn branch(&mut self, branch: &Branch, inst: &Inst) -> Flow {
        let delta = self.offset().wrapping_add(inst.imm);
        let (is_near, reg) = (self.is_near(delta), [0, inst.rs1, inst.rs2, self.index + 1]);
        branch.put(is_near, reg, delta, |slot| self.push_slot(slot));
        Flow::On
    }

    fn lower(&mut self, inst: &Inst) -> Flow {
        let d = if inst.rd == 0 { SINK } else { inst.rd };
        let (s1, s2) = (inst.rs1, inst.rs2);
        let behind = self.half + inst.len / 2;
        let plain: Handler = match inst.op {
            Op::Illegal => {
                self.push(system::reserved, [0; 4], 0);
                return Flow::Ends;
            }
            Op::Lui => {
                self.push(integer::li, [d, 0, 0, 0], inst.imm);
                return Flow::On;
            }
            Op::Auipc => {
                // Upper immediates have 12 free low bits; the offset in a block has fewer.
                let imm = inst.imm + self.offset();
                self.push(integer::auipc, [d, 0, 0, 0], imm);
                return Flow::On;
            }
            Op::Jal => {
                let delta = self.offset().wrapping_add(inst.imm);
                let jump = if inst.rd == 0 { control::JUMP } else { control::JAL };
                let (is_near, reg) = (self.is_near(delta), [d, behind, 0, self.index + 1]);
                jump.put(is_near, reg, delta, |slot| self.push_slot(slot));
                return Flow::Ends;
            }
            Op::Jalr => {
                let run: Handler =
                    if inst.rd == 0 { control::jump_register } else { control::jalr };
                self.push(run, [d, s1, behind, self.index + 1], inst.imm);
                return Flow::Ends;
            }
            Op::Beq => return self.branch(&control::BEQ, inst),
            Op::Bne => return self.branch(&control::BNE, inst),
            Op::Blt => return self.branch(&control::BLT, inst),
            Op::Bge => return self.branch(&control::BGE, inst),
            Op::Bltu => return self.branch(&control::BLTU, inst),
            Op::Bgeu => return self.branch(&control::BGEU, inst),
            Op::Addi if s1 == 0 => {
                self.push(integer::li, [d, 0, 0, 0], inst.imm);
                return Flow::On;
            }
            Op::Addi if inst.imm == 0 => {
                let run: Handler = if inst.rd == 0 { integer::nop } else { integer::mv };
                self.push(run, [d, s1, 0, 0], 0);
                return Flow::On;
            }
            Op::Add if s1 == 0 => {
                self.push(integer::mv, [d, s2, 0, 0], 0);
                return Flow::On;
            }
            Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci => {
                let run: Handler = match inst.op {
                    Op::Csrrw => system::csrrw,
                    Op::Csrrs => system::csrrs,
                    Op::Csrrc => system::csrrc,
                    Op::Csrrwi => system::csrrwi,
                    Op::Csrrsi => system::csrrsi,
                    _ => system::csrrci,
                };
                let writes = matches!(inst.op, Op::Csrrw | Op::Csrrwi) || s1 != 0;
                let flags = if writes { system::WRITES } else { 0 };
                self.push(run, [d, s1, 0, flags], inst.imm);
                return Flow::On;
            }
            Op::Ecall | Op::Ebreak | Op::Sret => {
                let run: Handler = match inst.op {
                    Op::Ecall => system::ecall,
                    Op::Ebreak => system::ebreak,
                    _ => system::sret,
                };
                self.push(run, [0; 4], 0);
                return Flow::Ends;
            }
            Op::Wfi => {
                self.push(system::wfi, [0; 4], 0);
                return Flow::Splits;
            }
            Op::SfenceVma => {
                let named = i32::from(s1 != 0) | i32::from(s2 != 0) << 1;
                self.push(system::sfence_vma, [0, s1, s2, 0], named);
                return Flow::Splits;
            }
            Op::Fence | Op::FenceI => integer::nop,
            Op::Lb => memory::lb,
            Op::Lh => memory::lh,
            Op::Lw => memory::lw,
            Op::Ld => memory::ld,
            Op::Lbu => memory::lbu,
            Op::Lhu => memory::lhu,
            Op::Lwu => memory::lwu,
            Op::Sb => memory::sb,
            Op::Sh => memory::sh,
            Op::Sw => memory::sw,
            Op::Sd => memory::sd,
            Op::Addi => integer::addi,
            Op::Slti => integer::slti,
            Op::Sltiu => integer::sltiu,
            Op::Xori => integer::xori,
            Op::Ori => integer::ori,
            Op::Andi => integer::andi,
            Op::Slli => integer::slli,
            Op::Srli => integer::srli,
            Op::Srai => integer::srai,
            Op::Add => integer::add,
            Op::Sub => integer::sub,
            Op::Sll => integer::sll,
            Op::Slt => integer::slt,
            Op::Sltu => integer::sltu,
            Op::Xor => integer::xor,
            Op::Srl => integer::srl,
            Op::Sra => integer::sra,
            Op::Or => integer::or,
            Op::And => integer::and,
            Op::Addiw => integer::addiw,
            Op::Slliw => integer::slliw,
            Op::Srliw => integer::srliw,
            Op::Sraiw => integer::sraiw,
            Op::Addw => integer::addw,
            Op::Subw => integer::subw,
            Op::Sllw => integer::sllw,
            Op::Srlw => integer::srlw,
            Op::Sraw => integer::sraw,
            Op::Mul => integer::mul,
            Op::Mulh => integer::mulh,
            Op::Mulhsu => integer::mulhsu,
            Op::Mulhu => integer::mulhu,
            Op::Div => integer::div,
            Op::Divu => integer::divu,
            Op::Rem => integer::rem,
            Op::Remu => integer::remu,
            Op::Mulw => integer::mulw,
            Op::Divw => integer::divw,
            Op::Divuw => integer::divuw,
            Op::Remw => integer::remw,
            Op::Remuw => integer::remuw,
            Op::LrW => atomic::lr_w,
            Op::ScW => atomic::sc_w,
            Op::AmoswapW => atomic::amoswap_w,
            Op::AmoaddW => atomic::amoadd_w,
            Op::AmoxorW => atomic::amoxor_w,
            Op::AmoandW => atomic::amoand_w,
            Op::AmoorW => atomic::amoor_w,
            Op::AmominW => atomic::amomin_w,
            Op::AmomaxW => atomic::amomax_w,
            Op::AmominuW => atomic::amominu_w,
            Op::AmomaxuW => atomic::amomaxu_w,
            Op::LrD => atomic::lr_d,
            Op::ScD => atomic::sc_d,
            Op::AmoswapD => atomic::amoswap_d,
            Op::AmoaddD => atomic::amoadd_d,
            Op::AmoxorD => atomic::amoxor_d,
            Op::AmoandD => atomic::amoand_d,
            Op::AmoorD => atomic::amoor_d,
            Op::AmominD => atomic::amomin_d,
            Op::AmomaxD => atomic::amomax_d,
            Op::AmominuD => atomic::amominu_d,
            Op::AmomaxuD => atomic::amomaxu_d,
            _ => return self.lower_float(inst, d),
        };
        self.push(plain, [d, s1, s2, 0], inst.imm);
        Flow::On
    }

    fn lower_float(&mut self, inst: &Inst, d: u8) -> Flow {
        let (x1, f) = (inst.rs1, |register: u8| register + FLOAT);
        let (fd, f1, f2) = (f(inst.rd), f(inst.rs1), f(inst.rs2));
        let third = i32::from(f(inst.rs3));
        // Destination, sources and immediate by kind of operation.
        let to_float = ([fd, f1, f2, inst.rm], 0);
        let to_integer = ([d, f1, f2, inst.rm], 0);
        let from_integer = ([fd, x1, 0, inst.rm], 0);
        let fused = ([fd, f1, f2, inst.rm], third);
        let (run, (reg, imm)): (Handler, ([u8; 4], i32)) = match inst.op {
            Op::Flw => (memory::flw, ([fd, x1, 0, 0], inst.imm)),
            Op::Fld => (memory::fld, ([fd, x1, 0, 0], inst.imm)),
            Op::Fsw => (memory::fsw, ([0, x1, f2, 0], inst.imm)),
            Op::Fsd => (memory::fsd, ([0, x1, f2, 0], inst.imm)),
            Op::FmaddS => (float::fmadd_s, fused),
            Op::FmsubS => (float::fmsub_s, fused),
            Op::FnmsubS => (float::fnmsub_s, fused),
            Op::FnmaddS => (float::fnmadd_s, fused),
            Op::FmaddD => (float::fmadd_d, fused),
            Op::FmsubD => (float::fmsub_d, fused),
            Op::FnmsubD => (float::fnmsub_d, fused),
            Op::FnmaddD => (float::fnmadd_d, fused),
            Op::FaddS => (float::fadd_s, to_float),
            Op::FsubS => (float::fsub_s, to_float),
            Op::FmulS => (float::fmul_s, to_float),
            Op::FdivS => (float::fdiv_s, to_float),
            Op::FsqrtS => (float::fsqrt_s, to_float),
            Op::FsgnjS => (float::fsgnj_s, to_float),
            Op::FsgnjnS => (float::fsgnjn_s, to_float),
            Op::FsgnjxS => (float::fsgnjx_s, to_float),
            Op::FminS => (float::fmin_s, to_float),
            Op::FmaxS => (float::fmax_s, to_float),
            Op::FaddD => (float::fadd_d, to_float),
            Op::FsubD => (float::fsub_d, to_float),
            Op::FmulD => (float::fmul_d, to_float),
            Op::FdivD => (float::fdiv_d, to_float),
            Op::FsqrtD => (float::fsqrt_d, to_float),
            Op::FsgnjD => (float::fsgnj_d, to_float),
            Op::FsgnjnD => (float::fsgnjn_d, to_float),
            Op::FsgnjxD => (float::fsgnjx_d, to_float),
            Op::FminD => (float::fmin_d, to_float),
            Op::FmaxD => (float::fmax_d, to_float),
            Op::FcvtSD => (float::fcvt_s_d, to_float),
            Op::FcvtDS => (float::fcvt_d_s, to_float),
            Op::FeqS => (float::feq_s, to_integer),
            Op::FltS => (float::flt_s, to_integer),
            Op::FleS => (float::fle_s, to_integer),
            Op::FclassS => (float::fclass_s, to_integer),
            Op::FeqD => (float::feq_d, to_integer),
            Op::FltD => (float::flt_d, to_integer),
            Op::FleD => (float::fle_d, to_integer),
            Op::FclassD => (float::fclass_d, to_integer),
            Op::FcvtWS => (float::fcvt_w_s, to_integer),
            Op::FcvtWuS => (float::fcvt_wu_s, to_integer),
            Op::FcvtLS => (float::fcvt_l_s, to_integer),
            Op::FcvtLuS => (float::fcvt_lu_s, to_integer),
            Op::FcvtWD => (float::fcvt_w_d, to_integer),
            Op::FcvtWuD => (float::fcvt_wu_d, to_integer),
            Op::FcvtLD => (float::fcvt_l_d, to_integer),
            Op::FcvtLuD => (float::fcvt_lu_d, to_integer),
            Op::FmvXW => (float::fmv_x_w, to_integer),
            Op::FmvXD => (float::fmv_x_d, to_integer),
            Op::FcvtSW => (float::fcvt_s_w, from_integer),
            Op::FcvtSWu => (float::fcvt_s_wu, from_integer),
            Op::FcvtSL => (float::fcvt_s_l, from_integer),
            Op::FcvtSLu => (float::fcvt_s_lu, from_integer),
            Op::FcvtDW => (float::fcvt_d_w, from_integer),
            Op::FcvtDWu => (float::fcvt_d_wu, from_integer),
            Op::FcvtDL => (float::fcvt_d_l, from_integer),
            Op::FcvtDLu => (float::fcvt_d_lu, from_integer),
            Op::FmvWX => (float::fmv_w_x, from_integer),
            Op::FmvDX => (float::fmv_d_x, from_integer),
            // Every other operation is an integer one.
            _ => (system::reserved, ([0; 4], 0)),
        };
        self.push(run, reg, imm);
        Flow::On
    }
}
