//! Pages of a list, by number or by cursor.

use schemars::JsonSchema;
use serde::Serialize;

use super::error::Result;
use super::input::pairs;
use super::openapi::Operation;
use super::request::Request;
use super::response::{ApiResponse, IntoResponse, json};

/// One page of a list, by number, or by position if the query has `cursor`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged)]
pub enum Page<T> {
    Numbered(NumberedPage<T>),
    Cursor(CursorPage<T>),
}

/// A page with links to all other pages.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct NumberedPage<T> {
    /// Rows of the page.
    pub data: Vec<T>,
    /// Number of this page, from 1.
    pub current_page: i64,
    /// Number of the last page, at least 1.
    pub last_page: i64,
    /// Maximum rows per page.
    pub per_page: i64,
    /// Number of rows on all pages.
    pub total: i64,
    /// True if there are more rows than `total`. Only with `total=estimate`, and only then present.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub total_is_minimum: bool,
    /// Number of the first row on this page, from 1; null on an empty page.
    pub from: Option<i64>,
    /// Number of the last row on this page; null on an empty page.
    pub to: Option<i64>,
    /// The URL of the list without its query.
    pub path: String,
    /// URL of the first page.
    pub first_page_url: String,
    /// URL of the last page.
    pub last_page_url: String,
    /// URL of the next page, with the query of the request; null on the last page.
    pub next_page_url: Option<String>,
    /// URL of the previous page; null on the first page.
    pub prev_page_url: Option<String>,
}

/// A page with links to its neighbours. Its cost does not grow with its position in the list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}CursorPage")]
pub struct CursorPage<T> {
    /// Rows of the page.
    pub data: Vec<T>,
    /// Maximum rows per page.
    pub per_page: i64,
    /// Number of rows on all pages, only with `count_to`. If it equals `count_to`, there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub count: Option<i64>,
    /// Value of `cursor` for the next page, with the same sort; null on the last page.
    pub next_cursor: Option<String>,
    /// Value of `cursor` for the previous page; null on the first page.
    pub prev_cursor: Option<String>,
    /// URL of the next page, with the query of the request; null on the last page.
    pub next_page_url: Option<String>,
}

impl<T> Page<T> {
    pub fn rows_mut(&mut self) -> &mut [T] {
        match self {
            Self::Numbered(page) => &mut page.data,
            Self::Cursor(page) => &mut page.data,
        }
    }

    /// The same page with each row converted.
    pub fn map<U>(self, make: impl FnMut(T) -> Result<U>) -> Result<Page<U>> {
        Ok(match self {
            Self::Numbered(page) => Page::Numbered(NumberedPage {
                data: page.data.into_iter().map(make).collect::<Result<_>>()?,
                current_page: page.current_page,
                last_page: page.last_page,
                per_page: page.per_page,
                total: page.total,
                total_is_minimum: page.total_is_minimum,
                from: page.from,
                to: page.to,
                path: page.path,
                first_page_url: page.first_page_url,
                last_page_url: page.last_page_url,
                next_page_url: page.next_page_url,
                prev_page_url: page.prev_page_url,
            }),
            Self::Cursor(page) => Page::Cursor(CursorPage {
                data: page.data.into_iter().map(make).collect::<Result<_>>()?,
                per_page: page.per_page,
                count: page.count,
                next_cursor: page.next_cursor,
                prev_cursor: page.prev_cursor,
                next_page_url: page.next_page_url,
            }),
        })
    }
}

impl<T: Serialize + JsonSchema> IntoResponse for Page<T> {
    fn into_response(self, _: &Request) -> Result<ApiResponse> {
        json(http::StatusCode::OK, &self)
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.response::<Self>(http::StatusCode::OK);
    }
}

/// The URL of another page: the query of the request with another `page` or `cursor`.
pub fn url(path: &str, query: &str, name: &str, value: &str) -> String {
    let start = format!("{path}?");
    let length = start.len();
    let mut url = form_urlencoded::Serializer::for_suffix(start, length);
    url.extend_pairs(pairs(query).filter(|(name, _)| !["page", "cursor"].contains(&name.as_str())));
    url.append_pair(name, value);
    url.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_keep_the_query() {
        let query = "page=2&filter[name]=a%20b&cursor=x&per_page=5";
        let other = url("http://acme.localhost/api/customers", query, "page", "3");
        assert_eq!(other, "http://acme.localhost/api/customers?filter%5Bname%5D=a+b&per_page=5&page=3");
    }
}
