//! The plan of a run, its manifest, and what of it is still to be done.

use super::estimate::{Estimate, Forecast};
use super::loading::Loaded;
use super::provenance::{harness_commit, now};
use super::{Args, Usage};
use crate::bundle::{BUNDLE_SCHEMA, Manifest, ModelRecord};
use crate::escape::printable;
use crate::machine::slug;
use crate::plan::{Plan, PlannedLaunch};
use anyhow::Result;

/// What a run is going to do.
pub(super) struct Planned {
    pub(super) manifest: Manifest,
    /// In order.
    pub(super) remaining: Vec<PlannedLaunch>,
}

pub(super) fn plan(args: &Args, loaded: &Loaded) -> Result<Planned> {
    if let (Some(bundle), Some(dir)) = (&loaded.resumed, &args.resume) {
        let manifest = bundle.manifest.clone();
        check_same_programs(&manifest, loaded)
            .map_err(|why| Usage(format!("{}: cannot be resumed: {why}", dir.display())))?;
        let remaining = manifest.plan.remaining(&bundle.finished()).into_iter().cloned().collect();
        return Ok(Planned { manifest, remaining });
    }
    let labels: Vec<&str> =
        loaded.rows.iter().filter(|r| r.is_available()).map(|r| r.record.label.as_str()).collect();
    let plan = Plan::build(&loaded.scenario, &labels, loaded.seed);
    let remaining = plan.launches.clone();
    Ok(Planned { manifest: manifest(loaded, plan), remaining })
}

fn manifest(loaded: &Loaded, plan: Plan) -> Manifest {
    let created_at = now();
    let date = created_at.split('T').next().unwrap_or_default();
    let model = &loaded.model;
    Manifest {
        schema: BUNDLE_SCHEMA,
        id: format!("{date}-{}-{}", loaded.machine.label, slug(&loaded.scenario.name)),
        command: std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect(),
        harness_version: env!("CARGO_PKG_VERSION").into(),
        harness_commit: harness_commit(),
        scenario_text: loaded.scenario_text.clone(),
        scenario_sha256: loaded.scenario_sha256.clone(),
        scenario: loaded.scenario.clone(),
        machine: loaded.machine.clone(),
        preflight: loaded.findings.clone(),
        model: ModelRecord {
            name: model.name.clone(),
            quantization: model.quantization.clone(),
            file_name: model.file_name.clone(),
            bytes: model.bytes,
            sha256: model.sha256.clone(),
            stand_in_reason: model.stand_in_reason.clone(),
            read_per_token: loaded.read_per_token,
        },
        frameworks: loaded.rows.iter().map(|row| row.record.clone()).collect(),
        frameworks_file: loaded.registry.added().cloned(),
        seed: loaded.seed,
        created_at,
        plan,
    }
}

/// A bundle is one measurement: what could be measured when it began must still be, its programs those that it began
/// with, and their libraries, where they were recorded, started in the same way.
fn check_same_programs(manifest: &Manifest, loaded: &Loaded) -> Result<(), String> {
    let file_now = loaded.registry.added();
    if manifest.frameworks_file.as_ref().map(|file| &file.sha256) != file_now.map(|file| &file.sha256) {
        return Err("its frameworks file is another one now; start a new run".into());
    }
    for then in &manifest.frameworks {
        let now = loaded.rows.iter().find(|row| row.record.label == then.label);
        let unavailable = now.and_then(|row| row.record.unavailable.as_ref());
        if let (None, Some(unavailable)) = (&then.unavailable, unavailable) {
            return Err(format!(
                "{} cannot be measured now, as it could be when the run began: {}",
                then.label, unavailable.reason
            ));
        }
        match (then.program.as_ref(), now.and_then(|row| row.record.program.as_ref())) {
            (None, _) => {}
            (Some(_), None) => return Err(format!("{} is not here any more", then.label)),
            (Some(then), Some(now)) if then.is_same_as(now) => {}
            _ => {
                return Err(format!("the program of {} is another one now; start a new run", then.label));
            }
        }
    }
    Ok(())
}

/// What is known of how long its launches take.
pub(super) fn forecast(args: &Args, loaded: &Loaded, planned: &Planned) -> Forecast {
    let mut forecast = Forecast::new(&args.out, &planned.manifest);
    let resumed = loaded.resumed.iter().flat_map(|bundle| &bundle.records);
    resumed.for_each(|record| forecast.learn(record));
    forecast
}

/// How long the run will take.
pub(super) fn time(planned: &Planned, forecast: &Forecast) -> Estimate {
    let blocks = planned.manifest.scenario.blocks;
    forecast.of(planned.remaining.iter().filter(|l| l.block < blocks))
}

/// Whether all rows stand in each place equally often, and with how many blocks they would.
fn balance(n_blocks: usize, square: usize) -> String {
    let below = n_blocks - n_blocks.checked_rem(square).unwrap_or(0);
    if below == n_blocks {
        return format!("Order: {n_blocks} blocks balance it (a Williams square has {square}).");
    }
    let above = below + square;
    let whole = if below == 0 { above.to_string() } else { format!("{below} or {above}") };
    format!(
        "Order: a Williams square has {square} blocks here, so that with {n_blocks} some rows stand once more often in some \
         places; {whole} blocks balance it."
    )
}

/// Prints the plan.
pub(super) fn show(planned: &Planned, time: Estimate) {
    for framework in &planned.manifest.frameworks {
        let label = printable(&framework.label);
        match &framework.unavailable {
            Some(unavailable) => {
                println!("{label}: cannot be measured: {}", printable(&unavailable.reason));
            }
            None => println!("{label}: {}", printable(&framework.display_name)),
        }
    }
    let scenario = &planned.manifest.scenario;
    for launch in planned.remaining.iter().filter(|l| l.block < scenario.blocks) {
        println!("{}", launch.launch_id);
    }
    println!("{time}");
    println!("{}", balance(scenario.blocks as usize, planned.manifest.plan.blocks_of_a_square()));
    if let Some(target) = scenario.target_ci {
        let (blocks, most) = (scenario.blocks, scenario.blocks_max);
        println!(
            "The time is that of {blocks} blocks; more follow, {most} at most, until every interval is within {}%.",
            target * 100.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_balanced_by_whole_squares() {
        let said = |n_blocks, square| balance(n_blocks, square);
        assert_eq!(said(8, 4), "Order: 8 blocks balance it (a Williams square has 4).");
        assert!(said(6, 4).ends_with(
            "so that with 6 some rows stand once more often in some places; 4 or 8 blocks balance it."
        ));
        assert!(said(8, 18).ends_with("; 18 blocks balance it."));
        assert_eq!(said(3, 0), "Order: 3 blocks balance it (a Williams square has 0).");
    }
}
