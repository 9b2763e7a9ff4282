//! Guest memory when the host has none left. In a process of its own: the limit is the process's.

use stillpoint_vmm::disks::{Access, Disk, DiskSpec};
use stillpoint_vmm::memory::{
    MemoryError, PAGE_BYTES, PagedMemory, in_use_bytes, limit_bytes, set_limit_bytes,
};

const PAGE: u64 = PAGE_BYTES as u64;
const LIMIT_PAGES: u64 = 1000;

#[test]
fn at_the_limit_writes_fail_with_the_limit_and_what_is_closed_is_given_back() {
    assert!(limit_bytes() > 1 << 20, "the default follows the host's memory");
    set_limit_bytes(LIMIT_PAGES * PAGE);
    let mut parent = PagedMemory::new(0, 400 * PAGE);
    for page in 0..400 {
        parent.write(page * PAGE, &[1]).expect("within the limit");
    }
    let mut forks: Vec<_> = (0..4000).map(|_| parent.fork()).collect();
    assert_eq!(in_use_bytes(), 400 * PAGE, "forks cost no page");

    let failed = forks.iter_mut().position(|fork| fork.page_for_write(0).is_none());
    assert_eq!(failed, Some(600));
    let failed = &mut forks[600];
    assert_eq!(failed.failure(), Some(&MemoryError::Exhausted { limit_bytes: 1000 * PAGE }));
    assert!(failed.poke(PAGE, &[2]).is_err());
    let mut byte = [0];
    failed.peek(PAGE, &mut byte).expect("reading needs no page");
    assert_eq!(byte, [1]);

    drop(forks);
    assert_eq!(in_use_bytes(), 400 * PAGE);
    parent.write(0, &[3]).expect("there is room again");
    drop(parent);
    assert_eq!(in_use_bytes(), 0);

    for _ in 0..5000 {
        let mut memory = PagedMemory::new(0, 64 << 20);
        memory.write(33 << 20, &[1; 9000]).expect("within the limit");
        memory.fork().write(0, &[1]).expect("within the limit");
    }
    assert_eq!(in_use_bytes(), 0, "thousands of machines leave nothing behind");

    // A disk's pages are of the same kind: what does not fit fails, and nothing else does.
    let size_bytes = Some(2 * LIMIT_PAGES * PAGE);
    let spec =
        DiskSpec { name: "data".to_owned(), source: None, access: Access::Scratch, size_bytes };
    let mut disk = Disk::open(&spec).expect("costs no page");
    disk.write(0, &[7; 2 * PAGE_BYTES]).expect("within the limit");
    let full = disk.write(4 * PAGE, &vec![1; (LIMIT_PAGES * PAGE) as usize]).expect_err("too much");
    assert_eq!(full.fault.name(), "MemoryExhausted");
    assert_eq!(full.done, (LIMIT_PAGES - 2) * PAGE, "what there was room for was written");
    let mut done = vec![0; full.done as usize + PAGE_BYTES];
    disk.read(4 * PAGE, &mut done).expect("reading needs no page");
    let (done, rest) = done.split_at(full.done as usize);
    assert!(done.iter().all(|byte| *byte == 1) && rest.iter().all(|byte| *byte == 0));
    let mut bytes = [0; 3 * PAGE_BYTES];
    disk.read(0, &mut bytes).expect("reading needs no page");
    assert!(
        bytes[..2 * PAGE_BYTES] == [7; 2 * PAGE_BYTES]
            && bytes[2 * PAGE_BYTES..] == [0; PAGE_BYTES]
    );
    disk.zero(4 * PAGE, LIMIT_PAGES * PAGE, true).expect("costs no page");
    assert_eq!(in_use_bytes(), 2 * PAGE, "what is discarded is room again");
    disk.write(9 * PAGE, &[8; PAGE_BYTES]).expect("there is room again");
    drop(disk);
    assert_eq!(in_use_bytes(), 0);
}
