use super::*;
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

#[test]
fn what_is_of_another_platform_is_refused_by_name() {
    let mut riscv = vec![0x13; 0x1000];
    riscv[0x38..0x3c].copy_from_slice(b"RSC\x05");
    let mut elf = vec![0; 0x200];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[18] = 243;
    let mut linux = vec![0; 0x1000];
    linux[0x202..0x206].copy_from_slice(b"HdrS");
    for (kernel, found) in
        [(riscv, "a RISC-V kernel image"), (elf, "machine 243"), (linux, "bzImage")]
    {
        let refused = load(1 << 20, &boot(&kernel, PayloadForm::Recognised)).map(|_| ());
        let refused = refused.expect_err("of another platform");
        assert_eq!(refused.name(), "KernelUnknown");
        assert!(refused.to_string().contains(found), "{refused}");
    }
    let flat = boot(&[0xf4], PayloadForm::Flat { address: 0x2_0000 });
    let refused = load(1 << 20, &Boot { initramfs: Some(&[]), ..flat }).map(|_| ());
    assert!(refused.expect_err("no Linux").to_string().contains("initramfs"));
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
}
