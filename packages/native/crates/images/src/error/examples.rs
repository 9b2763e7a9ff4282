//! One error of every kind, for tests of the code that transports them.

use super::ImageError;

/// An example for each variant. Does not compile when a variant has none.
macro_rules! one_of_each {
    ($($variant:ident { $($field:ident: $value:expr),* }),* $(,)?) => {{
        fn complete(error: &ImageError) {
            match error {
                $(ImageError::$variant { .. } => (),)*
            }
        }
        let examples = vec![$(ImageError::$variant { $($field: $value),* }),*];
        examples.iter().for_each(complete);
        examples
    }};
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// One error of every kind.
pub fn examples() -> Vec<ImageError> {
    let digest = || format!("sha256:{}", "0".repeat(64));
    one_of_each![
        ReferenceInvalid { expected: "a reference", found: text("redis") },
        OptionInvalid {
            option: text("platform"),
            expected: "OS/ARCHITECTURE",
            found: text("riscv")
        },
        SourceUnreadable { path: text("layout"), reason: text("not found") },
        SourceInvalid {
            path: text("layout"),
            expected: text("a layout"),
            found: text("no index.json")
        },
        ImageUnknown { place: text("layout"), expected: text("\"v1\""), found: text("\"v2\"") },
        PlatformMissing { expected: text("linux/riscv64"), found: text("linux/amd64") },
        BlobMissing { place: text("layout"), digest: digest() },
        BlobSizeWrong { digest: digest(), expected: 2, found: text("1") },
        BlobDigestWrong { expected: digest(), found: digest() },
        DiffIdWrong { layer: 0, expected: digest(), found: digest() },
        DocumentInvalid { what: text("manifest"), expected: text("layers"), found: text("none") },
        DocumentTooLarge { what: text("manifest"), most: 1, found: text("2 bytes") },
        MediaTypeUnknown {
            what: text("layer"),
            expected: "of a tar archive",
            found: text("text/html")
        },
        SchemaOne { what: text("manifest") },
        ForeignLayer { digest: digest(), media_type: text("foreign") },
        LayerCorrupt { layer: 0, offset: 512, expected: text("a header"), found: text("its end") },
        EntryRefused {
            layer: 0,
            path: text("../x"),
            expected: text("a path in the root"),
            found: text("..")
        },
        LimitExceeded { what: text("entries"), limit: "entries", most: 1, found: 2 },
        RegistryUnreachable {
            url: text("https://registry.test/v2/"),
            reason: text("connection refused")
        },
        RegistryRefused {
            url: text("https://registry.test/v2/"),
            status: 403,
            detail: text(": no")
        },
        RegistryInvalid {
            url: text("https://registry.test/v2/"),
            expected: text("a token"),
            found: text("none")
        },
        Unauthorized { registry: text("registry.test"), reason: text("no credentials for it") },
        CredentialsUnusable { source_name: text("config.json"), reason: text("no JSON") },
        Insecure { url: text("http://registry.test/") },
        TimedOut { what: text("https://registry.test/v2/"), after_millis: 30_000 },
        CacheUnusable { path: text("cache"), reason: text("permission denied") },
        DiskFull { path: text("cache") },
        CacheFull { most: 1, needed: 2, held: 0 },
        Cancelled {},
        Panicked { message: text("index out of bounds") },
    ]
}
