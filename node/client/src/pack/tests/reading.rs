//! Directories read without being written back: one file, listings, and what is asked for wrongly.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_file_of_many_is_read_alone() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    for number in 0..10_000u64 {
        let at = source.path().join(format!("{:02}", number % 100));
        fs::create_dir_all(&at).expect("made");
        fs::write(at.join(format!("file {number:05}")), bytes(4_096, number)).expect("written");
    }
    let added = add(&client, source.path()).await;
    assert_eq!(outcome(added.source.clone()).0, 10_100);
    // The index and what the code adds to the last row.
    let user = 10_000 * 4_096;
    assert!(added.stored_bytes * 100 / (user * 9 / 4) < 104, "{} stored", added.stored_bytes);
    for number in [0, 4_217, 9_999u64] {
        let at = path(format!("{:02}/file {number:05}", number % 100));
        world.take_reads();
        let mut out = Vec::new();
        let fetched = client.get(&added.link).path(&at).write_to(&mut out).await.expect("read");
        assert!(out == bytes(4_096, number));
        let read: usize = world.take_reads().iter().sum();
        assert_eq!(u64::try_from(read), Ok(fetched.fetched_bytes));
        assert!(read < 1 << 20, "{read} bytes for one file");
        let reader = client.open_pack(&added.link).await.expect("opened");
        let middle = reader.get(&at).range(1_000..1_010).bytes().await.expect("read");
        assert_eq!(middle, bytes(4_096, number)[1_000..1_010]);
        let top = names(&reader, None, Listing::Children).await;
        assert_eq!((top.len(), top[42].as_str()), (100, "42"));
        let inside = names(&reader, Some(&path("42")), Listing::Everything).await;
        assert_eq!((inside.len(), inside[1].as_str()), (100, "42/file 00142"));
    }
    assert_eq!(restore(&client, &added.link, &target.path().join("to")).await.size, user);
    assert_eq!(look(&target.path().join("to")), look(source.path()));
    let reader = client.open_pack(&added.link).await.expect("opened");
    let part = reader.get(&path("42")).save(target.path().join("42")).await.expect("saved");
    assert_eq!((part.entries, part.size), (Some(100), 100 * 4_096));
    assert!(part.fetched_bytes < 3 << 20, "{} bytes for a hundredth", part.fetched_bytes);
    assert_eq!(look(&target.path().join("42")), look(&source.path().join("42")));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_wrongly_is_named() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    nasty(source.path());
    let link = add(&client, source.path()).await.link;
    let reader = client.open_pack(&link).await.expect("opened");
    let check = async |at: &str, kind: ErrorKind, says: &str| {
        let error = reader.get(&path(at)).bytes().await.expect_err("is no file");
        assert_eq!(error.kind(), kind, "{at}: {error}");
        assert!(error.to_string().contains(says), "{at}: {error}");
    };
    check("a/b/c/none", ErrorKind::NotFound, "a/b/c exists").await;
    check("a/none/x/y/z", ErrorKind::NotFound, "there is no a/none/x/y/z in the directory; a exists").await;
    check("zzz", ErrorKind::NotFound, "there is no zzz in the directory").await;
    check("a/b/c/deep/er/still", ErrorKind::Usage, "a/b/c/deep is not a directory").await;
    check("a/in/deep", ErrorKind::Usage, "a/in is not a directory").await;
    check("a/b", ErrorKind::Usage, "a/b is a directory").await;
    check("out", ErrorKind::Usage, "symlink to /etc/passwd").await;
    let past = reader.get(&path("a/b/c/deep")).range(5..6).bytes().await;
    assert_eq!(past.expect_err("past the end").kind(), ErrorKind::Usage);

    let error = client.get(&link).bytes().await.expect_err("is no file");
    assert!(matches!(error.get_ref().downcast_ref(), Some(GetError::IsDirectory(_))), "{error}");
    let file = client.add_bytes("file").code(CODE).await.expect("added").link;
    let error = client.open_pack(&file).await.expect_err("is no directory");
    assert_eq!((error.kind(), error.to_string().contains("not a directory")), (ErrorKind::Usage, true));

    let to = target.path().join("one");
    let one = reader.get(&path("large")).save(&to).await.expect("saved");
    assert_eq!((one.entries, one.blake3), (None, Some(blake3::hash(&bytes(3_000_001, 2)).into())));
    assert_eq!(look(&to), look(&source.path().join("large")));
    let to = target.path().join("link");
    client.get(&link).path("out").save(&to).await.expect("saved");
    assert_eq!(look(&to), look(&source.path().join("out")));
    nothing_else_in(&target, &["link", "one"]);
}

#[tokio::test(start_paused = true)]
async fn directories_can_be_handled_by_spawned_tasks() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let link = is_send(adding(&client, source.path()).into_future()).await.expect("added").link;
    let reader = is_send(client.open_pack(&link)).await.expect("opened");
    let to = target.path().join("to");
    is_send(client.get(&link).save(&to)).await.expect("saved");
    is_send(reader.entry(&path("a"))).await.expect_err("is empty");
}
