//! Packed matrix times activations. One routine for decode and prefill: each lane is one (row, token) pair that
//! accumulates its groups in order, so the tile's shape changes the speed and never the bits.

use super::act::Group;
use crate::quant::pack::{PANEL_ROWS, Packed, PackedFloat};
use crate::simd::{LANES, Op, Simd};

/// The activations of `tokens` tokens.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// \[tokens, cols\]
    pub floats: &'a [f32],
    /// \[tokens, cols / 32\]; empty where no quantized matrix reads them.
    pub groups: &'a [Group],
    pub cols: usize,
    pub tokens: usize,
}

impl<'a> Input<'a> {
    fn groups_of(&self, token: usize) -> &'a [Group] {
        let n = self.cols / crate::quant::pack::GROUP;
        &self.groups[token * n..][..n]
    }
    fn floats_of(&self, token: usize) -> &'a [f32] {
        &self.floats[token * self.cols..][..self.cols]
    }
}

/// Panels times activations of a quantized format. `out` is \[panels, tokens, 8\].
pub(crate) struct IntegerMatmul<'a, F> {
    pub panels: &'a [u8],
    pub panel_bytes: usize,
    pub input: Input<'a>,
    pub out: &'a mut [f32],
    pub format: std::marker::PhantomData<F>,
}

impl<F: Packed> Op for IntegerMatmul<'_, F> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { panels, panel_bytes, input, out, .. } = self;
        let panel = |p: usize| &panels[p * panel_bytes..][..panel_bytes];
        let n_panels = panels.len() / panel_bytes;
        let out_panel = input.tokens * LANES;
        let mut p = 0;
        if input.tokens == 1 {
            // Decode: several panels at a time are several streams from memory.
            let x = [input.groups_of(0)];
            while p + 4 <= n_panels {
                let four = std::array::from_fn(|i| panel(p + i));
                integer_tile::<S, F, 4, 1>(s, four, x, &mut out[p * out_panel..], out_panel);
                p += 4;
            }
        }
        for p in p..n_panels {
            let out = &mut out[p * out_panel..][..out_panel];
            let mut t = 0;
            while t < input.tokens {
                let x = |i: usize| input.groups_of(t + i);
                let out = &mut out[t * LANES..];
                t += match input.tokens - t {
                    1 => integer_tile::<S, F, 1, 1>(s, [panel(p)], [x(0)], out, 0),
                    2 => integer_tile::<S, F, 1, 2>(s, [panel(p)], [x(0), x(1)], out, 0),
                    3 => integer_tile::<S, F, 1, 3>(s, [panel(p)], [x(0), x(1), x(2)], out, 0),
                    _ => integer_tile::<S, F, 1, 4>(s, [panel(p)], [x(0), x(1), x(2), x(3)], out, 0),
                };
            }
        }
    }
}

/// `P` panels times `T` tokens; returns `T`. Token t of panel p goes to `out[p · out_panel + 8t…]`.
#[inline(always)]
fn integer_tile<S: Simd, F: Packed, const P: usize, const T: usize>(
    s: S,
    panels: [&[u8]; P],
    x: [&[Group]; T],
    out: &mut [f32],
    out_panel: usize,
) -> usize {
    let per_block = F::BLOCK_LEN / 32;
    let n_groups = x[0].len();
    let mut acc = [[s.splat(0.0); T]; P];
    for (block_idx, first) in (0..n_groups).step_by(per_block).enumerate() {
        for p in 0..P {
            let block = &panels[p][block_idx * F::PACKED_BYTES..][..F::PACKED_BYTES];
            for group in 0..per_block {
                let q = F::quants(s, block, group);
                let scales = F::scales(s, block, group);
                for t in 0..T {
                    acc[p][t] = integer_step::<S, F>(s, acc[p][t], &q, scales, &x[t][first + group]);
                }
                if F::HAS_MIN {
                    let mins = F::mins(s, block, group);
                    for t in 0..T {
                        acc[p][t] = min_step::<S, F>(s, acc[p][t], mins, &x[t][first + group]);
                    }
                }
            }
        }
    }
    for p in 0..P {
        for t in 0..T {
            s.store(acc[p][t], out[p * out_panel + t * LANES..].first_chunk_mut().expect("eight lanes"));
        }
    }
    T
}

/// acc + scale · d · Σ (q − OFFSET) a
#[inline(always)]
fn integer_step<S: Simd, F: Packed>(s: S, acc: S::F, q: &[S::B; 8], scales: [S::F; 2], x: &Group) -> S::F {
    let d = s.splat(x.d);
    let sums = x.sums.map(i32::from);
    if F::HALVES {
        let halves: &[[i8; 16]] = x.q.as_chunks().0;
        let low = s.to_f(dot::<S, F, 16>(s, &q[..4], &halves[0], sums[0]));
        let high = s.to_f(dot::<S, F, 16>(s, &q[4..], &halves[1], sums[1]));
        let acc = s.mul_add(low, s.mul(scales[0], d), acc);
        s.mul_add(high, s.mul(scales[1], d), acc)
    } else {
        let dot = s.to_f(dot::<S, F, 32>(s, q, &x.q, sums[0] + sums[1]));
        s.mul_add(dot, s.mul(scales[0], d), acc)
    }
}

#[inline(always)]
fn dot<S: Simd, F: Packed, const N: usize>(s: S, q: &[S::B], a: &[i8; N], sum: i32) -> S::I {
    let dot = if F::MAX == 0 { s.dot_signed(q, a) } else { s.dot_unsigned(q, a, F::MAX) };
    if F::OFFSET == 0 { dot } else { s.sub_i(dot, F::OFFSET * sum) }
}

/// acc + Σ min · x
#[inline(always)]
fn min_step<S: Simd, F: Packed>(s: S, acc: S::F, mins: [S::F; 2], x: &Group) -> S::F {
    if F::HALVES {
        let [low, high] = x.sums.map(|sum| s.splat(x.d * f32::from(sum)));
        s.mul_add(mins[1], high, s.mul_add(mins[0], low, acc))
    } else {
        s.mul_add(mins[0], s.splat(x.d_sum), acc)
    }
}

/// Panels times activations of a format of floating-point numbers. `out` is \[panels, tokens, 8\].
pub(crate) struct FloatMatmul<'a, F> {
    pub panels: &'a [u8],
    pub panel_bytes: usize,
    pub input: Input<'a>,
    pub out: &'a mut [f32],
    pub format: std::marker::PhantomData<F>,
}

impl<F: PackedFloat> Op for FloatMatmul<'_, F> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { panels, panel_bytes, input, out, .. } = self;
        let panel = |p: usize| &panels[p * panel_bytes..][..panel_bytes];
        let n_panels = panels.len() / panel_bytes;
        let out_panel = input.tokens * LANES;
        let mut p = 0;
        if input.tokens == 1 {
            let x = [input.floats_of(0)];
            while p + 4 <= n_panels {
                let four = std::array::from_fn(|i| panel(p + i));
                float_tile::<S, F, 4, 1>(s, four, x, &mut out[p * out_panel..], out_panel);
                p += 4;
            }
        }
        for p in p..n_panels {
            let out = &mut out[p * out_panel..][..out_panel];
            let mut t = 0;
            while t < input.tokens {
                let x = |i: usize| input.floats_of(t + i);
                let out = &mut out[t * LANES..];
                t += match input.tokens - t {
                    1..4 => float_tile::<S, F, 1, 1>(s, [panel(p)], [x(0)], out, 0),
                    _ => float_tile::<S, F, 1, 4>(s, [panel(p)], [x(0), x(1), x(2), x(3)], out, 0),
                };
            }
        }
    }
}

#[inline(always)]
fn float_tile<S: Simd, F: PackedFloat, const P: usize, const T: usize>(
    s: S,
    panels: [&[u8]; P],
    x: [&[f32]; T],
    out: &mut [f32],
    out_panel: usize,
) -> usize {
    let mut acc = [[s.splat(0.0); T]; P];
    let n_cols = x[0].len();
    let x = x.map(|x| &x[..n_cols]);
    let panels = panels.map(|p| &p[..n_cols * F::BYTES * PANEL_ROWS]);
    for c in 0..n_cols {
        for p in 0..P {
            let w = F::load(s, &panels[p][c * F::BYTES * PANEL_ROWS..][..F::BYTES * PANEL_ROWS]);
            for t in 0..T {
                acc[p][t] = s.mul_add(w, s.splat(x[t][c]), acc[p][t]);
            }
        }
    }
    for p in 0..P {
        for t in 0..T {
            s.store(acc[p][t], out[p * out_panel + t * LANES..].first_chunk_mut().expect("eight lanes"));
        }
    }
    T
}
