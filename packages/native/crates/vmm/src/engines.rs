//! The engines that a program has, by name.

use std::fmt;
use std::sync::Arc;

use crate::board::PayloadForm;
use crate::engine::Engine;
use crate::loaders::Source;

/// The name for the best engine that this host can use.
pub const AUTO: &str = "auto";

/// Bytes of a kernel's file that its headers are in.
const HEAD_BYTES: usize = 4096;

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

/// No engine of that name, or none that this host can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("engine: expected one of {expected}, found {found:?}")]
pub struct EngineUnknown {
    /// The engines that there are, and why some cannot be used here.
    pub expected: String,
    /// The requested name.
    pub found: String,
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
    /// [`EngineUnknown`] with the names that there are.
    pub fn make(&self, name: &str) -> Result<Box<dyn Engine>, EngineUnknown> {
        let is_meant = |kind: &&EngineKind| name == AUTO || kind.name == name;
        let usable = self.0.iter().filter(is_meant).find(|kind| kind.usable().is_ok());
        usable.map(EngineKind::make).ok_or_else(|| EngineUnknown {
            expected: self.listed(),
            found: name.chars().take(80).collect(),
        })
    }

    /// The engine `name` for that kernel. [`AUTO`] is the first that this host can use among those whose board the kernel
    /// is for, as its headers say; for a payload that says nothing, the first that this host can use.
    ///
    /// # Errors
    /// [`EngineUnknown`] with the names that there are, and why those that the kernel is for cannot be used.
    pub fn make_for(
        &self,
        name: &str,
        kernel: &Source,
        form: PayloadForm,
    ) -> Result<Box<dyn Engine>, EngineUnknown> {
        if name != AUTO || form != PayloadForm::Recognised {
            return self.make(name);
        }
        let head = kernel.head(HEAD_BYTES);
        let fit: Vec<_> = self
            .0
            .iter()
            .filter_map(|kind| Some((kind, kind.make().board().kernel_here(&head)?)))
            .collect();
        let Some((_, what)) = fit.first() else { return self.make(AUTO) };
        let usable = fit.iter().find(|(kind, _)| kind.usable().is_ok());
        usable.map(|(kind, _)| kind.make()).ok_or_else(|| EngineUnknown {
            expected: listed(fit.iter().map(|(kind, _)| *kind)),
            found: format!("{AUTO} for {what}"),
        })
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

    #[test]
    fn an_engine_is_had_by_its_name_or_the_list_is_said() {
        let lacking = EngineKind::new(Fake::boxed, || Err("no /dev/kvm".to_owned()));
        let engines = Engines::new(vec![lacking.clone(), EngineKind::new(Fake::boxed, || Ok(()))]);
        assert_eq!(engines.make(AUTO).map(|engine| engine.name()), Ok("fake"));
        assert_eq!(engines.make("fake").map(|engine| engine.name()), Ok("fake"));
        let unknown = engines.make("kvm").map(|engine| engine.name()).expect_err("not there");
        assert_eq!(unknown.expected, "auto, fake (not here: no /dev/kvm), fake");
        assert!(Engines::new(vec![lacking.clone()]).make(AUTO).is_err());
        // A payload that does not say what it is for, and a name, are left to that.
        let payload = Source::Bytes(Vec::new().into());
        let of = |name| {
            let made = engines.make_for(name, &payload, PayloadForm::Recognised);
            made.map(|engine| engine.name())
        };
        assert_eq!((of(AUTO), of("kvm")), (Ok("fake"), Err(unknown)));
        let lacking = lacking.remarked(|| Some("slow".to_owned())).report();
        assert_eq!((lacking.is_usable, lacking.detail.as_deref()), (false, Some("no /dev/kvm")));
        let slow = EngineKind::new(Fake::boxed, || Ok(())).remarked(|| Some("slow".to_owned()));
        assert_eq!(slow.report().detail.as_deref(), Some("slow"));
    }
}
