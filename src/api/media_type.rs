//! Media types: the bodies that handlers accept, and the formats of files.

use std::str::FromStr;

pub const MIB: usize = 1024 * 1024;

/// The size limit of a file with rows, in bytes.
pub const MAX_FILE: usize = 32 * MIB;

/// The kind of body that a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Any body is ignored.
    None,
    Json,
    /// `application/x-www-form-urlencoded`, as pages send it, or JSON.
    FormOrJson,
    /// The same for an OAuth client. The handler rejects other media types with an OAuth error.
    OAuthForm,
    /// Rows of a resource, in JSON or CSV.
    Rows,
    /// A file with rows, alone or in a form.
    File,
    /// The form of a page, with a file or without.
    FormWithFile,
}

/// The media types of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    Json,
    Form,
    Csv,
    Multipart,
}

impl MediaType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Csv => "text/csv",
            Self::Multipart => "multipart/form-data",
        }
    }
}

impl BodyKind {
    /// The usual size limit of a body, in bytes.
    pub const USUAL: usize = MIB;

    /// Whether the body is or has a file with rows.
    pub fn has_rows(self) -> bool {
        matches!(self, Self::Rows | Self::File | Self::FormWithFile)
    }

    /// The accepted media types. The first is the default.
    pub fn types(self) -> &'static [MediaType] {
        match self {
            Self::None | Self::Json => &[MediaType::Json],
            Self::FormOrJson | Self::OAuthForm => &[MediaType::Json, MediaType::Form],
            Self::Rows => &[MediaType::Json, MediaType::Csv],
            Self::File => &[MediaType::Csv, MediaType::Json, MediaType::Multipart],
            Self::FormWithFile => &[MediaType::Multipart, MediaType::Form, MediaType::Json],
        }
    }

    /// The size limit in bytes.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::None | Self::Json | Self::FormOrJson | Self::OAuthForm => Self::USUAL,
            Self::Rows => MAX_FILE,
            // The file, and what a form has beside it.
            Self::File | Self::FormWithFile => MAX_FILE + Self::USUAL,
        }
    }

    /// The body of a handler that has both inputs.
    pub const fn combine(self, other: Self) -> Self {
        match self {
            Self::None => other,
            some => some,
        }
    }
}

/// The format of an export: `?format=csv`, or `Accept: text/csv`, else JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err("The selected format is invalid; it may be json, csv.".into()),
        }
    }
}
