//! Names: what an account calls things, kept on the ledger, where each change must know the version that it replaces.
//!
//! In go a word and what it shall stand for, out comes what it stands for, proven, also that it stands for nothing. A
//! name is one account's: another's with the same word is another name. The ledger has the word's hash only, so that
//! what people call things can be guessed, but not read. What is set can be read by everyone.

use std::{fmt, str::FromStr};

use ostrakon_proto::{
    id::{AccountId, Height, ObjectId},
    ledger::{
        state::{Key, NameRecord, Record},
        tx::{Action, SetName},
    },
};

use crate::{
    Client, ErrorKind, Events,
    chain::{Chain, ChainError, Included},
};

/// Bytes of a word at most.
const WORD: usize = 64;
/// What keeps these hashes apart from others' use of the ledger's names.
const CONTEXT: &str = "ostrakon name 1";

/// A name as people write it: 1 to 64 bytes without `/`, `@`, spaces and control characters, and no `-` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(String);

/// The text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {WORD} bytes without '/', '@', spaces and control characters, and does not begin with '-'")]
pub struct BadWord;

impl FromStr for Word {
    type Err = BadWord;

    fn from_str(text: &str) -> Result<Self, BadWord> {
        let is_bad = |char: char| char.is_whitespace() || char.is_control() || matches!(char, '/' | '@');
        let good = (1..=WORD).contains(&text.len()) && !text.starts_with('-') && !text.contains(is_bad);
        if good { Ok(Self(text.to_owned())) } else { Err(BadWord) }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Word {
    /// What the ledger calls it.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key(CONTEXT, self.0.as_bytes())
    }
}

/// What must be known of a name before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: it is looked up, and replaced as it was found.
    Any,
    /// There is none.
    New,
    /// It has this version.
    Version(u64),
}

/// A name's change that a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameSet {
    /// The transaction, and its block.
    pub included: Included,
    /// The version that it replaced; 0 where there was none.
    pub before: u64,
}

/// Why a name was not changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The ledger cannot be asked or told.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// It is not as it was expected: look at it, and say which version is to be replaced.
    #[error(
        "name {word} of {owner} {}, and {} was expected: nothing was changed", found_text(.found.as_ref()),
        expected_text(*.expected)
    )]
    Conflict {
        /// The name.
        word: Word,
        /// Whose it is.
        owner: AccountId,
        /// The version that was expected; 0 for none.
        expected: u64,
        /// What there is.
        found: Option<NameRecord>,
    },
    /// There is nothing to remove.
    #[error("{owner} has no name {word} as of block {height}")]
    None {
        /// The name.
        word: Word,
        /// Whose it would be.
        owner: AccountId,
        /// The block after which there is none.
        height: Height,
    },
}

fn found_text(found: Option<&NameRecord>) -> String {
    match found {
        None => "is not set".to_owned(),
        Some(name) => match object_of(name) {
            Some(object) => format!("is at version {} and stands for {object}", name.version),
            None => format!("is at version {} and stands for something else than an object", name.version),
        },
    }
}

fn expected_text(expected: u64) -> String {
    if expected == 0 { "none".to_owned() } else { format!("version {expected}") }
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

/// The object that a name stands for; others may set what is none.
pub fn object_of(name: &NameRecord) -> Option<ObjectId> {
    std::str::from_utf8(&name.value).ok()?.parse().ok()
}

impl Chain {
    /// What this name of the account's stands for, and as of which block; `None` when it is proven that there is none.
    ///
    /// # Errors
    /// [`ChainError`] when no node gives an answer that can be believed.
    pub async fn name(&self, owner: AccountId, word: &Word) -> Result<(Height, Option<NameRecord>), ChainError> {
        // Another may have set it just now.
        self.catch_up().await;
        let (header, found) = self.records(&[Key::Name(owner, word.hash())]).await?;
        let name = match found.into_iter().next().flatten() {
            Some(Record::Name(name)) => Some(name),
            _ => None,
        };
        Ok((header.height, name))
    }
}

impl Client {
    /// Has this client's name stand for the object, or for nothing any more.
    ///
    /// # Errors
    /// [`NameError::Conflict`] when it is not as expected; it is then as it was.
    pub async fn set_name(
        &self,
        word: &Word,
        object: Option<ObjectId>,
        expect: Expect,
        events: &Events,
    ) -> Result<NameSet, NameError> {
        let owner = self.key()?.public();
        let (height, found) = self.chain.name(owner, word).await?;
        let version = found.as_ref().map_or(0, |name| name.version);
        let expected = match expect {
            Expect::Any => version,
            Expect::New => 0,
            Expect::Version(version) => version,
        };
        let conflict = |found| NameError::Conflict { word: word.clone(), owner, expected, found };
        if expected != version {
            return Err(conflict(found));
        }
        if object.is_none() && found.is_none() {
            return Err(NameError::None { word: word.clone(), owner, height });
        }
        let value = object.map(|object| object.to_string().into_bytes());
        let set = Action::SetName(SetName { name: word.hash(), version, value });
        match self.perform(set, events).await {
            Ok(included) => Ok(NameSet { included, before: version }),
            // Another client of this account may have been first.
            Err(error @ (ChainError::Refused { .. } | ChainError::Overtaken { .. })) => {
                let (_, found) = self.chain.name(owner, word).await?;
                let is_same = found.as_ref().map_or(0, |name| name.version) == version;
                Err(if is_same { error.into() } else { conflict(found) })
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::World;

    fn word(text: &str) -> Word {
        text.parse().expect("a name")
    }

    #[test]
    fn words_are_what_fits_a_command_line_and_a_path() {
        for good in ["photos", "a", "2026-06", "släktfoton", "a.b:c#d", &"x".repeat(64)] {
            assert_eq!(good.parse::<Word>().map(|word| word.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a/b", "a@b", "a b", "a\n", "-x", "a\u{7f}", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Word>(), Err(BadWord), "{bad:?}");
        }
        assert_ne!(word("photos").hash(), word("Photos").hash());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_set_by_who_knows_its_version() {
        let world = World::new(4);
        let (client, other) = (world.client_as(250), world.client_as(251));
        let (owner, photos) = (client.account().expect("a key"), word("photos"));
        let [one, two] = [1, 2].map(|byte| ObjectId::new([byte; 32]));
        let found = async || {
            let (_, name) = client.chain().name(owner, &photos).await.expect("proven");
            name.map(|name| (object_of(&name), name.version))
        };
        let set = async |client: &Client, object, expect| {
            client.set_name(&photos, object, expect, &Events::none()).await.map(|set| set.before)
        };
        assert_eq!(found().await, None);
        let none = set(&client, None, Expect::Any).await.expect_err("nothing to remove");
        assert_eq!((none.kind(), matches!(none, NameError::None { .. })), (ErrorKind::NotFound, true));
        assert_eq!(set(&client, Some(one), Expect::New).await.expect("set"), 0);
        assert_eq!(found().await, Some((Some(one), 1)));
        for (expect, words) in [(Expect::New, "none was expected"), (Expect::Version(7), "version 7 was expected")] {
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
    async fn of_two_at_once_one_is_told_of_the_other() {
        let world = World::new(4);
        let clients = [world.client_as(250), world.client_as(251)];
        let photos = word("photos");
        let set = |number: u8| {
            let (client, photos) = (clients[usize::from(number)].clone(), photos.clone());
            async move {
                let object = Some(ObjectId::new([number; 32]));
                client.set_name(&photos, object, Expect::New, &Events::none()).await
            }
        };
        let (first, second) = futures::join!(set(0), set(1));
        let errors: Vec<String> = [first, second].into_iter().filter_map(|set| Some(set.err()?.to_string())).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("is at version 1 and stands for"), "{errors:?}");
    }
}
