//! What must be the same in two bundles, and what differs and may.

use super::{Difference, Side};
use crate::bundle::{FrameworkRecord, Manifest};
use crate::protocol::WeightsClass;
use crate::sample::{LaunchRecord, Outcome, Role};
use crate::scenario::SIMULATED_ID;
use crate::scenario::{FrameworkSpec, Workload};
use std::collections::BTreeSet;

/// Every reason why the two cannot be compared.
pub(super) fn reasons(a: Side, b: Side, across_machines: bool) -> Vec<String> {
    let (ma, mb) = (a.manifest, b.manifest);
    let (sa, sb) = (&ma.scenario, &mb.scenario);
    let mut reasons = Vec::new();
    if let Some(unlike) = ma.machine.unlike(&mb.machine).filter(|_| !across_machines) {
        let hint = "`--across-machines` shows both, without verdicts";
        reasons.push(format!("A and B are of two machines, {unlike}; {hint}"));
    }
    let mut must_equal = |what: &str, in_a: &str, in_b: &str| {
        if in_a != in_b {
            reasons.push(format!("{what} differs: {in_a} in A, {in_b} in B"));
        }
    };
    must_equal("the model (sha256)", &ma.model.sha256, &mb.model.sha256);
    must_equal("the KV type", &sa.kv_type, &sb.kv_type);
    must_equal("the batch", &sa.batch.to_string(), &sb.batch.to_string());
    let mut n_common = 0;
    for workload in &sb.workloads {
        if let Some(other) = sa.workload(&workload.name) {
            n_common += 1;
            must_equal(&format!("the workload {}", workload.name), &work(other), &work(workload));
        }
    }
    if n_common == 0 {
        let names = |workloads: &[Workload]| list(workloads.iter().map(|w| w.name.clone()));
        reasons.push(format!(
            "no workload in common: {} in A, {} in B",
            names(&sa.workloads),
            names(&sb.workloads)
        ));
    }
    if !sa.threads.iter().any(|t| sb.threads.contains(t)) {
        let counts = |threads: &[u32]| list(threads.iter().map(u32::to_string));
        reasons.push(format!(
            "no thread count in common: {} in A, {} in B",
            counts(&sa.threads),
            counts(&sb.threads)
        ));
    }
    reasons.extend(row_reasons(a, b));
    reasons
}

/// Rows: at least one must be in both, measured in both or simulated in both, with weights of one class.
fn row_reasons(a: Side, b: Side) -> Vec<String> {
    let (in_a, in_b) = (&a.manifest.scenario.frameworks, &b.manifest.scenario.frameworks);
    let mut reasons = Vec::new();
    let mut n_common = 0;
    for row in in_b {
        let label = &row.label;
        let Some(other) = in_a.iter().find(|r| r.label == *label) else { continue };
        n_common += 1;
        let how = |r: &FrameworkSpec| if r.id == SIMULATED_ID { "simulated" } else { "measured" };
        if how(other) != how(row) {
            reasons.push(format!("{label} is {} in A and {} in B", how(other), how(row)));
        }
        if let (Some(class_a), Some(class_b)) = (weights_class(a, label), weights_class(b, label))
            && class_a != class_b
        {
            reasons
                .push(format!("the weights of {label} are of class {class_a:?} in A and {class_b:?} in B"));
        }
    }
    if n_common == 0 {
        let labels = |rows: &[FrameworkSpec]| list(rows.iter().map(|r| r.label.clone()));
        reasons.push(format!("no row in common: {} in A, {} in B", labels(in_a), labels(in_b)));
    }
    reasons
}

/// The worst class of a row's launches.
fn weights_class(side: Side, label: &str) -> Option<WeightsClass> {
    let launches = side.records.iter().filter(|r| r.role == Role::Measure && r.framework == label);
    let class = |r: &LaunchRecord| match &r.outcome {
        Outcome::Measured(measured) => Some(measured.weights_class),
        Outcome::Failed { .. } => None,
    };
    launches.filter_map(class).max()
}

fn work(w: &Workload) -> String {
    format!(
        "{} prompt + {} generated tokens in a context of {}",
        w.prompt_tokens, w.generate_tokens, w.context
    )
}

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn spec<'a>(manifest: &'a Manifest, label: &str) -> (Option<&'a FrameworkSpec>, Option<&'a FrameworkRecord>) {
    (manifest.scenario.framework(label), manifest.frameworks.iter().find(|f| f.label == label))
}

/// The label of the baseline, if both sessions have the same one: by name, settings, version and program file.
pub(super) fn common_baseline<'a>(a: &'a Manifest, b: &'a Manifest) -> Result<&'a str, String> {
    let label = b.scenario.baseline.as_str();
    let cannot = "drift of the machine cannot be told from a change";
    if a.scenario.baseline != label {
        return Err(format!("the baseline is {} in A and {label} in B: {cannot}", a.scenario.baseline));
    }
    let ((spec_a, record_a), (spec_b, record_b)) = (spec(a, label), spec(b, label));
    let program = |record: Option<&'a FrameworkRecord>| record.and_then(|r| r.program.as_ref());
    match (program(record_a), program(record_b)) {
        (Some(in_a), Some(in_b)) if !in_a.is_same_as(in_b) || in_a.version != in_b.version => {
            Err(format!("the baseline {label} is another program in B: {cannot}"))
        }
        (Some(_), Some(_)) if spec_a != spec_b => {
            Err(format!("the baseline {label} has other settings in B: {cannot}"))
        }
        (Some(_), Some(_)) => Ok(label),
        _ => Err(format!("the baseline {label} was not there in both: {cannot}")),
    }
}

/// What is not the same and need not be.
pub(super) fn differences(a: &Manifest, b: &Manifest) -> Vec<Difference> {
    let none = || "unavailable".to_owned();
    let (sa, sb) = (&a.scenario, &b.scenario);
    let (ma, mb) = (&a.machine, &b.machine);
    let mut all = vec![
        ("begun", a.created_at.clone(), b.created_at.clone()),
        ("machine", ma.id.clone(), mb.id.clone()),
        ("kernel", ma.kernel.clone(), mb.kernel.clone()),
        ("system", ma.os.clone(), mb.os.clone()),
        ("governor", ma.governor.clone().unwrap_or_else(none), mb.governor.clone().unwrap_or_else(none)),
        (
            "hypervisor",
            ma.hypervisor.clone().unwrap_or_else(none),
            mb.hypervisor.clone().unwrap_or_else(none),
        ),
        (
            "limits of the container",
            ma.container_limits.clone().unwrap_or_else(none),
            mb.container_limits.clone().unwrap_or_else(none),
        ),
        (
            "transparent huge pages",
            ma.transparent_huge_pages.clone().unwrap_or_else(none),
            mb.transparent_huge_pages.clone().unwrap_or_else(none),
        ),
        ("harness", a.harness_version.clone(), b.harness_version.clone()),
        (
            "commit of the harness",
            a.harness_commit.clone().unwrap_or_else(none),
            b.harness_commit.clone().unwrap_or_else(none),
        ),
        ("scenario (sha256)", a.scenario_sha256.clone(), b.scenario_sha256.clone()),
        ("seed", a.seed.to_string(), b.seed.to_string()),
        ("blocks", sa.blocks.to_string(), sb.blocks.to_string()),
        ("requests in a launch", sa.repetitions.to_string(), sb.repetitions.to_string()),
        ("tokens of the cold request", sa.cold_generate.to_string(), sb.cold_generate.to_string()),
        ("margin", sa.equivalence_margin.to_string(), sb.equivalence_margin.to_string()),
        ("baseline", sa.baseline.clone(), sb.baseline.clone()),
        ("subject", sa.subject.clone(), sb.subject.clone()),
        (
            "workloads",
            list(sa.workloads.iter().map(|w| w.name.clone())),
            list(sb.workloads.iter().map(|w| w.name.clone())),
        ),
        (
            "thread counts",
            list(sa.threads.iter().map(u32::to_string)),
            list(sb.threads.iter().map(u32::to_string)),
        ),
    ];
    all.retain(|(_, in_a, in_b)| in_a != in_b);
    let named = |(what, a, b): (&str, String, String)| Difference { what: what.to_owned(), a, b };
    let mut differences: Vec<Difference> = all.into_iter().map(named).collect();
    differences.extend(row_differences(a, b));
    differences
}

fn row_differences(a: &Manifest, b: &Manifest) -> Vec<Difference> {
    let labels =
        |m: &Manifest| m.scenario.frameworks.iter().map(|f| f.label.clone()).collect::<BTreeSet<_>>();
    let (in_a, in_b) = (labels(a), labels(b));
    let mut differences = Vec::new();
    for label in in_a.union(&in_b) {
        let said = |m: &Manifest| -> [String; 4] {
            let (spec, record) = spec(m, label);
            let Some(spec) = spec else { return ["no such row"; 4].map(str::to_owned) };
            let options = list(spec.options.iter().map(|(key, value)| format!("{key}: {value}")));
            match record.and_then(|r| r.program.as_ref()) {
                Some(p) => [options, p.version.clone(), p.build.clone(), p.sha256.clone()],
                None => [options, "not there".into(), "not there".into(), "not there".into()],
            }
        };
        let what = ["settings of", "version of", "build of", "program (sha256) of"];
        for (what, (a, b)) in what.into_iter().zip(said(a).into_iter().zip(said(b))) {
            if a != b {
                differences.push(Difference { what: format!("{what} {label}"), a, b });
            }
        }
    }
    differences
}
