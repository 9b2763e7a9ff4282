//! Estimates whether a guest's kernel can unpack an initial RAM file system.
//!
//! ```text
//! "070701" or "070702" │ 13 numbers of 8 hexadecimal digits │ name, NUL, padded to 4 │ content, padded to 4
//! ```
//! The kernel unpacks it into a file system that may take half of the pages that are free when it is
//! mounted, and has as many inodes as pages. The kernel silently leaves out files that do not fit and
//! continues, so an archive that cannot fit is refused here. The bound is a lower one: a kernel takes more
//! memory than its image says, and only what is certain is counted. A root that fits is never refused, and
//! the memory that a refusal names is enough; the guest's kernel reports all other cases.
//!
//! Source: Linux, `driver-api/early-userspace/buffer-format.rst`, `init/initramfs.c`, `mm/shmem.c`.

use super::LoadError;
use crate::memory::PAGE_BYTES;

const HEADER_BYTES: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";
const FORMAT_MASK: u64 = 0o170_000;
const REGULAR: u64 = 0o100_000;
const SYMBOLIC_LINK: u64 = 0o120_000;
/// Shorter targets of links lie in the inode.
const LINK_BYTES_IN_INODE: u64 = 128;
const PAGE: u64 = PAGE_BYTES as u64;
/// Of each page of memory the kernel keeps a description, a 64th of it.
const MEMORY_PER_DESCRIPTION: u64 = 64;
const MEBIBYTE: u64 = 1 << 20;
/// Maximum memory that a kernel takes before it unpacks and that cannot be determined: this, and a 64th of
/// the memory. It never causes a refusal, but the memory that a refusal names includes it.
const MOST_UNSEEN_BYTES: u64 = 6 * MEBIBYTE;
/// A kernel is not believed to take more than this beside its image.
const MOST_MORE_BYTES: u64 = 64 * MEBIBYTE;

/// The minimum that unpacking an archive takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Needs {
    pages: u64,
    inodes: u64,
}

/// Refuses an initial RAM file system whose files cannot all be unpacked by a kernel of `kernel_bytes`,
/// which takes `more_bytes` at its start, in a machine of `memory_bytes`. Compressed archives are accepted.
///
/// # Errors
/// [`LoadError::RootTooLarge`], with the memory that is needed.
pub fn check_unpacks(
    archive: &[u8],
    kernel_bytes: u64,
    more_bytes: impl Fn() -> u64,
    memory_bytes: u64,
    command_line: &str,
) -> Result<(), LoadError> {
    if is_unlimited(command_line) {
        return Ok(());
    }
    let Needs { pages, inodes } = needs(archive);
    let half = pages.max(inodes).saturating_mul(PAGE);
    let taken = kernel_bytes.saturating_add(archive.len() as u64);
    let free = memory_bytes - memory_bytes / MEMORY_PER_DESCRIPTION;
    let needed = half.saturating_mul(2).saturating_add(taken);
    // The kernel's further needs are looked up only if they could matter.
    if needed.saturating_add(MOST_MORE_BYTES) <= free {
        return Ok(());
    }
    let needed = needed.saturating_add(more_bytes().min(MOST_MORE_BYTES));
    if needed <= free {
        return Ok(());
    }
    let enough = needed.saturating_add(MOST_UNSEEN_BYTES);
    let with_descriptions = enough / (MEMORY_PER_DESCRIPTION - 2) * MEMORY_PER_DESCRIPTION;
    Err(LoadError::RootTooLarge {
        expected: with_descriptions / MEBIBYTE + 1,
        found: memory_bytes / MEBIBYTE,
        bytes: pages.saturating_mul(PAGE),
        files: inodes,
    })
}

/// Whether the kernel unpacks into a file system without a limit, because it has another root.
fn is_unlimited(command_line: &str) -> bool {
    let value =
        |name: &str| command_line.split_whitespace().rev().find_map(|word| word.strip_prefix(name));
    match value("rootfstype=") {
        Some(kinds) => !kinds.contains("tmpfs"),
        None => value("root=").is_some(),
    }
}

fn needs(archive: &[u8]) -> Needs {
    let mut needs = Needs::default();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + HEADER_BYTES) {
        if header[0] == 0 {
            // Between archives that follow one another.
            at += 4;
            continue;
        }
        let number = |index: usize| hexadecimal(&header[6 + 8 * index..14 + 8 * index]);
        let is_known = header.starts_with(b"070701") || header.starts_with(b"070702");
        let (true, Some(mode), Some(size), Some(name_bytes)) =
            (is_known, number(1), number(6), number(11))
        else {
            break;
        };
        let name_at = at + HEADER_BYTES;
        let Some(name) = archive.get(name_at..name_at.saturating_add(name_bytes as usize)) else {
            break;
        };
        if !name.starts_with(TRAILER) {
            needs.inodes += 1;
            needs.pages += match mode & FORMAT_MASK {
                REGULAR => size.div_ceil(PAGE),
                SYMBOLIC_LINK if size >= LINK_BYTES_IN_INODE => 1,
                _ => 0,
            };
        }
        // Numbers of 32 bits: nothing here overflows.
        let content_at = (name_at + name_bytes as usize).next_multiple_of(4);
        at = (content_at + size as usize).next_multiple_of(4);
    }
    needs
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(mode: u64, name: &str, content: &[u8]) -> Vec<u8> {
        let fields =
            [1, mode, 0, 0, 1, 0, content.len() as u64, 0, 0, 0, 0, name.len() as u64 + 1, 0];
        let mut bytes = b"070701".to_vec();
        bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.extend(entry(0, "TRAILER!!!", &[]));
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn what_an_archive_needs_is_counted_in_pages_and_inodes() {
        let one = archive(&[
            entry(0o040_755, "d", &[]),
            entry(0o100_644, "d/empty", &[]),
            entry(0o100_644, "d/page", &[1; 4096]),
            entry(0o100_644, "d/more", &[1; 4097]),
            entry(0o120_777, "short", b"d"),
            entry(0o120_777, "long", &[b'x'; 200]),
        ]);
        assert_eq!(needs(&one), Needs { pages: 4, inodes: 6 });
        assert_eq!(needs(&[one.clone(), one.clone()].concat()), Needs { pages: 8, inodes: 12 });
        assert_eq!(needs(b"\x1f\x8bcompressed"), Needs::default());
    }

    #[test]
    fn a_root_that_cannot_fit_is_refused_with_what_is_needed() {
        let large = archive(&[entry(0o100_644, "f", &vec![1; 40 << 20])]);
        let many = archive(&vec![entry(0o100_644, "f", &[]); 12_000]);
        for (root, more) in [(&large, 0), (&many, 0), (&large, 32 << 20)] {
            let check = |memory_mib: u64, command_line: &str| {
                check_unpacks(root, 30 << 20, || more, memory_mib << 20, command_line)
            };
            let refused = check(100, "console=ttyS0");
            let Err(LoadError::RootTooLarge { expected, found: 100, .. }) = refused else {
                panic!("expected a refusal, found {refused:?}");
            };
            check(expected, "").expect("what is said to be enough");
            let unseen = MOST_UNSEEN_BYTES / MEBIBYTE + expected / MEMORY_PER_DESCRIPTION;
            check(expected - unseen - 3, "").expect_err("much less is not");
            // A root of its own: the kernel then unpacks without a limit.
            check(100, "root=/dev/vda").expect("no limit");
            check(100, "rootfstype=ramfs").expect("no limit");
            check(100, "root=/dev/vda rootfstype=tmpfs").expect_err("limit");
        }
    }

    #[test]
    fn what_more_a_kernel_takes_is_asked_only_where_it_matters() {
        let root = archive(&[entry(0o100_644, "f", &[1; 4096])]);
        check_unpacks(&root, 30 << 20, || panic!("asked"), 256 << 20, "").expect("there is room");
    }

    proptest! {
        #[test]
        fn no_bytes_are_read_beyond_an_archive(
            head in prop::collection::vec(any::<u8>(), 0..300),
            sizes in prop::collection::vec(any::<u32>(), 13),
        ) {
            needs(&head);
            let mut bytes = b"070701".to_vec();
            bytes.extend(sizes.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
            bytes.extend(&head);
            needs(&bytes);
        }
    }
}
