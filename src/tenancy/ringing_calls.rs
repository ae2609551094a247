//! The calls that PBXs have just looked up. They are only in memory: a call that rings is of interest for minutes, and
//! a look-up writes nothing to disk.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::values::Timestamp;

/// Seconds for which a call is remembered.
pub const REMEMBERED: i64 = 300;

/// Maximum remembered calls of a workspace. The oldest is dropped.
const MOST: usize = 100;

/// Seconds in which a look-up of the same number for the same agent and queue is the same call. Several phones of a
/// queue ring at once, and each makes the PBX ask.
const SAME_CALL: i64 = 20;

/// A call that rings, as far as the PBX described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingingCall {
    /// The number of the call among those of the process. It grows with time.
    pub id: u64,
    pub at: Timestamp,
    /// The number of the caller, as the PBX wrote it.
    pub number: String,
    /// The only customer whose contacts the PBX may see, if any.
    pub customer_id: Option<i64>,
    /// The best match for the number.
    pub contact_id: Option<i64>,
    pub target: RingTarget,
}

/// Where a call rings: all that the PBX said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RingTarget {
    pub agent_extension: Option<String>,
    pub agent_email: Option<String>,
    /// The name or number of the queue.
    pub queue: Option<String>,
    /// The number that was called.
    pub did: Option<String>,
}

#[derive(Default)]
pub struct RingingCalls {
    state: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    last_id: u64,
    last_swept: i64,
    /// Oldest first.
    calls: HashMap<Uuid, VecDeque<RingingCall>>,
}

impl RingingCalls {
    /// Remembers a call, whose id the state gives. Returns whether it is a new one.
    pub fn add(&self, workspace: Uuid, call: RingingCall) -> bool {
        let at = call.at;
        let state = &mut *self.state.lock();
        if at.seconds() - state.last_swept >= REMEMBERED {
            state.last_swept = at.seconds();
            state.calls.retain(|_, calls| calls.back().is_some_and(|newest| is_within(newest, REMEMBERED, at)));
        }
        let calls = state.calls.entry(workspace).or_default();
        let is_same = |known: &RingingCall| {
            (&known.number, known.customer_id, &known.target) == (&call.number, call.customer_id, &call.target)
        };
        if calls.iter().rev().take_while(|call| is_within(call, SAME_CALL, at)).any(is_same) {
            return false;
        }
        if calls.len() == MOST {
            calls.pop_front();
        }
        state.last_id += 1;
        calls.push_back(RingingCall { id: state.last_id, ..call });
        true
    }

    /// The calls of the last `seconds`, oldest first.
    pub fn recent(&self, workspace: Uuid, seconds: i64, now: Timestamp) -> Vec<RingingCall> {
        self.select(workspace, |call| is_within(call, seconds, now))
    }

    /// The calls after the one with this id, oldest first.
    pub fn after(&self, workspace: Uuid, id: u64) -> Vec<RingingCall> {
        self.select(workspace, |call| call.id > id)
    }

    /// The id of the newest call of any workspace; 0 before the first.
    pub fn last_id(&self) -> u64 {
        self.state.lock().last_id
    }

    fn select(&self, workspace: Uuid, wanted: impl Fn(&RingingCall) -> bool) -> Vec<RingingCall> {
        let state = self.state.lock();
        state.calls.get(&workspace).into_iter().flatten().filter(|call| wanted(call)).cloned().collect()
    }
}

/// Whether a call is at most this old. A call from the future is of a clock that was set back.
fn is_within(call: &RingingCall, seconds: i64, now: Timestamp) -> bool {
    (0..=seconds).contains(&(now.seconds() - call.at.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_705_752_000 + seconds)
    }

    fn rings(calls: &RingingCalls, workspace: Uuid, number: &str, agent: Option<&str>, seconds: i64) -> bool {
        let target = RingTarget { agent_extension: agent.map(str::to_owned), ..RingTarget::default() };
        let number = number.into();
        let call = RingingCall { id: 0, at: at(seconds), number, customer_id: None, contact_id: None, target };
        calls.add(workspace, call)
    }

    fn numbers(calls: &RingingCalls, workspace: Uuid, within: i64, seconds: i64) -> Vec<String> {
        calls.recent(workspace, within, at(seconds)).into_iter().map(|call| call.number).collect()
    }

    #[test]
    fn the_phones_of_a_queue_that_ring_at_once_are_one_call() {
        let (calls, acme) = (RingingCalls::default(), Uuid::from_u128(1));
        let told: Vec<bool> = (0..5).map(|second| rings(&calls, acme, "0142000000", None, second)).collect();
        assert_eq!(told, [true, false, false, false, false]);
        assert!(rings(&calls, acme, "0142000000", Some("204"), 5), "each agent is told of a call to the agent's phone");
        assert!(rings(&calls, acme, "0143000000", None, 5));
        assert!(rings(&calls, acme, "0142000000", None, 21), "the caller calls again");
        assert_eq!(numbers(&calls, acme, 30, 21).len(), 4);
    }

    #[test]
    fn a_workspace_sees_its_own_recent_calls_only() {
        let (calls, acme, other) = (RingingCalls::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        rings(&calls, acme, "1", None, 0);
        rings(&calls, other, "2", None, 0);
        rings(&calls, acme, "3", None, 40);
        assert_eq!(numbers(&calls, acme, 30, 41), ["3"]);
        assert_eq!(numbers(&calls, acme, REMEMBERED, 41), ["1", "3"]);
        assert_eq!(numbers(&calls, other, REMEMBERED, 41), ["2"]);
        let first = calls.recent(acme, REMEMBERED, at(41))[0].id;
        assert_eq!(calls.after(acme, first).len(), 1);
        assert_eq!(calls.last_id(), 3);
    }

    #[test]
    fn memory_is_bounded_by_time_and_number() {
        let calls = RingingCalls::default();
        for tenant in 0..50 {
            for number in 0..2 * MOST {
                rings(&calls, Uuid::from_u128(tenant), &number.to_string(), None, 0);
            }
            assert_eq!(calls.after(Uuid::from_u128(tenant), 0).len(), MOST);
        }
        rings(&calls, Uuid::from_u128(99), "1", None, REMEMBERED + 1);
        assert_eq!(calls.state.lock().calls.len(), 1);
    }
}
