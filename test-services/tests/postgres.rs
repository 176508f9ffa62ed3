//! PostgreSQL is started, killed, restarted, frozen, and leaves nothing behind.

use std::net::TcpStream;
use std::path::Path;

use test_services::Postgres;

test_services::postgres_tests!(
    #[test]
    fn a_killed_server_keeps_its_commits() {
        let server = Postgres::start();
        assert_eq!(server.execute("SHOW fsync"), "on");
        server.execute("CREATE TABLE orders (id int)");
        server.execute("INSERT INTO orders VALUES (7)");
        server.kill();
        assert!(TcpStream::connect(server.address()).is_err());
        server.restart();
        assert_eq!(server.execute("SELECT id FROM orders"), "7");
        server.stop();
        assert!(TcpStream::connect(server.address()).is_err());
        server.restart();
        assert_eq!(server.execute("SELECT id FROM orders"), "7");
    }

    #[test]
    fn a_dropped_server_is_gone_at_once() {
        let server = Postgres::start();
        let (address, data) = (server.address(), server.execute("SHOW data_directory"));
        assert!(Path::new(&data).parent().is_some_and(Path::is_dir));
        drop(server);
        assert!(TcpStream::connect(address).is_err());
        assert!(!Path::new(&data).exists());
    }
);
