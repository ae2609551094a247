//! The throttle for failed attempts. After too many failures for one email or address, it rejects further attempts for
//! a while.
//!
//! The window slides: each failure counts for a fixed time. The `governor` crate does not fit: its GCRA takes from the
//! quota at every check, and here only failures count.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::{Mutex, MutexGuard};
use quick_cache::unsync::Cache;

use crate::values::Timestamp;

/// Keys whose failures are stored. Beyond that, rarely used ones are evicted.
const REMEMBERED: usize = 20_000;

pub struct Throttle {
    /// Allowed failures. 0 disables the throttle.
    attempts: usize,
    /// Seconds for which a failure counts.
    window: i64,
    /// The times of the latest failures of each key, at most the allowed number.
    failures: Mutex<Cache<ThrottleKey, VecDeque<Timestamp>>>,
}

/// The kind of failure. Each kind is counted separately: a person who mistyped a password may still request a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A wrong password.
    Password,
    /// A wrong code from a mail.
    Code,
    /// A request for a mail.
    Mail,
    /// An attempt to create an account, successful or not.
    Account,
    /// A wrong code of a second factor.
    SecondFactor,
    /// A return from an identity provider that is not valid.
    Provider,
}

/// Failures with the same key are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ThrottleKey {
    /// In lower case. The account need not exist.
    Email(Purpose, String),
    /// A [`network`]: a client can choose the rest of its address freely.
    Address(Purpose, IpAddr),
    /// A token's id.
    Session(Purpose, i64),
    /// An account's id.
    Account(Purpose, i64),
}

/// Factor on the allowed failures of one email, from all addresses together: a stranger who guesses must not lock out
/// the owner.
const FOR_ONE_EMAIL: usize = 20;

/// There were too many failures. The next attempt is allowed after this number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub i64);

impl ThrottleKey {
    pub fn email(purpose: Purpose, email: &str) -> Self {
        Self::Email(purpose, email.to_lowercase())
    }

    pub fn address(purpose: Purpose, address: IpAddr) -> Self {
        Self::Address(purpose, network(address))
    }

    /// The allowed failures for this key, where `attempts` is the usual limit.
    fn limit(&self, attempts: usize) -> usize {
        match self {
            Self::Email(Purpose::Password | Purpose::Code, _) => attempts * FOR_ONE_EMAIL,
            _ => attempts,
        }
    }
}

/// The network that is counted as one client: an IPv4 address, or the first 64 bits of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

impl Throttle {
    pub fn new(attempts: usize, window: i64) -> Self {
        Self { attempts, window, failures: Mutex::new(Cache::new(REMEMBERED)) }
    }

    /// Whether an attempt is allowed. This is cheap, so check it before any expensive work.
    ///
    /// Failures in the future were counted before the clock was set back. They no longer count.
    ///
    /// Simultaneous attempts are all allowed until the first of them has failed. Their number is limited by the number
    /// of hashing threads.
    pub fn check(&self, keys: &[ThrottleKey], now: Timestamp) -> Result<(), Throttled> {
        let failures = self.lock();
        if self.attempts == 0 {
            return Ok(());
        }
        let opens = keys.iter().filter_map(|key| {
            let times = failures.get(key).filter(|times| times.len() >= key.limit(self.attempts))?;
            let first = times.front().filter(|_| times.iter().all(|time| *time <= now))?;
            Some(first.plus(self.window).seconds() - now.seconds())
        });
        match opens.filter(|wait| *wait > 0).max() {
            Some(wait) => Err(Throttled(wait)),
            None => Ok(()),
        }
    }

    /// Counts a failure for each key.
    pub fn count(&self, keys: &[ThrottleKey], now: Timestamp) {
        if self.attempts == 0 {
            return;
        }
        let mut failures = self.lock();
        for key in keys {
            let mut times = failures.remove(key).map(|(_, times)| times).unwrap_or_default();
            times.retain(|time| *time <= now);
            times.push_back(now);
            if times.len() > key.limit(self.attempts) {
                times.pop_front();
            }
            failures.insert(key.clone(), times);
        }
    }

    /// Forgets the failures of a key.
    pub fn reset(&self, key: &ThrottleKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Cache<ThrottleKey, VecDeque<Timestamp>>> {
        self.failures.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + second)
    }

    fn ada() -> [ThrottleKey; 1] {
        [ThrottleKey::Account(Purpose::Password, 1)]
    }

    #[test]
    fn strangers_who_guess_at_an_email_need_far_more_guesses_to_shut_its_owner_out() {
        let throttle = Throttle::new(3, 900);
        let email = [ThrottleKey::email(Purpose::Password, "ada@example.com")];
        for _ in 0..3 * FOR_ONE_EMAIL {
            assert_eq!(throttle.check(&email, at(0)), Ok(()));
            throttle.count(&email, at(0));
        }
        assert_eq!(throttle.check(&email, at(0)), Err(Throttled(900)));
        let mail = [ThrottleKey::email(Purpose::Mail, "ada@example.com")];
        (0..3).for_each(|_| throttle.count(&mail, at(0)));
        assert_eq!(throttle.check(&mail, at(0)), Err(Throttled(900)), "the number of mails to one address is limited");
    }

    #[test]
    fn the_window_slides_over_each_failure() {
        let throttle = Throttle::new(3, 900);
        for second in [0, 100, 200] {
            assert_eq!(throttle.check(&ada(), at(second)), Ok(()));
            throttle.count(&ada(), at(second));
        }
        assert_eq!(throttle.check(&ada(), at(200)), Err(Throttled(700)));
        assert_eq!(throttle.check(&ada(), at(899)), Err(Throttled(1)));
        assert_eq!(throttle.check(&ada(), at(900)), Ok(()));
        throttle.count(&ada(), at(900));
        assert_eq!(throttle.check(&ada(), at(900)), Err(Throttled(100)), "the failure of second 100 still counts");
        assert_eq!(throttle.check(&ada(), at(1000)), Ok(()));
    }

    #[test]
    fn after_the_clock_was_put_back_nobody_waits_until_it_is_that_late_again() {
        let throttle = Throttle::new(2, 900);
        for second in [0, 31_536_000, 31_536_000] {
            throttle.count(&ada(), at(second));
        }
        assert_eq!(throttle.check(&ada(), at(10)), Ok(()));
        throttle.count(&ada(), at(10));
        assert_eq!(throttle.check(&ada(), at(10)), Ok(()), "the first failure of this time");
        throttle.count(&ada(), at(20));
        assert_eq!(throttle.check(&ada(), at(20)), Err(Throttled(890)));
    }

    #[test]
    fn whichever_key_waits_longest_is_waited_for() {
        let throttle = Throttle::new(1, 900);
        let both = [
            ThrottleKey::address(Purpose::Password, "192.0.2.1".parse().unwrap()),
            ThrottleKey::Account(Purpose::Password, 1),
        ];
        throttle.count(&both[..1], at(0));
        throttle.count(&both[1..], at(50));
        assert_eq!(throttle.check(&both[..1], at(60)), Err(Throttled(840)));
        assert_eq!(throttle.check(&both, at(60)), Err(Throttled(890)));
        throttle.reset(&both[1]);
        assert_eq!(throttle.check(&both, at(60)), Err(Throttled(840)));
        assert_eq!(throttle.check(&[ThrottleKey::Account(Purpose::Password, 2)], at(60)), Ok(()));
    }

    #[test]
    fn what_fails_of_one_kind_does_not_count_for_another() {
        let throttle = Throttle::new(1, 900);
        throttle.count(&ada(), at(0));
        assert_eq!(throttle.check(&[ThrottleKey::Account(Purpose::Mail, 1)], at(0)), Ok(()));
        assert_eq!(throttle.check(&ada(), at(0)), Err(Throttled(900)));
    }

    #[test]
    fn none_are_counted_where_it_is_off() {
        let throttle = Throttle::new(0, 900);
        for _ in 0..100 {
            throttle.count(&ada(), at(0));
        }
        assert_eq!(throttle.check(&ada(), at(0)), Ok(()));
    }

    #[test]
    fn emails_are_one_in_any_case_and_addresses_in_one_network() {
        assert_eq!(
            ThrottleKey::email(Purpose::Password, "Ada@Example.COM"),
            ThrottleKey::email(Purpose::Password, "ada@example.com")
        );
        let address = |text: &str| ThrottleKey::address(Purpose::Password, text.parse().unwrap());
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(address(one) == address(other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let throttle = Throttle::new(3, 900);
        for n in 0..3 * REMEMBERED {
            throttle.count(&[ThrottleKey::email(Purpose::Password, &format!("{n}@example.com"))], at(0));
        }
        assert!(throttle.lock().len() <= REMEMBERED, "{}", throttle.lock().len());
    }
}
