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
//! ```
//!
//! Whatever has no fast path here, and every fast path that does not apply, runs through the
//! interpreter's own handler for that one instruction: the thunk `single` puts the registers
//! back into the hart, makes pc and ticks those of that instruction and calls it. A taken branch
//! in the middle of a unit gives back the ticks of the instructions behind it. So every way out
//! leaves registers, pc and ticks as the interpreter would.

use super::assembler::{Alu, Assembler, Condition, Hole, RAX, RCX, RDX, TICKS, Width};
use super::layout::{
    ADDEND, DATA, DATA_MASK, Detail, FETCH, FETCH_MASK, MAX_INSTRUCTIONS, Output, READ_TAG, Shape,
    Site, TABLE_MASK, TABLE_ON_STACK, WRITE_TAG, host, place,
};
use crate::decode::{Inst, Op, decode, length};
use crate::hart::{FETCH_ENTRIES, FetchEntry};
use crate::page::tag;

/// Whether control never simply goes on behind this instruction.
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
    detail: u32,
}

/// A way out of the unit to a known address.
struct Way {
    hole: Hole,
    /// Ticks to give back.
    refund: u8,
    target: u64,
    /// The target's fetch translation has to be looked at even within the page.
    unsure: bool,
}

pub(super) struct Translation<'a, 'b> {
    out: &'a mut Output<'b>,
    va: u64,
    delta: u64,
    count: u8,
    slow: Vec<Slow>,
    ways: Vec<Way>,
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
    let mut this =
        Translation { out, va, delta, count: count as u8, slow: Vec::new(), ways: Vec::new() };
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
    Some(Shape { instructions: count as u8, dead })
}

impl Translation<'_, '_> {
    pub(super) fn code(&mut self) -> &mut Assembler {
        self.out.code
    }

    fn aim_outside(&mut self, hole: Hole, target: usize) {
        let base = self.out.base as i64;
        self.out.code.aim_from(hole, target as i64 - base);
    }

    fn jump_to(&mut self, target: usize) {
        let hole = self.out.code.jump();
        self.aim_outside(hole, target);
    }

    /// The host register that holds a guest register now; loads it into `scratch` if need be.
    pub(super) fn read(&mut self, register: u8, scratch: u8) -> u8 {
        match host(register) {
            Some(host) => host,
            None => {
                self.read_into(register, scratch);
                scratch
            }
        }
    }

    /// Copies a guest register. Changes the flags.
    pub(super) fn read_into(&mut self, register: u8, into: u8) {
        match (register, host(register)) {
            (0, _) => self.code().set(into, 0),
            (_, Some(host)) => self.code().mov(into, host),
            (_, None) => self.code().load_place(into, place(register)),
        }
    }

    /// Makes a guest register what is in `from`.
    pub(super) fn write(&mut self, register: u8, from: u8) {
        match (register, host(register)) {
            (0, _) => {}
            (_, Some(host)) => self.code().mov(host, from),
            (_, None) => self.code().store_place(place(register), from),
        }
    }

    /// Where to compute a guest register's next value.
    pub(super) fn target(register: u8) -> u8 {
        host(register).unwrap_or(RAX)
    }

    pub(super) fn write_constant(&mut self, register: u8, value: u64) {
        if register == 0 {
            return;
        }
        match (host(register), i32::try_from(value as i64)) {
            (Some(host), _) => self.code().set(host, value),
            (None, Ok(small)) => self.code().store_place_constant(place(register), small),
            (None, Err(_)) => {
                self.code().set(RAX, value);
                self.code().store_place(place(register), RAX);
            }
        }
    }

    /// `target op= register`
    pub(super) fn combine(&mut self, alu: Alu, wide: bool, target: u8, register: u8) {
        match (register, host(register)) {
            (0, _) => self.code().alu_constant(alu, wide, target, 0),
            (_, Some(host)) => self.code().alu(alu, wide, target, host),
            (_, None) => self.code().alu_place(alu, wide, target, place(register)),
        }
    }

    /// Compares two guest registers.
    pub(super) fn compare(&mut self, a: u8, b: u8) {
        if b == 0 && host(a).is_none() && a != 0 {
            self.code().alu_place_constant(Alu::Cmp, place(a), 0);
            return;
        }
        let first = self.read(a, RAX);
        if b == 0 {
            self.code().test(first);
        } else {
            self.combine(Alu::Cmp, true, first, b);
        }
    }

    fn detail(&mut self, index: u8, pc: u64, inst: &Inst) -> u32 {
        self.out.details.push(Detail {
            pc,
            single: std::ptr::null(),
            raw: inst.raw,
            undo: self.count - index,
        });
        (self.out.details.len() - 1) as u32
    }

    /// Hands the instruction to the interpreter.
    fn single(&mut self, index: u8, pc: u64, inst: &Inst) {
        let detail = self.detail(index, pc, inst);
        self.code().set(RCX, u64::from(detail));
        let hole = self.code().call();
        let thunk = self.out.thunks.single;
        self.aim_outside(hole, thunk);
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

    fn branch(&mut self, index: u8, pc: u64, inst: &Inst) {
        let condition = match inst.op {
            Op::Beq => Condition::Equal,
            Op::Bne => Condition::NotEqual,
            Op::Blt => Condition::Less,
            Op::Bge => Condition::GreaterEqual,
            Op::Bltu => Condition::Below,
            _ => Condition::AboveEqual,
        };
        self.compare(inst.rs1, inst.rs2);
        let hole = self.code().jump_if(condition);
        let target = pc.wrapping_add(inst.imm as i64 as u64);
        self.ways.push(Way { hole, refund: self.count - index - 1, target, unsure: false });
    }

    fn jump_and_link(&mut self, pc: u64, inst: &Inst) {
        self.write_constant(inst.rd, pc.wrapping_add(u64::from(inst.len)));
        let hole = self.code().jump();
        let target = pc.wrapping_add(inst.imm as i64 as u64);
        self.ways.push(Way { hole, refund: 0, target, unsure: false });
    }

    fn jump_to_register(&mut self, pc: u64, inst: &Inst) {
        self.read_into(inst.rs1, RAX);
        if inst.imm != 0 {
            self.code().alu_constant(Alu::Add, true, RAX, inst.imm);
        }
        self.code().alu_constant(Alu::And, true, RAX, -2);
        if inst.rd != 0 {
            let link = pc.wrapping_add(u64::from(inst.len));
            match host(inst.rd) {
                Some(d) => self.code().set(d, link),
                None => {
                    self.code().set(RCX, link);
                    self.code().store_place(place(inst.rd), RCX);
                }
            }
        }
        let (unknown, stale) =
            self.code().jump_indirect(TABLE_ON_STACK, TABLE_MASK, FETCH, FETCH_MASK);
        for hole in stale {
            self.code().aim_here(hole);
        }
        self.code().reload_target();
        let leave = self.out.thunks.leave_indirect;
        self.jump_to(leave);
        self.aim_outside(unknown, leave);
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
            self.code().set(RCX, u64::from(slow.detail));
            let hole = self.code().call();
            let thunk = self.out.thunks.single;
            self.aim_outside(hole, thunk);
            let back = self.code().jump();
            self.code().aim(back, slow.resume);
        }
        for way in std::mem::take(&mut self.ways) {
            self.way_out(way);
        }
    }

    fn way_out(&mut self, way: Way) {
        let near = !way.unsure && (way.target ^ self.va) & !0xfff == 0;
        let site = self.out.sites.len() as u64;
        let mut hole = way.hole;
        if way.refund != 0 || !near {
            self.code().aim_here(hole);
            if way.refund != 0 {
                self.code().alu_constant(Alu::Add, true, TICKS, i32::from(way.refund));
            }
        }
        let mut delta = 0;
        let mut refused = Vec::new();
        if !near {
            let page = tag(way.target);
            let entry =
                ((way.target >> 12) as usize % FETCH_ENTRIES * size_of::<FetchEntry>()) as i32;
            let own = self.delta;
            let base = self.out.base;
            let code = self.code();
            code.load_place(RDX, FETCH);
            match i32::try_from(page as i64) {
                Ok(small) => code.compare_entry_constant(entry, small),
                Err(_) => {
                    code.set(RAX, page);
                    code.compare_entry(entry);
                }
            }
            refused.push(code.jump_if(Condition::NotEqual));
            delta = base + code.set_patchable(RAX, own).0;
            code.compare_entry(entry + 8);
            refused.push(code.jump_if(Condition::NotEqual));
        }
        if way.refund != 0 || !near {
            hole = self.code().jump();
        }
        let stub = self.code().here();
        self.code().aim(hole, stub);
        for hole in refused {
            self.code().aim(hole, stub);
        }
        self.code().set(RCX, site);
        let leave = self.out.thunks.leave_link;
        self.jump_to(leave);
        self.out.sites.push(Site {
            target: way.target,
            hole: (self.out.base + hole.0) as u32,
            delta: delta as u32,
        });
    }
}
