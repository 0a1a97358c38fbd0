//! Lists objects and uploads: in order of their keys' bytes, with what has a delimiter in it folded into prefixes.

use ostrakon_proto::bucket::{MultipartId, ObjectInfo, Place, UploadInfo, Value};

use super::{Bucket, BucketError, index::Walk};

/// Which objects to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Their keys begin with this.
    pub prefix: String,
    /// Keys with this after the prefix are listed as one prefix, up to it; empty for none.
    pub delimiter: String,
    /// Keys after this one; where it is a prefix of keys that were folded, after all of these. Empty for all.
    pub after: String,
    /// Objects and prefixes together, at most.
    pub limit: usize,
}

/// Objects, and prefixes of others.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Objects, in order.
    pub objects: Vec<ListedObject>,
    /// Prefixes, in order.
    pub prefixes: Vec<String>,
    /// What to list after, where there is more.
    pub next: Option<String>,
}

/// An object that was listed.
#[derive(Clone, Debug)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// What is known of it.
    pub info: ObjectInfo,
}

/// Which uploads to list.
#[derive(Clone, Debug, Default)]
pub struct UploadsQuery {
    /// Their keys begin with this.
    pub prefix: String,
    /// As [`ListQuery::delimiter`].
    pub delimiter: String,
    /// Uploads to keys after this one; empty for all.
    pub after_key: String,
    /// Uploads to that very key with ids after this one, too.
    pub after_upload: Option<MultipartId>,
    /// Uploads and prefixes together, at most.
    pub limit: usize,
}

/// Uploads, and prefixes of the keys of others.
#[derive(Clone, Debug, Default)]
pub struct ListedUploads {
    /// Key, id and description of each, in order.
    pub uploads: Vec<(String, MultipartId, UploadInfo)>,
    /// Prefixes, in order.
    pub prefixes: Vec<String>,
    /// What to list after, where there is more.
    pub next: Option<(String, Option<MultipartId>)>,
}

impl Bucket {
    /// Lists objects.
    ///
    /// # Errors
    /// [`BucketError`] when the newest state cannot be read.
    pub async fn list(&self, query: ListQuery) -> Result<Listed, BucketError> {
        let ListQuery { prefix, delimiter, after, limit } = query;
        let (all, mut listed) = (Place::objects(prefix.as_bytes()), Listed::default());
        let from = match folded(&after, &prefix, &delimiter) {
            Some(whole) if whole == after => Place::object(after.as_bytes()).after_prefix(),
            _ => Some(Place::object(after.as_bytes()).successor()),
        };
        let Some(from) = from.map(|from| if after.is_empty() { all.clone() } else { from.max(all.clone()) }) else {
            return Ok(listed);
        };
        let index = &self.engine().index;
        let view = index.view().await?;
        let mut walk = index.walk(&view.head.runs, &from).await?;
        let mut last = None;
        while let Some((place, value)) = walk.next_live().await?.filter(|(place, _)| place.starts_with(&all)) {
            let (Some(key), Value::Object(info)) = (place.object_key(), value) else { continue };
            if listed.objects.len() + listed.prefixes.len() == limit {
                listed.next = last.filter(|_| limit > 0);
                break;
            }
            let key = text(key);
            match folded(&key, &prefix, &delimiter) {
                Some(whole) => {
                    skip(&mut walk, &Place::object(whole.as_bytes())).await?;
                    last = Some(whole.to_owned());
                    listed.prefixes.push(whole.to_owned());
                }
                None => {
                    last = Some(key.clone());
                    listed.objects.push(ListedObject { key, info });
                }
            }
        }
        Ok(listed)
    }

    /// Lists uploads that are open.
    ///
    /// # Errors
    /// [`BucketError`] when the newest state cannot be read.
    pub async fn uploads(&self, query: UploadsQuery) -> Result<ListedUploads, BucketError> {
        let UploadsQuery { prefix, delimiter, after_key, after_upload, limit } = query;
        let (all, mut listed) = (Place::uploads_of(prefix.as_bytes()), ListedUploads::default());
        let from = match (&after_upload, folded(&after_key, &prefix, &delimiter)) {
            _ if after_key.is_empty() => Some(all.clone()),
            (Some(upload), _) => Some(Place::upload(after_key.as_bytes(), upload).successor()),
            (None, Some(whole)) if whole == after_key => Place::uploads_of(after_key.as_bytes()).after_prefix(),
            (None, _) => Place::uploads_to(after_key.as_bytes()).after_prefix(),
        };
        let Some(from) = from.map(|from| from.max(all.clone())) else { return Ok(listed) };
        let index = &self.engine().index;
        let view = index.view().await?;
        let mut walk = index.walk(&view.head.runs, &from).await?;
        let mut last = None;
        while let Some((place, value)) = walk.next_live().await?.filter(|(place, _)| place.starts_with(&all)) {
            let (Some((key, upload)), Value::Upload(info)) = (place.upload_of(), value) else { continue };
            if listed.uploads.len() + listed.prefixes.len() == limit {
                listed.next = last.filter(|_| limit > 0);
                break;
            }
            let key = text(&key);
            match folded(&key, &prefix, &delimiter) {
                Some(whole) => {
                    skip(&mut walk, &Place::uploads_of(whole.as_bytes())).await?;
                    last = Some((whole.to_owned(), None));
                    listed.prefixes.push(whole.to_owned());
                }
                None => {
                    last = Some((key.clone(), Some(upload)));
                    listed.uploads.push((key, upload, info));
                }
            }
        }
        Ok(listed)
    }
}

/// Goes behind all places with this prefix.
async fn skip(walk: &mut Walk<'_>, prefix: &Place) -> Result<(), BucketError> {
    match prefix.after_prefix() {
        Some(after) => walk.seek(&after).await,
        None => Ok(()),
    }
}

/// The prefix that a key is listed by, where it has the delimiter after `prefix`.
fn folded<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix).filter(|_| !delimiter.is_empty())?;
    let end = prefix.len() + rest.find(delimiter)? + delimiter.len();
    key.get(..end)
}

/// Keys are put as text.
fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_folded_at_the_first_delimiter_after_the_prefix() {
        let check = |key, prefix, delimiter, expect| assert_eq!(folded(key, prefix, delimiter), expect, "{key}");
        check("a/b/c", "", "/", Some("a/"));
        check("a/b/c", "a/", "/", Some("a/b/"));
        check("a/b", "a/", "/", None);
        check("a//b", "a/", "/", Some("a//"));
        check("/a", "", "/", Some("/"));
        check("a/b", "", "", None);
        check("photo--1--2", "photo", "--", Some("photo--"));
        check("x", "a", "/", None);
    }
}
