//! The engine: the run loop around the inner loop.

mod seam;

use crate::block::{Block, Single};
use crate::core::{Core, Trouble};
use crate::csr::NANOS_PER_TIME;
use crate::decode;
use crate::exec;
use crate::hart::{Hart, Leave, interrupt};
use crate::jit::{Made, Store};
use crate::lower::{self, Lowering};
use crate::page::NO_TAG;
use crate::page::PAGE_MASK;
use crate::profile::Profile;
use crate::{hot, trap};
use std::sync::Arc;
use stillpoint_vmm::engine::{Exit, Nanos};

/// Maximum number of ticks before the run loop checks for an interruption.
const SLICE: u64 = 1 << 17;

/// The deterministic RV64GC engine.
///
/// ```
/// use stillpoint_soft::Soft;
/// use stillpoint_vmm::engine::{Engine, Entry, Exit};
/// use stillpoint_vmm::memory::{GuestMemory, PagedMemory};
/// use stillpoint_vmm::platform::Platform;
///
/// let mut platform = Platform::new(PagedMemory::new(0x8000_0000, 1 << 20));
/// // addi a0, a0, 1; j -4
/// platform.memory.write(0x8000_0000, &[0x13, 0x05, 0x15, 0, 0x6f, 0xf0, 0xdf, 0xff])?;
/// let mut engine = Soft::new();
/// engine.reset(Entry { pc: 0x8000_0000, device_tree: 0 });
/// assert_eq!(engine.run(&mut platform, 100), Exit::Deadline);
/// assert_eq!(engine.now(), 100);
/// # Ok::<(), stillpoint_vmm::memory::MemoryError>(())
/// ```
pub struct Soft {
    hart: Box<Hart>,
    core: Core,
}

// SAFETY: the raw pointers in `Hart` and `Core` are null outside of `run` and `step`, or point
// into boxes that the engine owns and that move with it (the block cache); none is shared.
unsafe impl Send for Soft {}

impl Soft {
    /// An engine at reset, at address 0.
    pub fn new() -> Self {
        Self { hart: Box::new(Hart::new()), core: Core::new(hot::ENTRIES) }
    }

    /// The hart's state, for tests and tools.
    pub fn hart(&self) -> &Hart {
        &self.hart
    }

    /// Sets the number of times that a block of guest code is interpreted before it is translated to host
    /// code; `None`: always interpreted, as on hosts for which [`crate::jit`] has no translation. The
    /// guest cannot tell; earlier translations are dropped.
    pub fn set_translation(&mut self, heat: Option<u32>) {
        self.core.forget_everything();
        self.core.heat = heat.filter(|_| crate::jit::DEFAULT_HEAT.is_some());
    }

    /// Sets how many newly decoded blocks are worth leaving to other machines with the same memory;
    /// 0: any, `usize::MAX`: none. The guest cannot tell.
    pub fn set_sharing(&mut self, worth_leaving: usize) {
        self.core.worth_leaving = worth_leaving;
    }

    /// Sets the store of translations shared with other machines; by default, the process's own. The guest
    /// cannot tell; earlier translations are dropped.
    pub fn set_store(&mut self, store: Arc<Store>) {
        self.core.forget_everything();
        self.core.store = store;
    }

    /// Blocks that other machines decoded and that this one was given, and how many it decoded
    /// itself.
    pub fn blocks(&mut self) -> (usize, usize) {
        self.core.cache().counts()
    }

    /// Counts of the instructions executed so far, by how they were executed.
    pub fn profile(&mut self) -> Profile {
        let made = self.made();
        let killed = self.core.cache().epoch;
        Profile {
            translated: made.instructions,
            adopted: made.adopted_pages,
            killed,
            ..self.core.profile
        }
    }

    /// Bytes of code that this machine had made.
    pub fn code_bytes(&mut self) -> usize {
        self.made().code_bytes
    }

    fn made(&mut self) -> Made {
        self.core.translator().map_or_else(Made::default, |translator| translator.made())
    }

    /// Number of times that the decoded blocks were dropped because their store was full.
    pub fn block_flushes(&mut self) -> u64 {
        self.core.cache().flushes
    }

    /// Brings the pending interrupt bits up to date with time and devices.
    fn update_interrupts(&mut self) {
        let hart = &mut *self.hart;
        hart.sip &= interrupt::SOFTWARE;
        if hart.now() / NANOS_PER_TIME >= hart.stimecmp {
            hart.sip |= interrupt::TIMER;
        }
        self.core.plic.lines = self.core.platform().interrupt_lines();
        if self.core.plic.interrupts() {
            hart.sip |= interrupt::EXTERNAL;
        }
    }

    /// The time at which the timer becomes pending, if it ever will and is not yet.
    fn timer_at(&self) -> Option<Nanos> {
        if self.hart.sip & interrupt::TIMER != 0 {
            return None;
        }
        self.hart.stimecmp.checked_mul(NANOS_PER_TIME)
    }

    fn idle(&self) -> Exit {
        let enabled = self.hart.sie & interrupt::TIMER != 0 && !self.hart.stopped;
        Exit::Idle { wake_at: if enabled { self.timer_at() } else { None } }
    }

    /// Whether the hart rests: stopped, or waiting with nothing to wake it.
    fn rests(&mut self) -> bool {
        if self.hart.stopped {
            return true;
        }
        if self.hart.waiting && self.hart.pending() != 0 {
            self.hart.waiting = false;
        }
        self.hart.waiting
    }

    fn run_bound(&mut self, deadline: Nanos) -> Exit {
        loop {
            self.update_interrupts();
            if self.rests() {
                return self.idle();
            }
            let now = self.hart.now();
            if now >= deadline {
                return Exit::Deadline;
            }
            if self.core.platform().interrupt_requested() {
                return Exit::Interrupted;
            }
            self.core.prepare(&mut self.hart);
            hot::hold_translations(&mut self.core);
            let mut limit = deadline;
            if let Some(at) = self.timer_at() {
                limit = limit.min(at);
            }
            let ticks = (limit - now).clamp(1, SLICE);
            self.set_budget(ticks);
            if trap::interrupt(&mut self.hart, &mut self.core) {
                continue;
            }
            // The slice is a limit of its own only where it is shorter than the time that is left.
            let exact = limit - now <= SLICE;
            match self.run_slice(exact) {
                Leave::Stop => return self.take_exit(),
                _ => {
                    if self.core.platform().attention {
                        return Exit::Attention;
                    }
                }
            }
        }
    }

    fn step_bound(&mut self) -> Option<Exit> {
        self.update_interrupts();
        if self.rests() {
            return Some(self.idle());
        }
        self.core.prepare(&mut self.hart);
        hot::hold_translations(&mut self.core);
        self.set_budget(1);
        if trap::interrupt(&mut self.hart, &mut self.core) {
            return None;
        }
        match self.run_one() {
            Leave::Stop => Some(self.take_exit()),
            _ if self.core.platform().attention => Some(Exit::Attention),
            _ => None,
        }
    }

    fn take_exit(&mut self) -> Exit {
        self.core
            .exit
            .take()
            .unwrap_or_else(|| Exit::Fault("the inner loop stopped without a reason".to_owned()))
    }

    fn set_budget(&mut self, ticks: u64) {
        let now = self.hart.ticks();
        self.hart.ticks_end = now.wrapping_add(ticks);
        self.hart.budget = ticks as i64;
    }

    /// Runs until the slice is used up, an event needs attention, or the run ends.
    fn run_slice(&mut self, exact: bool) -> Leave {
        let mut leave = Leave::Lookup;
        loop {
            if self.hart.budget <= 0 {
                return Leave::Event;
            }
            self.core.profile.lookups += 1;
            let link = if leave == Leave::Link { self.hart.link } else { std::ptr::null_mut() };
            let block = match self.block_at_pc() {
                Ok(Some(block)) => block,
                Ok(None) => {
                    leave = self.hart.leave;
                    if matches!(leave, Leave::Event | Leave::Stop) {
                        return leave;
                    }
                    continue;
                }
                Err(Trouble::Trap { cause, value }) => {
                    trap::exception(&mut self.hart, &mut self.core, cause, value);
                    leave = Leave::Lookup;
                    continue;
                }
                Err(Trouble::Host(message)) => {
                    self.core.exit = Some(Exit::Fault(message));
                    return Leave::Stop;
                }
            };
            // SAFETY: bound: `Engine::run` alone gets here, between `bind` and `unbind`. `block` is live:
            // `block_at_pc` has just found or made it. `link` is the link of a block of the same cache:
            // emptying the cache clears `hart.link`, which is read again here; a shared block's is final.
            unsafe {
                if !link.is_null() && !self.hart.link.is_null() && !(*link).is_final() {
                    (*link).head.target = block;
                }
                self.core.cache().remember(block);
                if self.hart.budget < (*block).len {
                    if !exact {
                        return Leave::Event;
                    }
                    leave = self.run_one();
                } else {
                    self.hart.block = block;
                    exec::drive(&mut self.hart, &mut self.core, (*block).entry);
                    leave = self.hart.leave;
                }
            }
            if matches!(leave, Leave::Event | Leave::Stop) {
                return leave;
            }
        }
    }

    /// The block at `pc`, found or decoded; `None` if a translation of it was executed instead.
    fn block_at_pc(&mut self) -> Result<Option<*const Block>, Trouble> {
        let va = self.hart.pc;
        let pa = self.core.fetch_address(&self.hart, va)?;
        // SAFETY: bound: `Engine::run` alone gets here, between `bind` and `unbind`; no block is executed.
        if unsafe { hot::enter_known(&mut self.hart, &mut self.core, pa)? } {
            return Ok(None);
        }
        if let Some(block) = self.core.cache().find(pa) {
            // SAFETY: `find` has just given a block of the cache, which is emptied further down alone.
            let second_page = unsafe { (*block).second_page };
            if second_page == NO_TAG {
                return Ok(Some(block));
            }
            if self.core.fetch_address(&self.hart, va.wrapping_add(2))? & PAGE_MASK == second_page {
                return Ok(Some(block));
            }
            // SAFETY: `find` has just given a block of the cache, which is emptied further down alone.
            unsafe { self.core.cache().kill(block) };
        }
        if let Some(block) = self.core.shared_block(pa)? {
            return Ok(Some(block));
        }
        if self.core.cache().is_full() {
            self.core.flush_blocks(&mut self.hart);
        }
        self.decode_block(va, pa).map(Some)
    }

    /// Decodes the block at `pa`, to which `va` leads.
    fn decode_block(&mut self, va: u64, pa: u64) -> Result<*const Block, Trouble> {
        let mut bytes = [0u8; 4 * crate::block::MAX_INSTRUCTIONS];
        let available = self.core.fetch_bytes(pa, &mut bytes)?;
        let mut lowering = Lowering::new(pa & !PAGE_MASK);
        let mut at = 0;
        let mut count = 0;
        let mut second_page = NO_TAG;
        while !lowering.is_ended() && at + 2 <= available {
            let first = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let len = usize::from(decode::length(first));
            if at + len > available {
                if count > 0 || available == bytes.len() {
                    break;
                }
                // One instruction across the page boundary: a block of its own.
                let second_pa = self.core.fetch_address(&self.hart, va.wrapping_add(2))?;
                second_page = second_pa & PAGE_MASK;
                let mut rest = [0u8; 2];
                self.core.fetch_bytes(second_pa, &mut rest)?;
                let bits = u32::from(first) | u32::from(u16::from_le_bytes(rest)) << 16;
                lowering.check_second_page();
                lowering.add(&decode::decode(bits));
                break;
            }
            let high = if len == 4 {
                u32::from(u16::from_le_bytes([bytes[at + 2], bytes[at + 3]])) << 16
            } else {
                0
            };
            lowering.add(&decode::decode(u32::from(first) | high));
            at += len;
            count += 1;
        }
        let lowered = lowering.finish();
        self.core.profile.decoded += u64::from(lowered.instructions);
        let page = pa & PAGE_MASK;
        for code in [page, second_page] {
            if code != NO_TAG && !self.core.cache().is_code_page(code) {
                self.core.protect_code(code);
            }
        }
        self.core
            .cache()
            .insert(pa, lowered.bytes, lowered.instructions, second_page, &lowered.drafts)
            .map(<*mut Block>::cast_const)
            .ok_or_else(|| Trouble::Host("no host memory for decoded code".to_owned()))
    }

    /// Executes one instruction, or takes the exception that it raises. The budget is at least 1.
    fn run_one(&mut self) -> Leave {
        let single = match self.fetch_one() {
            Ok(inst) => Single::new(inst.raw, &lower::single(&inst)),
            Err(Trouble::Trap { cause, value }) => {
                trap::exception(&mut self.hart, &mut self.core, cause, value);
                return Leave::Lookup;
            }
            Err(Trouble::Host(message)) => {
                self.core.exit = Some(Exit::Fault(message));
                return Leave::Stop;
            }
        };
        let Some(single) = single else {
            self.core.exit = Some(Exit::Fault("an instruction with too many slots".to_owned()));
            return Leave::Stop;
        };
        // SAFETY: the block is live until `single` is dropped at the end of this function; bound:
        // `Engine::run` and `Engine::step` alone get here, between `bind` and `unbind`.
        unsafe { exec::single(&mut self.hart, &mut self.core, single.block()) };
        self.hart.block = std::ptr::null();
        self.hart.link = std::ptr::null_mut();
        match self.hart.leave {
            Leave::Link => Leave::Lookup,
            other => other,
        }
    }

    /// The instruction at `pc`.
    fn fetch_one(&mut self) -> Result<decode::Inst, Trouble> {
        let va = self.hart.pc;
        let pa = self.core.fetch_address(&self.hart, va)?;
        let mut bytes = [0u8; 4];
        let got = self.core.fetch_bytes(pa, &mut bytes)?;
        if got < 4 && decode::length(u16::from_le_bytes([bytes[0], bytes[1]])) == 4 {
            let second_pa = self.core.fetch_address(&self.hart, va.wrapping_add(2))?;
            self.core.fetch_bytes(second_pa, &mut bytes[2..])?;
        }
        Ok(decode::decode(u32::from_le_bytes(bytes)))
    }
}

impl Default for Soft {
    fn default() -> Self {
        Self::new()
    }
}
