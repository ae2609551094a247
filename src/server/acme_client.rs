//! Orders one certificate from an ACME authority (RFC 8555). Runs in the thread of the orders, so its HTTP client blocks.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{
    Account, AccountCredentials, AuthorizationHandle, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    Error, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use parking_lot::Mutex;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::{Deserialize, Serialize};
use ureq::Agent;

use super::acme_proofs::AcmeProofs;
use super::dns_hook::DnsHook;
use crate::certificates::{CertificateStore, OrderFailure};
use crate::config::AcmeSettings;
use crate::outgoing::{agent_config, root_certificates, roots_of};
use crate::values::Timestamp;

/// Time limits of one request to the authority.
const CONNECT: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

/// Bytes of a response to read: a chain of certificates has a few thousand.
const MOST_RESPONSE: u64 = 1 << 20;

/// How often and how long the authority is asked whether it has finished.
const POLL: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(200)).timeout(Duration::from_secs(90));

pub struct AcmeClient {
    email: String,
    directory: String,
    agent: Agent,
    dns_hook: Option<DnsHook>,
    has_plain_listener: bool,
}

/// The account at an authority, as it is saved.
#[derive(Serialize, Deserialize)]
struct SavedAccount {
    directory: String,
    email: String,
    credentials: AccountCredentials,
}

/// A TXT record that was set.
struct DnsRecord {
    name: String,
    value: String,
}

impl AcmeClient {
    pub fn open(settings: &AcmeSettings, has_plain_listener: bool) -> anyhow::Result<Self> {
        let roots = root_certificates("acme_root", settings.root.as_deref())?;
        let config = agent_config(roots_of(&roots))
            .https_only(settings.directory.starts_with("https:"))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(LONGEST_REQUEST))
            .build();
        Ok(Self {
            email: settings.email.clone(),
            directory: settings.directory.clone(),
            agent: config.into(),
            dns_hook: settings.dns_hook.as_deref().map(DnsHook::open).transpose()?,
            has_plain_listener,
        })
    }

    /// Orders a certificate. Returns its chain and its key, in PEM.
    pub async fn order(
        &self,
        name: &str,
        store: &CertificateStore,
        proofs: &AcmeProofs,
        now: Timestamp,
    ) -> Result<Vec<u8>, OrderFailure> {
        let retry_after = Arc::default();
        let account = self.account(store, &retry_after).await.map_err(|error| match error.downcast::<Error>() {
            Ok(error) => OrderFailure { is_of_authority: true, ..failure(error, &retry_after) },
            Err(error) => OrderFailure::of_authority(format!("{error:#}")),
        })?;
        let names = store.identifiers(name);
        let mut records = Vec::new();
        let ordered = async {
            let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
            let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
            let kinds = self.kinds(store.failures(name));
            self.prove(&mut order, &kinds, proofs, &mut records).await?;
            store.count_order(name, now)?;
            issue(&mut order, &names).await
        };
        let ordered = ordered.await;
        self.remove(&records);
        ordered.map_err(|error| {
            if error.downcast_ref().is_some_and(|error| is_problem(error, "accountDoesNotExist")) {
                // The next try creates an account.
                let _ = store.delete_account();
                return OrderFailure::of_authority(format!("{error:#}"));
            }
            match error.downcast::<Error>() {
                Ok(error) => failure(error, &retry_after),
                Err(error) => OrderFailure::of_host(format!("{error:#}")),
            }
        })
    }

    /// The account of this server, which is created at the first order.
    async fn account(
        &self,
        store: &CertificateStore,
        retry_after: &Arc<Mutex<Option<i64>>>,
    ) -> anyhow::Result<Account> {
        let http = BlockingHttp { agent: self.agent.clone(), retry_after: Arc::clone(retry_after) };
        let builder = Account::builder_with_http(Box::new(http));
        let saved = store.read_account()?.and_then(|saved| serde_json::from_slice::<SavedAccount>(&saved).ok());
        let contact = format!("mailto:{}", self.email);
        let save = |credentials| {
            let saved = SavedAccount { directory: self.directory.clone(), email: self.email.clone(), credentials };
            store.save_account(&serde_json::to_vec(&saved)?)
        };
        if let Some(saved) = saved.filter(|saved| saved.directory == self.directory) {
            let credentials = serde_json::to_value(&saved.credentials)?;
            let account = builder.from_credentials(saved.credentials).await?;
            if saved.email != self.email {
                account.update_contacts(&[&contact]).await?;
                save(serde_json::from_value(credentials)?)?;
            }
            return Ok(account);
        }
        let new = NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await?;
        save(credentials)?;
        Ok(account)
    }

    /// The kinds of proof, the preferred one first: DNS-01 with a hook, else TLS-ALPN-01 or HTTP-01. Each failure changes
    /// between these two, because a proxy or a firewall may let only one of them through.
    fn kinds(&self, failures: u32) -> Vec<ChallengeType> {
        match (&self.dns_hook, self.has_plain_listener) {
            (Some(_), _) => vec![ChallengeType::Dns01],
            (None, true) if failures % 2 == 1 => vec![ChallengeType::Http01, ChallengeType::TlsAlpn01],
            (None, true) => vec![ChallengeType::TlsAlpn01, ChallengeType::Http01],
            (None, false) => vec![ChallengeType::TlsAlpn01],
        }
    }

    /// Proves that the hosts of an order are ours.
    async fn prove(
        &self,
        order: &mut Order,
        possible: &[ChallengeType],
        proofs: &AcmeProofs,
        records: &mut Vec<DnsRecord>,
    ) -> anyhow::Result<()> {
        let mut kinds = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            kinds.push(match authorization.status {
                AuthorizationStatus::Valid => None,
                _ => Some(self.prepare(&mut authorization, possible, proofs, records)?),
            });
        }
        // All records are set before the authority looks at the first: the wildcard and its domain have the same name.
        let mut authorizations = order.authorizations();
        for kind in kinds {
            let Some(authorization) = authorizations.next().await else { break };
            let mut authorization = authorization?;
            if let Some(kind) = kind {
                let mut challenge = authorization.challenge(kind).context("the authority withdrew its challenge")?;
                challenge.set_ready().await?;
            }
        }
        match order.poll_ready(&POLL).await? {
            OrderStatus::Ready | OrderStatus::Valid => Ok(()),
            _ => Err(rejection(order).await),
        }
    }

    /// Chooses a challenge that the authority offers, and prepares its proof.
    fn prepare<'a>(
        &self,
        authorization: &'a mut AuthorizationHandle<'a>,
        possible: &[ChallengeType],
        proofs: &AcmeProofs,
        records: &mut Vec<DnsRecord>,
    ) -> anyhow::Result<ChallengeType> {
        let Identifier::Dns(host) = authorization.identifier().identifier.clone() else {
            anyhow::bail!("the authority asks for a proof of something else than a host");
        };
        let offered: Vec<_> = authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
        let chosen = possible.iter().find(|kind| offered.contains(kind));
        let kind = chosen.with_context(|| format!("the authority offers {offered:?}, and not {possible:?}"))?.clone();
        let challenge = authorization.challenge(kind.clone()).context("the authority offers no challenge")?;
        let proof = challenge.key_authorization();
        match (&self.dns_hook, &kind) {
            (Some(hook), _) => {
                let record = DnsRecord { name: format!("_acme-challenge.{host}"), value: proof.dns_value() };
                let set = hook.call("set", &record.name, &record.value);
                records.push(record);
                set?;
            }
            (None, ChallengeType::Http01) => proofs.add_text(&challenge.token, proof.as_str()),
            (None, _) => proofs.add_handshake(&host, proof.digest().as_ref())?,
        }
        Ok(kind)
    }

    /// Removes the records that were set. A record that stays does no harm.
    fn remove(&self, records: &[DnsRecord]) {
        let Some(hook) = &self.dns_hook else { return };
        for DnsRecord { name, value } in records {
            if let Err(error) = hook.call("remove", name, value) {
                tracing::warn!(name, error = format!("{error:#}"), "a DNS record was not removed");
            }
        }
    }
}

/// Asks for the certificate of an order that is proven.
async fn issue(order: &mut Order, names: &[String]) -> anyhow::Result<Vec<u8>> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLL).await?;
    Ok(format!("{}\n{}", chain.trim_end(), key.serialize_pem()).into_bytes())
}

/// Why the authority did not accept a proof.
async fn rejection(order: &mut Order) -> anyhow::Error {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Error::Api(Problem {
                r#type: problem.r#type.clone(),
                detail: problem.detail.clone(),
                status: None,
                subproblems: Vec::new(),
            })
            .into();
        }
    }
    anyhow::anyhow!("the authority rejected the proof and does not say why")
}

/// Tells a failure of the authority from one of the host. An authority that limits orders, or rejects a host, may accept another host.
fn failure(error: Error, retry_after: &Mutex<Option<i64>>) -> OrderFailure {
    let is_of_authority = match &error {
        Error::Api(problem) => {
            let is_known = ["serverInternal", "userActionRequired"].iter().any(|kind| is_problem(&error, kind));
            is_known || problem.status.is_some_and(|status| status >= 500)
        }
        Error::Timeout(_) => false,
        _ => true,
    };
    let problem = match &error {
        Error::Api(Problem { r#type, detail: Some(detail), subproblems, .. }) if subproblems.is_empty() => {
            let kind = r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("error");
            format!("{detail} ({kind})")
        }
        Error::Other(error) => format!("no response from the authority: {error}"),
        error => error.to_string(),
    };
    // Responses about an order that is not ready ask to wait, too.
    let is_limit = is_of_authority || is_problem(&error, "rateLimited");
    OrderFailure { problem, is_of_authority, wait: retry_after.lock().take().filter(|_| is_limit) }
}

fn is_problem(error: &Error, kind: &str) -> bool {
    match error {
        Error::Api(problem) => problem.r#type.as_deref().is_some_and(|known| known.rsplit(':').next() == Some(kind)),
        _ => false,
    }
}

/// Sends requests from the thread that waits for them.
struct BlockingHttp {
    agent: Agent,
    /// Seconds that the last response asked to wait.
    retry_after: Arc<Mutex<Option<i64>>>,
}

impl HttpClient for BlockingHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (agent, retry_after) = (self.agent.clone(), Arc::clone(&self.retry_after));
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
            let answer = send(&agent, head, &body).map_err(|error| Error::Other(error.into()))?;
            let wait =
                answer.headers().get(http::header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
            *retry_after.lock() = wait;
            Ok(BytesResponse::from(answer))
        })
    }
}

fn send(agent: &Agent, head: http::request::Parts, body: &[u8]) -> Result<Response<Full<Bytes>>, ureq::Error> {
    let answer = match head.method {
        Method::POST => agent.run(Request::from_parts(head, body)),
        _ => agent.run(Request::from_parts(head, ())),
    };
    let (head, mut body) = answer?.into_parts();
    let mut text = Vec::new();
    body.as_reader().take(MOST_RESPONSE).read_to_end(&mut text)?;
    Ok(Response::from_parts(head, Full::from(text)))
}
