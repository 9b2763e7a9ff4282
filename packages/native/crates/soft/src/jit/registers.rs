//! Guest registers in translated code: in host registers, or in the hart.

use super::assembler::{Alu, RAX};
use super::layout::{host, place};
use super::unit::Translation;

impl Translation<'_, '_> {
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

    /// Sets a guest register to the value in `from`.
    pub(super) fn write(&mut self, register: u8, from: u8) {
        match (register, host(register)) {
            (0, _) => {}
            (_, Some(host)) => self.code().mov(host, from),
            (_, None) => self.code().store_place(place(register), from),
        }
    }

    /// The register in which to compute a guest register's next value.
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
}
