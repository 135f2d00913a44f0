//! Where a document contradicts its own figures: each claim beside what follows from the figures it rests on.

use super::tables::{platform_heading, scaling, show_scaling};
use super::{Platform, Published, Span};
use crate::rating::{efficiency_stars, memory_stars, show_per_ghz_core, stars};
use crate::units::{fixed, show_difference, show_percent};

/// A claim that differs from what follows from the document's own figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Section or platform.
    pub place: String,
    /// Of which framework; empty for a sentence on several.
    pub framework: String,
    /// What is claimed: a column, or a sentence's words.
    pub what: String,
    /// As the document has it.
    pub claimed: String,
    /// As it follows from the document's figures.
    pub recomputed: String,
    /// The figures that it follows from.
    pub from: String,
}

/// Every contradiction, in the document's order.
pub fn audit(published: &Published) -> Vec<Finding> {
    let mut findings = quick(published);
    for platform in &published.platforms {
        findings.extend(threads(published, platform));
    }
    findings.extend(restated(published));
    findings.extend(efficiency(published));
    findings.extend(memory(published));
    findings.extend(statements(published));
    findings.into_iter().filter(|finding| finding.claimed != finding.recomputed).collect()
}

fn quick(published: &Published) -> Vec<Finding> {
    let quick = &published.quick_comparison;
    let Some(base) = quick.rows.iter().find(|row| row.framework == published.document.baseline) else {
        return Vec::new();
    };
    let finding = |row: &super::QuickRow| {
        let claimed = row.vs_baseline_percent?;
        let ratio = row.decode_tok_s.midpoint() / base.decode_tok_s.midpoint();
        Some(Finding {
            place: "Executive Summary".into(),
            framework: row.framework.clone(),
            what: format!("vs {}", base.framework),
            claimed: format!("{claimed:+}%"),
            recomputed: show_difference(ratio),
            from: format!("{} and {} tok/s", row.decode_tok_s, base.decode_tok_s),
        })
    };
    quick.rows.iter().filter_map(finding).collect()
}

fn threads(published: &Published, platform: &Platform) -> Vec<Finding> {
    let Some(multi) = &platform.multi_thread else { return Vec::new() };
    let mut findings = Vec::new();
    for row in &multi.rows {
        let Some(single) = platform.single(published, published.id_of(&row.framework)) else { continue };
        let seen = scaling(&row.decode_tok_s, &single.decode_tok_s);
        let mut add = |what: &str, claimed: String, recomputed: String| {
            findings.push(Finding {
                place: platform_heading(platform),
                framework: row.framework.clone(),
                what: format!("{what}, {} threads", multi.threads),
                claimed,
                recomputed,
                from: format!("{} and {} tok/s", row.decode_tok_s, single.decode_tok_s),
            });
        };
        add("Scaling", show_scaling((row.scaling, seen.1)), show_scaling(seen));
        if let Some(claimed) = row.efficiency_percent {
            add("Efficiency", format!("{claimed}%"), show_percent(seen.0 / f64::from(multi.threads)));
        }
    }
    findings
}

/// Figures that the document gives twice: once of a platform, once in a summary of it.
fn restated(published: &Published) -> Vec<Finding> {
    let finding = |place: &str, framework: &str, platform: &str, stated: Span| {
        let platform = published.platform(platform)?;
        let single = platform.single(published, published.id_of(framework))?.decode_tok_s;
        // A single value that lies in the platform's range does not contradict it.
        let agrees = if stated.is_range() { stated == single } else { single.holds(stated.midpoint()) };
        (!agrees).then(|| Finding {
            place: place.into(),
            framework: framework.into(),
            what: "Tok/s".into(),
            claimed: stated.to_string(),
            recomputed: single.to_string(),
            from: format!("the single-thread table of {}", platform.name),
        })
    };
    let quick = published.quick_comparison.rows.iter().filter_map(|row| {
        finding("Executive Summary", &row.framework, &published.quick_comparison.platform, row.decode_tok_s)
    });
    let efficiency = published.efficiency.rows.iter().filter_map(|row| {
        finding(
            "Normalized Efficiency Comparison",
            &row.framework,
            &published.efficiency.platform,
            row.decode_tok_s,
        )
    });
    quick.chain(efficiency).collect()
}

fn efficiency(published: &Published) -> Vec<Finding> {
    let table = &published.efficiency;
    let ghz = table.clock_ghz.midpoint() * f64::from(table.threads);
    let best =
        table.rows.iter().map(|row| row.decode_tok_s.midpoint() / ghz).fold(f64::MIN_POSITIVE, f64::max);
    let mut findings = Vec::new();
    for row in &table.rows {
        let is_subject = row.framework == published.document.subject;
        let per_core = row.decode_tok_s.midpoint() / ghz;
        let show = |value| show_per_ghz_core(value, is_subject);
        let mut add = |what: &str, claimed: String, recomputed: String| {
            findings.push(Finding {
                place: "Normalized Efficiency Comparison".into(),
                framework: row.framework.clone(),
                what: what.into(),
                claimed,
                recomputed,
                from: format!("{} tok/s, {} GHz", row.decode_tok_s, table.clock_ghz),
            });
        };
        add("Tok/s per GHz/core", show(row.per_ghz_core), show(per_core));
        add("Efficiency Rating", stars(row.stars), stars(efficiency_stars(per_core / best)));
    }
    findings
}

fn memory(published: &Published) -> Vec<Finding> {
    let overhead = |row: &super::MemoryRow| row.peak_rss_mb.midpoint() - published.model.size_mb;
    let rows = &published.memory.rows;
    let least = rows.iter().map(overhead).filter(|o| *o > 0.0).min_by(f64::total_cmp);
    let mut findings = Vec::new();
    for row in rows {
        let mut add = |what: &str, claimed: String, recomputed: String| {
            findings.push(Finding {
                place: "Memory Efficiency Comparison".into(),
                framework: row.framework.clone(),
                what: what.into(),
                claimed,
                recomputed,
                from: format!("{} and {} MB", row.peak_rss_mb, published.model.size_mb),
            });
        };
        add("Overhead", format!("{} MB", row.overhead_mb), format!("{} MB", fixed(overhead(row), 0)));
        add("Efficiency", stars(row.stars), stars(memory_stars(overhead(row), least)));
    }
    findings
}

/// Sentences with a percentage: it agrees if it is, or holds, what the figures give: in whole percent, or to the nearest five
/// where it is said to be about so much.
fn statements(published: &Published) -> Vec<Finding> {
    let finding = |statement: &super::Statement| {
        let claimed = statement.percent?;
        let (upper, lower) = held_against(published, statement.of.as_deref()?)?;
        let share = 100.0 * upper.1.midpoint() / lower.1.midpoint();
        let percent = share.round() - if statement.is_gain { 100.0 } else { 0.0 };
        let agrees = claimed.holds(if statement.is_about { 5.0 * (share / 5.0).round() } else { percent });
        (!agrees).then(|| Finding {
            place: "In words".into(),
            framework: upper.0.clone(),
            what: statement.says.clone(),
            claimed: format!("{}{claimed}%", if statement.is_about { "~" } else { "" }),
            recomputed: format!("{}%", fixed(percent, 0)),
            from: format!("{} and {} tok/s", upper.1, lower.1),
        })
    };
    published.statements.iter().filter_map(finding).collect()
}

type Named = (String, Span);

/// The two figures whose quotient a sentence states: subject and baseline; for Metal, its row and the CPU's.
fn held_against(published: &Published, of: &str) -> Option<(Named, Named)> {
    let names = (&published.document.subject, &published.document.baseline);
    let named = |name: &str, span: Span| (name.to_owned(), span);
    match of {
        "quick_comparison" => {
            let rows = &published.quick_comparison.rows;
            let find =
                |name: &str| rows.iter().find(|r| r.framework == name).map(|r| named(name, r.decode_tok_s));
            Some((find(names.0)?, find(names.1)?))
        }
        "efficiency" => {
            let rows = &published.efficiency.rows;
            let base_id = published.id_of(names.1);
            let base = rows.iter().find(|r| published.id_of(&r.framework) == base_id)?;
            let subject = rows.iter().find(|r| r.framework == *names.0)?;
            Some((named(names.0, subject.decode_tok_s), named(&base.framework, base.decode_tok_s)))
        }
        "metal" => {
            let platform =
                published.platforms.iter().find(|p| p.single(published, "llama.cpp-metal").is_some())?;
            let row =
                |id: &str| platform.single(published, id).map(|r| named(&r.implementation, r.decode_tok_s));
            Some((row("llama.cpp-metal")?, row("llama.cpp")?))
        }
        id => {
            let platform = published.platform(id)?;
            let row = |name: &str| {
                platform.single(published, published.id_of(name)).map(|r| named(name, r.decode_tok_s))
            };
            Some((row(names.0)?, row(names.1)?))
        }
    }
}
