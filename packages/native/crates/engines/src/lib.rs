//! The engines of this program: the one place where they are listed.
//!
//! ```
//! use stillpoint_engines::engines;
//! let names: Vec<_> = engines().kinds().iter().map(|kind| kind.name()).collect();
//! assert_eq!(names[0], "soft");
//! assert_eq!(engines().make("auto")?.name(), "soft");
//! # Ok::<(), stillpoint_vmm::engines::EngineRefused>(())
//! ```

use std::sync::LazyLock;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use stillpoint_kvm::Kvm;
use stillpoint_soft::Soft;
use stillpoint_vmm::engines::{EngineKind, Engines};

/// Every engine that machines can name, first the one that is taken for payloads that do not say what they are for.
pub fn engines() -> &'static Engines {
    static ENGINES: LazyLock<Engines> = LazyLock::new(|| {
        let kinds = vec![EngineKind::new(|| Box::new(Soft::new()), || Ok(()))];
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        let kinds = {
            let kvm = EngineKind::new(|| Box::new(Kvm::new()), stillpoint_kvm::usable);
            [kinds, vec![kvm.remarked(stillpoint_kvm::remark)]].concat()
        };
        Engines::new(kinds)
    });
    &ENGINES
}
