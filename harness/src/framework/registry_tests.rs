//! The embedded file, and what is refused.

use super::*;
use crate::scenario::Scenario;

#[test]
fn the_embedded_file_lists_the_frameworks() {
    let registry = Registry::embedded().expect("valid");
    let ids = registry.ids();
    for id in
        ["engine", "candle", "llama.cpp", "llama.cpp-metal", "llama.cpp-cuda", "ollama", "lm-studio", "fake"]
    {
        assert!(ids.contains(&id), "{id}");
    }
    for entry in registry.entries() {
        assert!(!entry.licence.is_empty() && !entry.home_page.is_empty(), "{}", entry.id);
    }
}

fn entry(lines: &str) -> String {
    let text = format!(
        "schema: 1\nframeworks:\n  - id: x\n    display_name: x\n    language: C\n    implementation: C\n    \
         licence: MIT\n    home_page: h\n    notes: n\n    weights_class: A\n{lines}"
    );
    Registry::parse(&text).map_or_else(|e| e.to_string(), |_| "ok".into())
}

#[test]
fn entries_that_contradict_themselves_are_refused() {
    let check = |lines: &str, wanted: &str| {
        let seen = entry(lines);
        assert!(seen.contains(wanted), "{lines}: {seen}");
    };
    check("    driver: runner\n    command: [x]\n", "ok");
    check("    driver: none\n    reason: later\n", "ok");
    check("    driver: runner\n", "give `command` exactly");
    check("    driver: none\n", "give `reason` exactly");
    check("    driver: runner\n    command: [\"{option.x}\"]\n", "a scenario could start any program by it");
    check("    driver: none\n    reason: later\n    prepare: [x]\n", "`prepare` is for driver runner");
    check("    driver: dance\n", "no driver `dance`; there are none, runner, llama-server");
    check("    driver: none\n    reason: later\n    colour: red\n", "unknown field `colour`");
    check("    driver: none\n    reason: later\n    colour: red\n", "line 1");
    check("    weights_class: D\n    driver: none\n", "weights_class");
    let twice = "schema: 2\nframeworks: []\n";
    assert!(Registry::parse(twice).expect_err("newer").to_string().contains("schema 2 is not known"));
}

#[test]
fn a_further_file_adds_entries_and_replaces_none() {
    let text = |id: &str, more: &str| {
        format!(
            "schema: 1\nframeworks:\n  - {{id: {id}, display_name: x, language: C, implementation: C, licence: MIT, \
             home_page: h, notes: n, weights_class: A, driver: runner, command: [\"{{program}}\"]{more}}}\n"
        )
    };
    let add = |text: &str| Registry::embedded().expect("valid").with_file(Path::new("/mine/f.yaml"), text);
    let registry = add(&text("mine", ", programs: [./bin/run, run]")).expect("valid");
    let mine = registry.get("mine").expect("added");
    assert_eq!(mine.programs, ["/mine/./bin/run", "run"]);
    assert!(registry.get("engine").is_some());
    assert_eq!(registry.added().map(|file| file.path.as_str()), Some("/mine/f.yaml"));
    let check = |text: String, wanted: &str| {
        assert_eq!(add(&text).expect_err(wanted).to_string(), format!("/mine/f.yaml: {wanted}"));
    };
    check(text("engine", ""), "engine: there is a framework of this id already; choose another");
    check("schema: 3\nframeworks: []\n".into(), "schema 3 is not known; this harness reads schema 1");
    check(
        text("mine", ", self_reported_load: true"),
        "mine: `self_reported_load` is for the simulated frameworks of the harness: take it out",
    );
}

#[test]
fn options_are_checked_against_the_entry() {
    let registry = Registry::embedded().expect("valid");
    let set = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>()
    };
    let dir = Path::new("/scenarios");
    let llama = registry.get("llama.cpp").expect("known");
    let options = llama.options_of(&set(&[("flash_attention", "on")]), dir).expect("known option");
    assert_eq!(options["flash_attention"], "on");
    assert_eq!(options["gpu_layers"], "0");
    let unknown = llama.options_of(&set(&[("flash", "on")]), dir).expect_err("unknown");
    assert!(unknown.message.starts_with("llama.cpp has no option `flash`; it has: device, "));
    let fake = registry.get("fake").expect("known");
    assert_eq!(
        fake.options_of(&set(&[]), dir).expect_err("needed").message,
        "fake needs the option `script`"
    );
    let options = fake.options_of(&set(&[("script", "fake/x.yaml")]), dir).expect("given");
    assert_eq!(options["script"], "/scenarios/fake/x.yaml");
}

#[test]
fn platforms_limit_where_a_framework_runs() {
    let registry = Registry::embedded().expect("valid");
    let metal = registry.get("llama.cpp-metal").expect("known");
    assert_eq!(metal.unsupported_reason("macos", "aarch64"), None);
    let reason = metal.unsupported_reason("linux", "x86_64").expect("not here");
    assert_eq!(reason, "it exists for macos-aarch64 only, and this machine is linux-x86_64");
    let by_url = registry.entries().iter().filter(|entry| entry.is_by_url()).map(|entry| &entry.id[..]);
    assert_eq!(by_url.collect::<Vec<_>>(), ["openai-compatible"]);
}

#[test]
fn every_scenario_of_this_repository_names_frameworks_and_options_that_there_are() {
    let registry = Registry::embedded().expect("valid");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = std::fs::read_dir(dir).expect("there").map(|entry| entry.expect("readable").path());
    let scenarios: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(scenarios.len() >= 4, "{scenarios:?}");
    for path in scenarios {
        if let Err(error) = Scenario::load(&path, &registry.known()) {
            panic!("{error}");
        }
    }
}
