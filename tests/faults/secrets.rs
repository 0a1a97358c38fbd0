//! A profile under a passphrase: no file of it has the account's key or a link's key in any encoding; a wrong
//! passphrase exits with 1 and writes nothing; what needs no secret asks for none. Deleted and restored from its backup
//! elsewhere, it reads everything; a backup from before the last add says which object is missing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_proto::{link::Link, seed::Seed};
use ostrakon_tests::{
    cluster::Added,
    content,
    process::{Outcome, Running, until, without_profile},
    scenarios::Stage,
};
use serde::Deserialize;

const LIMIT: Duration = Duration::from_secs(120);
const RIGHT: &str = "a passphrase that is right";
const WRONG: &str = "a passphrase that is wrong";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let user = User::new(stage)?;
    let (files, searched) = at_rest(&user)?;
    wrong_passphrase(&user, &files)?;
    without_passphrase(&user, &files)?;
    restored(&user, &files)?;
    let missing = older_backup(&user)?;
    Ok(format!(
        "{searched} files searched for every key; a wrong passphrase changes nothing; {} objects read after a restore; \
         {missing} named as missing",
        files.len()
    ))
}

/// Somebody with a profile under a passphrase, and money.
struct User<'a> {
    stage: &'a Stage,
    profile: PathBuf,
    address: String,
}

/// A file that was added, and what reads it.
struct Stored {
    file: PathBuf,
    added: Added,
}

#[derive(Debug, Deserialize)]
struct Exported {
    secret_key: String,
}

#[derive(Debug, Deserialize)]
struct Restored {
    objects: usize,
    missing: Option<Vec<Missing>>,
}

#[derive(Debug, Deserialize)]
struct Missing {
    cid: String,
}

#[derive(Debug, Deserialize)]
struct Address {
    address: String,
}

impl<'a> User<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let mut user = Self { stage, profile: stage.cluster.files.join("a-user"), address: String::new() };
        let genesis = stage.cluster.profile().join("genesis.toml");
        let genesis = genesis.to_str().context("the path is plain text")?;
        user.run(&["init", "--network", genesis])?.expect_code(0)?;
        user.address = user.run(&["wallet", "address"])?.json::<Address>()?.address;
        stage.cluster.run(&["wallet", "send", &user.address, "1000"])?.expect_code(0)?;
        Ok(user)
    }

    /// With the right passphrase.
    fn run(&self, args: &[&str]) -> Result<Outcome> {
        self.run_as(&self.profile, Some(RIGHT), args)
    }

    fn run_as(&self, profile: &Path, passphrase: Option<&str>, args: &[&str]) -> Result<Outcome> {
        self.start(profile, passphrase, args)?.wait(LIMIT)
    }

    fn start(&self, profile: &Path, passphrase: Option<&str>, args: &[&str]) -> Result<Running> {
        let mut command = without_profile(&self.stage.cluster.binaries.client);
        command.arg("--profile").arg(profile).arg("--json").args(args);
        command.envs(passphrase.map(|passphrase| ("OSTRAKON_PASSPHRASE", passphrase)));
        Running::spawn(command, Stdio::null())
    }

    fn file(&self, name: &str, seed: u64, bytes: u64) -> Result<PathBuf> {
        let file = self.stage.cluster.files.join(name);
        content::write_file(&file, seed, bytes)?;
        Ok(file)
    }

    fn add(&self, file: PathBuf, flags: &[&str]) -> Result<Stored> {
        let path = file.to_str().context("the path is plain text")?;
        let added = self.run(&[&["add", path], flags].concat())?.json()?;
        Ok(Stored { file, added })
    }

    /// Everything that is in the profile's directory.
    fn contents(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes));
        Ok(content::files_below(&self.profile)?.into_iter().map(read).collect::<Result<_, _>>()?)
    }
}

/// Adds files, one of them interrupted, and searches all files of the profile, as they were at any time, for the keys.
fn at_rest(user: &User<'_>) -> Result<(Vec<Stored>, usize)> {
    let mut files = vec![
        user.add(user.file("kept-1", 611, 100_000)?, &[])?,
        user.add(user.file("kept-2", 612, 10)?, &[])?,
        user.add(user.file("kept-public", 613, 5_000)?, &["--public"])?,
    ];
    let journaled = interrupted(user)?;
    files.push(user.add(journaled.0, &[])?);
    let mut contents = user.contents()?;
    contents.extend(journaled.1);

    let seed: Seed = user.run(&["key", "export", "--yes"])?.json::<Exported>()?.secret_key.parse()?;
    let mut secrets = vec![("the account's key".to_owned(), *seed.bytes())];
    for stored in &files {
        let link: Link = stored.added.link.parse()?;
        secrets.extend(link.key.map(|key| (stored.file.display().to_string(), *key.bytes())));
    }
    ensure!(secrets.len() == 4, "three objects are private, and there is one account");
    for (what, secret) in &secrets {
        for (encoding, needle) in encodings(secret) {
            for (path, bytes) in &contents {
                let bytes = bytes.to_ascii_lowercase();
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                ensure!(!found, "{} has the key of {what}, as {encoding}", path.display());
            }
        }
    }
    Ok((files, contents.len()))
}

/// An add that is killed while it has a journal: its file, and the profile as it was then.
fn interrupted(user: &User<'_>) -> Result<(PathBuf, BTreeMap<PathBuf, Vec<u8>>)> {
    let file = user.file("kept-late", 614, 32 << 20)?;
    let mut adding = user.start(&user.profile, Some(RIGHT), &["add", file.to_str().context("plain text")?])?;
    let journals = || -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let all = user.contents()?.into_iter();
        Ok(all.filter(|(path, _)| path.extension().is_some_and(|suffix| suffix == "journal")).collect())
    };
    until("the add has a journal", LIMIT, || Ok(adding.has_ended() || !journals().unwrap_or_default().is_empty()))?;
    adding.kill();
    drop(adding);
    let journals = journals()?;
    ensure!(!journals.is_empty(), "the add ended before it could be killed");
    Ok((file, journals))
}

/// A secret in lower case, in every encoding that programs write: what is searched is in lower case, too.
fn encodings(secret: &[u8; 32]) -> Vec<(&'static str, Vec<u8>)> {
    let link = Link {
        object: ostrakon_proto::id::ObjectId::new([0; 32]),
        key: Some(ostrakon_proto::seal::ObjectKey::from_bytes(*secret)),
    };
    let base32 = link.to_string().split_once('#').map(|(_, key)| key.to_owned()).unwrap_or_default();
    let mut encodings = vec![
        ("raw bytes", secret.to_ascii_lowercase()),
        ("hexadecimal", hex::encode(secret).into_bytes()),
        ("base32", base32.into_bytes()),
        ("bech32", Seed::new(*secret).text().as_bytes().to_vec()),
        ("JSON numbers", secret.map(|byte| byte.to_string()).join(",").into_bytes()),
    ];
    // Wherever in a longer text of base64 it begins, without the digits that it shares with what is around it.
    for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
        for (plus, slash) in [(b'+', b'/'), (b'-', b'_')] {
            let text = base64(&[&[0; 2][..before], secret].concat(), plus, slash).to_ascii_lowercase();
            encodings.push(("base64", text.as_bytes()[skip..text.len() - 1].to_vec()));
        }
    }
    encodings
}

/// Without padding.
fn base64(bytes: &[u8], plus: u8, slash: u8) -> String {
    let alphabet: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain([plus, slash]).collect();
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut block = [0; 4];
        block[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(block);
        for digit in 0..=group.len() {
            let value = usize::try_from(bits >> (18 - 6 * digit) & 63).expect("six bits");
            text.push(char::from(alphabet[value]));
        }
    }
    text
}

/// Every command that needs a secret fails, and leaves everything as it was.
fn wrong_passphrase(user: &User<'_>, files: &[Stored]) -> Result<()> {
    let (before, out) = (user.contents()?, user.stage.cluster.files.join("never-written"));
    let (out, cid) = (out.to_str().context("plain text")?, files[0].added.cid.as_str());
    let file = files[0].file.to_str().context("plain text")?;
    for args in [
        &["ls"][..],
        &["get", cid, "-o", out],
        &["add", file, "--class", "economy"],
        &["key", "backup", out],
        &["key", "export", "--yes"],
        &["key", "export", "--output", out],
        &["key", "passphrase", "--no-passphrase"],
        &["wallet", "send", &user.address, "1"],
    ] {
        let outcome = user.run_as(&user.profile, Some(WRONG), args)?;
        outcome.expect_code(1)?;
        ensure!(outcome.said().contains("wrong passphrase"), "{outcome}");
        ensure!(!Path::new(out).exists(), "{args:?} wrote a file");
        ensure!(
            !outcome.said().contains(RIGHT) && !outcome.said().contains(WRONG),
            "a passphrase is printed: {outcome}"
        );
    }
    ensure!(user.contents()? == before, "the profile changed under a wrong passphrase");
    // Without any, and without a terminal: a usage error, and no waiting.
    user.run_as(&user.profile, None, &["ls"])?.expect_code(2)?;
    Ok(())
}

/// What needs no secret needs no passphrase.
fn without_passphrase(user: &User<'_>, files: &[Stored]) -> Result<()> {
    let (private, public) = (&files[0].added, &files[2].added);
    for args in [
        &["wallet", "balance"][..],
        &["wallet", "address"],
        &["wallet", "history"],
        &["providers"],
        &["ledger", "head"],
        &["status", &private.link],
        &["status", &public.cid],
        &["cat", &public.cid],
        &["cat", &private.link],
        &["verify", &private.link],
    ] {
        user.run_as(&user.profile, None, args)?.expect_code(0)?;
    }
    Ok(())
}

/// The profile is lost; from its backup, on another machine, everything comes back.
fn restored(user: &User<'_>, files: &[Stored]) -> Result<()> {
    let backup = user.stage.cluster.files.join("backup");
    let backup = backup.to_str().context("plain text")?;
    user.run(&["key", "backup", backup])?.expect_code(0)?;
    let lost = user.stage.cluster.files.join("lost");
    fs::rename(&user.profile, &lost)?;
    let wrong = user.run_as(&user.profile, Some(WRONG), &["key", "restore", backup])?;
    wrong.expect_code(1)?;
    ensure!(!user.profile.exists(), "a wrong passphrase left a profile behind");
    let restored: Restored = user.run(&["key", "restore", backup])?.json()?;
    ensure!(restored.objects == files.len(), "{restored:?}");
    ensure!(restored.missing.as_ref().is_some_and(Vec::is_empty), "{restored:?}");
    fs::remove_dir_all(lost)?;
    let listing = user.run(&["ls"])?;
    listing.expect_code(0)?;
    let out = user.stage.cluster.files.join("from-restored");
    for stored in files {
        ensure!(listing.said().contains(&stored.added.cid), "{} is not listed: {listing}", stored.added.cid);
        let to = out.to_str().context("plain text")?;
        user.run(&["get", &stored.added.cid, "-o", to])?.expect_code(0)?;
        ensure!(content::hash_file(&out)? == content::hash_file(&stored.file)?, "other bytes came back");
        fs::remove_file(&out)?;
    }
    user.run(&["key", "restore", backup])?.expect_code(2)?;
    Ok(())
}

/// A backup does not have what was added after it; what that is, the ledger knows.
fn older_backup(user: &User<'_>) -> Result<usize> {
    let backup = user.stage.cluster.files.join("backup");
    let backup = backup.to_str().context("plain text")?;
    let late = user.add(user.file("added-late", 615, 20_000)?, &[])?.added.cid;
    let gone = user.add(user.file("removed-late", 616, 20_000)?, &[])?.added.cid;
    user.run(&["rm", "--yes", &gone])?.expect_code(0)?;
    let elsewhere = user.stage.cluster.files.join("elsewhere");
    let restore = user.run_as(&elsewhere, Some(RIGHT), &["key", "restore", backup])?;
    restore.expect_code(7)?;
    let check = user.run_as(&elsewhere, Some(RIGHT), &["key", "check"])?;
    check.expect_code(7)?;
    for outcome in [&restore, &check] {
        let found: Restored = serde_json::from_slice(&outcome.stdout).with_context(|| outcome.to_string())?;
        let missing: Vec<&str> = found.missing.iter().flatten().map(|missing| missing.cid.as_str()).collect();
        ensure!(missing == [late.as_str()], "{missing:?} instead of {late}: {outcome}");
    }
    user.run(&["key", "check"])?.expect_code(0)?;
    Ok(1)
}
