//! Lists objects and uploads: in order of their keys' bytes, with what has a delimiter in it folded into prefixes.

use ostrakon_proto::bucket::{MultipartId, ObjectInfo, Place, UploadInfo, Value};

use super::{Bucket, BucketError, index::Distance};

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
        let fold = Fold { prefix: &prefix, delimiter: &delimiter, limit };
        let from = match fold.of(&after) {
            _ if after.is_empty() => Some(Place::first()),
            Some(whole) if whole == after => Place::object(after.as_bytes()).after_prefix(),
            _ => Some(Place::object(after.as_bytes()).successor()),
        };
        let object = |place: Place, value: Value| match (place.object_key(), value) {
            (Some(key), Value::Object(info)) => Some((text(key), info)),
            _ => None,
        };
        let Folded { items, prefixes, is_truncated } = self.fold(&fold, from, (Place::object, object)).await?;
        let last = items.last().map(|(key, _)| key).max(prefixes.last());
        let next = last.filter(|_| is_truncated).cloned();
        let objects = items.into_iter().map(|(key, info)| ListedObject { key, info }).collect();
        Ok(Listed { objects, prefixes, next })
    }

    /// Lists uploads that are open.
    ///
    /// # Errors
    /// [`BucketError`] when the newest state cannot be read.
    pub async fn uploads(&self, query: UploadsQuery) -> Result<ListedUploads, BucketError> {
        let UploadsQuery { prefix, delimiter, after_key, after_upload, limit } = query;
        let fold = Fold { prefix: &prefix, delimiter: &delimiter, limit };
        let from = match (&after_upload, fold.of(&after_key)) {
            _ if after_key.is_empty() => Some(Place::first()),
            (Some(upload), _) => Some(Place::upload(after_key.as_bytes(), upload).successor()),
            (None, Some(whole)) if whole == after_key => Place::uploads_of(after_key.as_bytes()).after_prefix(),
            (None, _) => Place::uploads_to(after_key.as_bytes()).after_prefix(),
        };
        let upload = |place: Place, value: Value| match (place.upload_of(), value) {
            (Some((key, upload)), Value::Upload(info)) => Some((text(&key), (upload, info))),
            _ => None,
        };
        let Folded { items, prefixes, is_truncated } = self.fold(&fold, from, (Place::uploads_of, upload)).await?;
        let last = items.last().map(|(key, (upload, _))| (key.clone(), Some(*upload)));
        let next = last.max(prefixes.last().map(|prefix| (prefix.clone(), None))).filter(|_| is_truncated);
        let uploads = items.into_iter().map(|(key, (upload, info))| (key, upload, info)).collect();
        Ok(ListedUploads { uploads, prefixes, next })
    }

    /// What `item` makes of the records from a place on, but for those that are folded. `prefix_of` is where the
    /// records of a key's prefix are.
    async fn fold<T>(
        &self,
        fold: &Fold<'_>,
        from: Option<Place>,
        (prefix_of, item): (impl Fn(&[u8]) -> Place, impl Fn(Place, Value) -> Option<(String, T)>),
    ) -> Result<Folded<T>, BucketError> {
        let (mut items, mut prefixes, all) = (Vec::new(), Vec::new(), prefix_of(fold.prefix.as_bytes()));
        let none = |items, prefixes| Ok(Folded { items, prefixes, is_truncated: false });
        let Some(from) = from.filter(|_| fold.limit > 0) else { return none(items, prefixes) };
        let index = &self.engine().index;
        let view = index.view().await?;
        // What is folded is passed over.
        let distance = if fold.delimiter.is_empty() { Distance::of(fold.limit) } else { Distance::Near };
        let mut walk = index.walk(&view.head.runs, (&from).max(&all), distance).await?;
        while let Some((place, value)) = walk.next_live().await?.filter(|(place, _)| place.starts_with(&all)) {
            let Some((key, found)) = item(place, value) else { continue };
            if items.len() + prefixes.len() == fold.limit {
                return Ok(Folded { items, prefixes, is_truncated: true });
            }
            match fold.of(&key) {
                Some(whole) => {
                    prefixes.push(whole.to_owned());
                    let Some(after) = prefix_of(whole.as_bytes()).after_prefix() else { break };
                    walk.seek(&after).await?;
                }
                None => items.push((key, found)),
            }
        }
        none(items, prefixes)
    }
}

/// How a listing is folded, and how long it is.
struct Fold<'a> {
    prefix: &'a str,
    delimiter: &'a str,
    limit: usize,
}

/// What was listed.
struct Folded<T> {
    items: Vec<(String, T)>,
    prefixes: Vec<String>,
    is_truncated: bool,
}

impl Fold<'_> {
    /// The prefix that a key is listed by, where it has the delimiter after the prefix.
    fn of<'k>(&self, key: &'k str) -> Option<&'k str> {
        let rest = key.strip_prefix(self.prefix).filter(|_| !self.delimiter.is_empty())?;
        let end = self.prefix.len() + rest.find(self.delimiter)? + self.delimiter.len();
        key.get(..end)
    }
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
        let check = |key, prefix, delimiter, expect| {
            assert_eq!(Fold { prefix, delimiter, limit: 1 }.of(key), expect, "{key}");
        };
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
