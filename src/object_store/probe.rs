//! The test of a store. It shows whether the store honours the conditions on which the safety of the data depends.

use std::time::{Duration, Instant};

use super::{ETag, ObjectStore, StoreError};

/// Creates of one object at the same time, of which one may succeed.
const AT_ONCE: usize = 4;

/// A finished step of a probe.
#[derive(Debug, Clone)]
pub struct ProbeStep {
    pub name: &'static str,
    pub took: Duration,
    /// The reason, if the step failed. The probe ends with that step.
    pub failure: Option<String>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ProbeError {
    /// A request failed. If its outcome is unknown, a later probe may succeed.
    #[error("{step}: {error}")]
    Failed { step: &'static str, error: StoreError },
    /// The store answers, but does something else than it says. It must not be used.
    #[error("this object store cannot be used: {0}")]
    Unsuitable(String),
}

/// Why a step failed.
enum Failure {
    Store(StoreError),
    Unsuitable(&'static str),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

const OVERWRITES: &str = "it created an object that existed already, and so ignores the condition If-None-Match. Two \
     nodes could overwrite each other's data";
const UPDATES_STALE: &str = "it replaced an object that had another tag, and so ignores the condition If-Match. Two \
     nodes could take the same workspaces";
const REJECTS_CURRENT: &str = "it rejected a change of an object with its current tag";
const READS_OTHER: &str = "it returned something else than was written";
const RACES: &str = "it accepted two creates of the same object at the same time. Two nodes could overwrite each other's \
     data";
const LISTS_OTHER: &str = "its list does not have exactly the objects that were just written, with their sizes";
const KEEPS: &str = "it still has an object that was deleted";

/// The objects that one probe writes.
struct Probe<'s> {
    store: &'s ObjectStore,
    key: String,
    contended: String,
    /// The tag of each version of the first object.
    tags: Vec<ETag>,
}

const FIRST: &[u8] = b"the first version";
const SECOND: &[u8] = b"the second version";
const STALE: &[u8] = b"a version that must not be written";

type StepWork = fn(&mut Probe<'_>) -> Result<(), Failure>;

const STEPS: &[(&str, StepWork)] = &[
    ("create an object", |probe| probe.create()),
    ("reject a second create", |probe| probe.reject_second_create()),
    ("read the object", |probe| probe.read(FIRST)),
    ("replace it by its tag", |probe| probe.replace()),
    ("reject a change by an old tag", |probe| probe.reject_stale_change()),
    ("read the change", |probe| probe.read(SECOND)),
    ("accept one of several creates at the same time", |probe| probe.create_at_once()),
    ("list the objects", |probe| probe.list()),
    ("delete them", |probe| probe.delete()),
];

impl ObjectStore {
    /// Tests the store with objects below `probe/`. Reports each step when it is finished, and ends with the first that
    /// fails. `name` becomes part of the keys.
    pub fn probe(&self, name: &str, step: &mut dyn FnMut(ProbeStep)) -> Result<(), ProbeError> {
        let key = format!("probe/{name}-{:016x}", fastrand::u64(..));
        let contended = format!("{key}-contended");
        let mut probe = Probe { store: self, key, contended, tags: Vec::new() };
        let result = probe.run(step);
        if result.is_err() {
            // The reason of the failure says more than one of the clean-up.
            let _ = self.delete(&probe.key);
            let _ = self.delete(&probe.contended);
        }
        result
    }
}

impl Probe<'_> {
    fn run(&mut self, step: &mut dyn FnMut(ProbeStep)) -> Result<(), ProbeError> {
        for (name, work) in STEPS {
            let started = Instant::now();
            let done = work(self).map_err(|failure| match failure {
                Failure::Store(error) => ProbeError::Failed { step: name, error },
                Failure::Unsuitable(why) => ProbeError::Unsuitable(why.to_owned()),
            });
            let failure = done.as_ref().err().map(ToString::to_string);
            step(ProbeStep { name, took: started.elapsed(), failure });
            done?;
        }
        Ok(())
    }

    fn create(&mut self) -> Result<(), Failure> {
        self.tags.push(self.store.create(&self.key, FIRST)?);
        Ok(())
    }

    fn reject_second_create(&mut self) -> Result<(), Failure> {
        must_be_rejected(self.store.create(&self.key, STALE), OVERWRITES)
    }

    fn read(&mut self, expected: &[u8]) -> Result<(), Failure> {
        let found = self.store.get(&self.key)?;
        let is_same = found.is_some_and(|object| object.body == expected && Some(&object.tag) == self.tags.last());
        must(is_same, READS_OTHER)
    }

    fn replace(&mut self) -> Result<(), Failure> {
        let replaced = self.store.replace(&self.key, SECOND, &self.tags[0]);
        must(replaced != Err(StoreError::Precondition), REJECTS_CURRENT)?;
        self.tags.push(replaced?);
        Ok(())
    }

    fn reject_stale_change(&mut self) -> Result<(), Failure> {
        must_be_rejected(self.store.replace(&self.key, STALE, &self.tags[0]), UPDATES_STALE)
    }

    fn create_at_once(&mut self) -> Result<(), Failure> {
        let (store, key) = (self.store, &self.contended);
        let results: Vec<Result<ETag, StoreError>> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| store.create(key, FIRST))).collect();
            started.into_iter().filter_map(|create| create.join().ok()).collect()
        });
        must(results.iter().filter(|result| result.is_ok()).count() <= 1, RACES)?;
        // The others were rejected, or the store asks to repeat them, which would be rejected now.
        let first_error = results.iter().find_map(|result| result.as_ref().err()).cloned();
        let is_created = results.iter().any(Result::is_ok) || self.store.get(key)?.is_some();
        if is_created { Ok(()) } else { Err(Failure::Store(first_error.unwrap_or(StoreError::Precondition))) }
    }

    fn list(&mut self) -> Result<(), Failure> {
        let found = self.store.list(&self.key, None)?;
        let found: Vec<(&str, u64)> = found.iter().map(|object| (object.key.as_str(), object.size)).collect();
        let expected = [(self.key.as_str(), SECOND.len() as u64), (self.contended.as_str(), FIRST.len() as u64)];
        must(found == expected, LISTS_OTHER)
    }

    fn delete(&mut self) -> Result<(), Failure> {
        self.store.delete(&self.key)?;
        self.store.delete(&self.contended)?;
        must(self.store.get(&self.key)?.is_none() && self.store.list(&self.key, None)?.is_empty(), KEEPS)
    }
}

fn must(is_good: bool, why: &'static str) -> Result<(), Failure> {
    if is_good { Ok(()) } else { Err(Failure::Unsuitable(why)) }
}

fn must_be_rejected(change: Result<ETag, StoreError>, why: &'static str) -> Result<(), Failure> {
    match change {
        Err(StoreError::Precondition) => Ok(()),
        Ok(_) => Err(Failure::Unsuitable(why)),
        Err(error) => Err(error.into()),
    }
}
