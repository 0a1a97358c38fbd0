//! The profile that a command uses: where it is, and what unlocks it.
//!
//! In go the global flags and the environment, out comes the profile: without its secrets for a command that only
//! reads, and unlocked for one that signs or needs a key. Only then is a passphrase asked for, and once. What a profile
//! is made of is the SDK's.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    sync::OnceLock,
};

use ostrakon::{Client, Link, Objects, ObjectsError, Passphrase, Profile, PublicProfile};

use crate::{
    args::Global,
    exit::{Context, usage},
};

/// Where the profile is, and what is known of it so far.
#[derive(Debug)]
pub(crate) struct Home {
    named: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    unlocked: OnceLock<Unlocked>,
    client: OnceLock<Client>,
    reader: OnceLock<Client>,
}

#[derive(Debug)]
struct Unlocked {
    profile: Profile,
    /// `None` when it needs none.
    passphrase: Option<Passphrase>,
}

impl Home {
    /// As the flags say.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            named: global.profile.clone(),
            passphrase_file: global.passphrase_file.clone(),
            unlocked: OnceLock::new(),
            client: OnceLock::new(),
            reader: OnceLock::new(),
        }
    }

    /// The profile's directory, whether it is there or not.
    ///
    /// # Errors
    /// When none is named and there is no home directory either.
    pub(crate) fn dir(&self) -> crate::Result<PathBuf> {
        let usual = || {
            let none =
                |_| usage("HOME is not set: name the profile's directory with --profile DIR or OSTRAKON_PROFILE");
            Profile::default_directory().map_err(none)
        };
        self.named.clone().map_or_else(usual, Ok)
    }

    /// The profile without its secrets: nobody is asked for a passphrase.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn public(&self) -> crate::Result<PublicProfile> {
        Ok(PublicProfile::open(self.dir()?)?)
    }

    /// The profile, unlocked.
    ///
    /// # Errors
    /// As [`Home::public`], and when its passphrase is missing or wrong.
    pub(crate) fn profile(&self) -> crate::Result<Profile> {
        Ok(self.unlocked()?.profile.clone())
    }

    /// A client of the profile's network that only reads.
    ///
    /// # Errors
    /// As [`Home::public`], and when the network cannot be started.
    pub(crate) fn reader(&self) -> crate::Result<Client> {
        if let Some(reader) = self.reader.get() {
            return Ok(reader.clone());
        }
        let reader = self.public()?.connect()?;
        Ok(self.reader.get_or_init(|| reader).clone())
    }

    /// A client of the profile's network that signs as its account.
    ///
    /// # Errors
    /// As [`Home::profile`], and when the network cannot be started.
    pub(crate) fn connect(&self) -> crate::Result<Client> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = self.profile()?.connect()?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// Waits until the client has cleaned up after a command that failed or was interrupted: seconds at most.
    pub(crate) async fn settle(&self) {
        if let Some(client) = self.client.get() {
            client.settle().await;
        }
    }

    /// Closes the connections that commands have made.
    pub(crate) async fn close(&self) {
        for client in self.client.get().into_iter().chain(self.reader.get()) {
            client.close().await;
        }
    }

    /// What the profile's list of objects says. It is unlocked only if that needs it.
    ///
    /// # Errors
    /// As [`Home::profile`], and when the list cannot be read.
    pub(crate) fn listed<T>(&self, ask: impl Fn(&Objects) -> crate::Result<T, ObjectsError>) -> crate::Result<T> {
        match ask(&self.public()?.objects()) {
            Err(ObjectsError::Locked { .. }) => Ok(ask(&self.profile()?.objects())?),
            said => Ok(said?),
        }
    }

    /// `link`, with the key that the profile's list has for it where it has none itself.
    ///
    /// # Errors
    /// As [`Home::listed`].
    pub(crate) fn complete(&self, link: Link) -> crate::Result<Link> {
        if link.key.is_some() { Ok(link) } else { self.listed(|objects| objects.complete(&link)) }
    }

    /// The passphrase that unlocked the profile; `None` when it is under none.
    ///
    /// # Errors
    /// As [`Home::profile`].
    pub(crate) fn passphrase(&self) -> crate::Result<Option<Passphrase>> {
        Ok(self.unlocked()?.passphrase.clone())
    }

    /// The passphrase of `what`, which exists already: given by flag, environment or the terminal.
    ///
    /// # Errors
    /// When there is none, or it is not a passphrase.
    pub(crate) fn ask_passphrase(&self, what: &str) -> crate::Result<Passphrase> {
        match self.given_passphrase()? {
            Some(passphrase) => Ok(passphrase),
            None => prompt(&format!("Passphrase of {what}: "), what),
        }
    }

    /// A passphrase for `what`, which is new: a person types it twice.
    ///
    /// # Errors
    /// As [`Home::ask_passphrase`], and when the two differ.
    pub(crate) fn new_passphrase(&self, what: &str) -> crate::Result<Passphrase> {
        match self.given_passphrase()? {
            Some(passphrase) => Ok(passphrase),
            None => prompt_twice(what),
        }
    }

    fn unlocked(&self) -> crate::Result<&Unlocked> {
        if let Some(unlocked) = self.unlocked.get() {
            return Ok(unlocked);
        }
        let public = self.public()?;
        let what = || format!("the profile in {}", public.directory().display());
        let passphrase = public.needs_passphrase().then(|| self.ask_passphrase(&what())).transpose()?;
        let profile = public.unlock(passphrase.as_ref())?;
        Ok(self.unlocked.get_or_init(|| Unlocked { profile, passphrase }))
    }

    fn given_passphrase(&self) -> crate::Result<Option<Passphrase>> {
        match &self.passphrase_file {
            Some(path) => Ok(Some(Passphrase::read(path)?)),
            None => Ok(Passphrase::from_environment()?),
        }
    }
}

/// A new passphrase from the terminal, typed twice.
///
/// # Errors
/// When there is no terminal, or the two differ.
pub(crate) fn prompt_twice(what: &str) -> crate::Result<Passphrase> {
    let first = prompt(&format!("New passphrase for {what}: "), what)?;
    let second = prompt("Repeat the passphrase: ", what)?;
    if first == second { Ok(first) } else { Err(usage("the two passphrases differ: nothing was changed")) }
}

fn prompt(text: &str, what: &str) -> crate::Result<Passphrase> {
    // A script that is started from a terminal must fail, and not wait for somebody to type.
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Err(usage(format!(
            "{what} needs a passphrase: give it with --passphrase-file FILE, OSTRAKON_PASSPHRASE_FILE, \
             OSTRAKON_PASSPHRASE, or on a terminal"
        )));
    }
    let typed = rpassword::prompt_password(text).context("cannot read a passphrase from the terminal")?;
    Ok(Passphrase::new(typed)?)
}
