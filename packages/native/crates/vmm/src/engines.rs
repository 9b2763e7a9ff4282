//! The engines that a program has, by name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::board::PayloadForm;
use crate::engine::Engine;
use crate::loaders::Source;

/// The name for the best engine that this host can use.
pub const AUTO: &str = "auto";

/// Bytes of a kernel's file that its headers are in.
const HEAD_BYTES: usize = 4096;

/// Why an engine is had.
const BY_NAME: &str = "asked for by name";
const WITHOUT_HEADERS: &str = "the payload does not say what it is for, and this is the first one";

type Make = dyn Fn() -> Box<dyn Engine> + Send + Sync;

/// An engine that machines can ask for.
#[derive(Clone)]
pub struct EngineKind {
    name: String,
    make: Arc<Make>,
    usable: fn() -> Result<(), String>,
    remark: fn() -> Option<String>,
}

/// A report about an engine on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineReport {
    /// Its name.
    pub name: String,
    /// Name of the board that it has.
    pub board: String,
    /// Whether this host can use it.
    pub is_usable: bool,
    /// Why it cannot, or a remark if it can.
    pub detail: Option<String>,
}

impl EngineKind {
    /// The engine that `make` makes. `usable` says why this host cannot use it.
    pub fn new(
        make: impl Fn() -> Box<dyn Engine> + Send + Sync + 'static,
        usable: fn() -> Result<(), String>,
    ) -> Self {
        Self { name: make().name().to_owned(), make: Arc::new(make), usable, remark: || None }
    }

    /// The same, with a remark for hosts that can use it.
    #[must_use]
    pub fn remarked(self, remark: fn() -> Option<String>) -> Self {
        Self { remark, ..self }
    }

    /// Its report on this host.
    pub fn report(&self) -> EngineReport {
        let (is_usable, detail) = match self.usable() {
            Ok(()) => (true, (self.remark)()),
            Err(why) => (false, Some(why)),
        };
        let board = self.make().board().name().to_owned();
        EngineReport { name: self.name.clone(), board, is_usable, detail }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One at its reset state.
    pub fn make(&self) -> Box<dyn Engine> {
        (self.make)()
    }

    /// Whether this host can use it.
    ///
    /// # Errors
    /// The reason, if it cannot.
    pub fn usable(&self) -> Result<(), String> {
        (self.usable)()
    }
}

impl fmt::Debug for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why a machine has the engine that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineChoice {
    /// What was asked for: a name, or [`AUTO`].
    pub requested: String,
    /// Why it is this engine.
    pub reason: String,
}

/// An engine that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineRefused {
    /// No engine has that name.
    #[error("engine: expected one of {expected}, found {found:?}")]
    EngineUnknown {
        /// The engines that there are, and why some cannot be used here.
        expected: String,
        /// The requested name.
        found: String,
    },
    /// This host cannot use it.
    #[error("engine {engine}, {wanted}: expected a host that can use it, found {found}; {remedy}")]
    EngineUnusable {
        /// Its name.
        engine: String,
        /// Why it was to be that one.
        wanted: String,
        /// What is missing.
        found: String,
        /// What to do.
        remedy: String,
    },
}

impl EngineRefused {
    /// The variant's name, the same on every side.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EngineUnknown { .. } => "EngineUnknown",
            Self::EngineUnusable { .. } => "EngineUnusable",
        }
    }
}

/// The engines of a program, the best first.
#[derive(Debug, Clone, Default)]
pub struct Engines(Vec<EngineKind>);

impl Engines {
    /// These engines, the best first.
    pub fn new(kinds: Vec<EngineKind>) -> Self {
        Self(kinds)
    }

    /// One engine, which every host can use.
    pub fn only(make: impl Fn() -> Box<dyn Engine> + Send + Sync + 'static) -> Self {
        Self(vec![EngineKind::new(make, || Ok(()))])
    }

    /// All of them, usable here or not.
    pub fn kinds(&self) -> &[EngineKind] {
        &self.0
    }

    /// An engine of that name; [`AUTO`] is the first that this host can use.
    ///
    /// # Errors
    /// [`EngineRefused`] with the names that there are, or with what this host lacks.
    pub fn make(&self, name: &str) -> Result<Box<dyn Engine>, EngineRefused> {
        self.named(name).map(|(kind, _)| kind.make())
    }

    fn named(&self, name: &str) -> Result<(&EngineKind, String), EngineRefused> {
        if name == AUTO {
            let usable = self.0.iter().find(|kind| kind.usable().is_ok());
            let unknown = || self.unknown(name);
            return usable.map(|kind| (kind, WITHOUT_HEADERS.to_owned())).ok_or_else(unknown);
        }
        let of_that_name: Vec<_> = self.0.iter().filter(|kind| kind.name == name).collect();
        if of_that_name.is_empty() {
            return Err(self.unknown(name));
        }
        self.usable_of(&of_that_name, BY_NAME).map(|kind| (kind, BY_NAME.to_owned()))
    }

    /// The engine `name` for that kernel, and why it is that one. [`AUTO`] is the first that this host can use among those
    /// whose board the kernel is for, as its headers say; for a payload that says nothing, the first that this host can use.
    ///
    /// # Errors
    /// [`EngineRefused`] with the names that there are, or with what this host lacks for the one that the kernel is for.
    pub fn make_for(
        &self,
        name: &str,
        kernel: &Source,
        form: PayloadForm,
    ) -> Result<(Box<dyn Engine>, EngineChoice), EngineRefused> {
        let (kind, reason) = self.choose(name, kernel, form)?;
        Ok((kind.make(), EngineChoice { requested: name.to_owned(), reason }))
    }

    fn choose(
        &self,
        name: &str,
        kernel: &Source,
        form: PayloadForm,
    ) -> Result<(&EngineKind, String), EngineRefused> {
        if name != AUTO || form != PayloadForm::Recognised {
            return self.named(name);
        }
        let head = kernel.head(HEAD_BYTES);
        let board_of = |kind: &EngineKind| kind.make().board().kernel_here(&head);
        let fit: Vec<_> = self.0.iter().filter_map(|kind| Some((kind, board_of(kind)?))).collect();
        let Some((_, what)) = fit.first() else { return self.named(AUTO) };
        let kinds: Vec<_> = fit.iter().map(|(kind, _)| *kind).collect();
        let reason = format!("the kernel is {what}");
        self.usable_of(&kinds, &format!("which runs {what}")).map(|kind| (kind, reason))
    }

    /// The first of them that this host can use.
    fn usable_of<'a>(
        &self,
        kinds: &[&'a EngineKind],
        wanted: &str,
    ) -> Result<&'a EngineKind, EngineRefused> {
        let mut refused = None;
        for kind in kinds {
            let Err(found) = kind.usable() else { return Ok(kind) };
            refused.get_or_insert_with(|| EngineRefused::EngineUnusable {
                engine: kind.name.clone(),
                wanted: wanted.to_owned(),
                found,
                remedy: self.instead_of(kind),
            });
        }
        Err(refused.unwrap_or_else(|| self.unknown("")))
    }

    fn instead_of(&self, kind: &EngineKind) -> String {
        let others =
            self.0.iter().filter(|other| other.name != kind.name && other.usable().is_ok());
        let named =
            others.map(|other| format!("{} (board {})", other.name, other.make().board().name()));
        let named = named.collect::<Vec<_>>().join(", ");
        if named.is_empty() {
            return "use a host that has it".to_owned();
        }
        format!("use a host that has it, or what runs on {named}")
    }

    fn unknown(&self, name: &str) -> EngineRefused {
        EngineRefused::EngineUnknown {
            expected: self.listed(),
            found: name.chars().take(80).collect(),
        }
    }

    /// What an engine that was refused should have been.
    pub(crate) fn expected(&self, refused: &EngineRefused) -> String {
        match refused {
            EngineRefused::EngineUnknown { expected, .. } => expected.clone(),
            EngineRefused::EngineUnusable { .. } => self.listed(),
        }
    }

    fn listed(&self) -> String {
        format!("{AUTO}, {}", listed(self.0.iter()))
    }
}

fn listed<'a>(kinds: impl Iterator<Item = &'a EngineKind>) -> String {
    let described = kinds.map(|kind| match kind.usable() {
        Ok(()) => kind.name.clone(),
        Err(why) => format!("{} (not here: {why})", kind.name),
    });
    described.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::fake::Fake;

    fn lacking() -> EngineKind {
        EngineKind::new(Fake::boxed, || Err("no /dev/kvm".to_owned()))
    }

    #[test]
    fn an_engine_is_had_by_its_name_or_the_list_is_said() {
        let engines = Engines::new(vec![lacking(), EngineKind::new(Fake::boxed, || Ok(()))]);
        assert_eq!(engines.make(AUTO).map(|engine| engine.name()), Ok("fake"));
        assert_eq!(engines.make("fake").map(|engine| engine.name()), Ok("fake"));
        let unknown = engines.make("kvm").map(|engine| engine.name()).expect_err("not there");
        let expected = "auto, fake (not here: no /dev/kvm), fake".to_owned();
        assert_eq!(unknown, EngineRefused::EngineUnknown { expected, found: "kvm".to_owned() });
        assert!(Engines::new(vec![lacking()]).make(AUTO).is_err());
        // A payload that does not say what it is for, and a name, are left to that.
        let payload = Source::Bytes(Vec::new().into());
        let of = |name| {
            let made = engines.make_for(name, &payload, PayloadForm::Recognised);
            made.map(|(engine, choice)| (engine.name(), choice.requested, choice.reason))
        };
        let auto = ("fake", AUTO.to_owned(), WITHOUT_HEADERS.to_owned());
        let named = ("fake", "fake".to_owned(), BY_NAME.to_owned());
        assert_eq!((of(AUTO), of("fake"), of("kvm")), (Ok(auto), Ok(named), Err(unknown)));
        let lacking = lacking().remarked(|| Some("slow".to_owned())).report();
        assert_eq!((lacking.is_usable, lacking.detail.as_deref()), (false, Some("no /dev/kvm")));
        let slow = EngineKind::new(Fake::boxed, || Ok(())).remarked(|| Some("slow".to_owned()));
        assert_eq!(slow.report().detail.as_deref(), Some("slow"));
    }

    #[test]
    fn an_engine_that_this_host_cannot_use_is_refused_with_what_it_lacks_and_what_to_do() {
        let refused = Engines::new(vec![lacking()]).make("fake").map(|engine| engine.name());
        let refused = refused.expect_err("cannot be used");
        assert_eq!(refused.name(), "EngineUnusable");
        let text = refused.to_string();
        for part in ["engine fake, asked for by name", "no /dev/kvm", "use a host that has it"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
