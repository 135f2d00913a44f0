//! The workers of a model: entered once per forward pass; inside it, spin barriers and shares of work.
//!
//! Between two barriers, [`Worker::chunks`] or [`Worker::split`] hand each index to exactly one worker as part of a
//! [`Share`]; a share is the licence to write that part of a [`Shared`] slice. What was written may be read after the barrier.

mod desk;
mod shared;

pub(crate) use shared::Shared;

use crate::error::{Error, ErrorKind, Result};
use desk::Desk;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a worker waits for the next pass before it sleeps: longer than sampling takes between two tokens.
const LINGER: Duration = Duration::from_micros(100);
/// Spins in a barrier before the processor is given away, where each worker has one.
const SPINS: u32 = 400;

/// A private pool. The caller is worker 0, so a pool of `n` has `n − 1` threads of its own, which stay inside one
/// job of theirs for as long as the pool lives: entering a pass costs no allocation and, soon after the last, no system call.
pub(crate) struct Pool {
    desk: Arc<Desk>,
    team: Arc<Team>,
    _workers: Option<rayon::ThreadPool>,
    threads: usize,
    /// Sessions take turns: two passes interleaved on one pool would wait for each other's workers forever.
    turn: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` ≥ 1.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        Self::handing_out(threads, Hand::Shared)
    }

    /// A pool of `threads` ≥ 1 whose workers get chunks of work so.
    pub(crate) fn handing_out(threads: usize, hand: Hand) -> Result<Self> {
        let build = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads - 1)
                .thread_name(|i| format!("engine-{}", i + 1))
                .build()
        };
        let workers = (threads > 1).then(build).transpose().map_err(|e| {
            Error::new(ErrorKind::Request, format!("cannot start {} worker threads: {e}", threads - 1))
        })?;
        let linger = if threads <= processors() { LINGER } else { Duration::ZERO };
        let (desk, team) = (Arc::new(Desk::new(linger)), Arc::new(Team::new(hand)));
        if let Some(workers) = &workers {
            let (desk, team) = (Arc::clone(&desk), Arc::clone(&team));
            workers.spawn_broadcast(move |context| {
                let idx = context.index() + 1;
                desk.serve(idx, |work| team.enter(idx, work));
            });
        }
        Ok(Self { desk, team, _workers: workers, threads, turn: Mutex::new(()) })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on `threads` workers at once (at most those of the pool) and waits for all.
    ///
    /// # Errors
    /// [`ErrorKind::Worker`] if one of them panicked; the others are released from their barriers.
    pub(crate) fn run(&self, threads: usize, work: impl Fn(&Worker<'_>) + Sync) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = threads.clamp(1, self.threads);
        self.team.assemble(threads);
        self.desk.run(threads, &work, |work| self.team.enter(0, work));
        if self.team.poisoned.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Worker, "a worker thread panicked in a forward pass"));
        }
        Ok(())
    }

    /// Runs `task` for every index below `n`, as the workers become free; each brings something of its `own`.
    pub(crate) fn for_each<T>(
        &self,
        n: usize,
        own: impl Fn() -> T + Sync,
        task: impl Fn(&mut T, usize) -> Result<()> + Sync,
    ) -> Result<()> {
        let failed = Mutex::new(None);
        self.run(self.threads, |worker| {
            let mut own = own();
            for share in worker.chunks(n, Sizes::ONE) {
                if let Err(e) = task(&mut own, share.range().start) {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            }
        })?;
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// How [`Worker::chunks`] hands out work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hand {
    /// From one counter: a worker that is held up takes less.
    Shared,
    /// Each worker has its even part from the start.
    Even,
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// On cache lines of its own.
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// Who works on a pass, and how far they are.
struct Team {
    n: AtomicUsize,
    arrived: Padded<AtomicUsize>,
    epoch: Padded<AtomicUsize>,
    /// Next unclaimed index of the current operation.
    next: Padded<AtomicUsize>,
    poisoned: AtomicBool,
    processors: usize,
    hand: Hand,
}

struct Poisoned;

impl Team {
    fn new(hand: Hand) -> Self {
        Self {
            n: AtomicUsize::new(0),
            arrived: Padded(AtomicUsize::new(0)),
            epoch: Padded(AtomicUsize::new(0)),
            next: Padded(AtomicUsize::new(0)),
            poisoned: AtomicBool::new(false),
            processors: processors(),
            hand,
        }
    }

    /// Makes ready for a pass of `n`; nobody is inside one.
    fn assemble(&self, n: usize) {
        self.n.store(n, Ordering::Relaxed);
        self.arrived.0.store(0, Ordering::Relaxed);
        self.next.0.store(0, Ordering::Relaxed);
        self.poisoned.store(false, Ordering::Relaxed);
    }

    fn enter(&self, idx: usize, work: &(dyn Fn(&Worker<'_>) + Sync)) {
        let n = self.n.load(Ordering::Relaxed);
        let spins = if n <= self.processors { SPINS } else { 0 };
        let worker = Worker { idx, n, spins, team: self, next: Cell::new(0) };
        if catch_unwind(AssertUnwindSafe(|| work(&worker))).is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
    }
}

/// One of the threads inside [`Pool::run`].
pub(crate) struct Worker<'a> {
    idx: usize,
    n: usize,
    /// Spins before the processor is given away; none where threads outnumber processors.
    spins: u32,
    team: &'a Team,
    /// Where the current chunk ended, to catch operations that are not separated by a barrier.
    next: Cell<usize>,
}

/// How large the shares of [`Worker::chunks`] are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// The least, of which all but the last are multiples.
    pub least: usize,
    pub most: usize,
    /// Into how many parts a worker's fair share of what is left is cut.
    pub parts: usize,
}

impl Sizes {
    /// One index at a time.
    pub(crate) const ONE: Sizes = Sizes { least: 1, most: 1, parts: 1 };
}

/// Indices that belong to one worker until the next barrier.
pub(crate) struct Share(Range<usize>);

impl Share {
    /// One share for each index.
    pub(crate) fn each(self) -> impl Iterator<Item = Share> {
        self.0.map(|i| Share(i..i + 1))
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.0.clone()
    }
}

impl Worker<'_> {
    /// 0 is the caller.
    pub(crate) fn idx(&self) -> usize {
        self.idx
    }

    /// How many work.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.n
    }

    /// Waits until all workers are here. What they wrote before is visible after.
    pub(crate) fn barrier(&self) {
        let team = self.team;
        self.next.set(0);
        let epoch = team.epoch.0.load(Ordering::Acquire);
        if team.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.n {
            team.arrived.0.store(0, Ordering::Relaxed);
            team.next.0.store(0, Ordering::Relaxed);
            team.epoch.0.store(epoch + 1, Ordering::Release);
            return;
        }
        let mut spins = 0;
        while team.epoch.0.load(Ordering::Acquire) == epoch {
            if team.poisoned.load(Ordering::Acquire) {
                resume_unwind(Box::new(Poisoned));
            }
            if spins < self.spins {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Shares of the indices below `total`, handed out until none is left: large ones first, so that few are needed, then smaller
    /// ones, so that a worker whose processor was taken away does not keep the others waiting (guided self-scheduling,
    /// Polychronopoulos and Kuck 1987). One such operation between barriers.
    pub(crate) fn chunks(&self, total: usize, sizes: Sizes) -> impl Iterator<Item = Share> {
        debug_assert_eq!(self.next.get(), 0, "two operations need a barrier between them");
        let Sizes { least, most, parts } = sizes;
        let size = move |left: usize| match self.n {
            1 => most,
            n => (left / (parts * n)).next_multiple_of(least).clamp(least, most),
        };
        let mut even = (self.team.hand == Hand::Even).then(|| self.split(total).range());
        std::iter::from_fn(move || {
            let next = &self.team.next.0;
            self.next.set(1);
            if let Some(left) = &mut even {
                let share = left.start..left.end.min(left.start + most);
                left.start = share.end;
                return (!share.is_empty()).then_some(Share(share));
            }
            let advance = |start: usize| (start < total).then(|| total.min(start + size(total - start)));
            let start = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance).ok()?;
            Some(Share(start..advance(start)?))
        })
    }

    /// This worker's even part of the indices below `total`.
    pub(crate) fn split(&self, total: usize) -> Share {
        let cut = |i: usize| total * i / self.n;
        Share(cut(self.idx)..cut(self.idx + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_done_once_and_seen_after_the_barrier() {
        for threads in [1, 2, 3, 8] {
            for hand in [Hand::Shared, Hand::Even] {
                let pool = Pool::handing_out(threads, hand).unwrap();
                let (mut once, mut sums) = (vec![0u32; 1000], vec![0u32; threads]);
                let (once, sums) = (Shared::new(&mut once), Shared::new(&mut sums));
                pool.run(threads, |w| {
                    for _ in 0..20 {
                        for share in w.chunks(1000, Sizes { least: 3, most: 70, parts: 2 }) {
                            once.claim(&share, share.range()).iter_mut().for_each(|x| *x += 1);
                        }
                        w.barrier();
                        let mine = w.split(w.count());
                        sums.claim(&mine, mine.range())[0] += once.get(0..1000).iter().sum::<u32>();
                        w.barrier();
                    }
                })
                .unwrap();
                assert!(once.get(0..1000).iter().all(|&x| x == 20));
                assert!(sums.get(0..threads).iter().all(|&x| x == 1000 * 20 * 21 / 2));
            }
        }
    }

    #[test]
    fn a_panic_is_an_error_and_never_a_hang() {
        for panics in 0..3 {
            let pool = Pool::new(3).unwrap();
            let error = pool.run(3, |w| {
                w.barrier();
                if w.idx() == panics {
                    resume_unwind(Box::new("on purpose"));
                }
                w.barrier();
            });
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Worker);
            pool.run(3, |w| w.barrier()).expect("the pool works on");
        }
    }

    #[test]
    fn a_pool_that_has_slept_works_on_with_any_number_of_its_threads() {
        let pool = Pool::new(4).unwrap();
        for threads in [4, 1, 2, 3, 4, 9] {
            std::thread::sleep(3 * LINGER);
            let seen = Mutex::new(Vec::new());
            pool.run(threads, |w| {
                w.barrier();
                seen.lock().unwrap().push((w.idx(), w.count()));
            })
            .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            let n = threads.min(4);
            assert_eq!(seen, (0..n).map(|i| (i, n)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn passes_from_many_threads_take_turns() {
        let pool = Pool::new(2).unwrap();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50 {
                        pool.run(2, |w| (0..10).for_each(|_| w.barrier())).unwrap();
                    }
                });
            }
        });
    }
}
