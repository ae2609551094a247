//! Hands a request from async code to a thread, the only such handoff: as a job in the lane of its file, or as a task
//! outside the lanes. Then waits for the response, up to `turn_timeout`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::api::execute::{self, RoutedRequest};
use crate::api::{ApiResponse, Error, Inputs, Request, Result, Route};
use crate::executors::Executor;
use crate::storage::{Fault, File, Job, Share, Threads, Verdict};
use crate::tenancy::locale_settings::WorkspaceLocale;
use crate::tenancy::text_indexes::Missing;
use crate::workspace::search_indexes;

/// The response to a request, and its timing.
pub struct DispatchResult {
    pub result: Result<ApiResponse>,
    pub waited: Duration,
    pub worked: Duration,
}

/// The outcome of a job, as the thread sends it.
struct JobOutcome {
    result: Result<ApiResponse>,
    waited: Duration,
    worked: Duration,
}

/// Decides once whether a request runs or times out. The first to claim it wins: the thread that starts the request or
/// the waiter that gives up. So a request that got 503 never runs afterwards.
#[derive(Default)]
struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Ticket {
    fn claim(&self, state: u8) -> bool {
        self.0.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A request on its way to a thread.
struct RequestJob {
    routed: RoutedRequest,
    ticket: Arc<Ticket>,
    sender: oneshot::Sender<JobOutcome>,
    joined: Instant,
    begun: Instant,
    worked: Duration,
    /// Taken by the handler; read again if the handler has to run again.
    inputs: Option<Inputs>,
    result: Option<Result<ApiResponse>>,
}

/// Runs the request on its handler's executor and waits for the response.
pub async fn run(routed: RoutedRequest) -> DispatchResult {
    let RoutedRequest { request, route } = routed.clone();
    let (sender, mut answer) = oneshot::channel();
    let ticket = Arc::new(Ticket::default());
    let joined = Instant::now();
    let job = RequestJob {
        routed,
        ticket: Arc::clone(&ticket),
        sender,
        joined,
        begun: joined,
        worked: Duration::ZERO,
        inputs: Some(route.handler.read(&request)),
        result: None,
    };
    // Computed only when needed, because it takes a lock. A turn uses the share of its file.
    let group = || request.workspace.as_ref().and_then(|workspace| workspace.group());
    let place = route.handler.executor();
    match place.threads(&request.instance.executors) {
        Some(threads) => job.send(threads, group().as_ref().and_then(|group| place.share(group))),
        None if place == Executor::Transaction => job.join_lane(),
        None => job.run_outside_lane(),
    }
    let answered = match tokio::time::timeout(request.instance.config.turn_timeout, &mut answer).await {
        Ok(answered) => answered,
        Err(_) if ticket.claim(GIVEN_UP) => return overloaded(joined),
        Err(_) => answer.await,
    };
    let Ok(JobOutcome { result, waited, worked }) = answered else { return overloaded(joined) };
    // The change is committed: streams of the workspace may read it.
    if let (Ok(_), Some(workspace), true) = (&result, &request.workspace, request.method != Method::GET) {
        request.instance.node.stream_signals.wake(workspace.id());
    }
    DispatchResult { result, waited, worked }
}

/// Checks in a read turn whether the caller is allowed, before a large body is read. The handler's own check still
/// follows.
pub async fn authorize(request: &Arc<Request>) -> Result<()> {
    let caller = Arc::clone(request);
    let limit = request.instance.config.turn_timeout;
    turn(request.file(), limit, File::submit_read, move |db| caller.identify(db).map(|_| ())).await
}

/// Reads the workspace's time zone. Needed only by the few requests that contain a time without a zone.
pub async fn load_time_zone(request: &Arc<Request>) -> Result<()> {
    let limit = request.instance.config.turn_timeout;
    let home = turn(request.file(), limit, File::submit_read, |db| Ok(WorkspaceLocale::of(db)?)).await?;
    let _ = request.time_zone.set(home.zone);
    Ok(())
}

/// Indexes the missing texts in write turns. On a disk that takes no writes the search goes without them.
pub async fn index_texts(request: &Arc<Request>, missing: Missing) -> Result<()> {
    let (missing, limit) = (Arc::new(missing), request.instance.config.turn_timeout);
    loop {
        let rows = Arc::clone(&missing);
        let index = move |db: &Connection| Ok(search_indexes::index_texts(db, &rows)?);
        match turn(request.file(), limit, File::submit_write, index).await {
            Ok(true) => {}
            Ok(false) | Err(Error::StorageFull(_) | Error::ReadOnly(_)) => break,
            Err(error) => return Err(error),
        }
    }
    let _ = request.texts_indexed.set(());
    Ok(())
}

/// Runs work in a turn of a file, and waits for the result for a limited time.
pub async fn turn<T: Send + 'static>(
    file: &Arc<File>,
    limit: Duration,
    submit: fn(&Arc<File>, Box<dyn Job>),
    work: impl FnMut(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, result) = oneshot::channel();
    submit(file, Box::new(TurnJob { work, result: None, sender }));
    match tokio::time::timeout(limit, result).await {
        Ok(Ok(result)) => result,
        _ => Err(Error::Overloaded),
    }
}

/// The job of [`turn`].
struct TurnJob<W, T> {
    work: W,
    result: Option<Result<T>>,
    sender: oneshot::Sender<Result<T>>,
}

impl<W: FnMut(&Connection) -> Result<T> + Send, T: Send> Job for TurnJob<W, T> {
    fn begin(&mut self) -> bool {
        !self.sender.is_closed()
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        let result = (self.work)(db);
        let verdict = if result.is_ok() { Verdict::Commit } else { Verdict::Rollback };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { work, result, sender } = *self;
        // The receiver of the result must hold the only reference to the request.
        drop(work);
        let result = match (outcome, result) {
            (Err(fault), _) => Err(fault.into()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::Internal("a job ended without a result".into())),
        };
        let _ = sender.send(result);
    }
}

/// Runs other work on these threads; `None` if it panicked.
pub async fn run_on<T: Send + 'static>(threads: &Threads, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, answer) = oneshot::channel();
    threads.run(move || {
        let _ = sender.send(work());
    });
    answer.await.ok()
}

/// The lane in which requests of this route wait, if any.
pub fn lane_name(route: &Route) -> Option<&'static str> {
    match route.handler.executor() {
        Executor::Inline => None,
        Executor::Transaction if route.method == Method::GET => Some("read"),
        Executor::Transaction => Some("write"),
        place => Some(place.name()),
    }
}

fn overloaded(joined: Instant) -> DispatchResult {
    DispatchResult { result: Err(Error::Overloaded), waited: joined.elapsed(), worked: Duration::ZERO }
}

impl RequestJob {
    fn join_lane(self) {
        let request = Arc::clone(&self.routed.request);
        let file = request.file();
        if request.method == Method::GET {
            file.submit_read(Box::new(self));
        } else {
            file.submit_write(Box::new(self));
        }
    }

    /// Runs outside the lanes, within the group's share of these threads.
    fn send(self, threads: &Threads, share: Option<&Arc<Share>>) {
        let most = self.routed.request.instance.config.max_waiting;
        if threads.waiting_within(share) < most {
            threads.run_within(share, move || self.run_outside_lane());
        }
    }

    fn inputs(&mut self) -> Inputs {
        self.inputs.take().unwrap_or_else(|| self.routed.route.handler.read(&self.routed.request))
    }

    /// Runs without a lane: catches panics and responds at once.
    fn run_outside_lane(mut self) {
        if !self.begin() {
            return;
        }
        let inputs = self.inputs();
        let result = catch_unwind(AssertUnwindSafe(|| execute::outside_transaction(&self.routed, inputs)));
        self.worked = self.begun.elapsed();
        self.result = Some(result.unwrap_or_else(|panic| Err(Fault::panicked(&*panic).into())));
        Box::new(self).answer(Ok(()));
    }
}

impl Job for RequestJob {
    fn begin(&mut self) -> bool {
        // If the client is gone, a read is skipped. A write still runs: the client may rely on it.
        if self.sender.is_closed() && self.routed.request.method == Method::GET {
            return false;
        }
        self.begun = Instant::now();
        self.ticket.claim(BEGUN)
    }

    /// A read has less time than a write, which blocks other writes of the file in any case.
    fn limit(&self) -> Option<Duration> {
        (self.routed.request.method == Method::GET).then_some(self.routed.request.instance.config.list_timeout)
    }

    fn work(&mut self, db: &Connection) -> Verdict {
        let began = Instant::now();
        let inputs = self.inputs();
        let result = execute::in_transaction(&self.routed, inputs, db);
        let verdict = if result.is_ok() { Verdict::Commit } else { Verdict::Rollback };
        self.worked = began.elapsed();
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, outcome: Result<(), Fault>) {
        let Self { routed, sender, joined, begun, worked, result, .. } = *self;
        // Drops the lease together with the request, so that the workspace is idle once the response is there.
        drop(routed);
        let result = match (outcome, result) {
            (Err(fault), _) => Err(fault.into()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::Internal("a job ended without a result".into())),
        };
        let _ = sender.send(JobOutcome { result, waited: begun.duration_since(joined), worked });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::{
        BlockingCtx, Ctx, Done, Needs, Ok200, Resource, Result, Route, Router, blocking, get, inline, post, run,
    };
    use crate::tests::TestServer;

    fn panics_in_its_turn(ctx: &mut Ctx<'_>) -> Result<Done> {
        ctx.db.execute("INSERT INTO settings (name, value) VALUES ('half', 'done')", [])?;
        panic!("on purpose");
    }

    fn panics_beside(_: &BlockingCtx<'_>) -> Result<Done> {
        panic!("on purpose");
    }

    fn never_ends(ctx: &mut Ctx<'_>) -> Result<Ok200<i64>> {
        let endless = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
        Ok(Ok200(ctx.db.query_row(endless, [], |row| row.get(0))?))
    }

    fn halves(ctx: &mut Ctx<'_>) -> Result<Ok200<i64>> {
        let sql = "SELECT count(*) FROM settings WHERE name = 'half'";
        Ok(Ok200(ctx.db.query_row(sql, [], |row| row.get(0))?))
    }

    const ROUTES: &[Route] = &[
        post("/turn", &run(panics_in_its_turn), Needs::SignedIn, "panics"),
        post("/steps", &blocking(panics_beside), Needs::SignedIn, "panics"),
        post("/here", &inline(panics_beside), Needs::Anyone, "panics"),
        get("/endless", &run(never_ends), Needs::SignedIn, "never ends"),
        get("/halves", &run(halves), Needs::SignedIn, "counts"),
    ];

    fn server() -> TestServer {
        TestServer::with_router(Router::new(&[], &[Resource::new("Tests", "", ROUTES)]).unwrap())
    }

    #[test]
    fn a_panic_is_a_500_that_leaves_nothing_and_the_next_request_works() {
        let server = server();
        for path in ["/turn", "/steps", "/here", "/turn"] {
            let answer = server.admin().post(path, json!({}));
            answer.rejected(500, "internal_error");
            assert!(!answer.text.contains("on purpose"), "{}", answer.text);
        }
        assert_eq!(server.admin().get("/halves").ok(), 0);
    }

    #[test]
    fn a_statement_past_its_time_is_a_503_and_the_next_request_works() {
        let server = server();
        server.admin().get("/endless").rejected(503, "overloaded");
        assert_eq!(server.admin().get("/halves").ok(), 0);
    }
}
