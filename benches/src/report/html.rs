//! One page that needs nothing but a browser: bars for each workload with the floor as a line, curves of growth, and what changed since a baseline.

use anyhow::Context;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{Counted, counted, figures_of, goals, p99, ratio, rows, space, time, times_ours, title};
use crate::compare::Change;
use crate::peers::{FLOOR, KINDS, OURS};
use crate::results::{Figure, Results};
use crate::workloads::{self, Workload};

const TEMPLATE: &str = include_str!("page.html");
/// The size of a plot's area, in the page's units.
const PLOT: (f64, f64) = (420.0, 160.0);

#[derive(Serialize)]
struct Whole<'r> {
    results: &'r Results,
    sections: Vec<Section>,
    curves: Vec<Curve>,
    changes: &'r [Change],
    plot: (f64, f64),
}

#[derive(Serialize)]
struct Section {
    title: String,
    question: &'static str,
    fairness: &'static str,
    bars: Vec<Bar>,
    /// Where the floor is, in percent of the longest bar.
    floor_percent: Option<f64>,
    goals: Vec<Told>,
}

#[derive(Serialize)]
struct Bar {
    peer: &'static str,
    percent: f64,
    median: String,
    spread: String,
    p99: String,
    ratio: String,
    counts: Option<Counted>,
    space: String,
}

#[derive(Serialize)]
struct Told {
    text: String,
    is_reached: bool,
}

#[derive(Serialize)]
struct Curve {
    title: String,
    lines: Vec<Line>,
    amount_max: u64,
    time_max: String,
}

#[derive(Serialize)]
struct Line {
    peer: String,
    /// `x,y` of each amount, as SVG has them.
    points: String,
}

/// The page, complete in itself.
pub fn page(results: &Results, changes: &[Change]) -> anyhow::Result<String> {
    let sections: Vec<Section> =
        rows(results).into_iter().map(|(workload, amount)| section(results, workload, amount)).collect();
    let curves: Vec<Curve> = workloads::ALL.iter().filter_map(|workload| curve(results, workload)).collect();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template("page.html", TEMPLATE)?;
    let template = environment.get_template("page.html")?;
    let whole = Whole { results, sections, curves, changes, plot: PLOT };
    let page = template.render(Value::from(Serde(&whole)));
    page.context("cannot write the page")
}

fn section(results: &Results, workload: &Workload, amount: u64) -> Section {
    let figures: Vec<(&'static str, &Figure)> =
        KINDS.iter().filter_map(|kind| Some((kind.name, results.figure(workload.name, amount, kind.name)?))).collect();
    let longest = figures.iter().map(|(_, figure)| figure.median()).fold(f64::MIN_POSITIVE, f64::max);
    let percent = |figure: &Figure| 100.0 * figure.median() / longest;
    let bar = |(peer, figure): &(&'static str, &Figure)| Bar {
        peer,
        percent: percent(figure),
        median: time(figure.median()),
        spread: time(figure.spread()),
        p99: p99(figure),
        ratio: times_ours(results, workload, amount, peer).map(ratio).unwrap_or_default(),
        counts: figure.counts.map(counted),
        space: figure.space.map(space).unwrap_or_default(),
    };
    let told = goals(results, workload, amount).into_iter().map(|goal| Told {
        text: format!("{} faster than {}: {}", ratio(goal.wanted), goal.peer, ratio(goal.reached)),
        is_reached: goal.reached >= goal.wanted,
    });
    Section {
        title: title(workload, amount),
        question: workload.question,
        fairness: workload.fairness,
        bars: figures.iter().map(bar).collect(),
        floor_percent: figures.iter().find(|(peer, _)| *peer == FLOOR).map(|(_, figure)| percent(figure)),
        goals: told.collect(),
    }
}

/// How a workload grows; none where it was done for one amount only.
fn curve(results: &Results, workload: &Workload) -> Option<Curve> {
    let of = |peer: &str| {
        let mut figures: Vec<&Figure> = figures_of(results, workload).filter(|figure| figure.peer == peer).collect();
        figures.sort_by_key(|figure| figure.amount);
        figures
    };
    let amount_max = of(OURS).last()?.amount;
    let drawn: Vec<(String, Vec<&Figure>)> = [OURS, FLOOR]
        .into_iter()
        .map(|peer| (peer.to_owned(), of(peer)))
        .filter(|(_, figures)| figures.len() > 1)
        .collect();
    let time_max = drawn.iter().flat_map(|(_, figures)| figures).map(|figure| figure.median()).fold(0.0, f64::max);
    let point = |figure: &&Figure| {
        let (x, y) = (figure.amount as f64 / amount_max as f64 * PLOT.0, PLOT.1 - figure.median() / time_max * PLOT.1);
        format!("{x:.1},{y:.1}")
    };
    let line = |(peer, figures): (String, Vec<&Figure>)| Line {
        peer,
        points: figures.iter().map(point).collect::<Vec<_>>().join(" "),
    };
    let lines: Vec<Line> = drawn.into_iter().map(line).collect();
    (!lines.is_empty()).then(|| Curve {
        title: format!("{}, {}", workload.name, workload.unit),
        lines,
        amount_max,
        time_max: time(time_max),
    })
}
