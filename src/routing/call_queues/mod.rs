//! Call queues: where calls go, by day and by hour.
//!
//! A queue may be of a group. Both have time spans, in which they are open, and exceptions, which come before these; of
//! several that say something of a moment, the queue's own come before those of its group.

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
