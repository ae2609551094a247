//! Geo routing: a postcode or a number is routed by its zone. A geo model defines the zones, and a geo list has the
//! destination of each zone.

pub mod geo_destinations;
pub mod geo_lists;
pub mod models;
