//! `/metrics`: counters, and gauges that are looked up at each request, in the OpenMetrics 1.0 text format.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::log_writer;
use crate::executors::Executor;
use crate::instance::Instance;
use crate::metrics::{LaneLabels, resident_memory};
use crate::storage::File;
use crate::tls_certificate;
use crate::values::Timestamp;

pub const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    cache: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutboxLabels {
    state: &'static str,
}

/// Threads that are of no executor.
const OTHER_THREADS: [&str; 9] =
    ["alerts", "background", "certificates", "indexes", "jobs", "mail", "store", "updates", "webhooks"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ThreadLabels {
    thread: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabels {
    file: &'static str,
    part: &'static str,
}

/// All metrics as text. Figures that cannot be determined are omitted.
pub fn page(instance: &Instance, now: Timestamp) -> String {
    let mut registry = Registry::default();
    let ours = registry.sub_registry_with_prefix("cx_engine");
    instance.metrics.register(ours);
    instance.files_metrics().register(ours);
    register_program(ours);
    let open = instance.registry.files();
    register_files(instance, &open, ours);
    register_waiting(instance, &open, ours);
    register_caches(instance, ours);
    register_outbox(instance, ours);
    register_threads(instance, ours);
    register_certificates(instance, now, ours);
    register_backups(instance, ours);
    register_store(instance, ours);
    ours.register("log_lines_dropped", "Log lines that were dropped", ConstCounter::new(log_writer::dropped()));
    #[cfg(target_os = "linux")]
    if register_process(&mut registry).is_none() {
        tracing::debug!("no figures about this process in /proc");
    }
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a text takes all");
    page
}

fn register_program(registry: &mut Registry) {
    let versions = [("version", env!("CARGO_PKG_VERSION")), ("sqlite", rusqlite::version())];
    registry.register("build", "Versions of the program and of SQLite", Info::new(versions.to_vec()));
}

fn register_files(instance: &Instance, open: &[Arc<File>], registry: &mut Registry) {
    let bytes = Family::<FileLabels, Gauge>::default();
    let (central, central_log) = instance.central.file().sizes();
    let (workspaces, logs) =
        open.iter().map(|file| file.sizes()).fold((0, 0), |(files, logs), (file, log)| (files + file, logs + log));
    for (file, part, size) in [
        ("central", "data", central),
        ("central", "log", central_log),
        ("open_workspaces", "data", workspaces),
        ("open_workspaces", "log", logs),
    ] {
        bytes.get_or_create(&FileLabels { file, part }).set(size.cast_signed());
    }
    registry.register("open_workspaces", "Workspaces with open files", ConstGauge::new(open.len() as i64));
    let waiting = instance.node.waiting_updates.load(Ordering::Relaxed);
    let help = "Workspaces that the server has not updated to its version yet";
    registry.register("workspaces_waiting_for_update", help, ConstGauge::new(waiting as i64));
    registry.register_with_unit(
        "sqlite",
        "Size on disk of the central file and of open workspaces, and of their write-ahead logs",
        Unit::Bytes,
        bytes,
    );
}

fn register_waiting(instance: &Instance, open: &[Arc<File>], registry: &mut Registry) {
    let lanes = open.iter().chain([instance.central.file()]).map(|file| file.waiting());
    let (reads, writes) = lanes.fold((0, 0), |(reads, writes), (read, write)| (reads + read, writes + write));
    let waiting = Family::<LaneLabels, Gauge>::default();
    let outside_lanes = Executor::WITH_THREADS.iter().filter_map(|place| {
        let threads = place.threads(&instance.executors)?;
        Some((place.name(), threads.waiting()))
    });
    for (lane, jobs) in [("read", reads), ("write", writes)].into_iter().chain(outside_lanes) {
        waiting.get_or_create(&LaneLabels { lane }).set(jobs as i64);
    }
    registry.register("waiting", "Requests waiting now, by lane, over all files", waiting);
}

fn register_caches(instance: &Instance, registry: &mut Registry) {
    let [workspaces, tokens] = instance.directory.hits_and_misses();
    let looked = Family::<CacheLabels, Counter>::default();
    for (cache, (hits, misses)) in
        [("workspaces", workspaces), ("tokens", tokens), ("open_workspaces", instance.registry.hits_and_misses())]
    {
        looked.get_or_create(&CacheLabels { cache, result: "hit" }).inc_by(hits);
        looked.get_or_create(&CacheLabels { cache, result: "miss" }).inc_by(misses);
    }
    registry.register("cache_lookups", "Look-ups of workspaces and tokens in memory, by result", looked);
}

fn register_outbox(instance: &Instance, registry: &mut Registry) {
    let Ok([queued, retried, dead]) = instance.central.count_mails() else { return };
    let mails = Family::<OutboxLabels, Gauge>::default();
    for (state, count) in [("queued", queued), ("retried", retried), ("dead", dead)] {
        mails.get_or_create(&OutboxLabels { state }).set(count);
    }
    registry.register(
        "outbox_mails",
        "Mails in the outbox: queued, to be retried, and dead (waiting for doctor --fix)",
        mails,
    );
}

fn register_threads(instance: &Instance, registry: &mut Registry) {
    let panics = Family::<ThreadLabels, Counter>::default();
    let counted = instance.supervisor.panics();
    let executors = [Executor::Transaction].into_iter().chain(Executor::WITH_THREADS).map(Executor::name);
    for thread in executors.chain(OTHER_THREADS) {
        panics.get_or_create(&ThreadLabels { thread }).inc_by(counted.get(thread).copied().unwrap_or_default());
    }
    registry.register("thread_panics", "Panics of rounds and tasks; the threads went on", panics);
}

fn register_backups(instance: &Instance, registry: &mut Registry) {
    let Ok(status) = instance.central.backup_status() else { return };
    if let Some(taken_at) = status.taken_at {
        registry.register_with_unit(
            "backup_last_success_timestamp",
            "Time of the newest complete backup, as seconds since 1970",
            Unit::Seconds,
            ConstGauge::new(taken_at.seconds()),
        );
    }
    registry.register(
        "backup_failing",
        "1 if the last backup failed",
        ConstGauge::new(i64::from(status.failing_since.is_some())),
    );
}

/// The end of the certificate of the settings, or of the first by ACME. Hosts are no labels: there may be thousands.
fn register_certificates(instance: &Instance, now: Timestamp, registry: &mut Registry) {
    let summary = instance.certificates().map(|store| (store.summary(now), store.orders()));
    let expires_at = match &summary {
        Some((summary, _)) => summary.expires_at,
        None => tls_certificate::expires_at(instance.config.tls.as_ref()),
    };
    if let Some(expires_at) = expires_at {
        registry.register_with_unit(
            "certificate_expires",
            "End of the TLS certificate, since the Unix epoch; of several, the first end",
            Unit::Seconds,
            ConstGauge::new(expires_at.seconds()),
        );
    }
    let Some((summary, (issued, failed))) = summary else { return };
    let certificates = Family::<CertificateLabels, Gauge>::default();
    for (state, count) in [("valid", summary.valid), ("failed", summary.failed)] {
        certificates.get_or_create(&CertificateLabels { state }).set(count as i64);
    }
    registry.register(
        "certificates",
        "Valid certificates by ACME, and hosts that got none by their last order",
        certificates,
    );
    let orders = Family::<OrderLabels, Counter>::default();
    for (outcome, count) in [("issued", issued), ("failed", failed)] {
        orders.get_or_create(&OrderLabels { outcome }).inc_by(count);
    }
    registry.register("certificate_orders", "Orders of certificates by ACME, by outcome", orders);
    registry.register(
        "certificate_orders_left",
        "Hosts that can still get their first certificate this week",
        ConstGauge::new(summary.orders_left as i64),
    );
}

/// Without a store there are no figures.
fn register_store(instance: &Instance, registry: &mut Registry) {
    let Some(log) = &instance.store_log else { return };
    log.metrics().register(registry);
    registry.register(
        "store_waiting_files",
        "Files with commits that the store does not have yet",
        ConstGauge::new(log.waiting_files() as i64),
    );
    registry.register(
        "store_trouble",
        "1 if commits cannot be stored at the moment",
        ConstGauge::new(i64::from(log.trouble().is_some() || !log.overtaken_files().is_empty())),
    );
}

/// Process metrics with the names that Prometheus' own clients use, from `/proc` (proc(5)). Missing figures are
/// omitted.
#[cfg(target_os = "linux")]
fn register_process(registry: &mut Registry) -> Option<()> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name, is in parentheses and may contain spaces. Parsing starts with the third.
    let rest: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| rest.get(number - 3)?.parse::<u64>().ok();
    let (user, system, threads, start) = (field(14)?, field(15)?, field(20)?, field(22)?);
    let virtual_bytes = field(23)?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let system_stat = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = system_stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    let started = booted + start as f64 / ticks;
    let gauge = |value: u64| ConstGauge::new(value.cast_signed());
    registry.register("process_cpu_seconds", "CPU time used", ConstCounter::new((user + system) as f64 / ticks));
    registry.register(
        "process_start_time_seconds",
        "Start time of the process, in Unix time",
        ConstGauge::new(started),
    );
    registry.register("process_resident_memory_bytes", "Resident memory", gauge(resident_memory()?));
    registry.register("process_virtual_memory_bytes", "Virtual memory", gauge(virtual_bytes));
    registry.register("process_threads", "Threads", gauge(threads));
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    registry.register("process_open_fds", "Open files and sockets", gauge(open));
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        registry.register("process_max_fds", "Maximum open files and sockets", gauge(limit));
    }
    Some(())
}
