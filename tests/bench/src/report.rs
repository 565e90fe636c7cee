//! The result as Markdown tables.

use std::fmt::Write;

use crate::bars::cpu_ratio;
use crate::options::Target;
use crate::summary::Summary;

/// The whole report.
pub fn markdown(summary: &Summary) -> String {
    let mut text = String::new();
    head(&mut text, summary);
    if !summary.rows.is_empty() {
        figures(&mut text, summary);
        ratios(&mut text, summary);
    }
    if !summary.idle.is_empty() {
        idle(&mut text, summary);
    }
    verdicts(&mut text, summary);
    text
}

/// Adds a line; writing to a String cannot fail.
macro_rules! say {
    ($text:expr) => { $text.push('\n') };
    ($text:expr, $($arguments:tt)*) => {
        writeln!($text, $($arguments)*).expect("a String takes everything")
    };
}

fn head(text: &mut String, summary: &Summary) {
    let (machine, settings) = (&summary.machine, &summary.settings);
    let versions: Vec<String> =
        machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    say!(text, "# pgherd-bench");
    say!(text);
    say!(
        text,
        "{} cores ({}), Linux {}, load {} before the run. {}. pgbench {} at scale {}, {} rounds of {} s in turn, \
         medians; transaction pools of {}, SCRAM, loopback TCP, no TLS.",
        machine.cores,
        machine.processor,
        machine.kernel,
        machine.load_before,
        versions.join(", "),
        settings.workload.name(),
        settings.scale,
        settings.rounds,
        settings.seconds,
        settings.pool_size,
    );
    if settings.workers > 0 {
        say!(text, "\npgherd has {} workers.", settings.workers);
    }
    if let Some(profile) = &machine.unoptimized {
        say!(text, "\n**pgherd is a {profile} build: its figures mean nothing.**");
    }
    for (target, reason) in &summary.missing {
        let reason = reason.lines().next().unwrap_or_default();
        say!(text, "\n**{target} was left out**: {reason}");
    }
    say!(text);
}

fn figures(text: &mut String, summary: &Summary) {
    say!(text, "| protocol | clients | through | tps | p50 µs | p90 µs | p99 µs | CPU µs/tx |");
    say!(text, "|---|--:|---|--:|--:|--:|--:|--:|");
    for row in &summary.rows {
        let name = format!("| {} | {} | {} |", row.protocol.name(), row.clients, row.target);
        match &row.median {
            Some(one) => {
                let cpu = one.cpu.map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.1}"));
                say!(
                    text,
                    "{name} {:.0} | {:.0} | {:.0} | {:.0} | {cpu} |",
                    one.throughput,
                    one.p50,
                    one.p90,
                    one.p99
                );
            }
            None => {
                let reason = row.failures.first().and_then(|failure| failure.lines().next());
                say!(text, "{name} failed: {} |||||", reason.unwrap_or("no rounds"));
            }
        }
    }
    say!(text);
}

fn ratios(text: &mut String, summary: &Summary) {
    let mut rows = String::new();
    for (protocol, clients) in summary.combinations() {
        for (our, other) in [
            (Target::Pgherd, Target::PgBouncer),
            (Target::Pgherd, Target::HaProxy),
            (Target::Routed, Target::Pgherd),
        ] {
            let of = |target| summary.figures(protocol, clients, target);
            let Some((ours, theirs)) = of(our).zip(of(other)) else { continue };
            let cpu = cpu_ratio(ours, theirs);
            say!(
                rows,
                "| {} | {clients} | {our} / {other} | {:.2} | {:.2} | {:.2} | {:.2} | {} |",
                protocol.name(),
                ours.throughput / theirs.throughput,
                ours.p50 / theirs.p50,
                ours.p90 / theirs.p90,
                ours.p99 / theirs.p99,
                cpu.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            );
        }
    }
    if !rows.is_empty() {
        say!(text, "| protocol | clients | | tps | p50 | p90 | p99 | CPU |");
        say!(text, "|---|--:|---|--:|--:|--:|--:|--:|");
        say!(text, "{rows}");
    }
}

fn idle(text: &mut String, summary: &Summary) {
    say!(text, "| memory | clients | PSS before, MiB | PSS with, MiB | KiB per idle client |");
    say!(text, "|---|--:|--:|--:|--:|");
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for one in &summary.idle {
        say!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.2} |",
            one.target,
            one.clients,
            mebibytes(one.before),
            mebibytes(one.with),
            one.per_client_kib()
        );
    }
    say!(text);
}

fn verdicts(text: &mut String, summary: &Summary) {
    say!(text, "| bar | at most | measured | |");
    say!(text, "|---|--:|--:|---|");
    for verdict in &summary.verdicts {
        let measured =
            verdict.measured.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        say!(text, "| {} | {} | {measured} | {} |", verdict.what, verdict.bar, verdict.outcome());
    }
}

#[cfg(test)]
mod tests;
