//! Which engine is taken where none is named.

#![allow(clippy::panic, clippy::expect_used, reason = "a test says what it expects")]

use stillpoint_engines::engines;
use stillpoint_vmm::board::PayloadForm;
use stillpoint_vmm::engines::AUTO;
use stillpoint_vmm::loaders::Source;

fn elf(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes
}

fn with(len: usize, at: usize, magic: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[at..at + magic.len()].copy_from_slice(magic);
    bytes
}

/// Name of the engine that is taken for a kernel, or why none is.
fn chosen(kernel: &[u8], form: PayloadForm) -> Result<&'static str, String> {
    let path = std::env::temp_dir().join(format!("stillpoint-choice-{}", std::process::id()));
    std::fs::write(&path, kernel).expect("written");
    let of = |kernel: Source| {
        let made = engines().make_for(AUTO, &kernel, form);
        made.map(|(engine, _)| engine.name()).map_err(|error| error.to_string())
    };
    let (from_file, from_bytes) =
        (of(Source::Path(path.clone())), of(Source::Bytes(kernel.to_vec().into())));
    std::fs::remove_file(path).expect("removed");
    assert_eq!(from_file, from_bytes);
    from_bytes
}

#[test]
fn the_engine_is_taken_that_the_kernel_is_for() {
    let kvm = engines().kinds().iter().find(|kind| kind.name() == "kvm");
    let usable = kvm.map(|kind| kind.usable());
    for x86 in [elf(62), with(0x1000, 0x202, b"HdrS")] {
        let found = chosen(&x86, PayloadForm::Recognised);
        match &usable {
            Some(Ok(())) => assert_eq!(found, Ok("kvm")),
            Some(Err(why)) => {
                let said = found.expect_err("cannot be used here");
                assert!(said.contains("engine kvm, which runs an x86-64 kernel"), "{said}");
                assert!(said.contains(why.as_str()), "{said}");
            }
            // Where there is no such engine, the first says what it is not for.
            None => assert_eq!(found, Ok("soft")),
        }
        // A payload that is taken as it is says nothing.
        assert_eq!(chosen(&x86, PayloadForm::Flat { address: 0x8000_0000 }), Ok("soft"));
    }
    for other in [elf(243), with(0x1000, 0x38, b"RSC\x05"), elf(183), b"text".to_vec(), Vec::new()]
    {
        assert_eq!(chosen(&other, PayloadForm::Recognised), Ok("soft"));
    }
    // What cannot be read is told of by who loads it.
    let missing = Source::Path("/no/such/kernel".into());
    let made = engines().make_for(AUTO, &missing, PayloadForm::Recognised);
    assert_eq!(made.map(|(engine, _)| engine.name()), Ok("soft"));
}
