use vivarium_runtime::{Clock, Limits};

use super::*;

fn import(module: &str, name: &str, signature: &str) -> ImportedFunction {
    ImportedFunction { module: module.to_owned(), name: name.to_owned(), signature: signature.to_owned() }
}

fn allowed() -> Vec<ImportedFunction> {
    let wasi = ["clock_time_get", "random_get", "fd_write", "poll_oneoff", "proc_exit"];
    let mut imports: Vec<_> =
        wasi.iter().map(|name| import("wasi_snapshot_preview1", name, "(i32) -> (i32)")).collect();
    imports.push(import("vivarium", "refill", "(i64) -> (i64)"));
    imports.push(import("vivarium", "pull", "(i32, i32) -> (i32)"));
    imports
}

fn identity() -> EngineIdentity {
    EngineIdentity {
        guest_digest: "g".to_owned(),
        numpy_guest_digest: "n".to_owned(),
        abi_version: "1".to_owned(),
        python_version: "3.13.5".to_owned(),
        numpy_version: "2.4.6".to_owned(),
        wasmtime_version: "w".to_owned(),
        compilation: "c".to_owned(),
        instrumentation_version: "1".to_owned(),
        image_format: "1".to_owned(),
        base_digest: "b".to_owned(),
    }
}

fn report(imports: &[ImportedFunction], config: &Config) -> Result<Report, AuditError> {
    Report::new(imports, &identity(), &Capabilities::default(), config)
}

#[test]
fn the_allowed_imports_reach_nothing() {
    let report = report(&allowed(), &Config::default()).unwrap();
    assert_eq!(report.host_functions.len(), 7);
    assert!(report.reach.iter().all(|reach| !reach.reachable), "{:?}", report.reach);
    assert_eq!(report.host_functions[5].signature, "(i64) -> (i64)");
}

#[test]
fn an_unknown_import_is_an_error_and_not_a_gap() {
    let mut imports = allowed();
    imports.push(import("wasi_snapshot_preview1", "path_open", "(i32) -> (i32)"));
    let error = report(&imports, &Config::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest imports `wasi_snapshot_preview1.path_open` (i32) -> (i32), which this program does not \
         describe"
    );
    // The same name from another module is another function.
    let other = [import("env", "fd_write", "(i32) -> (i32)")];
    assert!(report(&other, &Config::default()).is_err());
}

#[test]
fn reach_follows_from_the_imports() {
    let imports = [
        import("w", "path_open", "(i32) -> (i32)"),
        import("w", "sock_send", "(i32) -> (i32)"),
        import("env", "memory", "Memory(..)"),
    ];
    let reach = reach::derive(&imports);
    let reachable: Vec<&str> = reach.iter().filter(|r| r.reachable).map(|r| r.what).collect();
    assert_eq!(
        reachable,
        [
            "files and directories of the host",
            "the network",
            "memory of other functions, tenants and the host"
        ]
    );
    assert_eq!(reach[0].because, "imports path_open");
}

#[test]
fn limits_are_those_of_the_configuration() {
    let config = Config { limits: Limits { memory_bytes: 12_345, ..Limits::default() }, ..Config::default() };
    let report = report(&allowed(), &config).unwrap();
    let find = |name: &str| report.limits.iter().find(|limit| limit.name == name).unwrap();
    assert_eq!((find("limits.memory_bytes").value, find("limits.memory_bytes").unit), (12_345, "bytes"));
    assert_eq!(find("limits.fuel_per_batch").unit, "fuel");
    assert_eq!(find("build_limits.deadline_ms").unit, "ms");
    assert_eq!(find("tokens.lifetime_s").unit, "s");
    let of_a_sandbox = report.limits.iter().filter(|limit| limit.name.starts_with("limits.")).count();
    let serialised = serde_json::to_value(Limits::default()).unwrap();
    assert_eq!(of_a_sandbox, serialised.as_object().unwrap().len());
}

#[test]
fn the_json_form_is_versioned() {
    let json = serde_json::to_value(report(&allowed(), &Config::default()).unwrap()).unwrap();
    assert_eq!(json["schema"], "vivarium.audit/1");
    let members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "access",
            "capabilities",
            "engine",
            "environment",
            "host_functions",
            "isolation",
            "limits",
            "reach",
            "schema",
            "settings",
            "version"
        ]
    );
    assert_eq!(json["capabilities"]["clock"]["system"]["step_ms"], 1);
}

#[test]
fn the_text_shows_values_with_units() {
    let capabilities = Capabilities { clock: Clock::Frozen { unix_ns: 5 }, ..Capabilities::default() };
    let report = Report::new(&allowed(), &identity(), &capabilities, &Config::default()).unwrap();
    let text = report.to_text();
    assert!(text.contains("limits.memory_bytes"), "{text}");
    assert!(text.contains("256 MiB"), "{text}");
    assert!(text.contains("frozen at 5 ns"), "{text}");
    assert!(text.contains("  no   the network\n"), "{text}");
}

#[test]
fn settings_say_where_things_may_come_from_and_no_secret() {
    let mut config = Config::default();
    config.packages.index_url = Some("https://user:secret@index.example/simple".to_owned());
    config.packages.extra_index_urls = vec!["https://token@other.example/?a=@b".to_owned()];
    let report = report(&allowed(), &config).unwrap();
    let find = |name: &str| &report.settings.iter().find(|setting| setting.name == name).unwrap().value;
    assert_eq!(find("packages.index_url"), "https://index.example/simple");
    assert_eq!(find("packages.extra_index_urls"), &serde_json::json!(["https://other.example/?a=@b"]));
    assert_eq!(find("imports.allow_private_addresses"), false);
    assert_eq!(find("imports.schemes"), &serde_json::json!(["https"]));
    let text = report.to_text() + &serde_json::to_string(&report).unwrap();
    assert!(!text.contains("secret") && !text.contains("token@"), "{text}");
}

#[test]
fn markdown_has_nothing_of_one_build() {
    let markdown = report(&allowed(), &Config::default()).unwrap().to_markdown();
    assert!(markdown.contains("| `vivarium.refill` `(i64) -> (i64)` |"), "{markdown}");
    assert!(markdown.contains("| no | the network |"), "{markdown}");
    assert!(markdown.contains("| `limits.memory_bytes` | 256 MiB |"), "{markdown}");
    assert!(!markdown.contains("sha256"), "{markdown}");
}
