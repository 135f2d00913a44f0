//! Rotary position embeddings (Su et al. 2021), with the scalings found in GGUF files: linear (Chen et al. 2023),
//! YaRN (Peng et al. 2023) and per-frequency factors (Llama 3, LongRoPE), combined as llama.cpp combines them.

/// Which elements of a head form a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// (2i, 2i + 1): llama's files are permuted for it.
    Adjacent,
    /// (i, i + n/2), as in the original GPT-NeoX code.
    #[cfg_attr(not(test), expect(dead_code, reason = "for architectures that follow"))]
    Halves,
}

/// How positions become angles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rope {
    pub pairs: Pairs,
    /// Elements rotated in each head; the rest pass through.
    pub n_rot: usize,
    /// Angle per position of each pair, scaling applied.
    frequencies: Vec<f64>,
    /// Multiplies cos and sin.
    magnitude: f64,
}

/// The scaling of a model whose context was extended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    /// Each frequency is divided by its own first, \[n_rot / 2\].
    pub factors: Option<Vec<f32>>,
    /// Then positions are divided by this one.
    pub factor: f64,
    /// Not at all frequencies alike, with YaRN.
    pub yarn: Option<Yarn>,
    /// Multiplies cos and sin.
    pub attention_factor: f64,
}

/// High frequencies are kept, low ones interpolated, a ramp between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Yarn {
    pub original_context: f64,
    pub beta_fast: f64,
    pub beta_slow: f64,
}

impl Rope {
    pub(crate) fn new(pairs: Pairs, n_rot: usize, base: f64, scaling: &Scaling) -> Self {
        let n = n_rot / 2;
        let Scaling { factors, factor, yarn, attention_factor } = scaling;
        let own = |i: usize| factors.as_ref().map_or(1.0, |factors| f64::from(factors[i]));
        let plain = |i: usize| libm::pow(base, -2.0 * i as f64 / n_rot as f64) / own(i);
        let frequencies: Vec<f64> = match yarn {
            None => (0..n).map(|i| plain(i) / factor).collect(),
            Some(Yarn { original_context, beta_fast, beta_slow }) => {
                let dim = |beta: f64| correction_dim(n_rot, *original_context, beta, base);
                let low = dim(*beta_fast).floor().max(0.0);
                let high = dim(*beta_slow).ceil().min(n_rot as f64 - 1.0);
                let keep = |i: usize| 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                (0..n).map(|i| plain(i) * (keep(i) + (1.0 - keep(i)) / factor)).collect()
            }
        };
        let entropy = if yarn.is_some() { 1.0 + 0.1 * libm::log(*factor) } else { 1.0 };
        Self { pairs, n_rot, frequencies, magnitude: attention_factor * entropy }
    }

    /// Appends (cos, sin) of every pair at `position`: n_rot / 2 of them.
    pub(crate) fn angles(&self, position: usize, out: &mut Vec<(f32, f32)>) {
        // The angle is rounded to f32 as the reference implementations do; cos and sin are then exact to f32.
        out.extend(self.frequencies.iter().map(|f| {
            let angle = f64::from((position as f64 * f) as f32);
            ((libm::cos(angle) * self.magnitude) as f32, (libm::sin(angle) * self.magnitude) as f32)
        }));
    }

    /// Rotates one head.
    pub(crate) fn rotate(&self, head: &mut [f32], angles: &[(f32, f32)]) {
        let half = self.n_rot / 2;
        for (i, &(cos, sin)) in angles.iter().enumerate() {
            let (a, b) = match self.pairs {
                Pairs::Adjacent => (2 * i, 2 * i + 1),
                Pairs::Halves => (i, i + half),
            };
            let (x, y) = (head[a], head[b]);
            head[a] = x * cos - y * sin;
            head[b] = x * sin + y * cos;
        }
    }
}

/// The pair that turns `beta` times within the original context (YaRN, section 3.2).
fn correction_dim(n_rot: usize, original_context: f64, beta: f64, base: f64) -> f64 {
    n_rot as f64 * libm::log(original_context / (beta * std::f64::consts::TAU)) / (2.0 * libm::log(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Scaling = Scaling { factors: None, factor: 1.0, yarn: None, attention_factor: 1.0 };

    fn angles(rope: &Rope, position: usize) -> Vec<(f32, f32)> {
        let mut out = Vec::new();
        rope.angles(position, &mut out);
        out
    }

    #[test]
    fn rotation_keeps_length_and_depends_on_distance_only() {
        for pairs in [Pairs::Adjacent, Pairs::Halves] {
            let rope = Rope::new(pairs, 8, 10_000.0, &PLAIN);
            let q: Vec<f32> = (0..8).map(|i| (i as f32).sin()).collect();
            let k: Vec<f32> = (0..8).map(|i| (i as f32 * 1.3).cos()).collect();
            let dot = |p: usize, t: usize| {
                let (mut q, mut k) = (q.clone(), k.clone());
                rope.rotate(&mut q, &angles(&rope, p));
                rope.rotate(&mut k, &angles(&rope, t));
                q.iter().zip(&k).map(|(a, b)| a * b).sum::<f32>()
            };
            assert!((dot(0, 0) - dot(100, 100)).abs() < 1e-5);
            assert!((dot(7, 3) - dot(1004, 1000)).abs() < 1e-4);
            assert!((dot(7, 3) - dot(7, 4)).abs() > 1e-3);
        }
    }

    #[test]
    fn the_two_orders_differ_by_a_permutation() {
        let mut adjacent = [1.0, 2.0, 3.0, 4.0];
        let mut halves = [1.0, 3.0, 2.0, 4.0];
        for (pairs, head) in [(Pairs::Adjacent, &mut adjacent), (Pairs::Halves, &mut halves)] {
            let rope = Rope::new(pairs, 4, 100.0, &PLAIN);
            rope.rotate(head, &angles(&rope, 5));
        }
        assert_eq!([adjacent[0], adjacent[2], adjacent[1], adjacent[3]], halves);
    }

    #[test]
    fn elements_beyond_n_rot_pass_through() {
        let rope = Rope::new(Pairs::Adjacent, 2, 10_000.0, &PLAIN);
        let mut head = [1.0, 0.0, 5.0, 6.0];
        rope.rotate(&mut head, &angles(&rope, 1));
        assert!((head[0] - 1.0_f32.cos()).abs() < 1e-6 && (head[1] - 1.0_f32.sin()).abs() < 1e-6);
        assert_eq!(head[2..], [5.0, 6.0]);
    }

    #[test]
    fn linear_scaling_divides_positions() {
        let plain = Rope::new(Pairs::Adjacent, 8, 10_000.0, &PLAIN);
        let scaled = Rope::new(Pairs::Adjacent, 8, 10_000.0, &Scaling { factor: 4.0, ..PLAIN });
        assert_eq!(angles(&plain, 3), angles(&scaled, 12));
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_interpolates_slow_ones() {
        let yarn = Yarn { original_context: 2048.0, beta_fast: 32.0, beta_slow: 1.0 };
        let yarn = Scaling { factor: 8.0, yarn: Some(yarn), ..PLAIN };
        let plain = Rope::new(Pairs::Adjacent, 64, 10_000.0, &PLAIN);
        let scaled = Rope::new(Pairs::Adjacent, 64, 10_000.0, &yarn);
        assert_eq!(scaled.frequencies[0], plain.frequencies[0]);
        assert!((scaled.frequencies[31] * 8.0 / plain.frequencies[31] - 1.0).abs() < 1e-12);
        assert!((scaled.magnitude - (1.0 + 0.1 * 8.0_f64.ln())).abs() < 1e-12);
    }

    #[test]
    fn factors_divide_each_frequency() {
        let scaling = Scaling { factors: Some(vec![1.0, 2.0]), attention_factor: 1.5, ..PLAIN };
        let plain = Rope::new(Pairs::Adjacent, 4, 10_000.0, &PLAIN);
        let scaled = Rope::new(Pairs::Adjacent, 4, 10_000.0, &scaling);
        assert_eq!(scaled.frequencies[0], plain.frequencies[0]);
        assert_eq!(scaled.frequencies[1] * 2.0, plain.frequencies[1]);
        assert_eq!(scaled.magnitude, 1.5);
        let both = Rope::new(Pairs::Adjacent, 4, 10_000.0, &Scaling { factor: 4.0, ..scaling });
        assert_eq!(both.frequencies[1] * 8.0, plain.frequencies[1]);
    }
}
