//! Brokers of one's own, and what can be done to them.

use test_services::Cluster;

test_services::cluster_tests!(
    #[test]
    fn three_brokers_lose_one_and_go_on() {
        let cluster = Cluster::start(3);
        cluster.kill(2);
        cluster.restart(2);
        cluster.wait_until_in_sync();
    }
);
