//! Snapshots on snapshots: of machines, of forks of them, of what was restored from either.

use super::*;
use crate::memory::PAGE_BYTES;

/// The steps, on machines and snapshots numbered modulo their count.
#[derive(Debug, Clone)]
enum Act {
    Run { machine: usize, nanos: u64 },
    Write { machine: usize, page: u64, byte: u8 },
    Fork { machine: usize },
    Close { machine: usize },
    Full { machine: usize },
    Delta { machine: usize, parent: usize },
    Restore { snapshot: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let machine = || 0..8usize;
    let act = prop_oneof![
        4 => (machine(), 1..80u64).prop_map(|(machine, nanos)| Act::Run { machine, nanos }),
        4 => (machine(), 0..256u64, 0..3u8)
            .prop_map(|(machine, page, byte)| Act::Write { machine, page, byte }),
        3 => machine().prop_map(|machine| Act::Fork { machine }),
        1 => machine().prop_map(|machine| Act::Close { machine }),
        1 => machine().prop_map(|machine| Act::Full { machine }),
        6 => (machine(), 0..16usize).prop_map(|(machine, parent)| Act::Delta { machine, parent }),
        2 => (0..16usize).prop_map(|snapshot| Act::Restore { snapshot }),
    ];
    proptest::collection::vec(act, 1..40)
}

/// A snapshot, its parents behind it, and the machine that it must give.
struct Taken {
    id: SnapshotId,
    chain: Vec<PathBuf>,
    digest: [u8; 32],
}

/// Everything that was captured by some acts, below one directory.
struct Story {
    root: Directory,
    machines: Vec<Machine>,
    taken: Vec<Taken>,
    refused: usize,
}

impl Story {
    fn tell(acts: &[Act]) -> Self {
        let mut story = Self {
            root: Directory::new("chains"),
            machines: vec![machine()],
            taken: Vec::new(),
            refused: 0,
        };
        story.take(0, None);
        acts.iter().for_each(|act| story.act(act));
        story
    }

    fn act(&mut self, act: &Act) {
        let (machines, snapshots) = (self.machines.len(), self.taken.len());
        match *act {
            Act::Run { machine, nanos } => {
                let machine = &mut self.machines[machine % machines];
                machine.run(&until(machine.now() + nanos));
            }
            Act::Write { machine, page, byte } => {
                let machine = &mut self.machines[machine % machines];
                let gpa = BASE + page * PAGE_BYTES as u64;
                // Not over the program.
                if page > 0 {
                    machine.write_memory(gpa, &[byte; PAGE_BYTES]).expect("in range");
                }
            }
            Act::Fork { machine } if machines < 8 => {
                let fork = self.machines[machine % machines].fork().expect("good");
                self.machines.push(fork);
            }
            Act::Close { machine } if machines > 1 => {
                self.machines.swap_remove(machine % machines);
            }
            Act::Full { machine } => self.take(machine % machines, None),
            Act::Delta { machine, parent } => {
                self.take(machine % machines, Some(parent % snapshots));
            }
            Act::Restore { snapshot } if machines < 8 => {
                let chain = &self.taken[snapshot % snapshots].chain;
                self.machines.push(restore(chain).expect("good"));
            }
            Act::Fork { .. } | Act::Close { .. } | Act::Restore { .. } => {}
        }
    }

    fn take(&mut self, machine: usize, parent: Option<usize>) {
        let directory = self.root.0.join(self.taken.len().to_string());
        let machine = &mut self.machines[machine];
        let mut chain = vec![directory.clone()];
        let kind = match parent {
            None => CaptureKind::Full,
            Some(parent) => {
                chain.extend(self.taken[parent].chain.iter().cloned());
                CaptureKind::Delta { parent: self.taken[parent].id }
            }
        };
        let capture = match machine.begin_capture(kind) {
            Ok(capture) => capture,
            Err(BeginCaptureError::ParentUnknown { .. }) => {
                self.refused += 1;
                return;
            }
            Err(error) => panic!("{error}"),
        };
        std::fs::create_dir(&directory).expect("fresh");
        let id = capture.write(&directory).expect("written").id;
        self.taken.push(Taken { id, chain, digest: machine.digest().expect("good") });
    }
}

#[test]
fn a_fork_is_described_against_what_an_earlier_fork_was_captured_to() {
    let fork = |machine| Act::Fork { machine };
    let delta = |machine, parent| Act::Delta { machine, parent };
    let write = |machine, page, byte| Act::Write { machine, page, byte };
    // Two forks of a continuing machine, each captured; the first wrote pages that the second did not.
    let story = Story::tell(&[
        fork(0),
        write(1, 7, 1),
        delta(1, 0),
        write(0, 8, 1),
        fork(0),
        write(2, 9, 1),
        delta(2, 1),
        Act::Close { machine: 1 },
        fork(0),
        delta(2, 2),
        // The machine itself, against what its forks were captured to.
        delta(0, 3),
    ]);
    assert_eq!((story.refused, story.taken.len()), (0, 5));
    for taken in &story.taken {
        let restored = restore(&taken.chain).expect("good").digest().expect("good");
        assert_eq!(restored, taken.digest);
    }
}

#[test]
fn a_fork_is_not_described_against_what_a_later_one_was_captured_to() {
    let story = Story::tell(&[
        Act::Fork { machine: 0 },
        Act::Write { machine: 0, page: 8, byte: 1 },
        Act::Fork { machine: 0 },
        Act::Delta { machine: 2, parent: 0 },
        Act::Delta { machine: 1, parent: 1 },
    ]);
    assert_eq!((story.refused, story.taken.len()), (1, 2));
}

proptest! {
    #![proptest_config(crate::generated::cases(120))]

    /// Whatever was captured against whatever else: the chain gives the machine that was captured, and so does the
    /// same machine written in full.
    #[test]
    fn chains_of_any_depth_restore_as_full_snapshots_do(acts in acts()) {
        let story = Story::tell(&acts);
        for taken in &story.taken {
            let mut restored = restore(&taken.chain).expect("good");
            prop_assert_eq!(restored.digest().expect("good"), taken.digest);
            verify(&taken.chain).expect("as captured");
            let compact = Directory::new("compact");
            capture(&mut restored, CaptureKind::Full, &compact.0);
            let mut compacted = restore(std::slice::from_ref(&compact.0)).expect("good");
            prop_assert_eq!(compacted.digest().expect("good"), taken.digest);
        }
    }

    /// Damage to any file anywhere in a chain is refused by name, or hidden by what lies over it: it
    /// never gives another machine.
    #[test]
    fn a_chain_damaged_anywhere_is_refused_or_gives_what_was_captured(
        acts in acts(),
        at in any::<prop::sample::Index>(),
        (file, damage) in damages(),
    ) {
        let story = Story::tell(&acts);
        let taken = story.taken.iter().max_by_key(|taken| taken.chain.len()).expect("one at least");
        let path = file_in(&taken.chain[at.index(taken.chain.len())], file);
        let name = path.file_name().expect("named").to_string_lossy().into_owned();
        damage.apply(&path);
        let found = verify(&taken.chain).expect_err("damaged");
        prop_assert!(found.to_string().contains(&path.display().to_string()), "{}", found);
        match restore(&taken.chain) {
            Err(error) => {
                prop_assert!(error.to_string().contains(&path.display().to_string()), "{}", error);
            }
            Ok(mut restored) => {
                prop_assert_eq!(name.len(), 64, "only memory is checked later");
                match restored.digest() {
                    Ok(digest) => prop_assert_eq!(digest, taken.digest),
                    Err(error) => prop_assert!(error.to_string().contains(&name), "{}", error),
                }
            }
        }
    }
}
