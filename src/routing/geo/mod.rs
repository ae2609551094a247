//! Geo routing: a postcode or a number goes to the destination of the zone that it is in. Which zones there are is a
//! model's to say; where each of them goes is a list's.

pub mod destinations;
pub mod lists;
pub mod models;
