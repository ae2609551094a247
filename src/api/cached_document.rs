//! A response that stays the same while the program runs. It is built once, has an entity tag, and is kept compressed.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::compression::ContentCoding;
use super::conditions::{self, ETag};
use super::error::{Error, Result};
use super::openapi::Operation;
use super::request::Request;
use super::response::{ApiResponse, Content, IntoResponse};

const CODINGS: [ContentCoding; 2] = [ContentCoding::Brotli, ContentCoding::Gzip];

/// The response and its compressed forms. Each form is created when it is first needed.
pub struct CachedContent {
    headers: HeaderMap,
    text: Bytes,
    packed: [OnceLock<Bytes>; CODINGS.len()],
}

/// 200 with a document, or 304 if the client has it.
pub struct CachedDocument<R>(Arc<CachedContent>, PhantomData<R>);

impl CachedContent {
    /// Builds a document from a response that is not streamed.
    pub fn of(answer: ApiResponse) -> Result<Self> {
        let (head, content) = answer.into_parts();
        let Content::Full(text) = content else {
            return Err(Error::Internal("a document cannot be a stream".into()));
        };
        let mut headers = head.headers;
        // The browser revalidates each time, which costs next to nothing.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        Ok(Self { headers, text, packed: Default::default() })
    }

    fn answer(&self, request: &Request) -> Result<ApiResponse> {
        let coding = ContentCoding::accepted_coding(&request.headers, &CODINGS);
        let tag = ETag::of(&self.text).coded(coding.map(ContentCoding::name));
        let mut answer = Response::new(Content::Full(Bytes::new()));
        *answer.headers_mut() = self.headers.clone();
        answer.headers_mut().insert(header::ETAG, tag.header()?);
        if conditions::matches_none(&request.headers, &tag)? {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer.headers_mut().remove(header::CONTENT_TYPE);
            return Ok(answer);
        }
        let text = match coding {
            None => self.text.clone(),
            Some(coding) => {
                answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
                self.packed(coding)?
            }
        };
        *answer.body_mut() = Content::Full(text);
        Ok(answer)
    }

    fn packed(&self, coding: ContentCoding) -> Result<Bytes> {
        let kept = CODINGS.iter().zip(&self.packed).find(|(known, _)| **known == coding).map(|(_, kept)| kept);
        let kept = kept.ok_or_else(|| Error::Internal("a document has no such coding".into()))?;
        if let Some(packed) = kept.get() {
            return Ok(packed.clone());
        }
        let packed = coding.compress(&self.text)?;
        Ok(kept.get_or_init(|| packed).clone())
    }
}

impl<R> CachedDocument<R> {
    pub fn new(document: Arc<CachedContent>) -> Self {
        Self(document, PhantomData)
    }
}

impl<R: IntoResponse> IntoResponse for CachedDocument<R> {
    fn into_response(self, request: &Request) -> Result<ApiResponse> {
        self.0.answer(request)
    }

    fn describe(operation: &mut Operation<'_>) {
        R::describe(operation);
    }
}
