//! Number of generated cases for a property of this crate.

use proptest::test_runner::Config;

fn asked(variable: &str) -> Option<u32> {
    std::env::var(variable).ok()?.parse().ok()
}

/// As many as usual; few where every instruction is interpreted, which is what Miri does.
pub(crate) fn cases(usual: u32) -> Config {
    let count = if cfg!(miri) { asked("STILLPOINT_MIRI_CASES").unwrap_or(1) } else { usual };
    Config::with_cases(count)
}

/// The same, where a run that takes its time asks for more: cases of hostile drivers.
pub(crate) fn hostile_cases(usual: u32) -> Config {
    cases(asked("STILLPOINT_HOSTILE_CASES").unwrap_or(usual))
}
