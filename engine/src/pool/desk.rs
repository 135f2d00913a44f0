//! Where workers wait for the next pass.
#![expect(unsafe_code, reason = "workers that outlive a pass borrow its work for as long as it lasts")]

use super::{Padded, Worker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

type Work<'a> = &'a (dyn Fn(&Worker<'_>) + Sync);

/// A pass on offer.
#[derive(Clone, Copy)]
struct Offer {
    /// Borrowed for the pass only; the lifetime is erased because threads wait for it longer than any one pass lasts.
    work: Work<'static>,
    /// Workers asked for, the caller included.
    threads: usize,
}

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
            // SAFETY: the offer is taken by workers 1 … threads − 1 only, each exactly once (it counts the offers that it has seen),
            // and this function returns only when all of them have said that they are done with it.
            let work = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
            self.done.0.store(0, Ordering::Relaxed);
            let mut offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
            *offer = Some(Offer { work, threads });
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
        *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.offered.0.fetch_add(1, Ordering::Release);
        self.bell.notify_all();
    }

    /// Does what is offered to worker `idx` until the desk closes. `work` must not panic.
    pub(super) fn serve(&self, idx: usize, work: impl Fn(Work<'_>)) {
        let mut seen = 0;
        loop {
            let Some(offer) = self.next(&mut seen) else { return };
            if idx < offer.threads {
                work(offer.work);
                self.done.0.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// The newest offer, once there are more than `seen`; `None` when the desk has closed.
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
