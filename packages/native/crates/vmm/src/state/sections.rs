//! A machine's saved state in parts, each with a name and a version.

use super::{StateError, StateReader, StateVersions, StateWriter};

/// Maximum number of parts of a saved state.
const MAX_SECTIONS: u32 = 256;
/// Longest name of a part.
const MAX_NAME_BYTES: usize = 256;

/// A part: whose state it is, in which version, and the state.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: String,
    version: u32,
    state: Vec<u8>,
}

/// Named states, each taken out once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sections(Vec<Section>);

impl Sections {
    /// Adds a state in its current version.
    pub(crate) fn push(&mut self, name: &str, versions: StateVersions, state: Vec<u8>) {
        self.push_version(name, versions.current(), state);
    }

    /// Adds a state of a version.
    pub(crate) fn push_version(&mut self, name: &str, version: u32, state: Vec<u8>) {
        self.0.push(Section { name: name.to_owned(), version, state });
    }

    /// Whether there is a state of that name.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.0.iter().any(|section| section.name == name)
    }

    /// Takes the state of that name out, converted to the current version.
    ///
    /// # Errors
    /// [`StateError`] if there is none, or this build cannot convert it.
    pub(crate) fn take(
        &mut self,
        name: &str,
        versions: StateVersions,
    ) -> Result<Vec<u8>, StateError> {
        let Some(at) = self.0.iter().position(|section| section.name == name) else {
            return Err(StateError {
                expected: format!("a state of {name}"),
                found: self.names().join(", "),
            });
        };
        let section = self.0.remove(at);
        versions.brought_up(name, section.version, &section.state)
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// [`StateError`] if states are left over.
    pub(crate) fn finish(self) -> Result<(), StateError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let expected = "the states of the machine's parts".to_owned();
        Err(StateError { expected, found: self.names().join(", ") })
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|section| section.name.chars().take(MAX_NAME_BYTES).collect()).collect()
    }

    /// Appends the states: their number, then name, version and state of each.
    pub(crate) fn encode(&self, writer: &mut StateWriter) {
        writer.u32(self.0.len() as u32);
        for Section { name, version, state } in &self.0 {
            writer.bytes(name.as_bytes()).u32(*version).bytes(state);
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// [`StateError`] if it is not there.
    pub(crate) fn decode(reader: &mut StateReader<'_>) -> Result<Self, StateError> {
        let count = reader.u32()?;
        if count > MAX_SECTIONS {
            return Err(reader.refuse(format!("at most {MAX_SECTIONS} states"), count.to_string()));
        }
        let mut sections = Self::default();
        for _ in 0..count {
            let name = String::from_utf8_lossy(reader.bytes(MAX_NAME_BYTES)?).into_owned();
            let version = reader.u32()?;
            let state = reader.bytes(usize::MAX)?.to_vec();
            sections.push_version(&name, version, state);
        }
        Ok(sections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_taken_once_and_by_its_name() {
        let mut sections = Sections::default();
        sections.push("a", StateVersions::FIRST, vec![1]);
        sections.push_version("b", 9, vec![2]);
        let mut writer = StateWriter::new();
        sections.encode(&mut writer);
        let bytes = writer.finish();
        let mut reader = StateReader::new("states", &bytes);
        let mut read = Sections::decode(&mut reader).expect("as written");
        assert_eq!(read, sections);
        assert_eq!(read.take("a", StateVersions::FIRST), Ok(vec![1]));
        assert!(read.clone().take("a", StateVersions::FIRST).is_err());
        assert!(read.clone().finish().is_err(), "b is left over");
        let later = read.take("b", StateVersions::FIRST).expect_err("a later version");
        assert!(later.to_string().contains("version 9"), "{later}");
        assert_eq!(read.finish(), Ok(()));
    }
}
