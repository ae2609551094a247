//! The account of a demo. Its password is not a secret: it is published here and printed at every start.

pub const EMAIL: &str = "demo@example.com";
pub const PASSWORD: &str = "demo-needs-no-secret";
