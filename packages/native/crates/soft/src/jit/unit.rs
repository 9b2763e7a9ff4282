//! Translation of one unit: a run of guest instructions of one page, entered at its start.
//!
//! The ten integer registers that compiled code uses most live in host registers throughout,
//! the others in the hart; no unit saves or loads anything at its ends, and a jump from one unit
//! to the next is one host jump. Code of a unit:
//!
//! ```text
//! entry:   ticks -= n; if negative → short        (n: instructions of the unit)
//!          instruction 0 … instruction n-1        fast paths only
//!          jump to the next unit
//! cold:    for each slow path: call `single`, back behind the instruction
//!          for each way out: its link exit
//! short:   ticks += n
//! dead:    leave with pc = va
//! data:    details of the instructions that the interpreter may get; slots
//! ```
//!
//! Instructions without a fast path here, and fast paths that do not apply, run through the
//! interpreter's own handler for that one instruction: the thunk `single` puts the registers back
//! into the hart, sets pc and ticks to those of that instruction and calls it. A taken branch in
//! the middle of a unit gives back the ticks of the instructions behind it. So every exit leaves
//! registers, pc and ticks as the interpreter would.

use super::assembler::{Alu, Assembler, Condition, Hole, RAX, RCX, TICKS, Width};
use super::layout::{
    ADDEND, DATA, DATA_MASK, Detail, Links, MAX_INSTRUCTIONS, Output, READ_TAG, Shape, WRITE_TAG,
    host,
};
use crate::decode::{Inst, Op, decode, length};

/// Whether control never continues behind this instruction.
fn ends(op: Op) -> bool {
    matches!(op, Op::Jal | Op::Jalr | Op::Illegal | Op::Ecall | Op::Ebreak | Op::Sret | Op::Wfi)
        || op == Op::SfenceVma
}

fn is_branch(op: Op) -> bool {
    matches!(op, Op::Beq | Op::Bne | Op::Blt | Op::Bge | Op::Bltu | Op::Bgeu)
}

struct Slow {
    hole: Hole,
    resume: usize,
    detail: usize,
}

/// A way out of the unit to a known address.
pub(super) struct Way {
    pub(super) hole: Hole,
    /// Ticks to give back.
    pub(super) refund: u8,
    pub(super) target: u64,
    /// The target's fetch translation must be checked even within the page.
    pub(super) unsure: bool,
}

pub(super) struct Translation<'a, 'b> {
    pub(super) out: &'a mut Output<'b>,
    pub(super) va: u64,
    pub(super) delta: u64,
    pub(super) count: u8,
    slow: Vec<Slow>,
    pub(super) ways: Vec<Way>,
    details: Vec<Detail>,
    /// The places for the address of a detail.
    detail_holes: Vec<(Hole, usize)>,
    /// The places for the address of a slot that this unit adds, and the slot's target.
    pub(super) slot_holes: Vec<(Hole, u64)>,
}

/// Translates the instructions at the start of `bytes`, which are the guest's at virtual address
/// `va` and physical address `va + delta`, and all in one page. `None` if there is not one whole
/// instruction.
pub fn translate(out: &mut Output<'_>, va: u64, delta: u64, bytes: &[u8]) -> Option<Shape> {
    let mut instructions = [(0u16, decode(0)); MAX_INSTRUCTIONS];
    let mut count = 0;
    let mut at = 0;
    while count < MAX_INSTRUCTIONS
        && let Some(half) = bytes.get(at..at + 2)
    {
        let len = usize::from(length(u16::from_le_bytes([half[0], half[1]])));
        let Some(whole) = bytes.get(at..at + len) else { break };
        let mut word = [0; 4];
        word[..len].copy_from_slice(whole);
        let inst = decode(u32::from_le_bytes(word));
        instructions[count] = (at as u16, inst);
        count += 1;
        at += len;
        if ends(inst.op) || is_branch(inst.op) && inst.imm <= 0 {
            break;
        }
    }
    if count == 0 {
        return None;
    }
    let mut this = Translation {
        out,
        va,
        delta,
        count: count as u8,
        slow: Vec::new(),
        ways: Vec::new(),
        details: Vec::new(),
        detail_holes: Vec::new(),
        slot_holes: Vec::new(),
    };
    this.out.code.alu_constant(Alu::Sub, true, TICKS, count as i32);
    let short = this.out.code.jump_if(Condition::Sign);
    for (index, (offset, inst)) in instructions[..count].iter().enumerate() {
        this.instruction(index as u8, va.wrapping_add(u64::from(*offset)), inst);
    }
    let last = instructions[count - 1].1.op;
    if !matches!(last, Op::Jal | Op::Jalr) {
        let hole = this.out.code.jump();
        let unsure = !is_branch(last);
        this.ways.push(Way { hole, refund: 0, target: va.wrapping_add(at as u64), unsure });
    }
    this.cold();
    this.out.code.aim_here(short);
    this.out.code.alu_constant(Alu::Add, true, TICKS, count as i32);
    let dead = this.out.code.here();
    this.out.code.set(RAX, va);
    let leave = this.out.thunks.leave;
    this.jump_to(leave);
    this.data();
    Some(Shape { instructions: count as u8, dead })
}

impl Translation<'_, '_> {
    pub(super) fn code(&mut self) -> &mut Assembler {
        self.out.code
    }

    pub(super) fn aim_outside(&mut self, hole: Hole, target: usize) {
        let base = self.out.base as i64;
        self.out.code.aim_from(hole, target as i64 - base);
    }

    pub(super) fn jump_to(&mut self, target: usize) {
        let hole = self.out.code.jump();
        self.aim_outside(hole, target);
    }

    fn detail(&mut self, index: u8, pc: u64, inst: &Inst) -> usize {
        let undo = u32::from(self.count - index);
        self.details.push(Detail { pc, raw: inst.raw, undo });
        self.details.len() - 1
    }

    /// Calls the interpreter for the instruction of a detail.
    fn call_single(&mut self, detail: usize) {
        let hole = self.code().address_into_rcx();
        self.detail_holes.push((hole, detail));
        let hole = self.code().call();
        let thunk = self.out.thunks.single;
        self.aim_outside(hole, thunk);
    }

    /// Hands the instruction to the interpreter.
    fn single(&mut self, index: u8, pc: u64, inst: &Inst) {
        let detail = self.detail(index, pc, inst);
        self.call_single(detail);
    }

    /// Leaves `rax` = host address of the access, or goes the slow way. Returns the jumps there.
    pub(super) fn address(&mut self, inst: &Inst, bytes: u8, tag: i8) -> Hole {
        match host(inst.rs1) {
            Some(base) if inst.imm != 0 => self.code().offset_into(RAX, base, inst.imm),
            _ => {
                self.read_into(inst.rs1, RAX);
                if inst.imm != 0 {
                    self.code().alu_constant(Alu::Add, true, RAX, inst.imm);
                }
            }
        }
        let code = self.code();
        code.data_entry(DATA_MASK, DATA);
        code.compare_page(bytes as i8 - 1, tag);
        let hole = code.jump_if(Condition::NotEqual);
        code.add_entry(ADDEND);
        hole
    }

    fn load(&mut self, index: u8, pc: u64, inst: &Inst, width: Width) {
        let hole = self.address(inst, width.bytes, READ_TAG);
        let t = Self::target(inst.rd);
        self.code().load(width, t);
        if t == RAX {
            self.write(inst.rd, RAX);
        }
        self.slowly(hole, index, pc, inst);
    }

    fn store(&mut self, index: u8, pc: u64, inst: &Inst, bytes: u8) {
        let hole = self.address(inst, bytes, WRITE_TAG);
        let s = self.read(inst.rs2, RCX);
        self.code().store(bytes, s);
        self.slowly(hole, index, pc, inst);
    }

    fn slowly(&mut self, hole: Hole, index: u8, pc: u64, inst: &Inst) {
        self.all_slowly(&[hole], index, pc, inst);
    }

    /// Sends these jumps through the interpreter, and back to here.
    fn all_slowly(&mut self, holes: &[Hole], index: u8, pc: u64, inst: &Inst) {
        let detail = self.detail(index, pc, inst);
        let resume = self.code().here();
        for &hole in holes {
            self.slow.push(Slow { hole, resume, detail });
        }
    }

    fn instruction(&mut self, index: u8, pc: u64, inst: &Inst) {
        let width = |bytes, signed| Width { bytes, signed };
        match inst.op {
            Op::Lui => self.write_constant(inst.rd, inst.imm as i64 as u64),
            Op::Auipc => self.write_constant(inst.rd, pc.wrapping_add(inst.imm as i64 as u64)),
            Op::Jal => self.jump_and_link(pc, inst),
            Op::Jalr => self.jump_to_register(pc, inst),
            Op::Beq | Op::Bne | Op::Blt | Op::Bge | Op::Bltu | Op::Bgeu => {
                self.branch(index, pc, inst);
            }
            Op::Lb => self.load(index, pc, inst, width(1, true)),
            Op::Lh => self.load(index, pc, inst, width(2, true)),
            Op::Lw => self.load(index, pc, inst, width(4, true)),
            Op::Ld => self.load(index, pc, inst, width(8, false)),
            Op::Lbu => self.load(index, pc, inst, width(1, false)),
            Op::Lhu => self.load(index, pc, inst, width(2, false)),
            Op::Lwu => self.load(index, pc, inst, width(4, false)),
            Op::Sb => self.store(index, pc, inst, 1),
            Op::Sh => self.store(index, pc, inst, 2),
            Op::Sw => self.store(index, pc, inst, 4),
            Op::Sd => self.store(index, pc, inst, 8),
            // One hart, in order, and writes to code are seen at once: nothing to fence.
            Op::Fence | Op::FenceI => {}
            _ => {
                if self.integer(inst) {
                    return;
                }
                let slow = self.atomic(inst).or_else(|| self.float(inst));
                match slow {
                    Some(holes) => self.all_slowly(&holes, index, pc, inst),
                    None => self.single(index, pc, inst),
                }
            }
        }
    }

    /// The slow paths and the ways out.
    fn cold(&mut self) {
        for slow in std::mem::take(&mut self.slow) {
            self.code().aim_here(slow.hole);
            self.call_single(slow.detail);
            let back = self.code().jump();
            self.code().aim(back, slow.resume);
        }
        for way in std::mem::take(&mut self.ways) {
            self.way_out(way);
        }
    }

    /// The data behind the code.
    fn data(&mut self) {
        self.code().align();
        let first = self.code().here();
        for detail in std::mem::take(&mut self.details) {
            self.code().raw(&detail.bytes());
        }
        for (hole, detail) in std::mem::take(&mut self.detail_holes) {
            self.code().aim(hole, first + detail * size_of::<Detail>());
        }
        let base = self.out.base;
        for (hole, target) in std::mem::take(&mut self.slot_holes) {
            let Links::Shared { not_yet, made, .. } = &mut self.out.links else { continue };
            let code = &mut *self.out.code;
            let known = made.iter().find(|(made, _)| *made == target).map(|(_, slot)| slot - base);
            let slot = known.unwrap_or_else(|| {
                let slot = code.here();
                code.raw(&not_yet.to_ne_bytes());
                made.push((target, base + slot));
                slot
            });
            code.aim(hole, slot);
        }
        self.code().align();
    }
}
