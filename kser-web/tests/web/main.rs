//! The router, asked as a browser, a program or an attacker asks it.

mod access;
mod hostile;
mod pages;
mod world;
