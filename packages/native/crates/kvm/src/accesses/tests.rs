use super::*;
use proptest::prelude::*;
use stillpoint_vmm::board::Board;
use stillpoint_vmm::boards::x86_64::PC;
use stillpoint_vmm::devices::Making;
use stillpoint_vmm::memory::PagedMemory;
use stillpoint_vmm::random::Seed;

const MEMORY_BYTES: u64 = 1 << 20;

/// A platform with every device of the board, and their windows.
fn board(content: &[u8]) -> (Platform, Vec<(u64, u64)>) {
    let mut memory = PagedMemory::new(0, MEMORY_BYTES);
    for at in (0..MEMORY_BYTES).step_by(4096) {
        stillpoint_vmm::memory::GuestMemory::write(&mut memory, at, content).expect("in memory");
    }
    let mut platform = Platform::new(memory);
    let making = Making { seed: Seed::Fixed([0; 32]), epoch_nanos: 0 };
    let network = PC.network_device().with("address", vec![2, 0, 0, 0, 0, 1]).with("mtu", 1500);
    let mut windows = Vec::new();
    for device in PC.usual_devices().into_iter().chain([network]) {
        let kind = device.kind_of().expect("a known kind");
        let made = (kind.make)(&device, &making).expect("as the board describes it");
        platform.attach(&device.name, device.base, kind.window_bytes, device.line, made);
        windows.push((device.base, kind.window_bytes));
    }
    (platform, windows)
}

/// An access: mostly of a device's registers, and else anywhere.
#[derive(Debug, Clone)]
struct Tried {
    is_read: bool,
    is_port: bool,
    /// The device whose window it is in, if it is in one.
    device: Option<prop::sample::Index>,
    at: u64,
    width: usize,
    bytes: Vec<u8>,
}

fn tried() -> impl Strategy<Value = Tried> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..=16),
        (0..16u32).prop_map(|value| value.to_le_bytes().to_vec()),
        (0..MEMORY_BYTES as u32).prop_map(|value| value.to_le_bytes().to_vec()),
    ];
    let parts = (any::<bool>(), any::<bool>(), any::<Option<prop::sample::Index>>(), any::<u64>());
    (parts, 0..=5usize, bytes).prop_map(|((is_read, is_port, device, at), width, bytes)| Tried {
        is_read,
        is_port,
        device,
        at,
        width,
        bytes,
    })
}

fn serve_all(content: &[u8], all: &[Tried]) -> (Vec<Vec<u8>>, Vec<Served>) {
    let (mut platform, windows) = board(content);
    let (mut read, mut served) = (Vec::new(), Vec::new());
    for Tried { is_read, is_port, device, at, width, bytes } in all {
        let at = device.map_or(*at, |device| {
            let (base, len) = windows[device.index(windows.len())];
            base + ((at % len) & !3)
        });
        let (port, width) = ((at.wrapping_sub(PORTS_BASE)) as u16, *width);
        let mut into = vec![0; bytes.len()];
        served.push(match (is_read, is_port) {
            (true, true) => serve(&mut platform, Access::PortIn { port, width, into: &mut into }),
            (true, false) => serve(&mut platform, Access::Read { at, into: &mut into }),
            (false, true) => serve(&mut platform, Access::PortOut { port, width, from: bytes }),
            (false, false) => serve(&mut platform, Access::Write { at, from: bytes }),
        });
        if *is_read {
            read.push(into);
        }
        platform.now += 1_000;
    }
    (read, served)
}

proptest! {
    #[test]
    fn whatever_a_guest_accesses_is_served_and_served_the_same_again(
        content in prop::collection::vec(any::<u8>(), 0..64),
        all in prop::collection::vec(tried(), 0..64),
    ) {
        prop_assert_eq!(serve_all(&content, &all), serve_all(&content, &all));
    }
}

#[test]
fn unused_addresses_read_as_ones_and_lose_what_is_written() {
    let (mut platform, _) = board(&[]);
    for at in [0, 0xcfff_ff00, u64::MAX - 3, u64::MAX, PORTS_BASE + 0x80] {
        for len in 0..=16 {
            let mut into = vec![0; len];
            let from = vec![1; len];
            assert_eq!(serve(&mut platform, Access::Write { at, from: &from }), Served::Done);
            assert_eq!(serve(&mut platform, Access::Read { at, into: &mut into }), Served::Done);
            assert_eq!(into, vec![0xff; len], "{len} bytes at {at:#x}");
        }
    }
}

#[test]
fn only_what_the_ports_of_power_and_reset_are_written_ends_the_guest() {
    let (mut platform, _) = board(&[]);
    let mut out =
        |port, width, from: &[u8]| serve(&mut platform, Access::PortOut { port, width, from });
    assert_eq!(out(RESET_PORT, 1, &[0, 0xd1, RESET, 0]), Served::Reset);
    assert_eq!(out(RESET_PORT, 2, &[RESET, 0]), Served::Done);
    assert_eq!(out(POWER_PORT, 2, &[0, SLEEP]), Served::Off);
    assert_eq!(out(SLEEP_PORT, 1, &[SLEEP]), Served::Off);
    assert_eq!(out(SLEEP_PORT, 1, &[!SLEEP]), Served::Done);
    // A width that no processor has.
    assert_eq!(out(POWER_PORT, 0, &[0, SLEEP]), Served::Done);
}
