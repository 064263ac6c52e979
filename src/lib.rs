//! Sluice, a programmable edge API gateway. The modules stand in the order of a request's way.

pub mod listener;

pub mod route;

pub mod transform;
pub mod upstream;

pub mod config;

pub mod telemetry;

pub mod base;
