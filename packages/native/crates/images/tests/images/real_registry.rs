//! A real registry, Debian's `docker-registry` on this host, to which `skopeo` pushes: the pulled image
//! is the pushed one, with any compression, with or without log-in, for any platform.

use crate::archive::{Item, archive};
use crate::layout::{Built, build, put, resolve, write_archives};
use crate::tools::{has, run_well};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use stillpoint_images::limits::Limits;
use stillpoint_images::platform::Platform;
use stillpoint_images::resolve::{Request, Store};
use stillpoint_images::sources::registry::{Credentials, Registries, RegistryOptions};
use stillpoint_images::watch::Watch;

/// A registry until this is dropped.
struct Registry {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `me` with the password `secret`, as `htpasswd -B` writes it.
const USERS: &str = "me:$2b$05$Ht3ao9bfWH1ISVITqBGxm.iSZtkFsgvVP8vOK8MQwSwkFfDXkmeJu\n";

/// Starts one; says why not, where its tools are missing.
fn registry(with_users: Option<&str>) -> Option<Registry> {
    registry_with(with_users, false)
}

/// One that speaks TLS, with a certificate of its own authority, if it is to.
fn registry_with(with_users: Option<&str>, has_tls: bool) -> Option<Registry> {
    if !has("docker-registry") || !has("skopeo") {
        println!(
            "skipped: docker-registry and skopeo are not installed (scripts/setup/image-tools.sh)"
        );
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let auth = with_users.map_or_else(String::new, |users| {
        fs::write(folder.path().join("users"), users).unwrap();
        format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", at("users"))
    });
    let tls = if has_tls {
        let subject = [
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        let files = ["-keyout", &at("key.pem"), "-out", &at("certificate.pem")];
        let key =
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        run_well("openssl", &[&["req", "-x509"], &key[..], &subject, &files].concat());
        format!("  tls:\n    certificate: {}\n    key: {}\n", at("certificate.pem"), at("key.pem"))
    } else {
        String::new()
    };
    // It takes a port that is free, and says which.
    let config = format!(
        "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n  secret: test\n{tls}{auth}",
        at("storage")
    );
    fs::write(folder.path().join("config.yml"), config).unwrap();
    let said = fs::File::create(folder.path().join("said")).unwrap();
    let mut process = Command::new("docker-registry")
        .args(["serve", &at("config.yml")])
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .unwrap();
    loop {
        let has_ended = process.try_wait().unwrap().is_some();
        let said = fs::read_to_string(folder.path().join("said")).unwrap();
        if let Some((_, rest)) = said.split_once("listening on 127.0.0.1:")
            && let Some(end) = rest.find(|character: char| !character.is_ascii_digit())
        {
            let address = format!("127.0.0.1:{}", &rest[..end]);
            return Some(Registry { process, address, folder });
        }
        assert!(!has_ended, "docker-registry does not start: {said}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn push(from: &Path, to: &str, more: &[&str]) {
    let from = format!("oci:{}:latest", from.display());
    let to = format!("docker://{to}");
    let args = [&["copy", "--quiet", "--dest-tls-verify=false"], more, &[&from, &to]].concat();
    run_well("skopeo", &args);
}

fn store(registry: &Registry, options: RegistryOptions) -> Store {
    let nowhere = registry.folder.path().join("no-docker-configuration.json");
    let by_host = [(registry.address.clone(), options)].into();
    Store {
        directory: registry.folder.path().join("cache"),
        most_bytes: 1 << 30,
        registries: Registries { by_host, docker_config: Some(nowhere), ..Registries::default() },
    }
}

fn image() -> Built {
    let many = (0..500).map(|at| Item::file(format!("lib/{at}"), format!("{at}").repeat(400)));
    build(&[many.collect(), vec![Item::file("etc/upper", "upper"), Item::file("lib/.wh.7", "")]])
        .unwrap()
}

fn layout_of(built: &Built) -> PathBuf {
    built.folder.path().join("layout")
}

#[test]
fn what_was_pushed_is_pulled_however_it_is_compressed() {
    let Some(registry) = registry(None) else { return };
    let built = image();
    let expected = &built.resolved.held.description.digest;
    for (tag, compression) in [
        ("gzip", &["--dest-compress-format", "gzip"]),
        ("zstd", &["--dest-compress-format", "zstd"]),
    ] {
        let name = format!("{}/some/image:{tag}", registry.address);
        push(&layout_of(&built), &name, &[&compression[..], &["--dest-compress"]].concat());
        let store = store(&registry, RegistryOptions::default());
        let pulled = resolve(&store, &format!("docker://{name}"), Limits::default()).unwrap();
        assert_eq!(&pulled.held.description.digest, expected, "{tag}");
        // By its digest it is the same image, and here already.
        let by_digest = format!("docker://{}/some/image@{}", registry.address, pulled.digest);
        assert!(resolve(&store, &by_digest, Limits::default()).unwrap().was_cached);
    }
    // As Docker's own form of manifest, too.
    let name = format!("{}/docker/form:v1", registry.address);
    push(&layout_of(&built), &name, &["--format", "v2s2"]);
    let pulled = resolve(
        &store(&registry, RegistryOptions::default()),
        &format!("docker://{name}"),
        Limits::default(),
    );
    assert_eq!(&pulled.unwrap().held.description.digest, expected);
    let missing = format!("docker://{}/some/image:missing", registry.address);
    let store = store(&registry, RegistryOptions::default());
    assert_eq!(resolve(&store, &missing, Limits::default()).unwrap_err().name(), "ImageUnknown");
}

#[test]
fn who_must_log_in_logs_in() {
    let Some(registry) = registry(Some(USERS)) else { return };
    let built = image();
    let name = format!("{}/private:v1", registry.address);
    push(&layout_of(&built), &name, &["--dest-creds", "me:secret"]);
    let pull = |credentials: Option<Credentials>, config: Option<PathBuf>| {
        let mut store =
            store(&registry, RegistryOptions { credentials, ..RegistryOptions::default() });
        if config.is_some() {
            store.registries.docker_config = config;
        }
        let pulled = resolve(&store, &format!("docker://{name}"), Limits::default());
        pulled.map(|pulled| pulled.held.description.digest.clone()).map_err(|error| error.name())
    };
    let password = |password: &str| Credentials::Password {
        username: "me".to_owned(),
        password: password.to_owned(),
    };
    let expected = Ok(built.resolved.held.description.digest.clone());
    assert_eq!(pull(None, None), Err("Unauthorized"));
    assert_eq!(pull(Some(password("wrong")), None), Err("Unauthorized"));
    assert_eq!(pull(Some(password("secret")), None), expected);
    let config = registry.folder.path().join("config.json");
    fs::write(
        &config,
        format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, registry.address),
    )
    .unwrap();
    assert_eq!(pull(None, Some(config)), expected);
}

#[test]
fn of_several_platforms_the_one_that_is_asked_for_is_pulled() {
    let Some(registry) = registry(None) else { return };
    let folder = tempfile::tempdir().unwrap();
    // Two images in one index, as builders for several platforms push them.
    let mut entries = Vec::new();
    for (architecture, content) in [("amd64", "for amd64"), ("riscv64", "for riscv64")] {
        let one = folder.path().join(architecture);
        write_archives(&one, &[archive(&[Item::file("which", content)])]);
        let index = fs::read_to_string(one.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let mut entry = index["manifests"][0].clone();
        let blob = |digest: &serde_json::Value| {
            let hex = digest.as_str().unwrap().trim_start_matches("sha256:").to_owned();
            fs::read(one.join("blobs/sha256").join(hex)).unwrap()
        };
        // The writer of layouts says riscv64; a configuration says what it is for.
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&blob(&entry["digest"])).unwrap();
        let config = String::from_utf8(blob(&manifest["config"]["digest"])).unwrap();
        let all = folder.path().join("all");
        let (digest, size) = put(&all, config.replace("riscv64", architecture).as_bytes());
        manifest["config"]["digest"] = digest.to_string().into();
        manifest["config"]["size"] = size.into();
        put(&all, &blob(&manifest["layers"][0]["digest"]));
        let (digest, size) = put(&all, manifest.to_string().as_bytes());
        entry["digest"] = digest.to_string().into();
        entry["size"] = size.into();
        entry["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
    }
    let all = folder.path().join("all");
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index =
        serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    let (digest, size) = put(&all, index.to_string().as_bytes());
    let outer = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": media_type, "digest": digest.to_string(), "size": size,
        "annotations": { "org.opencontainers.image.ref.name": "latest" }
    }] });
    fs::write(all.join("index.json"), outer.to_string()).unwrap();
    fs::write(all.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let name = format!("{}/several:v1", registry.address);
    push(&all, &name, &["--all"]);
    let store = store(&registry, RegistryOptions::default());
    let pull = |platform: &str| {
        let platform: Platform = platform.parse().unwrap();
        let reference = format!("docker://{name}").parse().unwrap();
        store.resolve(
            &Request { reference, platform, limits: Limits::default() },
            &Watch::unwatched(),
        )
    };
    let [one, other] = ["linux/amd64", "linux/riscv64"].map(|platform| pull(platform).unwrap());
    assert_ne!(one.held.description.digest, other.held.description.digest);
    assert_eq!(other.platform.to_string(), "linux/riscv64");
    let error = pull("linux/s390x").unwrap_err();
    assert_eq!(error.name(), "PlatformMissing");
    assert!(error.to_string().contains("linux/amd64, linux/riscv64"), "{error}");
}

#[test]
fn archives_of_other_tools_are_read() {
    if !has("skopeo") {
        println!("skipped: skopeo is not installed (scripts/setup/image-tools.sh)");
        return;
    }
    let built = image();
    let folder = tempfile::tempdir().unwrap();
    let from = format!("oci:{}:latest", layout_of(&built).display());
    for (form, reference) in [("docker-archive", "some/image:v1"), ("oci-archive", "v1")] {
        let to = format!("{form}:{}:{reference}", folder.path().join(form).display());
        run_well("skopeo", &["copy", "--quiet", &from, &to]);
        let store = crate::layout::store(folder.path());
        let found = resolve(&store, &to, Limits::default()).unwrap();
        assert_eq!(found.held.description.digest, built.resolved.held.description.digest, "{form}");
        let only = to.strip_suffix(&format!(":{reference}")).unwrap();
        assert!(resolve(&store, only, Limits::default()).unwrap().was_cached);
        let other = resolve(&store, &format!("{only}:other:v2"), Limits::default()).unwrap_err();
        assert_eq!(other.name(), "ImageUnknown", "{other}");
    }
}

#[test]
fn a_registry_with_tls_is_believed_if_its_authority_is_trusted() {
    if !has("openssl") {
        println!("skipped: openssl, which makes the certificate, is not installed");
        return;
    }
    let Some(registry) = registry_with(None, true) else { return };
    let built = image();
    let name = format!("{}/some/image:v1", registry.address);
    push(&layout_of(&built), &name, &[]);
    let authority = registry.folder.path().join("certificate.pem");
    let pull = |options: RegistryOptions| {
        let pulled =
            resolve(&store(&registry, options), &format!("docker://{name}"), Limits::default());
        pulled.map(|pulled| pulled.held.description.digest.clone()).map_err(|error| error.name())
    };
    let tls = RegistryOptions { is_tls: true, ..RegistryOptions::default() };
    assert_eq!(pull(tls.clone()), Err("RegistryUnreachable"));
    let trusting = RegistryOptions { authorities: vec![authority.clone()], ..tls.clone() };
    assert_eq!(pull(trusting), Ok(built.resolved.held.description.digest.clone()));
    fs::write(&authority, "no certificate").unwrap();
    assert_eq!(pull(RegistryOptions { authorities: vec![authority], ..tls }), Err("OptionInvalid"));
}
