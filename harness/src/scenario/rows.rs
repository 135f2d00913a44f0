//! The rows of a scenario: each entry stands for one, or for one variant each of the settings that it varies.

use super::convert::{Checker, root};
use super::explain::suggestion;
use super::locate::KeyPath;
use super::wire::{WireFramework, bounds};
use super::{CONTROL_SUFFIX, CROSS_CHECK_LABEL, FrameworkSpec, Known, Variant};
use std::collections::BTreeSet;

impl Checker {
    /// The rows, in the order of the entries; the variants of an entry with the last setting changing fastest.
    pub(super) fn frameworks(&mut self, entries: Vec<WireFramework>, known: &[Known]) -> Vec<FrameworkSpec> {
        let at = |i: usize| root("frameworks").index(i);
        let (mut rows, mut origins) = (Vec::new(), Vec::new());
        for (i, entry) in entries.into_iter().enumerate() {
            self.entry(&at(i), &entry, known);
            let expanded = expand(entry);
            for row in expanded.iter().filter(|row| row.variant.is_some()) {
                self.variant_label(&at(i), &row.label);
            }
            origins.extend(std::iter::repeat_n(i, expanded.len()));
            rows.extend(expanded);
        }
        self.count(root("frameworks"), rows.len(), bounds::N_FRAMEWORKS, "framework");
        let labels = rows.iter().map(|row| row.label.as_str());
        self.unique(labels, |row| at(origins[row]), "give one of them another `label`");
        rows
    }

    fn entry(&mut self, at: &KeyPath, entry: &WireFramework, known: &[Known]) {
        match known.iter().find(|framework| framework.id == entry.id) {
            Some(framework) => self.options(at, entry, framework),
            None => {
                let hint =
                    suggestion(&entry.id, &known.iter().map(|framework| framework.id).collect::<Vec<_>>());
                self.found(at.key("id"), format!("unknown framework `{}`{hint}", entry.id));
            }
        }
        let label = entry.label.as_ref().unwrap_or(&entry.id);
        self.slug(&at.key("label"), label);
        if label == CROSS_CHECK_LABEL {
            self.found(
                at.key("label"),
                format!("`{CROSS_CHECK_LABEL}` is kept for the cross-check; choose another"),
            );
        }
        if label.ends_with(CONTROL_SUFFIX) {
            self.found(
                at.key("label"),
                format!(
                    "labels that end with `{CONTROL_SUFFIX}` are kept for the control pair; choose another"
                ),
            );
        }
        for (name, values) in &entry.variants {
            let path = at.key("variants").key(name);
            let distinct: BTreeSet<&String> = values.iter().collect();
            if values.is_empty() {
                self.found(path.clone(), "is empty; name at least one value");
            } else if distinct.len() < values.len() {
                self.found(path.clone(), "names a value twice; a variant is measured once");
            }
            if entry.options.contains_key(name) {
                self.found(path, format!("`{name}` is set by `options` too; leave it out there"));
            }
        }
    }

    /// Every option that is set or varied is one of the framework's.
    fn options(&mut self, at: &KeyPath, entry: &WireFramework, framework: &Known) {
        let set = entry.options.keys().map(|name| ("options", name));
        let varied = entry.variants.iter().map(|(name, _)| ("variants", name));
        for (key, name) in set.chain(varied).filter(|(_, name)| !framework.options.contains(&name.as_str())) {
            let hint = match framework.options.as_slice() {
                [] => "; it has none: take it out".to_owned(),
                options => suggestion(name, options),
            };
            self.found(at.key(key).key(name), format!("{} has no option `{name}`{hint}", framework.id));
        }
    }

    fn variant_label(&mut self, at: &KeyPath, label: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if !label.chars().all(fits) {
            let rule =
                "names and values may have only letters, digits and `._+-`, as they become part of the label";
            self.found(at.key("variants"), format!("{rule} (got {label:?})"));
        } else if label.len() > bounds::VARIANT_LABEL_CHARS {
            let most = bounds::VARIANT_LABEL_CHARS;
            let message = format!("give labels of more than {most} characters ({label}); shorten `label`");
            self.found(at.key("variants"), message);
        }
    }

    /// `key` names a row; an entry with variants is none.
    pub(super) fn one_of_rows(&mut self, key: &str, label: &str, rows: &[FrameworkSpec]) {
        if rows.iter().any(|row| row.label == label) {
            return;
        }
        let is_variant = |row: &&FrameworkSpec| row.variant.as_ref().is_some_and(|v| v.of == label);
        let variants: Vec<&str> = rows.iter().filter(is_variant).map(|row| row.label.as_str()).collect();
        if variants.is_empty() {
            let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
            let hint = suggestion(label, &labels);
            self.found(root(key), format!("`{label}` is not the label of a framework{hint}"));
        } else {
            self.found(
                root(key),
                format!("`{label}` has variants; name one of them: {}", variants.join(", ")),
            );
        }
    }
}

/// The rows that an entry stands for.
fn expand(entry: WireFramework) -> Vec<FrameworkSpec> {
    let label = entry.label.unwrap_or_else(|| entry.id.clone());
    if entry.variants.is_empty() {
        return vec![FrameworkSpec { id: entry.id, label, options: entry.options, variant: None }];
    }
    let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (name, values) in &entry.variants {
        let longer = |settings: &Vec<(String, String)>| {
            let with = |value: &String| [settings.clone(), vec![(name.clone(), value.clone())]].concat();
            values.iter().map(with).collect::<Vec<_>>()
        };
        combinations = combinations.iter().flat_map(longer).take(bounds::N_FRAMEWORKS.1 + 1).collect();
    }
    let row = |settings: Vec<(String, String)>| {
        let suffix: String = settings.iter().map(|(name, value)| format!("+{name}-{value}")).collect();
        FrameworkSpec {
            id: entry.id.clone(),
            label: format!("{label}{suffix}"),
            options: entry.options.clone().into_iter().chain(settings.clone()).collect(),
            variant: Some(Variant { of: label.clone(), settings }),
        }
    };
    combinations.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Known, Scenario};
    use std::path::Path;

    /// The rows as `label: options`, or what is wrong.
    fn rows(frameworks: &str, baseline: &str) -> String {
        let text = format!(
            "schema: 1\ntitle: T\nmodel: {{name: M, quantization: Q4_0, source: {{path: m.gguf}}}}\n\
             frameworks:\n{frameworks}baseline: {baseline}\nsubject: engine\n\
             workloads: [{{name: chat, prompt_tokens: 8, generate_tokens: 8, context: 64}}]\nthreads: [1]\n"
        );
        let known = [
            Known { id: "engine", options: vec![] },
            Known {
                id: "llama.cpp",
                options: vec!["a", "b", "device", "flash_attention", "load_mode", "repack"],
            },
        ];
        match Scenario::parse(Path::new("s.yaml"), &text, &known) {
            Ok(scenario) => {
                let line = |f: &crate::scenario::FrameworkSpec| format!("{}: {:?}", f.label, f.options);
                scenario.frameworks.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string(),
        }
    }

    #[track_caller]
    fn check(entry: &str, baseline: &str, wanted: &str) {
        let seen = rows(&format!("  - engine\n  - {entry}\n"), baseline);
        assert!(seen.contains(wanted), "{seen}");
    }

    #[test]
    fn an_entry_with_variants_stands_for_every_combination() {
        let seen = rows(
            "  - engine\n  - {id: llama.cpp, label: cpp, options: {load_mode: none}, variants: {repack: [on, off], flash_attention: [off, auto]}}\n",
            "cpp+repack-on+flash_attention-off",
        );
        let wanted = [
            "engine: {}",
            "cpp+repack-on+flash_attention-off: {\"flash_attention\": \"off\", \"load_mode\": \"none\", \"repack\": \"on\"}",
            "cpp+repack-on+flash_attention-auto: {\"flash_attention\": \"auto\", \"load_mode\": \"none\", \"repack\": \"on\"}",
            "cpp+repack-off+flash_attention-off: {\"flash_attention\": \"off\", \"load_mode\": \"none\", \"repack\": \"off\"}",
            "cpp+repack-off+flash_attention-auto: {\"flash_attention\": \"auto\", \"load_mode\": \"none\", \"repack\": \"off\"}",
        ];
        assert_eq!(seen, wanted.join("\n"));
    }

    #[test]
    fn options_that_a_framework_has_not_are_refused_with_their_line() {
        check(
            "{id: llama.cpp, options: {repak: on}}",
            "engine",
            "s.yaml:6: frameworks[1].options.repak: llama.cpp has no option `repak`; did you mean `repack`?",
        );
        check(
            "{id: llama.cpp, options: {threads: 4}}",
            "engine",
            "llama.cpp has no option `threads`; known: a, b, device, flash_attention, load_mode, repack",
        );
        check(
            "{id: engine, label: e, options: {threads: 4}}",
            "engine",
            "engine has no option `threads`; it has none: take it out",
        );
    }

    #[test]
    fn variants_that_cannot_be_are_refused_with_their_line() {
        check(
            "{id: llama.cpp, variants: {repack: [on, off]}}",
            "llama.cpp",
            "s.yaml:7: baseline: `llama.cpp` has variants; name one of them: llama.cpp+repack-on, llama.cpp+repack-off",
        );
        check(
            "{id: llama.cpp, variants: {repack: []}}",
            "engine",
            "s.yaml:6: frameworks[1].variants.repack: is empty",
        );
        check("{id: llama.cpp, variants: {repack: [on, on]}}", "engine", "names a value twice");
        check(
            "{id: llama.cpp, options: {repack: on}, variants: {repack: [on, off]}}",
            "engine",
            "`repack` is set by `options` too",
        );
        check("{id: llama.cpp, variants: {device: [\"a b\"]}}", "engine", "letters, digits and `._+-`");
        check(
            "{id: llama.cpp, variants: {repak: [on, off]}}",
            "engine",
            "s.yaml:6: frameworks[1].variants.repak: llama.cpp has no option `repak`; did you mean `repack`?",
        );
        check("{id: llama.cpp, variants: {repack: on}}", "engine", "variants");
        let many = (0..9).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
        let two = format!("{{id: llama.cpp, variants: {{a: [{many}], b: [{many}]}}}}");
        check(&two, "engine", "frameworks: must have at most 64 elements (got 66)");
        let long = format!("{{id: llama.cpp, variants: {{a: [{}]}}}}", "x".repeat(120));
        check(&long, "engine", "give labels of more than 120 characters");
    }
}
