//! Parses forms with a file (RFC 7578). The body is in memory already: its length was checked while it arrived.

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Full};
use multer::Multipart;

use crate::api::{BodyKind, Error, MAX_FILE, MultipartForm, Result, UploadedFile};

/// Maximum fields of a form.
const MOST_FIELDS: usize = 100;

/// Maximum bytes of the name of a field or a file.
const LONGEST_NAME: usize = 255;

/// The fields of a form, and its file.
pub async fn parse(headers: &HeaderMap, body: Bytes) -> Result<MultipartForm> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| unreadable())?;
    let mut parts = Multipart::new(Full::<Bytes>::new(body).into_data_stream(), boundary);
    let mut form = MultipartForm::default();
    let (mut count, mut length) = (0, 0);
    while let Some(part) = parts.next_field().await.map_err(|_| unreadable())? {
        count += 1;
        if count > MOST_FIELDS {
            return Err(Error::BadRequest("The form has too many fields."));
        }
        let name = name(part.name())?.ok_or_else(unreadable)?;
        let file_name = self::name(part.file_name())?;
        let media_type = part.content_type().map(|kind| kind.essence_str().to_owned());
        let content = part.bytes().await.map_err(|_| unreadable())?;
        match file_name {
            Some(_) if form.file.is_some() => return Err(Error::BadRequest("The form may have one file only.")),
            Some(_) if content.len() > MAX_FILE => return Err(Error::TooLarge(MAX_FILE)),
            Some(file_name) => form.file = Some(UploadedFile { field: name, name: file_name, media_type, content }),
            None => {
                length += content.len();
                if length > BodyKind::USUAL {
                    return Err(Error::TooLarge(BodyKind::USUAL));
                }
                let text = String::from_utf8(content.to_vec()).map_err(|_| unreadable())?;
                form.fields.push((name, text));
            }
        }
    }
    Ok(form)
}

fn name(name: Option<&str>) -> Result<Option<String>> {
    match name {
        Some(name) if name.len() > LONGEST_NAME => Err(Error::BadRequest("The form has a name that is too long.")),
        name => Ok(name.map(str::to_owned)),
    }
}

fn unreadable() -> Error {
    Error::BadRequest("The form could not be read as multipart/form-data.")
}
