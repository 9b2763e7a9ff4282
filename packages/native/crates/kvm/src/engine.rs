//! The engine: the seam to the machine around a virtual machine of KVM's.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stillpoint_vmm::board::{Board, Boot};
use stillpoint_vmm::boards::x86_64::PC;
use stillpoint_vmm::engine::{Engine, Entry, Exit, Nanos, StateError};
use stillpoint_vmm::loaders::LoadError;
use stillpoint_vmm::memory::{GuestMemory, PageImage};
use stillpoint_vmm::platform::Platform;

use crate::guest_clock::GuestClock;
use crate::host::{Host, host};
use crate::kick::Kick;
use crate::memory::MappedMemory;
use crate::probe;
use crate::registers;
use crate::state::State;
use crate::virtual_machine::{Entered, VirtualMachine};

/// Maximum host time between two runs that the guest may see: setting its clocks back for so little would
/// cost more.
const UNNOTICED_NANOS: Nanos = 1_000_000;
/// Longest sleep of a guest that waits, between two looks at whether it is to stop.
const NAP_NANOS: Nanos = 1_000_000;
/// Longest time that one wait takes; the machine asks again.
const WAIT_NANOS: Nanos = 10_000_000;
/// Longest time that one instruction is given.
const STEP_NANOS: Nanos = 1_000_000_000;

/// The parts that a virtual machine is made from.
#[derive(Clone)]
enum Origin {
    Reset(Entry),
    Saved(Arc<State>),
}

/// The x86-64 engine under KVM: one processor, with interrupt controllers and timers in the kernel.
///
/// Guest time is host time without the time for which the guest stood. A machine of KVM's is made when
/// the guest is first run, from the reset state or from a saved one, and dropped with the engine.
pub struct Kvm {
    origin: Origin,
    machine: Option<VirtualMachine>,
    now: Nanos,
    /// The host's time at `now`.
    now_at: Instant,
    /// The guest was seen waiting for an interrupt.
    waits: bool,
    /// The state, if it was read since the guest ran.
    saved: OnceCell<Arc<State>>,
}

fn since(moment: Instant) -> Nanos {
    u64::try_from(moment.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl Kvm {
    /// An engine at reset, at address 0. It uses nothing of the host before the guest runs.
    pub fn new() -> Self {
        Self::from_origin(Origin::Reset(Entry { pc: 0, device_tree: 0 }), 0, false)
    }

    pub(crate) fn boxed() -> Box<dyn Engine> {
        Box::new(Self::new())
    }

    fn from_origin(origin: Origin, now: Nanos, waits: bool) -> Self {
        let (now_at, saved) = (Instant::now(), OnceCell::new());
        Self { origin, machine: None, now, now_at, waits, saved }
    }

    fn tsc_khz(&self, host: &Host) -> u32 {
        match &self.origin {
            Origin::Reset(_) => host.tsc_khz,
            Origin::Saved(state) => state.tsc_khz,
        }
    }

    fn made(&self, host: &Host) -> Result<VirtualMachine, String> {
        match &self.origin {
            Origin::Reset(entry) => VirtualMachine::at_reset(host, *entry),
            Origin::Saved(state) => {
                VirtualMachine::in_state(host, state, self.now.saturating_sub(state.now))
            }
        }
    }

    /// The virtual machine, made on first use, with the platform's memory.
    fn machine(&mut self, platform: &mut Platform) -> Result<&mut VirtualMachine, String> {
        if self.machine.is_none() {
            let mut machine = self.made(host()?)?;
            let base = platform.memory.base();
            machine.give(mapped(platform)?, base)?;
            machine.drive(platform.interrupt_lines(), true)?;
            self.machine = Some(machine);
            self.now_at = Instant::now();
        }
        self.machine.as_mut().ok_or_else(|| "no virtual machine".to_owned())
    }

    /// The state at this moment.
    fn state(&self) -> Result<Arc<State>, String> {
        if let Some(state) = self.saved.get() {
            return Ok(Arc::clone(state));
        }
        let state = match (&self.machine, &self.origin) {
            (None, Origin::Saved(state)) if state.now == self.now => Arc::clone(state),
            (machine, origin) => {
                let host = host()?;
                let of = match origin {
                    Origin::Reset(_) => None,
                    Origin::Saved(state) => Some(state.as_ref()),
                };
                Arc::new(match machine {
                    Some(machine) => machine.state(host, self.now, since(self.now_at), of)?,
                    None => {
                        let made = Instant::now();
                        self.made(host)?.state(host, self.now, since(made), of)?
                    }
                })
            }
        };
        Ok(Arc::clone(self.saved.get_or_init(|| state)))
    }

    /// Host time that has passed since `now` without the guest: the guest sees a little of it, and for
    /// more the clocks are set back.
    fn resume(&mut self, host: &Host) -> Result<(), String> {
        let stood = since(self.now_at);
        let khz = self.tsc_khz(host);
        if stood <= UNNOTICED_NANOS {
            self.now += stood;
        } else if let Some(machine) = &self.machine {
            machine.turn_back(stood, khz)?;
        }
        self.now_at = Instant::now();
        Ok(())
    }

    fn execute(
        &mut self,
        platform: &mut Platform,
        deadline: Nanos,
        is_step: bool,
    ) -> Result<Option<Exit>, String> {
        let host = host()?;
        let lines = platform.interrupt_lines();
        let has_changed = self.machine(platform)?.drive(lines, false)?;
        if has_changed || self.waits {
            self.saved.take();
        }
        if self.waits
            && let Some(idle) = self.still_idle(platform)?
        {
            return Ok(Some(idle));
        }
        if self.now >= deadline {
            return Ok(Some(Exit::Deadline));
        }
        if platform.interrupt_requested() {
            return Ok(Some(Exit::Interrupted));
        }
        self.resume(host)?;
        self.saved.take();
        let kick = kick(deadline.saturating_sub(self.now))?;
        let clock = GuestClock { now: self.now, at: self.now_at };
        let machine = self.machine(platform)?;
        if is_step {
            machine.single_steps(true)?;
        }
        let exit = Self::until_exit(machine, platform, deadline, clock, &kick);
        if is_step {
            machine.single_steps(false)?;
        }
        machine.complete(platform, clock)?;
        let is_halted = machine.is_halted()?;
        drop(kick);
        mapped(platform)?.ran();
        let now = clock.now().max(platform.now);
        (self.now, self.now_at, platform.now) = (now, clock.at_time(now), now);
        self.waits = is_halted;
        match exit? {
            Some(Exit::Deadline) if is_halted => {
                Ok(Some(self.still_idle(platform)?.unwrap_or(Exit::Deadline)))
            }
            exit => Ok(exit),
        }
    }

    /// Enters the guest until there is something to say; `None`: it has stepped.
    fn until_exit(
        machine: &mut VirtualMachine,
        platform: &mut Platform,
        deadline: Nanos,
        clock: GuestClock,
        kick: &Kick,
    ) -> Result<Option<Exit>, String> {
        loop {
            let entered = machine.enter(platform, clock)?;
            match entered {
                Entered::Off => return Ok(Some(Exit::Halted { reason: 0 })),
                Entered::Reset => return Ok(Some(Exit::Reset { reason: 0 })),
                Entered::Stepped => return Ok(None),
                Entered::Kicked | Entered::Accessed => {}
            }
            machine.drive(platform.interrupt_lines(), false)?;
            if platform.attention {
                return Ok(Some(Exit::Attention));
            }
            if platform.interrupt_requested() {
                return Ok(Some(Exit::Interrupted));
            }
            let now = clock.now();
            if now >= deadline {
                return Ok(Some(Exit::Deadline));
            }
            if entered == Entered::Kicked {
                kick.taken();
                kick.again_after(deadline - now);
            }
        }
    }

    /// Looks whether anything has ended the guest's wait, and executes nothing.
    ///
    /// The timer is read first: if it comes due after that, the read value says so; if it came due before,
    /// it has ended the wait. An entry takes over a timer that came due, and the next entry the interrupt.
    fn still_idle(&mut self, platform: &mut Platform) -> Result<Option<Exit>, String> {
        let khz = self.tsc_khz(host()?);
        let in_nanos = self.machine(platform)?.wakes_in(khz)?;
        let from = self.now.saturating_add(since(self.now_at));
        let kick = kick(WAIT_NANOS)?;
        let clock = GuestClock { now: self.now, at: Instant::now() };
        for _ in 0..2 {
            kick.now();
            let machine = self.machine(platform)?;
            machine.enter(platform, clock)?;
            machine.complete(platform, clock)?;
            kick.taken();
            self.waits = machine.is_halted()?;
        }
        platform.now = self.now;
        let wake_at = in_nanos.map(|nanos| from.saturating_add(nanos));
        Ok(self.waits.then_some(Exit::Idle { wake_at }))
    }
}

fn kick(nanos: Nanos) -> Result<Kick, String> {
    Kick::after(nanos).map_err(|error| format!("no timer for the processor's thread: {error}"))
}

fn mapped(platform: &mut Platform) -> Result<&mut MappedMemory, String> {
    let memory = platform.memory.as_any_mut();
    let memory = memory.and_then(|memory| memory.downcast_mut::<MappedMemory>());
    memory.ok_or_else(|| "kvm executes from memory that it made, and from no other".to_owned())
}

impl Default for Kvm {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for Kvm {
    fn name(&self) -> &'static str {
        "kvm"
    }

    fn is_deterministic(&self) -> bool {
        false
    }

    fn board(&self) -> &'static dyn Board {
        &PC
    }

    fn check_boot(&self, boot: &Boot<'_>) -> Result<(), LoadError> {
        probe::check_boot(boot, Self::boxed)
    }

    fn memory(&self, base: u64, size_bytes: u64) -> Box<dyn GuestMemory> {
        Box::new(MappedMemory::new(base, size_bytes))
    }

    fn restored_memory(
        &self,
        base: u64,
        size_bytes: u64,
        image: Arc<dyn PageImage>,
    ) -> Box<dyn GuestMemory> {
        Box::new(MappedMemory::restored(base, size_bytes, &image))
    }

    fn reset(&mut self, entry: Entry) {
        *self = Self::from_origin(Origin::Reset(entry), 0, false);
    }

    fn run(&mut self, platform: &mut Platform, deadline: Nanos) -> Exit {
        match self.execute(platform, deadline, false) {
            Ok(Some(exit)) => exit,
            Ok(None) => Exit::Attention,
            Err(message) => Exit::Fault(message),
        }
    }

    fn now(&self) -> Nanos {
        self.now
    }

    /// Sleeps: a guest's wait takes as long on the host. Host time that has already passed since the guest
    /// ran is part of it.
    fn wait(&mut self, platform: &mut Platform, until: Nanos) {
        // The next run reports a machine that cannot be made.
        if self.machine(platform).is_err() {
            self.now = self.now.max(until);
            return;
        }
        let wanted = until.saturating_sub(self.now);
        let began = Instant::now();
        loop {
            let rest = wanted.saturating_sub(since(self.now_at));
            if rest == 0 || platform.interrupt_requested() || since(began) >= WAIT_NANOS {
                break;
            }
            std::thread::sleep(Duration::from_nanos(rest.min(NAP_NANOS)));
        }
        let passed = wanted.min(since(self.now_at));
        self.now += passed;
        self.now_at += Duration::from_nanos(passed);
        self.saved.take();
    }

    fn drop_host_pointers(&mut self) {}

    fn save(&self) -> Vec<u8> {
        match self.state() {
            Ok(state) => state.encode(),
            Err(message) => std::panic::panic_any(message),
        }
    }

    fn load(&mut self, state: &[u8]) -> Result<(), StateError> {
        let refuse = |found: String| StateError {
            expected: "engine kvm: a state that this host can have".to_owned(),
            found,
        };
        let state = Arc::new(State::decode(state)?);
        let host = host().map_err(refuse)?;
        state.check(host)?;
        // A temporary machine shows whether KVM accepts the state.
        VirtualMachine::in_state(host, &state, 0).map_err(refuse)?;
        let (now, waits) = (state.now, state.is_halted());
        *self = Self::from_origin(Origin::Saved(Arc::clone(&state)), now, waits);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Engine> {
        if let (None, Origin::Reset(_)) = (&self.machine, &self.origin) {
            return Box::new(Self::from_origin(self.origin.clone(), self.now, self.waits));
        }
        match self.state() {
            Ok(state) => Box::new(Self::from_origin(Origin::Saved(state), self.now, self.waits)),
            Err(message) => std::panic::panic_any(message),
        }
    }

    fn registers(&self) -> Vec<(&'static str, u64)> {
        let state = self.state();
        state.map_or_else(|_| Vec::new(), |state| registers::read(&state.structures))
    }

    fn set_register(&mut self, name: &str, value: u64) -> bool {
        let Ok(state) = self.state() else { return false };
        let mut changed = State::clone(&state);
        if !registers::write(&mut changed.structures, name, value) {
            return false;
        }
        *self = Self::from_origin(Origin::Saved(Arc::new(changed)), self.now, self.waits);
        true
    }

    fn step(&mut self, platform: &mut Platform) -> Option<Exit> {
        let deadline = self.now.saturating_add(STEP_NANOS);
        self.execute(platform, deadline, true).unwrap_or_else(|message| Some(Exit::Fault(message)))
    }
}
