//! Axes in pixels with round ticks.

use crate::units::fixed;

/// From this ratio of the largest to the smallest value on, an axis is logarithmic: bars from zero would hide the small ones.
const LOG_FROM: f64 = 20.0;

/// An axis between two pixels: linear, or logarithmic.
pub(super) struct Axis {
    min: f64,
    max: f64,
    from: i32,
    to: i32,
    /// Distance of ticks on a linear axis; `None` on a logarithmic one.
    step: Option<f64>,
}

impl Axis {
    /// From 0 to a little more than `max`.
    pub(super) fn from_zero(max: f64, from: i32, to: i32, ticks: u32) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        Axis { min: 0.0, max: max * 1.02, from, to, step: Some(step(max, ticks)) }
    }

    /// From a little less than `min` to a little more than `max`, in round steps.
    pub(super) fn between(min: f64, max: f64, from: i32, to: i32, ticks: u32) -> Self {
        Axis { min, max, from, to, step: Some(step(max - min, ticks)) }
    }

    /// For positive values: linear from zero, or logarithmic where they lie far apart.
    pub(super) fn for_values(min: f64, max: f64, from: i32, to: i32, ticks: u32) -> Self {
        if min > 0.0 && max / min >= LOG_FROM {
            Axis { min: min * 0.8, max: max * 1.1, from, to, step: None }
        } else {
            Axis::from_zero(max, from, to, ticks)
        }
    }

    /// Whether it is logarithmic.
    pub(super) fn is_log(&self) -> bool {
        self.step.is_none()
    }

    /// The pixel of a value; of one that lies below a logarithmic axis its start.
    pub(super) fn at(&self, value: f64) -> i32 {
        let share = match self.step {
            Some(_) => (value - self.min) / (self.max - self.min),
            None => (value.max(self.min) / self.min).ln() / (self.max / self.min).ln(),
        };
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }

    /// Its first pixel.
    pub(super) fn start(&self) -> i32 {
        self.from
    }

    /// Ticks with their labels.
    pub(super) fn ticks(&self) -> Vec<(i32, String)> {
        match self.step {
            Some(step) => self.linear_ticks(step),
            None => self.log_ticks(),
        }
    }

    fn linear_ticks(&self, step: f64) -> Vec<(i32, String)> {
        let decimals = decimals(step);
        let first = (self.min / step - 1e-9).ceil();
        (0..)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|&v| v <= self.max)
            .map(|v| (self.at(v), fixed(v + 0.0, decimals)))
            .collect()
    }

    /// 1, 2, 5, 10 …, or powers of ten alone where that would be many.
    fn log_ticks(&self) -> Vec<(i32, String)> {
        let decades = (self.max / self.min).log10();
        let factors: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (self.min.log10().floor() as i32, self.max.log10().ceil() as i32);
        (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power)))
            .filter(|&v| v >= self.min && v <= self.max)
            .map(|v| (self.at(v), fixed(v, (-v.log10().floor()).max(0.0) as usize)))
            .collect()
    }
}

/// 1, 2, 2.5 or 5 times a power of ten, so that about `ticks` of them make `span`.
fn step(span: f64, ticks: u32) -> f64 {
    let rough = span / f64::from(ticks.max(1));
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|m| m * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

fn decimals(step: f64) -> usize {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let is_quarter = (step / 10f64.powf(step.log10().floor()) - 2.5).abs() < 1e-6;
    match step {
        step if step >= 10.0 => 0,
        _ if is_quarter => decimals + 1,
        _ => decimals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::from_zero(96.0, 0, 100, 5)), ["0", "20", "40", "60", "80"]);
        assert_eq!(
            labels(&Axis::between(0.963, 1.087, 100, 0, 5)),
            ["0.975", "1.000", "1.025", "1.050", "1.075"]
        );
        assert_eq!(labels(&Axis::between(0.9, 1.3, 100, 0, 5)), ["0.9", "1.0", "1.1", "1.2", "1.3"]);
    }

    #[test]
    fn values_far_apart_get_a_logarithmic_axis() {
        assert!(!Axis::for_values(10.0, 190.0, 0, 100, 5).is_log());
        let axis = Axis::for_values(5.0, 400.0, 0, 100, 5);
        assert!(axis.is_log());
        assert_eq!(labels(&axis), ["5", "10", "20", "50", "100", "200"]);
        assert_eq!(labels(&Axis::for_values(0.3, 3000.0, 0, 100, 5)), ["1", "10", "100", "1000"]);
        assert!(axis.at(5.0) > axis.start() && axis.at(0.0) == axis.start());
    }
}
