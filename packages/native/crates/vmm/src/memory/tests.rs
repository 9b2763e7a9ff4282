use super::*;
use proptest::prelude::*;

const BASE: u64 = 0x8000_0000;
/// How many memories, each with as much done to it, are compared: few where an interpreter hashes them.
const MOST_MEMORIES: usize = if cfg!(miri) { 3 } else { 8 };
const MOST_ACTS: usize = if cfg!(miri) { 24 } else { 120 };
/// Of memories that are compared page by page: more than two leaves have.
const PAGES: u64 = LEAF_PAGES as u64 * 7 / 3 + 2;

fn filled(memory: &mut PagedMemory, page: u64, byte: u8) {
    memory.write(BASE + page * PAGE, &[byte; PAGE_BYTES]).expect("in range");
}

fn first_byte(memory: &mut PagedMemory, page: u64) -> u8 {
    let mut byte = [0];
    memory.read(BASE + page * PAGE, &mut byte).expect("in range");
    byte[0]
}

#[test]
fn untouched_memory_costs_nothing_and_reads_zero() {
    // An interpreter has smaller leaves, and more of them.
    let mut memory = PagedMemory::new(BASE, if cfg!(miri) { 1 << 20 } else { 64 << 20 });
    assert_eq!(first_byte(&mut memory, 77), 0);
    let a = memory.page_for_read(BASE).expect("in range");
    let b = memory.page_for_read(BASE + 9 * PAGE).expect("in range");
    assert_eq!(a, b);
    assert!(memory.own_bytes() < 4096);
}

#[test]
fn addresses_outside_memory_are_refused_whole() {
    let mut memory = PagedMemory::new(BASE, 2 * PAGE);
    assert!(memory.page_for_read(BASE - 1).is_none());
    assert!(memory.page_for_write(BASE + 2 * PAGE).is_none());
    assert!(memory.failure().is_none());
    assert!(memory.write(BASE + 2 * PAGE - 4, &[1; 8]).is_err());
    assert_eq!(first_byte(&mut memory, 1), 0);
    assert!(memory.read(u64::MAX - 1, &mut [0; 8]).is_err());
}

#[test]
fn a_fork_shares_until_written_and_is_small() {
    let (pages, len) = if cfg!(miri) { (200, 8 << 20) } else { (2000, 128 << 20) };
    let mut parent = PagedMemory::new(BASE, len);
    for page in 0..pages {
        filled(&mut parent, page, page as u8);
    }
    let mut child = parent.fork();
    assert!(child.own_bytes() < 100 << 10);
    filled(&mut parent, 3, 0xaa);
    filled(&mut child, 4, 0xbb);
    assert_eq!(first_byte(&mut child, 3), 3);
    assert_eq!(first_byte(&mut parent, 4), 4);
    assert_eq!(first_byte(&mut child, 4), 0xbb);
    drop(parent);
    assert_eq!(first_byte(&mut child, pages - 1), (pages - 1) as u8);
}

#[test]
fn pointers_lose_validity_with_the_generation() {
    let mut memory = PagedMemory::new(BASE, 1 << 20);
    let write = memory.page_for_write(BASE).expect("in range");
    let before = memory.generation();
    assert_eq!(memory.page_for_read(BASE), Some(write));
    assert_eq!(memory.page_for_write(BASE), Some(write));
    assert_eq!(memory.generation(), before, "an own page stays where it is");

    let zero = memory.page_for_read(BASE + PAGE).expect("in range");
    let own = memory.page_for_write(BASE + PAGE).expect("in range");
    assert_ne!(zero, own);
    assert_eq!(memory.generation(), before, "the caller knows which page it asked for");

    filled(&mut memory, 2, 1);
    assert_ne!(memory.generation(), before, "the host may have replaced a page");

    let _child = memory.fork();
    assert_ne!(memory.generation(), before);
    let before = memory.generation();
    memory.page_for_read(BASE).expect("in range");
    let moved = memory.page_for_write(BASE).expect("in range");
    assert_ne!(moved, write, "shared pages are copied");
    assert_eq!(memory.generation(), before);
}

#[test]
fn marks_tell_writes_apart() {
    let mut memory = PagedMemory::new(BASE, 8 << 20);
    filled(&mut memory, 1, 1);
    let first = memory.mark();
    filled(&mut memory, 2, 1);
    let second = memory.mark();
    filled(&mut memory, 300, 1);
    assert_eq!(memory.pages_since(first), [BASE + 2 * PAGE, BASE + 300 * PAGE]);
    assert_eq!(memory.pages_since(second), [BASE + 300 * PAGE]);
    let mut child = memory.fork();
    filled(&mut child, 5, 1);
    assert_eq!(child.pages_since(second), [BASE + 5 * PAGE, BASE + 300 * PAGE]);
    assert_eq!(memory.pages_since(second), [BASE + 300 * PAGE]);
}

#[test]
fn watched_pages_are_reported_when_the_host_writes() {
    let mut memory = PagedMemory::new(BASE, 1 << 20);
    memory.watch_page(BASE + PAGE, true);
    memory.write(BASE + PAGE - 2, &[1; 4]).expect("in range");
    assert_eq!(memory.take_touched_watched(), [BASE + PAGE]);
    memory.watch_page(BASE + PAGE, false);
    filled(&mut memory, 1, 2);
    assert!(memory.take_touched_watched().is_empty());
}

#[test]
fn touched_pages_are_recorded_on_request() {
    let mut memory = PagedMemory::new(BASE, 1 << 20);
    filled(&mut memory, 0, 1);
    memory.record_touched();
    memory.page_for_read(BASE + 2 * PAGE).expect("in range");
    memory.page_for_write(BASE + 4 * PAGE).expect("in range");
    assert_eq!(memory.take_touched(), [BASE + 2 * PAGE, BASE + 4 * PAGE]);
    assert!(memory.take_touched().is_empty());
}

#[derive(Debug, Clone)]
enum Act {
    Write { machine: usize, page: u64, byte: u8 },
    WriteThroughPointer { machine: usize, page: u64, byte: u8 },
    Fork { machine: usize },
    Close { machine: usize },
    Mark { machine: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..MOST_MEMORIES, 0..PAGES, any::<u8>())
            .prop_map(|(machine, page, byte)| Act::Write { machine, page, byte }),
        4 => (0..MOST_MEMORIES, 0..PAGES, any::<u8>())
            .prop_map(|(machine, page, byte)| Act::WriteThroughPointer { machine, page, byte }),
        1 => (0..MOST_MEMORIES).prop_map(|machine| Act::Fork { machine }),
        1 => (0..MOST_MEMORIES).prop_map(|machine| Act::Close { machine }),
        1 => (0..MOST_MEMORIES).prop_map(|machine| Act::Mark { machine }),
    ];
    proptest::collection::vec(act, 1..MOST_ACTS)
}

proptest! {
    #![proptest_config(crate::generated::cases(64))]

    /// Whatever the order of writes, forks and closes, every memory reads as if it were alone,
    /// its dirty pages are those written since its mark, and equal contents have equal digests.
    #[test]
    fn forked_memories_behave_as_copies(acts in acts()) {
        struct Model { memory: PagedMemory, bytes: Vec<u8>, mark: Mark, dirty: Vec<u64> }
        let mut memory = PagedMemory::new(BASE, PAGES * PAGE);
        let mark = memory.mark();
        let mut models = vec![Model { memory, bytes: vec![0; PAGES as usize], mark, dirty: Vec::new() }];
        for act in acts {
            let count = models.len();
            match act {
                Act::Write { machine, page, byte } => {
                    let model = &mut models[machine % count];
                    filled(&mut model.memory, page, byte);
                    model.bytes[page as usize] = byte;
                    model.dirty.push(BASE + page * PAGE);
                }
                Act::WriteThroughPointer { machine, page, byte } => {
                    let model = &mut models[machine % count];
                    let pointer = model.memory.page_for_write(BASE + page * PAGE).expect("in range");
                    // SAFETY: handed out for writing in this very generation.
                    unsafe { pointer.as_ptr().write_bytes(byte, PAGE_BYTES) };
                    model.bytes[page as usize] = byte;
                    model.dirty.push(BASE + page * PAGE);
                }
                Act::Fork { machine } if count < MOST_MEMORIES => {
                    let model = &mut models[machine % count];
                    let memory = model.memory.fork();
                    let (bytes, mark) = (model.bytes.clone(), model.mark);
                    let dirty = model.dirty.clone();
                    models.push(Model { memory, bytes, mark, dirty });
                }
                Act::Close { machine } if count > 1 => {
                    models.swap_remove(machine % count);
                }
                Act::Mark { machine } => {
                    let model = &mut models[machine % count];
                    model.mark = model.memory.mark();
                    model.dirty.clear();
                }
                Act::Fork { .. } | Act::Close { .. } => {}
            }
        }
        for model in &mut models {
            for page in 0..PAGES {
                prop_assert_eq!(first_byte(&mut model.memory, page), model.bytes[page as usize]);
            }
            model.dirty.sort_unstable();
            model.dirty.dedup();
            prop_assert_eq!(model.memory.pages_since(model.mark), model.dirty.clone());
            let incremental = model.memory.digest().expect("no image");
            let mut fresh = PagedMemory::new(BASE, PAGES * PAGE);
            for (page, byte) in model.bytes.iter().enumerate() {
                if *byte != 0 {
                    filled(&mut fresh, page as u64, *byte);
                }
            }
            prop_assert_eq!(incremental, fresh.digest().expect("no image"));
        }
    }
}

#[test]
fn the_digest_that_is_kept_up_to_date_is_that_of_the_content() {
    /// Paged memory that hashes everything each time, as other stores may.
    fn anew(memory: &PagedMemory) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for first in (0..memory.page_count()).step_by(LEAF_PAGES) {
            let mut hashes = blake3::Hasher::new();
            for page in first..first + LEAF_PAGES {
                let bytes = memory.page_bytes(page).expect("in memory");
                hashes.update(blake3::hash(bytes.unwrap_or(&[0; PAGE_BYTES])).as_bytes());
            }
            hasher.update(hashes.finalize().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
    let mut memory = PagedMemory::new(BASE, (2 * LEAF_PAGES as u64 + 3) * PAGE);
    let leaf = LEAF_PAGES as u64;
    for page in [0, leaf * 3 / 2, leaf * 2 + 2, 0] {
        assert_eq!(memory.digest(), Ok(anew(&memory)));
        filled(&mut memory, page, page as u8 + 1);
    }
    let fork: &mut dyn GuestMemory = &mut memory.fork();
    assert_eq!(fork.digest(), Ok(anew(&memory)));
}
