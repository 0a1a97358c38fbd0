//! Adds that are killed at every step, and go on: against fake nodes, on virtual time.

use std::{
    fs,
    future::{Future, poll_fn},
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use ostrakon_net::lock;
use ostrakon_proto::{id::Amount, limits, link::Link, params::Code};

use crate::{
    AddError, AddOptions, Client, CodeChoice, ErrorKind, Event, Events, GetOptions, Journal, JournalError, Journals,
    Kept, Origin,
    fake::{Fault, World, account},
    keystore::DataKey,
};

const CODE: Code = Code { k: 2, n: 4 };

/// A file, a profile's journals, and a network.
struct Case {
    world: World,
    file: PathBuf,
    data: Vec<u8>,
    options: AddOptions,
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
        let options = AddOptions { public, code: CodeChoice::Code(CODE), epochs: 10, ..AddOptions::default() };
        Self { world, file, data, options, directory, clients: 1 }
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

    async fn add(&mut self, events: &Events) -> Result<Kept, AddError> {
        let (client, origin) = (self.client(), Origin::file(&self.file).expect("a file"));
        client.add_file(&origin, &self.options, &self.journals(), events).await
    }

    /// Runs an add for so many steps, and kills it; how many it had, and what it gave if it ended.
    async fn add_for(&mut self, steps: usize) -> (usize, Option<Result<Kept, AddError>>) {
        let events = Events::none();
        let adding = self.add(&events);
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
        self.client().get(link, &GetOptions::default(), &mut out, &Events::none()).await.expect("got");
        out
    }

    /// The object is there, whole, and was paid once.
    async fn check(&mut self, kept: Kept) {
        assert!(self.read(&kept.added.link).await == self.data);
        assert!(!kept.outdated && !kept.added.existing);
        assert_eq!(kept.added.slots.iter().filter(|slot| slot.stored).count(), 4);
        assert_eq!(self.world.transactions(), 1, "paid once");
        let balance = self.client().balance().await.expect("known");
        let spent = 1_000_000_000_000 - balance.0;
        assert!(spent > kept.added.price.0 && kept.added.price > Amount::ZERO, "{spent} {}", kept.added.price);
        let fee = spent - kept.added.price.0;
        assert!(fee < kept.added.price.0 + 1_000_000, "{fee} and {}", kept.added.price);
        kept.journal.remove().expect("removed");
        assert!(self.journals().list().expect("listed").is_empty());
    }
}

/// What was told.
fn listener() -> (Events, Arc<Mutex<Vec<Event>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    (Events::to(move |event| lock(&to).push(event)), told)
}

fn is_new(told: &Mutex<Vec<Event>>) -> bool {
    lock(told).iter().any(|event| matches!(event, Event::Restarted { .. }))
}

#[tokio::test(start_paused = true)]
async fn an_add_goes_on_wherever_it_was_killed() {
    let len = 5 * 524_160 + 70_000;
    let (all, _) = Case::new(len, false).add_for(usize::MAX).await;
    let mut worst = 0;
    for at in (1..all).step_by(all / 60) {
        let mut case = Case::new(len, at % 2 == 0);
        let (_, killed) = case.add_for(at).await;
        assert!(killed.is_none(), "{at} of {all}");
        let kept = case.add(&Events::none()).await.unwrap_or_else(|error| panic!("{at} of {all}: {error}"));
        let (puts, stored) = (case.world.puts(), kept.added.stored_bytes);
        worst = worst.max(puts.repeated);
        assert_eq!(puts.bytes - puts.repeated, stored, "{at}: every byte came");
        assert!(
            kept.added.traffic.sent_bytes + kept.added.traffic.held_bytes >= stored
                || kept.added.traffic.sent_bytes == 0
        );
        case.check(kept).await;
    }
    assert!(worst <= 4 * u64::try_from(limits::CHUNK).expect("256 KiB"), "{worst} bytes came twice");
}

#[tokio::test(start_paused = true)]
async fn an_add_that_is_killed_again_and_again_ends_one_day() {
    for public in [false, true] {
        let mut case = Case::new(4 << 20, public);
        let mut kept = None;
        for steps in (40..).step_by(7) {
            if let (_, Some(result)) = case.add_for(steps).await {
                kept = Some(result.expect("added"));
                break;
            }
        }
        let kept = kept.expect("it ends");
        assert!(kept.added.traffic.resumed);
        case.check(kept).await;
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
    let unfinished = case.journals().list().expect("listed").remove(0).expect("whole");
    assert!(unfinished.is_file && unfinished.read_bytes > 1 << 20 && unfinished.name == "file", "{unfinished:?}");
    let before = case.world.puts().bytes;
    let kept = case.add(&Events::none()).await.expect("added");
    let traffic = kept.added.traffic;
    assert!(traffic.resumed);
    assert_eq!((traffic.held_bytes, traffic.sent_bytes), (before, kept.added.stored_bytes - before));
    assert_eq!(case.world.puts().repeated, 0);
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_forgot_gets_its_column_again_and_no_other_does() {
    let mut case = Case::new(8 << 20, true);
    half_an_add(&mut case).await;
    case.world.forget_uploads();
    let kept = case.add(&Events::none()).await.expect("added");
    assert_eq!((kept.added.traffic.held_bytes, kept.added.traffic.sent_bytes), (0, kept.added.stored_bytes));
    case.check(kept).await;

    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    case.world.network.crash(case.world.nodes[0]);
    let kept = case.add(&Events::none()).await.expect("added");
    assert!(kept.added.slots.iter().all(|slot| slot.provider != case.world.nodes[0]));
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_changed_starts_anew_under_a_new_key() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    // As long as before, and the last bytes are other bytes.
    case.data.truncate((8 << 20) - 10);
    case.data.extend(bytes((8 << 20) - case.data.len(), 2));
    fs::write(&case.file, &case.data).expect("written");
    let (events, told) = listener();
    let kept = case.add(&events).await.expect("added");
    assert!(is_new(&told) && !kept.added.traffic.resumed);
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_other_rows_are_noticed_before_they_are_sent() {
    // What its reader calls unchanged is not: the fake holders would see one key seal two contents.
    let mut case = Case::new(8 << 20, false);
    let origin = Origin::other(case.file.clone(), 8 << 20, [7; 32]);
    let (client, journals, none) = (case.client(), case.journals(), Events::none());
    let nodes = case.world.nodes.clone();
    nodes.iter().for_each(|node| case.world.fault(*node, Fault::StallsAfter(4)));
    {
        let adding = client.add_again((&origin, &case.data[..]), &case.options, &journals, &none);
        let stopped = tokio::time::timeout(std::time::Duration::from_secs(2), Box::pin(adding)).await;
        assert!(stopped.is_err());
    }
    case.world.heal();
    case.data.iter_mut().for_each(|byte| *byte ^= 1);
    case.world.network.crash(nodes[0]);
    case.world.forget_uploads();
    let client = case.client();
    let changed = client.add_again((&origin, &case.data[..]), &case.options, &journals, &none).await;
    assert!(matches!(changed, Err(AddError::SourceChanged(_))), "{changed:?}");
    let kept = client.add_again((&origin, &case.data[..]), &case.options, &journals, &none).await.expect("added");
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_under_the_add_is_no_version_of_it() {
    for how in 0..4 {
        let mut case = Case::new(8 << 20, false);
        let file = case.file.clone();
        let touch = move |event: Event| {
            if let Event::Progress { done, .. } = event
                && done < 1 << 20
            {
                let open = fs::File::options().write(true).open(&file).expect("open");
                match how {
                    0 => open.set_len(100).expect("cut"),
                    1 => open.set_len(9 << 20).expect("grown"),
                    2 => std::os::unix::fs::FileExt::write_all_at(&open, &[1, 2, 3], 7 << 20).expect("written"),
                    _ => {
                        fs::rename(&file, file.with_extension("old")).and_then(|()| fs::write(&file, b"x")).expect("ok")
                    }
                }
            }
        };
        let changed = case.add(&Events::to(touch)).await;
        let Err(error @ AddError::SourceChanged(_)) = changed else { panic!("{how}: {changed:?}") };
        assert!(error.to_string().contains("changed"), "{error}");
        assert!(case.journals().list().expect("listed").is_empty() && case.world.transactions() == 0, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn receipts_that_were_lost_are_given_again() {
    let mut case = Case::new(3 << 20, false);
    let nodes = case.world.nodes.clone();
    nodes.iter().for_each(|node| case.world.fault(*node, Fault::KeepsReceipts));
    let client = case.client();
    let (origin, journals, none) = (Origin::file(&case.file).expect("a file"), case.journals(), Events::none());
    {
        let adding = client.add_file(&origin, &case.options, &journals, &none);
        assert!(tokio::time::timeout(std::time::Duration::from_secs(5), Box::pin(adding)).await.is_err());
    }
    case.world.heal();
    let kept = case.add(&none).await.expect("added");
    assert_eq!((kept.added.traffic.sent_bytes, case.world.puts().repeated), (0, 0));
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn an_extent_whose_draw_is_void_is_placed_anew() {
    let mut case = Case::on(World::hasty(10, 1, 2), 8 << 20, false);
    half_an_add(&mut case).await;
    let client = case.client();
    for _ in 0..3 {
        client.transfer(ostrakon_proto::id::AccountId::new([9; 32]), Amount(1)).await.expect("paid");
    }
    let kept = case.add(&Events::none()).await.expect("added");
    assert!(kept.added.traffic.resumed);
    assert!(case.read(&kept.added.link).await == case.data);
    assert_eq!(case.world.transactions(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_given_again_even_if_the_source_changed() {
    let mut case = Case::new(1 << 20, false);
    let kept = case.add(&Events::none()).await.expect("added");
    let link = kept.added.link.clone();
    drop(kept.journal);
    let again = case.add(&Events::none()).await.expect("added");
    assert_eq!((&again.added.link, again.added.price), (&link, kept.added.price));
    assert_eq!((again.added.traffic.sent_bytes, case.world.transactions()), (0, 1));
    drop(again);

    fs::write(&case.file, b"other").expect("written");
    let outdated = case.add(&Events::none()).await.expect("added");
    assert!(outdated.outdated && outdated.added.link == link);
    outdated.journal.remove().expect("removed");
    let new = case.add(&Events::none()).await.expect("added");
    assert!(!new.outdated && case.read(&new.added.link).await == b"other" && case.read(&link).await == case.data);
    assert_eq!(case.world.transactions(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_add_can_be_given_up() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    let (journals, client) = (case.journals(), case.client());
    let unfinished = journals.list().expect("listed").remove(0).expect("whole");
    let given_up = client.abandon(journals.open(&unfinished).expect("free"), &Events::none()).await;
    assert!(given_up.expect("given up").is_none());
    assert!(journals.list().expect("listed").is_empty());
    let kept = case.add(&Events::none()).await.expect("added");
    assert_eq!(kept.added.traffic.held_bytes, 0, "holders were told");
    assert!(client.abandon(kept.journal, &Events::none()).await.expect("looked").is_some(), "it is paid for");
    assert_eq!(case.world.transactions(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_add_is_done_by_one_at_a_time() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    let journals = case.journals();
    let held: Journal = journals.open(&journals.list().expect("listed").remove(0).expect("whole")).expect("free");
    let refused = case.add(&Events::none()).await.expect_err("in use");
    assert!(matches!(refused, AddError::Journal(JournalError::InUse(_))), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Other);
    drop(held);
    let kept = case.add(&Events::none()).await.expect("added");
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn journals_that_are_not_ours_are_left_alone() {
    let mut case = Case::new(8 << 20, false);
    half_an_add(&mut case).await;
    let path = case.journals().list().expect("listed").remove(0).expect("whole").journal;
    let whole = fs::read(&path).expect("read");
    let refused = async |case: &mut Case, bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        let refused = case.add(&Events::none()).await.expect_err("refused");
        assert!(fs::read(&path).expect("read") == bytes, "it was touched");
        assert!(case.journals().list().expect("listed").remove(0).is_err());
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
        match refused {
            AddError::Journal(error) => error,
            other => panic!("{other}"),
        }
    };
    let future = [&whole[..8], &[3, 0, 0, 0], &whole[12..]].concat();
    assert!(matches!(refused(&mut case, &future).await, JournalError::Version { version: 3, .. }));
    for malformed in [&b""[..], b"ostr", b"something else entirely", &whole[..20], &whole[..60]] {
        assert!(matches!(refused(&mut case, malformed).await, JournalError::Malformed(_)));
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
    let kept = case.add(&Events::none()).await.expect("added");
    case.check(kept).await;
}

#[tokio::test(start_paused = true)]
async fn files_of_every_shape_come_back() {
    // Nothing; a short stripe; around a piece, a part, a row; many rows.
    for len in [0, 1, 65_519, 65_521, 262_143, 262_144, 262_145, 524_160, 524_161, 524_288, 3 << 20] {
        for public in [false, true] {
            let mut case = Case::new(len, public);
            let kept = case.add(&Events::none()).await.expect("added");
            assert_eq!(kept.added.traffic.sent_bytes, kept.added.stored_bytes, "{len}");
            case.check(kept).await;
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
        case.options.code = CodeChoice::Code(Code { k: 1, n: 2 });
        let file = fs::File::options().write(true).open(&case.file).expect("a file");
        file.set_len((1 << 30) + 1_000_000).expect("room");
        case.world.refuse_extent(Some(1));
        let error = case.add(&Events::none()).await.expect_err("the second is refused");
        assert!(matches!(error, AddError::Chain(_)), "{error}");
        assert_eq!(case.world.transactions(), 1);
        case.world.refuse_extent(None);
        if give_up {
            let (journals, client) = (case.journals(), case.client());
            let unfinished = journals.list().expect("listed").remove(0).expect("whole");
            let journal = journals.open(&unfinished).expect("free");
            assert!(client.abandon(journal, &Events::none()).await.expect("given up").is_none());
            assert_eq!(case.world.transactions(), 2, "a commit and its release");
            continue;
        }
        let kept = case.add(&Events::none()).await.expect("added");
        assert_eq!((kept.added.traffic.sent_bytes, case.world.transactions()), (0, 2));
        assert_eq!((kept.added.slots.len(), kept.added.size), (4, (1 << 30) + 1_000_000));
        let hash =
            blake3::Hasher::new().update_reader(fs::File::open(&case.file).expect("open")).expect("read").finalize();
        let mut out = tokio::io::sink();
        let fetched = case.client().get(&kept.added.link, &GetOptions::default(), &mut out, &Events::none()).await;
        assert_eq!(fetched.expect("got").blake3, *hash.as_bytes());
    }
}
