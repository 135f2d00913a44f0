//! What a row asks of a `llama-server`, in the flags that this build of it understands.
//!
//! Forks and older builds lack flags of the newest. Each setting knows the flags that say it and what a build does that
//! has none of them: the same anyway, something else that a note tells, or nothing that could stand for it, which
//! refuses the row. No setting is dropped in silence.

use super::Failure;
use crate::sample::FailureKind;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the flags that a program understands: `-fa`, `--flash-attn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags(BTreeSet<String>);

impl Flags {
    /// Reads what `--help` prints: a line of a flag begins with its names, `-fa,  --flash-attn [on|off|auto]  set …` or
    /// `-cram N, --cache-ram N`. `None` where no line is one of a flag.
    pub fn parse(help: &str) -> Option<Flags> {
        let names = help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(|line| {
            let words =
                line.split_whitespace().take_while(|word| word.starts_with('-') || word.ends_with(','));
            words
                .map(|word| word.trim_end_matches(','))
                .filter(|word| word.starts_with('-') && word.len() > 1)
        });
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        (!names.is_empty()).then_some(Flags(names))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// A setting in the flags of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Arguments, in order.
    pub(super) args: Vec<String>,
    /// What the build does instead of what was asked, or has no flag for, in sentences for the manifest.
    pub(super) notes: Vec<String>,
}

/// A setting: what is asked, ways to say it, and what holds for a build that knows none of them.
struct Setting {
    asked: String,
    /// The first whose flag is known is used; an empty one needs no flag.
    ways: Vec<Vec<String>>,
    without: Without,
}

/// What a build without the flag does.
enum Without {
    /// What is asked; the reason.
    Same(&'static str),
    /// Something else, which the row then carries as a note.
    Other(&'static str),
    /// It cannot be had; the reason.
    Refused(&'static str),
}

impl Setting {
    fn new(asked: impl Into<String>, ways: &[&[&str]], without: Without) -> Setting {
        let ways = ways.iter().map(|way| way.iter().map(|&word| word.to_owned()).collect()).collect();
        Setting { asked: asked.into(), ways, without }
    }
}

/// The settings of a row with these options, in the flags of a build. Without `flags`, because the program was not asked
/// or did not tell, the newest build is assumed: one that lacks a flag then ends with an error of its own.
pub(super) fn resolve(
    options: &BTreeMap<String, String>,
    flags: Option<&Flags>,
) -> Result<Resolved, Failure> {
    let knows = |name: &str| flags.is_none_or(|flags| flags.has(name));
    let mut resolved = Resolved::default();
    let mut by_itself = Vec::new();
    for setting in settings(options, &knows) {
        match setting.ways.iter().find(|way| way.first().is_none_or(|flag| knows(flag))) {
            Some(way) => resolved.args.extend(way.iter().cloned()),
            None => {
                let asked = setting.asked;
                let flags: Vec<&str> =
                    setting.ways.iter().filter_map(|way| way.first()).map(String::as_str).collect();
                let lacks = format!("{asked}: this build has no {}", flags.join(" or "));
                match setting.without {
                    Without::Same(why) => by_itself.push(format!("{asked} ({why})")),
                    Without::Other(what) => resolved.notes.push(format!("{lacks}: {what}")),
                    Without::Refused(why) => {
                        let message = format!("{lacks}: {why}");
                        return Err(Failure::new(FailureKind::Unsupported, message));
                    }
                }
            }
        }
    }
    if !by_itself.is_empty() {
        resolved.notes.push(format!("as asked without a flag: {}", by_itself.join(", ")));
    }
    Ok(resolved)
}

fn settings(options: &BTreeMap<String, String>, knows: &impl Fn(&str) -> bool) -> Vec<Setting> {
    let option = |name: &str| options.get(name).map_or("", String::as_str);
    let mut settings = vec![gpu_layers(option("gpu_layers"))];
    settings.extend(device(option("device")));
    settings.push(Setting::new(
        format!("flash attention {}", option("flash_attention")),
        &[&["-fa", option("flash_attention")]],
        Without::Refused("it cannot be told whether to use it"),
    ));
    settings.push(load_mode(option("load_mode")));
    settings.push(repack(option("repack"), knows));
    settings.extend(memory());
    settings.extend(quiet());
    settings
}

fn gpu_layers(n: &str) -> Setting {
    let without = match n {
        "0" => Without::Same("it was built without a GPU"),
        _ => Without::Refused("it was built without a GPU"),
    };
    Setting::new(format!("{n} layers on the GPU"), &[&["-ngl", n]], without)
}

fn device(device: &str) -> Option<Setting> {
    let without = match device {
        "default" => return None,
        "none" => Without::Same("it knows no devices beside the processor"),
        _ => Without::Refused("it cannot be told which device to use"),
    };
    Some(Setting::new(format!("device {device}"), &[&["-dev", device]], without))
}

/// Whether the file is mapped into memory or read.
fn load_mode(mode: &str) -> Setting {
    let asked = format!("load mode {mode}");
    let way: &[&str] = &["-lm", mode];
    match mode {
        "auto" => Setting::new(asked, &[way], Without::Same("it maps the file unless it repacks it")),
        "mmap" => Setting::new(asked, &[way], Without::Same("mapping is what it does when told nothing")),
        "none" => {
            let without = Without::Refused("it cannot be told not to map the file");
            Setting::new(asked, &[way, &["--no-mmap"]], without)
        }
        _ => Setting::new(asked, &[way], Without::Refused("it knows no load modes")),
    }
}

/// Repacking of weights when they are loaded. It is what new builds do, a flag in ik_llama.cpp, and unknown to others.
fn repack(repack: &str, knows: &impl Fn(&str) -> bool) -> Setting {
    let asked = format!("repacking {repack}");
    match repack {
        "off" => {
            Setting::new(asked, &[&["--no-repack"]], Without::Same("it does not repack when told nothing"))
        }
        _ if knows("--no-repack") => Setting::new(asked, &[&[]], Without::Same("")),
        _ => Setting::new(asked, &[&["-rtr"]], Without::Other("it computes with the weights as they are")),
    }
}

/// Its defaults inflate memory: a prompt cache of 8 GiB, checkpoints, a context fitted to what is free.
fn memory() -> [Setting; 5] {
    const NEWER: &str = "it has no such feature";
    [
        Setting::new("no fitting to memory", &[&["-fit", "off"]], Without::Same(NEWER)),
        Setting::new("no prompt cache in memory", &[&["-cram", "0"]], Without::Same(NEWER)),
        Setting::new(
            "nothing cached between requests",
            &[&["--no-cache-prompt"]],
            Without::Same("each request says so"),
        ),
        Setting::new(
            "no checkpoints of the context",
            &[&["-ctxcp", "0"], &["--ctx-checkpoints", "0"]],
            Without::Same(NEWER),
        ),
        Setting::new(
            "no warm-up",
            &[&["--no-warmup"]],
            Without::Other("it computes once when it loads, which counts as load"),
        ),
    ]
}

fn quiet() -> [Setting; 3] {
    [
        Setting::new(
            "no shifting of the context",
            &[&["--no-context-shift"]],
            Without::Same("prompt and output fit the context"),
        ),
        Setting::new("no network", &[&["--offline"]], Without::Same("it is given a file")),
        Setting::new(
            "no web page",
            &[&["--no-ui"], &["--no-webui"], &["--webui", "none"]],
            Without::Same("nobody asks for one"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "-fa,   --flash-attn [on|off|auto]       set it ('--x', default: 'auto')\n--repack, -nr, --no-repack  \
                       whether\n-ngl,  --gpu-layers, --n-gpu-layers N  layers\n";

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let registry = crate::framework::Registry::embedded().expect("valid");
        let mut options = registry.get("llama.cpp").expect("known").options.clone();
        options.extend(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        options
    }

    /// The flags of ik_llama.cpp 4840, built for a processor, as far as they matter here.
    fn ik() -> Flags {
        let help = "  -fa,   --flash-attn (auto|on|off|0|1)  set\n         --no-mmap  do not map\n  -rtr,   --run-time-repack  repack\n \
                    -ctx-ckpt N, --ctx-checkpoints N  n\n  -cram, --cache-ram N  MiB\n         --no-warmup  skip\n         --no-context-shift  x\n \
                         --webui NAME  which\n";
        Flags::parse(help).expect("flags")
    }

    #[test]
    fn names_are_read_from_the_help() {
        let flags = Flags::parse(NEW).expect("flags");
        for name in ["-fa", "--flash-attn", "--repack", "-nr", "--no-repack", "-ngl", "--n-gpu-layers"] {
            assert!(flags.has(name), "{name}");
        }
        assert!(!flags.has("--x") && !flags.has("('--x'"));
        assert_eq!(Flags::parse("usage: nothing\n\n"), None);
    }

    #[test]
    fn a_build_that_did_not_tell_is_given_every_flag() {
        let resolved = resolve(&options(&[]), None).expect("all");
        assert_eq!(
            resolved.args.join(" "),
            "-ngl 0 -dev none -fa auto -lm auto -fit off -cram 0 --no-cache-prompt -ctxcp 0 --no-warmup \
             --no-context-shift --offline --no-ui"
        );
        assert_eq!(resolved.notes, [""; 0]);
        let off = resolve(&options(&[("repack", "off"), ("load_mode", "none")]), None).expect("all");
        assert!(off.args.join(" ").contains("-lm none --no-repack"));
    }

    #[test]
    fn a_fork_gets_its_own_flags_and_notes_on_the_rest() {
        let resolved =
            resolve(&options(&[("load_mode", "none"), ("flash_attention", "off")]), Some(&ik())).expect("ok");
        assert_eq!(
            resolved.args.join(" "),
            "-fa off --no-mmap -rtr -cram 0 --ctx-checkpoints 0 --no-warmup --no-context-shift --webui none"
        );
        let wanted = [
            "as asked without a flag: 0 layers on the GPU (it was built without a GPU), device none (it knows no devices \
             beside the processor), no fitting to memory (it has no such feature), nothing cached between requests (each \
             request says so), no network (it is given a file)",
        ];
        assert_eq!(resolved.notes, wanted);
        let off = resolve(&options(&[("repack", "off")]), Some(&ik())).expect("ok");
        assert!(!off.args.contains(&"-rtr".to_owned()));
        assert!(
            off.notes[0].contains("load mode auto (it maps the file unless it repacks it)"),
            "{:?}",
            off.notes
        );
    }

    #[test]
    fn what_a_build_cannot_do_is_refused_or_noted() {
        let check = |pairs: &[(&str, &str)], help: &str, wanted: &str| {
            let seen = match resolve(&options(pairs), Flags::parse(help).as_ref()) {
                Ok(resolved) => resolved.notes.join("\n"),
                Err(failure) => failure.message,
            };
            assert!(seen.contains(wanted), "{seen}");
        };
        check(
            &[("gpu_layers", "99")],
            "-fa x\n",
            "99 layers on the GPU: this build has no -ngl: it was built without",
        );
        check(&[("device", "CUDA0")], "-fa x\n", "device CUDA0: this build has no -dev");
        check(&[("load_mode", "none")], "-fa x\n", "load mode none: this build has no -lm or --no-mmap");
        check(&[("load_mode", "dio")], "-fa x\n", "it knows no load modes");
        check(&[], "-ngl x\n", "flash attention auto: this build has no -fa");
        check(
            &[],
            "-fa x\n",
            "repacking on: this build has no -rtr: it computes with the weights as they are",
        );
        check(&[], "-fa x\n", "no warm-up: this build has no --no-warmup: it computes once when it loads");
    }
}
