//! Directories written back: into what is there already, in part, resumed and cancelled.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_that_was_not_written() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    let at = |name: &str| source.path().join(name);
    fs::create_dir_all(at("both/new")).expect("made");
    for name in ["new", "both/file", "both/new/file"] {
        fs::write(at(name), name).expect("written");
    }
    symlink("new", at("link")).expect("linked");
    let link = add(&client, source.path()).await.link;
    let to = target.path().join("to");
    let save = async |overwrite| client.get(&link).overwrite(overwrite).save(&to).await;
    let fails = |error: Error, expect: fn(&GetError) -> bool| {
        assert!(error.get_ref().downcast_ref().is_some_and(expect), "{error}");
        assert_eq!(error.kind(), ErrorKind::Usage);
    };
    // An empty directory is filled, and stays the one that it is.
    fs::create_dir(&to).expect("made");
    let inode = fs::metadata(&to).expect("there").ino();
    save(Overwrite::Refuse).await.expect("filled");
    assert_eq!(fs::metadata(&to).expect("there").ino(), inode);
    let but_top = |seen: Vec<String>| seen[1..].to_vec();
    assert_eq!(but_top(look(&to)), but_top(look(source.path())));
    // One with something in it is merged into, when asked for.
    fails(save(Overwrite::Refuse).await.expect_err("not empty"), |error| matches!(error, GetError::NotEmpty(_)));
    fs::write(to.join("both/file"), "old").expect("written");
    fs::write(to.join("both/mine"), "mine").expect("written");
    fs::remove_dir_all(to.join("both/new")).expect("removed");
    fs::remove_file(to.join("link")).expect("removed");
    fs::write(to.join("link"), "a file").expect("written");
    save(Overwrite::Replace).await.expect("merged");
    assert_eq!(fs::read(to.join("both/mine")).expect("kept"), b"mine");
    fs::remove_file(to.join("both/mine")).expect("removed");
    set_time(&to.join("both"), 1, 0);
    set_time(&at("both"), 1, 0);
    assert_eq!(but_top(look(&to)), but_top(look(source.path())));
    // Something of another kind is in the way: nothing is fetched, nothing is changed.
    fs::remove_file(to.join("new")).expect("removed");
    fs::create_dir(to.join("new")).expect("made");
    fs::write(to.join("both/file"), "old").expect("written");
    fails(save(Overwrite::Replace).await.expect_err("in the way"), |error| matches!(error, GetError::Conflict { .. }));
    fs::remove_dir(to.join("new")).expect("removed");
    fs::remove_dir_all(to.join("both/new")).expect("removed");
    symlink("/tmp", to.join("both/new")).expect("linked");
    fails(save(Overwrite::Replace).await.expect_err("in the way"), |error| matches!(error, GetError::Conflict { .. }));
    assert_eq!(fs::read(to.join("both/file")).expect("kept"), b"old");
    assert_eq!(fs::read_dir(&to).expect("readable").count(), 2);
    // A file or a symlink is not replaced by a directory, whatever is asked for.
    fs::write(target.path().join("file"), "a file").expect("written");
    for overwrite in [Overwrite::Refuse, Overwrite::Replace] {
        let get = client.get(&link).overwrite(overwrite).save(target.path().join("file"));
        fails(get.await.expect_err("a file"), |error| matches!(error, GetError::Exists(_) | GetError::Conflict { .. }));
    }
    let get = client.get(&link).path("new").overwrite(Overwrite::Replace).save(&to);
    fails(get.await.expect_err("a directory"), |error| matches!(error, GetError::IsADirectory(_)));
    let get = client.get(&link).save(target.path().join("no/such/place"));
    fails(get.await.expect_err("no directory to be in"), |error| matches!(error, GetError::NotADirectory(_)));
    nothing_else_in(&target, &["file", "to"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_excluded_is_left_out() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    fs::create_dir_all(source.path().join("a/cache")).expect("made");
    for name in ["keep", "drop.tmp", "a/cache/x", "a/keep", "a/drop.tmp", "a/once"] {
        fs::write(source.path().join(name), bytes(100, 3)).expect("written");
    }
    let link = add(&client, source.path()).await.link;
    let globs = ["*.tmp", "cache", "a/once"];
    let saved = client.get(&link).exclude(globs).save(target.path().join("to")).await.expect("saved");
    assert_eq!((saved.entries, saved.size), (Some(3), 200));
    let seen: Vec<String> = look(&target.path().join("to")).iter().map(|line| line[..8].to_owned()).collect();
    assert_eq!(seen.len(), 4, "{seen:?}");
    let error = client.get(&link).exclude(["["]).save(target.path().join("x")).await.expect_err("malformed");
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[tokio::test(start_paused = true)]
async fn a_directory_resumes_with_the_files_that_are_whole() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    nasty(source.path());
    for number in 0..20 {
        fs::write(source.path().join(format!("many {number}")), bytes(2 << 20, number)).expect("written");
    }
    let link = add(&client, source.path()).await.link;
    let to = target.path().join("to");
    let (mut limit, mut kept) = (Duration::from_millis(200), false);
    let saved = loop {
        match tokio::time::timeout(limit, client.get(&link).save(&to)).await {
            Ok(saved) => break saved.expect("saved"),
            Err(_) => limit += Duration::from_millis(100),
        }
        let left = fs::read_dir(target.path()).expect("readable").count();
        assert!(left <= 1 && !to.exists(), "one hidden directory at most");
        kept |= left == 1;
    };
    assert!(kept && saved.resumed >= 16 << 20, "{} bytes", saved.resumed);
    assert!(saved.fetched_bytes < saved.size, "{} of {}", saved.fetched_bytes, saved.size);
    assert_eq!(look(&to), look(source.path()));
    nothing_else_in(&target, &["to"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_leaves_nothing_behind() {
    let (world, source, target) = (World::new(14), directory(), directory());
    let client = world.client();
    for number in 0..2_000u64 {
        fs::write(source.path().join(format!("{number}")), bytes(4_096, number)).expect("written");
    }
    let link = add(&client, source.path()).await.link;
    let to = target.path().join("to");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(0));
    for milliseconds in [1, 50, 100, 150, 200, 300] {
        let sees = std::sync::Arc::clone(&seen);
        let parts = target.path().to_owned();
        let work = client.get(&link).on_event(move |event| {
            if let Event::Progress { .. } = event {
                *lock(&sees) += fs::read_dir(&parts).expect("readable").count();
            }
        });
        let work = work.save(&to);
        let ended = tokio::time::timeout(Duration::from_millis(milliseconds), work).await;
        if ended.is_err() {
            nothing_else_in(&target, &[]);
        }
    }
    assert!(*lock(&seen) > 0, "some of it was in progress");
}
