//! Tables in Markdown: one for README.md, and the longer ones.

use std::fmt::Write;

use super::{Counted, counted, figures_of, goals, p99, peers, ratio, rows, space, time, times_ours, title};
use crate::peers::{FLOOR, KINDS, OURS};
use crate::results::Results;

/// What we take, and how many times as long the others do.
pub fn summary(results: &Results) -> String {
    let others: Vec<&str> = peers(results).into_iter().filter(|name| ![OURS, FLOOR].contains(name)).collect();
    let mut out = format!(
        "| work | layerlab | {} | floor |\n|---|---:|{}---:|\n",
        others.join(" | "),
        "---:|".repeat(others.len())
    );
    for (workload, amount) in rows(results) {
        let ours = results.figure(workload.name, amount, OURS).map(|figure| time(figure.median())).unwrap_or_default();
        let cells = others
            .iter()
            .chain([&FLOOR])
            .map(|peer| times_ours(results, workload, amount, peer).map(ratio).unwrap_or_default());
        let _ = writeln!(out, "| {} | {ours} | {} |", title(workload, amount), cells.collect::<Vec<_>>().join(" | "));
    }
    let machine = &results.machine;
    let _ = writeln!(
        out,
        "\nMedians of one run on {} cores ({}), Linux {}, {}. A number with × says how many times as long as we somebody takes.",
        machine.cores, machine.processor, machine.kernel, machine.storage
    );
    out
}

/// Everything: times with their spread, what it cost beside time, how it grows, and the goals.
pub fn tables(results: &Results) -> String {
    let mut out = format!("# What container storage costs\n\n{}\n", summary(results));
    for (name, version) in &results.versions {
        let _ = writeln!(out, "- {name}: {version}");
    }
    for skipped in &results.skipped {
        let _ = writeln!(out, "- not run: {skipped}");
    }
    for failed in &results.failed {
        let _ = writeln!(out, "- failed: {failed}");
    }
    out += "\nThe workloads were chosen and written by the authors of layerlab; what may favour somebody stands with each.\n";
    for (workload, amount) in rows(results) {
        let _ = writeln!(out, "\n## {}\n\n{} {}\n", title(workload, amount), workload.question, workload.fairness);
        let _ = writeln!(
            out,
            "| | median | spread | p99 | times | read | written | system calls | waits for the disk | memory |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        );
        for peer in peers(results) {
            let Some(figure) = results.figure(workload.name, amount, peer) else { continue };
            let p99 = p99(figure);
            let counted = figure.counts.map(counted).map(|Counted { read, written, syscalls, syncs, memory }| {
                format!("{read} | {written} | {syscalls} | {syncs} | {memory}")
            });
            let _ = writeln!(
                out,
                "| {peer} | {} | ± {} | {p99} | {} | {} |",
                time(figure.median()),
                time(figure.spread()),
                figure.seconds.len(),
                counted.unwrap_or_else(|| " | | | | ".to_owned())
            );
        }
        let weighed = KINDS.iter().filter_map(|kind| {
            let figure = results.figure(workload.name, amount, kind.name)?;
            Some(format!("{} {}", kind.name, space(figure.space?)))
        });
        let weighed: Vec<String> = weighed.collect();
        if !weighed.is_empty() {
            let _ = writeln!(out, "\nSpace: {}.", weighed.join("; "));
        }
        for goal in goals(results, workload, amount) {
            let word = if goal.reached >= goal.wanted { "reached" } else { "missed" };
            let _ = writeln!(
                out,
                "\nGoal: {} faster than {}: {word}, {}.",
                ratio(goal.wanted),
                goal.peer,
                ratio(goal.reached)
            );
        }
    }
    out + &growth(results)
}

fn growth(results: &Results) -> String {
    let mut out = "\n## How it grows\n\n| work | amount | layerlab | floor |\n|---|---:|---:|---:|\n".to_owned();
    for workload in &crate::workloads::ALL {
        let mut amounts: Vec<u64> =
            figures_of(results, workload).filter(|figure| figure.peer == OURS).map(|figure| figure.amount).collect();
        amounts.sort_unstable();
        if amounts.len() < 2 {
            continue;
        }
        for amount in amounts {
            let of = |peer| {
                results.figure(workload.name, amount, peer).map(|figure| time(figure.median())).unwrap_or_default()
            };
            let _ = writeln!(out, "| {} | {amount} {} | {} | {} |", workload.name, workload.unit, of(OURS), of(FLOOR));
        }
    }
    out
}
