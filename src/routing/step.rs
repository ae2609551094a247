//! What a look-up tried. People see it when they ask why a call went where it went.

use schemars::JsonSchema;
use serde::Serialize;

/// One attempt of a look-up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "{T}Step")]
pub struct Step<T, F> {
    /// The attempt.
    pub tried: T,
    /// The result of the attempt. Null if it found nothing.
    pub found: Option<F>,
    /// Whether this attempt decided. Only the last one can.
    pub decided: bool,
}

impl<T, F> Step<T, F> {
    /// An attempt that decides if it found something.
    pub fn of(tried: T, found: Option<F>) -> Self {
        Self { tried, decided: found.is_some(), found }
    }
}
