//! Credentials: passwords, tokens, helpers; secrets are sent to their own host only.

use crate::fake_registry::{Answer, pull_with, registries, registry};
use std::path::{Path, PathBuf};
use stillpoint_images::sources::registry::{Credentials, Registries, RegistryOptions};
use stillpoint_images::watch::Watch;

/// Docker's configuration with a name and password for one registry, in that folder.
fn configuration(folder: &Path, registry: &str) -> PathBuf {
    let path = folder.join("config.json");
    let text = format!(r#"{{"auths":{{"{registry}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_token_is_had_for_the_password_and_secrets_stay_where_they_belong() {
    let storage = registry(|image, asked| match asked.authorization {
        None => image.honest(asked),
        Some(_) => Answer::status(400),
    });
    let tokens = registry(|_, asked| match asked.authorization.as_deref() {
        Some("Basic bWU6c2VjcmV0")
            if asked.path.contains("scope=repository%3Asome%2Fimage%3Apull") =>
        {
            Answer::of(br#"{"token":"let-me-in"}"#.to_vec())
        }
        _ => Answer::status(401),
    });
    let honest = registry(move |image, asked| match asked.authorization.as_deref() {
        Some("Bearer let-me-in") if image.is_layer(asked) => {
            Answer::to(&format!("http://{storage}{}", asked.path))
        }
        Some("Bearer let-me-in") => image.honest(asked),
        _ => {
            let challenge =
                format!(r#"www-authenticate: Bearer realm="http://{tokens}/token",service="test""#);
            Answer { headers: vec![challenge], ..Answer::status(401) }
        }
    });
    let with = |config| {
        pull_with(
            &honest,
            Registries { docker_config: Some(config), ..registries() },
            &Watch::unwatched(),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), &honest);
    let pulled = with(config.clone());
    assert!(pulled.is_ok(), "{:?}", pulled.err());
    std::fs::write(&config, "{").unwrap();
    assert_eq!(with(config.clone()).unwrap_err().name(), "CredentialsUnusable");
    std::fs::remove_file(&config).unwrap();
    assert_eq!(with(config).unwrap_err().name(), "Unauthorized");
}

/// A registry that wants `me` and `secret` by way of a token server, which also takes an identity token.
fn with_tokens() -> String {
    let tokens = registry(|_, asked| {
        let is_refreshed = asked.form.contains("grant_type=refresh_token")
            && asked.form.contains("refresh_token=identity%2Ftoken")
            && asked.form.contains("service=test");
        match asked.authorization.as_deref() {
            Some("Basic bWU6c2VjcmV0") => Answer::of(br#"{"token":"let-me-in"}"#.to_vec()),
            None if is_refreshed => Answer::of(br#"{"access_token":"let-me-in"}"#.to_vec()),
            _ => Answer::status(401),
        }
    });
    registry(move |image, asked| match asked.authorization.as_deref() {
        Some("Bearer let-me-in") => image.honest(asked),
        _ => {
            let challenge =
                format!(r#"www-authenticate: Bearer realm="http://{tokens}/token",service="test""#);
            Answer { headers: vec![challenge], ..Answer::status(401) }
        }
    })
}

#[test]
fn an_identity_token_is_exchanged() {
    let registry = with_tokens();
    let pull = |token: &str| {
        let credentials = Some(Credentials::IdentityToken(token.to_owned()));
        let by_host =
            [(registry.clone(), RegistryOptions { credentials, ..RegistryOptions::default() })]
                .into();
        let pulled =
            pull_with(&registry, Registries { by_host, ..registries() }, &Watch::unwatched());
        pulled.map(|_| ()).map_err(|error| error.name())
    };
    assert_eq!(pull("identity/token"), Ok(()));
    assert_eq!(pull("another"), Err("Unauthorized"));
}

const HELPERS: &str = "STILLPOINT_HELPERS_IN";

/// Programs that are asked for credentials, by the ends of their names.
const PROGRAMS: [(&str, &str); 5] = [
    (
        "good",
        r#"read server; [ -n "$server" ] && echo '{"ServerURL":"x","Username":"me","Secret":"secret"}'"#,
    ),
    ("token", r#"echo '{"Username":"<token>","Secret":"identity/token"}'"#),
    ("empty", "echo 'credentials not found in native keychain'; exit 1"),
    ("bad", "echo no JSON"),
    ("failing", "echo locked; exit 2"),
];

/// The process whose path the helpers stand in. It writes them: of a process that starts others meanwhile
/// these have them open for writing, too, until they are another program, and such a file is not executed.
#[test]
fn a_process_with_helpers() {
    use std::os::unix::fs::PermissionsExt;
    let Ok(folder) = std::env::var(HELPERS) else { return };
    let folder = Path::new(&folder);
    for (name, script) in PROGRAMS {
        let path = folder.join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let registry = with_tokens();
    let with = |key: &str, helper: &str| {
        let config = folder.join("config.json");
        let text = match key {
            "credsStore" => format!(r#"{{"credsStore":"{helper}","auths":{{"{registry}":{{}}}}}}"#),
            _ => format!(r#"{{"credHelpers":{{"{registry}":"{helper}"}}}}"#),
        };
        std::fs::write(&config, text).unwrap();
        let pulled = pull_with(
            &registry,
            Registries { docker_config: Some(config), ..registries() },
            &Watch::unwatched(),
        );
        pulled.map(|_| ()).map_err(|error| error.name())
    };
    for key in ["credsStore", "credHelpers"] {
        assert_eq!(with(key, "good"), Ok(()));
        assert_eq!(with(key, "token"), Ok(()));
        assert_eq!(with(key, "empty"), Err("Unauthorized"));
        assert_eq!(with(key, "bad"), Err("CredentialsUnusable"));
        assert_eq!(with(key, "failing"), Err("CredentialsUnusable"));
        assert_eq!(with(key, "absent"), Err("CredentialsUnusable"));
        assert_eq!(with(key, "../good"), Err("CredentialsUnusable"));
    }
}

/// Puts something in the place of a file.
type Put = fn(&Path);

#[test]
fn what_is_read_besides_an_image_has_an_end_and_is_waited_for_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prepared");
    let registry = with_tokens();
    let puts: [(&str, Put); 4] = [
        ("pipe", |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("device", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("folder", |path| std::fs::create_dir(path).unwrap()),
        ("gigabyte", |path| std::fs::File::create(path).unwrap().set_len(1 << 30).unwrap()),
    ];
    for (what, put) in puts {
        put(&path);
        let name = |registries| {
            pull_with(&registry, registries, &Watch::unwatched())
                .map_err(|error| error.name())
                .err()
        };
        let config = Registries { docker_config: Some(path.clone()), ..registries() };
        assert_eq!(name(config), Some("CredentialsUnusable"), "{what}");
        let options = RegistryOptions { authorities: vec![path.clone()], ..Default::default() };
        let by_host = [(registry.clone(), options)].into();
        assert_eq!(name(Registries { by_host, ..registries() }), Some("OptionInvalid"), "{what}");
        std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();
    }
}

#[test]
fn helpers_are_asked_for_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logins::a_process_with_helpers"])
        .env(HELPERS, folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn nothing_is_shown_to_a_registry_that_it_is_not_for() {
    let storage = registry(|image, asked| match asked.authorization {
        None => image.honest(asked),
        Some(_) => Answer::status(400),
    });
    let folder = tempfile::tempdir().unwrap();
    let pulled = pull_with(
        &registry(move |image, asked| match &asked.authorization {
            None => Answer {
                headers: vec!["www-authenticate: Basic realm=\"x\"".to_owned()],
                ..Answer::status(401)
            },
            Some(_) if image.is_layer(asked) => {
                Answer::to(&format!("http://{storage}{}", asked.path))
            }
            Some(_) => image.honest(asked),
        }),
        Registries { docker_config: Some(configuration(folder.path(), "*")), ..registries() },
        &Watch::unwatched(),
    );
    // The configuration names another registry: nothing is shown.
    assert_eq!(pulled.unwrap_err().name(), "Unauthorized");
}
