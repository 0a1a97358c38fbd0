//! `ostrakon key`: the account's key and the links: creation, backup, restore, export, passphrase, and what a restored
//! profile misses.

use std::path::Path;

use ostrakon::{
    AccountId, Backup, Client, Cost, Error, ErrorKind, Keypair, MissingObjects, Passphrase, Profile, Protection,
    PublicProfile, Seed, key_file,
};
use serde::Serialize;

use super::Home;
use crate::{
    args::Key,
    cmd,
    exit::{self, usage},
    home::prompt_twice,
    output::Output,
    time,
};

/// What `key backup --json` prints.
#[derive(Debug, Serialize)]
struct BackupObject {
    file: String,
    address: AccountId,
    objects: usize,
}

/// What `key restore --json` and `key check --json` print.
#[derive(Debug, Serialize)]
struct CheckObject {
    profile: String,
    address: AccountId,
    /// Links in the profile.
    objects: usize,
    /// When the backup was made, where one was restored, in milliseconds of Unix time.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_time_ms: Option<u64>,
    /// What the ledger has beside them; `null` when no node answered.
    #[serde(flatten)]
    ledger: Option<MissingObjects>,
}

#[derive(Serialize)]
struct ExportObject<'a> {
    address: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PassphraseObject {
    profile: String,
    passphrase: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is no profile or backup, a passphrase is missing or wrong, or a file cannot be written; as partial when
/// links are missing.
pub(crate) async fn run(command: Key, home: &Home, out: &Output) -> crate::Result<()> {
    match command {
        Key::Create { file } => create(&file, out),
        Key::Backup { file } => backup(&file, home, out),
        Key::Restore { file, no_passphrase } => restore(&file, no_passphrase, home, out).await,
        Key::Check => check(home, out).await,
        Key::Export { output, yes } => export(output.as_deref(), yes, home, out),
        Key::Passphrase { new_passphrase_file, no_passphrase } => {
            let new = match new_passphrase_file {
                _ if no_passphrase => None,
                Some(file) => Some(Passphrase::read(file)?),
                None => Some(prompt_twice("the profile")?),
            };
            passphrase(new.as_ref(), home, out)
        }
    }
}

/// A line for people who have no backup yet; empty for those who do.
pub(crate) fn backup_remark(profile: &Profile) -> String {
    match profile.last_backup_ms() {
        Some(_) => String::new(),
        None => {
            "no backup yet: the key and the links are on this machine only; make one with `ostrakon key backup FILE`"
                .to_owned()
        }
    }
}

fn create(file: &Path, out: &Output) -> crate::Result<()> {
    let seed = Seed::new(cmd::random());
    key_file::write(file, &seed)?;
    let address: AccountId = Keypair::from_seed(seed.bytes()).public();
    let object = ExportObject { address, file: Some(file.display().to_string()), secret_key: None };
    out.answer(&object, |_| address.to_string())?;
    Ok(())
}

fn backup(file: &Path, home: &Home, out: &Output) -> crate::Result<()> {
    let profile = home.profile()?;
    let passphrase = match home.passphrase()? {
        Some(passphrase) => passphrase,
        None => home.new_passphrase("the backup")?,
    };
    let objects = profile.backup(file, &passphrase, Cost::default())?;
    let object = BackupObject { file: file.display().to_string(), address: profile.account(), objects };
    out.answer(&object, |_| {
        format!("the key of {} and {} are in {}", object.address, links(object.objects), object.file)
    })?;
    Ok(())
}

async fn restore(file: &Path, no_passphrase: bool, home: &Home, out: &Output) -> crate::Result<()> {
    let dir = home.dir()?;
    let passphrase = home.ask_passphrase(&format!("the backup {}", file.display()))?;
    let backup = Backup::open(file, &passphrase)?;
    let protection = match no_passphrase {
        true => Protection::None,
        false => Protection::Passphrase(&passphrase, Cost::default()),
    };
    let profile = backup.restore(&dir, &protection)?;
    let made = time::of_ms(backup.time_ms());
    out.words(&format!("restored the profile {} with {}, as of {made}", dir.display(), links(backup.objects().len())));
    let compared = async {
        let client = profile.public().connect()?;
        let compared = missing(&client, profile.public()).await;
        client.close().await;
        compared
    };
    let ledger = match compared.await {
        Ok(ledger) => Some(ledger),
        Err(error) => {
            let message = exit::message(&error);
            out.words(&format!(
                "cannot compare the profile with the ledger now: {message}; run `ostrakon key check` later"
            ));
            None
        }
    };
    let backup_time_ms = Some(backup.time_ms());
    CheckObject { backup_time_ms, ..CheckObject::new(profile.public(), backup.objects().len(), ledger) }.answer(out)
}

async fn check(home: &Home, out: &Output) -> crate::Result<()> {
    let profile = home.public()?;
    let ledger = missing(&home.reader()?, &profile).await?;
    CheckObject::new(&profile, profile.objects().ids()?.len(), Some(ledger)).answer(out)
}

async fn missing(client: &Client, profile: &PublicProfile) -> crate::Result<MissingObjects> {
    let known = profile.objects().ids()?;
    Ok(client.missing_objects(profile.account(), &known).await?)
}

impl CheckObject {
    fn new(profile: &PublicProfile, objects: usize, ledger: Option<MissingObjects>) -> Self {
        let (profile, address) = (profile.directory().display().to_string(), profile.account());
        Self { profile, address, objects, backup_time_ms: None, ledger }
    }

    fn answer(&self, out: &Output) -> crate::Result<()> {
        out.answer(self, |_| self.text())?;
        match self.ledger.as_ref().map_or(0, |ledger| ledger.missing.len()) {
            0 => Ok(()),
            1 => Err(Error::new(ErrorKind::Partial, "the link of 1 object that the account pays for is missing")),
            count => {
                let message = format!("the links of {count} objects that the account pays for are missing");
                Err(Error::new(ErrorKind::Partial, message))
            }
        }
    }

    fn text(&self) -> String {
        let Some(ledger) = &self.ledger else { return String::new() };
        let mut lines: Vec<String> = Vec::new();
        for object in &ledger.missing {
            let time = time::of_ms(object.time_ms);
            lines.push(format!("{}  added in block {} at {time}: its link is missing here", object.cid, object.height));
        }
        if ledger.missing.is_empty() {
            lines.push(format!("{}, of all objects that {} pays for", links(self.objects), self.address));
        }
        if ledger.not_looked_at > 0 {
            lines.push(format!(
                "the account's first {} transactions are older than block {}, the oldest that nodes have: what they \
                 added was not compared",
                ledger.not_looked_at, ledger.first_block
            ));
        }
        lines.join("\n")
    }
}

fn export(output: Option<&Path>, yes: bool, home: &Home, out: &Output) -> crate::Result<()> {
    let profile = home.profile()?;
    let seed = Seed::from(profile.keypair().seed());
    let address = profile.account();
    if let Some(path) = output {
        key_file::write(path, &seed)?;
        let object = ExportObject { address, file: Some(path.display().to_string()), secret_key: None };
        out.answer(&object, |_| format!("the secret key of {} is in {}", object.address, path.display()))?;
        return Ok(());
    }
    let question = format!("Anyone who sees the secret key of {address} can spend all of its money. Show it?");
    if !yes && out.confirmed(&question)? != Some(true) {
        return Err(usage("nothing was shown: confirm with --yes, or write the key to a file with --output FILE"));
    }
    out.words(&format!("this is the secret key of {address}: anyone who has it can spend all of its money"));
    let text = seed.text();
    let object = ExportObject { address, file: None, secret_key: Some(text.as_str()) };
    out.answer(&object, |_| text.to_string())?;
    Ok(())
}

fn passphrase(new: Option<&Passphrase>, home: &Home, out: &Output) -> crate::Result<()> {
    let mut profile = home.profile()?;
    profile.protect(&new.map_or(Protection::None, |new| Protection::Passphrase(new, Cost::default())))?;
    let object = PassphraseObject { profile: profile.directory().display().to_string(), passphrase: new.is_some() };
    out.answer(&object, |_| match new {
        Some(_) => format!("the profile {} is protected by the new passphrase", object.profile),
        None => format!(
            "the profile {} is not encrypted any more: it is protected by file permissions only",
            object.profile
        ),
    })?;
    Ok(())
}

fn links(count: usize) -> String {
    if count == 1 { "1 link".to_owned() } else { format!("{count} links") }
}
