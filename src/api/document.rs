//! A response that stays the same while the program runs. It is built once, has an entity tag, and is kept compressed.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::call::Call;
use super::coding::Coding;
use super::conditions::{self, Tag};
use super::error::{Error, Result};
use super::openapi::Operation;
use super::reply::{Answer, Content, Reply};

const CODINGS: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

/// The response and its compressed forms, as far as they were needed.
pub struct Document {
    headers: HeaderMap,
    text: Bytes,
    packed: [OnceLock<Bytes>; CODINGS.len()],
}

/// 200 with a document, or 304 if the client has it.
pub struct Kept<R>(Arc<Document>, PhantomData<R>);

impl Document {
    /// Builds a document from a response that is not streamed.
    pub fn of(answer: Answer) -> Result<Self> {
        let (head, content) = answer.into_parts();
        let Content::Whole(text) = content else {
            return Err(Error::Internal("a document cannot be a stream".into()));
        };
        let mut headers = head.headers;
        // The browser revalidates each time, which costs next to nothing.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        Ok(Self { headers, text, packed: Default::default() })
    }

    fn answer(&self, call: &Call) -> Result<Answer> {
        let coding = Coding::taken(&call.headers, &CODINGS);
        let tag = Tag::of(&self.text).coded(coding.map(Coding::name));
        let mut answer = Response::new(Content::Whole(Bytes::new()));
        *answer.headers_mut() = self.headers.clone();
        answer.headers_mut().insert(header::ETAG, tag.header()?);
        if conditions::know(&call.headers, &tag)? {
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
        *answer.body_mut() = Content::Whole(text);
        Ok(answer)
    }

    fn packed(&self, coding: Coding) -> Result<Bytes> {
        let kept = CODINGS.iter().zip(&self.packed).find(|(known, _)| **known == coding).map(|(_, kept)| kept);
        let kept = kept.ok_or_else(|| Error::Internal("a document has no such coding".into()))?;
        if let Some(packed) = kept.get() {
            return Ok(packed.clone());
        }
        let packed = coding.pack(&self.text)?;
        Ok(kept.get_or_init(|| packed).clone())
    }
}

impl<R> Kept<R> {
    pub fn new(document: Arc<Document>) -> Self {
        Self(document, PhantomData)
    }
}

impl<R: Reply> Reply for Kept<R> {
    fn into_response(self, call: &Call) -> Result<Answer> {
        self.0.answer(call)
    }

    fn describe(operation: &mut Operation<'_>) {
        R::describe(operation);
    }
}
