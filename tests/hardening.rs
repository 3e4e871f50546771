//! The server's process from outside: what it has given up, and `serve --check`, which tells.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use seccompiler::{SeccompAction, SeccompFilter, apply_filter};
use vivarium_tests::{Server, binary};

fn check(folder: &Path, config: &str, prepare: impl FnOnce(&mut Command)) -> (Output, String) {
    let file = folder.join("vivarium.toml");
    std::fs::write(&file, config).expect("a configuration file");
    let mut command = Command::new(binary());
    command
        .args(["serve", "--check", "--flight", "127.0.0.1:0", "--status", "off", "--config"])
        .arg(file)
        .arg("--state-dir")
        .arg(folder.join("state"));
    prepare(&mut command);
    let output = command.output().expect("the binary starts");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

/// The line about a mechanism or file.
fn line<'a>(text: &'a str, what: &str) -> &'a str {
    let is_about = |line: &&str| line.split_whitespace().nth(1) == Some(what);
    text.lines().find(is_about).unwrap_or_default()
}

/// A kernel, or a container, that has neither Landlock nor seccomp: the calls fail as if they did not exist.
fn without_kernel_support(command: &mut Command) {
    let calls = [
        libc_number("landlock_create_ruleset"),
        libc_number("landlock_add_rule"),
        libc_number("landlock_restrict_self"),
        libc_number("seccomp"),
    ];
    let rules: BTreeMap<i64, _> = calls.into_iter().map(|call| (call, Vec::new())).collect();
    const ENOSYS: u32 = 38;
    let architecture = std::env::consts::ARCH.try_into().expect("an architecture with seccomp");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(ENOSYS), architecture);
    let filter: seccompiler::BpfProgram = filter.and_then(TryInto::try_into).expect("a filter of four calls");
    // SAFETY: between fork and exec, it makes two system calls and touches no lock and no allocation.
    unsafe {
        command.pre_exec(move || apply_filter(&filter).map_err(|_| std::io::ErrorKind::Other.into()));
    }
}

/// Numbers of calls, the same on x86-64 and arm64 but for `seccomp`.
fn libc_number(name: &str) -> i64 {
    match name {
        "landlock_create_ruleset" => 444,
        "landlock_add_rule" => 445,
        "landlock_restrict_self" => 446,
        _ if cfg!(target_arch = "x86_64") => 317,
        _ => 277,
    }
}

#[test]
fn a_check_tells_what_would_be_in_force() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (output, text) = check(folder.path(), "", |_| ());
    assert_eq!(output.status.code(), Some(0), "{text}");
    for what in ["configuration", "server.flight_address", "server.state_dir", "tokens.key_file", "tls"] {
        assert!(line(&text, what).starts_with("ok "), "{what}: {text}");
    }
    for mechanism in ["core_dumps", "privileges", "no_new_privileges", "landlock", "seccomp"] {
        let line = line(&text, &format!("hardening.{mechanism}"));
        assert!(line.contains("in force: "), "{mechanism}: {text}");
    }
    assert!(!folder.path().join("state/token.key").exists(), "it serves nothing");
}

#[test]
fn a_check_fails_where_a_start_would() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("token.key");
    std::fs::write(&key, "01".repeat(32)).expect("a key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("its mode");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    let config = format!(
        "[server]\nprovisioning_address = \"127.0.0.1:{port}\"\n[tokens]\nkey_file = {key:?}\n\
         [tls]\ncertificate = \"missing.pem\"\nkey = \"missing.key\"\n[functions]\nfiles = [\"missing.py\"]\n"
    );
    let (output, text) = check(folder.path(), &config, |_| ());
    assert_eq!(output.status.code(), Some(1), "{text}");
    for (what, part) in [
        ("server.provisioning_address", "in use"),
        ("tokens.key_file", "others can reach it"),
        ("tls", "cannot read missing.pem"),
        ("functions.files", "missing.py"),
    ] {
        let line = line(&text, what);
        assert!(line.starts_with("FAIL") && line.contains(part), "{what}: {text}");
    }
}

#[test]
fn a_kernel_without_the_means_is_told_and_refused_where_they_are_required() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (output, text) = check(folder.path(), "", without_kernel_support);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (what, detail) in [
        ("hardening.landlock", "not in force: the kernel has none"),
        (
            "hardening.seccomp",
            "not in force: Error calling `seccomp`: Function not implemented (os error 38)",
        ),
    ] {
        let line = line(&text, what);
        assert!(line.starts_with("warn") && line.ends_with(detail), "{what}: {text}");
    }
    for mechanism in ["landlock", "seccomp"] {
        let config = format!("[hardening]\n{mechanism} = \"required\"\n");
        let (output, text) = check(folder.path(), &config, without_kernel_support);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let expected = format!("hardening.{mechanism} is required and not in force: ");
        assert!(line(&text, "hardening").contains(&expected), "{text}");
        let (output, text) = check(folder.path(), &config, |_| ());
        assert_eq!(output.status.code(), Some(0), "{text}");
    }
}

#[test]
fn what_is_switched_off_is_off_and_root_can_be_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = ["core_dumps", "privileges", "no_new_privileges", "landlock", "seccomp"];
    let off = all.map(|mechanism| format!("{mechanism} = \"off\"\n")).concat();
    let (output, text) = check(folder.path(), &format!("[hardening]\n{off}"), |_| ());
    assert_eq!(output.status.code(), Some(0), "{text}");
    for mechanism in all {
        let line = line(&text, &format!("hardening.{mechanism}"));
        assert!(line.starts_with("ok ") && line.contains(" off: "), "{text}");
    }
    let (output, text) = check(folder.path(), "[hardening]\nprivileges = \"required\"\n", |_| ());
    let is_root = folder.path().metadata().expect("the folder").uid() == 0;
    assert_eq!(output.status.code(), Some(i32::from(is_root)), "{text}");
    let refused = "hardening.privileges is required and not in force: this is root";
    assert_eq!(text.contains(refused), is_root, "{text}");
    let (output, text) = check(folder.path(), "[server]\nuser = \"no-such-user\"\n", |_| ());
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("server.user: the user `no-such-user` is not in /etc/passwd"), "{text}");
}

#[test]
fn a_server_that_root_starts_becomes_another_user() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if folder.path().metadata().expect("the folder").uid() != 0 {
        return;
    }
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
    let state = folder.path().join("state");
    std::fs::create_dir(&state).expect("the state directory");
    std::os::unix::fs::chown(&state, Some(64123), Some(64124)).expect("root may do so");
    let (output, text) = check(folder.path(), "[server]\nuser = \"64123:64124\"\n", |_| ());
    assert_eq!(output.status.code(), Some(0), "{text}");
    let line = line(&text, "hardening.privileges");
    assert!(line.ends_with("in force: user 64123, group 64124, no other"), "{text}");
    assert_eq!(state.join("cache").metadata().expect("the cache directory").uid(), 64123);
}

/// The resolver of packages inherits everything that the server has given up, so one that tries to get
/// out tells for both.
const PROBE: &str = "#!/bin/sh
report() { echo \"$1\" >>\"$REPORT\"; }
(read line <\"$OUTSIDE/secret\") 2>/dev/null && report 'read outside'
(echo x >\"$OUTSIDE/written\") 2>/dev/null && report 'wrote outside'
(echo x >\"$REPORT.own\") 2>/dev/null && report 'wrote to the cache'
(read line </proc/1/status) 2>/dev/null && report 'read about process 1'
kill -0 \"$OUTSIDER\" 2>/dev/null && report 'signalled a process outside'
[ -x /usr/bin/id ] && /usr/bin/id >/dev/null 2>&1 && report 'ran another program'
report done
exit 1
";

/// Version of the kernel's interface, which has signals from the sixth on.
fn landlock_version() -> u32 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, text) = check(folder.path(), "", |_| ());
    let version = line(&text, "hardening.landlock").split_once("version ").and_then(|(_, rest)| {
        let (number, _) = rest.split_once(' ')?;
        number.trim_start_matches('V').parse().ok()
    });
    version.expect("Landlock tells its version")
}

#[test]
fn attack_a_process_that_was_taken_over_reaches_nothing_outside() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let outside = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(outside.path().join("secret"), "s3cret\n").expect("a secret");
    let cache = binary().with_file_name("vivarium-test-cache");
    let report = cache.join(format!("packages/report-{}", std::process::id()));
    let probe = folder.path().join("uv");
    std::fs::write(&probe, PROBE).expect("a resolver");
    std::fs::set_permissions(&probe, Permissions::from_mode(0o755)).expect("its mode");
    let config = format!(
        "[packages]\nresolver = {probe:?}\nresolver_environment = [\"REPORT\", \"OUTSIDE\", \"OUTSIDER\"]\n\
         [hardening]\nlandlock = \"required\"\nseccomp = \"required\"\nno_new_privileges = \"required\"\n"
    );
    let outsider = std::process::id().to_string();
    let server = Server::start_with_environment(
        folder.path(),
        &config,
        &cache,
        &[("REPORT", &report), ("OUTSIDE", outside.path()), ("OUTSIDER", Path::new(&outsider))],
    );

    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("it runs");
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!((of("Seccomp:"), of("NoNewPrivs:")), ("2", "1"), "{status}");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    // The limit in force, and the one up to which it could be raised.
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    if of("Uid:").starts_with('0') {
        // Binding ports below 1024, and nothing else.
        assert_eq!((of("CapEff:"), of("CapPrm:")), ("0000000000000400", "0000000000000400"), "{status}");
    }

    server.check("check_probe.py", &[]);
    let found = std::fs::read_to_string(&report).expect("the probe ran");
    // Best effort: they lie in the tests' cache.
    let _ = std::fs::remove_file(&report);
    let _ = std::fs::remove_file(format!("{}.own", report.display()));
    let signalled = if landlock_version() < 6 { "signalled a process outside\n" } else { "" };
    assert_eq!(found, format!("wrote to the cache\n{signalled}done\n"));
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}

/// Copies what the sandbox compiled, for a user who may not share it with others.
fn copy_for(from: &Path, to: &Path, user: u32) {
    std::fs::create_dir(to).expect("a folder");
    std::os::unix::fs::chown(to, Some(user), Some(user)).expect("root may do so");
    std::fs::set_permissions(to, Permissions::from_mode(0o700)).expect("its mode");
    for entry in std::fs::read_dir(from).expect("the tests' cache") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_file() {
            std::fs::copy(&path, &copy).expect("a copy");
            std::os::unix::fs::chown(&copy, Some(user), Some(user)).expect("root may do so");
        }
    }
}

/// Each mechanism alone: where one sets what another would set too, that other could be missing unseen.
#[test]
fn attack_a_server_of_another_user_is_nobody_and_shows_its_memory_to_nobody() {
    const USER: u32 = 64123;
    let folder = tempfile::tempdir().expect("a temporary folder");
    if folder.path().metadata().expect("the folder").uid() != 0 {
        return;
    }
    // It leaves behind what the sandbox compiled.
    drop(Server::start(folder.path(), ""));
    let state = folder.path().join("state");
    std::fs::remove_dir_all(&state).expect("the state directory");
    std::fs::create_dir(&state).expect("the state directory");
    std::os::unix::fs::chown(&state, Some(USER), Some(USER)).expect("root may do so");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
    let cache = folder.path().join("cache");
    copy_for(&binary().with_file_name("vivarium-test-cache"), &cache, USER);
    let config =
        format!("[server]\nuser = \"{USER}:{USER}\"\n[hardening]\nseccomp = \"off\"\nlandlock = \"off\"\n");
    let server = Server::start_with_cache(folder.path(), &config, &cache);
    let process = Path::new("/proc").join(server.id().to_string());
    let status = std::fs::read_to_string(process.join("status")).expect("it runs");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let user = USER.to_string();
    assert_eq!((of("Uid:"), of("Gid:")), (vec![user.clone(); 4], vec![user; 4]), "{status}");
    assert_eq!(of("Groups:"), [""; 0], "{status}");
    assert_eq!((of("CapEff:"), of("CapPrm:")), (vec!["0".repeat(16)], vec!["0".repeat(16)]), "{status}");
    assert_eq!((of("NoNewPrivs:"), of("Seccomp:")), (vec!["1".to_owned()], vec!["0".to_owned()]), "{status}");
    // What belongs to a process that cannot be dumped belongs to root in /proc, whoever the process is.
    assert_eq!(process.join("mem").metadata().expect("it runs").uid(), 0, "it can be dumped");
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}
