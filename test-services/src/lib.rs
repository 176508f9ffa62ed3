//! Starts the services that the tests of kser need, and kills them.
