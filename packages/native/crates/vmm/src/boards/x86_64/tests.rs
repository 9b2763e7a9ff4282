use super::layout::PAYLOAD_BASE;
use super::*;
use crate::board::PayloadForm;
use crate::memory::PagedMemory;
use proptest::prelude::*;

fn boot(kernel: &[u8], form: PayloadForm) -> Boot<'_> {
    Boot { kernel, form, initramfs: None, command_line: "", random_seed: &[7; 64] }
}

fn load(memory_bytes: u64, boot: &Boot<'_>) -> Result<(Entry, PagedMemory), LoadError> {
    let mut memory = PagedMemory::new(0, memory_bytes);
    PC.load(&mut memory, &PC.usual_devices(), boot).map(|entry| (entry, memory))
}

#[test]
fn every_address_is_mapped_to_itself() {
    let flat = boot(&[0xf4], PayloadForm::Flat { address: 0x2_0000 });
    let (entry, mut memory) = load(1 << 20, &flat).expect("fits");
    assert_eq!(entry.pc, 0x2_0000);
    let mut word = |at: u64| {
        let mut bytes = [0; 8];
        memory.peek(at, &mut bytes).expect("in memory");
        u64::from_le_bytes(bytes)
    };
    for address in [0u64, 0x1f_ffff, 0x20_0000, 0x4000_0000, 0xd000_1234, 0xffff_ffff] {
        let pointers = word(PAGE_TABLES + 8 * (address >> 39)) & !0xfff;
        let directory = word(pointers + 8 * (address >> 30 & 511)) & !0xfff;
        let page = word(directory + 8 * (address >> 21 & 511));
        assert_eq!(page & 0x83, 0x83);
        assert_eq!(page & !0x1f_ffff | address & 0x1f_ffff, address);
    }
}

/// An image of `len` bytes behind its header, which wants `room` at 1 MiB.
fn linux(len: usize, room: u32) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    image[0x1f1] = 1;
    image[0x1f4..0x1f8].copy_from_slice(&(len as u32 / 16).to_le_bytes());
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x201] = 0x6a;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x236] = 1;
    image[0x258..0x260].copy_from_slice(&0x10_0000_u64.to_le_bytes());
    image[0x260..0x264].copy_from_slice(&room.to_le_bytes());
    image.resize(0x400 + len, 0xcc);
    image
}

const MEMORY: u64 = 4 << 20;

fn peek(memory: &mut PagedMemory, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    memory.peek(at, &mut bytes).expect("in memory");
    bytes
}

fn number(memory: &mut PagedMemory, at: u64, len: usize) -> u64 {
    let bytes = peek(memory, at, len);
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[test]
fn a_kernel_is_told_its_memory_its_command_line_and_where_its_root_is() {
    let (kernel, root) = (linux(0x1000, 0x8000), [7; 5000]);
    let boot = Boot {
        initramfs: Some(&root),
        command_line: "quiet",
        ..boot(&kernel, PayloadForm::Recognised)
    };
    assert!(is_linux(&boot));
    let (entry, mut memory) = load(MEMORY, &boot).expect("fits");
    assert_eq!(entry, Entry { pc: 0x10_0200, device_tree: BOOT_PARAMETERS });
    let memory = &mut memory;
    let told = |memory: &mut PagedMemory, at, len| number(memory, BOOT_PARAMETERS + at, len);
    assert_eq!(number(memory, 0x10_0000, 1), 0xcc);
    assert_eq!(peek(memory, BOOT_PARAMETERS + 0x202, 4), b"HdrS");
    assert_eq!(peek(memory, 0xf_fff0, 4), [0xb0, 0xfe, 0xe6, 0x64]);
    assert_eq!((told(memory, 0x210, 1), told(memory, 0x211, 1)), (0xff, 1));
    let command_line = told(memory, 0x228, 4);
    assert_eq!(peek(memory, command_line, 6), b"quiet\0");
    let (start, len) = (told(memory, 0x218, 4), told(memory, 0x21c, 4));
    assert_eq!((start % 4096, len), (0, 5000));
    assert_eq!(peek(memory, start, 5000), root);
    let more = told(memory, 0x250, 8);
    assert_eq!((number(memory, more + 8, 4), number(memory, more + 12, 4)), (9, 64));
    assert_eq!(peek(memory, more + 16, 64), [7; 64]);
    let count = told(memory, 0x1e8, 1);
    let ranges: Vec<_> = (0..count)
        .map(|index| 0x2d0 + 20 * index)
        .map(|at| (told(memory, at, 8), told(memory, at + 8, 8), told(memory, at + 16, 4)))
        .collect();
    assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{ranges:x?}");
    assert_eq!(ranges.last(), Some(&(0x10_0000, MEMORY - 0x10_0000, 1)));
    assert!(ranges.contains(&(0x3000, 0x5000, 3)), "{ranges:x?}");
}

/// A table that begins at `at`: whole, as its checksum says.
fn table(memory: &mut PagedMemory, at: u64) -> Vec<u8> {
    let len = number(memory, at + 4, 4) as usize;
    let table = peek(memory, at, len);
    assert_eq!(table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    table
}

fn has(table: &[u8], part: &[u8]) -> bool {
    table.windows(part.len()).any(|window| window == part)
}

#[test]
fn every_device_is_announced_by_tables_that_are_whole() {
    let mut devices = PC.usual_devices();
    devices.push(PC.network_device());
    let (base, line) = PC.disk_place(7).expect("room");
    devices.push(DeviceDescription::new("disk7", "virtio-blk", base, line));
    let kernel = linux(0x1000, 0x8000);
    let mut memory = PagedMemory::new(0, MEMORY);
    PC.load(&mut memory, &devices, &boot(&kernel, PayloadForm::Recognised)).expect("fits");
    let memory = &mut memory;
    let root = number(memory, BOOT_PARAMETERS + 0x70, 8);
    let bytes = peek(memory, root, 36);
    assert_eq!(&bytes[..8], b"RSD PTR ");
    assert_eq!(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    let all = number(memory, root + 24, 8);
    let tables = table(memory, all).len() as u64;
    let named: Vec<_> = (36..tables).step_by(8).map(|at| number(memory, all + at, 8)).collect();
    let named: Vec<_> = named.into_iter().map(|at| table(memory, at)).collect();
    let of = |name: &[u8; 4]| named.iter().find(|table| table.starts_with(name)).expect("there");
    assert_eq!(of(b"APIC").len(), 44 + 8 + 12);
    let fixed = of(b"FACP");
    // Hardware is reduced, and a reset by a register is supported.
    assert_eq!(fixed[112..116], (1_u32 << 20 | 1 << 10 | 3 << 4).to_le_bytes());
    let at = u64::from_le_bytes(fixed[140..148].try_into().expect("8"));
    let description = table(memory, at);
    for device in &devices {
        let line = [&[0x89, 6, 0, 1, 1][..], &device.line.to_le_bytes()].concat();
        assert!(has(&description, &line), "the line of {}", device.name);
        let is_told = match device.base.checked_sub(PORTS_BASE) {
            Some(port) => has(&description, &(port as u16).to_le_bytes()),
            None => has(&description, &(device.base as u32).to_le_bytes()),
        };
        assert!(is_told, "the place of {}", device.name);
    }
    for identifier in ["LNRO0005", "PNP0501", "VM_Gen_Counter", "ACPI0013"] {
        assert!(has(&description, identifier.as_bytes()), "{identifier}");
    }
}

#[test]
fn devices_that_no_tables_hold_are_refused() {
    let devices: Vec<_> = (0..400)
        .map(|number| DeviceDescription::new(&number.to_string(), "virtio-rng", 0xd000_0000, 5))
        .collect();
    let kernel = linux(0x1000, 0x8000);
    let mut memory = PagedMemory::new(0, MEMORY);
    let refused = PC.load(&mut memory, &devices, &boot(&kernel, PayloadForm::Recognised));
    assert_eq!(refused.expect_err("too many").name(), "DeviceTreeFailed");
}

#[test]
fn what_is_of_another_platform_is_refused_by_name() {
    let mut riscv = vec![0x13; 0x1000];
    riscv[0x38..0x3c].copy_from_slice(b"RSC\x05");
    let mut elf = vec![0; 0x200];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[18] = 243;
    for (kernel, found) in [(riscv, "engine \"soft\""), (elf, "machine 243 (RISC-V)")] {
        let refused = load(1 << 20, &boot(&kernel, PayloadForm::Recognised)).map(|_| ());
        let refused = refused.expect_err("of another platform");
        assert_eq!(refused.name(), "KernelUnknown");
        assert!(refused.to_string().contains(found), "{refused}");
    }
    let flat = boot(&[0xf4], PayloadForm::Flat { address: 0x2_0000 });
    let refused = load(1 << 20, &Boot { initramfs: Some(&[]), ..flat }).map(|_| ());
    assert!(refused.expect_err("no Linux").to_string().contains("initramfs"));
}

#[test]
fn a_kernel_that_is_cut_or_has_no_room_is_refused_by_name() {
    let refused = |memory_bytes, change: &dyn Fn(&mut Vec<u8>), initramfs| {
        let mut kernel = linux(0x1000, 0x8000);
        change(&mut kernel);
        let boot = Boot { initramfs, ..boot(&kernel, PayloadForm::Recognised) };
        load(memory_bytes, &boot).map(|_| ()).expect_err("refused").name()
    };
    assert_eq!(refused(MEMORY, &|kernel| kernel.truncate(0x1000), None), "KernelDamaged");
    assert_eq!(refused(MEMORY, &|kernel| kernel[0x1fe] = 0, None), "KernelDamaged");
    assert_eq!(refused(MEMORY, &|kernel| kernel[0x206] = 2, None), "KernelUnknown");
    assert_eq!(refused(MEMORY, &|kernel| kernel[0x236] = 0, None), "KernelUnknown");
    assert_eq!(refused(MEMORY, &|kernel| kernel[0x262] = 0xff, None), "MemoryTooSmall");
    assert_eq!(refused(MEMORY, &|kernel| kernel[0x25a] = 0, None), "KernelOutsideMemory");
    let large = vec![0; 3 << 20];
    assert_eq!(refused(MEMORY, &|_| {}, Some(&large)), "InitramfsTooLarge");
}

proptest! {
    /// Wherever a payload is to be, it is refused or what the guest starts from is whole.
    #[test]
    fn no_payload_lies_on_what_the_guest_starts_from(
        address in prop_oneof![0..0x20_0000u64, any::<u64>()],
        len in 1..0x3000usize,
    ) {
        let bytes = vec![0xee; len];
        let flat = boot(&bytes, PayloadForm::Flat { address });
        if let Ok((entry, mut memory)) = load(1 << 20, &flat) {
            prop_assert!(entry.pc >= PAYLOAD_BASE && entry.pc + len as u64 <= 1 << 20);
            let away = boot(&[0xf4], PayloadForm::Flat { address: 0x8_0000 });
            let (_, mut other) = load(1 << 20, &away).expect("fits");
            let [mut found, mut expected] = [[0; 0x1_0000]; 2];
            memory.peek(0, &mut found).expect("in memory");
            other.peek(0, &mut expected).expect("in memory");
            prop_assert!(found == expected);
        }
    }

    /// Whatever an image's header says: refused, or loaded within memory, what the guest starts from whole.
    #[test]
    fn damaged_images_are_survived(
        changes in proptest::collection::vec((0x1f0..0x270usize, any::<u8>()), 0..6),
        len in prop_oneof![0..0x300usize, Just(usize::MAX)],
    ) {
        let mut kernel = linux(0x1000, 0x8000);
        for (at, byte) in changes { kernel[at] = byte; }
        kernel.truncate(len);
        if let Ok((entry, mut memory)) = load(MEMORY, &boot(&kernel, PayloadForm::Recognised)) {
            prop_assert!(entry.pc >= PAYLOAD_BASE && entry.pc < MEMORY);
            prop_assert_eq!(number(&mut memory, PAGE_TABLES, 8), (PAGE_TABLES + 0x1000) | 3);
        }
    }
}
