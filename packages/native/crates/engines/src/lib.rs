//! The engines of this program: the one place where they are listed.
//!
//! ```
//! use stillpoint_engines::engines;
//! let names: Vec<_> = engines().kinds().iter().map(|kind| kind.name()).collect();
//! assert_eq!(names, ["soft"]);
//! assert!(engines().make("auto").is_ok());
//! ```

use std::sync::LazyLock;

use stillpoint_soft::Soft;
use stillpoint_vmm::engines::{EngineKind, Engines};

/// Every engine that machines can name, the best first.
pub fn engines() -> &'static Engines {
    static ENGINES: LazyLock<Engines> =
        LazyLock::new(|| Engines::new(vec![EngineKind::new(|| Box::new(Soft::new()), || Ok(()))]));
    &ENGINES
}
