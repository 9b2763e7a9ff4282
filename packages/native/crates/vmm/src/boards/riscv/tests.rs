use super::*;
use crate::memory::PagedMemory;
use proptest::prelude::*;

const MEMORY: u64 = 128 << 20;

fn image(file_bytes: usize, image_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0x13; file_bytes];
    bytes[0x08..0x10].copy_from_slice(&(2u64 << 20).to_le_bytes());
    bytes[0x10..0x18].copy_from_slice(&image_bytes.to_le_bytes());
    bytes[0x18..0x20].fill(0);
    bytes[0x38..0x3c].copy_from_slice(b"RSC\x05");
    bytes
}

fn boot<'a>(kernel: &'a [u8], initramfs: Option<&'a [u8]>) -> Boot<'a> {
    Boot {
        kernel,
        form: PayloadForm::Recognised,
        initramfs,
        command_line: "console=ttyS0",
        random_seed: &[7; 64],
    }
}

fn load(memory_bytes: u64, boot: &Boot<'_>) -> Result<(Entry, PagedMemory), LoadError> {
    let mut memory = PagedMemory::new(MEMORY_BASE, memory_bytes);
    VIRT.load(&mut memory, &VIRT.usual_devices(), boot).map(|entry| (entry, memory))
}

#[test]
fn a_kernel_is_placed_with_its_initramfs_and_device_tree() {
    let (kernel, initramfs) = (image(1 << 20, 2 << 20), vec![0x55; 10_000]);
    let (entry, mut memory) = load(MEMORY, &boot(&kernel, Some(&initramfs))).expect("fits");
    assert_eq!(entry.pc, MEMORY_BASE + (2 << 20));
    let mut header = [0; 4];
    memory.read(entry.device_tree, &mut header).expect("in range");
    assert_eq!(header, [0xd0, 0x0d, 0xfe, 0xed]);
    let start = align_down(entry.device_tree - 10_000, PAGE);
    let mut found = vec![0; 10_000];
    memory.read(start, &mut found).expect("in range");
    assert_eq!(found, initramfs);
    let mut tree = vec![0; DEVICE_TREE_BYTES as usize];
    memory.read(entry.device_tree, &mut tree).expect("in range");
    let holds = |text: &[u8]| tree.windows(text.len()).any(|window| window == text);
    assert!(holds(b"rv64imafdc_zicntr_zicsr_zifencei_sstc_svadu\0"));
    assert!(holds(b"console=ttyS0\0"));
    assert!(holds(&[7; 64]));
}

#[test]
fn a_loader_finds_room_behind_the_device_tree() {
    let (entry, mut memory) = load(MEMORY, &boot(&image(1 << 20, 2 << 20), None)).expect("fits");
    let mut header = [0; 40];
    memory.read(entry.device_tree, &mut header).expect("in range");
    let word = |index: usize| u32::from_be_bytes(*header[4 * index..].first_chunk().expect("4"));
    let (total, strings, strings_bytes) = (word(1), word(3), word(8));
    assert!(total >= strings + strings_bytes + 4096, "{total} {strings} {strings_bytes}");
    assert!(u64::from(total) <= DEVICE_TREE_BYTES);
}

/// An executable of one segment of 16 bytes at `address`, which is also its entry.
fn executable(kind: u8, address: u64) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01".to_vec();
    bytes.resize(64, 0);
    (bytes[16], bytes[18], bytes[32], bytes[54], bytes[56]) = (kind, 243, 64, 56, 1);
    bytes[24..32].copy_from_slice(&address.to_le_bytes());
    for word in [1 | 5 << 32, 120, address, address, 16, 0x2000, 4096] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0x13; 16]);
    bytes
}

#[test]
fn a_position_independent_executable_goes_where_a_kernel_goes_unless_it_names_a_place() {
    const EXECUTABLE: u8 = 2;
    const DYNAMIC: u8 = 3;
    let kernel = MEMORY_BASE + KERNEL_OFFSET;
    let cases = [
        (DYNAMIC, 0, Some(kernel)),
        (DYNAMIC, 0x10_0040, Some(kernel + 0x40)),
        (DYNAMIC, MEMORY_BASE + 0x123_4560, Some(MEMORY_BASE + 0x123_4560)),
        (DYNAMIC, u64::MAX - 64, None),
        (EXECUTABLE, MEMORY_BASE + 0x123_4560, Some(MEMORY_BASE + 0x123_4560)),
        (EXECUTABLE, 0, None),
    ];
    for (kind, address, expected) in cases {
        let payload = executable(kind, address);
        let loaded = load(MEMORY, &boot(&payload, None));
        let entry = loaded.as_ref().ok().map(|(entry, _)| entry.pc);
        assert_eq!(entry, expected, "{kind} {address:#x}");
        let Ok((entry, mut memory)) = loaded else { continue };
        let mut found = [0; 17];
        memory.read(entry.pc, &mut found).expect("in range");
        assert_eq!(found[..16], [0x13; 16]);
        assert_eq!(found[16], 0);
    }
}

#[test]
fn what_does_not_fit_is_named_with_expected_and_found() {
    let kernel = image(1 << 20, 2 << 20);
    let large = vec![1; 8 << 20];
    // 2,000 directories, an inode each.
    let entry = format!("07070100000001000041ed{}000000020{}", "0".repeat(72), "0".repeat(7));
    let many = format!("{entry}d\0").repeat(2000).into_bytes();
    let cases: [(&str, u64, Boot<'_>); 11] = [
        ("InitramfsTooLarge", 8 << 20, boot(&kernel, Some(&large))),
        ("RootTooLarge", 8 << 20, boot(&kernel, Some(&many))),
        ("MemoryTooSmall", 2 << 20, boot(&kernel, None)),
        ("MemoryTooSmall", 4096, boot(&kernel, None)),
        ("KernelUnknown", MEMORY, boot(b"", None)),
        ("KernelUnknown", MEMORY, boot(b"\x1f\x8b....", None)),
        ("KernelUnknown", MEMORY, boot(b"MZ and then something that is no kernel", None)),
        ("KernelDamaged", MEMORY, boot(&kernel[..4096], None)),
        (
            "KernelOutsideMemory",
            MEMORY,
            Boot { form: PayloadForm::Flat { address: 0x1000 }, ..boot(b"abcd", None) },
        ),
        (
            "KernelDamaged",
            MEMORY,
            Boot { form: PayloadForm::Flat { address: MEMORY_BASE + 1 }, ..boot(b"abcd", None) },
        ),
        ("CommandLineInvalid", MEMORY, Boot { command_line: "a\0b", ..boot(&kernel, None) }),
    ];
    for (name, memory_bytes, boot) in cases {
        let error = load(memory_bytes, &boot).map(|(entry, _)| entry).expect_err(name);
        assert_eq!(error.name(), name, "{error}");
    }
}

#[test]
fn a_flat_payload_starts_where_it_is_put() {
    let form = PayloadForm::Flat { address: MEMORY_BASE };
    let (entry, mut memory) = load(1 << 20, &Boot { form, ..boot(b"abcd", None) }).expect("fits");
    assert_eq!(entry.pc, MEMORY_BASE);
    let mut found = [0; 4];
    memory.read(MEMORY_BASE, &mut found).expect("in range");
    assert_eq!(&found, b"abcd");
}

proptest! {
    #![proptest_config(crate::generated::cases(200))]

    /// Any kernel header, any memory size and any initramfs: loaded within memory or refused.
    #[test]
    fn hostile_kernels_are_survived(
        changes in proptest::collection::vec((0..64usize, any::<u8>()), 0..8),
        pages in 0..2048u64,
        initramfs in 0..100_000usize,
        address in prop_oneof![Just(None), any::<u64>().prop_map(Some), (0..0x900_0000u64).prop_map(|a| Some(MEMORY_BASE + a))],
    ) {
        let mut kernel = image(0x2000, 0x4000);
        for (at, byte) in changes { kernel[at] = byte; }
        let initramfs = vec![1; initramfs];
        let form = address.map_or(PayloadForm::Recognised, |address| PayloadForm::Flat { address });
        let boot = Boot { form, ..boot(&kernel, Some(&initramfs)) };
        if let Ok((entry, memory)) = load(pages * PAGE, &boot) {
            prop_assert!(memory.contains(entry.pc, 1));
            prop_assert!(memory.contains(entry.device_tree, DEVICE_TREE_BYTES as usize));
        }
    }
}
