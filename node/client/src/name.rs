//! Names: pointers to objects that an account can move, on the ledger, by compare-and-swap on a version.
//!
//! In go a name and the object that it shall point to; out comes the object that it points to, or that it is not set,
//! each with a proof. A name belongs to one account: the same text under another account is another name. The ledger
//! stores only the hash of the text, which can be guessed but not read; the object's CID can be read by everyone.

use std::{fmt, str::FromStr};

use ostrakon_proto::{
    id::{AccountId, Height, ObjectId},
    ledger::{
        state::{Key, NameRecord, Record},
        tx::{Action, SetName},
    },
};

use crate::{
    Client, Error, ErrorKind, Events, Submit,
    chain::{Chain, ChainError, Included, Overtaken},
};

/// Bytes of a name at most.
const MAX_BYTES: usize = 64;
/// What keeps these hashes apart from others' use of the ledger's names.
const CONTEXT: &str = "ostrakon name 1";

/// A name as people write it: 1 to 64 bytes without `/`, `@`, spaces and control characters, and no `-` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// The text is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid name: need 1 to {MAX_BYTES} bytes without '/', '@', spaces or control characters, not starting with '-'"
)]
pub struct InvalidName;

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_bad = |char: char| char.is_whitespace() || char.is_control() || matches!(char, '/' | '@');
        let good = (1..=MAX_BYTES).contains(&text.len()) && !text.starts_with('-') && !text.contains(is_bad);
        if good { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// The hash under which the ledger stores it.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key(CONTEXT, self.0.as_bytes())
    }
}

/// The condition under which a name is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// None: it is looked up, and replaced as it was found.
    Any,
    /// It is not set.
    New,
    /// It has this version.
    Version(u64),
}

/// A change of a name that is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameSet {
    /// The transaction, and its block.
    pub included: Included,
    /// The version that it replaced; 0 when it was not set.
    pub before: u64,
}

/// Why a name was not changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The ledger cannot be asked or told.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The name is not at the expected version: look it up, and expect the version that it has.
    #[error(
        "name {name} of {owner} {}, expected {}: nothing was changed", found_text(.found.as_ref()),
        expected_text(*.expected)
    )]
    Conflict {
        /// The name.
        name: Name,
        /// The account.
        owner: AccountId,
        /// The version that was expected; 0 for none.
        expected: u64,
        /// What there is.
        found: Option<NameRecord>,
    },
    /// The name to remove is not set.
    #[error("name {name} of {owner} is not set as of block {height}: there is nothing to remove")]
    None {
        /// The name.
        name: Name,
        /// The account.
        owner: AccountId,
        /// The newest block, after which it is not set.
        height: Height,
    },
}

fn found_text(found: Option<&NameRecord>) -> String {
    match found {
        None => "is not set".to_owned(),
        Some(name) => match object_of(name) {
            Some(object) => format!("is at version {} and points to {object}", name.version),
            None => format!("is at version {} and does not point to an object", name.version),
        },
    }
}

fn expected_text(expected: u64) -> String {
    if expected == 0 { "that it is not set".to_owned() } else { format!("version {expected}") }
}

impl NameError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::Conflict { .. } => ErrorKind::Other,
            Self::None { .. } => ErrorKind::NotFound,
        }
    }
}

/// The object that a name points to; `None` when its value is something else.
pub fn object_of(name: &NameRecord) -> Option<ObjectId> {
    std::str::from_utf8(&name.value).ok()?.parse().ok()
}

impl Chain {
    /// The record of this name of the account, and the block as of which; `None` when it is proven to be not set.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn name(&self, owner: AccountId, name: &Name) -> Result<(Height, Option<NameRecord>), ChainError> {
        // Another may have set it just now.
        self.catch_up().await;
        self.name_record(owner, name.hash()).await
    }

    /// As [`Chain::name`], of a name's hash, and as of any block that is as new as the trusted one.
    pub(crate) async fn name_record(
        &self,
        owner: AccountId,
        hash: [u8; 32],
    ) -> Result<(Height, Option<NameRecord>), ChainError> {
        let (header, found) = self.records(&[Key::Name(owner, hash)]).await?;
        let name = match found.into_iter().next().flatten() {
            Some(Record::Name(name)) => Some(name),
            _ => None,
        };
        Ok((header.height, name))
    }
}

impl Client {
    /// Points a name of this client's account to the object, or removes it with `None`.
    ///
    /// Fails with [`NameError::Conflict`] when it is not as expected, and is left as it was.
    pub fn set_name(&self, name: &Name, object: Option<ObjectId>, expect: Expect) -> Submit<NameSet> {
        let name = name.clone();
        Submit::new(self, move |client, events| async move { client.swap_name(&name, object, expect, &events).await })
    }

    async fn swap_name(
        &self,
        name: &Name,
        object: Option<ObjectId>,
        expect: Expect,
        events: &Events,
    ) -> Result<NameSet, Error> {
        let owner = self.key()?.public();
        let (height, found) = self.chain.name(owner, name).await?;
        let version = found.as_ref().map_or(0, |name| name.version);
        let expected = match expect {
            Expect::Any => version,
            Expect::New => 0,
            Expect::Version(version) => version,
        };
        let conflict = |found| NameError::Conflict { name: name.clone(), owner, expected, found };
        if expected != version {
            return Err(conflict(found).into());
        }
        if object.is_none() && found.is_none() {
            return Err(NameError::None { name: name.clone(), owner, height }.into());
        }
        let value = object.map(|object| object.to_string().into_bytes());
        let set = Action::SetName(SetName { name: name.hash(), version, value });
        let error = match self.submit(set, Overtaken::Report, events).await {
            Ok(included) => return Ok(NameSet { included, before: version }),
            Err(error) => error,
        };
        // Another client of this account may have been first.
        if let Some(ChainError::Refused { .. } | ChainError::Overtaken { .. }) = error.downcast_ref() {
            let (_, found) = self.chain.name(owner, name).await?;
            let is_same = found.as_ref().map_or(0, |name| name.version) == version;
            return Err(if is_same { error } else { conflict(found).into() });
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::World;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[test]
    fn words_are_what_fits_a_command_line_and_a_path() {
        for valid in ["photos", "a", "2026-06", "släktfoton", "a.b:c#d", &"x".repeat(64)] {
            assert_eq!(valid.parse::<Name>().map(|name| name.to_string()), Ok(valid.to_owned()));
        }
        for bad in ["", "a/b", "a@b", "a b", "a\n", "-x", "a\u{7f}", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(InvalidName), "{bad:?}");
        }
        assert_ne!(name("photos").hash(), name("Photos").hash());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_set_by_who_knows_its_version() {
        let world = World::new(4);
        let (client, other) = (world.client_as(250), world.client_as(251));
        let (owner, photos) = (client.account().expect("a key"), name("photos"));
        let [one, two] = [1, 2].map(|byte| ObjectId::new([byte; 32]));
        let found = async || {
            let (_, name) = client.chain().name(owner, &photos).await.expect("proven");
            name.map(|name| (object_of(&name), name.version))
        };
        let set = async |client: &Client, object, expect| {
            client.set_name(&photos, object, expect).await.map(|set| set.before)
        };
        assert_eq!(found().await, None);
        let none = set(&client, None, Expect::Any).await.expect_err("nothing to remove");
        assert_eq!(
            (none.kind(), matches!(none.downcast_ref(), Some(NameError::None { .. }))),
            (ErrorKind::NotFound, true)
        );
        assert_eq!(set(&client, Some(one), Expect::New).await.expect("set"), 0);
        assert_eq!(found().await, Some((Some(one), 1)));
        for (expect, words) in
            [(Expect::New, "expected that it is not set"), (Expect::Version(7), "expected version 7")]
        {
            let error = set(&other, Some(two), expect).await.expect_err("it is there");
            assert_eq!(error.kind(), ErrorKind::Other);
            let text = error.to_string();
            for part in [words, "at version 1", &one.to_string(), &owner.to_string(), "photos"] {
                assert!(text.contains(part), "{text}");
            }
        }
        assert_eq!(set(&other, Some(two), Expect::Version(1)).await.expect("known"), 1);
        assert_eq!(set(&client, Some(one), Expect::Any).await.expect("looked up"), 2);
        assert_eq!(found().await, Some((Some(one), 3)));
        let late = set(&other, None, Expect::Version(2)).await.expect_err("it moved on");
        assert!(late.to_string().contains("is at version 3"), "{late}");
        assert_eq!(set(&other, None, Expect::Version(3)).await.expect("removed"), 3);
        assert_eq!(found().await, None);
        let gone = set(&other, Some(one), Expect::Version(3)).await.expect_err("removed");
        assert!(gone.to_string().contains("is not set"), "{gone}");
    }

    /// The ledger decides between two who found the same version.
    #[tokio::test(start_paused = true)]
    async fn of_two_concurrent_changes_one_is_told_of_the_other() {
        let world = World::new(4);
        let clients = [world.client_as(250), world.client_as(251)];
        let photos = name("photos");
        let set = |number: u8| {
            let (client, photos) = (clients[usize::from(number)].clone(), photos.clone());
            async move {
                let object = Some(ObjectId::new([number; 32]));
                client.set_name(&photos, object, Expect::New).await
            }
        };
        let (first, second) = futures::join!(set(0), set(1));
        let errors: Vec<String> = [first, second].into_iter().filter_map(|set| Some(set.err()?.to_string())).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("is at version 1 and points to"), "{errors:?}");
    }
}
