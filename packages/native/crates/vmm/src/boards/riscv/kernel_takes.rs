//! The memory that a Linux kernel for RISC-V takes besides its image, whatever the size of memory.
//!
//! * One with sparse memory (every one with NUMA, those of distributions) keeps a pointer for each
//!   page of sections that physical memory could ever have: 2^56 bytes in sections of 2^27, of which
//!   a page describes 256, or 128 where every section has page extensions.
//! * A kernel that protects its own code reserves whole pages of 2 MiB.
//!
//! The image's header has none of this, but it follows from the messages and parameters that the
//! kernel contains.
//!
//! Source: Linux, `arch/riscv/include/asm/sparsemem.h`, `arch/riscv/mm/init.c`, `mm/sparse.c`,
//! `include/linux/mmzone.h`, `init/main.c`.

/// The message of `sparse_init_nid` on failure.
const SPARSE_MEMORY: &[u8] = b"memory map backing failed. Some memory will not be available.";
/// The parameter of `page_ext.c`.
const PAGE_EXTENSIONS: &[u8] = b"\0early_page_ext\0";
/// The message of `mark_readonly` when protection is disabled.
const PROTECTION: &[u8] = b"Kernel memory protection disabled.";

const SECTIONS: u64 = 1 << (56 - 27);
const POINTER_BYTES: u64 = 8;
const PROTECTED_BYTES: u64 = 2 << 20;

/// Bytes that are taken, by the kernel's own bytes, beside an image that ends at `end`.
pub(super) fn kernel_takes(kernel: &[u8], end: u64) -> u64 {
    let holds = |text: &[u8]| kernel.windows(text.len()).any(|part| part == text);
    let rest = if holds(PROTECTION) { end.next_multiple_of(PROTECTED_BYTES) - end } else { 0 };
    if !holds(SPARSE_MEMORY) {
        return rest;
    }
    let sections_per_page = if holds(PAGE_EXTENSIONS) { 128 } else { 256 };
    rest + SECTIONS / sections_per_page * POINTER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_follows_from_what_the_kernel_is_built_with() {
        let end = (34 << 20) + 4096;
        let takes =
            |parts: &[&[u8]]| kernel_takes(&[b"MZ some code", &parts.concat()[..]].concat(), end);
        assert_eq!(takes(&[]), 0);
        assert_eq!(takes(&[PAGE_EXTENSIONS]), 0);
        assert_eq!(takes(&[PROTECTION]), (2 << 20) - 4096);
        assert_eq!(takes(&[b"3%s: node[%d] ", SPARSE_MEMORY]), 16 << 20);
        assert_eq!(takes(&[PAGE_EXTENSIONS, SPARSE_MEMORY]), 32 << 20);
        assert_eq!(takes(&[b"\0setup_early_page_ext\0", SPARSE_MEMORY]), 16 << 20);
        assert_eq!(takes(&[PAGE_EXTENSIONS, SPARSE_MEMORY, PROTECTION]), (34 << 20) - 4096);
    }
}
