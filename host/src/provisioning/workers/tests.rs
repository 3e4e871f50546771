use super::*;
use std::num::NonZeroUsize;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn open(directory: &Path) -> Workers {
    let limits =
        ProvisioningConfig { max_workers: NonZeroUsize::new(2).unwrap(), ..ProvisioningConfig::default() };
    let classes: Classes = toml::from_str("[small]\nmemory_bytes = 67108864\n[large]\n").unwrap();
    Workers::open(directory, &limits, &classes).unwrap()
}

async fn create(workers: &Workers, name: &str, options: &[(&str, &str)]) -> Result<Arc<Worker>, WorkerError> {
    let prepared = workers.prepare("t", name, false, Labels::new(), labels(options))?;
    workers.keep("t", prepared, false, None).await
}

#[tokio::test]
async fn workers_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let workers = open(directory.path());
    create(&workers, "a", &[("size", "small"), ("x", "1")]).await.unwrap();
    create(&workers, "b/../ü", &[]).await.unwrap();
    let change = Change {
        set_tags: labels(&[("team", "ml")]),
        unset_options: vec!["x".to_owned()],
        suspended: Some(true),
        ..Change::default()
    };
    let altered = workers.alter("t", "a", change, |_| ()).await.unwrap();
    assert!(altered.updated_at >= altered.created_at);
    drop(workers);

    let workers = open(directory.path());
    assert_eq!(workers.find("t", "a").unwrap(), altered);
    assert_eq!(workers.suspended(), [("t".to_owned(), "a".to_owned())]);
    assert_eq!(workers.class(&altered).unwrap().as_deref(), Some("small"));
    workers.remove("t", "b/../ü").await.unwrap();
    drop(workers);
    let names: Vec<_> = open(directory.path()).list("t").iter().map(|w| w.name.clone()).collect();
    assert_eq!(names, ["a"]);
}

#[tokio::test]
async fn without_a_change_the_disk_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let workers = open(directory.path());
    let again = async |version: u8| {
        let prepared = workers.prepare("t", "a", true, Labels::new(), Labels::new()).unwrap();
        workers.keep("t", prepared, true, Some([version; 32])).await.unwrap()
    };
    let first = again(1).await;
    std::fs::remove_dir_all(directory.path().join("workers")).unwrap();
    assert!(Arc::ptr_eq(&first, &again(1).await));
    let prepared = workers.prepare("t", "a", true, Labels::new(), Labels::new()).unwrap();
    let error = workers.keep("t", prepared, true, Some([2; 32])).await.unwrap_err();
    assert!(matches!(error, WorkerError::Store(_)), "{error}");
    assert_eq!(workers.find("t", "a").unwrap(), first, "what is not on disk is not in memory");
}

#[tokio::test]
async fn refusals_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let workers = open(directory.path());
    create(&workers, "a", &[]).await.unwrap();
    let cases = [
        (create(&workers, "a", &[]).await, Code::AlreadyExists, "worker `a` exists already"),
        (create(&workers, "", &[]).await, Code::InvalidArgument, "the request names no worker"),
        (create(&workers, "x\n", &[]).await, Code::InvalidArgument, "it contains a control character"),
        (
            create(&workers, "b", &[("size", "huge")]).await,
            Code::InvalidArgument,
            "the option `size` cannot be used: there is no resource class `huge`; there are large, small",
        ),
        (
            create(&workers, "b", &[("suspended", "true")]).await,
            Code::InvalidArgument,
            "the option `suspended` is changed by suspending and resuming the worker",
        ),
        (
            workers.alter("t", "c", Change::default(), |_| ()).await,
            Code::NotFound,
            "worker `c` does not exist",
        ),
    ];
    for (result, code, text) in cases {
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    create(&workers, "b", &[]).await.unwrap();
    let error = create(&workers, "c", &[]).await.unwrap_err();
    assert!(matches!(error, WorkerError::TooManyOfTenant { limit: 2 }));
    assert!(workers.prepare("u", "c", false, Labels::new(), Labels::new()).is_ok(), "another tenant");
}
