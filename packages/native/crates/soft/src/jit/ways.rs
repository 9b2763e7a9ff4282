//! The ways out of a unit: branches, jumps, and what lies at their ends.
//!
//! Within the page a jump goes directly to the next unit. Beyond it, the jump first compares the fetch
//! translation of the target's page at linking with the present one. Units that all machines share have
//! no links that change: within the page a jump goes through a word if the next unit does not exist
//! yet; beyond it, the machine's table of indirect jumps finds the target.

use super::assembler::{Alu, Condition, RAX, RCX, RDX, TICKS};
use super::layout::{
    FETCH, FETCH_MASK, Links, Site, TABLE_MASK, TABLE_ON_STACK, TableEntry, host, in_table, place,
};
use super::unit::{Translation, Way};
use crate::decode::{Inst, Op};
use crate::hart::{FETCH_ENTRIES, FetchEntry};
use crate::page::tag;

impl Translation<'_, '_> {
    pub(super) fn branch(&mut self, index: u8, pc: u64, inst: &Inst) {
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

    pub(super) fn jump_and_link(&mut self, pc: u64, inst: &Inst) {
        self.write_constant(inst.rd, pc.wrapping_add(u64::from(inst.len)));
        let hole = self.code().jump();
        let target = pc.wrapping_add(inst.imm as i64 as u64);
        self.ways.push(Way { hole, refund: 0, target, unsure: false });
    }

    pub(super) fn jump_to_register(&mut self, pc: u64, inst: &Inst) {
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

    /// Writes a way out.
    pub(super) fn way_out(&mut self, way: Way) {
        if matches!(self.out.links, Links::Own(_)) {
            self.way_out_of_own(way);
        } else {
            self.way_out_of_shared(way);
        }
    }

    fn is_near(&self, way: &Way) -> bool {
        !way.unsure && (way.target ^ self.va) & !0xfff == 0
    }

    /// The place of the fetch entry of the page of `target`.
    fn fetch_entry(target: u64) -> i32 {
        ((target >> 12) as usize % FETCH_ENTRIES * size_of::<FetchEntry>()) as i32
    }

    /// Goes to the unit of the page if there is one, else through a slot; to another page by the table.
    fn way_out_of_shared(&mut self, way: Way) {
        let Links::Shared { page, slots, .. } = self.out.links else { return };
        let is_near = self.is_near(&way);
        let offset = way.target & 0xfff;
        let known = page.code(offset as usize).filter(|_| is_near);
        if way.refund == 0 && is_near && way.target == self.va {
            return self.code().aim(way.hole, 0);
        }
        if way.refund == 0
            && let Some(code) = known
        {
            return self.aim_outside(way.hole, code);
        }
        self.code().aim_here(way.hole);
        if way.refund != 0 {
            self.code().alu_constant(Alu::Add, true, TICKS, i32::from(way.refund));
        }
        let leave = self.out.thunks.leave_indirect;
        match known {
            Some(code) => self.jump_to(code),
            None if is_near && way.target == self.va => {
                let hole = self.code().jump();
                self.code().aim(hole, 0);
            }
            None if is_near => {
                self.code().set(RAX, way.target);
                let hole = self.code().jump_through();
                match slots.get(&offset) {
                    Some(slot) => self.aim_outside(hole, *slot),
                    None => self.slot_holes.push((hole, offset)),
                }
            }
            None => {
                let entry = (in_table(way.target) * size_of::<TableEntry>()) as i32;
                let fetch_entry = Self::fetch_entry(way.target);
                let code = self.code();
                let refused =
                    code.jump_by_table(way.target, TABLE_ON_STACK, entry, FETCH, fetch_entry);
                for hole in refused {
                    code.aim_here(hole);
                }
                code.set(RAX, way.target);
                self.jump_to(leave);
            }
        }
    }

    /// Writes a way out of a unit of one machine's own, to be linked later.
    fn way_out_of_own(&mut self, way: Way) {
        let near = self.is_near(&way);
        let Links::Own(sites) = &self.out.links else { return };
        let site = sites.len() as u64;
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
            let entry = Self::fetch_entry(way.target);
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
        let hole = (self.out.base + hole.0) as u32;
        if let Links::Own(sites) = &mut self.out.links {
            sites.push(Site { target: way.target, hole, delta: delta as u32 });
        }
    }
}
