//! Saved state of the engine, of random bytes or damaged: refused without a change, or run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stillpoint_soft::Soft;
use stillpoint_vmm::engine::{Engine, Entry};
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::Platform;

const BASE: u64 = 0x8000_0000;

fuzz_target!(|changes: &[u8]| {
    let mut engine = Soft::new();
    engine.reset(Entry { pc: BASE, device_tree: 0 });
    let mut state = engine.save();
    for change in changes.as_chunks::<4>().0 {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % state.len();
        state[place] ^= change[3];
    }
    let before = engine.save();
    if engine.load(&state).is_err() {
        assert_eq!(engine.save(), before);
        return;
    }
    assert_eq!(engine.save(), state);
    let mut platform = Platform::new(PagedMemory::new(BASE, 16 << 12));
    for _ in 0..8 {
        let deadline = engine.now().saturating_add(500);
        let _exit = engine.run(&mut platform, deadline);
        platform.attention = false;
    }
});
