//! Jumps, calls, and the way in and out.

use super::{Assembler, BIAS, Condition, Hole, RAX};
use dynasmrt::{DynasmApi, dynasm};

impl Assembler {
    /// Jumps to the code that the jump table has for the guest address in `rax`, if the entry is for
    /// it and the fetch translation is the one that the entry was made with. Returns the jumps of a
    /// failure: those with the address in `rax`, and those with it at `[rcx]`.
    ///
    /// `table` is where on the stack the jump table's address is; its entries are 32 bytes
    /// (address, delta, code), selected as `in_table` says, `table_mask` being its last step; fetch
    /// entries are 16 bytes (tag, delta), at the address in place `fetch`, selected by `fetch_mask`.
    pub fn jump_indirect(
        &mut self,
        table: i8,
        table_mask: i32,
        fetch: i32,
        fetch_mask: i32,
    ) -> (Hole, [Hole; 2]) {
        let fetch = fetch - BIAS;
        dynasm!(self.ops; .arch x64
            ; mov ecx, eax
            ; shr ecx, BYTE 11
            ; xor ecx, eax
            ; shl ecx, BYTE 4
            ; and ecx, DWORD table_mask
            ; add rcx, [BYTE rsp + table]
            ; cmp [rcx], rax
        );
        let other = self.jump_if(Condition::NotEqual);
        dynasm!(self.ops; .arch x64
            ; mov edx, eax
            ; shr edx, BYTE 8
            ; and edx, DWORD fetch_mask
            ; add rdx, [DWORD rbp + fetch]
            ; or rax, DWORD 0xfff
            ; cmp rax, [rdx]
        );
        let page = self.jump_if(Condition::NotEqual);
        dynasm!(self.ops; .arch x64
            ; mov rax, [BYTE rcx + 8]
            ; cmp rax, [BYTE rdx + 8]
        );
        let moved = self.jump_if(Condition::NotEqual);
        dynasm!(self.ops; .arch x64; jmp QWORD [BYTE rcx + 16]);
        (other, [page, moved])
    }

    /// `rax = [rcx]`
    pub fn reload_target(&mut self) {
        dynasm!(self.ops; .arch x64; mov rax, [rcx]);
    }

    /// Enters translated code: `fn(hart, core, code, table) -> rax`, in the host's calling
    /// convention. `load` brings the guest's registers in.
    pub fn prologue(&mut self) {
        dynasm!(self.ops; .arch x64
            ; push rbx
            ; push rbp
            ; push r12
            ; push r13
            ; push r14
            ; push r15
            ; sub rsp, BYTE 24
            ; mov [rsp], rsi
            ; mov [BYTE rsp + 8], rcx
            ; lea rbp, [DWORD rdi + BIAS]
            ; mov rax, rdx
        );
    }

    /// `jmp rax`
    pub fn jump_rax(&mut self) {
        dynasm!(self.ops; .arch x64; jmp rax);
    }

    /// Undoes [`Self::prologue`] and returns `rax`.
    pub fn epilogue(&mut self) {
        dynasm!(self.ops; .arch x64
            ; add rsp, BYTE 24
            ; pop r15
            ; pop r14
            ; pop r13
            ; pop r12
            ; pop rbp
            ; pop rbx
            ; ret
        );
    }

    /// Inside a called thunk: calls `function(hart, core, rcx)` and tests its 32-bit answer.
    pub fn call_host(&mut self, function: usize) {
        let function = function as i64;
        dynasm!(self.ops; .arch x64
            ; sub rsp, BYTE 8
            ; lea rdi, [DWORD rbp - BIAS]
            ; mov rsi, [BYTE rsp + 16]
            ; mov rdx, rcx
            ; mov rax, QWORD function
            ; call rax
            ; add rsp, BYTE 8
            ; test eax, eax
        );
    }

    /// Jumps to the code that the jump table has for `target`, if the entry is for it and the fetch
    /// translation of its page is the one that the entry was made with. Returns the jumps of a
    /// failure. `entry` and `fetch_entry` are their places in the table and in the array at `fetch`;
    /// see [`Self::jump_indirect`].
    pub fn jump_by_table(
        &mut self,
        target: u64,
        table: i8,
        entry: i32,
        fetch: i32,
        fetch_entry: i32,
    ) -> [Hole; 3] {
        let fetch = fetch - BIAS;
        dynasm!(self.ops; .arch x64; mov rcx, [BYTE rsp + table]; mov rdx, [DWORD rbp + fetch]);
        match i32::try_from(target as i64) {
            Ok(small) => {
                dynasm!(self.ops; .arch x64; cmp QWORD [DWORD rcx + entry], DWORD small);
            }
            Err(_) => {
                self.set(RAX, target);
                dynasm!(self.ops; .arch x64; cmp [DWORD rcx + entry], rax);
            }
        }
        let other = self.jump_if(Condition::NotEqual);
        match i32::try_from((target | 0xfff) as i64) {
            Ok(small) => {
                dynasm!(self.ops; .arch x64; cmp QWORD [DWORD rdx + fetch_entry], DWORD small);
            }
            Err(_) => {
                dynasm!(self.ops; .arch x64; or rax, DWORD 0xfff; cmp [DWORD rdx + fetch_entry], rax);
            }
        }
        let page = self.jump_if(Condition::NotEqual);
        dynasm!(self.ops; .arch x64
            ; mov rax, [DWORD rcx + entry + 8]
            ; cmp rax, [DWORD rdx + fetch_entry + 8]
        );
        let moved = self.jump_if(Condition::NotEqual);
        dynasm!(self.ops; .arch x64; jmp QWORD [DWORD rcx + entry + 16]);
        [other, page, moved]
    }

    /// `jmp [rip + …]`, through a word that is filled in later.
    pub fn jump_through(&mut self) -> Hole {
        self.raw(&[0xff, 0x25, 0, 0, 0, 0]);
        Hole(self.here() - 4)
    }

    /// `rcx =` an address in this code that is filled in later.
    pub fn address_into_rcx(&mut self) -> Hole {
        self.raw(&[0x48, 0x8d, 0x0d, 0, 0, 0, 0]);
        Hole(self.here() - 4)
    }

    /// Pads to a multiple of 16 bytes with bytes that are not executed.
    pub fn align(&mut self) {
        while !self.here().is_multiple_of(16) {
            self.raw(&[0xcc]);
        }
    }

    /// `ret`
    pub fn ret(&mut self) {
        dynasm!(self.ops; .arch x64; ret);
    }

    /// Drops the return address of a called thunk.
    pub fn drop_return(&mut self) {
        dynasm!(self.ops; .arch x64; add rsp, BYTE 8);
    }

    /// The place of the next byte.
    #[inline]
    pub fn here(&self) -> usize {
        self.ops.ops.len()
    }

    /// A conditional jump to be aimed later.
    pub fn jump_if(&mut self, condition: Condition) -> Hole {
        self.raw(&[0x0f, 0x80 | condition as u8, 0, 0, 0, 0]);
        Hole(self.here() - 4)
    }

    /// A jump to be aimed later.
    pub fn jump(&mut self) -> Hole {
        self.raw(&[0xe9, 0, 0, 0, 0]);
        Hole(self.here() - 4)
    }

    /// A call to be aimed later.
    pub fn call(&mut self) -> Hole {
        self.raw(&[0xe8, 0, 0, 0, 0]);
        Hole(self.here() - 4)
    }

    /// Aims a hole at `target`, both within this code.
    pub fn aim(&mut self, hole: Hole, target: usize) {
        self.aim_from(hole, target as i64);
    }

    /// Aims a hole at `target`, an offset from the start of this code, which may lie outside.
    pub fn aim_from(&mut self, hole: Hole, target: i64) {
        let distance = (target - (hole.0 as i64 + 4)) as i32;
        self.ops.ops[hole.0..hole.0 + 4].copy_from_slice(&distance.to_le_bytes());
    }

    /// Aims a hole at the next byte.
    pub fn aim_here(&mut self, hole: Hole) {
        let here = self.here();
        self.aim(hole, here);
    }
}
