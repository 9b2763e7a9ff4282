//! The seam between the machine and what executes its instructions.
//!
//! An engine owns the processor state of one guest: registers, translation caches, interrupt
//! controller, firmware interface. It owns neither memory nor devices: it sees them through
//! [`Platform`], which the machine lends it for the length of one [`Engine::run`].
//!
//! Nothing here names an instruction set, and nothing assumes that guest time is virtual: an engine
//! reports its time, and the machine asks it to wait.

pub use crate::board::Entry;
pub use crate::state::StateError;
pub use crate::time::Nanos;

use std::sync::Arc;

use crate::board::{Board, Boot};
use crate::loaders::LoadError;
use crate::memory::{GuestMemory, PageImage, PagedMemory};
use crate::platform::Platform;
use crate::state::StateVersions;

/// Why an engine returned from [`Engine::run`].
///
/// In all cases the guest stands between two instructions, and [`Engine::now`] is the time of the
/// later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// Guest time reached the deadline that was given.
    Deadline,
    /// [`Platform::attention`] was raised by an instruction, which has completed.
    Attention,
    /// The guest waits for an interrupt and none is pending. `wake_at` is the time of the
    /// processor's own next timer interrupt, if one is armed and enabled.
    Idle {
        /// When the processor's own timer will end the wait.
        wake_at: Option<Nanos>,
    },
    /// [`Platform::interrupt_requested`] was seen.
    Interrupted,
    /// The guest asked to be switched off. `reason` is the firmware's code, 0 for an orderly end.
    Halted {
        /// The firmware interface's reason code.
        reason: u32,
    },
    /// The guest requested a reset.
    Reset {
        /// The firmware interface's reason code.
        reason: u32,
    },
    /// The engine cannot continue: an internal error, or a guest state that it cannot execute.
    Fault(String),
}

/// A processor and its firmware.
///
/// The contract of a deterministic engine: the same state, memory, device answers and interrupt
/// lines give the same instructions, whatever deadlines, interruptions, saves, loads and forks come
/// in between.
pub trait Engine: Send {
    /// The engine's name in manifests: `soft`, `kvm`.
    fn name(&self) -> &'static str;

    /// Whether equal inputs give equal runs.
    fn is_deterministic(&self) -> bool;

    /// The machine around this processor.
    fn board(&self) -> &'static dyn Board;

    /// Refuses a guest that this host cannot run on the engine, before anything is made.
    ///
    /// # Errors
    /// [`LoadError::EngineUnfit`], with the remedy.
    fn check_boot(&self, boot: &Boot<'_>) -> Result<(), LoadError> {
        let _ = boot;
        Ok(())
    }

    /// Fresh memory of `size_bytes` at `base`, all zero, of the kind that this engine executes from.
    fn memory(&self, base: u64, size_bytes: u64) -> Box<dyn GuestMemory> {
        Box::new(PagedMemory::new(base, size_bytes))
    }

    /// The same with the content of a snapshot.
    fn restored_memory(
        &self,
        base: u64,
        size_bytes: u64,
        image: Arc<dyn PageImage>,
    ) -> Box<dyn GuestMemory> {
        Box::new(PagedMemory::restored(base, size_bytes, image))
    }

    /// Puts the processor at its reset state, about to execute `entry`.
    fn reset(&mut self, entry: Entry);

    /// Executes until the first [`Exit`]. `deadline` is guest time; the engine stops at the first
    /// instruction boundary at or after it.
    ///
    /// A guest that waits for an interrupt while none is pending gives [`Exit::Idle`] at any
    /// deadline; any other executes nothing at a deadline that has passed and gives
    /// [`Exit::Deadline`]. So a deadline in the past asks whether the guest still waits.
    ///
    /// When memory returns `None` and [`GuestMemory::failure`](crate::memory::GuestMemory::failure)
    /// is set, the instruction does not complete and the exit is [`Exit::Fault`] with that text.
    fn run(&mut self, platform: &mut Platform, deadline: Nanos) -> Exit;

    /// Guest time now. Monotone.
    fn now(&self) -> Nanos;

    /// Lets guest time pass up to `until` without executing. Called only after [`Exit::Idle`].
    fn wait(&mut self, platform: &mut Platform, until: Nanos);

    /// Forgets every host pointer into guest memory, and nothing that the guest could observe.
    /// The machine calls it when it has replaced pages (fork, dirty mark, host writes).
    fn drop_host_pointers(&mut self);

    /// Leaves data derived from `memory`, such as decoded code, to the engines of other machines
    /// that have the same pages, in [`GuestMemory::derived`]. A guest cannot observe it, and the
    /// call is cheap when there is little to add. `to_be_forked`: a fork of this memory follows.
    fn leave_derived(&mut self, memory: &mut dyn GuestMemory, to_be_forked: bool) {
        let _ = (memory, to_be_forked);
    }

    /// The versions of the saved state.
    fn state_versions(&self) -> StateVersions {
        StateVersions::FIRST
    }

    /// The complete guest-visible state, canonically encoded: equal states give equal bytes.
    fn save(&self) -> Vec<u8>;

    /// Becomes the state that `save` gave.
    ///
    /// # Errors
    /// [`StateError`] if the bytes are not such a state; the engine is then unchanged.
    fn load(&mut self, state: &[u8]) -> Result<(), StateError>;

    /// An engine in the same state, independent of this one.
    fn fork(&self) -> Box<dyn Engine>;

    /// Named registers, for tests and debuggers.
    fn registers(&self) -> Vec<(&'static str, u64)>;

    /// Sets a register by the name that [`Engine::registers`] gives it; false if there is none.
    fn set_register(&mut self, name: &str, value: u64) -> bool;

    /// Executes exactly one instruction (or takes one trap). `None` if nothing else happened.
    fn step(&mut self, platform: &mut Platform) -> Option<Exit>;
}
