//! The change points of the series on stdin, for `scripts/check-changepoints`: a list of `{"values": […], "window": 50, "p_max":
//! 0.001, "magnitude_min": 0.02}` in, a list of lists of indices out.

use harness::stats::{ChangeRule, change_points};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    values: Vec<f64>,
    window: usize,
    p_max: f64,
    magnitude_min: f64,
}

fn main() -> anyhow::Result<()> {
    let cases: Vec<Case> = serde_json::from_reader(std::io::stdin())?;
    let indices = |case: &Case| -> Vec<usize> {
        let rule = ChangeRule { window: case.window, p_max: case.p_max, magnitude_min: case.magnitude_min };
        change_points(&case.values, &rule).iter().map(|point| point.index).collect()
    };
    println!("{}", serde_json::to_string(&cases.iter().map(indices).collect::<Vec<_>>())?);
    Ok(())
}
