//! Where workers wait for the next pass.
#![expect(unsafe_code, reason = "workers that outlive a pass borrow its work for as long as it lasts")]

use super::{Padded, Worker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Work<'a> = &'a (dyn Fn(&Worker<'_>) + Sync);
/// The same without a lifetime: threads wait for it longer than any one pass lasts.
type Lent = *const (dyn Fn(&Worker<'_>) + Sync + 'static);

/// A pass on offer.
#[derive(Clone, Copy)]
struct Offer {
    /// Points to something for the pass only: who takes the offer later, or has no part in it, must not follow it.
    work: Lent,
    /// Workers asked for, the caller included.
    threads: usize,
}

// SAFETY: the pointer is followed only while what it points to, which is `Sync`, is lent to all workers (`Desk::serve`).
unsafe impl Send for Offer {}

/// Hands passes to the workers, one at a time.
pub(super) struct Desk {
    /// Passes offered so far, and one more when the desk closes.
    offered: Padded<AtomicUsize>,
    /// Workers that are done with the current one.
    done: Padded<AtomicUsize>,
    offer: Mutex<Option<Offer>>,
    bell: Condvar,
    /// How long a worker waits awake.
    linger: Duration,
}

impl Desk {
    pub(super) fn new(linger: Duration) -> Self {
        Self {
            offered: Padded(AtomicUsize::new(0)),
            done: Padded(AtomicUsize::new(0)),
            offer: Mutex::new(None),
            bell: Condvar::new(),
            linger,
        }
    }

    /// Offers `work` to workers 1 … `threads − 1`, does the caller's part by `own`, and waits for all. One call at a time.
    pub(super) fn run(&self, threads: usize, work: Work<'_>, own: impl FnOnce(Work<'_>)) {
        if threads > 1 {
            let lent: *const (dyn Fn(&Worker<'_>) + Sync + '_) = work;
            // SAFETY: only the lifetime changes, and a pointer makes no promise by it.
            let lent = unsafe { std::mem::transmute::<*const (dyn Fn(&Worker<'_>) + Sync + '_), Lent>(lent) };
            self.done.0.store(0, Ordering::Relaxed);
            let mut offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
            *offer = Some(Offer { work: lent, threads });
            self.offered.0.fetch_add(1, Ordering::Release);
            drop(offer);
            self.bell.notify_all();
        }
        let done = WaitOnDrop { desk: self, others: threads - 1 };
        own(work);
        drop(done);
    }

    /// Lets the workers go.
    pub(super) fn close(&self) {
        let mut offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        *offer = None;
        self.offered.0.fetch_add(1, Ordering::Release);
        drop(offer);
        self.bell.notify_all();
    }

    /// Does what is offered to worker `idx` until the desk closes. `work` must not panic.
    pub(super) fn serve(&self, idx: usize, work: impl Fn(Work<'_>)) {
        let mut seen = 0;
        loop {
            let Some(offer) = self.next(&mut seen) else { return };
            if idx < offer.threads {
                // SAFETY: worker `idx` has a part in this pass and has not said yet that it is done, so `run`, which lent the work
                // and waits for all workers 1 … threads − 1, has not returned. Each takes an offer once: it counts those that it has
                // seen, and no other is made before it is done.
                work(unsafe { &*offer.work });
                self.done.0.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// The newest offer, which may be over, once there are more than `seen`; `None` when the desk has closed.
    fn next(&self, seen: &mut usize) -> Option<Offer> {
        let unchanged = |seen: usize| self.offered.0.load(Ordering::Acquire) == seen;
        let started = Instant::now();
        while unchanged(*seen) && started.elapsed() < self.linger {
            (0..20).for_each(|_| std::hint::spin_loop());
        }
        let mut offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        while unchanged(*seen) {
            offer = self.bell.wait(offer).unwrap_or_else(PoisonError::into_inner);
        }
        *seen = self.offered.0.load(Ordering::Acquire);
        *offer
    }
}

/// Waits for the other workers, even if the caller's own part panics: they still hold its work.
struct WaitOnDrop<'a> {
    desk: &'a Desk,
    others: usize,
}

impl Drop for WaitOnDrop<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        while self.desk.done.0.load(Ordering::Acquire) < self.others {
            if spins < super::SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_wakes_after_a_pass_without_it_finds_an_offer_that_is_over() {
        let desk = Desk::new(Duration::ZERO);
        let served = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let serve = |idx: usize| {
                desk.serve(idx, |_| {
                    served.fetch_add(idx, Ordering::Relaxed);
                });
            };
            scope.spawn(move || serve(1));
            let kept: Vec<usize> = vec![1, 2, 3];
            let work = |_: &Worker<'_>| assert_eq!(kept.len(), 3);
            desk.run(2, &work, |_| ());
            drop(kept);
            // Worker 2 comes only now; the offer is there still, and what it points to is gone.
            let mut seen = 0;
            assert_eq!(desk.next(&mut seen).map(|offer| offer.threads), Some(2));
            let late = scope.spawn(move || serve(2));
            desk.run(3, &|_| (), |_| ());
            desk.close();
            late.join().unwrap();
        });
        assert_eq!(served.into_inner(), 1 + 1 + 2);
    }
}
