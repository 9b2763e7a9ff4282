//! The seam between the engine and the machine that it is of.

use super::Soft;
use crate::core::Core;
use crate::hart::Hart;
use crate::{hot, state};
use stillpoint_vmm::board::Board;
use stillpoint_vmm::boards::riscv::VIRT;
use stillpoint_vmm::engine::{Engine, Entry, Exit, Nanos, StateError};
use stillpoint_vmm::memory::GuestMemory;
use stillpoint_vmm::platform::Platform;
use stillpoint_vmm::state::StateVersions;

impl Engine for Soft {
    fn name(&self) -> &'static str {
        "soft"
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn board(&self) -> &'static dyn Board {
        &VIRT
    }

    fn reset(&mut self, entry: Entry) {
        *self.hart = Hart::new();
        self.core = Core::new(hot::ENTRIES).set_as(&self.core);
        self.hart.pc = entry.pc;
        self.hart.r[11] = entry.device_tree;
    }

    fn run(&mut self, platform: &mut Platform, deadline: Nanos) -> Exit {
        self.core.bind(platform);
        let exit = self.run_bound(deadline);
        self.core.unbind(&mut self.hart);
        exit
    }

    fn now(&self) -> Nanos {
        self.hart.now()
    }

    fn wait(&mut self, _: &mut Platform, until: Nanos) {
        let passed = until.saturating_sub(self.hart.now());
        self.hart.idle_nanos = self.hart.idle_nanos.saturating_add(passed);
    }

    fn leave_derived(&mut self, memory: &mut dyn GuestMemory, to_be_forked: bool) {
        self.core.leave_derived(memory, to_be_forked);
    }

    fn drop_host_pointers(&mut self) {
        self.core.forget_pointers();
    }

    fn state_versions(&self) -> StateVersions {
        state::VERSIONS
    }

    fn save(&self) -> Vec<u8> {
        state::save(&self.hart, &self.core)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let (hart, core) = state::load(bytes, hot::ENTRIES)?;
        *self.hart = hart;
        self.core = core.set_as(&self.core);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Engine> {
        Box::new(Self { hart: self.hart.clone(), core: self.core.copy() })
    }

    fn registers(&self) -> Vec<(&'static str, u64)> {
        state::registers(&self.hart)
    }

    fn set_register(&mut self, name: &str, value: u64) -> bool {
        let known = state::set_register(&mut self.hart, name, value);
        // The derived data depends on mode, SUM, MXR and satp.
        self.core.forget_contexts();
        known
    }

    fn step(&mut self, platform: &mut Platform) -> Option<Exit> {
        self.core.bind(platform);
        let exit = self.step_bound();
        self.core.unbind(&mut self.hart);
        exit
    }
}
