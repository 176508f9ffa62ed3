//! The Kafka that all tests of a process share.

use std::net::TcpStream;

test_services::kafka_tests!(
    #[test]
    fn answers() {
        let first = test_services::kafka().split(',').next().unwrap();
        assert!(TcpStream::connect(first).is_ok());
    }

    #[test]
    fn is_one_for_all() {
        assert_eq!(test_services::kafka(), test_services::kafka());
    }
);
