//! The x86-64 instructions that translated code consists of, in the forms that it needs.
//!
//! Registers are their hardware numbers. `rbp` points [`BIAS`] bytes into the hart, so that all
//! integer registers of the guest are within one signed byte of it; *places* are byte offsets
//! from the start of the hart.

// The macro converts register numbers whether they need it or not.
#![allow(clippy::useless_conversion)]

mod float;

pub use float::FloatOperation;

use dynasmrt::{DynasmApi, SimpleAssembler, dynasm};

/// Where in the hart `rbp` points.
pub const BIAS: i32 = 128;

/// Scratch registers: never hold a guest register.
pub const RAX: u8 = 0;
/// See [`RAX`]; shift counts.
pub const RCX: u8 = 1;
/// See [`RAX`].
pub const RDX: u8 = 2;
/// Ticks left.
pub const TICKS: u8 = 15;

/// Condition codes as in the instruction's low four bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// Unsigned less.
    Below = 2,
    /// Unsigned greater or equal.
    AboveEqual = 3,
    /// Equal, zero.
    Equal = 4,
    /// Not equal, not zero.
    NotEqual = 5,
    /// Negative.
    Sign = 8,
    /// Signed less.
    Less = 12,
    /// Signed greater or equal.
    GreaterEqual = 13,
    /// Unsigned greater.
    Above = 7,
    /// Parity: an unordered floating-point comparison.
    Parity = 10,
}

/// Two-operand arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Alu {
    Add,
    Or,
    And,
    Sub,
    Xor,
    Cmp,
}

impl Alu {
    /// The opcode extension of the forms with an immediate.
    fn digit(self) -> u8 {
        match self {
            Self::Add => 0,
            Self::Or => 1,
            Self::And => 4,
            Self::Sub => 5,
            Self::Xor => 6,
            Self::Cmp => 7,
        }
    }
}

/// Shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shift {
    Left,
    Right,
    Arithmetic,
}

/// A memory access's width and extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether a load extends the sign.
    pub signed: bool,
}

/// Where a displacement is to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole(pub usize);

/// Code under construction; offsets are from its start.
pub struct Assembler {
    ops: SimpleAssembler,
}

macro_rules! per_alu {
    ($ops:expr, $alu:expr, $($operands:tt)*) => {
        match $alu {
            Alu::Add => dynasm!($ops; .arch x64; add $($operands)*),
            Alu::Or => dynasm!($ops; .arch x64; or $($operands)*),
            Alu::And => dynasm!($ops; .arch x64; and $($operands)*),
            Alu::Sub => dynasm!($ops; .arch x64; sub $($operands)*),
            Alu::Xor => dynasm!($ops; .arch x64; xor $($operands)*),
            Alu::Cmp => dynasm!($ops; .arch x64; cmp $($operands)*),
        }
    };
}

macro_rules! per_shift {
    ($ops:expr, $shift:expr, $($operands:tt)*) => {
        match $shift {
            Shift::Left => dynasm!($ops; .arch x64; shl $($operands)*),
            Shift::Right => dynasm!($ops; .arch x64; shr $($operands)*),
            Shift::Arithmetic => dynasm!($ops; .arch x64; sar $($operands)*),
        }
    };
}

/// The displacement of a place from `rbp`, as one byte if it fits.
fn near(place: i32) -> Result<i8, i32> {
    i8::try_from(place - BIAS).map_err(|_| place - BIAS)
}

impl Assembler {
    /// No code.
    pub fn new() -> Self {
        Self { ops: SimpleAssembler::new() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.ops.ops
    }

    /// Starts anew, keeping the buffer.
    pub fn clear(&mut self) {
        self.ops.ops.clear();
    }

    /// Appends raw machine code.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.ops.ops.extend_from_slice(bytes);
    }

    /// `d = s`
    pub fn mov(&mut self, d: u8, s: u8) {
        if d != s {
            dynasm!(self.ops; .arch x64; mov Rq(d), Rq(s));
        }
    }

    /// Low 32 bits of `s`, zero-extended.
    pub fn mov32(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; mov Rd(d), Rd(s));
    }

    /// `d = value`. Changes the flags.
    pub fn set(&mut self, d: u8, value: u64) {
        if value == 0 {
            dynasm!(self.ops; .arch x64; xor Rd(d), Rd(d));
        } else if u32::try_from(value).is_ok() {
            dynasm!(self.ops; .arch x64; mov Rd(d), value as i32);
        } else if i32::try_from(value as i64).is_ok() {
            dynasm!(self.ops; .arch x64; mov Rq(d), DWORD value as i32);
        } else {
            dynasm!(self.ops; .arch x64; mov Rq(d), QWORD value as i64);
        }
    }

    /// `d = value` in ten bytes; returns where the eight bytes of the value are.
    pub fn set_patchable(&mut self, d: u8, value: u64) -> Hole {
        dynasm!(self.ops; .arch x64; mov Rq(d), QWORD value as i64);
        Hole(self.here() - 8)
    }

    /// Loads 64 bits of the hart.
    pub fn load_place(&mut self, d: u8, place: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov Rq(d), [BYTE rbp + b]),
            Err(w) => dynasm!(self.ops; .arch x64; mov Rq(d), [DWORD rbp + w]),
        }
    }

    /// Loads 32 bits of the hart, zero-extended.
    pub fn load_place32(&mut self, d: u8, place: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov Rd(d), [BYTE rbp + b]),
            Err(w) => dynasm!(self.ops; .arch x64; mov Rd(d), [DWORD rbp + w]),
        }
    }

    /// Loads 32 bits of the hart, sign-extended.
    pub fn load_place32_signed(&mut self, d: u8, place: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; movsxd Rq(d), DWORD [BYTE rbp + b]),
            Err(w) => dynasm!(self.ops; .arch x64; movsxd Rq(d), DWORD [DWORD rbp + w]),
        }
    }

    /// Stores 64 bits into the hart.
    pub fn store_place(&mut self, place: i32, s: u8) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov [BYTE rbp + b], Rq(s)),
            Err(w) => dynasm!(self.ops; .arch x64; mov [DWORD rbp + w], Rq(s)),
        }
    }

    /// Stores a sign-extended constant into 64 bits of the hart.
    pub fn store_place_constant(&mut self, place: i32, value: i32) {
        match near(place) {
            Ok(b) => dynasm!(self.ops; .arch x64; mov QWORD [BYTE rbp + b], value),
            Err(w) => dynasm!(self.ops; .arch x64; mov QWORD [DWORD rbp + w], value),
        }
    }

    /// Compares one byte of the hart with a constant.
    pub fn compare_byte(&mut self, place: i32, value: i8) {
        let w = place - BIAS;
        dynasm!(self.ops; .arch x64; cmp BYTE [DWORD rbp + w], BYTE value);
    }

    /// `d op= s`
    pub fn alu(&mut self, alu: Alu, wide: bool, d: u8, s: u8) {
        if wide {
            per_alu!(self.ops, alu, Rq(d), Rq(s));
        } else {
            per_alu!(self.ops, alu, Rd(d), Rd(s));
        }
    }

    /// `d op= hart[place]`
    pub fn alu_place(&mut self, alu: Alu, wide: bool, d: u8, place: i32) {
        match (near(place), wide) {
            (Ok(b), true) => per_alu!(self.ops, alu, Rq(d), [BYTE rbp + b]),
            (Err(w), true) => per_alu!(self.ops, alu, Rq(d), [DWORD rbp + w]),
            (Ok(b), false) => per_alu!(self.ops, alu, Rd(d), [BYTE rbp + b]),
            (Err(w), false) => per_alu!(self.ops, alu, Rd(d), [DWORD rbp + w]),
        }
    }

    /// `d op= value`
    pub fn alu_constant(&mut self, alu: Alu, wide: bool, d: u8, value: i32) {
        match (i8::try_from(value), wide) {
            (Ok(short), _) => {
                // The sign-extended byte form, which the assembler's tables do not choose.
                if wide || d >= 8 {
                    self.raw(&[0x40 | u8::from(wide) << 3 | d >> 3]);
                }
                self.raw(&[0x83, 0xc0 | alu.digit() << 3 | d & 7, short as u8]);
            }
            (Err(_), true) => per_alu!(self.ops, alu, Rq(d), DWORD value),
            (Err(_), false) => per_alu!(self.ops, alu, Rd(d), DWORD value),
        }
    }

    /// `hart[place] op= value`, 64 bits.
    pub fn alu_place_constant(&mut self, alu: Alu, place: i32, value: i32) {
        match (near(place), i8::try_from(value)) {
            (Ok(b), Ok(short)) => {
                // As above, on `[rbp + b]`.
                self.raw(&[0x48, 0x83, 0x45 | alu.digit() << 3, b as u8, short as u8]);
            }
            (Ok(b), Err(_)) => per_alu!(self.ops, alu, QWORD [BYTE rbp + b], DWORD value),
            (Err(w), _) => per_alu!(self.ops, alu, QWORD [DWORD rbp + w], DWORD value),
        }
    }

    /// Compares `s` with itself for zero.
    pub fn test(&mut self, s: u8) {
        dynasm!(self.ops; .arch x64; test Rq(s), Rq(s));
    }

    /// `d = a + b`
    pub fn add_into(&mut self, d: u8, a: u8, b: u8) {
        dynasm!(self.ops; .arch x64; lea Rq(d), [Rq(a) + Rq(b)]);
    }

    /// `d = a + offset`
    pub fn offset_into(&mut self, d: u8, a: u8, offset: i32) {
        match i8::try_from(offset) {
            Ok(b) => dynasm!(self.ops; .arch x64; lea Rq(d), [BYTE Rq(a) + b]),
            Err(_) => dynasm!(self.ops; .arch x64; lea Rq(d), [DWORD Rq(a) + offset]),
        }
    }

    /// Shift by a constant below the width.
    pub fn shift(&mut self, shift: Shift, wide: bool, d: u8, by: u8) {
        let by = by as i8;
        if wide {
            per_shift!(self.ops, shift, Rq(d), BYTE by);
        } else {
            per_shift!(self.ops, shift, Rd(d), BYTE by);
        }
    }

    /// Shift by `cl`, which the processor reduces modulo the width.
    pub fn shift_by_cl(&mut self, shift: Shift, wide: bool, d: u8) {
        if wide {
            per_shift!(self.ops, shift, Rq(d), cl);
        } else {
            per_shift!(self.ops, shift, Rd(d), cl);
        }
    }

    /// Low 32 bits of `s`, sign-extended.
    pub fn extend(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; movsxd Rq(d), Rd(s));
    }

    /// Low 16 bits of `s`, zero-extended.
    pub fn extend16_zero(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; movzx Rd(d), Rw(s));
    }

    /// Low 8 bits of `s`, zero-extended.
    pub fn extend8_zero(&mut self, d: u8, s: u8) {
        dynasm!(self.ops; .arch x64; movzx Rd(d), Rb(s));
    }

    /// `d = condition ? 1 : 0`
    pub fn set_if(&mut self, condition: Condition, d: u8) {
        // setcc r/m8 with a REX prefix, so that every register has a low byte.
        let rex = 0x40 | u8::from(d >= 8);
        self.raw(&[rex, 0x0f, 0x90 | condition as u8, 0xc0 | d & 7]);
        self.extend8_zero(d, d);
    }

    /// `d *= s`
    pub fn multiply(&mut self, wide: bool, d: u8, s: u8) {
        if wide {
            dynasm!(self.ops; .arch x64; imul Rq(d), Rq(s));
        } else {
            dynasm!(self.ops; .arch x64; imul Rd(d), Rd(s));
        }
    }

    /// `rdx:rax = rax * s`
    pub fn multiply_wide(&mut self, signed: bool, s: u8) {
        if signed {
            dynasm!(self.ops; .arch x64; imul Rq(s));
        } else {
            dynasm!(self.ops; .arch x64; mul Rq(s));
        }
    }

    /// `rax, rdx = rdx:rax / s`, after `rdx` was made the extension of `rax`.
    pub fn divide(&mut self, signed: bool, wide: bool, s: u8) {
        match (signed, wide) {
            (true, true) => dynasm!(self.ops; .arch x64; cqo; idiv Rq(s)),
            (true, false) => dynasm!(self.ops; .arch x64; cdq; idiv Rd(s)),
            (false, true) => dynasm!(self.ops; .arch x64; xor edx, edx; div Rq(s)),
            (false, false) => dynasm!(self.ops; .arch x64; xor edx, edx; div Rd(s)),
        }
    }

    /// Two's complement negation.
    pub fn negate(&mut self, wide: bool, d: u8) {
        if wide {
            dynasm!(self.ops; .arch x64; neg Rq(d));
        } else {
            dynasm!(self.ops; .arch x64; neg Rd(d));
        }
    }

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
        dynasm!(self.ops; .arch x64; and rcx, DWORD -0x1000; cmp rcx, [BYTE rdx + tag]);
    }

    /// Compares the quadword at `rdx + offset` with `rax`.
    pub fn compare_entry(&mut self, offset: i32) {
        dynasm!(self.ops; .arch x64; cmp rax, [DWORD rdx + offset]);
    }

    /// Compares the quadword at `rdx + offset` with a sign-extended constant.
    pub fn compare_entry_constant(&mut self, offset: i32, value: i32) {
        dynasm!(self.ops; .arch x64; cmp QWORD [DWORD rdx + offset], DWORD value);
    }

    /// Goes to the code that the jump table has for the guest address in `rax`, if the entry is
    /// for it and the fetch translation is the one that the entry was made with. Returns the
    /// jumps of a failure: those with the address in `rax`, and those with it at `[rcx]`.
    ///
    /// `table` is where on the stack the jump table's address is; its entries are 32 bytes
    /// (address, delta, code), selected by `table_mask`; fetch entries are 16 bytes (tag,
    /// delta), at the address in place `fetch`, selected by `fetch_mask`.
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
            ; and rax, DWORD -0x1000
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

    /// Inside a called thunk: calls `function(hart, core, ecx)` and tests its 32-bit answer.
    pub fn call_host(&mut self, function: usize) {
        let function = function as i64;
        dynasm!(self.ops; .arch x64
            ; sub rsp, BYTE 8
            ; lea rdi, [DWORD rbp - BIAS]
            ; mov rsi, [BYTE rsp + 16]
            ; mov edx, ecx
            ; mov rax, QWORD function
            ; call rax
            ; add rsp, BYTE 8
            ; test eax, eax
        );
    }

    /// `ret`
    pub fn ret(&mut self) {
        dynasm!(self.ops; .arch x64; ret);
    }

    /// Drops the return address of a called thunk.
    pub fn drop_return(&mut self) {
        dynasm!(self.ops; .arch x64; add rsp, BYTE 8);
    }

    /// Where the next byte goes.
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

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}
