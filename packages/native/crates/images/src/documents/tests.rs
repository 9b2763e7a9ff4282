use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn descriptor(media_type: &str) -> String {
    let digest = Digest::sha256(b"");
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":0}}"#)
}

#[test]
fn a_document_that_is_announced_as_another_is_refused() {
    let config = descriptor("application/vnd.oci.image.config.v1+json");
    let manifest =
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[]}}"#);
    let read =
        |said, text: &str| read_document("it", said, text.as_bytes()).map_err(|error| error.name());
    assert!(matches!(read(Some(MANIFEST), &manifest), Ok(Document::Manifest(_))));
    assert!(matches!(read(None, &manifest), Ok(Document::Manifest(_))));
    assert_eq!(read(Some(INDEX), &manifest).err(), Some("DocumentInvalid"));
    let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
    assert_eq!(read(None, &both).err(), Some("DocumentInvalid"));
    assert_eq!(
        read(Some(INDEX), r#"{"schemaVersion":2,"config":{},"layers":[]}"#).err(),
        Some("DocumentInvalid")
    );
    assert_eq!(read(None, "{").err(), Some("DocumentInvalid"));
    assert_eq!(read(None, r#"{"schemaVersion":1,"fsLayers":[]}"#).err(), Some("SchemaOne"));
    assert_eq!(read(Some("text/html"), "{}").err(), Some("MediaTypeUnknown"));
}

#[test]
fn layers_of_other_kinds_are_refused_by_name() {
    let of = |media_type: &str| {
        let text =
            format!(r#"{{"config":{},"layers":[{}]}}"#, descriptor("x"), descriptor(media_type));
        let manifest: Manifest = parse("it", text.as_bytes()).expect("a manifest");
        manifest.layer_kinds().map_err(|error| error.name())
    };
    assert_eq!(
        of("application/vnd.oci.image.layer.v1.tar+zstd"),
        Ok(vec![LayerKind::Archive(Compression::Zstd)])
    );
    assert_eq!(
        of("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        Err("ForeignLayer")
    );
    assert_eq!(
        of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        Err("ForeignLayer")
    );
    assert_eq!(of("application/octet-stream"), Err("MediaTypeUnknown"));
    assert_eq!(of(""), Err("MediaTypeUnknown"));
}

#[test]
fn the_error_names_the_platforms_that_there_are() {
    let entry = |os: &str, architecture: &str| {
        let digest = Digest::sha256(architecture.as_bytes());
        format!(
            r#"{{"digest":"{digest}","size":1,"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#
        )
    };
    let text = format!(
        r#"{{"manifests":[{},{},{}]}}"#,
        entry("linux", "amd64"),
        entry("linux", "arm64"),
        entry("unknown", "unknown")
    );
    let index: Index = parse("it", text.as_bytes()).expect("an index");
    assert_eq!(
        index.choose(&Platform::default()).map_err(|error| error.to_string()).err().as_deref(),
        Some(
            "expected an image for linux/riscv64, found one for linux/amd64, linux/arm64; \
             ask for one of those, or take an image that has linux/riscv64"
        )
    );
    let amd64 = "linux/amd64".parse().expect("a platform");
    assert_eq!(
        index.choose(&amd64).map(|found| found.digest.clone()),
        Ok(Digest::sha256(b"amd64"))
    );
}

#[test]
fn an_image_without_a_platform_may_stand_there_more_than_once_but_only_alone() {
    let entry =
        |name: &str| format!(r#"{{"digest":"{}","size":1}}"#, Digest::sha256(name.as_bytes()));
    let chosen = |names: &[&str]| {
        let entries: Vec<String> = names.iter().map(|name| entry(name)).collect();
        let text = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
        let index: Index = parse("it", text.as_bytes()).expect("an index");
        index.choose(&Platform::default()).map(|found| found.digest.clone()).ok()
    };
    assert_eq!(chosen(&["a"]), Some(Digest::sha256(b"a")));
    assert_eq!(chosen(&["a", "a"]), Some(Digest::sha256(b"a")));
    assert_eq!(chosen(&["a", "b"]), None);
}
