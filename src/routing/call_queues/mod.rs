//! Call queues: where calls go, by day and time.
//!
//! A queue may belong to a group. Both have time spans, in which they are open, and exceptions, which take precedence
//! over time spans. Rows of the queue take precedence over rows of its group.

mod bulk;
pub mod calendars;
pub mod exceptions;
pub mod groups;
pub mod holidays;
pub mod lookup;
mod moment;
mod parents;
pub mod queues;
#[cfg(test)]
mod slowly;
pub mod time_spans;
