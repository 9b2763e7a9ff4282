//! The code that all units share: the way in, the ways out, one instruction by the interpreter.

use super::assembler::{Assembler, Condition, RAX, RCX, TICKS};
use super::layout::{
    BUDGET, HOST, IN_HART, LEFT_FOR_LOOKUP, LEFT_INDIRECT, LEFT_SINGLE, PC, Thunks, place,
};

/// Emits the code that all units have; `single` is the
/// function that executes one instruction. Code starts at offset 0 of the code memory.
pub fn thunks(code: &mut Assembler, single: usize) -> Thunks {
    let mut thunks = Thunks { enter: code.here(), ..Thunks::default() };
    code.prologue();
    code.load_place(TICKS, BUDGET);
    registers(code, Assembler::load_place);
    code.jump_rax();

    thunks.leave_indirect = code.here();
    spill(code);
    code.store_place(PC, RAX);
    code.set(RAX, LEFT_INDIRECT);
    code.epilogue();

    thunks.leave = code.here();
    spill(code);
    code.store_place(PC, RAX);
    code.set(RAX, LEFT_FOR_LOOKUP);
    code.epilogue();

    thunks.leave_link = code.here();
    spill(code);
    code.mov32(RAX, RCX);
    code.epilogue();

    thunks.single = code.here();
    spill(code);
    code.call_host(single);
    let left = code.jump_if(Condition::NotEqual);
    registers(code, Assembler::load_place);
    code.ret();
    code.aim_here(left);
    code.drop_return();
    code.set(RAX, LEFT_SINGLE);
    code.epilogue();
    code.align();
    thunks
}

fn registers(code: &mut Assembler, act: fn(&mut Assembler, u8, i32)) {
    for (guest, host) in HOST.iter().enumerate() {
        if *host != IN_HART {
            act(code, *host, place(guest as u8));
        }
    }
}

fn spill(code: &mut Assembler) {
    registers(code, |code, host, place| code.store_place(place, host));
    code.store_place(BUDGET, TICKS);
}
