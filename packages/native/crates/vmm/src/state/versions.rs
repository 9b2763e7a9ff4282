//! The versions that a saved state has had.

use super::StateError;

/// Converts the state of one version to the next.
pub type Upgrade = fn(&[u8]) -> Result<Vec<u8>, StateError>;

/// The versions of one kind of saved state: the first is 1, and each upgrade leads to the next.
///
/// ```
/// use stillpoint_vmm::state::StateVersions;
/// // Version 2 has a byte more than version 1: what it says was always false.
/// const SWITCH: StateVersions = StateVersions::new(&[|one| Ok([one, &[0]].concat())]);
/// assert_eq!(SWITCH.current(), 2);
/// assert_eq!(SWITCH.brought_up("switch", 1, &[7])?, [7, 0]);
/// assert_eq!(SWITCH.brought_up("switch", 2, &[7, 1])?, [7, 1]);
/// assert!(SWITCH.brought_up("switch", 3, &[7, 1]).is_err());
/// # Ok::<(), stillpoint_vmm::state::StateError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StateVersions {
    upgrades: &'static [Upgrade],
}

impl StateVersions {
    /// There has been one version.
    pub const FIRST: Self = Self::new(&[]);

    /// `upgrades[n]` makes version `n + 2` of version `n + 1`.
    pub const fn new(upgrades: &'static [Upgrade]) -> Self {
        Self { upgrades }
    }

    /// The version that this build writes.
    pub const fn current(&self) -> u32 {
        self.upgrades.len() as u32 + 1
    }

    /// The state of `what` in this build's version, from one of `version`.
    ///
    /// # Errors
    /// [`StateError`] if this build does not know the version, or the state is none of it.
    pub fn brought_up(
        &self,
        what: &str,
        version: u32,
        state: &[u8],
    ) -> Result<Vec<u8>, StateError> {
        if version == 0 || version > self.current() {
            return Err(StateError {
                expected: format!("{what}: version 1 to {}", self.current()),
                found: format!("version {version}, of a later build"),
            });
        }
        let upgrades = &self.upgrades[version as usize - 1..];
        upgrades.iter().try_fold(state.to_vec(), |state, upgrade| upgrade(&state))
    }
}
