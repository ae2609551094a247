//! Orders certificates in a thread of its own, one after the other: first those that handshakes wait for, then those to
//! renew. A round takes the time as a value.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::acme_client::AcmeClient;
use super::acme_proofs::AcmeProofs;
use super::host_certificates::certified_key;
use super::operations;
use crate::certificates::{CertificateStore, OrderFailure, RefusedOrder};
use crate::instance::Instance;
use crate::values::Timestamp;

/// The thread looks at the clock as often.
const EVERY: Duration = Duration::from_secs(1);

/// Seconds between two looks for workspaces that were deleted or renamed.
const TIDY_EVERY: i64 = 60;

pub struct CertificateOrders {
    store: Arc<CertificateStore>,
    client: AcmeClient,
    proofs: AcmeProofs,
    requested: Mutex<VecDeque<String>>,
    /// Wakes the thread.
    wake: Condvar,
    /// Changes when an order has ended.
    ended: watch::Sender<u64>,
}

impl CertificateOrders {
    pub fn new(store: Arc<CertificateStore>, client: AcmeClient) -> Self {
        Self {
            store,
            client,
            proofs: AcmeProofs::default(),
            requested: Mutex::default(),
            wake: Condvar::new(),
            ended: watch::Sender::new(0),
        }
    }

    pub fn proofs(&self) -> &AcmeProofs {
        &self.proofs
    }

    /// Queues an order, unless it must wait. An order that ended just now has its certificate already.
    pub fn request(&self, name: &str, now: Timestamp) -> Result<(), RefusedOrder> {
        let mut requested = self.requested.lock();
        if !requested.iter().any(|known| known == name) && !self.store.has(name) {
            self.store.check(name, now)?;
            requested.push_back(name.to_owned());
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether an order is queued or runs.
    pub fn is_requested(&self, name: &str) -> bool {
        self.requested.lock().iter().any(|known| known == name)
    }

    /// Learns that an order has ended.
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Starts the thread. It ends after the instance. `forget` is told each certificate that has changed.
    pub fn start(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        forget: impl Fn(&str) + Send + 'static,
        clock: fn() -> Timestamp,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (orders, panics) = (Arc::clone(self), Arc::clone(&instance.supervisor));
        let instance = Arc::downgrade(instance);
        panics.clone().spawn("certificates".into(), move || {
            let mut tidied_at = Timestamp::default();
            while let Some(instance) = instance.upgrade() {
                let now = clock();
                let _ = panics.run("certificates", || {
                    orders.round(&runtime, &instance, &forget, now);
                    if (now.seconds() - tidied_at.seconds()).abs() >= TIDY_EVERY {
                        tidied_at = now;
                        orders.tidy(&instance, &forget, now);
                    }
                });
                let may_serve = instance.may_serve();
                drop(instance);
                orders.wait(may_serve);
            }
        })
    }

    /// Waits for a request, or a second. A server that may not serve orders nothing.
    fn wait(&self, may_serve: bool) {
        let mut requested = self.requested.lock();
        if requested.is_empty() || !may_serve {
            self.wake.wait_for(&mut requested, EVERY);
        }
    }

    /// Orders at most one certificate.
    fn round(&self, runtime: &Runtime, instance: &Instance, forget: &impl Fn(&str), now: Timestamp) {
        if !instance.may_serve() {
            return;
        }
        let requested = self.requested.lock().front().cloned();
        let Some(name) = requested.or_else(|| self.store.due(now)) else { return };
        let running = RunningOrder::begin(self, name);
        if self.store.check(&running.name, now).is_ok() && self.is_served(instance, &running.name) {
            self.order(runtime, &running.name, now);
            forget(&running.name);
        }
    }

    fn order(&self, runtime: &Runtime, name: &str, now: Timestamp) {
        let ordered = runtime.block_on(self.client.order(name, &self.store, &self.proofs, now));
        let saved = ordered.and_then(|pem| {
            let saved = certified_key(&pem).and_then(|_| self.store.save(name, &pem, now));
            saved.map_err(|error| OrderFailure::of_host(format!("{error:#}")))
        });
        match saved {
            Ok(validity) => tracing::info!(host = name, expires_at = %validity.expires_at, "got a certificate"),
            Err(failure) => {
                tracing::warn!(host = name, error = failure.problem, "no certificate; it is tried again");
                if let Err(error) = self.store.order_failed(name, &failure, now) {
                    tracing::warn!(error = format!("{error:#}"), "the state of the certificates was not saved");
                }
            }
        }
    }

    /// Deletes the certificates of workspaces that were deleted or renamed.
    fn tidy(&self, instance: &Instance, forget: &impl Fn(&str), now: Timestamp) {
        let Ok(subdomains) = instance.central.subdomains() else { return };
        let is_served = |name: &str| operations::is_among(&instance.config, name, &subdomains);
        match self.store.keep_only(is_served, now) {
            Ok(removed) => removed.iter().for_each(|name| {
                tracing::info!(host = name, "deleted the certificate of a host that is not served any more");
                forget(name);
            }),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "old certificates were not deleted"),
        }
    }

    fn is_served(&self, instance: &Instance, name: &str) -> bool {
        self.store.is_wildcard(name) || operations::needs_certificate(instance, name)
    }
}

/// An order that runs. When it ends, the handshakes that wait for it are told.
struct RunningOrder<'a> {
    orders: &'a CertificateOrders,
    name: String,
}

impl<'a> RunningOrder<'a> {
    /// Queues the order if it is a renewal. A handshake for the host then waits for it, and orders nothing.
    fn begin(orders: &'a CertificateOrders, name: String) -> Self {
        let mut requested = orders.requested.lock();
        if !requested.contains(&name) {
            requested.push_front(name.clone());
        }
        drop(requested);
        Self { orders, name }
    }
}

impl Drop for RunningOrder<'_> {
    fn drop(&mut self) {
        self.orders.proofs.clear();
        self.orders.requested.lock().retain(|known| *known != self.name);
        self.orders.ended.send_modify(|orders| *orders += 1);
    }
}
