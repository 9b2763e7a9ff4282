//! What a guest under KVM comes out for: accesses of any registers and ports, with memory of any content behind the queues.
#![no_main]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use libfuzzer_sys::fuzz_target;
use stillpoint_kvm::accesses::{Access, Served, serve};
use stillpoint_vmm::board::Board;
use stillpoint_vmm::boards::x86_64::{PC, PORTS_BASE};
use stillpoint_vmm::devices::Making;
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::platform::Platform;
use stillpoint_vmm::random::Seed;

const MEMORY_BYTES: u64 = 1 << 20;
/// A kind, a device, an offset in its window, a value.
const ACCESS_BYTES: usize = 12;

fuzz_target!(|input: &[u8]| {
    let mut memory = PagedMemory::new(0, MEMORY_BYTES);
    // Its first page, which queues can be put in, begins with the input's first half.
    let (content, accesses) = input.split_at(input.len() / 2);
    let _ = memory.write(0, &content[..content.len().min(4096)]);
    let mut platform = Platform::new(memory);
    let making = Making { seed: Seed::Fixed([0; 32]), epoch_nanos: 0 };
    let network = PC.network_device().with("address", vec![2, 0, 0, 0, 0, 1]).with("mtu", 1500);
    let mut windows = vec![(0, u64::MAX), (PORTS_BASE, 1 << 16)];
    for device in PC.usual_devices().into_iter().chain([network]) {
        let Some(kind) = device.kind_of() else { panic!("{device:?}") };
        let Ok(made) = (kind.make)(&device, &making) else { panic!("{device:?}") };
        platform.attach(&device.name, device.base, kind.window_bytes, device.line, made);
        windows.push((device.base, kind.window_bytes));
    }
    for access in accesses.as_chunks::<ACCESS_BYTES>().0 {
        let [kind, device, low, high, value @ ..] = *access;
        let (base, len) = windows[usize::from(device) % windows.len()];
        let at = base + u64::from(u16::from_le_bytes([low, high])) % len;
        let width = usize::from(kind >> 2 & 7);
        let count = usize::from(kind >> 5) + 1;
        let port = at.wrapping_sub(PORTS_BASE) as u16;
        let (from, mut into) = (&value[..count], vec![0; count]);
        let served = match kind & 3 {
            0 => serve(&mut platform, Access::Read { at, into: &mut into }),
            1 => serve(&mut platform, Access::Write { at, from }),
            2 => serve(&mut platform, Access::PortIn { port, width, into: &mut into }),
            _ => serve(&mut platform, Access::PortOut { port, width, from }),
        };
        assert!(served == Served::Done || kind & 3 == 3);
        platform.now += 1_000;
    }
});
