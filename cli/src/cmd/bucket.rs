//! `ostrakon bucket`: buckets of this account, what is in them, and the keys of applications.

use ostrakon::{
    Error, ErrorKind,
    bucket::{AccessKey, BucketEntry, Buckets, Checked, Compacted, Leases, ListQuery, Listed, ListedObject, cid_of},
};
use serde::Serialize;

use super::Home;
use crate::{
    args::{BucketCommand, KeyCommand},
    output::{Output, Paint, Table, bytes_text},
    time,
};

/// Objects that are asked for at a time.
const PAGE: usize = 1_000;

#[derive(Debug, Serialize)]
struct AllBuckets {
    buckets: Vec<BucketEntry>,
}

#[derive(Debug, Serialize)]
struct Objects {
    bucket: String,
    objects: Vec<Object>,
}

#[derive(Debug, Serialize)]
struct Object {
    key: String,
    size: u64,
    etag: String,
    modified_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<String>,
}

#[derive(Debug, Serialize)]
struct AllKeys {
    keys: Vec<ShownKey>,
}

#[derive(Debug, Serialize)]
struct ShownKey {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    bucket: Option<String>,
    read_only: bool,
    created_ms: u64,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    bucket: &'a str,
}

#[derive(Debug, Serialize)]
struct Deleted<'a> {
    id: &'a str,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile, no such bucket or key, or the network cannot be asked or told.
pub(crate) async fn run(command: BucketCommand, home: &Home, out: &Output) -> crate::Result<()> {
    let buckets = home.connect()?.buckets()?;
    match command {
        BucketCommand::Ls { name: None, .. } => {
            let all = AllBuckets { buckets: buckets.list().await? };
            out.answer(&all, |paint| all.text(paint))?;
        }
        BucketCommand::Ls { name: Some(name), prefix } => {
            let all = objects(&buckets, name, prefix).await?;
            out.answer(&all, |paint| all.text(paint))?;
        }
        BucketCommand::Create { name, public } => {
            match public {
                true => buckets.create_public(&name).await?,
                false => buckets.create(&name).await?,
            };
            out.answer(&Named { bucket: &name }, |_| format!("created bucket {name}"))?;
        }
        BucketCommand::Rm { name } => {
            buckets.delete(&name).await?;
            out.answer(&Named { bucket: &name }, |_| format!("deleted bucket {name}"))?;
        }
        BucketCommand::Verify { name } => {
            let checked = buckets.open(&name).await?.check().await?;
            out.answer(&checked, |paint| checked_text(&checked, paint))?;
            if !checked.problems.is_empty() {
                let text = format!("bucket {name} has {} problems", checked.problems.len());
                return Err(Error::new(ErrorKind::Integrity, text));
            }
        }
        BucketCommand::Renew { name } => {
            let leases = buckets.open(&name).await?.renew().await?;
            let Leases { objects, extended, earliest_end, .. } = leases;
            let until = earliest_end.map_or_else(String::new, |end| format!("; the first lease ends with epoch {end}"));
            out.answer(&leases, |_| format!("extended the leases of {extended} extents, of {objects} objects{until}"))?;
        }
        BucketCommand::Compact { name } => {
            let done = buckets.open(&name).await?.compact().await?;
            let Compacted { aborted, rewritten, released } = done;
            let text =
                format!("wrote {rewritten} objects again, aborted {aborted} uploads, released {released} objects");
            out.answer(&done, |_| text)?;
        }
        BucketCommand::Key { command } => key(command, &buckets, out).await?,
    }
    Ok(())
}

async fn objects(buckets: &Buckets, name: String, prefix: String) -> crate::Result<Objects> {
    let (bucket, mut objects, mut after) = (buckets.open(&name).await?, Vec::new(), String::new());
    loop {
        let query = ListQuery { prefix: prefix.clone(), delimiter: String::new(), after, limit: PAGE };
        let Listed { objects: page, next, .. } = bucket.list(query).await?;
        objects.extend(page.into_iter().map(Object::from));
        let Some(next) = next else { return Ok(Objects { bucket: name, objects }) };
        after = next;
    }
}

async fn key(command: KeyCommand, buckets: &Buckets, out: &Output) -> crate::Result<()> {
    match command {
        KeyCommand::Create { bucket, read_only } => {
            let key = buckets.create_access_key(bucket.as_deref(), read_only).await?;
            let shown = ShownKey { secret: Some(key.secret.to_string()), ..ShownKey::from(key) };
            out.answer(&shown, |paint| shown.text(paint))?;
        }
        KeyCommand::Ls => {
            let all = AllKeys { keys: buckets.access_keys().await?.into_iter().map(ShownKey::from).collect() };
            out.answer(&all, |paint| all.text(paint))?;
        }
        KeyCommand::Rm { id } => {
            if !buckets.delete_access_key(&id).await? {
                return Err(Error::new(ErrorKind::NotFound, format!("this account has no access key {id}")));
            }
            out.answer(&Deleted { id: &id }, |_| format!("deleted access key {id}"))?;
        }
    }
    Ok(())
}

fn checked_text(checked: &Checked, paint: Paint) -> String {
    let Checked { objects, bytes, stored_objects, stored_bytes, escrow, earliest_end, problems } = checked;
    let table = Table::of([
        ("objects", objects.to_string()),
        ("their bytes", bytes_text(*bytes)),
        ("stored as", format!("{stored_objects} objects of the network, of {}", bytes_text(*stored_bytes))),
        ("in escrow", format!("{escrow} obols")),
        ("first lease ends", earliest_end.map_or_else(|| "-".to_owned(), |end| format!("with epoch {end}"))),
        ("problems", if problems.is_empty() { "none".to_owned() } else { problems.join("\n") }),
    ]);
    table.render(paint)
}

impl AllBuckets {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["bucket", "created", ""]);
        for BucketEntry { name, created_ms, public } in &self.buckets {
            table.plain([name.clone(), time::of_ms(*created_ms), if *public { "public" } else { "" }.to_owned()]);
        }
        table.render(paint)
    }
}

impl Objects {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["size", "modified", "key", ""]);
        for Object { key, size, modified_ms, cid, .. } in &self.objects {
            let cid = cid.clone().unwrap_or_default();
            table.plain([bytes_text(*size), time::of_ms(*modified_ms), key.clone(), cid]);
        }
        table.render(paint)
    }
}

impl From<ListedObject> for Object {
    fn from(ListedObject { key, info }: ListedObject) -> Self {
        let cid = cid_of(&info).map(|cid| cid.to_string());
        Self { key, size: info.size(), etag: info.etag.to_string(), modified_ms: info.modified_ms, cid }
    }
}

impl AllKeys {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(0).head(["key", "bucket", "may", "created"]);
        for key in &self.keys {
            table.plain([key.id.clone(), key.scope(), key.may().to_owned(), time::of_ms(key.created_ms)]);
        }
        table.render(paint)
    }
}

impl ShownKey {
    fn scope(&self) -> String {
        self.bucket.clone().unwrap_or_else(|| "all buckets".to_owned())
    }

    const fn may(&self) -> &'static str {
        if self.read_only { "read" } else { "read and write" }
    }

    fn text(&self, paint: Paint) -> String {
        let table = Table::of([
            ("access key", self.id.clone()),
            ("secret key", self.secret.clone().unwrap_or_default()),
            ("bucket", self.scope()),
            ("may", self.may().to_owned()),
        ]);
        table.render(paint)
    }
}

impl From<AccessKey> for ShownKey {
    fn from(AccessKey { id, bucket, read_only, created_ms, .. }: AccessKey) -> Self {
        Self { id, secret: None, bucket, read_only, created_ms }
    }
}
