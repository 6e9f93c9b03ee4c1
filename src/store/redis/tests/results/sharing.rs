//! Several instances on one store: what one has fetched all have, one of them leads, and what one forgets all forget.

use super::*;
use crate::store::results::Lead;

const LONG: Duration = Duration::from_secs(30);

/// Keeps a result on one instance and waits until another has it.
async fn kept_by_all(instances: &[Arc<Shared>], n: u64, text: &str) {
    let first = &instances[0];
    let given = lead(first.claim(&key(n)).await);
    first.keep(key(n), entry(&**first, now(), text, &[tag(n)]), Some(given));
    for other in &instances[1..] {
        assert_eq!(here(other.wait(&key(n), LONG).await), text);
        assert!(other.look(&key(n)).is_some(), "it is in its own memory, too");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_result_that_one_has_fetched_all_have_whatever_its_size() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    for (n, size) in [(1, 0), (2, COMPRESS - 1), (3, COMPRESS), (4, 1_000_000)] {
        let text = "moorline ".repeat(size / 9 + 1);
        kept_by_all(&instances, n, &text[..size]).await;
    }
    let stored = server.cli(&["strlen", &Names::new("p", 0).result(&key(4))]).parse::<usize>().unwrap();
    assert!(stored < 10_000, "{stored} bytes of a million");
    let ttl = server.cli(&["pttl", &Names::new("p", 0).result(&key(4))]).parse::<u64>().unwrap();
    assert!((5_000..=15_000).contains(&ttl), "{ttl}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_that_ask_at_once_exactly_one_leads_and_all_have_its_result() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    for n in 0..5 {
        let callers = (0..100).map(|which| tokio::spawn(has(Arc::clone(&instances[which % 3]), n)));
        let leads = futures_util::future::join_all(callers).await.into_iter().filter(|led| *led.as_ref().unwrap());
        assert_eq!(leads.count(), 1);
    }
}

/// One caller, who makes the call if he has to. Whether he had to.
async fn has(shared: Arc<Shared>, n: u64) -> bool {
    let claim = match shared.claim(&key(n)).await {
        Claim::Theirs(_) => shared.wait(&key(n), LONG).await,
        claim => claim,
    };
    let Claim::Lead(given) = claim else {
        assert_eq!(here(claim), "once");
        return false;
    };
    // The call takes its time.
    tokio::time::sleep(Duration::from_millis(30)).await;
    shared.keep(key(n), entry(&*shared, now(), "once", &[]), Some(given));
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_forgets_the_others_forget_within_a_tenth_of_a_second() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    let clock = Clock::system();
    let mut took = Vec::new();
    for n in 0..20 {
        kept_by_all(&instances, n, "result").await;
        let before = clock.now();
        instances[2].forget(&[tag(n)]);
        assert!(instances[2].look(&key(n)).is_none(), "here at once");
        let gone = async {
            while instances[..2].iter().any(|shared| shared.look(&key(n)).is_some()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, gone).await.expect("it is forgotten");
        took.push(clock.now() - before);
        // Nor is it had from the store again.
        in_step(&server, &instances).await;
        for shared in &instances {
            assert!(lead(shared.wait(&key(n), LONG).await).stale.is_none());
        }
    }
    took.sort_unstable();
    println!("forgotten on the others after {:?} (median), {:?} (longest)", took[10], took[19]);
    assert!(took[10] < Duration::from_millis(100), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_fetched_before_an_order_is_not_shown_after_it_though_another_instance_stores_it() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    let under_way = entry(&*instances[0], now(), "old", &[tag(1)]);
    let given = lead(instances[0].claim(&key(1)).await);
    instances[1].forget_everywhere(&[tag(1)]).await.unwrap();
    // Whether or not the first has heard of it yet.
    instances[0].keep(key(1), under_way, Some(given));
    in_step(&server, &instances).await;
    let given = lead(instances[2].wait(&key(1), LONG).await);
    assert_eq!(given.stale, None);
    instances[2].keep(key(1), entry(&*instances[2], now(), "new", &[tag(1)]), Some(given));
    for shared in &instances[..2] {
        assert_eq!(here(shared.wait(&key(1), LONG).await), "new");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn orders_are_known_soon_though_news_are_lost() {
    let server = Server::start(Program::Redis, &[]);
    let user = "ACL SETUSER deaf on >p ~* +@all -subscribe resetchannels &nothing";
    assert_eq!(server.cli(&user.split(' ').collect::<Vec<_>>()), "OK");
    let clock = Clock::system();
    let tells = instance(&server.url(), options("p"), &clock).await;
    let deaf = instance(&format!("redis://deaf:p@127.0.0.1:{}", server.port), options("p"), &clock).await;
    for n in 0..3 {
        let given = lead(tells.claim(&key(n)).await);
        tells.keep(key(n), entry(&*tells, now(), "result", &[tag(n)]), Some(given));
        // Its poll finds it, too.
        until_here(&deaf, n).await;
        let before = clock.now();
        tells.forget_everywhere(&[tag(n)]).await.unwrap();
        until("it is forgotten", || deaf.look(&key(n)).is_none()).await;
        let took = clock.now() - before;
        println!("without news forgotten after {took:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

async fn until_here(shared: &Shared, n: u64) {
    let comes = async {
        // Whoever is told to lead gives that back: another's result is to come.
        while !matches!(shared.wait(&key(n), LONG).await, Claim::Here(_)) {}
    };
    tokio::time::timeout(DEADLINE, comes).await.expect("a result");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn orders_are_known_though_listeners_are_cut_off_again_and_again() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    for n in 0..10 {
        kept_by_all(&instances, n, "result").await;
        server.cli(&["client", "kill", "type", "pubsub"]);
        instances[0].forget(&[tag(n)]);
        server.cli(&["client", "kill", "type", "pubsub"]);
        until("it is forgotten", || instances.iter().all(|shared| shared.look(&key(n)).is_none())).await;
    }
}

/// Somebody waits for another's call; what he has in the end, and after what time.
async fn waited(shared: &Arc<Shared>, n: u64, then: impl FnOnce()) -> (Claim, Duration) {
    let (clock, waits) = (Clock::system(), Arc::clone(shared));
    assert!(matches!(shared.claim(&key(n)).await, Claim::Theirs(None)));
    let waiter = tokio::spawn(async move { waits.wait(&key(n), LONG).await });
    let before = clock.now();
    then();
    let claim = tokio::time::timeout(DEADLINE, waiter).await.expect("it ends").unwrap();
    (claim, clock.now() - before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_right_that_is_dropped_goes_to_the_next_who_waits() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    let given = lead(instances[0].claim(&key(1)).await);
    let (claim, took) = waited(&instances[1], 1, || drop(given)).await;
    let given = lead(claim);
    println!("a right that was dropped was given again after {took:?}");
    assert!(took < Duration::from_secs(1), "it did not have to fall: {took:?}");
    let (claim, _) = waited(&instances[2], 1, || given.is_void()).await;
    assert!(matches!(claim, Claim::Alone), "{claim:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_right_is_held_for_as_long_as_its_call_lasts_and_falls_when_its_instance_dies() {
    let server = Server::start(Program::Redis, &[]);
    let [dies, waits, _third] = three(&server, options("p")).await;
    let given = lead(dies.claim(&key(1)).await);
    // Longer than the lease.
    let within = Duration::from_secs(3);
    assert!(matches!(waits.wait(&key(1), within).await, Claim::Theirs(None)));
    // As if it were killed: nothing is given back, and nothing renewed.
    std::mem::forget::<Lead>(given);
    let (claim, took) = waited(&waits, 1, || drop(dies)).await;
    println!("the right of one that died was given again after {took:?}");
    assert!(lead(claim).stale.is_none() && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_has_what_is_stale_when_his_time_is_over() {
    let server = Server::start(Program::Redis, &[]);
    let clock = Clock::system();
    let instances = three(&server, options("p")).await;
    let old = entry(&*instances[0], clock.unix_millis() - 12_000, "old", &[]);
    instances[0].keep(key(1), old, None);
    until("it is at the store", || server.cli(&["exists", &Names::new("p", 0).result(&key(1))]) == "1").await;
    let given = lead(instances[1].claim(&key(1)).await);
    assert_eq!(given.stale.as_ref().unwrap().result, "old");
    let Claim::Theirs(Some(stale)) = instances[2].wait(&key(1), Duration::from_millis(10)).await else {
        panic!("it is somebody else's");
    };
    assert_eq!(stale.result, "old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_read_is_not_there_and_is_written_over() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    kept_by_all(&instances, 9, "good").await;
    let names = Names::new("p", 0);
    let like = |n: u64, value: &str| {
        let name = names.result(&key(n));
        server.cli(&["eval", value, "2", &name, &names.result(&key(9))]);
    };
    like(1, "return redis.call('set', KEYS[1], 'x')");
    like(2, "return redis.call('set', KEYS[1], string.rep('mr\\1', 40))");
    like(3, "return redis.call('set', KEYS[1], string.sub(redis.call('get', KEYS[2]), 1, 50))");
    like(4, "return redis.call('rpush', KEYS[1], 'x')");
    for n in 1..=4 {
        let given = lead(instances[0].claim(&key(n)).await);
        assert_eq!(given.stale, None);
        instances[0].keep(key(n), entry(&*instances[0], now(), "good", &[]), Some(given));
        until_here(&instances[1], n).await;
        assert_eq!(here(instances[1].claim(&key(n)).await), "good");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_result_is_had_by_one_command_and_kept_by_one() {
    let server = Server::start(Program::Redis, &[]);
    let instances = three(&server, options("p")).await;
    let calls = || {
        let stats = server.cli(&["info", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    // The poll of each instance is one each second.
    let (clock, before) = (Clock::system(), calls());
    let started = clock.now();
    for n in 0..100 {
        let given = lead(instances[0].claim(&key(n)).await);
        instances[0].keep(key(n), entry(&*instances[0], now(), "result", &[]), Some(given));
    }
    let kept = || server.cli(&["dbsize"]).parse::<u64>().unwrap() >= 100;
    until("all are kept", kept).await;
    for n in 0..100 {
        here(instances[1].claim(&key(n)).await);
    }
    let (made, seconds) = (calls() - before, (clock.now() - started).as_secs());
    assert!((300..330 + 10 * seconds).contains(&made), "{made} in {seconds} s");
}
