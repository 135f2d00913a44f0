//! What a scenario's author gets to read: one table of texts and messages.

use super::*;

fn known() -> Vec<Known<'static>> {
    let options = |id| if id == "engine" { vec!["fast", "n", "script"] } else { vec![] };
    ["engine", "candle", "llama.cpp", "fake", "ollama"].map(|id| Known { id, options: options(id) }).to_vec()
}

const GOOD: &str = "\
schema: 1
title: A title
model:
  name: M
  quantization: Q4_0
  source:
    url: https://example.org/m.gguf
  sha256: AA3087fb14aede55fde6eb81a0e55e886810e43509ec82ecdc7aa5d62a03b556
frameworks:
  - llama.cpp
  - id: engine
    label: ours
    options: {fast: true, n: 4, script: a.yaml}
baseline: llama.cpp
subject: ours
workloads:
  - name: chat
    prompt_tokens: 100
    generate_tokens: 20
    context: 256
threads: [1, 2]
";

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(Path::new("s/x.yaml"), text, &known())
}

/// `GOOD` with one piece replaced by another.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old:?} is not in the good scenario");
    GOOD.replacen(old, new, 1)
}

fn check(text: &str, expected: &str) {
    let message = parse(text).expect_err(expected).to_string();
    assert_eq!(message, expected, "for\n{text}");
}

#[test]
fn a_good_one_and_its_defaults() {
    let s = parse(GOOD).unwrap();
    assert_eq!((s.name.as_str(), s.title.as_str(), s.description.as_str()), ("x", "A title", ""));
    assert_eq!((s.blocks, s.repetitions, s.cold_generate, s.seed), (10, 3, 8, 1));
    assert_eq!((s.kv_type.as_str(), s.batch, s.launch_timeout_s, s.verify_tokens), ("f16", 512, 300, 16));
    assert_eq!((s.equivalence_margin, s.cross_check, s.platform.is_none()), (0.02, true, true));
    assert_eq!(s.model.sha256.as_deref().map(|h| &h[..4]), Some("aa30"));
    let ours = s.framework("ours").unwrap();
    let options: Vec<(&str, &str)> = ours.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(options, [("fast", "true"), ("n", "4"), ("script", "a.yaml")]);
    assert_eq!(s.frameworks[0].label, "llama.cpp");
    assert_eq!(s.workload("chat").unwrap().context, 256);
}

#[test]
fn flow_style_means_the_same() {
    let value: serde_yaml::Value = serde_yaml::from_str(GOOD).unwrap();
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(parse(&json).unwrap(), parse(GOOD).unwrap());
}

#[test]
fn numbers_are_text_where_text_is_wanted() {
    assert_eq!(parse(&with("title: A title", "title: 1.10")).unwrap().title, "1.10");
}

#[test]
fn cross_check_follows_llama_cpp() {
    let text = with("  - llama.cpp\n", "  - candle\n").replace("baseline: llama.cpp", "baseline: candle");
    assert!(!parse(&text).unwrap().cross_check);
    check(
        &format!("{text}cross_check: true\n"),
        "s/x.yaml:22: cross_check: needs llama.cpp among the frameworks; add it or say false",
    );
    assert!(!parse(&format!("{GOOD}cross_check: false\n")).unwrap().cross_check);
}

#[test]
fn a_full_session_has_a_control_pair() {
    let control = |more: &str| parse(&format!("{GOOD}{more}")).unwrap().control;
    assert!(control("") && control("blocks: 6\n") && control("blocks: 2\ncontrol: true\n"));
    assert!(!control("blocks: 5\n") && !control("control: false\n"));
    check(
        &with("    label: ours", "    label: ours+control").replace("subject: ours", "subject: ours+control"),
        "s/x.yaml:12: frameworks[1].label: labels that end with `+control` are kept for the control pair; choose another",
    );
}

#[test]
fn blocks_are_added_up_to_a_cap_only_where_a_width_is_asked_for() {
    let blocks = |more: &str| {
        let s = parse(&format!("{GOOD}{more}")).unwrap();
        (s.blocks, s.blocks_max, s.target_ci)
    };
    assert_eq!(blocks(""), (10, 10, None));
    assert_eq!(blocks("target_ci: 0.05\n"), (10, 40, Some(0.05)));
    assert_eq!(blocks("target_ci: 0.05\nblocks: 50\n"), (50, 50, Some(0.05)));
    assert_eq!(blocks("target_ci: 0.05\nblocks_max: 12\n"), (10, 12, Some(0.05)));
    check(
        &format!("{GOOD}target_ci: 0.05\nblocks_max: 9\n"),
        "s/x.yaml:23: blocks_max: must be at least 10 (got 9)",
    );
    check(
        &format!("{GOOD}blocks_max: 12\n"),
        "s/x.yaml:22: blocks_max: means nothing without target_ci; add that or leave this out",
    );
}

#[test]
fn pinning_and_limits() {
    let s = parse(GOOD).unwrap();
    assert_eq!((s.pin, s.limits), (Pin::Auto, Limits::default()));
    let s = parse(&format!("{GOOD}pin: on\nlimits: {{steal: 0.5}}\n")).unwrap();
    assert_eq!((s.pin, s.limits), (Pin::On, Limits { steal: 0.5, ..Limits::default() }));
    check(&format!("{GOOD}pin: onn\n"), "s/x.yaml:22: pin: unknown value `onn`; did you mean `on`?");
    check(
        &format!("{GOOD}limits: {{stael: 0.5}}\n"),
        "s/x.yaml:22: limits: unknown key `stael`; did you mean `steal`?",
    );
    check(&format!("{GOOD}limits: {{steal: 2}}\n"), "s/x.yaml:22: limits.steal: must be at most 1 (got 2)");
}

#[test]
fn form() {
    let cases = [
        (with("threads:", "treads:"), "s/x.yaml:21: unknown key `treads`; did you mean `threads`?"),
        (with("  name: M", "  nam: M"), "s/x.yaml:4: model: unknown key `nam`; did you mean `name`?"),
        (
            with("    url: h", "    zzzzzz: h"),
            "s/x.yaml:7: model.source: unknown key `zzzzzz`; known: path, url, wheel, synthetic",
        ),
        (
            with("    label: ours", "    lable: ours"),
            "s/x.yaml:12: frameworks[1]: unknown key `lable`; did you mean `label`?",
        ),
        (with("title: A title\n", ""), "s/x.yaml:1: missing key `title`; it has no default"),
        (
            with("    context: 256\n", ""),
            "s/x.yaml:17: workloads[0]: missing key `context`; it has no default",
        ),
        (
            with("  - id: engine\n    label", "  - label"),
            "s/x.yaml:11: frameworks[1]: missing key `id`; it has no default",
        ),
        (
            with("threads:", "blocks: 3\nblocks: 4\nthreads:"),
            "s/x.yaml:22: blocks: stands twice; keep one of them",
        ),
        (
            with("fast: true,", "fast: true, fast: no,"),
            "s/x.yaml:13: frameworks[1].options.fast: stands twice; keep one of them",
        ),
        (with("title: A title", "title: [a]"), "s/x.yaml:2: title: must be text (got a list)"),
        (
            with("context: 256", "context: large"),
            "s/x.yaml:20: workloads[0].context: must be a whole number from 0 to 4294967295 (got \"large\")",
        ),
        (
            with("[1, 2]", "[1, -2]"),
            "s/x.yaml:21: threads[1]: must be a whole number from 0 to 4294967295 (got -2)",
        ),
        (with("[1, 2]", "2"), "s/x.yaml:21: threads: must be a list (got 2)"),
        (with("[1, 2]", ""), "s/x.yaml:21: threads: is empty; name at least 1 thread count"),
        (
            with("  - llama.cpp", "  - 7"),
            "s/x.yaml:10: frameworks[0]: must be the id of a framework, or a mapping with `id` (got 7)",
        ),
        (
            with("script: a.yaml", "script: [a]"),
            "s/x.yaml:13: frameworks[1].options.script: must be text, a number, true or false (got a list)",
        ),
        (
            with("title: A title", "title: A\nblocks: 1.5"),
            "s/x.yaml:3: blocks: must be a whole number from 0 to 4294967295 (got 1.5)",
        ),
    ];
    for (text, expected) in &cases {
        check(text, expected);
    }
}

#[test]
fn numbers() {
    let cases = [
        ("blocks: 0", "s/x.yaml:22: blocks: must be at least 1 (got 0)"),
        ("blocks: 201", "s/x.yaml:22: blocks: must be at most 200 (got 201)"),
        ("repetitions: 0", "s/x.yaml:22: repetitions: must be at least 1 (got 0)"),
        ("batch: 0", "s/x.yaml:22: batch: must be at least 1 (got 0)"),
        ("launch_timeout_s: 0", "s/x.yaml:22: launch_timeout_s: must be at least 1 (got 0)"),
        ("equivalence_margin: 0", "s/x.yaml:22: equivalence_margin: must be at least 0.0001 (got 0)"),
        ("equivalence_margin: .nan", "s/x.yaml:22: equivalence_margin: must be at least 0.0001 (got NaN)"),
        ("equivalence_margin: 2", "s/x.yaml:22: equivalence_margin: must be at most 0.5 (got 2)"),
        (
            "verify_tokens: 300",
            "s/x.yaml:22: verify_tokens: must be at most 256 (got 300)\ns/x.yaml:20: workloads[0].context",
        ),
        ("kv_type: f15", "s/x.yaml:22: kv_type: unknown type `f15`; did you mean `f16`?"),
        (
            "cold_generate: 200",
            "s/x.yaml:20: workloads[0].context: must hold prompt_tokens + cold_generate = 300 positions (got 256)",
        ),
        (
            "platform: {name: M2, nominal_ghz: 3500}",
            "s/x.yaml:22: platform.nominal_ghz: must be at most 10 (got 3500)",
        ),
    ];
    for (line, expected) in cases {
        let message = parse(&format!("{GOOD}{line}\n")).expect_err(line).to_string();
        let mut wanted: Vec<&str> = expected.lines().collect();
        wanted.sort_unstable();
        let mut got: Vec<&str> = message.lines().collect();
        got.sort_unstable();
        assert_eq!(got.len(), wanted.len(), "{message}");
        assert!(got.iter().zip(wanted).all(|(g, w)| g.starts_with(w)), "{message}");
    }
}

#[test]
fn meaning() {
    let hash = "  sha256: AA3087fb14aede55fde6eb81a0e55e886810e43509ec82ecdc7aa5d62a03b556\n";
    let cases = [
        (with("[1, 2]", "[]"), "s/x.yaml:21: threads: is empty; name at least 1 thread count"),
        (
            with("[1, 2]", "\n  - 2\n  - 1"),
            "s/x.yaml:23: threads[1]: must be greater than the one before it, 2 (got 1)",
        ),
        (
            with("[1, 2]", "[1, 1]"),
            "s/x.yaml:21: threads[1]: must be greater than the one before it, 1 (got 1)",
        ),
        (with("[1, 2]", "[0, 2]"), "s/x.yaml:21: threads[0]: must be at least 1 (got 0)"),
        (
            with("context: 256", "context: 100"),
            "s/x.yaml:20: workloads[0].context: must hold prompt_tokens + generate_tokens = 120 positions (got 100)",
        ),
        (
            with("generate_tokens: 20", "generate_tokens: 0"),
            "s/x.yaml:19: workloads[0].generate_tokens: must be at least 1 (got 0)",
        ),
        (
            with("baseline: llama.cpp", "baseline: llama.cp"),
            "s/x.yaml:14: baseline: `llama.cp` is not the label of a framework; did you mean `llama.cpp`?",
        ),
        (
            with("subject: ours", "subject: engine"),
            "s/x.yaml:15: subject: `engine` is not the label of a framework; known: llama.cpp, ours",
        ),
        (
            with("id: engine", "id: engin"),
            "s/x.yaml:11: frameworks[1].id: unknown framework `engin`; did you mean `engine`?",
        ),
        (
            with("label: ours", "label: llama.cpp").replace("subject: ours", "subject: llama.cpp"),
            "s/x.yaml:11: frameworks[1]: `llama.cpp` is already taken by frameworks[0]; give one of them another `label`",
        ),
        (
            with("label: ours", "label: our row").replace("subject: ours", "subject: our row"),
            "s/x.yaml:12: frameworks[1].label: must begin with a letter or digit and have only letters, digits and `._+-` (got \"our row\")",
        ),
        (
            with("label: ours", "label: llama-bench").replace("subject: ours", "subject: llama-bench"),
            "s/x.yaml:12: frameworks[1].label: `llama-bench` is kept for the cross-check; choose another",
        ),
        (
            with("threads:", "  - {name: chat, prompt_tokens: 1, generate_tokens: 1, context: 20}\nthreads:"),
            "s/x.yaml:21: workloads[1].name: `chat` is already taken by workloads[0].name; choose another name",
        ),
        (
            with(hash, ""),
            "s/x.yaml:3: model.sha256: missing key; a file from elsewhere needs its sha256 (`sha256sum FILE` tells it)",
        ),
        (
            with(hash, "  sha256: abc\n"),
            "s/x.yaml:8: model.sha256: must be 64 hexadecimal digits (got 3 characters)",
        ),
        (
            with("    url: h", "    path: a.gguf\n    url: h"),
            "s/x.yaml:6: model.source: must have exactly one of path, url, wheel, synthetic (got 2)",
        ),
        (
            with("\n    url: https://example.org/m.gguf", " {}"),
            "s/x.yaml:6: model.source: must have exactly one of path, url, wheel, synthetic (got 0)",
        ),
        (
            with("https:", "ftp:"),
            "s/x.yaml:7: model.source.url: must begin with https:// or http:// (got \"ftp://example.org/m.gguf\"); a local file is `path`",
        ),
        (
            with("url: https://example.org/m.gguf", "wheel: {package: p, version: '1', member: ../m}"),
            "s/x.yaml:7: model.source.wheel.member: must be the path of a file inside the wheel, like `package/model.gguf`",
        ),
        (
            with("url: https://example.org/m.gguf", "wheel: {package: --p, version: '1', member: m}"),
            "s/x.yaml:7: model.source.wheel.package: must begin with a letter or digit and have only letters, digits and `._+-` (got \"--p\")",
        ),
        (
            with(hash, &format!("{hash}  stand_in: tinylama-1.1b\n")),
            "s/x.yaml:9: model.stand_in: unknown shape `tinylama-1.1b`; did you mean `tinyllama-1.1b`?",
        ),
        (with("title: A title", "title: ' '"), "s/x.yaml:2: title: is empty; write a few words"),
        (
            with("label: ours", "label: llama.cpp-a").replace("subject: ours", "subject: llama.cpp").replace(
                "threads:",
                "  - {name: a-chat, prompt_tokens: 1, generate_tokens: 1, context: 20}\nthreads:",
            ),
            "s/x.yaml:17: workloads[0].name: `chat` with framework `llama.cpp-a` reads like `a-chat` with `llama.cpp`; rename one",
        ),
    ];
    for (text, expected) in &cases {
        check(text, expected);
    }
}

#[test]
fn several_problems_come_together_in_the_order_of_lines() {
    let text = with("[1, 2]", "[2, 1]").replace("title: A title", "title: ''") + "blocks: 0\n";
    check(
        &text,
        "s/x.yaml:2: title: is empty; write a few words\n\
         s/x.yaml:21: threads[1]: must be greater than the one before it, 2 (got 1)\n\
         s/x.yaml:22: blocks: must be at least 1 (got 0)",
    );
}

#[test]
fn documents() {
    let empty = "s/x.yaml:1: is empty; a scenario begins with `schema: 1` (see scenarios/README.md)";
    for text in ["", " \n\n", "# only a comment\n", "---\n", "null\n"] {
        check(text, empty);
    }
    let two = format!("{GOOD}---\n{GOOD}");
    check(&two, "s/x.yaml:23: a second document begins; keep one scenario in a file");
    check("- a\n", "s/x.yaml:1: must be a mapping of keys (got a list)");
    check("text\n", "s/x.yaml:1: must be a mapping of keys (got \"text\")");
    check(
        &with("schema: 1", "schema: 2\nnew: 1"),
        "s/x.yaml:1: schema: this harness reads 1 (got 2); use a newer harness",
    );
    check(&with("schema: 1\n", ""), "s/x.yaml:1: schema: missing key; a scenario begins with `schema: 1`");
    assert_eq!(parse(&format!("\u{feff}{GOOD}")).unwrap(), parse(GOOD).unwrap());
}

#[test]
fn yaml_syntax_errors_have_their_line() {
    for (text, line) in [
        ("a: [1\nb: 2\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\n b: 2\n", 2),
        ("a: &x 1\nb: *y\n", 2),
        ("a: \"\n", 2),
    ] {
        let error = parse(text).unwrap_err();
        let ScenarioError::Syntax { problem, .. } = &error else { panic!("{error:?}") };
        assert_eq!(problem.line, line, "{error} for {text:?}");
        assert!(problem.message.starts_with("is not YAML: "), "{error}");
    }
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.yaml");
    let load = || Scenario::load(&path, &known());
    assert!(matches!(load(), Err(ScenarioError::Read { .. })));
    std::fs::write(&path, b"schema: 1\ntitle: \xff\n").unwrap();
    assert!(
        load()
            .unwrap_err()
            .to_string()
            .ends_with("f.yaml:2: is not UTF-8 text (at byte 17); save it as UTF-8")
    );
    std::fs::write(&path, vec![b'#'; MAX_SCENARIO_BYTES as usize + 1]).unwrap();
    assert!(
        load().unwrap_err().to_string().contains("f.yaml:1: has 1048577 bytes, a scenario at most 1048576")
    );
    std::fs::write(&path, GOOD).unwrap();
    let (scenario, text) = load().unwrap();
    assert_eq!((scenario.name.as_str(), text.as_str()), ("f", GOOD));
}

#[test]
fn aliases_cannot_explode() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let refs = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    assert!(parse(&text).is_err());
}

#[test]
fn a_platform_knows_its_processor_by_the_words_of_its_name() {
    let is = |name: &str, cpu: &str| {
        PlatformSpec { name: name.into(), nominal_ghz: None, processors: vec!["Neoverse-V1".into()] }
            .is_machine(cpu)
    };
    assert!(
        is("Apple M2", "Apple M2") && !is("Apple M2", "Apple M2 Pro") && is("Apple M2 Pro", "Apple M2 Pro")
    );
    assert!(is("Intel i9-9900K", "Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz"));
    assert!(!is("Intel i9-9900K", "Intel(R) Core(TM) i9-9900KS CPU @ 4.00GHz"));
    assert!(is("AMD EPYC 7763", "AMD EPYC 7763 64-Core Processor"));
    assert!(!is("AMD EPYC 7763", "AMD EPYC") && !is("Apple M2", "AMD EPYC 7763 64-Core Processor"));
    assert!(is("AWS Graviton3", "ARM Neoverse-V1") && !is("AWS Graviton3", "ARM Neoverse-N1"));
}
