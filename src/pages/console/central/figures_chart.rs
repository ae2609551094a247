//! Charts of the figures of the last hour: a bar for each minute, the newest on the right.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::chart::{LARGEST, draw};
use super::super::display::{self, plain};
use super::super::page::PageCtx;
use super::instance_page::size;
use crate::api::{InnerRequest, Result};
use crate::central::instance_figures::MINUTES;
use crate::pages::translations::Translations;
use crate::values::Timestamp;

/// Minutes under one word of the axis.
const UNDER_A_WORD: usize = 15;

/// The widths of a minute and of its bar, in the units of the picture.
const SLOT: usize = 5;
const WIDTH: usize = 4;

/// The charts, and the table with their numbers.
pub struct HourFigures {
    pub has_requests: bool,
    pub charts: Vec<HourChart>,
    /// The words of the axis: the time in the middle of each quarter.
    pub axis: Vec<String>,
    pub width: usize,
    pub headings: Vec<String>,
    /// For each minute, its time and its numbers. The newest comes first.
    pub rows: Vec<(String, Vec<String>)>,
}

pub struct HourChart {
    pub title: String,
    /// What the picture says, in words.
    pub sentence: String,
    /// The value of the largest bar.
    pub largest: String,
    pub bars: String,
    /// Bars with a hatch, on top of the others.
    pub hatched: String,
    pub has_two_series: bool,
}

/// A figure of each minute. `None` if it is not known.
type Figures = Vec<Option<f64>>;

/// Reads the figures. `None` before the end of the first minute.
pub fn read(page: &PageCtx<'_>) -> Result<Option<HourFigures>> {
    let (words, zone) = (page.words(), page.zone()?);
    let found = page.send(InnerRequest::get("/instance/figures"))?.body;
    let minutes = found["minutes"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(last) = minutes.last() else { return Ok(None) };
    let all = |name: &str| -> Figures { minutes.iter().map(|minute| minute[name].as_f64()).collect() };
    let (requests, failed, waits) = (all("requests"), all("server_errors"), all("mean_wait_ms"));
    let (open, memory) = (all("open_workspaces"), all("resident_bytes"));
    let number = |value: f64| display::count(words, value.round() as i64);
    let bytes = |value: f64| size(words, value.round() as i64);
    let now_and_most = |figures: &Figures, written: &dyn Fn(f64) -> String| {
        let now = figures.last().copied().flatten().unwrap_or_default();
        words.now_and_most(&written(now), &written(largest(figures)))
    };
    let has_requests = last["requests"].is_u64();
    let mut charts = Vec::new();
    if has_requests {
        let sum = |figures: &Figures| figures.iter().flatten().sum::<f64>();
        let sentence = words.requests_sentence(&number(sum(&requests)), &number(sum(&failed)));
        charts.push(chart(words.requests_chart(), sentence, number, &requests, Some(&failed)));
        let sentence = match waits.iter().flatten().next() {
            Some(_) => words.longest_mean(&wait(words, largest(&waits))),
            None => words.no_waits(),
        };
        charts.push(chart(words.waits_chart(), sentence, |value| wait(words, value), &waits, None));
    }
    charts.push(chart(words.open_chart(), now_and_most(&open, &number), number, &open, None));
    if last["resident_bytes"].is_u64() {
        charts.push(chart(words.memory_chart(), now_and_most(&memory, &bytes), bytes, &memory, None));
    }
    let written = |figure: Option<f64>, as_text: &dyn Fn(f64) -> String| figure.map_or_else(String::new, as_text);
    let row = |(n, minute): (usize, &Value)| {
        let numbers = vec![
            written(requests[n], &number),
            written(failed[n], &number),
            written(waits[n], &|value| wait(words, value)),
            written(open[n], &number),
            written(memory[n], &bytes),
        ];
        (time(&zone, &minute["to"], 0), numbers)
    };
    let quarters = (1..=MINUTES / UNDER_A_WORD).rev();
    Ok(Some(HourFigures {
        has_requests,
        charts,
        axis: quarters.map(|before| time(&zone, &last["to"], before * UNDER_A_WORD - UNDER_A_WORD / 2)).collect(),
        width: MINUTES * SLOT,
        headings: vec![
            words.requests_chart(),
            words.server_errors(),
            words.waits_chart(),
            words.open_chart(),
            words.memory_chart(),
        ],
        rows: minutes.iter().enumerate().map(row).rev().collect(),
    }))
}

fn chart(
    title: String,
    sentence: String,
    written: impl Fn(f64) -> String,
    figures: &Figures,
    hatched: Option<&Figures>,
) -> HourChart {
    let largest = largest(figures);
    let height = |figure: Option<f64>| match figure {
        Some(figure) if figure > 0.0 => ((figure / largest * LARGEST as f64) as i64).max(1),
        _ => 0,
    };
    let (mut bars, mut on_top) = (String::new(), String::new());
    for (n, figure) in figures.iter().enumerate() {
        let at = (MINUTES.saturating_sub(figures.len()) + n) * SLOT;
        let top = height(hatched.and_then(|hatched| hatched[n]));
        let rest = (height(*figure) - top).max(0);
        draw(&mut bars, at, WIDTH, 0, rest);
        draw(&mut on_top, at, WIDTH, rest, top);
    }
    HourChart { title, sentence, largest: written(largest), bars, hatched: on_top, has_two_series: hatched.is_some() }
}

fn largest(figures: &Figures) -> f64 {
    figures.iter().flatten().copied().fold(0.0, f64::max)
}

/// A wait in words.
fn wait(words: Translations, milliseconds: f64) -> String {
    words.milliseconds(&format!("{milliseconds:.2}"))
}

/// The local time of day some minutes before a moment.
fn time(zone: &TimeZone, moment: &Value, minutes_before: usize) -> String {
    let moment = plain(moment).parse::<Timestamp>().map(|at| at.plus(-60 * minutes_before as i64));
    moment.map_or_else(|_| String::new(), |at| at.local(zone).strftime("%H:%M").to_string())
}
