//! Synthetic runs for tests: known figures through the whole of summary, chart and report.

mod nights;

pub(crate) use nights::{night, nights, steady};

use crate::agreement::add_distribution_gates;
use crate::bundle::{
    BUNDLE_SCHEMA, FrameworkRecord, Manifest, ModelRecord, ProgramRecord, Unavailable, Writer,
};
use crate::machine::Machine;
use crate::plan::{Cell, Plan, PlannedLaunch};
use crate::protocol::WeightsClass;
use crate::redact::Redactor;
use crate::sample::*;
use crate::scenario::{
    CROSS_CHECK_LABEL, FrameworkSpec, ModelSource, ModelSpec, PlatformSpec, Scenario, Variant, Workload,
};
use std::path::{Path, PathBuf};

/// Speed of one framework in a synthetic run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    /// Decode on one thread, tok/s.
    pub(crate) decode_tok_s: f64,
    /// Further threads add this share of a thread each.
    pub(crate) parallel_share: f64,
    /// Anonymous memory.
    pub(crate) anon_mb: u64,
}

/// Labels of [`example`]: baseline, subject, a row with a failed gate, a row that is missing.
pub(crate) const LABELS: [&str; 4] = ["llama.cpp", "engine", "candle", "ollama"];

/// Three measured rows (one failing a gate, one with an outlier) and a missing one, two thread counts, six blocks.
pub(crate) fn example() -> (Manifest, Vec<LaunchRecord>) {
    let manifest = manifest(&LABELS, 6);
    let mut records = Vec::new();
    for planned in &manifest.plan.launches {
        let (cell, block) = (&planned.cell, planned.block);
        let speed = match cell.framework.as_str() {
            "llama.cpp" => Speed { decode_tok_s: 96.0, parallel_share: 0.9, anon_mb: 41 },
            "engine" => Speed { decode_tok_s: 89.0, parallel_share: 0.95, anon_mb: 30 },
            "candle" => Speed { decode_tok_s: 55.0, parallel_share: 0.7, anon_mb: 130 },
            _ => continue,
        };
        let mut record = measured(planned, speed, &manifest.scenario.workloads[0]);
        if let Outcome::Measured(m) = &mut record.outcome {
            if cell.framework == "candle" && block == 2 {
                let gate = m.gates.iter_mut().find(|g| g.name == "right_output").unwrap();
                (gate.passed, gate.seen) = (false, "common prefix of 3 tokens".to_owned());
            }
            // The verified launches; candle tells no distributions.
            if block == 0 {
                let (ids, told) = match cell.framework.as_str() {
                    "llama.cpp" => ([1, 2, 3, 4], forced(0.6, 0)),
                    "engine" => ([1, 2, 3, 9], forced(0.58, 0)),
                    _ => ([1, 2, 3, 4], Forced { top: vec![], ..forced(0.6, 0) }),
                };
                m.verify_token_ids = Some(ids.to_vec());
                m.forced = Some(told);
            }
            // A disturbed launch: everything takes half as long again.
            if cell.framework == "engine" && block == 4 && cell.threads == 2 {
                for request in &mut m.requests {
                    request.token_at_ns.iter_mut().for_each(|ns| *ns += *ns / 2);
                }
            }
        }
        records.push(record);
    }
    records.push(cross_check(&manifest));
    add_distribution_gates(&mut records, &manifest.scenario.baseline);
    (manifest, records)
}

/// Twelve rows, some with long names, a wide range of speeds and five thread counts: what charts must find room for.
pub(crate) fn crowded() -> (Manifest, Vec<LaunchRecord>) {
    crowd(12)
}

/// The first `n_rows` of [`crowded`].
pub(crate) fn crowd(n_rows: usize) -> (Manifest, Vec<LaunchRecord>) {
    let labels = [
        "llama.cpp",
        "engine",
        "candle",
        "onnx",
        "mistral.rs",
        "transformers",
        "openvino",
        "lm-studio",
        "ollama",
        "ik_llama.cpp",
        "ninth-stranger",
        "tenth-stranger",
    ];
    let mut manifest = manifest(&labels[..n_rows], 6);
    manifest.scenario.threads = vec![1, 2, 4, 8, 16];
    manifest.plan = plan(&manifest.scenario);
    manifest.frameworks[5].display_name = "transformers with PyTorch, compiled, bfloat16 on AMX".to_owned();
    let mut records = Vec::new();
    for planned in &manifest.plan.launches {
        let row = labels.iter().position(|l| *l == planned.cell.framework).unwrap();
        let decode_tok_s = [96.0, 95.5, 55.0, 48.0, 71.0, 4.0, 101.0, 94.0, 93.0, 97.0, 92.0, 12.0][row];
        let parallel_share = [0.9, 0.88, 0.7, 0.68, 0.9, 0.3, 0.91, 0.87, 0.9, 0.89, 0.86, 0.31][row];
        let speed = Speed { decode_tok_s, parallel_share, anon_mb: 40 + 60 * row as u64 };
        records.push(measured(planned, speed, &manifest.scenario.workloads[0]));
    }
    (manifest, records)
}

/// As [`crowd`] of eight, with three of its rows (`candle` 55, `onnx` 48 and `mistral.rs` 71 tok/s on a thread) as variants of one
/// entry.
pub(crate) fn with_variants() -> (Manifest, Vec<LaunchRecord>) {
    let (mut manifest, records) = crowd(8);
    for (row, value) in [(2, "a"), (3, "b"), (4, "c")] {
        let settings = vec![("mode".to_owned(), value.to_owned())];
        manifest.scenario.frameworks[row].variant = Some(Variant { of: "multi".to_owned(), settings });
        manifest.frameworks[row].display_name = "Multi".to_owned();
    }
    (manifest, records)
}

/// The engine beside itself with one option changed in each row; without `prefetch` it decodes at `slow` times the speed.
pub(crate) fn ablation(blocks: u32, slow: f64) -> (Manifest, Vec<LaunchRecord>) {
    let rows =
        [("engine", ""), ("no-prefetch", "prefetch"), ("no-entry", "entry"), ("none", "prefetch+entry")];
    let labels = rows.map(|(label, _)| label);
    let mut manifest = manifest(&labels, blocks);
    for ((_, parts), spec) in rows.iter().zip(&mut manifest.scenario.frameworks) {
        spec.id = "engine".to_owned();
        if !parts.is_empty() {
            spec.options.insert("without".to_owned(), (*parts).to_owned());
        }
    }
    for record in &mut manifest.frameworks {
        (record.id, record.display_name) = ("engine".to_owned(), "engine".to_owned());
    }
    manifest.scenario.subject = "engine".to_owned();
    manifest.id = "2026-01-02-test-box-ablation".to_owned();
    let speed = |label: &str| match label {
        "no-prefetch" => slow,
        "none" => slow * 0.5,
        _ => 1.0,
    };
    let record = |planned: &PlannedLaunch| {
        let decode_tok_s = 100.0 * speed(&planned.cell.framework);
        let speed = Speed { decode_tok_s, parallel_share: 0.9, anon_mb: 30 };
        measured(planned, speed, &manifest.scenario.workloads[0])
    };
    let records = manifest.plan.launches.iter().map(record).collect();
    (manifest, records)
}

/// Baseline and subject, the subject 20% faster; the control pair's second half at `control` times the baseline's rate.
pub(crate) fn controlled(blocks: u32, control: f64) -> (Manifest, Vec<LaunchRecord>) {
    let mut manifest = manifest(&["llama.cpp", "engine"], blocks);
    manifest.scenario.control = true;
    let label = manifest.scenario.control_label();
    let of_baseline = manifest.plan.launches.iter().filter(|l| l.cell.framework == "llama.cpp");
    let second: Vec<PlannedLaunch> = of_baseline
        .map(|l| {
            let mut second = l.clone();
            (second.role, second.cell.framework) = (Role::Control, label.clone());
            second.launch_id = second.launch_id.replace("llama.cpp", &label);
            second
        })
        .collect();
    manifest.plan.launches.extend(second);
    let workload = manifest.scenario.workloads[0].clone();
    let records = manifest.plan.launches.iter().map(|l| {
        let factor = match l.cell.framework.as_str() {
            "engine" => 1.2,
            "llama.cpp" => 1.0,
            _ => control,
        };
        measured(l, Speed { decode_tok_s: 90.0 * factor, parallel_share: 0.9, anon_mb: 40 }, &workload)
    });
    (manifest.clone(), records.collect())
}

/// A run in which nothing could be measured.
pub(crate) fn all_failed() -> (Manifest, Vec<LaunchRecord>) {
    let mut manifest = manifest(&LABELS[..2], 6);
    manifest.frameworks[1].unavailable = Some(Unavailable {
        kind: FailureKind::Missing,
        reason: "not built; run `harness setup engine`".to_owned(),
    });
    let records = manifest
        .plan
        .launches
        .iter()
        .filter(|p| p.cell.framework == "llama.cpp")
        .map(|p| failed(p, FailureKind::Crashed, "exit code 1 | signal none\nsecond line"))
        .collect();
    (manifest, records)
}

/// Writes a finished bundle below `parent`; returns its directory.
pub(crate) fn write_bundle(parent: &Path, manifest: &Manifest, records: &[LaunchRecord]) -> PathBuf {
    let mut writer = Writer::create(parent, manifest.clone(), Redactor::default()).expect("created");
    records.iter().for_each(|record| writer.append(record).expect("written"));
    let dir = writer.dir().to_owned();
    writer.finish().expect("finished");
    dir
}

/// Only the first `blocks` blocks of a run.
pub(crate) fn first_blocks(records: &[LaunchRecord], blocks: u32) -> Vec<LaunchRecord> {
    records.iter().filter(|r| r.block < blocks).cloned().collect()
}

/// What a framework may tell of nine positions of a text: at each the likeliest token has the probability `first`, the
/// next one a third of it, and so on. With `shift` its ids are others by so many.
pub(crate) fn forced(first: f64, shift: u32) -> Forced {
    let entry = |j: u32| (100 + j + shift, (first.ln() - f64::from(j) * 3f64.ln()) as f32);
    Forced { token_ids: (1..=9).collect(), top: vec![(0..6).map(entry).collect(); 9] }
}

/// A launch that failed.
pub(crate) fn failed(planned: &PlannedLaunch, kind: FailureKind, message: &str) -> LaunchRecord {
    record(planned, Outcome::Failed { kind, message: message.to_owned(), stderr_tail: String::new() })
}

/// A launch that went as `speed` says, with a small fixed variation from block to block.
pub(crate) fn measured(planned: &PlannedLaunch, speed: Speed, workload: &Workload) -> LaunchRecord {
    let wobble = 1.0 + 0.002 * f64::from((planned.block * 7 + planned.position * 3) % 11) - 0.01;
    let threads = f64::from(planned.cell.threads);
    let decode = speed.decode_tok_s * (1.0 + (threads - 1.0) * speed.parallel_share) * wobble;
    let step_ns = (1e9 / decode) as u64;
    let prefill_ns = u64::from(workload.prompt_tokens) * step_ns / 4;
    let request = |rep: u32, n: u64| RequestSample {
        rep,
        n_prompt: workload.prompt_tokens,
        n_cached: Some(0),
        prefill_ns: Some(prefill_ns),
        token_ids: vec![1; n as usize],
        token_at_ns: (0..n).map(|i| prefill_ns + step_ns + i * step_ns).collect(),
    };
    let generate = u64::from(workload.generate_tokens);
    let anon = speed.anon_mb * 1_000_000 + u64::from(planned.block) * 100_000;
    let gate = |name: &str, wanted: &str| Gate {
        name: name.to_owned(),
        passed: true,
        wanted: wanted.to_owned(),
        seen: wanted.to_owned(),
    };
    let measured = Measured {
        version: "1.2.3".to_owned(),
        build: "avx2".to_owned(),
        weights_class: WeightsClass::A,
        features: vec!["avx2".to_owned()],
        threads_used: Some(planned.cell.threads),
        settings: None,
        load_ns: Some((120e6 / wobble) as u64),
        cold: Some(ColdRequest {
            first_token_after_launch_ns: 120_000_000 + prefill_ns,
            request: request(0, 4),
        }),
        requests: (1..=2).map(|rep| request(rep, generate)).collect(),
        memory: Memory {
            rss_peak_bytes: Some(98_000_000 + anon),
            rss_anon_bytes: Some(anon),
            rss_file_bytes: Some(97_000_000),
            pss_bytes: Some(97_500_000 + anon),
            n_samples: 40,
            ..Memory::default()
        },
        gates: vec![gate("nothing_cached", "0 cached"), gate("right_output", "the reference's 32 tokens")],
        reported: vec![Reported { name: "decode_tok_s".to_owned(), values: vec![decode * 1.01] }],
        verify_token_ids: None,
        cpu: Default::default(),
        forced: None,
    };
    record(planned, Outcome::Measured(Box::new(measured)))
}

fn cross_check(manifest: &Manifest) -> LaunchRecord {
    let planned = PlannedLaunch {
        launch_id: "x00-llama-bench-chat-t1".to_owned(),
        role: Role::CrossCheck,
        position: manifest.plan.launches.len() as u32,
        cell: Cell { framework: CROSS_CHECK_LABEL.to_owned(), ..manifest.plan.launches[0].cell.clone() },
        ..manifest.plan.launches[0].clone()
    };
    let speed = Speed { decode_tok_s: 97.0, parallel_share: 0.9, anon_mb: 41 };
    let mut record = measured(&planned, speed, &manifest.scenario.workloads[0]);
    record.argv = vec!["~/bin/llama-bench".to_owned()];
    record
}

fn record(planned: &PlannedLaunch, outcome: Outcome) -> LaunchRecord {
    LaunchRecord {
        schema: SAMPLE_SCHEMA,
        launch_id: planned.launch_id.clone(),
        block: planned.block,
        position: planned.position,
        role: planned.role,
        framework: planned.cell.framework.clone(),
        workload: planned.cell.workload.clone(),
        threads: planned.cell.threads,
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        wall_ns: 2_000_000_000,
        argv: vec![format!("~/bin/{}", planned.cell.framework), "--threads".to_owned()],
        environment: Default::default(),
        conditions: Default::default(),
        outcome,
    }
}

/// A manifest with these rows: the first is the baseline, the second the subject, and `ollama` is not installed.
pub(crate) fn manifest(labels: &[&str], blocks: u32) -> Manifest {
    let scenario = scenario(labels, blocks);
    let plan = plan(&scenario);
    Manifest {
        schema: BUNDLE_SCHEMA,
        id: "2026-01-02-test-box-example".to_owned(),
        created_at: "2026-01-02T03:04:05Z".to_owned(),
        command: ["harness", "run", "scenarios/example.yaml"].map(str::to_owned).to_vec(),
        harness_version: "0.1.0".to_owned(),
        harness_commit: Some("0123abc".to_owned()),
        scenario_text: "title: Example\nthreads: [1, 2]\n".to_owned(),
        scenario_sha256: "5ce0".repeat(16),
        scenario,
        preflight: Vec::new(),
        machine: machine(),
        model: ModelRecord {
            name: "SmolLM2 135M Instruct".to_owned(),
            quantization: "Q4_1".to_owned(),
            file_name: "SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            bytes: 98_000_000,
            sha256: "ab12".repeat(16),
            stand_in_reason: None,
            read_per_token: None,
        },
        frameworks: labels.iter().map(|l| framework(l)).collect(),
        frameworks_file: None,
        seed: 42,
        plan,
    }
}

fn scenario(labels: &[&str], blocks: u32) -> Scenario {
    Scenario {
        name: "example".to_owned(),
        title: "Example".to_owned(),
        description: "A synthetic run.".to_owned(),
        model: ModelSpec {
            name: "SmolLM2 135M Instruct".to_owned(),
            quantization: "Q4_1".to_owned(),
            source: ModelSource::Path("model.gguf".to_owned()),
            sha256: None,
            bytes: None,
            stand_in: None,
        },
        platform: Some(PlatformSpec {
            name: "Test box".to_owned(),
            nominal_ghz: Some(2.5),
            processors: Vec::new(),
        }),
        frameworks: labels
            .iter()
            .map(|l| FrameworkSpec {
                id: (*l).to_owned(),
                label: (*l).to_owned(),
                options: Default::default(),
                variant: None,
            })
            .collect(),
        baseline: labels[0].to_owned(),
        subject: labels[1].to_owned(),
        workloads: vec![Workload {
            name: "chat".to_owned(),
            prompt_tokens: 128,
            generate_tokens: 32,
            context: 256,
        }],
        threads: vec![1, 2],
        blocks,
        repetitions: 2,
        cold_generate: 4,
        seed: 42,
        kv_type: "f16".to_owned(),
        batch: 512,
        launch_timeout_s: 60,
        equivalence_margin: 0.02,
        verify_tokens: 32,
        cross_check: true,
        control: false,
        target_ci: None,
        blocks_max: blocks,
        pin: Default::default(),
        limits: Default::default(),
    }
}

fn plan(scenario: &Scenario) -> Plan {
    let mut launches = Vec::new();
    for block in 0..scenario.blocks {
        for threads in &scenario.threads {
            for row in scenario.frameworks.iter().filter(|f| f.id != "ollama") {
                launches.push(PlannedLaunch {
                    launch_id: format!("b{block:02}-{}-chat-t{threads}", row.label),
                    position: launches.len() as u32,
                    block,
                    role: Role::Measure,
                    cell: Cell {
                        framework: row.label.clone(),
                        workload: "chat".to_owned(),
                        threads: *threads,
                    },
                });
            }
        }
    }
    Plan { launches }
}

fn machine() -> Machine {
    Machine {
        id: "m-0011223344".to_owned(),
        label: "test-box".to_owned(),
        cpu: "Test CPU 9000".to_owned(),
        arch: "x86_64".to_owned(),
        isa: vec!["avx2".to_owned(), "fma".to_owned()],
        cores: 2,
        logical: 2,
        nominal_ghz: Some(2.5),
        governor: None,
        caches: vec![("L2".to_owned(), 1_048_576)],
        memory_bytes: 8_000_000_000,
        numa_nodes: Some(1),
        transparent_huge_pages: Some("madvise".to_owned()),
        kernel: "Linux 6.1".to_owned(),
        os: "Debian 13".to_owned(),
        hypervisor: None,
        container_limits: None,
        load_average: Some(0.1),
        ..Machine::default()
    }
}

fn framework(label: &str) -> FrameworkRecord {
    let (language, implementation, notes) = match label {
        "llama.cpp" => ("C++", "C++ + AVX2", "Industry standard"),
        "engine" => ("Rust", "Rust", "Pure Rust, no native dependencies"),
        "candle" => ("Rust", "Rust", "Minimalist framework"),
        _ => ("Go + llama.cpp", "Go + llama.cpp", "Server around llama.cpp"),
    };
    let is_missing = label == "ollama";
    FrameworkRecord {
        label: label.to_owned(),
        id: label.to_owned(),
        display_name: label.to_owned(),
        language: language.to_owned(),
        implementation: implementation.to_owned(),
        notes: notes.to_owned(),
        licence: "MIT".to_owned(),
        home_page: "https://example.org".to_owned(),
        program: (!is_missing).then(|| ProgramRecord {
            path: format!("~/bin/{label}"),
            version: "1.2.3".to_owned(),
            sha256: "cd34".repeat(16),
            build: "avx2".to_owned(),
            libraries: Vec::new(),
            notes: Vec::new(),
        }),
        unavailable: is_missing.then(|| Unavailable {
            kind: FailureKind::Missing,
            reason: "`ollama` is not on the PATH; install it from its home page".to_owned(),
        }),
        prepared: None,
        installation: None,
        missing_model: None,
    }
}
