//! Counts for tools: where instructions execute, and what keeps them from executing as host code.
//! Not state: a guest cannot tell, and nothing depends on them.

/// Counts since the engine was made or loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Profile {
    /// Ticks in translated code, single instructions of the interpreter's included.
    pub translated_ticks: u64,
    /// Instructions in blocks that were decoded.
    pub decoded: u64,
    /// Instructions in units that were translated.
    pub translated: u64,
    /// Pages of which another machine had translated code when this one came to execute there.
    pub adopted: u64,
    /// Times translated code was entered from outside.
    pub entered: u64,
    /// Times it was left for a jump that was not linked yet or whose page had no fast translation.
    pub left_links: u64,
    /// Times it was left for a jump through a register.
    pub left_indirect: u64,
    /// Times it was left because a single instruction did.
    pub left_singles: u64,
    /// Instructions that translated code handed to the interpreter.
    pub singles: u64,
    /// Times the run loop looked the next block up.
    pub lookups: u64,
    /// Data accesses that found no fast translation.
    pub data_misses: u64,
    /// Walks of the page tables.
    pub walks: u64,
    /// Times all fast translations were dropped.
    pub forgotten: u64,
    /// Fences for one address.
    pub fences: u64,
    /// Blocks that died because their bytes were written.
    pub killed: u64,
}
