//! The router, asked as a browser, a program or an attacker asks it.

mod access;
mod acts;
mod api;
mod hostile;
mod live;
mod operator_pages;
mod pages;
mod world;
