use std::fmt::Write as _;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const PLAIN: &str = include_str!("../../../../tests/databend-scripts/captured_plain.sh");
const IMPORTS: &str = include_str!("../../../../tests/databend-scripts/script1_metadata_imports.sh");
const TYPES: &str = include_str!("../../../../tests/databend-scripts/script2_types_packages.sh");
const ARCHIVES: &str = include_str!("../../../../tests/databend-scripts/script3_zip_whl_egg.sh");

const MAX: usize = 1 << 20;

fn read(text: &str) -> Result<Script, ScriptError> {
    parse(text, MAX)
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

/// The part of a captured script between two texts.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap() + from.len();
    &text[start..start + text[start..].find(to).unwrap()]
}

#[test]
fn compat_the_captured_scripts_are_read() {
    let plain = read(PLAIN).unwrap();
    let expected = Script {
        code: "def echo2(x): return x".to_owned(),
        handler: "echo2".to_owned(),
        input_types: texts(&["INT NULL"]),
        result_type: "INT NULL".to_owned(),
        ..Script::default()
    };
    assert_eq!(plain, expected);

    let script = read(IMPORTS).unwrap();
    assert_eq!(script.packages, ["humanize==4.9.0"]);
    assert_eq!(script.code, between(IMPORTS, "/app/udf.py\n", "\nUDF_CODE\n"));
    assert!(script.code.starts_with("\n# /// script\n") && script.code.ends_with("add_one(x)\n"));
    assert_eq!((script.handler.as_str(), script.imports.len()), ("add_one", 1));
    let import = &script.imports[0];
    assert_eq!(import.location, "@udf_import_stage/imports/helper.py");
    assert!(import.url.ends_with("&X-Amz-Signature=0f0e0d") && import.headers.is_empty());

    let script = read(TYPES).unwrap();
    assert_eq!(script.packages, ["numpy", "pandas>=2,<3"]);
    assert!(script.code.contains("UDF_CODE = \"marker collision\"\n"));
    let types = [
        "INT NULL",
        "UINT64",
        "VARCHAR NULL",
        "DECIMAL(20, 4) NULL",
        "TIMESTAMP NULL",
        "VARIANT NULL",
        "ARRAY(INT64 NULL) NULL",
        "MAP(STRING, INT32) NULL",
        "TUPLE(1 INT32, 2 STRING) NULL",
        "VECTOR(3) NULL",
    ];
    assert_eq!((script.input_types, script.result_type.as_str()), (texts(&types), "VARIANT NULL"));

    let script = read(ARCHIVES).unwrap();
    let locations: Vec<_> = script.imports.iter().map(|import| import.location.as_str()).collect();
    let expected = ["lib.zip", "lib.whl", "lib.egg"].map(|name| format!("@udf_import_stage/imports/{name}"));
    assert_eq!(locations, expected);
    assert_eq!(script.imports[1].headers["x-amz-security-token"], "tok");
    assert_eq!((script.input_types.len(), script.result_type.as_str()), (0, "VARCHAR NULL"));
}

#[test]
fn signed_addresses_are_not_shown() {
    let shown = format!("{:?}", read(ARCHIVES).unwrap());
    assert!(shown.contains("lib.egg") && !shown.contains("Signature") && !shown.contains("tok"), "{shown}");
    let broken = ARCHIVES.replace("\"headers\":{}}]", "\"headers\":{}}");
    let error = read(&broken).unwrap_err().to_string();
    assert!(error.starts_with("line 10 of the script is not JSON (at byte "), "{error}");
}

#[test]
fn attack_what_differs_is_refused_with_its_line() {
    let cases: &[(&str, &str, &str)] = &[
        ("#!/usr/bin/env bash", "#!/bin/sh", "line 1 of the script should be `#!/usr/bin/env bash`"),
        ("set -euo pipefail", "set -euo pipefail\r", "line 2 of the script should be"),
        ("WORKDIR=/app", "WORKDIR=/", "line 3 of the script should be"),
        ("cd \"$WORKDIR\"", "cd \"$WORKDIR\"\nrm -rf /", "line 6 of the script should begin /app/udf.py"),
        ("<<'UDF_CODE'", "<<UDF_CODE", "line 10 of the script should begin /app/udf.py"),
        ("<<'UDF_CODE'", "<<'MINE'", "line 10 of the script should begin /app/udf.py"),
        ("<<'UDF_CODE'", "<<'UDF_CODE_'", "line 10 of the script should begin /app/udf.py"),
        ("<<'UDF_CODE'", "<<'UDF_CODE_1'", "line 10 of the script begins a text that does not end"),
        ("> /app/udf.py", "> /etc/passwd", "line 10 of the script should begin /app/udf.py"),
        (
            "return x\n",
            "return x # UDF_CODE\n",
            "line 11 of the script contains `UDF_CODE`, which ends the text of /app/udf.py",
        ),
        ("\nUDF_CODE\n", "\nUDF_CODE\nid\n", "line 13 of the script should begin /app/server.py"),
        ("\nUDF_CODE\n", "\n", "line 10 of the script begins a text that does not end"),
        ("def echo2(x): return x\n", "", "line 10 of the script begins a text without lines"),
        ("udf_decorator(name", "udf_decorator(names", "line 14 of the script begins a program without"),
        ("(func)\n", "(func) + udf_decorator(name=\"\n", "line 93 of the script has a second"),
        ("\"echo2\", input_types", "\"echo2\\n\", input_types", "line 93 of the script has an escape"),
        ("\"INT NULL\"], result", "\"INT NULL\" + x], result", "line 93 of the script should have"),
        ("[\"INT NULL\"]", "[\"INT NULL\",\"INT\"]", "line 93 of the script should have `, \"`"),
        ("\"INT NULL\")(func)", "\"INT NULL\", x=1)(func)", "line 93 of the script should have `\")`"),
        (
            "getattr(udf, \"echo2\")",
            "getattr(udf, \"other\")",
            "line 115 of the script calls `other`, but the decorator names `echo2`",
        ),
        ("exec python /app/server.py", "exec sh", "line 126 of the script should be"),
        ("exec python /app/server.py\n", "", "line 126 of the script should be"),
        (
            "exec python /app/server.py\n",
            "exec python /app/server.py\nid\n",
            "line 127 of the script should be the end of the script, it is `id`",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(PLAIN.contains(from), "{from}");
        let error = read(&PLAIN.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.starts_with(expected), "{to}: {error}");
    }
    assert_eq!(read(""), refuse(1, "should be `#!/usr/bin/env bash`, but the script has ended"));
    assert_eq!(parse(PLAIN, 100), Err(ScriptError::TooLarge { limit: 100, requested: PLAIN.len() }));
}

#[test]
fn packages_are_words() {
    let install = |words: &str| {
        let text = TYPES.replacen("numpy pandas>=2,<3", words, 1);
        assert_ne!(text, TYPES);
        read(&text).map(|script| script.packages).map_err(|error| error.to_string())
    };
    let cases: &[(&str, &[&str])] = &[
        ("numpy", &["numpy"]),
        ("  a\t b  ", &["a", "b"]),
        ("'a; python_version < \"3.9\"' b[x,y]==2.*", &["a; python_version < \"3.9\"", "b[x,y]==2.*"]),
        ("\"a\\\"b\\n\" c\\ d", &["a\"b\\n", "c d"]),
        ("'it'\\''s' ''", &["it's", ""]),
        ("'two\nlines' x", &["two\nlines", "x"]),
        ("a\u{2028}b\u{85}c", &["a\u{2028}b\u{85}c"]),
        ("a#b", &["a#b"]),
    ];
    for (words, expected) in cases {
        assert_eq!(install(words), Ok(texts(expected)), "{words}");
    }
    for (words, expected) in [
        ("a; rm -rf /", "line 7 of the script has `;` outside of quotes in the list of packages"),
        ("a $(id)", "line 7 of the script has `$` outside of quotes in the list of packages"),
        ("'a\nb' \"c\n`id`\"", "line 9 of the script has `` ` `` outside of quotes"),
        ("a # b", "line 7 of the script has `#` outside of quotes in the list of packages"),
        ("a 'b", "line 19 of the script opens a single quote that is not closed"),
        ("a\nb", "line 8 of the script should begin /app/udf.py"),
        ("", "line 7 of the script installs no packages"),
    ] {
        let error = install(words).expect_err(words);
        let expected = expected.replace("`` ` ``", "```");
        assert!(error.starts_with(&expected), "{words}: {error}");
    }
}

/// Fills the template as the engine does.
fn render(script: &Script, quote: impl Fn(&str) -> String) -> String {
    let literal = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let inputs = script.input_types.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", ");
    let (head, rest) = program().split_once("name=\"echo2\"").unwrap();
    let (middle, tail) = rest.split_once("getattr(udf, \"echo2\")").unwrap();
    let tail = format!("getattr(udf, {}){tail}", literal(&script.handler));
    let (_, middle) = middle.split_once("result_type=\"INT NULL\"").unwrap();
    let program = format!(
        "{head}name={}, input_types=[{inputs}], result_type={}{middle}{tail}",
        literal(&script.handler),
        literal(&script.result_type),
    );
    let list: Vec<_> = script
        .imports
        .iter()
        .map(|import| {
            serde_json::json!({"location": import.location, "url": import.url, "headers": import.headers})
        })
        .collect();
    let list = serde_json::to_string(&list).unwrap();
    let marker = |base: &str| {
        let free =
            |marker: &String| ![&script.code, &program, &list].iter().any(|text| text.contains(marker));
        let numbered = (1..).map(|number| format!("{base}_{number}"));
        [base.to_owned()].into_iter().chain(numbered).find(free).unwrap()
    };
    let mut text = PREPARATION.join("\n") + "\n\n";
    if !script.packages.is_empty() {
        let words: Vec<_> = script.packages.iter().map(|package| quote(package)).collect();
        text += &format!("{INSTALL}{}", words.join(" "));
    }
    text += "\n";
    if !script.imports.is_empty() {
        let (marker, download) = (marker("UDF_IMPORTS"), between(IMPORTS, "\nUDF_IMPORTS\n", "\nPY\n"));
        let document = format!("cat <<'{marker}' > /app/imports.json\n{list}\n{marker}\n{download}\nPY\n");
        text += &format!("{MAKE_IMPORTS}\n{document}\n");
    }
    for (base, path, content) in
        [("UDF_CODE", "/app/udf.py", &script.code), ("UDF_SERVER", "/app/server.py", &program)]
    {
        let marker = marker(base);
        write!(text, "\n\ncat <<'{marker}' > {path}\n{content}\n{marker}").unwrap();
    }
    text + "\nexec python /app/server.py\n"
}

fn program() -> &'static str {
    between(PLAIN, "/app/server.py\n", "\nUDF_SERVER_1\n")
}

fn in_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A backslash before a line end would take both away, so line ends are quoted.
fn escaped(text: &str) -> String {
    let escape = |character: char| match character {
        '\n' => "'\n'".to_owned(),
        other => format!("\\{other}"),
    };
    if text.is_empty() { "\"\"".to_owned() } else { text.chars().map(escape).collect() }
}

/// What somebody who knows the template would write into it.
fn hostile() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "UDF_CODE",
        "UDF_CODE_1",
        "\nUDF_CODE\n",
        "\nUDF_CODE_1\n",
        "UDF_SERVER",
        "\nUDF_SERVER_1\n",
        "UDF_IMPORTS",
        "\nUDF_IMPORTS\n",
        "\nPY\n",
        "cat <<'UDF_CODE' > /app/udf.py\n",
        "cat <<'UDF_SERVER_1' > /app/server.py\n",
        "\nexec python /app/server.py\n",
        "mkdir -p /app/imports\n",
        "python -m pip install --no-cache-dir evil\n",
        "python - <<'PY'\n",
        "udf_decorator(name=\"",
        "\", input_types=[\"",
        "\"], result_type=\"",
        "\")(func)\n",
        "getattr(udf, \"",
        "{{UDF_CODE}}",
        "'",
        "\"",
        "\\",
        "\\\"",
        "'\\''",
        "\n",
        "\r\n",
        "\r",
        "\0",
        "\u{2028}",
        "\u{2029}",
        "\u{85}",
        "\u{b}",
        "\u{c}",
        "\u{feff}",
        "\u{202e}",
        "$(id)",
        "`id`",
        "${IFS}",
        ";",
        "#",
        "<<EOF",
        " ",
        "\t",
        "def f(x): return x",
        "ä\u{1F600}",
    ];
    let piece =
        prop_oneof![8 => select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn scripts() -> impl Strategy<Value = Script> {
    let import = (hostile(), hostile(), btree_map(hostile(), hostile(), 0..3))
        .prop_map(|(location, url, headers)| ScriptImport { location, url, headers });
    let types = vec(hostile(), 0..4);
    let parts = (hostile(), hostile(), types, hostile(), vec(hostile(), 0..4), vec(import, 0..3));
    parts.prop_map(|(code, handler, input_types, result_type, packages, imports)| Script {
        code,
        handler,
        input_types,
        result_type,
        packages,
        imports,
    })
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn attack_hostile_text_comes_back_as_it_was_put_in(script in scripts(), quoted in any::<bool>()) {
        let text = render(&script, if quoted { in_quotes } else { escaped });
        prop_assert_eq!(read(&text), Ok(script));
    }

    #[test]
    fn attack_changed_scripts_say_what_they_say_or_name_a_line(
        script in scripts(),
        at in any::<Index>(),
        change in 0..5,
        piece in hostile(),
    ) {
        let text = render(&script, in_quotes);
        let characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        let (head, tail) = characters.split_at(at);
        let head = String::from_iter(head);
        let changed = match change {
            0 => head,
            1 => head + &String::from_iter(&tail[1..]),
            2 => head + &piece + &String::from_iter(tail),
            3 => head + &piece + &String::from_iter(&tail[1..]),
            _ => head + &String::from_iter(tail).replacen('\n', "", 1),
        };
        match read(&changed) {
            // What was read is what another script with the same content would say.
            Ok(read_back) => prop_assert_eq!(read(&render(&read_back, in_quotes)), Ok(read_back)),
            Err(ScriptError::Line { line, .. }) => {
                prop_assert!((1..=changed.matches('\n').count() + 2).contains(&line));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// Whatever happens to a whole line of the template, the data is the same or the script is refused.
    #[test]
    fn attack_lines_of_the_template_carry_no_data(at in any::<Index>(), other in any::<Index>(), change in 0..4) {
        for captured in [PLAIN, IMPORTS, TYPES, ARCHIVES] {
            let expected = read(captured).unwrap();
            let mut lines: Vec<&str> = captured.split_inclusive('\n').collect();
            let carries = |line: &str| {
                let packages = line.starts_with(INSTALL);
                packages || line.starts_with('[') || expected.code.contains(line.trim_end()) && line != "\n"
            };
            let fixed: Vec<usize> = (0..lines.len()).filter(|&index| !carries(lines[index])).collect();
            let (at, other) = (fixed[at.index(fixed.len())], fixed[other.index(fixed.len())]);
            match change {
                0 => drop(lines.remove(at)),
                1 => lines.insert(other, lines[at]),
                2 => lines.swap(at, other),
                _ => lines[at] = "\n",
            }
            match read(&lines.concat()) {
                Ok(script) => {
                    prop_assert_eq!(&script.handler, &expected.handler);
                    prop_assert_eq!(&script.input_types, &expected.input_types);
                    prop_assert_eq!(&script.result_type, &expected.result_type);
                    // Where the code begins earlier, what was before it is a part of it.
                    let in_code = |line: &str| script.code.contains(line);
                    prop_assert!(script.packages == expected.packages || in_code(INSTALL));
                    prop_assert!(script.imports == expected.imports || in_code("/app/imports.json"));
                }
                Err(error) => prop_assert!(matches!(error, ScriptError::Line { .. }), "{error}"),
            }
        }
    }
}
