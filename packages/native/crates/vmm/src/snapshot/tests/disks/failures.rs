//! A run in which disks failed, and the same run again.

use super::*;
use crate::event::EventBody;
use std::fs::File;

/// Changes to the files of disks while a guest uses them.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Change { at: u64 },
    CutImage { to: u64 },
    CutVolume { to: u64 },
    Flush,
}

#[derive(Debug, Clone)]
struct Turn {
    disk: u64,
    kind: u32,
    sector: u64,
    len: u32,
    byte: u8,
    nanos: u64,
    fault: Option<Fault>,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let kind =
        prop_oneof![3 => Just(0u32), 5 => Just(1), 2 => Just(4), 1 => Just(11), 2 => Just(13)];
    let place = || 0..SECTORS * 512;
    let fault = prop_oneof![
        8 => Just(None),
        2 => place().prop_map(|at| Some(Fault::Change { at })),
        1 => place().prop_map(|to| Some(Fault::CutImage { to })),
        1 => place().prop_map(|to| Some(Fault::CutVolume { to })),
        1 => Just(Some(Fault::Flush)),
    ];
    let turn = (0..3u64, kind, 0..SECTORS, 1..9u32, 1..255u8, 0..40_000u64, fault).prop_map(
        |(disk, kind, sector, sectors, byte, nanos, fault)| {
            let len = sectors.min((SECTORS - sector) as u32) * 512;
            Turn { disk, kind, sector, len, byte, nanos, fault }
        },
    );
    proptest::collection::vec(turn, 1..40)
}

fn happens(fault: Fault, folder: &Folder, machine: &mut Machine) {
    let (image, volume) = (folder.0.join("image"), folder.0.join("volume"));
    let cut = |path: &Path, to: u64| {
        let file = File::options().write(true).open(path).expect("there");
        let len = file.metadata().expect("there").len();
        file.set_len(to.min(len)).expect("cut");
    };
    match fault {
        Fault::Change { at } => {
            let mut bytes = std::fs::read(&image).expect("there");
            bytes.iter_mut().skip(at as usize).take(600).for_each(|byte| *byte ^= 0x11);
            // Into the same file: it is the one that the machine has.
            std::os::unix::fs::FileExt::write_all_at(
                &File::options().write(true).open(&image).expect("there"),
                &bytes,
                0,
            )
            .expect("written");
        }
        Fault::CutImage { to } => cut(&image, to),
        Fault::CutVolume { to } => cut(&volume, to),
        Fault::Flush => {
            machine.platform_mut().disks.get_mut(2).expect("a volume").fail_flush(libc::EIO);
        }
    }
}

fn take(machine: &mut Machine, turn: &Turn) {
    ask(machine, turn.disk, turn.kind, turn.sector, turn.len, turn.byte);
    machine.run(&until(machine.now() + turn.nanos));
}

proptest! {
    #![proptest_config(crate::generated::cases(60))]

    /// Disk failures are host input: a replay fails at the same operations, at the same moments, and
    /// is the same machine, although every file is complete this time.
    #[test]
    fn a_run_in_which_disks_failed_is_repeated_from_its_recording(turns in turns()) {
        let [folder, whole] = [Folder::new("failing"), Folder::new("whole")];
        let mut machine = machine_with_disks(&folder);
        // Each block is known by then, so that one that changes is found to have.
        let before = contents(&mut machine);
        for turn in &turns {
            if let Some(fault) = turn.fault {
                happens(fault, &folder, &mut machine);
            }
            take(&mut machine, turn);
        }
        machine.run(&until(machine.now() + 1_000_000));
        let recorded = machine.events(0, usize::MAX).expect("kept");
        let mut again = machine_with_disks(&whole);
        prop_assert!(contents(&mut again) == before);
        again.replay(&recorded).expect("the same machine");
        turns.iter().for_each(|turn| take(&mut again, turn));
        again.run(&until(machine.now()));
        prop_assert_eq!(again.events(0, usize::MAX).expect("kept"), recorded);
        prop_assert_eq!(again.digest(), machine.digest());
    }
}

#[test]
fn failures_are_told_with_the_first_byte_that_was_not_done() {
    let folder = Folder::new("half");
    let mut machine = machine_with_disks(&folder);
    // Knows every block.
    contents(&mut machine);
    happens(Fault::Change { at: 6 * 4096 + 9 }, &folder, &mut machine);
    // From the middle of page 2 to the middle of page 6, of whose other half nothing is known.
    assert!(ask(&mut machine, 1, 1, 20, 4 * 4096, 0x77));
    machine.run(&until(machine.now() + 200_000));
    let failed = machine.events(0, usize::MAX).expect("kept").into_iter().find_map(|event| {
        let EventBody::DiskFailed { offset, bytes, .. } = event.body else { return None };
        Some((offset, bytes))
    });
    assert_eq!(failed, Some((6 * 4096, 2048)));
    let disk = machine.platform_mut().disks.get_mut(1).expect("there");
    let mut bytes = vec![0; 6 * 4096];
    disk.read(0, &mut bytes).expect("as it was");
    assert!(
        bytes[..10_240] == content(10_240)[..] && bytes[10_240..].iter().all(|byte| *byte == 0x77)
    );
}
