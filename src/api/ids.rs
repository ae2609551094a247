//! The ids of a bulk request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

const MOST: usize = 10_000;

/// `{"ids":[1,2,3]}`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Ids {
    /// At least one, at most 10,000; one that is named twice counts once.
    #[schemars(length(min = 1, max = 10_000))]
    ids: Vec<i64>,
}

impl Ids {
    pub fn distinct(mut self) -> Result<Vec<i64>> {
        if self.ids.is_empty() {
            return Err(Error::invalid("The ids field is required."));
        }
        if self.ids.len() > MOST {
            return Err(Error::invalid(format!("The ids may not be more than {MOST}.")));
        }
        self.ids.sort_unstable();
        self.ids.dedup();
        Ok(self.ids)
    }

    /// An id that names nothing: then nothing is done to the others either.
    pub fn unknown() -> Error {
        let sentence = "The selected ids is invalid.";
        Error::Refused { code: "unknown_ids".into(), message: sentence.into(), hint: vec![sentence.into()] }
    }
}
