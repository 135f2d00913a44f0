//! Sessions: independent, bounded, and honest about what does not fit.

use crate::support::{ids, tiny};
use engine::{ErrorKind, Model, ModelOptions, SessionOptions};

fn options(context: usize) -> SessionOptions {
    SessionOptions { context: Some(context), ..Default::default() }
}

#[test]
fn sessions_on_several_threads_do_not_disturb_each_other() {
    let file = tiny("Q4_0");
    let model =
        Model::open_with(&file.path, ModelOptions { threads: Some(2), ..Default::default() }).unwrap();
    let alone = |seed: usize| {
        let mut session = model.session(options(64)).unwrap();
        let mut last = session.prefill(&ids(20 + seed)).unwrap().to_vec();
        for i in 0..10 {
            last = session.decode(ids(64)[seed + i]).unwrap().to_vec();
        }
        last
    };
    let expected: Vec<_> = (0..4).map(alone).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || alone(seed))).collect();
        for (thread, expected) in threads.into_iter().zip(&expected) {
            assert_eq!(&thread.join().unwrap(), expected);
        }
    });
}

#[test]
fn truncating_and_going_on_is_as_if_nothing_had_been_there() {
    let file = tiny("Q8_0");
    let model = Model::open(&file.path).unwrap();
    let mut session = model.session(options(64)).unwrap();
    let first = session.prefill(&ids(40)).unwrap().to_vec();
    session.truncate(10);
    session.prefill(&[9, 8, 7]).unwrap();
    session.truncate(10);
    assert_eq!(session.prefill(&ids(40)[10..]).unwrap(), first);
    session.clear();
    assert!(session.is_empty());
    assert_eq!(session.prefill(&ids(40)).unwrap(), first);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let file = tiny("Q4_0");
    let model = Model::open(&file.path).unwrap();
    let mut session = model.session(options(16)).unwrap();
    session.prefill(&ids(10)).unwrap();
    for bad in [ids(7), vec![], vec![1, 1_000_000]] {
        let error = session.prefill(&bad).unwrap_err();
        assert_eq!((error.kind(), session.len()), (ErrorKind::Request, 10), "{error}");
    }
    session.prefill(&ids(6)).unwrap();
    assert_eq!(session.decode(1).unwrap_err().kind(), ErrorKind::Request);
    let impossible = [
        SessionOptions { context: Some(0), ..Default::default() },
        SessionOptions { context: Some(1 << 40), ..Default::default() },
        SessionOptions { threads: Some(0), ..Default::default() },
        SessionOptions { threads: Some(4096), ..Default::default() },
        SessionOptions { batch: Some(0), ..Default::default() },
    ];
    for options in impossible {
        assert_eq!(model.session(options).unwrap_err().kind(), ErrorKind::Request, "{options:?}");
    }
    for threads in [0, 1 << 20] {
        let options = ModelOptions { threads: Some(threads), ..Default::default() };
        assert_eq!(Model::open_with(&file.path, options).unwrap_err().kind(), ErrorKind::Request);
    }
}

#[test]
fn a_file_cut_short_under_a_session_is_an_error_and_not_a_crash() {
    let file = tiny("Q4_0");
    let model = Model::open(&file.path).unwrap();
    let mut session = model.session(options(16)).unwrap();
    session.prefill(&ids(4)).unwrap();
    std::fs::OpenOptions::new().write(true).open(&file.path).unwrap().set_len(4096).unwrap();
    let error = session.decode(5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
}

#[test]
fn a_session_outlives_its_model_and_threads_can_be_fewer() {
    let file = tiny("Q4_0");
    let model =
        Model::open_with(&file.path, ModelOptions { threads: Some(3), ..Default::default() }).unwrap();
    let mut one = model.session(SessionOptions { threads: Some(1), ..options(16) }).unwrap();
    let mut three = model.session(options(16)).unwrap();
    drop(model);
    assert_eq!(one.prefill(&ids(9)).unwrap(), three.prefill(&ids(9)).unwrap());
}
