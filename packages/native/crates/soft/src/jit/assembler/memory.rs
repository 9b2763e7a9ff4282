//! Guest memory: the entry of a page, loads and stores through it.

use super::{Assembler, BIAS, Width};
use dynasmrt::{DynasmApi, dynasm};

impl Assembler {
    /// `rdx = &data[(rax >> 12) % entries]` for entries of 32 bytes; `mask` is
    /// `(entries - 1) * 32`, `place` holds the array's address.
    pub fn data_entry(&mut self, mask: i32, place: i32) {
        let place = place - BIAS;
        dynasm!(self.ops; .arch x64
            ; mov edx, eax
            ; shr edx, BYTE 7
            ; and edx, DWORD mask
            ; add rdx, [DWORD rbp + place]
        );
    }

    /// Compares the page of `rax + last` with the tag at `rdx + tag`. Changes `rcx`.
    pub fn compare_page(&mut self, last: i8, tag: i8) {
        if last == 0 {
            dynasm!(self.ops; .arch x64; mov rcx, rax);
        } else {
            dynasm!(self.ops; .arch x64; lea rcx, [BYTE rax + last]);
        }
        dynasm!(self.ops; .arch x64; or rcx, DWORD 0xfff; cmp rcx, [BYTE rdx + tag]);
    }

    /// Compares the quadword at `rdx + offset` with `rax`.
    pub fn compare_entry(&mut self, offset: i32) {
        dynasm!(self.ops; .arch x64; cmp rax, [DWORD rdx + offset]);
    }

    /// Compares the quadword at `rdx + offset` with a sign-extended constant.
    pub fn compare_entry_constant(&mut self, offset: i32, value: i32) {
        dynasm!(self.ops; .arch x64; cmp QWORD [DWORD rdx + offset], DWORD value);
    }

    /// Tests the low eight bits of `s` against a mask.
    pub fn test_low(&mut self, s: u8, mask: u8) {
        let mask = mask as i8;
        dynasm!(self.ops; .arch x64; test Rb(s), BYTE mask);
    }

    /// Loads 32 (zero-extended) or 64 bits from host address `rax`.
    pub fn load_word(&mut self, wide: bool, d: u8) {
        if wide {
            dynasm!(self.ops; .arch x64; mov Rq(d), [rax]);
        } else {
            dynasm!(self.ops; .arch x64; mov Rd(d), [rax]);
        }
    }

    /// `rcx += ` the guest-physical page of the data entry at `rdx`.
    pub fn add_page(&mut self) {
        let page = std::mem::offset_of!(crate::hart::DataEntry, page) as i8;
        dynasm!(self.ops; .arch x64; add rcx, [BYTE rdx + page]);
    }

    /// Loads one byte of the hart, zero-extended.
    pub fn load_place_byte(&mut self, d: u8, place: i32) {
        let w = place - BIAS;
        dynasm!(self.ops; .arch x64; movzx Rd(d), BYTE [DWORD rbp + w]);
    }

    /// Loads from host address `rax`.
    pub fn load(&mut self, width: Width, d: u8) {
        match (width.bytes, width.signed) {
            (1, true) => dynasm!(self.ops; .arch x64; movsx Rq(d), BYTE [rax]),
            (1, false) => dynasm!(self.ops; .arch x64; movzx Rd(d), BYTE [rax]),
            (2, true) => dynasm!(self.ops; .arch x64; movsx Rq(d), WORD [rax]),
            (2, false) => dynasm!(self.ops; .arch x64; movzx Rd(d), WORD [rax]),
            (4, true) => dynasm!(self.ops; .arch x64; movsxd Rq(d), DWORD [rax]),
            (4, false) => dynasm!(self.ops; .arch x64; mov Rd(d), [rax]),
            _ => dynasm!(self.ops; .arch x64; mov Rq(d), [rax]),
        }
    }

    /// Stores to host address `rax`.
    pub fn store(&mut self, bytes: u8, s: u8) {
        match bytes {
            1 => dynasm!(self.ops; .arch x64; mov [rax], Rb(s)),
            2 => dynasm!(self.ops; .arch x64; mov [rax], Rw(s)),
            4 => dynasm!(self.ops; .arch x64; mov [rax], Rd(s)),
            _ => dynasm!(self.ops; .arch x64; mov [rax], Rq(s)),
        }
    }

    /// `rax += [rdx + offset]`
    pub fn add_entry(&mut self, offset: i8) {
        dynasm!(self.ops; .arch x64; add rax, [BYTE rdx + offset]);
    }
}
