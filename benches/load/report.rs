//! The results as a table or as JSON. Every rate is compared with the base: the mean rate of bare hyper.

use std::fmt;
use std::thread::available_parallelism;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Tally, Times};
use crate::server::{DATA_DIRECTORY, Held, Start, log_level};

/// The key of the base measurements.
pub const BASE: &str = "bare-hyper";

pub struct Report {
    pub conditions: Conditions,
    pub starts: Vec<Starts>,
    pub measurements: Vec<Measurement>,
}

/// The start times of a server with a number of workspaces.
pub struct Starts {
    pub workspaces: usize,
    pub each: Vec<Start>,
}

impl Starts {
    fn milliseconds(&self) -> Option<f64> {
        median(self.each.iter().map(|start| start.milliseconds).collect())
    }

    fn resident_mib(&self) -> Option<f64> {
        median(self.each.iter().filter_map(|start| start.resident_mib).collect())
    }
}

/// The conditions of the measurements, besides the machine.
pub struct Conditions {
    pub times: Times,
    /// Customers in the workspace before the first scenario.
    pub rows: usize,
}

#[derive(Clone, Copy)]
pub struct Name {
    /// The name in JSON.
    pub key: &'static str,
    /// The name in the table.
    pub label: &'static str,
}

pub struct Measurement {
    name: Name,
    connections: usize,
    pub per_second: f64,
    p50_ms: f64,
    pub p99_ms: f64,
    held: Held,
    /// Average number of writes per commit.
    group_size: Option<f64>,
    responses: usize,
    /// Processor time of the server for each request, in microseconds.
    pub processor_us: Option<f64>,
    errors: usize,
    first_error: Option<String>,
}

impl Measurement {
    pub fn new(name: Name, connections: usize, times: Times, mut tally: Tally, held: Held) -> Self {
        tally.latencies.sort_unstable();
        Self {
            name,
            connections,
            per_second: tally.answered as f64 / times.measured.as_secs_f64(),
            p50_ms: percentile_ms(&tally.latencies, 0.50),
            p99_ms: percentile_ms(&tally.latencies, 0.99),
            held,
            group_size: None,
            responses: tally.responses,
            processor_us: None,
            errors: tally.errors,
            first_error: tally.first_error,
        }
    }

    /// A measurement of requests that were sent one at a time.
    pub fn one_by_one(name: Name, took: &[Duration], held: Held) -> Self {
        let times = Times { warmup: Duration::ZERO, measured: took.iter().sum() };
        Self::new(name, 1, times, Tally::of(took), held)
    }

    /// Adds the processor time since the load began.
    pub fn since(self, before: Held) -> Self {
        let used = self.held.processor.zip(before.processor).map(|(after, before)| after.saturating_sub(before));
        let each = used.map(|used| used.as_secs_f64() * 1e6 / self.responses as f64);
        Self { processor_us: each, ..self }
    }

    pub fn in_groups_of(self, size: f64) -> Self {
        Self { group_size: Some(size), ..self }
    }
}

/// NaN without any response.
fn percentile_ms(sorted_micros: &[u32], share: f64) -> f64 {
    let rank = (sorted_micros.len() as f64 * share).ceil() as usize;
    sorted_micros.get(rank.saturating_sub(1)).map_or(f64::NAN, |&micros| f64::from(micros) / 1000.0)
}

impl Report {
    pub fn new(conditions: Conditions) -> Self {
        Self { conditions, starts: Vec::new(), measurements: Vec::new() }
    }

    pub fn errors(&self) -> usize {
        self.measurements.iter().map(|measurement| measurement.errors).sum()
    }

    /// Rates of bare hyper, in order of measurement.
    fn base_rates(&self) -> Vec<f64> {
        let base = self.measurements.iter().filter(|measurement| measurement.name.key == BASE);
        base.map(|measurement| measurement.per_second).collect()
    }

    fn ratio(&self, measurement: &Measurement) -> f64 {
        measurement.per_second / mean(&self.base_rates())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn cores() -> usize {
    available_parallelism().map_or(0, usize::from)
}

fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

impl Report {
    pub fn to_json(&self) -> Value {
        let Conditions { times, rows } = &self.conditions;
        json!({
            "conditions": {
                "version": env!("CARGO_PKG_VERSION"),
                "build": build(),
                "cores": cores(),
                "seconds": times.measured.as_secs_f64(),
                "warmup_seconds": times.warmup.as_secs_f64(),
                "rows": rows,
                "log_level": log_level(),
                "synchronous": "FULL",
                "data_directory": DATA_DIRECTORY,
            },
            "starts": self.starts.iter().map(start_to_json).collect::<Vec<_>>(),
            "base_per_second": mean(&self.base_rates()),
            "measurements": self.measurements.iter().map(|measurement| self.row_to_json(measurement)).collect::<Vec<_>>(),
            "errors": self.errors(),
        })
    }

    fn row_to_json(&self, measurement: &Measurement) -> Value {
        json!({
            "scenario": measurement.name.key,
            "connections": measurement.connections,
            "per_second": measurement.per_second,
            "ratio": self.ratio(measurement),
            "p50_ms": measurement.p50_ms,
            "p99_ms": measurement.p99_ms,
            "resident_mib": measurement.held.resident_mib,
            "open_files": measurement.held.open_files,
            "group_size": measurement.group_size,
            "processor_us": measurement.processor_us,
            "errors": measurement.errors,
            "first_error": measurement.first_error,
        })
    }
}

fn start_to_json(starts: &Starts) -> Value {
    json!({
        "workspaces": starts.workspaces,
        "starts": starts.each.len(),
        "median_ms": starts.milliseconds(),
        "median_resident_mib": starts.resident_mib(),
    })
}

/// The table: conditions, starts, one line per measurement, and warnings.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_conditions(f)?;
        self.write_starts(f)?;
        if !self.measurements.is_empty() {
            self.write_measurements(f)?;
            self.write_drift(f)?;
            self.write_errors(f)?;
        }
        Ok(())
    }
}

impl Report {
    fn write_conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conditions { times, rows } = &self.conditions;
        writeln!(f, "cx-engine {} under load, {} build", env!("CARGO_PKG_VERSION"), build())?;
        writeln!(
            f,
            "{} cores shared with the client; {} s a scenario after {} s of warm-up; keep-alive HTTP/1.1 on loopback",
            cores(),
            times.measured.as_secs_f64(),
            times.warmup.as_secs_f64(),
        )?;
        writeln!(f, "{} customers at the beginning; --log {}", grouped(*rows as f64), log_level())?;
        writeln!(f, "SQLite in WAL mode with synchronous=FULL; data in {DATA_DIRECTORY}")
    }

    fn write_starts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for starts in &self.starts {
            writeln!(
                f,
                "\nstart to first answer {} ms, then {} MiB in memory (median of {}, {} workspaces on disk)",
                or_dash(starts.milliseconds(), 1),
                or_dash(starts.resident_mib(), 1),
                starts.each.len(),
                grouped(starts.workspaces as f64),
            )?;
        }
        Ok(())
    }

    fn write_measurements(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.measurements.iter().map(|row| row.name.label.len()).max().unwrap_or(0);
        writeln!(
            f,
            "\n{:width$} {:>11} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "", "connections", "per second", "of base", "p50 ms", "p99 ms", "CPU µs", "a commit", "RSS MiB", "files",
        )?;
        for row in &self.measurements {
            writeln!(
                f,
                "{:width$} {:>11} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                row.name.label,
                row.connections,
                grouped(row.per_second),
                or_dash(Some(self.ratio(row)), 3),
                or_dash(Some(row.p50_ms), 2),
                or_dash(Some(row.p99_ms), 2),
                or_dash(row.processor_us, 0),
                or_dash(row.group_size, 1),
                or_dash(row.held.resident_mib, 1),
                row.held.open_files.map_or("–".to_owned(), |files| grouped(files as f64)),
            )?;
        }
        Ok(())
    }

    /// The spread of the runs of bare hyper, which shows how much the machine itself varies.
    fn write_drift(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = self.base_rates();
        if rates.is_empty() {
            return Ok(());
        }
        let lowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = rates.iter().copied().fold(0.0, f64::max);
        let base = mean(&rates);
        let drift = (highest - lowest) / base * 100.0;
        writeln!(f, "\nbase: {} per second, the mean of bare hyper, whose runs differ by {drift:.1} %", grouped(base))
    }

    fn write_errors(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.measurements.iter().filter(|row| row.errors > 0) {
            let first = row.first_error.as_deref().unwrap_or_default();
            writeln!(
                f,
                "FAILED: {}, connections: {}, errors: {}, the first: {first}",
                row.name.label,
                row.connections,
                grouped(row.errors as f64),
            )?;
        }
        Ok(())
    }
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if !value.is_nan() => format!("{value:.digits$}"),
        _ => "–".to_owned(),
    }
}

/// A whole number in groups of three digits: 81,234.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
