//! Listings: pages of a bucket's keys, as paths.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    ListResult, ObjectMeta, Result,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::{DELIMITER, Path},
};

use super::{BucketStore, errors::told, meta};
use crate::bucket::{ListQuery, Listed, ListedObject};

/// Objects and prefixes of a page, as in S3.
const PAGE: usize = 1_000;

impl BucketStore {
    /// Objects below a prefix, after a key.
    pub(super) fn list_after(&self, prefix: Option<&Path>, after: String) -> BoxStream<'static, Result<ObjectMeta>> {
        let query = ListQuery { prefix: below(prefix), after, limit: PAGE, ..ListQuery::default() };
        let objects = |listed: Listed| stream::iter(listed.objects.into_iter().map(object));
        self.pages(query).map_ok(objects).try_flatten().boxed()
    }

    /// Objects directly below a prefix, and the prefixes of the others.
    pub(super) async fn list_folded(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let query = ListQuery { prefix: below(prefix), delimiter: DELIMITER.to_owned(), limit: PAGE, ..<_>::default() };
        let all = |mut all: Listed, listed: Listed| async move {
            all.objects.extend(listed.objects);
            all.prefixes.extend(listed.prefixes);
            Ok(all)
        };
        result(self.pages(query).try_fold(Listed::default(), all).await?)
    }

    fn pages(&self, query: ListQuery) -> impl Stream<Item = Result<Listed>> + Send + 'static {
        let bucket = self.bucket.clone();
        stream::try_unfold(Some(query), move |query| {
            let bucket = bucket.clone();
            async move {
                let Some(query) = query else { return Ok(None) };
                let mut listed = bucket.list(query.clone()).await.map_err(told(&Path::default()))?;
                let rest = listed.next.take().map(|after| ListQuery { after, ..query });
                Ok(Some((listed, rest)))
            }
        })
    }
}

#[async_trait]
impl PaginatedListStore for BucketStore {
    async fn list_paginated(&self, prefix: Option<&str>, options: PaginatedListOptions) -> Result<PaginatedListResult> {
        let PaginatedListOptions { offset, delimiter, max_keys, page_token, extensions: _ } = options;
        let query = ListQuery {
            prefix: prefix.unwrap_or_default().to_owned(),
            delimiter: delimiter.unwrap_or_default().into_owned(),
            after: page_token.or(offset).unwrap_or_default(),
            limit: max_keys.unwrap_or(PAGE).min(PAGE),
        };
        let mut listed = self.bucket.list(query).await.map_err(told(&Path::default()))?;
        let page_token = listed.next.take();
        Ok(PaginatedListResult { result: result(listed)?, page_token })
    }
}

/// What keys below a prefix begin with: paths are prefixes by their segments.
fn below(prefix: Option<&Path>) -> String {
    prefix.filter(|prefix| !prefix.is_root()).map(|prefix| format!("{prefix}{DELIMITER}")).unwrap_or_default()
}

/// An object, if its key is a path.
fn object(listed: ListedObject) -> Result<ObjectMeta> {
    Ok(meta(Path::parse(listed.key)?, &listed.info))
}

fn result(listed: Listed) -> Result<ListResult> {
    let objects = listed.objects.into_iter().map(object).collect::<Result<_>>()?;
    let prefixes: BTreeSet<Path> = listed.prefixes.into_iter().map(Path::parse).collect::<Result<_, _>>()?;
    let common_prefixes = prefixes.into_iter().collect();
    Ok(ListResult { objects, common_prefixes, extensions: object_store::Extensions::default() })
}
