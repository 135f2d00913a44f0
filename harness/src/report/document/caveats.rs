//! What qualifies the figures of a run, as far as its bundle tells it.

use super::Run;
use crate::report::text::{md, message};
use crate::report::view::other_platform;
use crate::verdict::BLOCKS_TO_RANK;
use serde::Serialize;

/// A run and what qualifies its figures.
#[derive(Debug, Serialize)]
pub(super) struct Caveats {
    platform: String,
    words: Vec<String>,
}

/// Each by its own rule; empty where nothing is known that qualifies them.
pub(super) fn caveats(run: &Run) -> Caveats {
    let manifest = run.source.manifest;
    let summary = &run.summary;
    let n_blocks = run.source.records.iter().map(|r| r.block as usize + 1).max().unwrap_or(0);
    let simulated = summary.rows.iter().filter(|r| r.is_simulated).count();
    let disturbed = summary.disturbances.len();
    let plural = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let words = [
        (simulated > 0).then(|| format!("{} simulated", plural(simulated, "row is", "rows are"))),
        manifest.model.stand_in_reason.as_deref().map(|_| {
            format!(
                "measured on {}, which stands in for the model that the scenario names",
                md(&manifest.model.name)
            )
        }),
        other_platform(manifest).map(|name| format!("the scenario was written for {}", md(name))),
        (n_blocks < BLOCKS_TO_RANK).then(|| {
            format!("{}; fewer than {BLOCKS_TO_RANK} rank nothing", plural(n_blocks, "block", "blocks"))
        }),
        summary.noise.as_deref().map(|noise| format!("nothing is ranked: {}", message(noise))),
        (disturbed > 0).then(|| {
            let cells = plural(disturbed, "cell of a block was", "cells of blocks were");
            format!("{cells} disturbed and stand in no comparison")
        }),
        manifest
            .machine
            .hypervisor
            .as_deref()
            .map(|name| format!("a virtual machine ({}): what its neighbours do is not seen", md(name))),
        summary.clocks.is_empty().then(|| "the system does not tell the clock".to_owned()),
    ];
    Caveats { platform: run.link(), words: words.into_iter().flatten().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Source;
    use crate::testing;

    #[test]
    fn caveats_follow_the_bundle() {
        let (mut manifest, records) = testing::example();
        let words = |manifest: &crate::bundle::Manifest, blocks| {
            let records = testing::first_blocks(&records, blocks);
            caveats(&Run::of(Source { manifest, records: &records, href: "runs/a" }, 1)).words
        };
        manifest.scenario.platform = None;
        manifest.machine.hypervisor = None;
        assert_eq!(words(&manifest, 6), Vec::<String>::new());
        assert_eq!(words(&manifest, 5), ["5 blocks; fewer than 6 rank nothing"]);
        manifest.machine.hypervisor = Some("K|VM".to_owned());
        manifest.machine.nominal_ghz = None;
        manifest.model.stand_in_reason = Some("no network".to_owned());
        let all = words(&manifest, 1);
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all[0].starts_with("measured on ") && all[1].starts_with("1 block; "), "{all:?}");
        assert!(all[2].contains("K\\|VM") && all[3].contains("clock"), "{all:?}");
    }
}
