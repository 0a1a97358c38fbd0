//! Reads against fake nodes: ranges, streams, readers, missing and corrupt columns, and what verify and status say.

use super::*;

#[tokio::test(start_paused = true)]
async fn ranges_read_what_they_need() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(3 << 20);
    let len = u64::try_from(data.len()).expect("small");
    for public in [false, true] {
        let mut add = adding(&client, &data);
        add.options.public = public;
        let added = add.await.expect("added");
        for (start, end) in
            [(0, 0), (0, 1), (65_519, 65_537), (1_000_000, 1_100_000), (len - 1, len), (5, len), (len, len)]
        {
            world.take_reads();
            let out = client.get(&added.link).range(start..end).bytes().await.expect("got");
            let at = |at: u64| usize::try_from(at.min(len)).expect("small");
            assert!(out == data[at(start)..at(end)], "{public} {start}..{end}");
            let read: usize = world.take_reads().iter().sum();
            let most = if end - start > 20 { usize::MAX } else { 2 * 65_536 };
            assert!(read <= most, "{public} {start}..{end}: {read} bytes");
        }
        assert!(client.get(&added.link).last(5).bytes().await.expect("got") == data[data.len() - 5..]);
        let error = client.get(&added.link).range(len..).bytes().await.expect_err("starts at the end");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

/// Of a reader, a stream, and all concurrently; what is limited takes its time.
#[tokio::test(start_paused = true)]
async fn bytes_come_in_every_way() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(12 << 20);
    let link = add(&client, &data).await.link;
    let mut streamed = Vec::new();
    let mut stream = client.get(&link).range(100..).stream();
    while let Some(bytes) = stream.next().await {
        streamed.extend(bytes.expect("read"));
    }
    assert!(streamed == data[100..]);
    let mut reader = client.get(&link).range(1_000..11_000_000).reader().await.expect("opened");
    assert_eq!(reader.size(), 10_999_000);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.expect("read");
    assert!(all == data[1_000..11_000_000]);
    for (from, len) in [(0, 1), (9_000_000, 100_000), (70_000, 10), (70_010, 10), (70_100, 65_536), (10_998_999, 1)] {
        world.take_reads();
        reader.seek(std::io::SeekFrom::Start(from)).await.expect("there");
        let mut part = vec![0; len];
        reader.read_exact(&mut part).await.expect("read");
        let start = 1_000 + usize::try_from(from).expect("small");
        assert!(part == data[start..start + len], "{from} {len}");
        let read: usize = world.take_reads().iter().sum();
        assert!(read <= len + 3 * 65_536, "{from} {len}: {read} bytes");
    }
    assert_eq!(reader.read(&mut [0; 10]).await.expect("read"), 0);
    assert!(reader.seek(std::io::SeekFrom::Current(-20_000_000)).await.is_err());
    let since = Instant::now();
    let few = client.get(&link).limit_download(1 << 20).parallel(std::num::NonZeroUsize::MIN);
    assert!(few.bytes().await.expect("got") == data);
    assert!(since.elapsed() > Duration::from_secs(10), "{:?}", since.elapsed());
}

/// A reader that has been open for long reads from whom the ledger lists by then.
#[tokio::test(start_paused = true)]
async fn a_reader_takes_up_holders_that_came_back() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(3 << 20);
    let added = add(&client, &data).await;
    let mut reader = client.get(&added.link).reader().await.expect("opened");
    let mut part = [0; 10];
    reader.read_exact(&mut part).await.expect("read");
    holders(&added)[..7].iter().for_each(|node| world.fault(*node, Fault::Silent));
    reader.seek(std::io::SeekFrom::Start(2_000_000)).await.expect("there");
    let error = reader.read_exact(&mut part).await.expect_err("two are left");
    assert!(error.to_string().contains("are missing"), "{error}");
    world.heal();
    tokio::time::sleep(Duration::from_secs(60)).await;
    reader.read_exact(&mut part).await.expect("all are back");
    assert_eq!(part, data[2_000_000..2_000_010]);
}

#[tokio::test(start_paused = true)]
async fn any_k_columns_are_enough_and_failures_are_named() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(5 << 20);
    let added = add(&client, &data).await;
    let holders = holders(&added);
    world.fault(holders[0], Fault::Corrupt);
    world.fault(holders[1], Fault::Silent);
    holders[2..5].iter().for_each(|node| world.network.crash(*node));
    let (got, fetched) = get(&client, &added.link).await.expect("four are left");
    assert!(got == data && fetched.reconstructed);
    let failed: BTreeSet<_> = fetched.columns_failed.iter().filter_map(|column| column.provider).collect();
    assert!(failed.contains(&holders[0]), "{failed:?}");
    let wrong = fetched.columns_failed.iter().find(|column| column.corrupt).expect("one is corrupt");
    assert_eq!((wrong.index, wrong.provider), (0, Some(holders[0])));

    world.network.crash(holders[8]);
    let began = Instant::now();
    let error = get(&client, &added.link).await.expect_err("three are left");
    let Some(GetError::NotEnoughColumns(error)) = error.get_ref().downcast_ref() else { panic!("{error}") };
    assert_eq!((error.have, error.need, error.missing.len()), (3, 4, 6));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    world.heal();
    let (got, _) = get(&client, &added.link).await.expect("two came back");
    assert!(got == data);
}

#[tokio::test(start_paused = true)]
async fn verify_and_status_find_what_is_wrong() {
    let world = World::new(14);
    let client = world.client();
    let added = add(&client, &bytes(3 << 20)).await;
    let holders = holders(&added);
    world.fault(holders[3], Fault::Corrupt);
    world.network.crash(holders[7]);
    let verified = client.verify(&added.link, &Events::none()).await.expect("read");
    assert_eq!((verified.problem(), verified.inconsistent), (Some(ErrorKind::Integrity), false));
    assert!(matches!(verified.columns[3].state, ColumnCheck::Corrupt(_)));
    assert!(matches!(verified.columns[7].state, ColumnCheck::Missing(_)));
    assert_eq!(verified.columns.iter().filter(|column| column.state == ColumnCheck::Ok).count(), 7);
    let status = client.status(&added.link, StatusOptions { probe: true }).await.expect("known");
    assert_eq!((status.live, status.tolerates), (7, 3));
    assert!(matches!(status.slots[7].state, StatusState::Unreachable(_)));
    let by_ledger = client.status(&added.link, StatusOptions::default()).await.expect("known");
    assert_eq!(by_ledger.live, 9);
}
