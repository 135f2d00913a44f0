//! Memory and processor time of a process and everything that it started, sampled in a thread.

use crate::conditions::energy;
use crate::machine::topology::cpu_list;
use crate::sample::{CpuSpan, CpuUse, Memory, PeakSince};
use crate::system::{Ledger, Tree, ticks_per_s};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at memory.
const POLL: Duration = Duration::from_millis(100);
/// Between two looks at processes and threads.
const WALK: Duration = Duration::from_millis(200);
/// A look is followed by a pause of at least so many times its own length, so that the sampler takes at most 0.1% of
/// one processor, however many threads there are: half of it for each of the two kinds.
const PAUSE_FACTOR: u32 = 2000;

/// What a launch took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// See [`Memory`].
    pub memory: Memory,
    /// See [`CpuUse`].
    pub cpu: CpuUse,
}

/// Samples until it is finished or dropped.
///
/// Descendants belong to the process as long as the kernel says so: one whose parent ends before it is no longer seen.
pub struct Sampler {
    orders: Sender<Order>,
    thread: Option<JoinHandle<Usage>>,
}

enum Order {
    /// The timed window begins.
    Ready,
    /// The timed window has ended.
    Answered,
    Finish,
}

impl Sampler {
    /// For the process `pid`, which has just been started: its figures count from its start.
    pub fn start(pid: u32) -> Sampler {
        Sampler::spawn(pid, false)
    }

    /// For the process `pid`, a server that has been running for a while: figures count from now. The high-water mark
    /// of its memory is reset where the system allows it; else [`Memory::peak_since`] says that it is older.
    pub fn attach(pid: u32) -> Sampler {
        Sampler::spawn(pid, true)
    }

    fn spawn(pid: u32, is_running: bool) -> Sampler {
        let (orders, received) = channel();
        let thread = std::thread::spawn(move || {
            let mut gauge = Gauge::new(pid, is_running);
            gauge.sample_until_finished(&received);
            gauge.usage()
        });
        Sampler { orders, thread: Some(thread) }
    }

    /// Begins the timed window.
    pub fn mark_ready(&self) {
        let _ = self.orders.send(Order::Ready);
    }

    /// Ends the timed window. Of several calls the first counts.
    pub fn mark_answered(&self) {
        let _ = self.orders.send(Order::Answered);
    }

    /// Takes a last sample, for which the process must still be alive, and returns the figures.
    pub fn finish(mut self) -> Usage {
        let _ = self.orders.send(Order::Finish);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// The state of things at one moment.
#[derive(Clone)]
struct Moment {
    at: Instant,
    harness: Duration,
    ledger: Ledger,
    energy: Vec<energy::Domain>,
}

struct Gauge {
    tree: Tree,
    memory: Memory,
    ledger: Ledger,
    start: Moment,
    ready: Option<Moment>,
    answered: Option<Moment>,
    end: Option<Moment>,
    threads_max: Option<u32>,
    threads_max_window: Option<u32>,
}

impl Gauge {
    fn new(pid: u32, is_running: bool) -> Gauge {
        let mut tree = Tree::new(pid);
        let mut ledger = Ledger::default();
        let mut peak_since = PeakSince::ProcessStart;
        if is_running {
            tree.walk(&mut ledger);
            if tree.reset_marks() {
                peak_since = PeakSince::Attach;
            }
        }
        Gauge {
            tree,
            memory: Memory { peak_since: Some(peak_since), ..Memory::default() },
            start: Moment {
                at: Instant::now(),
                harness: own_cpu_time(),
                ledger: ledger.clone(),
                energy: energy::read(),
            },
            ledger,
            ready: None,
            answered: None,
            end: None,
            threads_max: None,
            threads_max_window: None,
        }
    }

    fn sample_until_finished(&mut self, orders: &Receiver<Order>) {
        let mut next_walk = Instant::now();
        loop {
            let began = Instant::now();
            if began >= next_walk {
                self.walk();
                let ended = Instant::now();
                next_walk = ended + WALK.max((ended - began) * PAUSE_FACTOR);
            }
            let began = Instant::now();
            self.poll();
            match orders.recv_timeout(POLL.max(began.elapsed() * PAUSE_FACTOR)) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(Order::Ready) => {
                    self.ready = Some(self.moment());
                    self.threads_max_window = None;
                }
                Ok(Order::Answered) => {
                    self.poll();
                    if self.answered.is_none() {
                        self.answered = Some(self.moment());
                    }
                }
                Ok(Order::Finish) => {
                    self.end = Some(self.moment());
                    self.poll();
                    self.tree.poll_pss(&mut self.memory);
                    return;
                }
            }
        }
    }

    fn poll(&mut self) {
        let n_threads = self.tree.poll(&mut self.memory);
        self.threads_max = self.threads_max.max(n_threads);
        if self.ready.is_some() && self.answered.is_none() {
            self.threads_max_window = self.threads_max_window.max(n_threads);
        }
    }

    /// Before `ready` the latest processors count alone: at first the process is `harness launch-child`, which has yet
    /// to choose its own. From then on all that any thread ever had count.
    fn walk(&mut self) {
        let before = std::mem::take(&mut self.ledger.cpus);
        self.tree.walk(&mut self.ledger);
        if self.ready.is_some() || self.ledger.cpus.is_empty() {
            self.ledger.cpus.extend(before);
        }
    }

    fn moment(&mut self) -> Moment {
        self.walk();
        Moment {
            at: Instant::now(),
            harness: own_cpu_time(),
            ledger: self.ledger.clone(),
            energy: energy::read(),
        }
    }

    fn usage(self) -> Usage {
        let Some(end) = &self.end else { return Usage { memory: self.memory, cpu: CpuUse::default() } };
        let window = self.ready.as_ref().zip(self.answered.as_ref());
        Usage {
            memory: self.memory,
            cpu: CpuUse {
                launch: span(&self.start, end, self.threads_max),
                window: window.map(|(ready, answered)| span(ready, answered, self.threads_max_window)),
                cpus_allowed: (!self.ledger.cpus.is_empty()).then(|| cpu_list(&self.ledger.cpus)),
            },
        }
    }
}

fn span(from: &Moment, to: &Moment, threads_max: Option<u32>) -> CpuSpan {
    CpuSpan {
        wall_s: Some((to.at - from.at).as_secs_f64()),
        harness_s: Some(to.harness.saturating_sub(from.harness).as_secs_f64()),
        threads_max,
        energy_j: energy::joules_between(&from.energy, &to.energy),
        ..to.ledger.since(&from.ledger, ticks_per_s())
    }
}

/// CPU time that this process, the harness, has used since its start.
fn own_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
