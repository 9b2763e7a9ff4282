//! Checks payloads of custom events: JSON (RFC 8259) in UTF-8 that every reader reads as the same value.
//!
//! The guest's agent and `stillpoint-emit` judge by the same rules (`agent/src/json.c`); a property
//! test compares the two (`agent/test/emit.test.ts`). Beside JSON's grammar:
//!
//! - brackets are nested at most [`limits::PAYLOAD_DEPTH`] deep;
//! - a number without fraction and exponent is at most 2^53 - 1 in magnitude, any other below
//!   1.7976931348623158e308: nothing becomes infinite, and no integer another one;
//! - an escaped surrogate is one of a pair.

use crate::event::limits;

/// A text is not a valid payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is no JSON.
    Syntax,
    /// It is over a limit; contains the limit.
    Limit(&'static str),
}

/// The greatest integer that every reader holds exactly, 2^53 - 1.
const GREATEST_INTEGER: &[u8] = b"9007199254740991";
/// Leading digits of the least number of magnitude 308 that is too large.
const TOO_LARGE: &[u8] = b"17976931348623158";
const GREATEST_MAGNITUDE: i64 = 308;

const SYNTAX: Problem = Problem::Syntax;
const NUMBER: Problem = Problem::Limit(
    "integers of at most 2^53 - 1 in magnitude, and other numbers below 1.7976931348623158e308",
);
const DEPTH: Problem = Problem::Limit("JSON that is not nested deeper than 64");
const SURROGATE: Problem = Problem::Limit("whole characters: surrogates in pairs");

/// Checks that `text` is one value, with optional white space around it.
pub(super) fn check(text: &str) -> Result<(), Problem> {
    let mut cursor = Cursor { rest: text.as_bytes() };
    cursor.value(0)?;
    if cursor.rest.is_empty() { Ok(()) } else { Err(SYNTAX) }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn take(&mut self) -> Result<u8, Problem> {
        let (first, rest) = self.rest.split_first().ok_or(SYNTAX)?;
        self.rest = rest;
        Ok(*first)
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        if self.accept(byte) { Ok(()) } else { Err(SYNTAX) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.rest = &self.rest[1..];
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Problem> {
        self.space();
        match self.peek() {
            Some(b'{') => self.items(depth, true, b'}')?,
            Some(b'[') => self.items(depth, false, b']')?,
            Some(b'"') => self.string()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => self.number()?,
        }
        self.space();
        Ok(())
    }

    fn items(&mut self, depth: usize, are_named: bool, close: u8) -> Result<(), Problem> {
        self.take()?;
        if depth == limits::PAYLOAD_DEPTH {
            return Err(DEPTH);
        }
        self.space();
        if self.accept(close) {
            return Ok(());
        }
        loop {
            if are_named {
                self.space();
                self.string()?;
                self.space();
                self.expect(b':')?;
            }
            self.value(depth + 1)?;
            if self.accept(close) {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn word(&mut self, letters: &[u8]) -> Result<(), Problem> {
        self.rest = self.rest.strip_prefix(letters).ok_or(SYNTAX)?;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Problem> {
        self.expect(b'"')?;
        loop {
            match self.take()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..0x20 => return Err(SYNTAX),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), Problem> {
        match self.take()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.unit()? {
                0xd800..=0xdbff => {
                    if !(self.accept(b'\\') && self.accept(b'u')) {
                        return Err(SURROGATE);
                    }
                    match self.unit()? {
                        0xdc00..=0xdfff => Ok(()),
                        _ => Err(SURROGATE),
                    }
                }
                0xdc00..=0xdfff => Err(SURROGATE),
                _ => Ok(()),
            },
            _ => Err(SYNTAX),
        }
    }

    /// The four digits of an escaped code unit.
    fn unit(&mut self) -> Result<u32, Problem> {
        (0..4).try_fold(0, |unit, _| {
            let digit = char::from(self.take()?).to_digit(16).ok_or(SYNTAX)?;
            Ok(unit * 16 + digit)
        })
    }

    fn digits(&mut self) -> &'a [u8] {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits
    }

    fn number(&mut self) -> Result<(), Problem> {
        self.accept(b'-');
        let whole: &[u8] = if self.accept(b'0') { &[] } else { some(self.digits())? };
        let fraction = self.accept(b'.').then(|| some(self.digits())).transpose()?;
        let exponent = if self.accept(b'e') || self.accept(b'E') {
            let is_negative = !self.accept(b'+') && self.accept(b'-');
            let digits = some(self.digits())?.iter();
            let size = digits.fold(0i64, |size, digit| {
                size.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
            });
            Some(if is_negative { -size } else { size })
        } else {
            None
        };
        let fits = match (fraction, exponent) {
            (None, None) => {
                let most = GREATEST_INTEGER;
                whole.len() < most.len() || (whole.len() == most.len() && whole <= most)
            }
            (fraction, exponent) => {
                is_finite(whole, fraction.unwrap_or_default(), exponent.unwrap_or_default())
            }
        };
        if fits { Ok(()) } else { Err(NUMBER) }
    }
}

fn some(digits: &[u8]) -> Result<&[u8], Problem> {
    if digits.is_empty() { Err(SYNTAX) } else { Ok(digits) }
}

/// Whether `whole.fraction` times ten to the `exponent` is finite.
fn is_finite(whole: &[u8], fraction: &[u8], exponent: i64) -> bool {
    let digits = || whole.iter().chain(fraction);
    let Some(zeros) = digits().position(|digit| *digit != b'0') else { return true };
    // The power of ten of the first significant digit.
    let magnitude = exponent.saturating_add(whole.len() as i64 - 1 - zeros as i64);
    magnitude < GREATEST_MAGNITUDE
        || (magnitude == GREATEST_MAGNITUDE
            && digits().skip(zeros).take(TOO_LARGE.len()).lt(TOO_LARGE.iter()))
}
