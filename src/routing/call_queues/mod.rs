//! Call queues: where calls go, by day and time.
//!
//! A queue may belong to a group. Both have time spans, in which they are open, and exceptions, which take precedence
//! over time spans. Rows of the queue take precedence over rows of its group.

pub mod calendars;
mod children;
mod create_many;
mod decision;
pub mod exceptions;
pub mod holidays;
pub mod hours;
mod moment;
#[cfg(test)]
pub mod oracle;
mod parents;
pub mod queue_groups;
pub mod queue_lookup;
pub mod queues;
mod replace_days;
pub mod time_spans;
