//! Sluice, a programmable edge API gateway. The modules stand in the order of a request's way.

pub mod app;

pub mod route;

pub mod config;

pub mod base;
