//! Sluice, a programmable edge API gateway. The modules stand in the order of a request's way.

#![cfg_attr(not(test), warn(clippy::string_slice, reason = "text from outside may be cut within a character"))]

// 1  bytes arrive
pub mod listener;

// 2  one request, phase by phase
pub mod pipeline;

// 3  which route
pub mod route;

// 4  who calls, and how much
pub mod auth;
pub mod partner;
pub mod rate_limit;

// 5  as usual, or not
pub mod anomaly;

// 6  answered from memory
pub mod cache;

// 7  changed on its way
pub mod transform;

// 8  to the service behind
pub mod forward;
pub mod upstream;

// 9  beside the path
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod sandbox;
pub mod snapshot;
pub mod store;
pub mod telemetry;

// 10 words everybody uses
pub mod base;
