//! Names of hosts that somebody may call from, with the addresses that they lead to: asked of the network once a minute,
//! and never by whoever works on a file.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::{Mutex, MutexGuard};

use crate::values::Timestamp;

/// How long an answer of the network counts, in seconds; also that there is none.
const KEPT_FOR: i64 = 60;

/// Names that are remembered; one more, and all are asked for again.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub struct HostNames(Mutex<HashMap<String, (Vec<IpAddr>, Timestamp)>>);

impl HostNames {
    /// Where a name leads to, as far as that is known at this moment.
    pub fn addresses(&self, name: &str, now: Timestamp) -> Option<Vec<IpAddr>> {
        let known = self.lock();
        let (addresses, asked_at) = known.get(name)?;
        // One of later than now was given before the clock was put back.
        (0..KEPT_FOR).contains(&(now.seconds() - asked_at.seconds())).then(|| addresses.clone())
    }

    /// Remembers where a name leads to: nowhere, where there is no address.
    pub fn learn(&self, name: String, addresses: Vec<IpAddr>, now: Timestamp) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(name, (addresses, now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Vec<IpAddr>, Timestamp)>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_minute() {
        let (names, at) = (HostNames::default(), Timestamp::from_seconds);
        names.learn("pbx.example.com".into(), vec![[192, 0, 2, 1].into()], at(0));
        names.learn("gone.example.com".into(), Vec::new(), at(0));
        assert_eq!(names.addresses("pbx.example.com", at(59)), Some(vec![[192, 0, 2, 1].into()]));
        assert_eq!(names.addresses("gone.example.com", at(59)), Some(Vec::new()));
        assert_eq!(names.addresses("pbx.example.com", at(60)), None);
        assert_eq!(names.addresses("pbx.example.com", at(-3600)), None);
        assert_eq!(names.addresses("other.example.com", at(0)), None);
    }
}
