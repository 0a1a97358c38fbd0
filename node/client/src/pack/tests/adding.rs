//! Adds of directories: resumed, with what is excluded, what cannot be read, and what changes meanwhile.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_add_of_a_directory_resumes_where_it_stopped() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let at = source.path().join("tree");
    nasty(&at);
    fs::write(at.join("zz larger"), bytes(30 << 20, 5)).expect("written");
    let (chain, key) = (client.chain().rules().chain, Some(DataKey::new([9; 32])));
    let journals = Journals::new(target.path().join("adds"), chain, account().public(), key);
    let resumable = || adding(&client, &at).journals(journals.clone());
    let (mut runs, mut before) = (0, 0);
    let added = loop {
        let limit = Duration::from_millis(100 + 50 * runs);
        match tokio::time::timeout(limit, resumable().into_future()).await {
            Ok(added) => break added.expect("added"),
            Err(_) => runs += 1,
        }
        let Some(Ok(unfinished)) = journals.list().expect("listed").pop() else { continue };
        assert_eq!(unfinished.name, "tree");
        before = before.max(unfinished.read_bytes);
    };
    assert!(runs > 1 && before > 0 && added.traffic.resumed, "{runs} runs, {before} bytes");
    assert!(added.traffic.sent_bytes < added.stored_bytes, "{:?}", added.traffic);
    assert_eq!((outcome(added.source.clone()), added.earlier.len()), ((29, vec![]), 0));
    let to = target.path().join("to");
    restore(&client, &added.link, &to).await;
    assert_eq!(look(&to), look(&at));
    // A client that is killed before the link is safe, and finds the directory changed, gets both.
    fs::write(at.join("another"), "one").expect("written");
    let link = added.link.clone();
    added.killed();
    let new = resumable().await.expect("added");
    assert_eq!((outcome(new.source.clone()).0, new.earlier.len()), (30, 1));
    assert_eq!(new.earlier[0].link, link);
    drop(new);
    assert!(journals.list().expect("listed").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_excluded_is_left_out_without_a_word() {
    let (world, source) = (World::new(14), directory());
    let client = world.client();
    for name in ["a.log", "keep", "sub/b.log", "sub/target/x", "sub/keep.txt", "target/y"] {
        let at = source.path().join(name);
        fs::create_dir_all(at.parent().expect("in the directory")).expect("made");
        fs::write(at, name).expect("written");
    }
    let added = adding(&client, source.path()).exclude(["*.log", "sub/target/", "*/keep.*"]).await.expect("added");
    assert_eq!(outcome(added.source.clone()), (4, vec![]));
    let reader = client.open_pack(&added.link).await.expect("opened");
    assert_eq!(names(&reader, None, Listing::Everything).await, ["keep", "sub", "target", "target/y"]);
    let wrong = adding(&client, source.path()).exclude(["a[b"]).await.expect_err("refused");
    assert_eq!(wrong.kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_named_and_the_rest_is_stored() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    fs::create_dir_all(source.path().join("a")).expect("made");
    fs::write(source.path().join("a/file"), "file").expect("written");
    mknodat(CWD, source.path().join("a/fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(source.path().join("socket")).expect("bound");
    fs::write(source.path().join("set-id"), "x").expect("written");
    set_mode(&source.path().join("set-id"), 0o6755);
    let added = add(&client, source.path()).await;
    let skipped: Vec<_> = added.skipped().iter().map(|skipped| skipped.path.to_string_lossy().into_owned()).collect();
    assert_eq!(skipped, ["a/fifo", "socket"]);
    assert!(added.skipped()[0].reason.contains("a fifo"), "{:?}", added.skipped());
    let restored = restore(&client, &added.link, &target.path().join("to")).await;
    assert_eq!((restored.entries, restored.bits_dropped), (Some(3), 1));
    assert_eq!(fs::metadata(target.path().join("to/set-id")).expect("there").mode() & 0o7777, 0o755);
}

#[tokio::test(start_paused = true)]
async fn what_changes_meanwhile_is_left_out_and_nothing_else() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let at = |name: &str| source.path().join(name);
    let changing = ["grown", "shrunk", "gone", "fifo", "touched", "other", "in/gone with it"];
    fs::create_dir_all(at("in")).expect("made");
    for (seed, name) in (0..).zip(changing.iter().chain(&["kept 1", "kept 2", "zz kept"])) {
        fs::write(at(name), bytes(100_000, seed)).expect("written");
        set_time(&at(name), 1_000, 0);
    }
    let walked = walk(source.path(), &[]).expect("listed");
    let (size, fingerprint) = (walked.size(), walked.fingerprint());
    fs::OpenOptions::new()
        .append(true)
        .open(at("grown"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"x"))
        .expect("grown");
    fs::OpenOptions::new().write(true).open(at("shrunk")).and_then(|file| file.set_len(5)).expect("shrunk");
    fs::remove_file(at("gone")).expect("removed");
    fs::remove_file(at("fifo")).expect("removed");
    mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("made");
    set_time(&at("touched"), 1_000, 1);
    fs::remove_file(at("other")).expect("removed");
    symlink("kept 1", at("other")).expect("linked");
    fs::rename(at("in"), at("moved")).expect("moved");
    assert_ne!(walk(source.path(), &[]).expect("listed").fingerprint(), fingerprint);
    let mut stream = PackSource::new(walked);
    let packed = client.add_reader(&mut stream).code(CODE).size(size).content(Content::Pack);
    let added = packed.await.expect("as long as announced");
    let (entries, skipped) = outcome(stream.into_outcome());
    let mut expect: Vec<_> = changing.map(PathBuf::from).to_vec();
    expect.sort();
    assert_eq!(skipped.iter().map(|skipped| skipped.path.clone()).collect::<Vec<_>>(), expect);
    let told =
        |skipped: &Skipped| skipped.reason.contains("changed while") || skipped.reason.contains("cannot be read");
    assert!(skipped.iter().all(told), "{skipped:?}");
    assert_eq!(entries, 4);
    let to = target.path().join("to");
    let restored = restore(&client, &added.link, &to).await;
    assert_eq!(restored.size, 300_000);
    for name in ["kept 1", "kept 2", "zz kept"] {
        assert_eq!(look(&to.join(name)), look(&at(name)));
    }
    assert_eq!(fs::read_dir(&to).expect("readable").count(), 4);
}

#[tokio::test]
async fn a_file_that_changes_under_the_reader_is_left_out() {
    let source = directory();
    let at = source.path().join("large");
    for (number, change) in [
        |at: &Path| drop(fs::File::options().write(true).open(at).and_then(|file| file.set_len(3_000_000))),
        |at: &Path| fs::write(at, bytes(20_000_000, 2)).expect("written"),
        |at: &Path| fs::remove_file(at).expect("removed"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&at, bytes(20_000_000, 1)).expect("written");
        set_time(&at, 1_000, 0);
        let walked = walk(source.path(), &[]).expect("listed");
        let size = walked.size();
        let mut stream = PackSource::new(walked);
        let mut first = [0; 100];
        stream.read_exact(&mut first).await.expect("read");
        change(&at);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("read");
        assert_eq!(u64::try_from(100 + rest.len()), Ok(size));
        let (entries, skipped) = outcome(stream.into_outcome());
        // A file that is only removed can be read to its end: nothing of it changed.
        let expect = if number == 2 { (1, 0) } else { (0, 1) };
        assert_eq!((entries, skipped.len()), expect, "{skipped:?}");
    }
}
