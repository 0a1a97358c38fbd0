//! Adds that are killed or dropped at every step, and resume: against fake nodes, on virtual time.

use std::{
    fs,
    future::{Future, IntoFuture, poll_fn},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use ostrakon_net::lock;
use ostrakon_proto::{id::Amount, limits, link::Link, params::Code};

use super::Journal;
use crate::{
    Add, AddError, Added, AddedSource, Client, Error, ErrorKind, Event, JournalError, Journals, Unfinished,
    fake::{Fault, World, account},
    keystore::DataKey,
};

const CODE: Code = Code { k: 2, n: 4 };

/// A file, a profile's journals, and a network.
struct Case {
    world: World,
    file: PathBuf,
    data: Vec<u8>,
    public: bool,
    code: Code,
    directory: tempfile::TempDir,
    clients: u8,
}

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

impl Case {
    fn new(len: usize, public: bool) -> Self {
        Self::on(World::new(10), len, public)
    }

    fn on(world: World, len: usize, public: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, data) = (directory.path().join("file"), bytes(len, 1));
        fs::write(&file, &data).expect("written");
        Self { world, file, data, public, code: CODE, directory, clients: 1 }
    }

    fn journals(&self) -> Journals {
        let key = Some(DataKey::new([9; 32]));
        Journals::new(self.directory.path().join("adds"), self.world.genesis.id(), account().public(), key)
    }

    /// A new process: a client that nobody knows.
    fn client(&mut self) -> Client {
        self.clients += 1;
        self.world.client_as(self.clients)
    }

    /// The add of the file by a new process.
    fn adding(&mut self) -> Add<'static> {
        let add = self.client().add(&self.file).code(self.code).epochs(10).journals(self.journals());
        if self.public { add.public() } else { add }
    }

    async fn add(&mut self) -> Result<Added, Error> {
        self.adding().await
    }

    fn unfinished(&self) -> Unfinished {
        self.journals().list().expect("listed").remove(0).expect("whole")
    }

    /// Gives the unfinished add up.
    async fn abort(&mut self) -> Result<Option<Added>, Error> {
        let (unfinished, mut client) = (self.unfinished(), self.client());
        client.journals = Some(self.journals());
        client.abort(&unfinished).await
    }

    /// Runs an add for so many steps, and kills it; how many it had, and what it returned if it ended.
    async fn add_for(&mut self, steps: usize) -> (usize, Option<Result<Added, Error>>) {
        let adding = self.adding().into_future();
        let (mut adding, mut polls) = (pin!(adding), 0);
        let result = poll_fn(|context| {
            polls += 1;
            match polls > steps {
                true => Poll::Ready(None),
                false => adding.as_mut().poll(context).map(Some),
            }
        });
        let result = result.await;
        (polls, result)
    }

    async fn read(&mut self, link: &Link) -> Vec<u8> {
        let mut out = Vec::new();
        self.client().get(link).write_to(&mut out).await.expect("got");
        out
    }

    /// The object is there, whole, and was paid once.
    async fn check(&mut self, added: Added) {
        assert!(self.read(&added.link).await == self.data);
        assert!(added.earlier.is_empty() && !added.term.existing);
        assert_eq!((added.name.to_str(), added.slots.len(), added.stored()), (Some("file"), 4, 4));
        assert_eq!(self.world.transactions(), 1, "paid once");
        let balance = self.client().balance().await.expect("known");
        let spent = 1_000_000_000_000 - balance.0;
        let price = added.term.price;
        assert!(spent > price.0 && price > Amount::ZERO, "{spent} {price}");
        let fee = spent - price.0;
        assert!(fee < price.0 + 1_000_000, "{fee} and {price}");
        assert_eq!(self.journals().list().expect("listed").len(), 1, "until the link is safe");
        drop(added);
        assert!(self.journals().list().expect("listed").is_empty());
    }
}

fn cause(error: &Error) -> &AddError {
    error.downcast_ref().expect("an add failed")
}

/// Notes what it is told.
fn listener() -> (impl Fn(Event) + Send + Sync + 'static, Arc<Mutex<Vec<Event>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    (move |event| lock(&to).push(event), told)
}

/// Whether the add started over.
fn is_new(told: &Mutex<Vec<Event>>) -> bool {
    lock(told).iter().any(|event| matches!(event, Event::Restarted { .. }))
}

#[tokio::test(start_paused = true)]
async fn an_add_resumes_wherever_it_was_killed() {
    let len = 5 * 524_160 + 70_000;
    let (all, _) = Case::new(len, false).add_for(usize::MAX).await;
    let mut worst = 0;
    for at in (1..all).step_by(all / 60) {
        let mut case = Case::new(len, at % 2 == 0);
        let (_, killed) = case.add_for(at).await;
        assert!(killed.is_none(), "{at} of {all}");
        let added = case.add().await.unwrap_or_else(|error| panic!("{at} of {all}: {error}"));
        let (puts, stored) = (case.world.puts(), added.stored_bytes);
        worst = worst.max(puts.repeated);
        assert_eq!(puts.bytes - puts.repeated, stored, "{at}: every byte came");
        assert!(added.traffic.sent_bytes + added.traffic.held_bytes >= stored || added.traffic.sent_bytes == 0);
        case.check(added).await;
    }
    assert!(worst <= 4 * u64::try_from(limits::CHUNK).expect("256 KiB"), "{worst} bytes came twice");
}

#[tokio::test(start_paused = true)]
async fn an_add_that_is_killed_again_and_again_ends_one_day() {
    for public in [false, true] {
        let mut case = Case::new(4 << 20, public);
        let mut added = None;
        for steps in (40..).step_by(7) {
            if let (_, Some(result)) = case.add_for(steps).await {
                added = Some(result.expect("added"));
                break;
            }
        }
        let added = added.expect("it ends");
        assert!(added.traffic.resumed);
        case.check(added).await;
    }
}

/// An add of which many rows were sent, and then no more.
async fn half_an_add(case: &mut Case) {
    let nodes = case.world.nodes.clone();
    nodes.iter().for_each(|node| case.world.fault(*node, Fault::StallsAfter(4)));
    let (_, result) = case.add_for(120).await;
    assert!(result.is_none(), "{result:?}");
    assert!(case.world.puts().bytes > 4 << 18, "{:?}", case.world.puts());
    case.world.heal();
}

#[tokio::test(start_paused = true)]
async fn only_what_is_missing_is_sent() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    let unfinished = case.unfinished();
    assert!(unfinished.read_bytes > 1 << 20 && unfinished.name == "file", "{unfinished:?}");
    let before = case.world.puts().bytes;
    let added = case.add().await.expect("added");
    let traffic = added.traffic.clone();
    assert!(traffic.resumed);
    assert_eq!((traffic.held_bytes, traffic.sent_bytes), (before, added.stored_bytes - before));
    assert_eq!(case.world.puts().repeated, 0);
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_forgot_gets_its_column_again_and_no_other_does() {
    let mut case = Case::new(8 << 20, true);
    half_an_add(&mut case).await;
    case.world.forget_uploads();
    let added = case.add().await.expect("added");
    assert_eq!((added.traffic.held_bytes, added.traffic.sent_bytes), (0, added.stored_bytes));
    case.check(added).await;

    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    case.world.network.crash(case.world.nodes[0]);
    let added = case.add().await.expect("added");
    assert!(added.slots.iter().all(|slot| slot.provider != case.world.nodes[0]));
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_changed_starts_over_under_a_new_key() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    // As long as before, and the last bytes are other bytes.
    case.data.truncate((8 << 20) - 10);
    case.data.extend(bytes((8 << 20) - case.data.len(), 2));
    fs::write(&case.file, &case.data).expect("written");
    let added = case.add().await.expect("added");
    assert!(!added.traffic.resumed);
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_changed_starts_over_under_a_new_key() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    fs::set_permissions(&case.file, fs::Permissions::from_mode(0o751)).expect("set");
    let added = case.add().await.expect("added");
    assert!(!added.traffic.resumed);
    let back = case.directory.path().join("back");
    case.client().get(&added.link).save(&back).await.expect("saved");
    assert_eq!(fs::metadata(&back).expect("there").permissions().mode() & 0o7777, 0o751);
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_other_rows_are_noticed_before_they_are_sent() {
    // A file in a directory that has its old time and length, and other bytes: the fake holders would see one key seal
    // two contents.
    let mut case = Case::new(8 << 20, false);
    let directory = case.directory.path().join("files");
    fs::create_dir(&directory).expect("made");
    let inside = directory.join("file");
    fs::rename(&case.file, &inside).expect("moved");
    case.file = directory;
    let modified = fs::metadata(&inside).and_then(|metadata| metadata.modified()).expect("known");
    half_an_add(&mut case).await;
    case.data.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&inside, &case.data).expect("written");
    fs::File::options().write(true).open(&inside).and_then(|file| file.set_modified(modified)).expect("set");
    case.world.network.crash(case.world.nodes[0]);
    case.world.forget_uploads();
    let (listen, told) = listener();
    let added = case.adding().on_event(listen).await.expect("added");
    assert!(is_new(&told), "under a new key");
    assert!(case.client().get(&added.link).path("file").bytes().await.expect("read") == case.data);
}

/// Changes the file at every byte of progress up to the first million.
fn changing(file: &Path, change: impl Fn(&Path) + Send + Sync + 'static) -> impl Fn(Event) + Send + Sync + 'static {
    let file = file.to_owned();
    move |event| {
        if let Event::Progress { done, .. } = event
            && done < 1 << 20
        {
            change(&file);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_under_the_add_is_no_version_of_it() {
    let open = |file: &Path| fs::File::options().write(true).open(file).expect("open");
    let changes: [fn(&Path, fs::File); 3] = [
        |_, file| file.set_len(100).expect("cut"),
        |_, file| std::os::unix::fs::FileExt::write_all_at(&file, &[1, 2, 3], 7 << 20).expect("written"),
        |path, _| fs::rename(path, path.with_extension("old")).and_then(|()| fs::write(path, b"x")).expect("replaced"),
    ];
    for (how, change) in changes.into_iter().enumerate() {
        let mut case = Case::new(8 << 20, false);
        let always = changing(&case.file.clone(), move |path| change(path, open(path)));
        let changed = case.adding().on_event(always).await;
        let error = changed.expect_err("changed");
        assert!(matches!(cause(&error), AddError::SourceChanged(_)), "{how}: {error:?}");
        assert!(error.to_string().contains("changed"), "{error}");
        assert!(case.journals().list().expect("listed").is_empty() && case.world.transactions() == 0, "{how}");
    }
    // Changed once, it is read again from the start.
    let mut case = Case::new(8 << 20, false);
    let once = std::sync::Once::new();
    let change = changing(&case.file.clone(), move |path| once.call_once(|| fs::write(path, b"other").expect("ok")));
    let added = case.adding().on_event(change).await.expect("added");
    assert!(case.read(&added.link).await == b"other");
}

#[tokio::test(start_paused = true)]
async fn of_a_file_that_grows_the_start_is_stored() {
    for (public, also_changes) in [(false, false), (true, false), (false, true)] {
        let mut case = Case::new(3 << 20, public);
        let grow = changing(&case.file.clone(), move |path| {
            let mut file = fs::File::options().append(true).open(path).expect("open");
            std::io::Write::write_all(&mut file, b"another line\n").expect("grown");
            if also_changes {
                let file = fs::File::options().write(true).open(path).expect("open");
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("past").as_nanos();
                std::os::unix::fs::FileExt::write_all_at(&file, &now.to_le_bytes(), 100).expect("written");
            }
        });
        let added = case.adding().on_event(grow).await;
        if also_changes {
            assert!(matches!(cause(&added.expect_err("changed")), AddError::SourceChanged(_)));
            continue;
        }
        let added = added.expect("added");
        assert_eq!(added.source, AddedSource::File { grew: true, holes: 0 });
        case.check(added).await;
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_that_were_lost_are_given_again() {
    let mut case = Case::new(3 << 20, false);
    let nodes = case.world.nodes.clone();
    nodes.iter().for_each(|node| case.world.fault(*node, Fault::KeepsReceipts));
    let stopped = tokio::time::timeout(Duration::from_secs(5), case.adding().into_future()).await;
    assert!(stopped.is_err());
    case.world.heal();
    let added = case.add().await.expect("added");
    assert_eq!((added.traffic.sent_bytes, case.world.puts().repeated), (0, 0));
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn holders_that_are_behind_the_ledger_get_time_to_catch_up() {
    let mut case = Case::new(1 << 20, false);
    let nodes = case.world.nodes.clone();
    nodes.iter().for_each(|node| case.world.fault(*node, Fault::Behind));
    let (added, ()) = tokio::join!(case.adding().all().into_future(), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        case.world.heal();
    });
    case.check(added.expect("added")).await;
}

#[tokio::test(start_paused = true)]
async fn an_extent_whose_draw_is_void_is_placed_again() {
    let mut case = Case::on(World::hasty(10, 1, 2), 8 << 20, false);
    half_an_add(&mut case).await;
    let client = case.client();
    for _ in 0..3 {
        client.transfer(ostrakon_proto::id::AccountId::new([9; 32]), Amount(1_000)).await.expect("paid");
    }
    let added = case.add().await.expect("added");
    assert!(added.traffic.resumed);
    assert!(case.read(&added.link).await == case.data);
    assert_eq!(case.world.transactions(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_given_again_even_if_the_source_changed() {
    let mut case = Case::new(1 << 20, false);
    let added = case.add().await.expect("added");
    let (link, price) = (added.link.clone(), added.term.price);
    added.killed();
    let again = case.add().await.expect("added");
    assert_eq!((&again.link, again.term.price), (&link, price));
    assert_eq!((again.traffic.sent_bytes, case.world.transactions()), (0, 1));
    again.killed();

    fs::write(&case.file, b"other").expect("written");
    let new = case.add().await.expect("added");
    let [old] = new.earlier.as_slice() else { panic!("{:?}", new.earlier) };
    assert_eq!((&old.link, old.name.to_str()), (&link, Some("file")));
    assert!(case.read(&new.link).await == b"other" && case.read(&link).await == case.data);
    assert_eq!(case.world.transactions(), 2);
    drop(new);
    assert!(case.journals().list().expect("listed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_add_can_be_given_up() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    assert!(case.abort().await.expect("given up").is_none());
    assert!(case.journals().list().expect("listed").is_empty());
    let added = case.add().await.expect("added");
    assert_eq!(added.traffic.held_bytes, 0, "holders were told");
    added.killed();
    assert!(case.abort().await.expect("looked").is_some(), "it is paid for");
    assert_eq!(case.world.transactions(), 1);
}

#[tokio::test(start_paused = true)]
async fn holders_are_told_of_an_add_that_is_dropped() {
    let case = Case::new(0, false);
    let (client, data) = (case.world.client(), bytes(8 << 20, 1));
    case.world.nodes.iter().for_each(|node| case.world.fault(*node, Fault::StallsAfter(4)));
    let adding = client.add_reader(&data[..]).code(CODE).into_future();
    assert!(tokio::time::timeout(Duration::from_secs(2), adding).await.is_err());
    assert_eq!(case.world.puts().aborted, 0);
    client.settle().await;
    assert_eq!(case.world.puts().aborted, 4);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_or_placed_leaves_no_journal() {
    let mut case = Case::new(100, false);
    fs::remove_file(&case.file).expect("removed");
    let error = case.add().await.expect_err("is gone");
    assert!(matches!(cause(&error), AddError::Unreadable { .. }) && error.to_string().contains("file"), "{error}");
    fs::write(&case.file, &case.data).expect("written");
    case.world.nodes.iter().for_each(|node| case.world.fault(*node, Fault::Full));
    assert!(matches!(cause(&case.add().await.expect_err("full")), AddError::TooFewHolders { .. }));
    assert!(matches!(cause(&case.adding().all().await.expect_err("full")), AddError::Partial { .. }));
    assert!(case.journals().list().expect("listed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_add_is_done_by_one_at_a_time() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    let journals = case.journals();
    let held: Journal = journals.open(&journals.list().expect("listed").remove(0).expect("whole")).expect("free");
    let refused = case.add().await.expect_err("in use");
    assert!(matches!(cause(&refused), AddError::Journal(JournalError::InUse(_))), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Other);
    drop(held);
    let added = case.add().await.expect("added");
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn journals_that_are_not_ours_are_not_touched() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    let path = case.journals().list().expect("listed").remove(0).expect("whole").journal;
    let whole = fs::read(&path).expect("read");
    let refused = async |case: &mut Case, bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        let refused = case.add().await.expect_err("refused");
        assert!(fs::read(&path).expect("read") == bytes, "it was touched");
        assert!(case.journals().list().expect("listed").remove(0).is_err());
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
        match cause(&refused) {
            AddError::Journal(error) => error.to_string(),
            other => panic!("{other}"),
        }
    };
    let future = [&whole[..8], &[5, 0, 0, 0], &whole[12..]].concat();
    assert!(refused(&mut case, &future).await.contains("version 5"));
    for malformed in [&b""[..], b"ostr", b"something else entirely", &whole[..20], &whole[..60]] {
        assert!(refused(&mut case, malformed).await.contains("damaged"));
    }
    let mut foreign = case.journals();
    foreign.chain = ostrakon_proto::id::ChainId::new([9; 32]);
    fs::write(&path, &whole).expect("written");
    assert!(matches!(foreign.list().expect("listed").remove(0), Err(JournalError::Foreign(_))));

    // Torn anywhere after its beginning, it is as good as an add that ended earlier.
    for cut in [1, 9, 700, whole.len() / 2] {
        fs::write(&path, &whole[..whole.len() - cut]).expect("written");
        let (_, killed) = case.add_for(3).await;
        assert!(killed.is_none());
    }
    let added = case.add().await.expect("added");
    case.check(added).await;
}

#[tokio::test(start_paused = true)]
async fn files_of_every_shape_come_back() {
    // Nothing; a short stripe; around a piece, a part, a row; many rows.
    for len in [0, 1, 65_519, 65_521, 262_143, 262_144, 262_145, 524_160, 524_161, 524_288, 3 << 20] {
        for public in [false, true] {
            let mut case = Case::new(len, public);
            let added = case.add().await.expect("added");
            assert_eq!(added.traffic.sent_bytes, added.stored_bytes, "{len}");
            case.check(added).await;
        }
    }
}

/// An object of two extents takes gigabytes of memory here: only in the long suite.
#[tokio::test(start_paused = true)]
async fn an_object_of_which_a_part_is_paid_is_finished_or_released() {
    if std::env::var_os("OSTRAKON_LONG").is_none_or(|value| value != "1") {
        return;
    }
    for give_up in [false, true] {
        let mut case = Case::new(10, true);
        case.code = Code { k: 1, n: 2 };
        let file = fs::File::options().write(true).open(&case.file).expect("a file");
        file.set_len((1 << 30) + 1_000_000).expect("room");
        case.world.refuse_extent(Some(1));
        let error = case.add().await.expect_err("the second is refused");
        assert!(matches!(cause(&error), AddError::Chain(_)), "{error}");
        assert_eq!(case.world.transactions(), 1);
        case.world.refuse_extent(None);
        if give_up {
            assert!(case.abort().await.expect("given up").is_none());
            assert_eq!(case.world.transactions(), 2, "a commit and its release");
            continue;
        }
        let added = case.add().await.expect("added");
        assert_eq!((added.traffic.sent_bytes, case.world.transactions()), (0, 2));
        assert_eq!((added.slots.len(), added.size), (4, (1 << 30) + 1_000_000));
        let hash =
            blake3::Hasher::new().update_reader(fs::File::open(&case.file).expect("open")).expect("read").finalize();
        let mut out = tokio::io::sink();
        let fetched = case.client().get(&added.link).write_to(&mut out).await;
        assert_eq!(fetched.expect("got").blake3, Some(*hash.as_bytes()));
    }
}
