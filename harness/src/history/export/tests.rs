use super::*;
use crate::history::{Line, history_of};
use crate::testing::{nights, steady};

fn history(change: impl FnMut(usize, &mut Line)) -> History {
    history_of(nights(&steady(4), change))
}

const DECODE: &str = "nightly/engine/chat/t2/decode_tok_s@machine-a";

#[test]
fn bencher_gets_the_newest_figures_with_their_limits() {
    let value = bencher(&history(|_, _| {}), |_| true);
    let measures = &value["nightly/engine/chat/t2@machine-a"];
    let ratio = &measures["decode-tok-s-ratio"];
    let newest = steady(4)[3];
    assert_eq!(ratio["value"].as_f64(), Some(newest));
    assert!(
        ratio["lower_value"].as_f64() <= Some(newest) && ratio["upper_value"].as_f64() >= Some(newest),
        "{value:#}"
    );
    assert!(measures["decode-tok-s"]["value"].is_number(), "{value:#}");
    let without = history(|night, line| {
        if let (3, Line::Point(point)) = (night, line) {
            (point.lo, point.hi, point.value) = (None, None, None);
        }
    });
    let value = bencher(&without, |_| true);
    let measures = value["nightly/engine/chat/t2@machine-a"].as_object().unwrap();
    assert_eq!(measures.len(), 1);
    assert_eq!(measures["decode-tok-s-ratio"].as_object().unwrap().len(), 1);
}

#[test]
fn what_does_not_enter_is_not_exported() {
    let out = history(|night, line| {
        if let (3, Line::Point(point)) = (night, line) {
            point.out = Some("crashed".to_owned());
        }
    });
    assert_eq!(bencher(&out, |_| true), json!({}));
    assert_eq!(github(&out, Better::Bigger, |_| true), json!([]));
    let [file, config] = &otava(&out, |_| true)[..] else { panic!("two files") };
    assert_eq!((file.content.lines().count(), config.name.as_str()), (4, "otava.yaml"));
    assert_eq!(bencher(&history(|_, _| {}), |_| false), json!({}));
}

#[test]
fn each_figure_goes_to_the_file_of_its_direction() {
    let names = |metric: Metric, better| {
        let history = history(|_, line| {
            if let Line::Point(point) = line {
                point.metric = metric;
            }
        });
        let entries = github(&history, better, |_| true);
        let entries = entries.as_array().unwrap().clone();
        entries
            .iter()
            .map(|e| (e["name"].as_str().unwrap().to_owned(), e["unit"].clone()))
            .collect::<Vec<_>>()
    };
    let ratio = json!("ratio to llama.cpp b1");
    let wanted = vec![(format!("{DECODE} ratio"), ratio.clone()), (DECODE.to_owned(), json!("tok/s"))];
    assert_eq!(names(Metric::Decode, Better::Bigger), wanted);
    assert_eq!(names(Metric::Decode, Better::Smaller), []);
    let memory = DECODE.replace("decode_tok_s", "peak_rss_bytes");
    assert_eq!(
        names(Metric::PeakRss, Better::Smaller),
        [(format!("{memory} ratio"), ratio), (memory, json!("bytes"))]
    );
    assert_eq!(names(Metric::PeakRss, Better::Bigger), []);
}

#[test]
fn otava_gets_a_test_for_each_epoch() {
    let history = history(|night, line| match line {
        Line::Session(session) if night >= 2 => {
            session.epoch = crate::history::Id::of(&["another"]);
            session.rows[1].commit = Some("=1+1,\"x\"".to_owned());
        }
        _ => {}
    });
    let files = otava(&history, |_| true);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let name = "nightly-engine-chat-t2-decode_tok_s@machine-a.epoch";
    assert_eq!(names, [&*format!("{name}-1.csv"), &*format!("{name}-2.csv"), "otava.yaml"]);
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(files[1].content.as_bytes()).records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(&rows[1][1], "'=1+1,\"x\"");
    assert_eq!(rows[1][3].parse::<f64>().unwrap(), steady(4)[3], "every digit");
    let config: serde_yaml::Value = serde_yaml::from_str(&files[2].content).unwrap();
    let test = &config["tests"][format!("{name}-2")];
    assert_eq!(test["file"], format!("{name}-2.csv"));
    assert_eq!(test["metrics"]["ratio"]["direction"], 1);
}
