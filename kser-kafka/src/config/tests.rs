use super::*;

#[test]
fn a_url_that_is_refused_shows_no_password() {
    for url in [
        "kafka://shop:secret@broker:9092",
        "kafka+ssl://shop:secret@broker:9092",
        "kafka://broker:9092/?sasl.password=secret",
        "kafka://broker:9092&sasl.password=secret",
        "kafka://broker:9092#sasl.password=secret",
        "kafka://broker:9092?sasl.password=top&secret",
        "kafka://broker:9092?sasl.password=top&secret=x",
        "kafka://broker:9092?sasl.password=top&=secret.x",
        "kafka://broker:9092?sasl.password=top&secret.x=y",
        "kafka://broker:9092?sasl.password=top&secret.x",
        "kafka://broker:9092?sasl.password=top&a.b.secret=y&client.id=z",
    ] {
        let error = KafkaConfig::from_url(url).unwrap_err().to_string();
        assert!(error.contains("broker:9092"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_setting_without_a_dot_is_taken() {
    for (key, value) in [
        ("partitioner", "consistent_random"),
        ("debug", "cgrp"),
        ("retries", "7"),
    ] {
        let config = KafkaConfig::new("broker:9092").with(key, value).unwrap();
        assert_eq!(config.producer().get(key), Some(value));
        let url = format!("kafka://broker:9092?{key}={value}");
        let config = KafkaConfig::from_url(&url).unwrap();
        assert_eq!(config.producer().get(key), Some(value));
    }
}

#[test]
fn a_setting_that_the_client_does_not_have_is_refused() {
    for key in [
        "partitions",
        "sasl.pasword",
        "ut_handle_ProduceResponse",
        "",
    ] {
        let error = KafkaConfig::new("broker:9092").with(key, "x").unwrap_err();
        let error = error.to_string();
        assert!(error.contains(&format!("{key:?}")), "{error}");
        assert!(error.contains("has no such setting"), "{error}");
    }
    // Whether this build has the feature is checked when the clients are created.
    let config = KafkaConfig::new("broker:9092");
    assert!(config.with("ssl.ca.location", "ca.pem").is_ok());
}

#[test]
fn an_option_that_is_decided_here_says_why() {
    for key in ["acks", "enabled_events"] {
        let url = format!("kafka://broker:9092?{key}=1");
        let error = KafkaConfig::from_url(&url).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
        assert!(error.contains("the transport sets it"), "{error}");
    }
}

#[test]
fn a_duration_without_end_is_a_day() {
    let config = KafkaConfig::new("broker:9092")
        .with_commit_every(Duration::MAX)
        .with_revoke_grace(Duration::MAX);
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!((config.commit_every, config.revoke_grace), (day, day));
    let config = config.with_commit_every(Duration::from_millis(7));
    assert_eq!(config.commit_every, Duration::from_millis(7));
}

#[test]
fn a_rebalance_ends_before_the_group_removes_the_member() {
    let wait = |config: KafkaConfig| config.rebalance_wait();
    let config = KafkaConfig::new("broker:9092");
    let second = Duration::from_secs(1);
    assert_eq!(wait(config.clone()), second);
    let long = config.with_revoke_grace(Duration::MAX);
    assert_eq!(wait(long.clone()), second * 150);
    let short = long.with("max.poll.interval.ms", "30000").unwrap();
    assert_eq!(wait(short.clone()), second * 15);
    assert_eq!(wait(short.with_revoke_grace(second)), second);
}

#[test]
fn a_client_whose_log_no_call_takes_out_writes_none() {
    let admin = KafkaConfig::new("broker:9092")
        .with("debug", "all")
        .unwrap()
        .admin();
    assert!(matches!(admin.log_level, RDKafkaLogLevel::Emerg));
}

#[test]
fn little_is_fetched_ahead_of_delayed_records() {
    let config = KafkaConfig::new("broker:9092");
    let key = "queued.max.messages.kbytes";
    assert_eq!(config.delays("g", None, 1).get(key), Some("1024"));
    assert_eq!(config.consumer("g", None, 1).get(key), Some("16384"));
    let config = config.with(key, "7").unwrap();
    assert_eq!(config.delays("g", None, 1).get(key), Some("7"));
}

#[test]
fn a_group_with_many_partitions_rebalances_eagerly_unless_it_was_set() {
    let config = KafkaConfig::new("broker:9092");
    let strategy = |config: &KafkaConfig, partitions| {
        let made = config.consumer("g", None, partitions);
        made.get(STRATEGY).map(str::to_owned)
    };
    assert_eq!(strategy(&config, 6).as_deref(), Some("cooperative-sticky"));
    assert_eq!(strategy(&config, 5000).as_deref(), Some("roundrobin"));
    let set = config.clone().with(STRATEGY, "range").unwrap();
    assert_eq!(strategy(&set, 5000).as_deref(), Some("range"));
    let kip_848 = config.with("group.protocol", "consumer").unwrap();
    assert_eq!(strategy(&kip_848, 5000), None);
}

#[test]
fn another_name_of_a_key_overrules_its_default() {
    for (other, key) in ALIASES {
        let config = KafkaConfig::new("broker:9092").with(other, "7").unwrap();
        for made in [config.producer(), config.consumer("g", None, 1)] {
            assert_eq!(made.get(key), None, "{other}");
            assert_eq!(made.get(other), Some("7"));
        }
    }
}

#[test]
fn the_parts_of_a_url_are_read_as_the_url_is() {
    let url = "kafka://a:1,b:2?client.id=shop%26co&create=6&&linger.ms=7";
    let whole = KafkaConfig::from_url(url).unwrap();
    let options = ["client.id=shop%26co", "create=6", "", "linger.ms=7"];
    let parts = KafkaConfig::from_url_parts("a:1,b:2", options).unwrap();
    for config in [whole, parts] {
        assert_eq!(config.create, Some(6));
        let made = config.producer();
        for (key, value) in [
            ("bootstrap.servers", "a:1,b:2"),
            ("client.id", "shop&co"),
            ("linger.ms", "7"),
        ] {
            assert_eq!(made.get(key), Some(value));
        }
    }
    let url = "kafka://a:1@b:2?client.id=x";
    let errors = [
        KafkaConfig::from_url(url).unwrap_err(),
        KafkaConfig::from_url_parts("a:1@b:2", ["client.id=x"]).unwrap_err(),
    ];
    let [whole, parts] = errors.map(|error| error.to_string());
    assert_eq!(whole, parts);
    assert!(whole.contains("\"kafka://b:2\""), "{whole}");
}

#[test]
fn delivery_is_the_default_unless_the_url_says_otherwise() {
    let guarantee = |url: &str| KafkaConfig::from_url(url).map(|config| config.delivery());
    for (url, expected) in [
        ("kafka://a:1", Guarantee::AtLeastOnce),
        ("kafka://a:1?delivery=at-least-once", Guarantee::AtLeastOnce),
        ("kafka://a:1?delivery=exactly-once", Guarantee::ExactlyOnce),
    ] {
        assert_eq!(guarantee(url).unwrap(), expected, "{url}");
        let config = KafkaConfig::from_url(url).unwrap();
        let config = config.with_default_delivery(Guarantee::ExactlyOnce);
        let is_said = url.contains("delivery");
        let expected = if is_said {
            expected
        } else {
            Guarantee::ExactlyOnce
        };
        assert_eq!(config.delivery(), expected, "{url}");
    }
    let error = guarantee("kafka://a:1?delivery=twice").unwrap_err();
    assert!(error.to_string().contains("`exactly-once`"), "{error}");
}

#[test]
fn a_transaction_outlasts_the_publication_of_its_records() {
    let config = KafkaConfig::new("a:1").transactional_producer("group.name");
    let set = |key| config.get(key).unwrap();
    let times = ["message.timeout.ms", "transaction.timeout.ms"].map(set);
    assert_eq!(times, ["30000", "30000"]);
    assert_eq!(set("transactional.id"), "group.name");
    assert_eq!(set("enable.idempotence"), "true");
    let settings = KafkaConfig::new("a:1").with("transaction.timeout.ms", "60000");
    let config = settings.unwrap().transactional_producer("group.name");
    assert_eq!(config.get("transaction.timeout.ms"), Some("60000"));
}
