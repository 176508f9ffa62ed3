//! The Python interpreter for tests with the Python library.

use std::process::Command;

test_services::python_tests!(
    #[test]
    fn has_the_package_and_its_client() {
        let mut python = Command::new(test_services::python());
        let version = "import kser, kser.confluent.consumer; print(kser.__version__)";
        let output = python.args(["-c", version]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0.8.27");
    }
);
